"""Held polls: when a status request is answered, so that a waiting program costs few requests and no delay.

A request that finds something new is answered at once, and one that is held is answered the moment that there
is something new. How long it is held at most follows from the caller's own pauses, from an answer to the next
question about the same job (docs/decisions/0013):

=====================================================  ====================================================
the request                                            is answered, at the latest, after
=====================================================  ====================================================
first after the submit, the job runs or is next        FIRST_HOLD; LONG_FIRST_HOLD if the caller's last job
                                                       took about that long. One such time for all jobs that
                                                       were submitted before it began. News is the end alone
first in any other case                                0
no pause (< IN_A_ROW): several facts of one job        0; from the fifth question on SPIN_HOLD
the client's own pause (SHORT_PAUSE, and outside of    a quarter of the time waited so far, but at least
sessions LONG_PAUSE), after a single question          SHORTEST and at most so that it looks every second
another pause (< LOOP): the program's own loop         0
a longer pause                                         0
many loops (more than BUSY a second in all)            the time that keeps them to BUSY requests a second
=====================================================  ====================================================

The last line holds for every loop, and none of them exceeds the policy's `poll_hold`. So a time-out ends late
by a pause and a quarter of its length, or a second, and a progress loop is not slowed. A waiter is an entry
in a table, not a thread.
"""

from __future__ import annotations

import asyncio
import math
from collections import OrderedDict
from collections.abc import Callable

from sojourn.core.model import JobState
from sojourn.service.lanes.records import JobRecord, PollState

FIRST_HOLD = 0.5
"""Seconds. The client's own pause outside of sessions, so that no time-out of its ends later for it."""
LONG_FIRST_HOLD = 1.0
_LONG_JOB = (0.3, 1.0)
"""Seconds from accepted to the end of jobs whose end is answered at once with the longer hold."""
IN_A_ROW = 0.08
FACTS_IN_A_ROW = 4
SPIN_HOLD = 0.2
"""Who asks on without a pause is a loop without one; five looks a second are enough for it."""
SHORT_PAUSE = (0.08, 0.16)
LONG_PAUSE = (0.45, 0.7)
"""The client sleeps 0.1 s in sessions, an older one always, and else 0.5 s. To that come its own work and the
way there and back."""
LOOP = 0.7
SHORTEST = 0.1
"""Seconds that nobody minds, and that halve the questions in a session."""
LOOK_EVERY = 1.0
BUSY = 400
"""Requests per second of all loops together, from which on all are held."""


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
        self._took: dict[str, float] = {}  # caller -> how long the last job took that was seen at its end
        self._loops: OrderedDict[PollState, float] = OrderedDict()  # who asks in a loop -> the last question

    def release(self) -> None:
        """Answer everybody who is held, and hold nobody any more: the service stops."""
        self._hold = 0.0
        for waiter in self._waiters:
            _give_up(waiter)

    def submitted(self, record: JobRecord, caller: str) -> None:
        """The answer to the submit counts as the answer that the job is queued."""
        now = asyncio.get_running_loop().time()
        record.polls[caller] = PollState(JobState.QUEUED.value, submitted=now)

    def asked_aside(self, record: JobRecord, caller: str) -> None:
        """The caller asks for something else about the job, which the client does not do while it waits."""
        if (poll := record.polls.get(caller)) is not None:
            poll.aside = True

    async def news(self, record: JobRecord, caller: str, is_next: Callable[[], bool]) -> None:
        """Return when `caller`, who asks about the job now, should be answered."""
        loop = asyncio.get_running_loop()
        now = loop.time()
        poll = record.polls.get(caller)
        if poll is None:
            poll = record.polls[caller] = PollState("", first_poll=now, submitted=now)
        elif self._hold > 0 and not record.job.state.final:
            if poll.first_poll is None:
                poll.first_poll = now
            hold = self._bearable(poll, now, in_session=record.job.session_id is not None)
            soon = record.job.state is JobState.RUNNING or is_next()
            first_until = self._first_until(poll, caller) if soon else 0.0
            known = poll.state
            if now < first_until:
                await self._wait(record, first_until, lambda: record.job.state.final)
            elif hold > 0 and wire_state(record) == known:
                await self._wait(record, now + hold, lambda: wire_state(record) != known)
        if record.job.state.final and record.job.ended_at is not None:
            self._took[caller] = record.job.ended_at - record.job.accepted_at
        poll.state = wire_state(record)
        poll.answered = loop.time()
        poll.aside = False

    def _first_until(self, poll: PollState, caller: str) -> float:
        """Until when a running or next job's poll waits for the end.

        All jobs that the caller had submitted when this time began share it. Without this a program that
        looks at a hundred short jobs in their order would meet each of them as the running one, and wait for
        all of them.
        """
        assert poll.first_poll is not None
        shortest, longest = _LONG_JOB
        long = shortest < self._took.get(caller, 0.0) <= longest
        hold = min(LONG_FIRST_HOLD if long else FIRST_HOLD, self._hold)
        opened, until = self._windows.get(caller, (-math.inf, -math.inf))
        if poll.submitted > opened:
            opened, until = poll.first_poll, poll.first_poll + hold
            self._windows[caller] = (opened, until)
        return min(until, poll.first_poll + hold)

    def _bearable(self, poll: PollState, now: float, *, in_session: bool) -> float:
        """Seconds for which this question may wait by the caller's pauses; notes the pause."""
        if poll.answered is None:
            return 0.0
        gap = now - poll.answered
        single = poll.pause != "none" and not poll.aside
        kind = _kind(gap, in_session=in_session, single=single)
        if kind != poll.pause:
            poll.pause, poll.since, poll.in_a_row = kind, poll.answered, 0
        poll.in_a_row += 1
        if kind == "later" or (kind == "none" and poll.in_a_row <= FACTS_IN_A_ROW):
            return 0.0
        hold = self._loops_with(poll, now) / BUSY - gap
        if kind == "none":
            hold = max(hold, SPIN_HOLD)
        elif kind == "client's":
            hold = max(hold, SHORTEST, min((now - poll.since) / 4, LOOK_EVERY - gap))
        return min(hold, self._hold)

    def _loops_with(self, poll: PollState, now: float) -> int:
        """How many loops there are, this one counted: each asks again within the longest hold and pause."""
        self._loops[poll] = now
        self._loops.move_to_end(poll)
        while now - next(iter(self._loops.values())) > self._hold + LOOP:
            self._loops.popitem(last=False)
        return len(self._loops)

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


def _kind(gap: float, *, in_session: bool, single: bool) -> str:
    """What a pause of `gap` seconds is: "none", "client's", "program's" or "later".

    `single`: one question came before it. A program that asks for the state twice, or for more than the
    state, and then sleeps shows progress; the client's own loop does neither.
    """
    if gap < IN_A_ROW:
        return "none"
    if gap >= LOOP:
        return "later"
    for shortest, longest in (SHORT_PAUSE,) if in_session else (SHORT_PAUSE, LONG_PAUSE):
        if shortest <= gap < longest and single:
            return "client's"
    return "program's"


def _give_up(waiter: asyncio.Future[None]) -> None:
    if not waiter.done():
        waiter.set_result(None)
