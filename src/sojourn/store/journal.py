"""The journal's rows: what was fed to each lane, in order (docs/decisions/0007). Knows nothing of events."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, TypedDict

from sqlalchemy import Connection, delete, func, insert, inspect, select

from sojourn.store import tables as t
from sojourn.store.database.sqlite import sqlite_engine


class JournalRow(TypedDict):
    """`body` and `did` are JSON."""

    device: str
    at: float
    kind: str
    body: bytes
    did: bytes
    digest: str


def put_journal(connection: Connection, rows: Sequence[JournalRow]) -> None:
    if rows:
        connection.execute(insert(t.journal), list(rows))


def count_journal(path: Path) -> int:
    """Rows in the database file; 0 for a database without a journal."""
    engine = sqlite_engine(path, writer=False)
    try:
        with engine.connect() as connection:
            if not inspect(connection).has_table(t.journal.name):
                return 0
            return connection.execute(select(func.count()).select_from(t.journal)).scalar() or 0
    finally:
        engine.dispose()


def read_journal(path: Path, *, batch: int = 1000) -> Iterator[Any]:
    """Every row in order, beside a running server if need be. The file must exist."""
    engine = sqlite_engine(path, writer=False)
    last = 0
    try:
        while True:
            query = select(t.journal).where(t.journal.c.id > last).order_by(t.journal.c.id).limit(batch)
            with engine.connect() as connection:
                rows = connection.execute(query).all()
            yield from rows
            if len(rows) < batch:
                return
            last = rows[-1].id
    finally:
        engine.dispose()


# retention


def beginnings(connection: Connection, before: float) -> dict[str, int]:
    """For each device the last row before then at which a replay can begin: a start of its lane."""
    c = t.journal.c
    query = select(c.device, func.max(c.id)).where(c.kind == "Restored", c.at < before).group_by(c.device)
    return {row[0]: row[1] for row in connection.execute(query)}


def old(connection: Connection, device: str, first: int, *, limit: int) -> list[int]:
    """The oldest rows of a device before the row `first`."""
    c = t.journal.c
    query = select(c.id).where(c.device == device, c.id < first).order_by(c.id).limit(limit)
    return list(connection.execute(query).scalars())


def remove(connection: Connection, ids: Sequence[int]) -> None:
    connection.execute(delete(t.journal).where(t.journal.c.id.in_(ids)))
