"""The one thread that writes, with group commit: what waits together is committed together.

Owns the write connection. Units run in the order in which they came; the `then` of each is called on the
event loop, in that order, after its commit.
"""

from __future__ import annotations

import asyncio
import queue
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Engine

BATCH = 256  # bounds the time for which a commit keeps its callers waiting

Work = Callable[[Connection], Any]


@dataclass(slots=True)
class _Entry:
    work: Work
    then: Callable[[Any], None] | None
    future: asyncio.Future[Any]
    result: Any = None
    error: BaseException | None = None


class Writer:
    """Start it on the event loop whose callbacks it is to serve."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._queue: queue.SimpleQueue[_Entry | None] = queue.SimpleQueue()
        self._loop = asyncio.get_running_loop()
        self._thread = threading.Thread(target=self._work, name="sojourn-writer", daemon=True)
        self._thread.start()

    def submit(self, work: Work, then: Callable[[Any], None] | None = None) -> asyncio.Future[Any]:
        """Queue `work`; the future has its result after the commit, or its error.

        `then` runs even when nobody waits for the future any more, so acts never depend on a caller.
        """
        entry = _Entry(work, then, self._loop.create_future())
        self._queue.put(entry)
        return entry.future

    def close(self) -> None:
        """Write what is queued, then end. Blocks."""
        self._queue.put(None)
        self._thread.join()

    def _work(self) -> None:
        stop = False
        while not stop:
            batch: list[_Entry] = []
            entry: _Entry | None = None  # what was written is not kept while there is nothing to write
            entry = self._queue.get()
            while True:
                if entry is None:
                    stop = True
                    break
                batch.append(entry)
                if len(batch) == BATCH:
                    break
                try:
                    entry = self._queue.get_nowait()
                except queue.Empty:
                    break
            if batch:
                self._commit(batch)
                self._loop.call_soon_threadsafe(_deliver, batch)

    def _commit(self, batch: list[_Entry]) -> None:
        try:
            with self._engine.begin() as connection:
                for entry in batch:
                    entry.result = entry.work(connection)
        except Exception as error:
            if len(batch) == 1:
                batch[0].error = error
                return
            for entry in batch:  # find the guilty one; the others must not suffer for it
                self._commit([entry])


def _deliver(batch: list[_Entry]) -> None:
    for entry in batch:
        if entry.error is None and entry.then is not None:
            try:
                entry.then(entry.result)
            except Exception as error:  # its caller is told; those behind it must not wait for ever
                entry.error = error
        if entry.future.done():  # its waiter was cancelled
            continue
        if entry.error is not None:
            entry.future.set_exception(entry.error)
        else:
            entry.future.set_result(entry.result)
