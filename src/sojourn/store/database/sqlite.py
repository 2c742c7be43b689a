"""How a database is opened: SQLite in WAL mode, every commit on disk before it is acknowledged."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event

BUSY_TIMEOUT_MS = 10_000
LONGEST_WAL = 2**26
"""Bytes of a write-ahead log that stay allocated when what is in it has reached the database."""


def sqlite_engine(path: Path, *, writer: bool) -> Engine:
    """An engine on the file. The writer's transactions take the write lock at once (BEGIN IMMEDIATE)."""
    engine = create_engine(
        f"sqlite:///{path}",
        connect_args={"check_same_thread": False},
        pool_size=1 if writer else 4,
        max_overflow=0,
        hide_parameters=True,  # a message of an error would show users' data, and take the repr of all of it
    )

    @event.listens_for(engine, "connect")
    def _connect(connection: Any, _: Any) -> None:
        connection.isolation_level = None  # the driver must not begin or commit by itself
        cursor = connection.cursor()
        cursor.execute("PRAGMA journal_mode = WAL")
        cursor.execute("PRAGMA synchronous = FULL")
        cursor.execute("PRAGMA foreign_keys = ON")
        cursor.execute(f"PRAGMA busy_timeout = {BUSY_TIMEOUT_MS}")
        cursor.execute("PRAGMA cache_size = -16000")  # 16 MB
        cursor.execute(f"PRAGMA journal_size_limit = {LONGEST_WAL}")
        cursor.close()

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writer else "BEGIN")

    return engine
