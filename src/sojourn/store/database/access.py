"""The two ways into the database: reads go to a few threads, writes to one (`writer.py`).

What is read and written is a plain function that takes the connection first, such as those of
`sojourn.store.jobs`: `await store.read(jobs.get, job_id)`, `await store.write(jobs.set_tags, job_id, tags)`.
Every method that returns an awaitable is called on the event loop on which the database was opened.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Concatenate, ParamSpec, Protocol, Self, TypeVar

from sqlalchemy import Connection, Engine, select
from sqlalchemy.exc import DatabaseError

from sojourn.store import tables as t
from sojourn.store.database.disk_space import DiskSpace, no_room
from sojourn.store.database.sqlite import sqlite_engine
from sojourn.store.database.work import Work, bound
from sojourn.store.database.writer import Need, Writer
from sojourn.store.migrations.upgrade import upgrade

P = ParamSpec("P")
T = TypeVar("T")
READERS = 4
"""Threads that read. One user's looks take `limits.looks_at_once` of them at most, half by default."""


class CannotOpen(Exception):
    """The database cannot be used. The message is what it said; `full` when the disk has no room for it."""

    def __init__(self, said: str, *, full: bool) -> None:
        super().__init__(said)
        self.full = full


class Written(Protocol):
    """What is committed as a whole, such as `sojourn.store.commit.Unit`."""

    def write(self, connection: Connection) -> None: ...


@dataclass(slots=True)
class Reading:
    """What a request's queries have cost: `seconds` of a processor."""

    seconds: float = 0.0


READING: ContextVar[Reading | None] = ContextVar("READING", default=None)
"""Where the queries of the present task are counted, if they are."""


class Database:
    """Open it with `await Database.open(path)`; close it with `close()`."""

    def __init__(self, path: Path, disk: DiskSpace | None = None) -> None:
        self.path = path
        self._write_engine = sqlite_engine(path, writer=True)
        self._read_engine = sqlite_engine(path, writer=False)
        self._readers = ThreadPoolExecutor(READERS, thread_name_prefix="sojourn-reader")
        self._writer: Writer | None = None
        self.disk = disk

    @classmethod
    async def open(
        cls, path: Path, *, writer: Callable[[Engine], Writer] = Writer, disk: DiskSpace | None = None
    ) -> Self:
        """Open, bring the schema up to date, start the writer. `disk` is that of the file, of which some is
        kept. Raises CannotOpen and SchemaTooNew."""
        store = cls(path, disk)
        try:
            await asyncio.get_running_loop().run_in_executor(store._readers, upgrade, store._write_engine)
        except DatabaseError as error:
            raise CannotOpen(str(error.orig), full=no_room(error)) from error
        store._writer = writer(store._write_engine)
        store._writer.disk = disk
        return store

    def when_full(self, call: Callable[[str], None]) -> None:
        """`call` is called, with what the database said, when a transaction has found no room on the disk."""
        assert self._writer is not None, "the store is not open"
        self._writer.on_full = call

    def when_committed(self, call: Callable[[int, float], None]) -> None:
        """`call` is called on another thread after every commit, with the number of transactions in it and
        its seconds."""
        assert self._writer is not None, "the store is not open"
        self._writer.on_commit = call

    @property
    def waiting(self) -> int:
        """Transactions that no commit has taken yet."""
        return self._writer.waiting if self._writer is not None else 0

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

    # writes: the order of calls is the order of commits

    def write(
        self, function: Callable[Concatenate[Connection, P], T], /, *args: P.args, **kwargs: P.kwargs
    ) -> asyncio.Future[T]:
        """A transaction of `function(connection, *args, **kwargs)`, which answers what that answers.

        The future's exception is StoreFull when the disk has no room for it, see `Need.SPARE`.
        """
        return self.submit(bound(function, *args, **kwargs))

    def must_write(
        self, function: Callable[Concatenate[Connection, P], T], /, *args: P.args, **kwargs: P.kwargs
    ) -> asyncio.Future[T]:
        """As `write`, but never fails for lack of room on the disk: it waits (`Need.MUST`)."""
        return self.submit(bound(function, *args, **kwargs), need=Need.MUST)

    def commit(self, unit: Written, then: Callable[[None], None] | None = None) -> asyncio.Future[None]:
        """Never fails for lack of room on the disk: it waits. The lane is ahead of the store by then."""
        return self.submit(unit.write, then, need=Need.MUST)

    def submit(
        self,
        work: Work[T],
        then: Callable[[T], None] | None = None,
        *,
        need: Need = Need.SPARE,
    ) -> asyncio.Future[T]:
        """Queue a transaction; `then` is called with what it answers after its commit, before the future is
        done, even when nobody waits for that."""
        assert self._writer is not None, "the store is not open"
        return self._writer.submit(work, then, need=need)

    def told(self) -> asyncio.Future[None]:
        """After a read: done when what it can have seen is known on the event loop as well."""
        assert self._writer is not None, "the store is not open"
        return self._writer.told()

    # reads: each sees everything that is committed

    async def read(
        self, function: Callable[Concatenate[Connection, P], T], /, *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """Run `function(connection, *args, **kwargs)` on a reader's thread."""
        loop, reading = asyncio.get_running_loop(), READING.get()
        work = bound(function, *args, **kwargs)
        return await loop.run_in_executor(self._readers, self._read, work, reading)

    def _read(self, work: Work[T], reading: Reading | None) -> T:
        begun = time.thread_time()
        try:
            with self._read_engine.connect() as connection:
                return work(connection)
        finally:
            if reading is not None:
                reading.seconds += time.thread_time() - begun

    async def ping(self) -> None:
        """Raises what keeps the store from answering."""
        await self.read(_anything)

    async def usable(self) -> int:
        """Bytes that can still be stored: free on the disk, or in the database file."""
        assert self.disk is not None, "the disk is watched"
        return self.disk.free() + await self.read(_free_in_the_file)


def unawaited(written: asyncio.Future[Any]) -> None:
    """The done callback of a write for which nobody waits: what became of it is of no interest."""
    if not written.cancelled():
        written.exception()


def _anything(connection: Connection) -> None:
    connection.execute(select(t.meta.c.key).limit(1)).first()


def _free_in_the_file(connection: Connection) -> int:
    pages = connection.exec_driver_sql("PRAGMA freelist_count").scalar() or 0
    size = connection.exec_driver_sql("PRAGMA page_size").scalar() or 0
    return int(pages * size)
