"""The two ways into the database: reads go to a few threads, writes to one (`writer.py`).

Every method that returns an awaitable is called on the event loop on which it was opened.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path
from typing import Self, TypeVar

from sqlalchemy import Connection, Engine, select

from sojourn.store import tables as t
from sojourn.store.database.disk_space import Room
from sojourn.store.database.sqlite import sqlite_engine
from sojourn.store.database.writer import Need, Writer
from sojourn.store.migrations.upgrade import upgrade

T = TypeVar("T")
READERS = 4
"""Threads that read. One user's looks take `limits.looks_at_once` of them at most, half by default."""


@dataclass(slots=True)
class Reading:
    """What a request's queries have cost: `seconds` of a processor."""

    seconds: float = 0.0


READING: ContextVar[Reading | None] = ContextVar("READING", default=None)
"""Where the queries of the present task are counted, if they are."""


class Access:
    """Open it with `await open(path)`; close it with `close()`."""

    def __init__(self, path: Path, room: Room | None = None) -> None:
        self.path = path
        self._write_engine = sqlite_engine(path, writer=True)
        self._read_engine = sqlite_engine(path, writer=False)
        self._readers = ThreadPoolExecutor(READERS, thread_name_prefix="sojourn-reader")
        self._writer: Writer | None = None
        self.room = room

    @classmethod
    async def open(
        cls, path: Path, *, writer: Callable[[Engine], Writer] = Writer, room: Room | None = None
    ) -> Self:
        """Open, bring the schema up to date, start the writer. `room` is the disk, of which some is kept."""
        store = cls(path, room)
        await asyncio.get_running_loop().run_in_executor(store._readers, upgrade, store._write_engine)
        store._writer = writer(store._write_engine)
        store._writer.room = room
        return store

    def when_full(self, call: Callable[[str], None]) -> None:
        """`call` is called, with what the database said, when a transaction has found no room on the disk."""
        assert self._writer is not None, "the store is not open"
        self._writer.on_full = call

    def hurry(self) -> None:
        """From now on nothing waits for room on the disk: the process is about to end."""
        if self._writer is not None:
            self._writer.hurry()

    def close(self) -> None:
        """Everything that was handed over is written before this returns."""
        if self._writer is not None:
            self._writer.close()
        self._readers.shutdown()
        self._read_engine.dispose()
        self._write_engine.dispose()

    def write(
        self,
        work: Callable[[Connection], T],
        then: Callable[[T], None] | None = None,
        *,
        need: Need = Need.SPARE,
    ) -> asyncio.Future[T]:
        """Queue a transaction; the order of calls is the order of commits.

        The future's exception is StoreFull when the disk has no room for it, see `Need`.
        """
        assert self._writer is not None, "the store is not open"
        return self._writer.submit(work, then, need=need)

    async def read(self, work: Callable[[Connection], T]) -> T:
        """Run a query on a reader's thread; it sees everything that is committed."""
        loop, reading = asyncio.get_running_loop(), READING.get()
        return await loop.run_in_executor(self._readers, self._read, work, reading)

    def _read(self, work: Callable[[Connection], T], reading: Reading | None) -> T:
        begun = time.thread_time()
        try:
            with self._read_engine.connect() as connection:
                return work(connection)
        finally:
            if reading is not None:
                reading.seconds += time.thread_time() - begun

    async def ping(self) -> None:
        """Raises what keeps the store from answering."""
        await self.read(lambda c: c.execute(select(t.meta.c.key).limit(1)).first() and None)
