"""Holds the state of a lane: its jobs and sessions, their deadlines, and the effects of the present event.

Every change of a job's or session's `state` is made here. No policy is decided here.
"""

from __future__ import annotations

from collections import deque
from copy import copy

from sojourn.core.effects import Charge, ChargeKind, Effect, JobChanged, SessionChanged
from sojourn.core.model import Job, JobState, Session, SessionState
from sojourn.core.timers import Timer, Timers
from sojourn.core.transitions import JOB, SESSION, IllegalTransition

STORY_LENGTH = 32
_CLOCK_SET = "clock set"
_TIMES_OF_JOB = ("started_at", "cache_expires_at")
_TIMES_OF_SESSION = (
    "started_at",
    "activated_at",
    "ends_at",
    "ttl_at",
    "unused_at",
    "hold_since",
    "running_since",
    "cache_expires_at",
    "last_job_started",
    "last_job_completed",
)
"""The times from which and up to which something lasts. `created_at` is only shown, as are
the times of a job before it runs."""


class LaneState:
    """Live jobs and sessions of one lane. Final jobs and closed sessions leave it."""

    def __init__(self) -> None:
        self.jobs: dict[str, Job] = {}
        self.sessions: dict[str, Session] = {}
        self.timers = Timers()
        self.effects: list[Effect] = []
        self._members: dict[str, set[str]] = {}
        self._touched: dict[str, str] = {}
        self._stories: dict[str, deque[str]] = {}

    # jobs

    def add_job(self, job: Job, now: float, cause: str) -> None:
        self.restore_job(job)
        self._tell(job.id, f"{now:.3f} {cause}: {job.state}")
        self.effects.append(JobChanged(copy(job), None, now, cause))

    def restore_job(self, job: Job) -> None:
        self.jobs[job.id] = job
        if job.session_id and not job.detached:
            self._members.setdefault(job.session_id, set()).add(job.id)

    def move_job(self, job: Job, to: JobState, now: float, cause: str) -> None:
        before = job.state
        if to not in JOB[before]:
            raise IllegalTransition(f"job {job.id}", before, to, self._stories.get(job.id, ()))
        job.state = to
        self._tell(job.id, f"{now:.3f} {cause}: {before} -> {to}")
        if to.final:
            job.ended_at = now
            self._forget_member(job)
            del self.jobs[job.id]
            del self._stories[job.id]
        self.effects.append(JobChanged(copy(job), before, now, cause))

    def detach_job(self, job: Job, now: float, cause: str, cache_expires_at: float | None) -> None:
        """R34: from now on a plain job; it keeps the session's id for the record."""
        self._forget_member(job)
        job.detached = True
        job.cache_expires_at = cache_expires_at
        self.effects.append(JobChanged(copy(job), job.state, now, cause))

    def members(self, session_id: str) -> list[Job]:
        """The session's live jobs in order of acceptance."""
        ids = self._members.get(session_id, ())
        return sorted((self.jobs[i] for i in ids), key=lambda job: job.seq)

    def count_members(self, session_id: str) -> int:
        return len(self._members.get(session_id, ()))

    def has_members(self, session_id: str) -> bool:
        return self.count_members(session_id) > 0

    def _forget_member(self, job: Job) -> None:
        if job.session_id and not job.detached:
            members = self._members[job.session_id]
            members.discard(job.id)
            if not members:
                del self._members[job.session_id]

    # sessions

    def add_session(self, session: Session, now: float, cause: str) -> None:
        self.sessions[session.id] = session
        self._tell(session.id, f"{now:.3f} {cause}: {session.state}")
        self.effects.append(SessionChanged(copy(session), None, now, cause))

    def move_session(self, session: Session, to: SessionState, now: float, cause: str) -> None:
        before = session.state
        if to not in SESSION[before]:
            raise IllegalTransition(f"session {session.id}", before, to, self._stories.get(session.id, ()))
        session.state = to
        self._tell(session.id, f"{now:.3f} {cause}: {before} -> {to}")
        if to is SessionState.CLOSED:
            del self.sessions[session.id]
            del self._stories[session.id]
            self._touched.pop(session.id, None)
        self.effects.append(SessionChanged(copy(session), before, now, cause))

    def touch(self, session: Session, cause: str) -> None:
        """Some field has changed: the session is written once at the end of the event."""
        self._touched[session.id] = cause

    # deadlines of a session: the field holds, the heap only says when to look at it

    def set_ttl(self, session: Session, at: float | None) -> None:
        session.ttl_at = at
        self._schedule(at, Timer.TTL, session.id)

    def set_end(self, session: Session, at: float | None) -> None:
        session.ends_at = at
        self._schedule(at, Timer.MAX_TIME, session.id)

    def set_unused(self, session: Session, at: float | None) -> None:
        session.unused_at = at
        self._schedule(at, Timer.UNUSED, session.id)

    def jump(self, seconds: float, now: float) -> None:
        """Time has gone forward by so much without having passed: what runs is restated in the new time."""
        for session in self.sessions.values():
            if session.state is SessionState.PENDING_CLOSED:  # its end has passed, at the time of then
                continue
            _add(seconds, session, _TIMES_OF_SESSION)
            self.schedule_all(session)
            self.touch(session, _CLOCK_SET)
        for job in self.jobs.values():
            moved = _add(seconds, job, _TIMES_OF_JOB)
            # these are over: they stay where they were, and are as old as the time that has passed
            job.crashed = tuple((start, end, jumped + seconds) for start, end, jumped in job.crashed)
            if moved or job.crashed:
                self.effects.append(JobChanged(copy(job), job.state, now, _CLOCK_SET))

    def schedule_all(self, session: Session) -> None:
        for timer, at in _deadlines(session).items():
            self._schedule(at, timer, session.id)

    def _schedule(self, at: float | None, timer: Timer, entity: str) -> None:
        if at is not None:
            self.timers.push(at, timer, entity)

    def due(self, session: Session, timer: Timer) -> float | None:
        """When the session's timer fires; None while it is not set."""
        return _deadlines(session)[timer]

    # ledger

    def charge(
        self,
        kind: ChargeKind,
        user: str,
        project: str,
        start: float,
        end: float,
        *,
        job_id: str | None = None,
        session_id: str | None = None,
    ) -> Charge | None:
        """A ledger row; none when no time has passed."""
        if end <= start:
            return None
        row = Charge(kind, user, project, start, end, job_id, session_id)
        self.effects.append(row)
        return row

    # the end of an event

    def take(self, now: float) -> list[Effect]:
        """All effects since the last call, ending with one for every session that was touched."""
        for session_id, cause in self._touched.items():
            session = self.sessions[session_id]
            self.effects.append(SessionChanged(copy(session), session.state, now, cause))
        self._touched.clear()
        taken, self.effects = self.effects, []
        return taken

    def _tell(self, entity: str, line: str) -> None:
        self._stories.setdefault(entity, deque(maxlen=STORY_LENGTH)).append(line)


def _add(seconds: float, to: Job | Session, names: tuple[str, ...]) -> bool:
    """Whether one of the fields had a value."""
    found = False
    for name in names:
        if (at := getattr(to, name)) is not None:
            setattr(to, name, at + seconds)
            found = True
    return found


def _deadlines(session: Session) -> dict[Timer, float | None]:
    return {Timer.TTL: session.ttl_at, Timer.MAX_TIME: session.ends_at, Timer.UNUSED: session.unused_at}
