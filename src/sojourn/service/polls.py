"""Held polls: when a status request is answered, so that a waiting program costs few requests and no delay.

The client asks again every 100 ms or 500 ms. A request without news is held and answered the moment that
there is some (architecture.md, "Held polls"). A waiter is an entry in a table, not a thread.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable

from sojourn.core.model import JobState
from sojourn.service.records import JobRecord, Told

FIRST_HOLD = 1.0
"""Seconds from the first poll on in which a running or next job's poll waits for the end."""
LOOP_GAP = (0.08, 0.7)
"""Seconds between an answer and the next question of a waiting loop. A program that asks for several facts of
one job in a row comes back sooner, and is not waiting."""
FACTS_IN_A_ROW = 4
"""So many questions without a pause are answered at once; who asks on is waiting without a pause."""


def wire_state(record: JobRecord) -> str:
    """What the client can tell apart: accepted and queued are one (R51)."""
    state = record.job.state
    return JobState.QUEUED.value if state is JobState.ACCEPTED else state.value


class Polls:
    """Decides and does the waiting. `hold` is the longest wait in seconds, 0 for never."""

    def __init__(self, hold: float) -> None:
        self._hold = hold
        self._waiters: set[asyncio.Future[None]] = set()
        self._windows: dict[str, tuple[float, float]] = {}

    def release(self) -> None:
        """Answer everybody who is held, and hold nobody any more: the service stops."""
        self._hold = 0.0
        for waiter in self._waiters:
            _give_up(waiter)

    def submitted(self, record: JobRecord, caller: str) -> None:
        """The answer to the submit counts as having been told that the job is queued."""
        now = asyncio.get_running_loop().time()
        record.told[caller] = Told(JobState.QUEUED.value, submitted=now)

    async def news(self, record: JobRecord, caller: str, is_next: Callable[[], bool]) -> None:
        """Return when `caller`, who asks about the job now, should be answered."""
        loop = asyncio.get_running_loop()
        now = loop.time()
        told = record.told.get(caller)
        if told is None:
            told = record.told[caller] = Told("", first_poll=now, submitted=now)
        elif self._hold > 0 and not record.job.state.final:
            if told.first_poll is None:
                told.first_poll = now
            soon = record.job.state is JobState.RUNNING or is_next()
            quick_until = self._quick_until(told, caller) if soon else 0.0
            if now < quick_until:
                await self._wait(record, quick_until, lambda: record.job.state.final)
            elif (
                wire_state(record) == told.state
                and told.answered is not None
                and self._loops(told, now - told.answered)
            ):
                known = told.state
                await self._wait(record, now + self._hold, lambda: wire_state(record) != known)
        told.state = wire_state(record)
        told.answered = loop.time()

    def _quick_until(self, told: Told, caller: str) -> float:
        """Until when a running or next job's poll waits: `FIRST_HOLD` from the first poll on.

        All jobs that the caller had submitted by then share that one second. Without this a program that
        looks at a hundred short jobs in their order would meet each of them as the running one, and wait for
        all of them.
        """
        assert told.first_poll is not None
        opened, until = self._windows.get(caller, (-math.inf, -math.inf))
        if told.submitted > opened:
            opened, until = told.first_poll, told.first_poll + min(FIRST_HOLD, self._hold)
            self._windows[caller] = (opened, until)
        return min(until, told.first_poll + min(FIRST_HOLD, self._hold))

    def _loops(self, told: Told, gap: float) -> bool:
        """Whether the caller waits in a loop, by the time since its last answer."""
        shortest, longest = LOOP_GAP
        if gap < shortest:  # several facts in a row, or a loop without a pause
            told.in_a_row += 1
            return told.in_a_row > FACTS_IN_A_ROW
        told.in_a_row = 0
        return gap < longest  # later it looks now and then

    async def _wait(self, record: JobRecord, until: float, done: Callable[[], bool]) -> None:
        loop = asyncio.get_running_loop()
        while not done() and loop.time() < until and self._hold > 0:
            waiter: asyncio.Future[None] = loop.create_future()
            record.waiters.add(waiter)
            self._waiters.add(waiter)
            timer = loop.call_at(until, _give_up, waiter)
            try:
                await waiter
            finally:
                timer.cancel()
                record.waiters.discard(waiter)
                self._waiters.discard(waiter)


def _give_up(waiter: asyncio.Future[None]) -> None:
    if not waiter.done():
        waiter.set_result(None)
