"""The one thread that writes, with group commit: what waits together is committed together.

Owns the write connection. Units run in the order in which they came; the `then` of each is called on the
event loop, in that order, after its commit. What a commit without room on the disk means depends on its
`Need`.
"""

from __future__ import annotations

import asyncio
import queue
import sqlite3
import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import closing, suppress
from dataclasses import dataclass
from enum import Enum
from typing import Any

from sqlalchemy import Engine

from sojourn.store.database.disk_space import DiskSpace, StoreFull, no_room
from sojourn.store.database.sqlite import BUSY_TIMEOUT_MS
from sojourn.store.database.work import Work

BATCH = 256  # bounds the time for which a commit keeps its callers waiting
RETRY = 0.5
"""Seconds between two attempts at a commit that must not fail."""
_TRIM_TIMEOUT_MS = 500


class Need(Enum):
    """What becomes of a transaction that finds no room on the disk."""

    BULK = "it fails, and leaves the reserve alone"
    SPARE = "it may use the reserve, and fails after that"
    MUST = "it may use the reserve, and waits for room after that: memory is ahead of the store"


@dataclass(slots=True)
class _Entry:
    work: Work[Any]
    then: Callable[[Any], None] | None
    future: asyncio.Future[Any]
    need: Need = Need.SPARE
    result: Any = None
    error: BaseException | None = None


class Writer:
    """Start it on the event loop whose callbacks it is to serve."""

    disk: DiskSpace | None = None
    """Whose reserve a commit may use."""
    on_commit: Callable[[int, float], None] | None = None
    """Called on the writer's thread after every commit, with the number of transactions in it and its
    seconds."""
    on_full: Callable[[str], None] | None = None
    """Called on the event loop with what the database said, for every transaction that found no room."""
    _hurried = False
    _begun = 0  # transactions whose rows others may see by now
    _told = 0  # so many of them are known on the event loop: the `then` of their units were called

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._queue: queue.SimpleQueue[_Entry | None] = queue.SimpleQueue()
        self._taken: deque[_Entry | None] = deque()  # from the queue, while a commit waited for room
        self._expected: deque[tuple[int, asyncio.Future[None]]] = deque()
        self._loop = asyncio.get_running_loop()
        self._thread = threading.Thread(target=self._work, name="sojourn-writer", daemon=True)
        self._thread.start()

    def submit(
        self, work: Work[Any], then: Callable[[Any], None] | None = None, *, need: Need = Need.SPARE
    ) -> asyncio.Future[Any]:
        """Queue `work`; the future has its result after the commit, or its error.

        `then` runs even when nobody waits for the future any more, so acts never depend on a caller.
        """
        entry = _Entry(work, then, self._loop.create_future(), need)
        self._queue.put(entry)
        return entry.future

    @property
    def waiting(self) -> int:
        """Units that no commit has taken yet."""
        return self._queue.qsize() + len(self._taken)

    def told(self) -> asyncio.Future[None]:
        """Done when whatever a reader can have seen by now is known on the event loop as well: a row can be
        read a moment before the `then` of its unit is called."""
        done: asyncio.Future[None] = self._loop.create_future()
        begun = self._begun
        if self._told >= begun:
            done.set_result(None)
        else:
            self._expected.append((begun, done))
        return done

    def _tell_of(self, batch: list[_Entry], begun: int) -> None:
        _deliver(batch)
        self._told = begun
        while self._expected and self._expected[0][0] <= begun:
            _, done = self._expected.popleft()
            if not done.done():
                done.set_result(None)

    def hurry(self) -> None:
        """From now on nothing waits for room: the process is about to end."""
        self._hurried = True

    def close(self) -> None:
        """Write what is queued, then end. Blocks."""
        self.hurry()
        self._queue.put(None)
        self._thread.join()

    def _work(self) -> None:
        stop = False
        while not stop:
            batch: list[_Entry] = []
            entry: _Entry | None = None  # what was written is not kept while there is nothing to write
            entry = self._taken.popleft() if self._taken else self._queue.get()
            while True:
                if entry is None:
                    stop = True
                    break
                batch.append(entry)
                if len(batch) == BATCH:
                    break
                try:
                    entry = self._taken.popleft() if self._taken else self._queue.get_nowait()
                except queue.Empty:
                    break
            if batch:
                begun = time.perf_counter()
                self._commit(batch)
                took = time.perf_counter() - begun
                self._loop.call_soon_threadsafe(self._tell_of, batch, self._begun)
                if self.on_commit is not None:
                    self.on_commit(len(batch), took)

    def _commit(self, batch: list[_Entry]) -> None:
        try:
            self._transact(batch)
        except Exception as error:
            if len(batch) == 1:
                self._failed(batch[0], error)
                return
            for entry in batch:  # find the guilty one; the others must not suffer for it
                self._commit([entry])

    def _transact(self, batch: list[_Entry]) -> None:
        self._begun += 1
        with self._engine.begin() as connection:
            for entry in batch:
                entry.result = entry.work(connection)

    # without room

    def _failed(self, entry: _Entry, error: Exception) -> None:
        """Look for room where the error says that there was none; else it is the entry's."""
        released = False
        while no_room(error):
            self._tell(error)
            self._trim()
            if entry.need is Need.BULK:
                break
            if released:
                if entry.need is Need.SPARE or self._hurried:
                    break
                self._wait(error)
            elif self.disk is not None:
                self.disk.release()
            released = True
            try:
                self._transact([entry])
            except Exception as again:
                error = again
            else:
                return
        entry.error = StoreFull(_said(error)) if no_room(error) else error

    def _tell(self, error: Exception) -> None:
        if self.on_full is not None:
            self._loop.call_soon_threadsafe(self.on_full, _said(error))

    def _trim(self) -> None:
        """Give back what the write-ahead log holds: of the failed transaction, and of those before."""
        with closing(self._engine.raw_connection()) as connection, closing(connection.cursor()) as cursor:
            cursor.execute(f"PRAGMA busy_timeout = {_TRIM_TIMEOUT_MS}")
            with suppress(sqlite3.Error):  # the next attempt at the transaction says what is wrong
                cursor.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
            cursor.execute(f"PRAGMA busy_timeout = {BUSY_TIMEOUT_MS}")

    def _wait(self, error: Exception) -> None:
        """Until the next attempt. What could not be written now and may fail is refused meanwhile."""
        self._loop.call_soon_threadsafe(self._tell_of, [], self._begun)  # of what failed nothing is seen
        refused: list[_Entry] = []
        try:
            entry = self._queue.get(timeout=RETRY)
            while True:
                if entry is None or entry.need is Need.MUST:
                    self._taken.append(entry)
                else:
                    entry.error = StoreFull(_said(error))
                    refused.append(entry)
                entry = self._queue.get_nowait()
        except queue.Empty:
            pass
        if refused:
            self._loop.call_soon_threadsafe(_deliver, refused)


def _said(error: BaseException) -> str:
    return " ".join(str(getattr(error, "orig", error)).split())


def _deliver(batch: list[_Entry]) -> None:
    for entry in batch:
        if entry.error is None and entry.then is not None:
            try:
                entry.then(entry.result)
            except Exception as error:  # its caller gets it; those behind it must not wait for ever
                entry.error = error
        if entry.future.done():  # its waiter was cancelled
            continue
        if entry.error is not None:
            entry.future.set_exception(entry.error)
        else:
            entry.future.set_result(entry.result)
