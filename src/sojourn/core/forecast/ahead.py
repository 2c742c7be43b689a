"""One run forward: a lane of its own, with the same policy, in which the next hours happen in virtual time.

What is not known is drawn: how long each job runs, whether and when a session that has the device goes on,
closes, or lets its ttl pass. The lane decides all the rest, as the live one does.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from copy import copy
from dataclasses import dataclass, field, fields
from enum import StrEnum
from heapq import heappop, heappush
from math import inf
from operator import attrgetter
from random import Random

from sojourn.core import events as ev
from sojourn.core.calendar import ReservationMode
from sojourn.core.effects import Effect, JobChanged, Start, Stop
from sojourn.core.forecast.durations import Length
from sojourn.core.forecast.learned import Learned
from sojourn.core.forecast.snapshot import Snapshot, Used
from sojourn.core.lane import Lane
from sojourn.core.model import Job, JobKind, JobState, Session

HORIZON = 14 * 86400.0
"""Seconds that a run looks ahead at most."""
EVENTS = 192
"""Events of a run at most: where sessions have many jobs it may be left before `depth` jobs have started."""
SINGLY = 3
"""Further jobs of a session that are run one by one; then two as one, four as one, and so on."""
FEW = 8
"""Lengths that are drawn at most for jobs that are run as one."""
LONGER = 0.5
"""A run that has outlasted all that were seen is believed to last this part longer on average."""

_SYSTEM_PROGRAM = "calibrate"


class Doing(StrEnum):
    """What passes while a job waits."""

    JOBS = "jobs"
    SYSTEM = "system jobs"
    HOLD = "session holds"
    RESERVED = "reservations"
    OTHER = "other"


@dataclass(frozen=True, slots=True)
class Begun:
    """A job starts at `at` and ends at `end`; `waits` are the seconds of each `Doing` until its start."""

    at: float
    end: float
    waits: tuple[float, ...]


@dataclass(slots=True)
class Course:
    """What one run has found. Where it was left, at `until`, jobs of `served` expected seconds had been
    served, in `real` times as many. `ended`: nothing more can happen. `lost` have ended unstarted."""

    begun: dict[str, Begun] = field(default_factory=dict)
    lost: set[str] = field(default_factory=set)
    until: float = 0.0
    served: float = 0.0
    real: float = 1.0
    ended: bool = False
    waits: tuple[float, ...] = ()
    free_at: float | None = None  # when the job ends that runs now


@dataclass(slots=True)
class _Stay:
    """What a session still does: so many `further` jobs; `together` are run as one."""

    further: int
    jobs: int = 0
    together: int = 1


class Ahead:
    """One run over the jobs `near`, which are looked at only; it ends when `depth` of them have started."""

    def __init__(
        self,
        snapshot: Snapshot,
        near: Sequence[Job],
        used: Iterable[Used],
        learned: Learned,
        random: Random,
        depth: int,
    ) -> None:
        self._snapshot = snapshot
        self._learned = learned
        self._random = random
        self._depth = depth
        self._now = snapshot.now
        self._lane = Lane(snapshot.device, snapshot.profile, snapshot.shares)
        self._events: list[tuple[float, int, tuple[ev.Event, ...]]] = []
        self._count = 0
        self._seq = max((job.seq for job in near), default=0) + 1_000_000
        self._sought = {job.id for job in near}
        self._lengths: dict[str, float] = {}  # of those that are not drawn when they start
        self._luck: dict[str, float] = {}
        self._stays: dict[str, _Stay] = {}
        self._last: dict[str, Job] = {}  # of a session
        self._spent = dict.fromkeys(Doing, 0.0)
        self._meant, self._drawn, self._begin = 0.0, 0.0, 0.0
        self._course = Course()
        jobs = [_queued(job, snapshot.now) for job in near]
        if snapshot.running is not None:
            jobs.append(copy(snapshot.running))
        self._lane.restore(
            jobs,
            [copy(session) for session in snapshot.sessions],
            [copy(reservation) for reservation in snapshot.reservations],
            snapshot.status,
            snapshot.lead,
            [(user, project, seconds, snapshot.now) for project, user, seconds in used],
        )

    def run(self) -> Course:
        lane, course = self._lane, self._course
        self._begin_with_what_runs()
        for at in self._snapshot.calibrations:
            self._later(at, *self._calibration())
        self._do(ev.DeviceReady())
        left = EVENTS
        while self._sought and len(course.begun) < self._depth and left > 0:
            left -= 1
            deadline = lane.next_deadline()
            tick = inf if deadline is None else max(deadline, self._now)
            event = self._events[0][0] if self._events else inf
            at = min(tick, event)
            if at > self._snapshot.now + HORIZON:
                course.ended = True
                break
            self._pass(at)
            if tick <= event:
                self._do(ev.Tick())
            else:
                for each in heappop(self._events)[2]:
                    self._do(each)
        course.until = self._now
        course.waits = tuple(self._spent.values())
        course.served = self._begin
        course.real = self._drawn / self._meant if self._meant else 1.0
        return course

    # time

    def _later(self, at: float, *events: ev.Event) -> None:
        self._count += 1
        heappush(self._events, (max(at, self._now), self._count, events))

    def _pass(self, at: float) -> None:
        if at > self._now:
            self._spent[self._doing()] += at - self._now
            self._now = at

    def _doing(self) -> Doing:
        lane = self._lane
        if lane.run is not None:
            job = lane.jobs.get(lane.run.job_id)
            return Doing.SYSTEM if job is not None and job.kind is JobKind.SYSTEM else Doing.JOBS
        if lane.active is not None:
            return Doing.HOLD
        reservation = lane.calendar.open_at(self._now)
        if reservation is not None and reservation.mode is ReservationMode.DEDICATED:
            return Doing.RESERVED
        return Doing.OTHER

    # what the lane does

    def _do(self, event: ev.Event) -> None:
        run = self._lane.run
        effects = self._lane.handle(event, self._now)
        for effect in effects:
            self._see(effect)
        if isinstance(event, ev.RunEnded) and run is not None and run.session_id is not None:
            self._go_on(run.session_id)

    def _see(self, effect: Effect) -> None:
        match effect:
            case Start(job_id, attempt):
                self._start(self._lane.jobs[job_id], attempt)
            case Stop(job_id, attempt):
                self._later(self._now, ev.RunEnded(job_id, attempt, ev.Outcome.STOPPED))
            case JobChanged(job=job) if job.state.final and job.id in self._sought:
                self._sought.discard(job.id)
                self._course.lost.add(job.id)

    def _start(self, job: Job, attempt: int) -> None:
        length = self._lengths.pop(job.id, None)
        sought = job.id in self._sought
        if length is None:
            meant = self._length(job)
            length = self._draw(job, meant)
            if sought:
                self._begin = self._meant
                self._meant += min(meant.mean, job.limit)
                self._drawn += length
        end = self._now + length
        self._later(end, ev.RunEnded(job.id, attempt, ev.Outcome.COMPLETED))
        if job.session_id is not None:
            self._last[job.session_id] = job
        if sought:
            self._sought.discard(job.id)
            self._course.begun[job.id] = Begun(self._now, end, tuple(self._spent.values()))

    def _begin_with_what_runs(self) -> None:
        """The rest of the run that is under way, and of the hold of a session that is idle."""
        running, now = self._snapshot.running, self._now
        if running is not None:
            self._end_running(running)
        session = self._lane.sessions.get(self._snapshot.active or "")
        if session is not None:
            last = session.last_job_completed
            self._go_on(session.id, idle=now - last if last is not None else 0.0)

    def _end_running(self, running: Job) -> None:
        now = self._now
        elapsed = max(0.0, now - (running.started_at if running.started_at is not None else now))
        possible = self._length(running).beyond(elapsed)
        if possible:
            total = self._random.choice(possible)
        else:
            total = elapsed * (1.0 + 2.0 * LONGER * self._random.random())
        end = max(now, now - elapsed + min(total, running.limit))
        self._course.free_at = end
        if running.session_id is not None:
            self._last[running.session_id] = running
        self._later(end, ev.RunEnded(running.id, running.attempt, ev.Outcome.COMPLETED))

    def _length(self, job: Job) -> Length:
        return self._learned.durations.length(job.user, job.program, job.estimate)

    def _draw(self, job: Job, length: Length) -> float:
        """Of a user of whom nothing is known yet, all jobs of a run are off in the same way."""
        if length.own or job.kind is JobKind.SYSTEM:
            share = self._random.random()
        else:
            share = self._luck.setdefault(job.user, self._random.random())
        return min(length.at(share), job.limit)

    def _calibration(self) -> tuple[ev.Event, ev.Event]:
        self._seq += 1
        name = f"calibration {self._seq}"
        accepted = ev.JobAccepted(name, self._seq, "", "", _SYSTEM_PROGRAM, kind=JobKind.SYSTEM)
        return accepted, ev.JobPrepared(name)

    # what sessions do

    def _go_on(self, session_id: str, idle: float = 0.0) -> None:
        """A session that takes jobs has none left: the next one comes, or its end."""
        session = self._lane.sessions.get(session_id)
        if session is None or not session.accepting or self._lane.state.has_members(session_id):
            return
        habits, random, mode = self._learned.habits, self._random, session.mode.value
        ended = self._now - idle
        stay = self._stays.get(session_id)
        pause: float | None
        if stay is None:
            stay = self._stays[session_id] = _Stay(habits.further(mode, session.user, random))
            pause = habits.goes_on(mode, session.user, idle, random)
        else:
            pause = habits.pause(mode, session.user, random) if stay.further > 0 else None
            stay.further -= 1 if pause is not None else 0
        if pause is not None:
            self._submit(session, stay, ended + pause, pause)
            return
        closes = habits.closes(mode, session.user, idle, random)
        if closes is not None:
            self._later(ended + closes, ev.SessionDrained(session_id))

    def _submit(self, session: Session, stay: _Stay, at: float, pause: float) -> None:
        """The next job of a session, or several with their pauses as one, which may run as long."""
        self._seq += 1
        last, name, random = self._last.get(session.id), f"{session.id} {self._seq}", self._random
        program, estimate = (last.program, last.estimate) if last is not None else ("sampler", None)
        stay.jobs += 1
        more = 0
        if stay.jobs > SINGLY:
            stay.together *= 2
            more = min(stay.further, stay.together - 1)
            stay.further -= more
        length = self._learned.durations.length(session.user, program, estimate)
        drawn = [length.at(random.random()) for _ in range(min(more + 1, FEW))]
        total = (more + 1) * sum(drawn) / len(drawn) + more * pause
        own = None
        if last is not None:
            own = min(max(last.limit, total), session.max_time or inf, self._snapshot.profile.job_cap)
        self._lengths[name] = min(total, self._snapshot.profile.run_limit(program, own))
        accepted = ev.JobAccepted(name, self._seq, session.user, session.project, program, session.id, own)
        self._later(at, accepted, ev.JobPrepared(name, estimate))


_FIELDS = attrgetter(*(each.name for each in fields(Job)))


def _queued(job: Job, now: float) -> Job:
    """The job as it waits; in the lane of which it is, it may have started meanwhile."""
    made = Job(*_FIELDS(job))  # four times as fast as copy()
    made.state = JobState.QUEUED
    made.queued_at = made.queued_at if made.queued_at is not None else now
    made.started_at = made.ended_at = None
    return made
