"""The life of sessions on one lane: activate, hold, deactivate, resume, drain, end (R16-R42).

Keeps each session's clocks; the lane calls it for what its jobs do. Selects and runs nothing.
"""

from __future__ import annotations

from sojourn import codes
from sojourn.core.effects import ChargeKind
from sojourn.core.events import SessionOpened
from sojourn.core.model import Job, JobState, Session, SessionState
from sojourn.core.profile import Profile
from sojourn.core.queues import Queues
from sojourn.core.state import LaneState
from sojourn.core.wording.formatting import at_time


class Sessions:
    def __init__(self, state: LaneState, queues: Queues, profile: Profile) -> None:
        self._state = state
        self._queues = queues
        self._profile = profile

    # opening, and what jobs do

    def open(self, event: SessionOpened, now: float) -> None:
        session = Session(
            id=event.session_id,
            user=event.user,
            project=event.project,
            mode=event.mode,
            created_at=now,
            ttl=self._profile.ttl(event.mode),
            max_time=event.max_time,
        )
        self._state.set_unused(session, now + self._profile.unused_expiry)  # R26
        self._state.add_session(session, now, "opened")

    def job_added(self, session: Session, job: Job) -> None:
        """A job was accepted into it."""
        session.first = session.first or job.id
        self._state.set_unused(session, None)
        self._state.touch(session, "job accepted")

    def started(self, job: Job, now: float) -> None:
        """A user's job starts on the device; its session, if any, becomes or stays active (R16, R28)."""
        session = self._session_of(job)
        if session is None:
            return
        if session.state is SessionState.OPEN:
            self._begin(session, job, now)
        if session.state is SessionState.ACTIVE:
            self._end_hold(session, now)
        else:
            self._activate(session, now)
        session.last_job_started = session.running_since = now
        session.ttl_left = None
        self._state.set_ttl(session, None)
        self._state.touch(session, "job started")

    def _begin(self, session: Session, root: Job, now: float) -> None:
        """R16, R19: the root job starts, and with it the clock of max_time."""
        session.root = root.id
        session.started_at = now
        if session.max_time is None:
            session.max_time = self._profile.session_time(root.program, root.own_limit)
        self._state.set_end(session, now + session.max_time)
        session.cache_expires_at = now + session.max_time + self._profile.cache_grace  # R42

    def _activate(self, session: Session, now: float) -> None:
        """R28, R31. R15: a session that a reservation's holder has overtaken gives the device up (D11)."""
        if self._queues.active is not None:
            self._deactivate(self._queues.active, now, "overtaken")
        others = [j for j in self._state.members(session.id) if j.state is JobState.QUEUED]
        self._queues.activate(session, others)
        reservation = self._queues.calendar.open_at(now)
        inside = reservation is not None and reservation.project == session.project
        session.window = reservation.id if reservation is not None and inside else None
        session.activated_at = now
        self._state.move_session(session, SessionState.ACTIVE, now, "job started")

    def job_ended(self, job: Job, was: JobState, now: float) -> None:
        """One of its jobs has reached a final state, from the state `was`."""
        session = self._session_of(job)
        if session is None:
            return
        if was is JobState.RUNNING:
            session.job_seconds += job.charged
            session.running_since = None
            session.last_job_completed = now
            if session.state is SessionState.PENDING_CLOSED:
                self._close(session, now, "last job ended")
                return
            if session.state is SessionState.PENDING_INACTIVE:
                self._state.move_session(session, SessionState.INACTIVE, now, "job ended")
            else:
                self._state.set_ttl(session, now + session.ttl)  # R22, R25
        elif session.state is SessionState.OPEN and not self._state.has_members(session.id):
            self._state.set_unused(session, now + self._profile.unused_expiry)  # R26: still not used
        self._state.touch(session, "job ended")
        self._finish_drain(session, now)

    def requeued(self, job: Job, now: float) -> None:
        """R55: the run was lost and the job waits again, before it is put into a queue."""
        session = self._session_of(job)
        if session is None:
            return
        session.running_since = None
        if session.state is SessionState.PENDING_CLOSED:  # R36: it may finish, as a plain job
            self._state.detach_job(job, now, "session ended", session.cache_expires_at)
            self._close(session, now, "last job left")
        elif session.state is SessionState.PENDING_INACTIVE:
            self._state.move_session(session, SessionState.INACTIVE, now, "job requeued")
        else:
            self._state.set_ttl(session, now + session.ttl)
            self._state.touch(session, "job requeued")

    def root_lost(self, job: Job, what: str, now: float) -> None:
        """R40, R41: if `job` was the root, or stood for it, the session cannot go on."""
        session = self._session_of(job)
        if session is not None and job.id == (session.root or session.first):
            why = f"its first job {job.id} {what}"
            self.end(session, now, why, "first job lost", code=codes.ROOT_LOST, accepted_too=True)

    # the ttl clock

    def suspend_clock(self, now: float) -> None:
        """D1, R45: somebody with precedence has the device. Again is no error."""
        session = self._queues.active
        if session is not None and session.ttl_at is not None:
            session.ttl_left = session.ttl_at - now
            self._state.set_ttl(session, None)
            self._state.touch(session, "clock suspended")

    def resume_clock(self, now: float) -> None:
        """The device is the session's again; nothing happens if no clock was suspended."""
        session = self._queues.active
        if session is not None and session.ttl_left is not None:
            self._state.set_ttl(session, now + session.ttl_left)
            session.ttl_left = None
            self._state.touch(session, "clock resumed")

    def account(self, now: float, *, held: bool) -> None:
        """R49: a hold lasts while the device could run a job of the active session and has none of it.

        Nobody pays for a device that is lost, paused, or somebody else's meanwhile, nor for holds that the
        profile does not charge.
        """
        session = self._queues.active
        if session is None or session.running_since is not None:
            return
        held = held and session.mode in self._profile.charge_holds
        if held == (session.hold_since is not None):
            return
        if held:
            session.hold_since = now
        else:
            self._end_hold(session, now)
        self._state.touch(session, "held" if held else "not held")

    def ttl_over(self, session: Session, at: float) -> None:
        """R23, R24: deactivate, unless a job is queued and only waits for the device to come back. One that
        does not fit before a reservation waits for more than that (D21)."""
        self._state.set_ttl(session, None)
        if self._queues.session_ready(at):
            self._state.touch(session, "ttl over")
            return
        self._deactivate(session, at, "ttl over")

    def release_idle(self, now: float) -> None:
        """R23: its ttl ran out while a job waited for the device, and none is ready any more (D21)."""
        session = self._queues.active
        if session is None or session.running_since is not None:
            return
        no_clock = session.ttl_at is None and session.ttl_left is None
        if no_clock and not self._queues.session_ready(now):
            self._deactivate(session, now, "ttl over")

    def _deactivate(self, session: Session, now: float, cause: str) -> None:
        """The session loses the device, at once or when its running job ends."""
        self._end_hold(session, now)
        session.ttl_left = None
        self._state.set_ttl(session, None)
        self._queues.deactivate()
        running = session.running_since is not None
        state = SessionState.PENDING_INACTIVE if running else SessionState.INACTIVE
        self._state.move_session(session, state, now, cause)

    # ending

    def reservation_over(self, reservation: str, now: float, why: str | None) -> None:
        """R44: sessions that became active inside the reservation lose the device; queued jobs fail with
        `why`, or wait like others when `why` is None."""
        for session in [s for s in self._state.sessions.values() if s.window == reservation]:
            session.window = None
            if why is not None:
                for job in self._state.members(session.id):
                    if job.state is JobState.QUEUED:
                        self._fail(job, JobState.FAILED, why, codes.RESERVATION_OVER, now, "window over")
            if session.state is SessionState.ACTIVE:
                self._deactivate(session, now, "window over")
            self._state.touch(session, "window over")
            self._finish_drain(session, now)

    def drain(self, session: Session, now: float) -> None:
        """R38a."""
        session.accepting = False
        self._state.touch(session, "drained")
        self._finish_drain(session, now)

    def _finish_drain(self, session: Session, now: float) -> None:
        if not session.accepting and not self._state.has_members(session.id):
            self.end(session, now, "closed by the user, and its last job was done", "drained")

    def end(
        self,
        session: Session,
        now: float,
        why: str,
        cause: str,
        *,
        code: int = codes.SESSION_CLOSED,
        outcome: JobState = JobState.FAILED,
        accepted_too: bool = False,
    ) -> None:
        """R32-R36. Queued jobs get `outcome`; accepted ones become plain (R34), or get it too (R40)."""
        session.accepting = False
        session.reason = f"Session {session.id} ended at {at_time(now)}: {why}."
        for job in self._state.members(session.id):
            if job.state is JobState.ACCEPTED and not accepted_too:
                self._state.detach_job(job, now, cause, session.cache_expires_at)
            elif job.state is not JobState.RUNNING:
                self._fail(job, outcome, session.reason, code, now, cause)
        self._end_hold(session, now)
        session.ttl_left = None
        self._state.set_ttl(session, None)
        self._state.set_end(session, None)
        self._state.set_unused(session, None)
        if self._queues.active is session:
            self._queues.deactivate()
        if session.running_since is not None:
            self._state.move_session(session, SessionState.PENDING_CLOSED, now, cause)
        else:
            self._close(session, now, cause)

    def _fail(self, job: Job, outcome: JobState, reason: str, code: int, now: float, cause: str) -> None:
        """A job of a session that will not start any more."""
        self._queues.discard(job)
        job.reason, job.reason_code = reason, code
        self._state.move_job(job, outcome, now, cause)

    def _close(self, session: Session, now: float, cause: str) -> None:
        session.closed_at = now
        self._state.move_session(session, SessionState.CLOSED, now, cause)

    # accounts

    def _end_hold(self, session: Session, now: float) -> None:
        """R49: idle time in which the device was held is a ledger row of its own."""
        since, session.hold_since = session.hold_since, None
        if since is None:
            return
        row = self._state.charge(
            ChargeKind.HELD, session.user, session.project, since, now, session_id=session.id
        )
        if row is not None:
            session.held_seconds += row.seconds
            self._queues.fair.charge(session.project, session.user, row.seconds, now)

    # who

    def _session_of(self, job: Job) -> Session | None:
        return None if job.detached or job.session_id is None else self._state.sessions.get(job.session_id)
