"""Measures the room on the disk of a database, and keeps some of it back for small commits.

Blocks for microseconds. Decides nothing: who is refused when room is short is decided by its callers.
"""

from __future__ import annotations

import os
import sqlite3
from contextlib import suppress
from pathlib import Path

from sqlalchemy.exc import DBAPIError

MB = 1_000_000
BALLAST = "disk.reserve"
"""A file beside the database that is deleted when a small commit finds no room."""
_MOST_BALLAST = 2 * MB
_SHARE = 10
"""The reserve is at most this part of the disk, so that a small disk can be used at all."""

# What SQLite reports when the disk, a quota or a limit of the file's size leaves no room. SQLITE_FULL is
# ENOSPC; a quota (EDQUOT) and RLIMIT_FSIZE (EFBIG) are failed writes. A failed fsync is not among them: after
# one nobody knows what is on the disk.
_NO_ROOM = frozenset(
    {
        sqlite3.SQLITE_IOERR_WRITE,
        sqlite3.SQLITE_IOERR_SHMSIZE,
        sqlite3.SQLITE_IOERR_SHMMAP,
        sqlite3.SQLITE_IOERR_SHMOPEN,
    }
)


class StoreFull(Exception):
    """Nothing was written, as the disk had no room for it. The message says what the database said."""


def no_room(error: BaseException) -> bool:
    """Whether a transaction failed for lack of room."""
    cause = error.orig if isinstance(error, DBAPIError) else error
    code = getattr(cause, "sqlite_errorcode", None)
    if code is None:
        return False
    return code & 0xFF == sqlite3.SQLITE_FULL or code in _NO_ROOM


class DiskSpace:
    """The disk of the folder `data`, of which `reserve` bytes are kept for what is small; 0 keeps nothing."""

    def __init__(self, data: Path, reserve: int) -> None:
        self._data = data
        self._ballast = data / BALLAST
        found = os.statvfs(data)
        self.reserve = min(reserve, found.f_blocks * found.f_frsize // _SHARE)
        self._size = min(_MOST_BALLAST, self.reserve // 4)
        if self.free() < self.reserve // 2:
            self.release()

    def free(self) -> int:
        """Bytes that this process may still use on the disk."""
        found = os.statvfs(self._data)
        return found.f_bavail * found.f_frsize

    def release(self) -> bool:
        """Delete the ballast; whether there was any."""
        try:
            self._ballast.unlink()
        except OSError:
            return False
        return True

    def fill(self) -> bool:
        """Put the ballast back; whether it is there."""
        if not self._size or self._ballast.exists():
            return True
        try:
            with self._ballast.open("xb") as file:
                os.posix_fallocate(file.fileno(), 0, self._size)
        except OSError:
            with suppress(OSError):
                self._ballast.unlink()
            return False
        return True
