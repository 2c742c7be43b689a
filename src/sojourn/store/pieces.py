"""Reads parts of large values without loading the rest of them, which SQL's `substr` does."""

from __future__ import annotations

import sqlite3
from typing import cast

from sqlalchemy import Connection, Integer, literal_column, select

from sojourn.store import tables as t

_ROW = literal_column("rowid", Integer)


def read_piece(connection: Connection, digest: str, at: int, size: int) -> bytes:
    """Up to `size` bytes of a blob from `at` on; b"" when it is not there."""
    row = connection.execute(
        select(_ROW).select_from(t.blobs).where(t.blobs.c.hash == digest)
    ).scalar_one_or_none()
    if row is None:
        return b""
    raw = cast(sqlite3.Connection, connection.connection.driver_connection)
    with raw.blobopen(t.blobs.name, t.blobs.c.data.name, row, readonly=True) as blob:
        blob.seek(at)
        return blob.read(size)
