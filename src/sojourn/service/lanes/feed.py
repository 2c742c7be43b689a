"""The one feed of committed changes: whoever waits for something to happen hangs on it.

A change is published on the event loop, after its commit and after memory has it. Held polls wait for a
change of one job; event streams and webhooks follow all changes, and read from the store what these were.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Protocol


class Waited(Protocol):
    """What somebody may wait for a change of, such as a `JobRecord`."""

    def wake(self) -> None: ...


class Feed:
    """Belongs to one event loop. Publishing costs nothing for those who do not wait."""

    def __init__(self) -> None:
        self._followers: list[Callable[[], None]] = []

    def follow(self, tell: Callable[[], None]) -> None:
        """`tell` is called after every commit, at once: it must not wait, only note that there is news."""
        self._followers.append(tell)

    def publish(self, changed: Iterable[Waited] = ()) -> None:
        """Something was committed, and `changed` are those of whom it was a change."""
        for each in changed:
            each.wake()
        for tell in self._followers:
            tell()
