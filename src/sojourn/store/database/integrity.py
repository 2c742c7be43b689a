"""Checks a database file, copies it while a server uses it, and distinguishes a lost one from a new one.

Each call opens a connection of its own, so that it works beside a running server and on a file that no server
can open. It blocks, but for `damage`.
"""

from __future__ import annotations

import asyncio
import os
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path

from sojourn.store.database.sqlite import BUSY_TIMEOUT_MS

MOST_FAULTS = 20
MARKER = "database.created"
"""A file beside the database that says that there was one: it stays when the database is lost."""
NO_TABLES = "has none of Sojourn's tables: it is empty, or belongs to another program"
_PAGES_AT_ONCE = 2000
_PAUSE = 0.005
"""Seconds between two steps of a copy, in which others can have the disk."""
_AGAIN = 0.05
"""Seconds between two attempts to interrupt a check."""


class LostDatabase(Exception):
    """There was a database in this folder, and it is gone or empty. The message says what to do."""


class CopyFailed(Exception):
    """No copy was made; the message says why."""


def faults(
    path: Path,
    *,
    thorough: bool = False,
    opened: Callable[[sqlite3.Connection], None] = lambda _connection: None,
) -> list[str]:
    """What is wrong with the database file, one sentence each; empty when it is sound.

    `thorough` compares the indexes with their tables as well, which takes several times as long. `opened` is
    told of the connection, so that another thread can interrupt it; that counts as a fault.
    """
    try:
        with _opened(path) as connection:
            opened(connection)
            pragma = "integrity_check" if thorough else "quick_check"
            found = [str(row[0]) for row in connection.execute(f"PRAGMA {pragma}({MOST_FAULTS})")]
            if found != ["ok"]:
                return [" ".join(fault.split()) for fault in found]
            return [
                f"a row of {child} refers to a row of {parent} that does not exist"
                for child, _, parent, _ in connection.execute("PRAGMA foreign_key_check").fetchmany(
                    MOST_FAULTS
                )
            ]
    except (sqlite3.Error, UnicodeDecodeError) as error:
        return [str(error)]


async def damage(path: Path) -> list[str]:
    """As `faults`, beside everything else. A check of a large database takes minutes, and the thread that
    does it keeps the process: cancelled, this ends the check before it ends itself."""
    connections: list[sqlite3.Connection] = []
    looking = asyncio.ensure_future(asyncio.to_thread(faults, path, opened=connections.append))
    try:
        return await asyncio.shield(looking)
    except asyncio.CancelledError:
        while not looking.done():
            for connection in connections:
                with suppress(sqlite3.ProgrammingError):  # it has just been closed
                    connection.interrupt()
            # Again and again: a statement that begins only now was not interrupted.
            await asyncio.wait({looking}, timeout=_AGAIN)
        raise


def without_tables(path: Path) -> bool:
    """Whether a sound database has none of our tables: it is empty, such as a file that was cut to 0 bytes,
    or another program's."""
    with _opened(path) as connection:
        found = connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'alembic_version'").fetchone()
        return found is None


def copy(
    path: Path, target: Path, *, progress: Callable[[int, int], None] = lambda _done, _all: None
) -> None:
    """Copy the database to `target`, consistent as of one moment, while others may write to it.

    `progress` is called with (pages copied, pages in all). The copy appears under its name when it is whole
    and has been checked. Raises `CopyFailed`.
    """
    if target.exists():
        raise CopyFailed(f"{target} exists already: choose another name, or remove it first")
    partial = target.with_name(f".{target.name}.{os.getpid()}")
    try:
        os.close(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
        with _opened(path) as source, closing(sqlite3.connect(partial)) as made:

            def step(_status: int, remaining: int, total: int) -> None:
                progress(total - remaining, total)
                time.sleep(0.0 if remaining == 0 else _PAUSE)

            source.execute("BEGIN")  # one moment, however long the copy takes: no writer makes it begin again
            source.execute("SELECT count(*) FROM sqlite_master").fetchone()
            source.backup(made, pages=_PAGES_AT_ONCE, progress=step)
            made.execute("PRAGMA journal_mode = DELETE")  # one file, complete without a write-ahead log
        if found := faults(partial):
            raise CopyFailed(
                f"{path} is damaged, so its copy is as well ({found[0]}). `sojourn database check` lists all"
            )
        if without_tables(partial):
            raise CopyFailed(f"{path} {NO_TABLES}")
        with partial.open("rb") as file:
            os.fsync(file.fileno())
        partial.rename(target)
    except (sqlite3.Error, OSError) as error:
        raise CopyFailed(f"{path} cannot be copied to {target}: {error}") from error
    finally:
        partial.unlink(missing_ok=True)


def expect(path: Path) -> None:
    """Before the database at `path` is opened: raises `LostDatabase` when there was one and it is gone."""
    marker = path.with_name(MARKER)
    if marker.exists() and (not path.exists() or path.stat().st_size == 0):
        since = marker.read_text(encoding="utf-8", errors="replace").strip()
        raise LostDatabase(
            f"the database {path} is {'empty' if path.exists() else 'missing'}, and this folder has had one "
            f"since {since}. Put a backup in its place; to begin anew without jobs, users and usage, remove "
            f"{marker}"
        )


def mark(path: Path) -> None:
    """After it was opened: note that there is a database."""
    marker = path.with_name(MARKER)
    if not marker.exists():
        marker.write_text(f"{datetime.now(UTC):%Y-%m-%d %H:%M:%SZ}\n", encoding="utf-8")


@contextmanager
def _opened(path: Path) -> Iterator[sqlite3.Connection]:
    """Only for reading; a missing file is an error."""
    with closing(
        sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True, timeout=BUSY_TIMEOUT_MS / 1000)
    ) as connection:
        connection.isolation_level = None
        yield connection
