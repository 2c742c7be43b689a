"""Time for the policy: the system's, or a virtual one for tests and simulations.

Owns "what time is it" and "call me then". Held polls and other transport matters use the event loop's own
time instead.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
import time
from collections.abc import Callable
from typing import Protocol

LONGEST_SLEEP = 30.0
"""Seconds. A step of the system clock is noticed this late at the most."""


class Handle(Protocol):
    def cancel(self) -> None: ...


class Clock(Protocol):
    def now(self) -> float:
        """Seconds since the epoch."""
        ...

    def call_at(self, when: float, callback: Callable[[], None]) -> Handle:
        """Call back at `when` or somewhat earlier; who is called looks at the time again."""
        ...


class SystemClock:
    """The machine's clock, on the running event loop. `wall` reads it."""

    def __init__(self, wall: Callable[[], float] = time.time) -> None:
        self._wall = wall

    def now(self) -> float:
        return self._wall()

    def call_at(self, when: float, callback: Callable[[], None]) -> Handle:
        delay = min(max(0.0, when - self._wall()), LONGEST_SLEEP)
        return asyncio.get_running_loop().call_later(delay, callback)


class VirtualClock:
    """Time stands still until it is moved; callbacks run as it passes them, in order."""

    def __init__(self, start: float = 1_750_000_000.0) -> None:
        self._now = start
        self._heap: list[tuple[float, int, _Entry]] = []
        self._count = itertools.count()

    def now(self) -> float:
        return self._now

    def call_at(self, when: float, callback: Callable[[], None]) -> Handle:
        entry = _Entry(callback)
        heapq.heappush(self._heap, (max(when, self._now), next(self._count), entry))
        return entry

    def advance(self, seconds: float) -> None:
        """Let `seconds` pass."""
        until = self._now + seconds
        while self._heap and self._heap[0][0] <= until:
            at, _, entry = heapq.heappop(self._heap)
            self._now = max(self._now, at)
            if entry.callback is not None:
                entry.callback()
        self._now = until


class _Entry:
    def __init__(self, callback: Callable[[], None]) -> None:
        self.callback: Callable[[], None] | None = callback

    def cancel(self) -> None:
        self.callback = None
