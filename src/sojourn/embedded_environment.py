"""Sets the variables of embedded servers in the environment of this process, and takes them back.

The client reads some addresses of a server from the environment only, and again whenever it makes another
connection. Several servers may run at once: the variables are those of the server that was asked last for a
client, and when it stops those of the one before it, down to what the program had set itself. A variable that
the program changes meanwhile is the program's.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

Lasting = Callable[[Mapping[str, str]], Mapping[str, str]]
"""From the environment without our variables to the variables of a server."""


class ProcessEnvironment:
    """One for a process; every method may be called from any thread."""

    def __init__(self) -> None:
        self._lock = threading.RLock()  # a server may be released by the garbage collector at any moment
        self._servers: list[tuple[object, Mapping[str, str]]] = []  # the one that holds comes last
        self._set: dict[str, str] = {}  # our variables, and what the program had in their place
        self._before: dict[str, str | None] = {}

    @contextmanager
    def of(
        self, server: object, lasting: Lasting, passing: Mapping[str, str], absent: tuple[str, ...]
    ) -> Iterator[None]:
        """Set the variables of `server` until it is released, and for the time of the block those of
        `passing`, without those of `absent`. One block at a time: others wait."""
        with self._lock:
            found = lasting(self._without_ours())
            self._servers = [entry for entry in self._servers if entry[0] is not server]
            self._servers.append((server, found))
            self._apply(found, over=True)
            with _for_now(passing, absent):
                yield

    @contextmanager
    def borrowed(self, passing: Mapping[str, str], absent: tuple[str, ...]) -> Iterator[None]:
        """The same without a server whose variables last: the environment is as before after the block."""
        with self._lock, _for_now(passing, absent):
            yield

    def release(self, server: object) -> None:
        """The server has stopped: its variables go. Of one that has none it is no error."""
        with self._lock:
            if any(entry[0] is server for entry in self._servers):
                self._servers = [entry for entry in self._servers if entry[0] is not server]
                self._apply(self._servers[-1][1] if self._servers else {}, over=False)

    def _apply(self, wanted: Mapping[str, str], *, over: bool) -> None:
        """Each variable goes from its old value to its new one in a single step: another thread that reads
        the address of a server meanwhile must not find none, or it would send its key to IBM's.

        `over`: also where the program has changed it.
        """
        for name in {*self._set, *wanted}:
            present = os.environ.get(name)
            if name not in self._set or present != self._set[name]:
                if name in self._set and not over:
                    del self._set[name], self._before[name]
                    continue
                self._before[name] = present
            if name in wanted:
                self._set[name] = os.environ[name] = wanted[name]
            else:
                self._set.pop(name)
                _put(name, self._before.pop(name))

    def _without_ours(self) -> dict[str, str]:
        found = dict(os.environ)
        for name, value in self._set.items():
            if found.get(name) == value:
                del found[name]
                if (before := self._before[name]) is not None:
                    found[name] = before
        return found


@contextmanager
def _for_now(passing: Mapping[str, str], absent: tuple[str, ...]) -> Iterator[None]:
    """Each variable goes in a single step, as in `_apply`."""
    kept = {name: os.environ.get(name) for name in (*passing, *absent)}
    os.environ.update(passing)
    for name in absent:
        os.environ.pop(name, None)
    try:
        yield
    finally:
        for name, value in kept.items():
            _put(name, value)


def _put(name: str, value: str | None) -> None:
    if value is None:
        os.environ.pop(name, None)
    else:
        os.environ[name] = value


PROCESS = ProcessEnvironment()
"""That of this process."""
