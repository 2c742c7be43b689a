"""When a page looks again at what it shows: soon after an event that concerns it, and now and then anyway."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from math import inf

SLOW = 15.0
"""Seconds between two looks when nothing is heard, at most."""
OFTEN = 5.0
"""The same where others' jobs are shown, of which the viewer is told no events, and without a stream."""
LEAST = 0.5
"""Seconds between the beginnings of two looks, at least."""
PART = 0.5
"""Part of the time that a page looks, at most: a server with much to do is asked less often."""


@dataclass(slots=True)
class Pace:
    """Times are those of one clock, in seconds. The first thing that is heard after a rest is looked at at
    once; what is heard soon after it, together."""

    every: float
    _begun: float = -inf
    _ended: float = -inf
    _heard: bool = True

    def hear(self) -> None:
        self._heard = True

    def begin(self, now: float) -> None:
        self._begun, self._heard = now, False

    def end(self, now: float) -> None:
        self._ended = now

    @property
    def due(self) -> float:
        """When the next look begins."""
        took = self._ended - self._begun if self._ended > self._begun else 0.0
        return self._begun + max(took / PART, LEAST if self._heard else self.every)


class Looking:
    """Looks until it is cancelled. `look` sees to its own errors."""

    def __init__(self, look: Callable[[], Awaitable[None]], every: float) -> None:
        self._look = look
        self._pace = Pace(every)
        self._woken = asyncio.Event()

    def soon(self) -> None:
        self._pace.hear()
        self._woken.set()

    def every(self, seconds: float) -> None:
        self._pace.every = seconds
        self._woken.set()

    async def run(self) -> None:
        clock, pace = asyncio.get_running_loop().time, self._pace
        while True:
            pace.begin(clock())
            await self._look()
            pace.end(clock())
            while (left := pace.due - clock()) > 0:
                self._woken.clear()
                with suppress(TimeoutError):
                    async with asyncio.timeout(left):
                        await self._woken.wait()
