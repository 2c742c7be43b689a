"""Reads request bodies: small ones into memory, large ones through a file without a name in the data folder.

What a body takes of memory and disk is taken from the server's `Rooms` before it is there.
"""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from sojourn.service.data.files import aside, unnamed_file, write_all
from sojourn.service.errors import Busy
from sojourn.service.requests.rooms import COPIES, SMALL, Held, Rooms

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

NO_DISK_RETRY = 30.0
_BATCH = 250_000
"""Bytes that are collected before a thread writes them."""


class Gone(Exception):
    """The client hung up while we were reading; nobody is left to answer."""


async def in_memory(chunks: AsyncIterator[bytes]) -> bytes:
    found = [chunk async for chunk in chunks]
    return found[0] if len(found) == 1 else b"".join(found)


async def body(
    chunks: AsyncIterator[bytes], declared: int | None, limit: int, owner: str, rooms: Rooms, folder: Path
) -> tuple[bytes, Held]:
    """The whole body, and the memory that it has, which the caller releases.

    A small one of a declared size has its memory before it comes. Any other lies in a file until it is whole
    and its turn comes, so that neither a slow sender nor one who waits takes memory. Raises Busy.
    """
    if declared is not None and declared <= SMALL:
        held = rooms.small.try_take(owner, COPIES * declared)
        if held is not None:
            try:
                return await in_memory(chunks), held
            except BaseException:
                held.release()
                raise
    most = limit if declared is None else declared
    file_held = await rooms.files.take(owner, 1, rooms.wait)
    try:
        disk_held = await rooms.disk.take(owner, most, rooms.wait)
        try:
            with unnamed_file(folder) as file:
                try:
                    size = await _into(file, chunks)
                except OSError as error:
                    raise _no_disk(error) from None
                held = await rooms.work(owner, COPIES * size)
                try:
                    return await aside(_all_of, file, size), held
                except BaseException:
                    held.release()
                    raise
        finally:
            disk_held.release()
    finally:
        file_held.release()


async def _into(file: BinaryIO, chunks: AsyncIterator[bytes]) -> int:
    batch = bytearray()
    size = 0
    async for chunk in chunks:
        batch += chunk
        if len(batch) >= _BATCH:
            size += len(batch)
            await aside(write_all, file, bytes(batch))
            batch.clear()
    if batch:
        size += len(batch)
        await aside(write_all, file, bytes(batch))
    return size


def _no_disk(error: OSError) -> Exception:
    if error.errno not in (errno.ENOSPC, errno.EDQUOT):
        return error
    return Busy(
        "The disk of the server has no room for a body of this size. Ask the operator to make room, and try "
        "again then.",
        retry_after=NO_DISK_RETRY,
    )


def _all_of(file: BinaryIO, size: int) -> bytes:
    found = os.pread(file.fileno(), size, 0)
    if len(found) == size:
        return found
    parts, have = [found], len(found)  # a system that reads no more at a time
    while have < size:
        part = os.pread(file.fileno(), size - have, have)
        if not part:
            raise OSError(f"a body of {size} bytes ended after {have}")
        parts.append(part)
        have += len(part)
    return b"".join(parts)
