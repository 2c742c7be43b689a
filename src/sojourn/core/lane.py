"""One device: `Lane.handle(event, now)` returns the effects. All policy decisions are taken in here.

Pure and single-threaded. Sessions' own steps are in `sessions.py`; this module dispatches events, runs the
device and selects (R1-R15, R51-R55).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from sojourn.core import codes
from sojourn.core import events as ev
from sojourn.core.book import Book, Due
from sojourn.core.effects import ChargeKind, Effect, Rejected, Start, Stop
from sojourn.core.model import Job, JobKind, JobState, Session, SessionState
from sojourn.core.profile import SESSION_PROGRAMS, Profile
from sojourn.core.queues import Queues
from sojourn.core.sessions import Sessions
from sojourn.core.words import at_time, seconds


@dataclass(slots=True)
class Run:
    """What occupies the device. Its job may be final already: then the run only has to be cleared away."""

    job_id: str
    attempt: int
    limit_at: float | None


class _NotAdmissible(Exception):
    def __init__(self, code: int, message: str) -> None:
        self.effect = Rejected(code, message)


class Lane:
    """The queue and the sessions of one device.

    Feed it every event with the time at which it happened; commit its facts, then perform its acts. `now`
    never goes backwards: an earlier time counts as the latest one.
    """

    def __init__(self, device: str, profile: Profile) -> None:
        self.device = device
        self.profile = profile
        self.now = 0.0
        self.run: Run | None = None
        self.ready = False
        self.lost_because = "the device has not come up yet"
        self.queues = Queues(profile.fair_share_window)
        self.book = Book()
        self._sessions = Sessions(self.book, self.queues, profile)
        self._handlers: dict[type, Callable[[Any, float], None]] = {
            ev.JobAccepted: self._accepted,
            ev.JobPrepared: self._prepared,
            ev.JobUnfit: self._unfit,
            ev.JobCancelled: self._cancelled,
            ev.RunEnded: self._run_ended,
            ev.SessionOpened: self._opened,
            ev.SessionDrained: self._drained,
            ev.SessionClosed: self._closed,
            ev.DeviceReady: self._ready,
            ev.DeviceLost: self._lost,
            ev.UsageReported: self._usage,
            ev.Tick: self._tick,
        }

    # the machine

    def handle(self, event: ev.Event, now: float) -> list[Effect]:
        """Take one event. Deadlines before `now` fire first, each at its own time (R55)."""
        self.now = now = max(now, self.now)
        self._fire(now, inclusive=False)
        try:
            self._handlers[type(event)](event, now)
        except _NotAdmissible as refusal:
            self.book.effects.append(refusal.effect)
        self._select(now)
        return self.book.take(now)

    def next_deadline(self) -> float | None:
        """When the lane wants a Tick."""
        while (top := self.book.deadlines.peek()) is not None:
            if self._stands(*top):
                return top[0]
            self.book.deadlines.pop()
        return None

    def restore(self, jobs: Iterable[Job], sessions: Iterable[Session]) -> list[ev.RunEnded]:
        """Take over what was committed before a restart (R55).

        Returns the events to feed next: the run that was lost, if one was under way. Its own limit no
        longer counts, the run is gone; session deadlines are absolute and fire when they are overdue.
        """
        lost: list[ev.RunEnded] = []
        for session in sessions:
            self.book.sessions[session.id] = session
            self.book.remind_all(session)
            if session.state is SessionState.ACTIVE:
                self.queues.active = session.id
        for job in sorted(jobs, key=lambda job: job.seq):
            self.book.restore_job(job)
            if job.state is JobState.QUEUED:
                self.queues.add(job)
            elif job.state is JobState.RUNNING:
                self.run = Run(job.id, job.attempt, None)
                lost.append(ev.RunEnded(job.id, job.attempt, ev.Outcome.LOST))
        return lost

    # questions

    def order(self) -> list[str]:
        """Waiting jobs in the order in which they would start as things stand."""
        return list(self.queues.order(self.now))

    def next_in_line(self) -> str | None:
        return self.queues.next(self.now)

    @property
    def active(self) -> str | None:
        return self.queues.active

    @property
    def running(self) -> str | None:
        """The job that runs; None while a finished one is cleared away."""
        return self.run.job_id if self.run and self.run.job_id in self.book.jobs else None

    @property
    def depth(self) -> int:
        """Accepted and queued jobs."""
        return len(self.book.jobs) - (self.running is not None)

    # events: jobs

    def _accepted(self, event: ev.JobAccepted, now: float) -> None:
        session = self._admit(event) if event.session_id else None
        limit = event.own_limit if event.own_limit is not None else self.profile.limit_of(event.program)
        job = Job(
            id=event.job_id,
            seq=event.seq,
            user=event.user,
            project=event.project,
            program=event.program,
            accepted_at=now,
            limit=limit,
            own_limit=event.own_limit,
            session_id=event.session_id,
            kind=event.kind,
        )
        self.book.add_job(job, now, "accepted")
        if session is not None:
            self._sessions.joined(session, job)

    def _admit(self, event: ev.JobAccepted) -> Session:
        session = self.book.sessions.get(event.session_id or "")
        if session is None:
            raise _NotAdmissible(
                codes.SESSION_CLOSED,
                f"Session {event.session_id} is not open on {self.device}. Open a new session.",
            )
        if not session.accepting:
            raise _NotAdmissible(
                codes.SESSION_CLOSED,
                f"Session {session.id} takes no more jobs: {session.reason or 'it was closed'}. "
                "A session cannot be reopened; open a new one.",
            )
        if event.program not in SESSION_PROGRAMS:
            raise _NotAdmissible(
                codes.NOT_IN_SESSION,
                f"Program {event.program!r} cannot run in a session; these can: "
                f"{', '.join(sorted(SESSION_PROGRAMS))}. Submit it without a session.",
            )
        longest = session.max_time if session.max_time is not None else self.profile.max_time
        if event.own_limit is not None and event.own_limit > longest:
            raise _NotAdmissible(
                codes.OVER_LIMIT,
                f"The job's max_execution_time is {seconds(event.own_limit)} but session {session.id} lasts "
                f"at most {seconds(longest)} (max_time). Ask for less, or open a longer session.",
            )
        return session

    def _prepared(self, event: ev.JobPrepared, now: float) -> None:
        job = self.book.jobs.get(event.job_id)
        if job is None or job.state is not JobState.ACCEPTED:
            return  # cancelled meanwhile, or told twice
        job.queued_at = now
        self.book.move_job(job, JobState.QUEUED, now, "prepared")
        self.queues.add(job)

    def _unfit(self, event: ev.JobUnfit, now: float) -> None:
        job = self.book.jobs.get(event.job_id)
        if job is not None and job.state is JobState.ACCEPTED:
            self._end(job, JobState.FAILED, now, "unfit", event.reason, event.code)
            self._sessions.lost_first(job, f"failed before its data was prepared: {event.reason}", now)

    def _cancelled(self, event: ev.JobCancelled, now: float) -> None:
        job = self.book.jobs.get(event.job_id)
        if job is None:
            raise _NotAdmissible(codes.ALREADY_FINAL, f"Job {event.job_id} has already ended.")
        running = job.state is JobState.RUNNING
        self._end(job, JobState.CANCELLED, now, "cancelled", f"Cancelled by {event.by}.", None)
        if running:
            self.book.effects.append(Stop(job.id, job.attempt))
        if self.profile.root_cancel_ends_session:
            self._sessions.lost_first(job, "was cancelled", now)

    # events: the device

    def _run_ended(self, event: ev.RunEnded, now: float) -> None:
        if self.run is None or (self.run.job_id, self.run.attempt) != (event.job_id, event.attempt):
            return  # told twice
        self.run = None
        job = self.book.jobs.get(event.job_id)
        if job is None:  # R53: the result lost the race against a cancel or a limit
            self._sessions.resume_clock(now)
            return
        match event.outcome:
            case ev.Outcome.COMPLETED:
                self._end(job, JobState.COMPLETED, now, "completed", event.reason, event.code)
            case ev.Outcome.FAILED:
                self._end(job, JobState.FAILED, now, "failed", event.reason, event.code)
            case ev.Outcome.CRASHED:
                job.crashes += 1
                self._again_or_fail(job, now, event, job.crashes <= self.profile.crash_reruns)
            case ev.Outcome.LOST | ev.Outcome.STOPPED:
                self._again_or_fail(job, now, event, self.profile.rerun_lost)
        self._sessions.resume_clock(now)

    def _again_or_fail(self, job: Job, now: float, event: ev.RunEnded, again: bool) -> None:
        """R55: nothing is charged for a run that the system lost."""
        if not again:
            why = event.reason or "the device was lost while the job ran"
            self._end(job, JobState.FAILED, now, event.outcome, why, codes.SYSTEM_FAILURE, free=True)
            return
        job.started_at = None
        self.book.move_job(job, JobState.QUEUED, now, event.outcome)
        self._sessions.requeued(job, now)
        self.queues.add(job)

    def _ready(self, _: ev.DeviceReady, __: float) -> None:
        self.ready = True

    def _lost(self, event: ev.DeviceLost, _: float) -> None:
        self.ready = False
        self.lost_because = event.reason

    def _usage(self, event: ev.UsageReported, _: float) -> None:
        self.queues.fair.usage.add(event.project, event.seconds, event.at)

    # events: sessions

    def _opened(self, event: ev.SessionOpened, now: float) -> None:
        longest = self.profile.max_time
        if event.max_time is not None and not 0 < event.max_time <= longest:
            raise _NotAdmissible(
                codes.OVER_LIMIT,
                f"max_time is {seconds(event.max_time)}; on {self.device} a session lasts more than 0 s and "
                f"at most {seconds(longest)}. Ask for a time in that range.",
            )
        self._sessions.open(event, now)

    def _drained(self, event: ev.SessionDrained, now: float) -> None:
        session = self.book.sessions.get(event.session_id)
        if session is not None and session.accepting:
            self._sessions.drain(session, now)

    def _closed(self, event: ev.SessionClosed, now: float) -> None:
        session = self.book.sessions.get(event.session_id)
        if session is None or session.state is SessionState.PENDING_CLOSED:
            return  # R38
        self._sessions.end(session, now, f"closed by {event.by}", "closed")

    # time

    def _tick(self, _: ev.Tick, now: float) -> None:
        self._fire(now, inclusive=True)

    def _fire(self, until: float, *, inclusive: bool) -> None:
        """R22 is inclusive: an event at the very instant of a deadline goes before it, a Tick fires it."""
        while (at := self.next_deadline()) is not None and (at < until or (inclusive and at == until)):
            _, due, entity = self.book.deadlines.peek() or (0.0, Due.TTL, "")
            self.book.deadlines.pop()
            match due:
                case Due.RUN_LIMIT:
                    self._ran_too_long(self.book.jobs[entity], at)
                case Due.MAX_TIME:
                    session = self.book.sessions[entity]
                    why = f"its max_time of {seconds(session.max_time or 0)} was over"
                    self._sessions.end(session, at, why, "max_time")
                case Due.TTL:
                    self._sessions.ttl_over(self.book.sessions[entity], at)
                case Due.UNUSED:
                    why = f"it was not used within {seconds(self.profile.unused_expiry)}"
                    self._sessions.end(self.book.sessions[entity], at, why, "unused")

    def _stands(self, at: float, due: Due, entity: str) -> bool:
        if due is Due.RUN_LIMIT:
            return (
                entity in self.book.jobs
                and self.run is not None
                and (self.run.job_id == entity and self.run.limit_at == at)
            )
        session = self.book.sessions.get(entity)
        if session is None:
            return False
        field = {Due.MAX_TIME: session.ends_at, Due.TTL: session.ttl_at, Due.UNUSED: session.unused_at}
        return field[due] == at

    def _ran_too_long(self, job: Job, at: float) -> None:
        """R52."""
        why = f"The job ran longer than its limit of {seconds(job.limit)} and was stopped at {at_time(at)}."
        self._end(job, JobState.CANCELLED, at, "limit", why, codes.RAN_TOO_LONG)
        self.book.effects.append(Stop(job.id, job.attempt))

    # running and ending jobs

    def _select(self, now: float) -> None:
        while self.ready and self.run is None and (job_id := self.queues.next(now)) is not None:
            job = self.book.jobs[job_id]
            self.queues.discard(job)
            if job.detached and job.cache_expires_at is not None and now > job.cache_expires_at:
                why = (
                    f"The data of the first job of session {job.session_id} expired at "
                    f"{at_time(job.cache_expires_at)}, before this job could start."
                )
                self._end(job, JobState.FAILED, now, "cache expired", why, codes.CACHE_EXPIRED)
                continue
            self._start(job, now)

    def _start(self, job: Job, now: float) -> None:
        job.started_at = now
        job.attempt += 1
        self.book.move_job(job, JobState.RUNNING, now, "selected")
        if job.kind is JobKind.SYSTEM:
            self._sessions.suspend_clock(now)
        else:
            self._sessions.started(job, now)
        self.run = Run(job.id, job.attempt, now + job.limit)
        self.book.deadlines.push(now + job.limit, Due.RUN_LIMIT, job.id)
        self.book.effects.append(Start(job.id, job.attempt))

    def _end(
        self,
        job: Job,
        to: JobState,
        now: float,
        cause: str,
        reason: str | None,
        code: int | None,
        *,
        free: bool = False,
    ) -> None:
        """The one way in which a job ends. Time on the device is charged unless `free` (R49)."""
        was = job.state
        job.reason, job.reason_code = reason, code
        if was is JobState.QUEUED:
            self.queues.discard(job)
        if was is JobState.RUNNING and not free and job.started_at is not None:
            job.charged = max(0.0, now - job.started_at)
        self.book.move_job(job, to, now, cause)
        if was is JobState.RUNNING and job.charged:
            kind = ChargeKind.SYSTEM if job.kind is JobKind.SYSTEM else ChargeKind.JOB
            self.book.charge(
                kind, job.user, job.project, now - job.charged, now, job_id=job.id, session_id=job.session_id
            )
            if job.kind is JobKind.USER:
                self.queues.fair.usage.add(job.project, job.charged, now)
        self._sessions.job_ended(job, was, now)
