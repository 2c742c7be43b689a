"""Reads large values in pieces, without loading the rest of them, which SQL's `substr` does.

To come to a piece SQLite walks along all pages before it, so a value stays open between two pieces that are
asked for in a row. It does not stay open for a slow reader: an open value is a transaction, and one that
lasts keeps the write-ahead log from being taken into the database.
"""

from __future__ import annotations

import asyncio
import sqlite3
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from pathlib import Path

from sojourn.store import tables as t
from sojourn.store.engine import BUSY_TIMEOUT_MS

IDLE = 0.25
"""Seconds after which a value is closed that nobody asks for the next piece of."""
LONGEST = 2.0
"""Seconds after which one is closed and opened again, however fast it is read."""
MOST_OPEN = 8

_FIND = f"SELECT rowid FROM {t.blobs.name} WHERE {t.blobs.c.hash.name} = ?"


class Pieces:
    """All readings of large values of one database. Owns their thread: queries do not wait for it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.thread = ThreadPoolExecutor(1, thread_name_prefix="sojourn-pieces")
        self.open: set[Reading] = set()  # touched on the thread only

    def reading(self, digest: str) -> Reading:
        return Reading(self, digest)

    def close(self) -> None:
        """Blocks until the thread has ended."""
        self.thread.submit(self._close_all)
        self.thread.shutdown()

    def _close_all(self) -> None:
        for reading in list(self.open):
            reading.let_go()


class Reading:
    """One reader of one value. Close it; one that is forgotten closes itself when it is `IDLE`."""

    def __init__(self, pieces: Pieces, digest: str) -> None:
        self._pieces = pieces
        self._digest = digest
        self._connection: sqlite3.Connection | None = None
        self._blob: sqlite3.Blob | None = None
        self._opened = 0.0
        self._timer: asyncio.TimerHandle | None = None

    async def read(self, at: int, size: int) -> bytes:
        """Up to `size` bytes from `at` on; b"" when the value is not there (any more). One call at a time."""
        self._wait_no_longer()
        loop = asyncio.get_running_loop()
        try:
            return await loop.run_in_executor(self._pieces.thread, self._read, at, size)
        finally:
            self._timer = loop.call_later(IDLE, self.close)

    def close(self) -> None:
        """Safe to repeat."""
        self._wait_no_longer()
        with suppress(RuntimeError):  # the store is closed, and has closed this as well
            self._pieces.thread.submit(self.let_go)

    def _wait_no_longer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    # on the thread

    def _read(self, at: int, size: int) -> bytes:
        if self._blob is not None and time.monotonic() - self._opened > LONGEST:
            self.let_go()
        try:
            blob = self._blob or self._open()
            if blob is None:
                return b""
            blob.seek(at)
            return blob.read(size)
        finally:
            if len(self._pieces.open) > MOST_OPEN:
                self.let_go()

    def _open(self) -> sqlite3.Blob | None:
        connection = sqlite3.connect(self._pieces.path, isolation_level=None, check_same_thread=False)
        self._connection = connection
        self._pieces.open.add(self)
        connection.execute(f"PRAGMA busy_timeout = {BUSY_TIMEOUT_MS}")
        connection.execute("PRAGMA cache_size = -1000")  # 1 MB: each page is read once
        with closing(connection.execute(_FIND, (self._digest,))) as found:
            row = found.fetchone()
        if row is None:
            self.let_go()
            return None
        self._blob = connection.blobopen(t.blobs.name, t.blobs.c.data.name, row[0], readonly=True)
        self._opened = time.monotonic()
        return self._blob

    def let_go(self) -> None:
        """On the thread: end the transaction."""
        if self._blob is not None:
            self._blob.close()
            self._blob = None
        if self._connection is not None:
            self._connection.close()
            self._connection = None
        self._pieces.open.discard(self)
