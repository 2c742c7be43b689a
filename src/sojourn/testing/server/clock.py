"""The service's time, which goes by the machine's and can be moved on besides."""

from __future__ import annotations

import asyncio
import heapq
import itertools
from collections.abc import Awaitable, Callable

from sojourn.service.timing.clock import Clock, Handle, OnStep, SystemClock

_KEPT = 1000
"""Reminders after which those that nobody wants any more are thrown away."""


class MovableClock:
    """A `SystemClock` that `advance` lets run ahead. Deadlines that are passed fire in their order, each at
    its own time, and what follows from one is settled before the next: as if the time had really passed."""

    def __init__(self, clock: Clock | None = None) -> None:
        self._clock = clock or SystemClock()
        self._ahead = 0.0
        self._waiting: list[tuple[float, int, _Reminder]] = []
        self._numbers = itertools.count()
        self._moving = asyncio.Lock()

    @property
    def lead(self) -> float:
        return self._clock.lead

    def begin(self, newest: float) -> None:
        self._clock.begin(newest)

    def now(self) -> float:
        return self._clock.now() + self._ahead

    def date(self) -> float:
        return self._clock.date() + self._ahead

    def instant(self, date: float) -> float:
        return self._clock.instant(date - self._ahead) + self._ahead

    def monotonic(self) -> float:
        return self._clock.monotonic() + self._ahead

    def watch(self, on_step: OnStep) -> Handle:
        return self._clock.watch(on_step)

    def call_at(self, when: float, callback: Callable[[], None]) -> Handle:
        reminder = _Reminder(when, callback)
        if len(self._waiting) > _KEPT:  # mostly of what was cancelled
            self._waiting = [entry for entry in self._waiting if entry[2].callback is not None]
            heapq.heapify(self._waiting)
        heapq.heappush(self._waiting, (when, next(self._numbers), reminder))
        reminder.arm(when - self.now())
        return reminder

    async def advance(self, seconds: float, settled: Callable[[], Awaitable[None]]) -> None:
        """Let `seconds` pass at once. `settled` waits until what was decided so far has been done."""
        async with self._moving:
            until = self.now() + seconds
            while (reminder := self._next()) is not None and reminder.when <= until:
                heapq.heappop(self._waiting)
                self._ahead += max(0.0, reminder.when - self.now())
                reminder.fire()
                await settled()
            self._ahead += max(0.0, until - self.now())
            for _, _, reminder in self._waiting:
                reminder.arm(reminder.when - self.now())

    def _next(self) -> _Reminder | None:
        """The earliest one that is still wanted."""
        while self._waiting and self._waiting[0][2].callback is None:
            heapq.heappop(self._waiting)
        return self._waiting[0][2] if self._waiting else None


class _Reminder:
    """One callback, with the event loop's timer for it."""

    def __init__(self, when: float, callback: Callable[[], None]) -> None:
        self.when = when
        self.callback: Callable[[], None] | None = callback
        self._timer: asyncio.TimerHandle | None = None

    def arm(self, seconds: float) -> None:
        self._disarm()
        if self.callback is not None:
            self._timer = asyncio.get_running_loop().call_later(max(0.0, seconds), self.fire)

    def fire(self) -> None:
        self._disarm()
        callback, self.callback = self.callback, None
        if callback is not None:
            callback()

    def cancel(self) -> None:
        self._disarm()
        self.callback = None

    def _disarm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
