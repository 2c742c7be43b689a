"""Bytes by their SHA-256: bodies, results, logs, calibrations. Small ones are one row, large ones in parts.

The parts of large bytes are written in transactions of their own, before the one that names the bytes: no
transaction is long, and a disk that has no room for them is found before anything depends on them. They count
from the moment at which the row in `blobs` is there, whose `data` is then empty; parts without that row are
swept away at the next start.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Mapping

from sqlalchemy import Connection, Table, bindparam, delete, func, literal, select
from sqlalchemy.dialects import postgresql, sqlite

from sojourn.store import tables as t
from sojourn.store.database import Database, Need, StoreFull, bound, unawaited
from sojourn.store.database.prepared import Prepared

PART = 2**20
"""Bytes of a part, and the most that lie in one row."""
SMALL = 2**14
"""Bytes that are never written in parts."""

_b, _p = t.blobs.c, t.blob_parts.c
_there = select(_b.hash).where(_b.hash == bindparam("digest"))
_data = select(_b.data).where(_b.hash == bindparam("digest"))
_parts = select(_p.data).where(_p.hash == bindparam("digest")).order_by(_p.number)
_written = select(func.coalesce(func.sum(func.length(_p.data)), 0)).where(_p.hash == bindparam("digest"))


def _insert(table: Table) -> dict[str, Prepared]:
    """By dialect: an insert that leaves rows that exist as they are."""
    inserts = (("sqlite", sqlite.insert), ("postgresql", postgresql.insert))
    names = table.columns.keys()
    return {name: Prepared(insert(table).on_conflict_do_nothing(), names) for name, insert in inserts}


_INSERT, _INSERT_PART = _insert(t.blobs), _insert(t.blob_parts)


def has_blob(connection: Connection, digest: str) -> bool:
    return connection.execute(_there, {"digest": digest}).first() is not None


def read_blob(connection: Connection, digest: str) -> bytes | None:
    """The whole bytes; None when there are none of that digest."""
    data: bytes | None = connection.execute(_data, {"digest": digest}).scalar()
    if data == b"":
        return b"".join(connection.execute(_parts, {"digest": digest}).scalars())
    return data


def blob_size(connection: Connection, digest: str) -> int | None:
    """The number of bytes, without reading them; None when there are none of that digest."""
    size: int | None = connection.execute(select(func.length(_b.data)).where(_b.hash == digest)).scalar()
    if size == 0:
        size = connection.execute(_written, {"digest": digest}).scalar()
    return size


def read_up_to(connection: Connection, digest: str, most: int) -> bytes | int | None:
    """The bytes if there are at most so many, else their number; None when there are none."""
    size = blob_size(connection, digest)
    return size if size is None or size > most else read_blob(connection, digest)


def read_slice(connection: Connection, digest: str, start: int, length: int) -> bytes:
    """Up to `length` bytes from `start` on; fewer at the end, none after it or when the bytes are gone."""
    size = connection.execute(select(func.length(_b.data)).where(_b.hash == digest)).scalar()
    if size is None:
        return b""
    if size > PART and connection.dialect.name == "sqlite":
        return _slice_of_row(connection, digest, start, length)
    if size:
        piece = select(func.substr(_b.data, start + 1, length)).where(_b.hash == digest)
        return bytes(connection.execute(piece).scalar() or b"")
    first = select(func.length(_p.data)).where(_p.hash == digest, _p.number == 0)
    size = connection.execute(first).scalar()
    if not size:
        return b""
    begin = start // size
    end = (start + length - 1) // size
    query = select(_p.data).where(_p.hash == digest, _p.number.between(begin, end)).order_by(_p.number)
    found = b"".join(connection.execute(query).scalars())
    return found[start - begin * size :][:length]


def _slice_of_row(connection: Connection, digest: str, start: int, length: int) -> bytes:
    """Of a large value that an earlier version wrote whole. `substr` would load all of it."""
    row = connection.exec_driver_sql("SELECT rowid FROM blobs WHERE hash = ?", (digest,)).scalar_one()
    database = connection.connection.driver_connection
    assert isinstance(database, sqlite3.Connection)
    with database.blobopen("blobs", "data", row, readonly=True) as value:
        value.seek(min(start, len(value)))
        return value.read(length)


def parts_of(data: bytes) -> Iterator[tuple[int, bytes]]:
    """(number, bytes) of each part."""
    for start in range(0, len(data), PART):
        yield start // PART, data[start : start + PART]


def put_part(connection: Connection, digest: str, number: int, data: bytes) -> None:
    """Same hash, same bytes: what is there stays."""
    _INSERT_PART[connection.dialect.name].run(connection, {"hash": digest, "number": number, "data": data})


def drop_parts(connection: Connection, digest: str) -> None:
    """Of bytes that were not named after all."""
    if not has_blob(connection, digest):
        connection.execute(delete(t.blob_parts).where(_p.hash == digest))


def put_blobs(connection: Connection, blobs: Mapping[str, bytes]) -> None:
    """Same hash, same bytes: what is there stays. What lies there in parts, and whole, is only named."""
    if blobs:
        rows = [{"hash": h, "data": _left(connection, h, data)} for h, data in blobs.items()]
        _INSERT[connection.dialect.name].run(connection, *rows)


def _left(connection: Connection, digest: str, data: bytes) -> bytes:
    """What has to be written of the bytes yet: nothing when all their parts are there."""
    if len(data) <= SMALL:
        return data
    written = connection.execute(_written, {"digest": digest}).scalar()
    if written == len(data):
        return b""
    if written:  # part of them was dropped since: these are not needed either
        connection.execute(delete(t.blob_parts).where(_p.hash == digest))
    return data


def drop_blob(connection: Connection, digest: str) -> None:
    connection.execute(delete(t.blobs).where(_b.hash == digest))
    connection.execute(delete(t.blob_parts).where(_p.hash == digest))


def sweep_parts(connection: Connection) -> int:
    """Delete the parts that a process left behind which ended before they were named; how many."""
    named = select(literal(1)).where(_b.hash == _p.hash).exists()
    return connection.execute(delete(t.blob_parts).where(~named)).rowcount


# ahead of what names them


async def stage(store: Database, blobs: Mapping[str, bytes], *, scarce: bool = False) -> list[str]:
    """Write the large ones of `blobs` ahead of the unit that names them, part by part, so that others'
    commits need not wait; with `scarce` all but the small ones. Answers which it wrote.

    Raises StoreFull when the disk has no room for them above half of its reserve; nothing of them stays
    then. Whoever does not commit the unit after all calls `unstage`.
    """
    least, staged = SMALL if scarce else PART, list[str]()
    for digest, data in blobs.items():
        if len(data) <= least or await store.read(has_blob, digest):
            continue
        staged.append(digest)
        try:
            await _check_room(store, len(data))
            for number, part in parts_of(data):
                await store.submit(bound(put_part, digest, number, part), need=Need.BULK)
        except BaseException:
            unstage(store, staged)
            raise
    return staged


async def _check_room(store: Database, size: int) -> None:
    if store.disk is None or not store.disk.reserve:
        return
    usable, kept = await store.usable(), store.disk.reserve // 2
    if usable - size < kept:
        raise StoreFull(
            f"{size / 1e6:.6g} MB are to be stored and the disk has {usable / 1e6:.6g} MB, "
            f"of which {store.disk.reserve / 2e6:.6g} MB are kept"
        )


def unstage(store: Database, digests: Iterable[str]) -> None:
    """Delete what `stage` has written, unless something names it by now. What cannot be deleted now is at
    the next start."""
    for digest in digests:
        store.write(drop_parts, digest).add_done_callback(unawaited)


async def try_room(store: Database) -> None:
    """Raises StoreFull when a large result would not find room."""
    await store.submit(bound(put_part, TRIAL, 0, bytes(PART)), need=Need.BULK)
    await store.write(drop_parts, TRIAL)


TRIAL = "trial"
"""In the place of a digest: a part that is written to find out whether there is room."""
