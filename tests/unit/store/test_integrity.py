"""Damage of the database is found and named, a copy is whole, and a lost database is not a new one."""

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import text

from sojourn.service.data.opening import open_store
from sojourn.service.errors import ServiceFailed
from sojourn.store import Database
from sojourn.store.database.integrity import (
    MARKER,
    CopyFailed,
    LostDatabase,
    copy,
    damage,
    expect,
    faults,
    mark,
    without_tables,
)
from sojourn.store.database.sqlite import sqlite_engine
from sojourn.store.migrations.upgrade import SchemaTooNew, upgrade

PAGE = 4096


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Path]:
    """A database with our schema and some hundred rows, open for writing as a server has it."""
    path = tmp_path / "sojourn.db"
    engine = sqlite_engine(path, writer=True)
    upgrade(engine)
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE filler (id INTEGER PRIMARY KEY, body BLOB)"))
        for _ in range(300):
            connection.execute(text("INSERT INTO filler (body) VALUES (randomblob(3000))"))
    yield path
    engine.dispose()


def flatten(path: Path) -> None:
    """Everything into the file itself."""
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()


def test_a_sound_database_has_no_faults(database: Path) -> None:
    assert faults(database) == []
    assert faults(database, thorough=True) == []


def test_a_damaged_page_is_found_wherever_it_is(database: Path) -> None:
    flatten(database)
    whole = database.read_bytes()
    found = 0
    pages = range(1, len(whole) // PAGE, 7)
    for page in pages:
        damaged = whole[: page * PAGE] + b"\xa5" * PAGE + whole[(page + 1) * PAGE :]
        other = database.with_name("damaged.db")
        other.write_bytes(damaged)
        found += bool(faults(other))
    assert found >= len(pages) - 2, "a page that is not in use may be anything"


@pytest.mark.parametrize("content", [b"", b"not a database at all" * 500, bytes(range(256)) * 40])
def test_a_file_that_is_not_a_database_has_faults_or_is_empty(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "x.db"
    path.write_bytes(content)
    assert bool(faults(path)) == bool(content)


@pytest.mark.parametrize("made", ["", "CREATE TABLE of_others (id INTEGER PRIMARY KEY)"])
def test_a_database_without_our_tables_is_not_copied_as_a_backup(tmp_path: Path, made: str) -> None:
    """An empty file and another program's database are sound for SQLite, and nothing that one wants back."""
    path = tmp_path / "sojourn.db"
    with sqlite3.connect(path) as connection:
        connection.execute(made)
    connection.close()
    assert (faults(path), without_tables(path)) == ([], True)
    with pytest.raises(CopyFailed, match="empty, or belongs to another program"):
        copy(path, tmp_path / "copy.db")
    assert [left.name for left in tmp_path.iterdir()] == ["sojourn.db"]


def test_our_tables_are_found_in_a_database(database: Path) -> None:
    assert not without_tables(database)


def test_a_missing_file_is_a_fault_and_is_not_created(tmp_path: Path) -> None:
    assert faults(tmp_path / "none.db")
    assert list(tmp_path.iterdir()) == []


def test_a_row_without_its_parent_is_a_fault(database: Path) -> None:
    with sqlite3.connect(database) as connection:
        connection.execute("PRAGMA foreign_keys = OFF")
        connection.execute("CREATE TABLE child (id INTEGER PRIMARY KEY, of INTEGER REFERENCES filler (id))")
        connection.execute("INSERT INTO child (of) VALUES (123456)")
    connection.close()
    assert faults(database) == ["a row of child refers to a row of filler that does not exist"]


def test_a_copy_is_of_one_moment_while_others_write(database: Path) -> None:
    writer = sqlite3.connect(database, isolation_level=None)
    seen: list[tuple[int, int]] = []

    def progress(done: int, pages: int) -> None:
        seen.append((done, pages))
        writer.execute("INSERT INTO filler (body) VALUES (randomblob(3000))")

    target = database.with_name("copy.db")
    copy(database, target, progress=progress)
    writer.close()
    assert seen[-1][0] == seen[-1][1] > 0
    with sqlite3.connect(target) as made:
        assert made.execute("SELECT count(*) FROM filler").fetchone() == (300,)
    made.close()
    assert faults(target, thorough=True) == []
    assert target.stat().st_mode & 0o077 == 0, "it holds everybody's jobs"
    assert sorted(path.name for path in database.parent.iterdir() if "copy" in path.name) == ["copy.db"]


def test_a_copy_does_not_replace_a_file(database: Path) -> None:
    target = database.with_name("copy.db")
    target.write_text("precious")
    with pytest.raises(CopyFailed, match="exists already"):
        copy(database, target)
    assert target.read_text() == "precious"


def test_a_damaged_database_is_not_copied_as_if_it_were_sound(database: Path) -> None:
    flatten(database)
    whole = bytearray(database.read_bytes())
    whole[10 * PAGE : 11 * PAGE] = b"\xa5" * PAGE
    database.with_name("bad.db").write_bytes(bytes(whole))
    target = database.with_name("copy.db")
    with pytest.raises(CopyFailed, match=r"damaged|cannot be copied"):
        copy(database.with_name("bad.db"), target)
    assert not target.exists()


@pytest.mark.parametrize("loss", ["missing", "empty"])
def test_a_lost_database_is_not_taken_for_a_new_one(database: Path, loss: str) -> None:
    mark(database)
    expect(database)
    if loss == "missing":
        database.unlink()
    else:
        database.write_bytes(b"")
    with pytest.raises(LostDatabase, match=loss):
        expect(database)
    with pytest.raises(ServiceFailed, match="backup"):
        asyncio.run(open_store(Database.open, database))
    database.with_name(MARKER).unlink()
    expect(database)


@pytest.mark.parametrize("version", ["", "0000", "abc", "9999"])
def test_a_schema_that_is_not_known_is_named(database: Path, version: str) -> None:
    engine = sqlite_engine(database, writer=True)
    with engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = :v"), {"v": version})
    with pytest.raises(SchemaTooNew, match="schema"):
        upgrade(engine)
    engine.dispose()


def test_a_stop_does_not_wait_for_a_check_that_takes_long(tmp_path: Path) -> None:
    """Whatever makes it long, here a computed column: the rows alone would take half a minute."""
    path = tmp_path / "large.db"
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("CREATE TABLE slow (size INTEGER)")
        connection.execute("BEGIN")
        connection.executemany("INSERT INTO slow VALUES (?)", [(1_000_000,)] * 20_000)
        connection.execute("COMMIT")
        connection.execute("PRAGMA writable_schema = ON")
        column = "text TEXT AS (hex(zeroblob(size))) NOT NULL"
        connection.execute(f"UPDATE sqlite_schema SET sql = 'CREATE TABLE slow (size INTEGER, {column})'")

    async def start_and_stop() -> bool:
        checking = asyncio.create_task(damage(path))
        await asyncio.sleep(0)
        checking.cancel()
        await asyncio.wait({checking})
        return checking.cancelled()

    begun = time.monotonic()
    assert asyncio.run(start_and_stop())  # ends when its threads have
    assert time.monotonic() - begun < 10
