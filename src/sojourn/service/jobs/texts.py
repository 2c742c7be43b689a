"""Reads inputs and results: small ones whole, large ones in pieces, so that no reader holds one in memory."""

from __future__ import annotations

import errno
import os
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

from sojourn.service.data.files import aside, unnamed_file, write_all
from sojourn.service.errors import Busy
from sojourn.service.lanes.records import Blobs
from sojourn.service.requests.rooms import COPIES, PIECE, SMALL, Held, Rooms
from sojourn.store import Database
from sojourn.store.blobs import read_slice, read_up_to


def _nothing() -> None:
    pass


@dataclass(frozen=True, slots=True)
class Large:
    """A text that is read in pieces.

    `size` is in bytes. `read(at, size)` gives up to `size` bytes from `at` on, and b"" when they have been
    deleted. Whoever has it calls `close` when it is done. `has_room`: the memory of its piece is taken.
    """

    size: int
    read: Callable[[int, int], Awaitable[bytes]]
    close: Callable[[], None] = _nothing
    has_room: bool = False


class Texts:
    """The texts of the store and of the records' memory, by their hash. Copies are files of `folder`."""

    def __init__(self, store: Database, blobs: Blobs, rooms: Rooms, folder: Path) -> None:
        self._store = store
        self._blobs = blobs
        self._rooms = rooms
        self._folder = folder

    async def find(self, digest: str) -> bytes | Large | None:
        """All of a small text, a handle of a large one; None when there is none (any more)."""
        kept = self._blobs.get(digest)
        found = await self._store.read(read_up_to, digest, SMALL) if kept is None else kept
        if isinstance(found, int):
            return self._large(digest, found)
        if found is not None and len(found) > SMALL:
            return self._large(digest, len(found))
        return found

    def _large(self, digest: str, size: int) -> Large:
        async def read(at: int, most: int) -> bytes:
            kept = self._blobs.get(digest)  # held by the memory only, not by a slow reader
            if kept is not None:
                return kept[at : at + most]
            return await self._store.read(read_slice, digest, at, most)

        return Large(size, read)

    async def whole(self, text: bytes | Large, owner: str) -> tuple[bytes, Held]:
        """All of a text as the body of a submit, and the memory that it has, which the caller releases. It is
        empty when it has been deleted. Raises Busy."""
        size = text.size if isinstance(text, Large) else len(text)
        held = await self._rooms.work(owner, COPIES * size)
        try:
            return (await text.read(0, size) if isinstance(text, Large) else text), held
        except BaseException:
            held.release()
            raise

    async def copy(self, large: Large, owner: str) -> Large:
        """The text in a file of its own, which stays when the store forgets it. Memory to send it is taken.

        Raises Busy, also when the disk has no room.
        """
        rooms = self._rooms
        held = [await rooms.work(owner, PIECE)]
        file = None

        def close() -> None:
            if file is not None:
                file.close()
            for part in held:
                part.release()

        try:
            held.append(await rooms.files.take(owner, 1, rooms.wait))
            held.append(await rooms.disk.take(owner, large.size, rooms.wait))
            file = unnamed_file(self._folder)
            at = 0
            while at < large.size and (piece := await large.read(at, PIECE)):
                await aside(write_all, file, piece)
                at += len(piece)
            large.close()
            number = file.fileno()
        except BaseException as error:
            close()
            if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
                raise Busy(
                    "The disk of the server has no room to give a private result of this size. It is kept: "
                    "ask the operator to make room, and try again then.",
                    retry_after=30.0,
                ) from None
            raise

        async def read(at: int, size: int) -> bytes:
            return await aside(os.pread, number, size, at)

        return Large(at, read, close, has_room=True)
