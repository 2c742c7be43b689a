"""Watches the server's end of the socket while a run keeps the process busy: what comes then is a cancel.

The server sends nothing else during a run, so that something can be read is all that there is to know; the
frame itself is read by the worker's loop, once the run has ended.
"""

from __future__ import annotations

import contextlib
import os
import select
import threading
from collections.abc import Callable, Iterator

READABLE = select.POLLIN | select.POLLHUP | select.POLLERR


@contextlib.contextmanager
def watched(descriptor: int, act: Callable[[], None]) -> Iterator[None]:
    """While the body runs, call `act` once, in another thread, as soon as there is something to read."""
    done, end = os.pipe()
    watcher = threading.Thread(target=_watch, args=(descriptor, done, act), name="cancel", daemon=True)
    watcher.start()
    try:
        yield
    finally:
        os.write(end, b"x")
        watcher.join()
        os.close(done)
        os.close(end)


def _watch(descriptor: int, done: int, act: Callable[[], None]) -> None:
    poll = select.poll()
    poll.register(descriptor, READABLE)
    poll.register(done, READABLE)
    ready = {number for number, _ in poll.poll()}
    if done not in ready:
        act()
