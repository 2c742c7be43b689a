"""Files without a name in the data folder, and work on them beside the event loop."""

from __future__ import annotations

import asyncio
import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO, ParamSpec, TypeVar, cast

P = ParamSpec("P")
T = TypeVar("T")


def unnamed_file(folder: Path) -> BinaryIO:
    """A file that nobody else can open, and that is gone when it is closed or the process ends."""
    return cast(BinaryIO, tempfile.TemporaryFile(dir=folder, buffering=0))


def write_all(file: BinaryIO, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(file.fileno(), view) :]


async def aside(work: Callable[P, T], *arguments: P.args, **more: P.kwargs) -> T:
    """Run `work` on a thread. It is over when this ends, also by a cancellation: the caller may then close
    the file that it has worked on."""
    task = asyncio.ensure_future(asyncio.to_thread(work, *arguments, **more))
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait({task})
        raise
