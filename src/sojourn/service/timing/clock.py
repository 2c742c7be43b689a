"""The service's time: it begins with the machine's clock, goes on by the monotonic one and never goes back.

`now()` is for everything that lasts: limits, charges, holds, the times of records. `date()` is what the
machine's clock shows, for what is agreed on as a date: reservations, schedules, retention. The two differ by
`lead`, which is 0 unless the clock was set back. Held polls and other transport matters use the event loop's
own time. docs/decisions/0019 has the reasons.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

LOOK_EVERY = 1.0
"""Seconds between two looks at the machine's clock: a step of it is noticed this late at the most."""
STEP = 1.0
"""Seconds. A clock that is off by less is followed slowly; by more, it was set."""
FASTEST = 5e-4
"""The service's time runs faster or slower by this part at most when it follows a clock, as in adjtime(3)."""
CATCH_UP = 600.0
"""Seconds in which a small difference is made up for, if that is not too fast."""
_GLANCE = 0.01
"""Seconds. Two clocks whose reading took longer were not read at the same time."""


class Handle(Protocol):
    def cancel(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Step:
    """The machine's clock was set by `by` seconds. The service's time has `jumped` forward by a part of it
    and leads the clock by `lead` from now on; nothing has lasted longer or shorter for it."""

    by: float
    jumped: float
    lead: float


OnStep = Callable[[Step], None]


class Clock(Protocol):
    @property
    def lead(self) -> float:
        """Seconds by which the service's time is before the machine's clock; 0 or more."""
        ...

    def begin(self, newest: float) -> None:
        """The service starts, and its time is not before `newest`, which is the newest time on record."""
        ...

    def now(self) -> float:
        """The service's time, like seconds since the epoch; never less than before."""
        ...

    def date(self) -> float:
        """What the machine's clock shows, in seconds since the epoch."""
        ...

    def instant(self, date: float) -> float:
        """The service's time at which the machine's clock shows `date`, if nobody sets it."""
        ...

    def monotonic(self) -> float:
        """Seconds since some moment; no step of a clock is in it, and no time in which the machine slept."""
        ...

    def call_at(self, when: float, callback: Callable[[], None]) -> Handle:
        """Call back at `when` or somewhat earlier; who is called looks at the time again."""
        ...

    def watch(self, on_step: OnStep) -> Handle:
        """Call back in the very moment in which the time jumps or its lead changes."""
        ...


def followed(by: float, lead: float) -> Step:
    """What a step of the machine's clock by `by` means: set back, the service's time leads it; set forward,
    it makes up for the lead first, and the rest is a jump."""
    lead -= by
    return Step(by, max(0.0, -lead), max(0.0, lead))


class SystemClock:
    """On the running event loop. `wall` reads the machine's clock, `monotonic` the one that nobody sets.

    That is CLOCK_MONOTONIC, as the loop's: it stands still while the machine sleeps, and so do the jobs.
    """

    def __init__(
        self, wall: Callable[[], float] = time.time, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._wall = wall
        self.monotonic = monotonic
        self._base, self._since, self._rate = wall(), monotonic(), 1.0
        self._lead = 0.0

    @property
    def lead(self) -> float:
        return self._lead

    def begin(self, newest: float) -> None:
        wall = self._wall()
        self._base, self._since, self._rate = max(wall, newest), self.monotonic(), 1.0
        self._lead = float(round(self._base - wall))

    def now(self) -> float:
        return self._base + (self.monotonic() - self._since) * self._rate

    def date(self) -> float:
        return self.now() - self._lead

    def instant(self, date: float) -> float:
        return date + self._lead

    def call_at(self, when: float, callback: Callable[[], None]) -> Handle:
        return asyncio.get_running_loop().call_later(max(0.0, when - self.now()), callback)

    def watch(self, on_step: OnStep) -> Handle:
        return _Watch(self, on_step)

    def look(self) -> Step | None:
        """Compare with the machine's clock: follow it, slowly or at once.

        Steps are whole seconds: with those, times since 2004 and until 2038 are added without rounding, so
        that what is restated in the new time has the length to the last bit that it had before.
        """
        begun = self.monotonic()
        wall = self._wall()
        here = self.monotonic()
        if here - begun > _GLANCE:  # we were put aside meanwhile
            return None
        now = self._base + (here - self._since) * self._rate
        off = wall + self._lead - now
        step = followed(float(round(off)), self._lead) if abs(off) >= STEP else None
        if step is not None:
            self._lead = step.lead
            off -= step.by
            now += step.jumped
        rate = 1.0 + max(-FASTEST, min(FASTEST, off / CATCH_UP))
        self._base, self._since, self._rate = now, here, rate
        return step


class _Watch:
    def __init__(self, clock: SystemClock, on_step: OnStep) -> None:
        self._clock = clock
        self._on_step = on_step
        self._timer = asyncio.get_running_loop().call_later(LOOK_EVERY, self._look)

    def _look(self) -> None:
        self._timer = asyncio.get_running_loop().call_later(LOOK_EVERY, self._look)
        if (step := self._clock.look()) is not None:
            self._on_step(step)

    def cancel(self) -> None:
        self._timer.cancel()


class VirtualClock:
    """Time stands still until it is moved; callbacks run as it passes them, in order."""

    def __init__(self, start: float = 1_750_000_000.0) -> None:
        self._now = start
        self._jumped = 0.0
        self._lead = 0.0
        self._heap: list[tuple[float, int, _Entry]] = []
        self._count = itertools.count()
        self._watching: list[_Entry] = []

    @property
    def lead(self) -> float:
        return self._lead

    def begin(self, newest: float) -> None:
        """A `step` between two lives of a service has its effect here."""
        wall = self.date()
        self._now = max(wall, newest)
        self._lead = self._now - wall

    def now(self) -> float:
        return self._now

    def date(self) -> float:
        return self._now - self._lead

    def instant(self, date: float) -> float:
        return date + self._lead

    def monotonic(self) -> float:
        return self._now - self._jumped

    def call_at(self, when: float, callback: Callable[[], None]) -> Handle:
        entry = _Entry(callback)
        heapq.heappush(self._heap, (max(when, self._now) - self._jumped, next(self._count), entry))
        return entry

    def watch(self, on_step: OnStep) -> Handle:
        entry = _Entry(lambda: None)
        entry.on_step = on_step
        self._watching.append(entry)
        return entry

    def advance(self, seconds: float) -> None:
        """Let `seconds` pass."""
        until = self._now + seconds - self._jumped
        while self._heap and self._heap[0][0] <= until:
            at, _, entry = heapq.heappop(self._heap)
            self._now = max(self._now, at + self._jumped)
            if entry.callback is not None:
                entry.callback()
        self._now = until + self._jumped

    def step(self, by: float) -> None:
        """Somebody sets the machine's clock."""
        step = followed(by, self._lead)
        self._now += step.jumped
        self._jumped += step.jumped
        self._lead = step.lead
        for entry in self._watching:
            if entry.callback is not None and entry.on_step is not None:
                entry.on_step(step)


class _Entry:
    def __init__(self, callback: Callable[[], None]) -> None:
        self.callback: Callable[[], None] | None = callback
        self.on_step: OnStep | None = None

    def cancel(self) -> None:
        self.callback = None
