"""What is known of a device's past, and how its rows are taken in."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field

from sojourn.core.forecast.corrections import Corrections
from sojourn.core.forecast.durations import Durations
from sojourn.core.forecast.habits import Habits, Next

SESSIONS = 1024
"""Sessions of which the end of the last job is remembered."""


@dataclass(frozen=True, slots=True)
class Ran:
    """A job that has had the device from `started` to `ended`. `mode` is that of its session."""

    job_id: str
    user: str
    program: str
    estimate: float | None
    accepted: float
    started: float
    ended: float
    session_id: str | None = None
    mode: str | None = None


@dataclass(frozen=True, slots=True)
class Left:
    """A session that has given the device up at `at`: its owner closed it, or its ttl was over."""

    session_id: str
    user: str
    mode: str
    at: float
    last_job_ended: float
    closed: bool


@dataclass(slots=True)
class Learned:
    """Of one device. Rows are given in the order in which they were written."""

    durations: Durations = field(default_factory=Durations)
    habits: Habits = field(default_factory=Habits)
    corrections: Corrections = field(default_factory=Corrections)
    _ended: OrderedDict[str, float] = field(default_factory=OrderedDict)

    def ran(self, run: Ran) -> None:
        self.durations.note(run.user, run.program, run.estimate, max(0.0, run.ended - run.started))
        self.corrections.came(run.job_id, run.started)
        if run.session_id is None or run.mode is None:
            return
        before = self._ended.get(run.session_id)
        if before is not None and run.accepted >= before:  # else it waited for the one before it
            self.habits.note(run.mode, run.user, Next.JOB, run.accepted - before)
        self._ended[run.session_id] = run.ended
        self._ended.move_to_end(run.session_id)
        while len(self._ended) > SESSIONS:
            self._ended.popitem(last=False)

    def left(self, session: Left) -> None:
        what, after = Next.LAPSE, float("inf")
        if session.closed:
            what, after = Next.CLOSE, max(0.0, session.at - session.last_job_ended)
        self.habits.note(session.mode, session.user, what, after)
