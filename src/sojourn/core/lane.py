"""One device: `Lane.handle(event, now)` returns the effects. All policy decisions are taken in here.

Pure and single-threaded. This module dispatches events, runs the device and selects (R1-R15, R51-R55);
`sessions`, `reservations`, `queues`, `endings` and `admission` know their own parts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from sojourn import codes
from sojourn.core import admission
from sojourn.core import events as ev
from sojourn.core.calendar import Calendar, Reservation, ReservationMode
from sojourn.core.effects import DeviceChanged, Effect, Rejected, Start, Stop
from sojourn.core.endings import Endings
from sojourn.core.fair_share.queue import FairShareQueue
from sojourn.core.fair_share.shares import EVEN, Shares
from sojourn.core.model import DeviceMode, DeviceStatus, Job, JobState, Mode, Session, SessionState
from sojourn.core.profile import Profile
from sojourn.core.queues import Place, Queues, Standing
from sojourn.core.reservations import Reservations
from sojourn.core.sessions import Sessions
from sojourn.core.state import LaneState
from sojourn.core.timers import Timer
from sojourn.core.wording import limits
from sojourn.core.wording.formatting import at_time, seconds


@dataclass(slots=True)
class Run:
    """What occupies the device. Its job may be final already: then the run only has to be cleared away."""

    job_id: str
    attempt: int
    session_id: str | None
    limit_at: float | None


class Lane:
    """The queue and the sessions of one device.

    Feed it every event with the time at which it happened; commit its facts, then perform its acts. `now`
    never goes backwards: an earlier time counts as the latest one.
    """

    def __init__(self, device: str, profile: Profile, shares: Shares = EVEN) -> None:
        self.device = device
        self.profile = profile
        self.now = 0.0
        self.run: Run | None = None
        self.ready = False
        self.lost_because = "the device has not come up yet"
        self._reruns = True  # as its driver says (R55)
        self.status: DeviceStatus | None = None
        self.state = LaneState()
        self.calendar = Calendar()
        self.fair = FairShareQueue(profile.fair_share_window, profile.half_life, shares)
        self.queues = Queues(self.fair, self.calendar, self.state.jobs)
        self._upcoming: list[str | None] = []  # who is next as of the last event, once that was asked
        self._sessions = Sessions(self.state, self.queues, profile)
        self._reservations = Reservations(self.state, self.queues, self._sessions, profile)
        self._endings = Endings(self.state, self.queues, self._sessions, profile)
        self._handlers: dict[type, Callable[[Any, float], Rejected | None]] = {
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
            ev.DeviceHalted: self._halted,
            ev.DeviceResumed: self._resumed,
            ev.ReservationBooked: self._reservations.reserve,
            ev.ReservationCancelled: self._reservation_cancelled,
            ev.SharesChanged: self._shares,
            ev.UsageReported: self._usage,
            ev.ClockStepped: self._clock_stepped,
            ev.Tick: self._tick,
        }

    # the machine

    def handle(self, event: ev.Event, now: float) -> list[Effect]:
        """Take one event. Deadlines before `now` fire first, each at its own time (R55).

        An event that is not admissible changes nothing and is answered with `Rejected`.
        """
        self.now = now = max(now, self.now)
        self._upcoming.clear()
        jumped = event.jumped if type(event) is ev.ClockStepped else 0.0
        self._fire(now - jumped, inclusive=False)  # what a jump leaps over is not overdue
        rejected = self._handlers[type(event)](event, now)
        if rejected is not None:
            self.state.effects.append(rejected)
        self.fair.expire(now)
        if not self._overruled(now):
            self._sessions.release_idle(now)
        self._select(now)
        self._settle(now)
        return self.state.take(now)

    def next_deadline(self) -> float | None:
        """When the lane wants a Tick: at the next timer, or when an idle device may serve a project again
        whose allocation was used up (R50)."""
        timer = self._next_timer()
        idle = self.ready and not self._stopped and self.run is None
        released = self.fair.release_at() if idle else None
        return min((at for at in (timer, released) if at is not None), default=None)

    def _next_timer(self) -> float | None:
        self.state.timers.compact(self._is_current)
        while (top := self.state.timers.peek()) is not None:
            if self._is_current(*top):
                return top[0]
            self.state.timers.pop()
        return None

    def restore(
        self,
        jobs: Iterable[Job],
        sessions: Iterable[Session],
        reservations: Iterable[Reservation] = (),
        status: DeviceStatus | None = None,
        lead: float = 0.0,
        charges: Iterable[tuple[str, str, float, float]] = (),
    ) -> list[ev.RunEnded]:
        """Take over what was committed before a restart (R55).

        `charges` are (user, project, device seconds, when) of the ledger rows of the last `usage_memory`
        seconds, those of other devices too (R48); they may be merged by `usage_step`.

        Returns the events to feed next: the run that was lost, if one was under way. Its own limit no
        longer counts, the run is gone; all other deadlines are absolute and fire when they are overdue.
        Before these feed a Tick at the last sign of life: nobody pays for a hold beyond it (D19). `lead` is
        the latest one that reservations were given; if it is another now, feed a ClockStepped as well.
        """
        lost: list[ev.RunEnded] = []
        for user, project, used, at in charges:
            self.fair.charge(project, user, used, at)
        self.status = status
        self.calendar.lead = lead
        for reservation in reservations:
            self.calendar.add(reservation)
            self._reservations.schedule(reservation)
        for session in sessions:
            self.state.sessions[session.id] = session
            self.state.schedule_all(session)
            if session.state is SessionState.ACTIVE:
                self.queues.active = session
        for job in sorted(jobs, key=lambda job: job.seq):
            self.state.restore_job(job)
            self.queues.accepted(job)
            if job.state is JobState.QUEUED:
                self.queues.add(job)
            elif job.state is JobState.RUNNING:
                self.run = Run(job.id, job.attempt, job.session_id, None)
                lost.append(ev.RunEnded(job.id, job.attempt, ev.Outcome.LOST))
        return lost

    # questions

    def line(self) -> Iterator[tuple[Place, str]]:
        """Queued jobs in the order in which they would start as things stand, see `Queues.line`."""
        return self.queues.line(self.now, system=self._system_may_go)

    def order(self) -> list[str]:
        return [job_id for _, job_id in self.line()]

    def standing(self, job: Job) -> Standing:
        """Where a queued job stands in `line`, which is not gone through for it."""
        return self.queues.standing(job, self.now, system=self._system_may_go)

    def positions(self, job_ids: Iterable[str]) -> dict[str, int]:
        """How many jobs are before each of those that are queued; the one that runs counts."""
        jobs = self.state.jobs
        queued = [jobs[i] for i in job_ids if i in jobs and jobs[i].state is JobState.QUEUED]
        found = self.queues.positions(queued, self.now, system=self._system_may_go)
        runs = self.running is not None
        return {job_id: place + runs for job_id, place in found.items()}

    def next_in_line(self) -> str | None:
        """Every poll of a job that waits asks for it."""
        if not self._upcoming:
            self._upcoming.append(self._next(self.now))
        return self._upcoming[0]

    def session_warnings(self, max_time: float | None, project: str) -> tuple[str, ...]:
        """Warnings for the owner of a new session that may last `max_time` seconds (R44, R50)."""
        longest = self.profile.max_time if max_time is None else max_time
        return (
            *admission.session_reservations(longest, project, self.calendar, self.now),
            *admission.allocation("session", project, self.fair),
        )

    def job_warnings(self, job_id: str) -> tuple[str, ...]:
        """Warnings for the owner of a job that was just accepted or prepared (R44, R50). Those about
        reservations need its limit: for a job that awaits its estimate they come when it is prepared."""
        job = self.state.jobs.get(job_id)
        if job is None:
            return ()
        found: list[str] = []
        if job.state is not JobState.ACCEPTED or not self.profile.awaits_estimate(job):
            found += admission.job_reservations(job, self.profile, self.calendar, self.now)
        if job.session_id is None or job.session_id != self.active:  # else it need not wait its turn (D20)
            found += admission.allocation("job", job.project, self.fair)
        return tuple(found)

    @property
    def jobs(self) -> Mapping[str, Job]:
        """The accepted, queued and running jobs by id, as the lane has them: to look at, not to keep."""
        return self.state.jobs

    @property
    def sessions(self) -> Mapping[str, Session]:
        """The sessions that have not ended by id, likewise."""
        return self.state.sessions

    @property
    def reservations(self) -> Iterator[Reservation]:
        """Those that have not ended, by start, likewise."""
        return iter(self.calendar)

    @property
    def shares(self) -> Shares:
        return self.fair.shares

    @property
    def usage_step(self) -> float:
        """Charges within a step of so many seconds count as one (D18)."""
        return self.fair.step

    @property
    def usage_memory(self) -> float:
        """For how many seconds a charge can count."""
        return self.fair.memory

    def used(self, project: str, user: str | None = None) -> float:
        """Device seconds that count against a project, or a user in it, on all devices of the pool (R48)."""
        return self.fair.used(project, user)

    @property
    def active(self) -> str | None:
        return self.queues.active.id if self.queues.active is not None else None

    @property
    def running(self) -> str | None:
        """The job that runs; None while a finished one is cleared away."""
        return self.run.job_id if self.run and self.run.job_id in self.state.jobs else None

    @property
    def depth(self) -> int:
        """Accepted and queued jobs."""
        return len(self.state.jobs) - (self.running is not None)

    # events: jobs

    def _accepted(self, event: ev.JobAccepted, now: float) -> Rejected | None:
        refused = admission.job(event, self.state.sessions, self.profile, self.device, self.status)
        if refused is not None:
            return refused
        job = admission.accepted(event, self.profile, now)
        self.state.add_job(job, now, "accepted")
        self.queues.accepted(job)
        if event.session_id is not None:
            self._sessions.job_added(self.state.sessions[event.session_id], job)
        return None

    def _prepared(self, event: ev.JobPrepared, now: float) -> None:
        job = self.state.jobs.get(event.job_id)
        if job is None or job.state is not JobState.ACCEPTED:
            return  # cancelled meanwhile, or reported twice
        job.queued_at = now
        job.estimate = event.estimate
        if (limit := self.profile.from_estimate(job)) is not None:
            job.limit = min(job.limit, limit)
        self.state.move_job(job, JobState.QUEUED, now, "prepared")
        self.queues.add(job)

    def _unfit(self, event: ev.JobUnfit, now: float) -> None:
        job = self.state.jobs.get(event.job_id)
        if job is not None and job.state is JobState.ACCEPTED:
            self._endings.end(job, JobState.FAILED, now, "unfit", event.reason, event.code)
            self._sessions.root_lost(job, f"failed before its data was prepared: {event.reason}", now)

    def _cancelled(self, event: ev.JobCancelled, now: float) -> Rejected | None:
        job = self.state.jobs.get(event.job_id)
        if job is None:
            return Rejected(codes.CONFLICT, f"Job {event.job_id} has already ended.")
        running = job.state is JobState.RUNNING
        self._endings.end(job, JobState.CANCELLED, now, "cancelled", f"Cancelled by {event.by}.", None)
        if running:
            self.state.effects.append(Stop(job.id, job.attempt))
        if self.profile.root_cancel_ends_session:
            self._sessions.root_lost(job, "was cancelled", now)
        return None

    # events: the device

    def _run_ended(self, event: ev.RunEnded, now: float) -> None:
        if self.run is None or (self.run.job_id, self.run.attempt) != (event.job_id, event.attempt):
            return  # reported twice
        self.run = None
        job = self.state.jobs.get(event.job_id)
        if job is None:
            return  # R53: the result lost the race against a cancel or a limit
        match event.outcome:
            case ev.Outcome.COMPLETED:
                self._endings.ran(job, JobState.COMPLETED, now, event)
            case ev.Outcome.FAILED:
                self._endings.ran(job, JobState.FAILED, now, event)
            case ev.Outcome.UNSTORED:
                self._endings.again_or_fail(job, now, event, again=False)
            case ev.Outcome.CRASHED:
                self._endings.crashed(job, now, event)
            case _:  # lost or stopped
                self._endings.lost(job, now, event)

    def _ready(self, event: ev.DeviceReady, _: float) -> None:
        self.ready = True
        self._reruns = event.reruns

    def _lost(self, event: ev.DeviceLost, _: float) -> None:
        self.ready = False
        self.lost_because = event.reason

    def _halted(self, event: ev.DeviceHalted, now: float) -> None:
        self.status = DeviceStatus(event.mode, event.by, event.message, now, event.until)
        self.state.effects.append(DeviceChanged(self.status, now))

    def _resumed(self, _: ev.DeviceResumed, now: float) -> None:
        if self.status is not None:
            self.status = None
            self.state.effects.append(DeviceChanged(None, now))

    def _usage(self, event: ev.UsageReported, _: float) -> None:
        self.fair.charge(event.project, event.user, event.seconds, event.at)

    def _shares(self, event: ev.SharesChanged, _: float) -> None:
        self.fair.set_shares(event.shares)

    # events: sessions and reservations

    def _opened(self, event: ev.SessionOpened, now: float) -> Rejected | None:
        refused = admission.session(event.max_time, self.profile, self.device, self.status)
        if refused is None:
            self._sessions.open(event, now)
        return refused

    def _drained(self, event: ev.SessionDrained, now: float) -> None:
        session = self.state.sessions.get(event.session_id)
        if session is not None and session.accepting:
            self._sessions.drain(session, now)

    def _closed(self, event: ev.SessionClosed, now: float) -> None:
        session = self.state.sessions.get(event.session_id)
        if session is None or session.state is SessionState.PENDING_CLOSED:
            return  # R38
        self._sessions.end(session, now, f"closed by {event.by}", "closed", outcome=self.profile.hard_close)

    def _reservation_cancelled(self, event: ev.ReservationCancelled, now: float) -> Rejected | None:
        reservation = self.calendar.get(event.reservation_id)
        if reservation is None:
            return Rejected(codes.NOT_FOUND, f"Reservation {event.reservation_id} is not booked (any more).")
        self._reservations.cancel(reservation, now)
        return None

    # time

    def _tick(self, _: ev.Tick, now: float) -> None:
        self._fire(now, inclusive=True)

    def _clock_stepped(self, event: ev.ClockStepped, now: float) -> None:
        """D24: what runs goes on by its length, dates follow the clock."""
        self._fire(now - event.jumped, inclusive=True)
        if event.jumped:
            self.state.jump(event.jumped, now)
            self.fair.jump(event.jumped)
            if self.run is not None and self.run.limit_at is not None:
                self.run.limit_at += event.jumped
                self.state.timers.push(self.run.limit_at, Timer.RUN_LIMIT, self.run.job_id)
        self._reservations.step_clock(now, event.jumped, event.lead)

    def _fire(self, until: float, *, inclusive: bool) -> None:
        """R22 is inclusive: an event at the very instant of a deadline goes before it, a Tick fires it."""
        while (at := self._next_timer()) is not None and (at < until or (inclusive and at == until)):
            top = self.state.timers.peek()
            assert top is not None
            self.state.timers.pop()
            self._on_timer(top[1], top[2], at)
            self._settle(at)

    def _on_timer(self, timer: Timer, entity: str, at: float) -> None:
        match timer:
            case Timer.RUN_LIMIT:
                self._ran_too_long(self.state.jobs[entity], at)
            case Timer.MAX_TIME:
                session = self.state.sessions[entity]
                why = f"its max_time of {seconds(session.max_time or 0)} was over"
                self._sessions.end(session, at, why, "max_time")
            case Timer.TTL:
                self._sessions.ttl_over(self.state.sessions[entity], at)
            case Timer.UNUSED:
                why = f"it was not used within {seconds(self.profile.unused_expiry)}"
                self._sessions.end(self.state.sessions[entity], at, why, "unused")
            case _:  # a reservation's start or end
                reservation = self.calendar.get(entity)
                assert reservation is not None
                if timer is Timer.RESERVATION_START:
                    self._reservations.opened(reservation, at)
                else:
                    self._reservations.end(reservation, at)

    def _is_current(self, at: float, timer: Timer, entity: str) -> bool:
        """Whether a reminder still means what its entity says."""
        if timer is Timer.RUN_LIMIT:
            return self.run is not None and self.running == entity and self.run.limit_at == at
        if timer in (Timer.RESERVATION_START, Timer.RESERVATION_END):
            return self.calendar.get(entity) is not None
        session = self.state.sessions.get(entity)
        return session is not None and at == self.state.due(session, timer)

    def _ran_too_long(self, job: Job, at: float) -> None:
        """R52."""
        why = limits.overrun(job, self.profile, at)
        self._endings.end(job, JobState.CANCELLED, at, "limit", why, codes.RAN_TOO_LONG)
        self.state.effects.append(Stop(job.id, job.attempt))

    def _settle(self, now: float) -> None:
        """D1, R45: clocks run only for a session that could use the device; idle time is accounted."""
        overruled = self._overruled(now)
        if overruled:
            self._sessions.suspend_clock(now)
        else:
            self._sessions.resume_clock(now)
        able = self.ready and not self._stopped
        self._sessions.account(now, held=able and not overruled)
        self._reservations.account(now, idle=able and self.run is None)

    def _overruled(self, now: float) -> bool:
        """Whether somebody with precedence keeps the active session from the device."""
        active = self.queues.active
        if active is None:
            return False
        if self.run is not None and self.run.session_id != active.id:
            return True
        reservation = self.calendar.open_at(now)
        return (
            reservation is not None
            and reservation.mode is ReservationMode.DEDICATED
            and reservation.project != active.project
        )

    # running jobs

    @property
    def _stopped(self) -> bool:
        return self.status is not None and self.status.mode is not DeviceMode.DRAINING

    @property
    def _system_may_go(self) -> bool:
        """R11, as far as the profile says otherwise."""
        active = self.queues.active
        interactive = active is not None and active.mode is Mode.DEDICATED
        return self.profile.system_in_dedicated or not interactive

    def _next(self, now: float) -> str | None:
        return self.queues.next(now, system=self._system_may_go)

    def _select(self, now: float) -> None:
        while self.ready and not self._stopped and self.run is None:
            job_id = self._next(now)
            if job_id is None:
                return
            job = self.state.jobs[job_id]
            self.queues.discard(job)
            if job.detached and job.cache_expires_at is not None and now > job.cache_expires_at:
                why = (
                    f"The data of the first job of session {job.session_id} expired at "
                    f"{at_time(job.cache_expires_at)}, before this job could start."
                )
                self._endings.end(job, JobState.FAILED, now, "cache expired", why, codes.CACHE_EXPIRED)
                continue
            self._start(job, now)

    def _start(self, job: Job, now: float) -> None:
        job.started_at = now
        job.reruns = self._reruns
        job.attempt += 1
        self.state.move_job(job, JobState.RUNNING, now, "selected")
        self._sessions.started(job, now)
        self.run = Run(job.id, job.attempt, job.session_id, now + job.limit)
        self.state.timers.push(now + job.limit, Timer.RUN_LIMIT, job.id)
        self.state.effects.append(Start(job.id, job.attempt))
