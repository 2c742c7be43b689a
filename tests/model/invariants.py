"""Checks what must hold of one lane, from its effects alone. Knows the rules; does not look into the lane.

`Invariants.see(event, now, effects)` raises AssertionError at the first thing that cannot be. Times are whole
seconds, so that all sums are exact.
"""

from __future__ import annotations

from collections import defaultdict
from copy import copy
from typing import Any

from sojourn import codes
from sojourn.core import events as ev
from sojourn.core.effects import (
    Charge,
    DeviceChanged,
    Effect,
    JobChanged,
    Rejected,
    ReservationChanged,
    SessionChanged,
    Start,
    Stop,
)
from sojourn.core.fair_share.shares import EVEN, Shares
from sojourn.core.profile import Profile
from tests.model import effect_checks
from tests.model.reference import Snapshot, next_job
from tests.model.steps import FINAL, JOB_STEPS, LIVE, NEVER_CHANGE, SESSION_STEPS


class Invariants:
    """One device as its effects tell it."""

    def __init__(self, profile: Profile, shares: Shares = EVEN) -> None:
        self.profile = profile
        self.shares = shares
        self.jobs: dict[str, Any] = {}
        self.sessions: dict[str, Any] = {}
        self.reservations: dict[str, Any] = {}
        self.charges: list[tuple[float, str, str, float]] = []
        self.rows: list[Charge] = []
        self.ready = False
        self.halt: Any = None
        self.why_down: str | None = None  # None when nobody has said
        self.occupant: tuple[str, int] | None = None
        self.now = 0.0
        self.starts = 0
        self._occupant_session: str | None = None
        self._last_end = 0.0
        self._died: list[tuple[str, float, float]] = []  # runs of which the worker died (D23)
        self._owed: list[tuple[str, float, float]] = []
        self._clock: dict[str, float] = defaultdict(float)  # of the active session since its last job
        self._waited: set[str] = set()
        self._idle: dict[str, float] = defaultdict(float)  # what should be charged as held
        self._held: dict[str, float] = defaultdict(float)
        self._paid: dict[str, float] = defaultdict(float)  # all rows of a session
        self._window_idle: dict[str, float] = defaultdict(float)  # by project
        self._window_rows: dict[str, float] = defaultdict(float)
        self._unused_since: dict[str, float] = {}
        self._root: dict[str, str] = {}
        self._first: dict[str, str] = {}
        self._last_job_end: dict[str, float] = {}
        self._intruders: dict[str, list[str]] = defaultdict(list)
        self._overtaken: str | None = None
        self._ending: set[str] = set()
        self.expected: str | None = None

    # one event

    def see(self, event: ev.Event, now: float, effects: list[Effect]) -> None:
        applied = False
        self._overtaken = None
        for effect in effects:
            effect_checks.check(effect)
            at = self._time(effect, now)
            assert self.now <= at <= now, f"{effect} is not in order"
            self._advance(at)
            if at == now and not applied:
                applied = True
                self._apply(event)
            self._effect(effect, event, now)
        self._advance(now)
        if not applied:
            self._apply(event)
        self._afterwards(event, now)

    def snapshot(self) -> Snapshot:
        return Snapshot(
            [j for j in self.jobs.values() if j.state == "queued"],
            [s for s in self.sessions.values() if s.state == "active"],
            self.reservations.values(),
            self.charges,
            self.shares,
            self.profile,
        )

    def restarted(self) -> tuple[list[Any], list[Any], list[Any], Any]:
        """What a store would give back after a crash."""
        self.ready, self.why_down = False, None
        if self.occupant is not None and self.jobs[self.occupant[0]].state != "running":
            self.occupant = None
        jobs = [copy(j) for j in self.jobs.values() if j.state not in FINAL]
        sessions = [copy(s) for s in self.sessions.values() if s.state != "closed"]
        return jobs, sessions, [copy(w) for w in self.reservations.values()], self.halt

    @property
    def able(self) -> bool:
        return self.ready and (self.halt is None or self.halt.mode == "draining")

    def active(self) -> Any:
        return next((s for s in self.sessions.values() if s.state == "active"), None)

    def members(self, session_id: str) -> list[Any]:
        return [
            j
            for j in self.jobs.values()
            if j.session_id == session_id and not j.detached and j.state not in FINAL
        ]

    # time

    def _time(self, effect: Effect, now: float) -> float:
        match effect:
            case Charge():
                return now if self._is_late(effect) else effect.end
            case JobChanged() | SessionChanged() | ReservationChanged() | DeviceChanged():
                return effect.at
            case Stop():
                return self.now  # with the change before it
            case _:
                return now

    def _is_late(self, row: Charge) -> bool:
        """It is for an earlier run of a job, that is charged only now (D23)."""
        job = self.jobs.get(row.job_id or "")
        return job is not None and row.end != job.ended_at and (job.id, row.start, row.end) in self._died

    def _advance(self, to: float) -> None:
        """Let the clocks run, piece by piece between the ends of windows."""
        cuts = {x for w in self.reservations.values() for x in (w.start, w.end) if self.now < x < to}
        for until in sorted({*cuts, to}):
            length, since = until - self.now, self.now
            self.now = until
            if length:
                self._run_clocks(since, length)

    def _run_clocks(self, since: float, length: float) -> None:
        active = self.active()
        window = self._open(since)
        dedicated = window if window is not None and window.mode == "dedicated" else None
        held = False
        if active is not None and not self._overruled(active, dedicated) and not self._runs(active):
            left = active.ttl - self._clock[active.id]
            if 0 < left <= length and self.ready_job(active, since + left):
                self._waited.add(active.id)
            self._clock[active.id] += length
            if self.able and active.mode in self.profile.charge_holds:
                held = True
                self._idle[active.id] += length
        if dedicated is not None and self.able and self.occupant is None and not held:
            self._window_idle[dedicated.project] += length

    def _open(self, at: float) -> Any:
        return next((w for w in self.reservations.values() if w.start <= at < w.end), None)

    def _overruled(self, active: Any, dedicated: Any) -> bool:
        foreign = self.occupant is not None and self._occupant_session != active.id
        return foreign or (dedicated is not None and dedicated.project != active.project)

    def ready_job(self, session: Any, at: float) -> bool:
        """R24, D21: a job of the session waits, and its run would be over before the next dedicated window of
        somebody else."""
        starts = [
            w.start
            for w in self.reservations.values()
            if w.mode == "dedicated" and w.project != session.project
        ]
        return any(
            j.state == "queued" and not any(at < start < at + j.limit for start in starts)
            for j in self.members(session.id)
        )

    def _runs_for(self, session: Any) -> float:
        began: list[float] = [j.started_at for j in self.members(session.id) if j.state == "running"]
        return sum(self.now - at for at in began)

    def _runs(self, session: Any) -> bool:
        return any(j.state == "running" for j in self.members(session.id))

    # what an event says by itself

    def _apply(self, event: ev.Event) -> None:
        match event:
            case ev.RunEnded() if self.occupant == (event.job_id, event.attempt):
                self.occupant = self._occupant_session = None
            case ev.DeviceReady():
                self.ready = True
            case ev.DeviceLost():
                self.ready = False
                self.why_down = event.reason
            case ev.SharesChanged():
                self.shares = event.shares
            case ev.UsageReported():
                self.charges.append((event.at, event.project, event.user, event.seconds))

    # effects

    def _effect(self, effect: Effect, event: ev.Event, now: float) -> None:
        match effect:
            case JobChanged():
                self._job(effect, event, now)
            case SessionChanged():
                self._session(effect, event)
            case Charge():
                self._charge(effect, now)
            case ReservationChanged():
                if effect.state in ("booked", "open"):
                    self.reservations[effect.reservation.id] = effect.reservation
                else:
                    gone = self.reservations.pop(effect.reservation.id)
                    early = effect.at < gone.end
                    assert not early or effect.state == "cancelled", "a window ends at its end"
            case DeviceChanged():
                self.halt = effect.halt
            case Start():
                job = self.jobs[effect.job_id]
                assert (job.state, job.attempt) == ("running", effect.attempt)
                assert self.occupant is None, "one running job per device"
                assert self.able, "nothing starts on a device that cannot or must not run"
                self.occupant = (effect.job_id, effect.attempt)
                self._occupant_session = None if job.detached else job.session_id
                self.starts += 1
            case Stop():
                assert self.occupant == (effect.job_id, effect.attempt), "only what runs is stopped"
                assert self.jobs[effect.job_id].state in FINAL
            case Rejected():
                assert effect.message

    def _job(self, change: JobChanged, event: ev.Event, now: float) -> None:
        job, known = change.job, self.jobs.get(change.job.id)
        if known is None:
            assert change.before is None
            assert job.state == "accepted"
            assert job.estimate is None
            assert job.limit == self._limit(job), "R52"
            if job.session_id:
                assert self.sessions[job.session_id].accepting, "R35"
                self._first.setdefault(job.session_id, job.id)
                self._unused_since.pop(job.session_id, None)
        else:
            assert known.state == change.before, "snapshots chain"
            for name in NEVER_CHANGE:
                assert getattr(known, name) == getattr(job, name), name
            prepared = event if isinstance(event, ev.JobPrepared) and event.job_id == job.id else None
            if known.state == "accepted" and prepared is not None and job.state == "queued":
                assert job.estimate == prepared.estimate
                assert job.limit == self._limit(job), "D22"
            else:
                assert (job.limit, job.estimate) == (known.limit, known.estimate), "it has one limit for ever"
            if job.state != change.before:
                assert job.state in JOB_STEPS[change.before or ""], f"{change.before} -> {job.state}"
            else:
                assert job.detached, "a job that does not move has become a plain one"
                assert not known.detached
                session = self.sessions[job.session_id or ""]
                assert job.cache_expires_at == session.cache_expires_at, "R34"
        if job.state == "running":
            self._starts(job, known, change.at, now)
        self.jobs[job.id] = job
        if change.before == "running":
            assert known is not None
            self._leaves(job, known.started_at, change.at, event)
        elif job.state in FINAL:
            self._never_ran(job, change.at, event)
        if job.state in FINAL:
            self._session_unused(job, change.at)

    def _limit(self, job: Any) -> float:
        """R19, R52, D22: the least of all that limits it."""
        profile, limits = self.profile, [self.profile.job_cap]
        if job.own_limit is not None:
            limits.append(job.own_limit)
        else:
            limits.append(profile.program_limits.get(job.program, profile.job_limit))
        if profile.estimate_factor and job.estimate and not (job.own_limit and job.stated):
            limits.append(max(profile.estimate_floor, profile.estimate_factor * job.estimate))
        return float(min(limits))

    def _starts(self, job: Any, known: Any, at: float, now: float) -> None:
        assert at == now == job.started_at
        expected = next_job(self.snapshot(), now)
        assert job.id == expected, f"the reference would start {expected}, not {job.id}"
        if job.kind == "system":
            return
        for window in self.reservations.values():
            if window.mode == "dedicated" and window.project != job.project:
                assert not window.start <= now < window.end, "nothing starts inside a dedicated window"
                assert not now < window.start < now + job.limit, "nor across its start"
        window = self._open(now)
        holder = window is not None and window.project == job.project
        active = self.active()
        mine = None if job.detached else job.session_id
        if active is not None and active.id != mine:
            assert holder, "R2: no foreign job inside a session's lock"
            self._overtaken = active.id
        if not holder:
            for other in self._last_job_end:
                if other != mine:
                    self._intruders[other].append(job.id)
        if mine in self._last_job_end and self.sessions[mine].state == "active":
            gap = now - self._last_job_end[mine]
            if gap < self.sessions[mine].ttl:
                assert not self._intruders[mine], "R2: between two jobs less than ttl apart"
        if mine is not None:
            self._root.setdefault(mine, job.id)
            self._last_job_end.pop(mine, None)

    def _leaves(self, job: Any, started: float, at: float, event: ev.Event) -> None:
        """It ran, from `started` on."""
        if job.state == "queued":
            assert isinstance(event, ev.RunEnded)
            assert event.outcome in ("crashed", "lost", "stopped")
            if event.outcome == "crashed" and at > started:
                self._died.append((job.id, started, at))
        elif job.reason_code == codes.RAN_TOO_LONG:
            assert at == started + job.limit, "R52, neither early nor late"
        else:
            ended = isinstance(event, ev.RunEnded | ev.JobCancelled) and event.job_id == job.id
            assert ended, "a running job ends by its run or by a cancel"
        if job.state in FINAL and job.reason_code != codes.SYSTEM_FAILURE and at > started:
            self._owed.append((job.id, started, at))
        if job.state in FINAL and job.reason_code == codes.WORKER_KILLED:
            assert isinstance(event, ev.RunEnded)
            assert event.outcome == "crashed"
            assert job.crashes >= self.profile.charged_crashes > 0, "D23"
            self._owed += [run for run in self._died if run[0] == job.id]
        if not job.detached and job.session_id:
            self._clock[job.session_id] = 0.0
            self._waited.discard(job.session_id)
            self._last_job_end[job.session_id] = at
            self._intruders[job.session_id] = []

    def _never_ran(self, job: Any, at: float, event: ev.Event) -> None:
        if isinstance(event, ev.JobCancelled | ev.JobUnfit) and event.job_id == job.id:
            return
        assert job.reason, "who fails is told why"
        if job.reason_code == codes.CACHE_EXPIRED:
            assert job.detached
            assert at > job.cache_expires_at
        elif job.reason_code == codes.RESERVATION_OVER:
            window = self.sessions[job.session_id].window
            assert window is not None
            assert window in job.reason
        else:
            assert job.reason_code in (codes.SESSION_CLOSED, codes.ROOT_LOST)
            assert job.session_id in job.reason
            self._ending.add(job.session_id)

    def _session_unused(self, job: Any, at: float) -> None:
        session = self.sessions.get(job.session_id or "")
        if session is not None and session.state == "open" and not self.members(session.id):
            self._unused_since[session.id] = at

    def _session(self, change: SessionChanged, event: ev.Event) -> None:
        session, known, at = change.session, self.sessions.get(change.session.id), change.at
        if known is None:
            assert change.before is None
            assert session.state == "open"
            self._unused_since[session.id] = at
        else:
            assert known.state == change.before, "snapshots chain"
            assert known.accepting or not session.accepting, "a session cannot be reopened"
            if session.state != change.before:
                assert session.state in SESSION_STEPS[change.before or ""]
                self._moves(session, known, at, event)
        self.sessions[session.id] = session
        assert len([s for s in self.sessions.values() if s.state == "active"]) <= 1, "R15"

    def _moves(self, session: Any, known: Any, at: float, event: ev.Event) -> None:
        sid = session.id
        if known.state == "active":
            assert self._held[sid] == self._idle[sid], "R49: every idle second of a hold, and no other"
        if session.state in ("inactive", "pending_inactive") and known.state == "active":
            window = self.reservations.get(known.window or session.window or "")
            over = known.window is not None and (
                window is None or at == window.end or isinstance(event, ev.ReservationCancelled)
            )
            if not over and sid != self._overtaken:
                ttl, clock = session.ttl, self._clock[sid]
                assert session.state == "inactive"
                assert clock >= ttl, f"R23: deactivated after {clock} s of {ttl} s"
                assert clock == ttl or sid in self._waited, (
                    f"R23: deactivated only after {clock} s of {ttl} s"
                )
            else:
                self._last_job_end.pop(sid, None)
        if session.state in ("closed", "pending_closed") and known.state in LIVE:
            self._last_job_end.pop(sid, None)
            cause = getattr(event, "job_id", None)
            assert (
                (isinstance(event, ev.SessionClosed) and event.session_id == sid)
                or (not known.accepting and not self.members(sid))
                or (
                    isinstance(event, ev.SessionDrained) and event.session_id == sid and not self.members(sid)
                )
                or (known.ends_at is not None and at == known.started_at + known.max_time)
                or (sid in self._unused_since and at == self._unused_since[sid] + self.profile.unused_expiry)
                or (
                    isinstance(event, ev.JobCancelled | ev.JobUnfit)
                    and cause == self._root.get(sid, self._first.get(sid))
                )
            ), f"session {sid} ended without a reason: {session.reason}"
        if session.state == "closed" and known.state == "pending_closed":
            assert not self._runs(session), "R36"

    def _charge(self, row: Charge, now: float) -> None:
        assert row.start < row.end <= now
        if not self._is_late(row):
            assert self._last_end <= row.start, "rows of one device never overlap"
            self._last_end = row.end
        self.rows.append(row)
        if row.kind != "system":
            self.charges.append((row.end, row.project, row.user, row.seconds))
        if row.session_id is not None:
            self._paid[row.session_id] += row.seconds
        if row.kind == "held":
            assert row.session_id is not None
            self._held[row.session_id] += row.seconds
        elif row.kind == "reservation":
            self._window_rows[row.project] += row.seconds
        else:
            assert row.job_id is not None
            job = self.jobs[row.job_id]
            assert (row.kind == "system") == (job.kind == "system")
            self._owed.remove((row.job_id, row.start, row.end))

    # when all is said

    def _afterwards(self, event: ev.Event, now: float) -> None:
        assert not self._owed, "R49: the time of every job is charged"
        ticked = isinstance(event, ev.Tick)

        def late(at: float) -> bool:
            return at < now or (ticked and at == now)

        for sid in self._ending:
            assert self.sessions[sid].state in ("closed", "pending_closed")
        self._ending.clear()
        for session in self.sessions.values():
            if session.state in LIVE and session.started_at is not None:
                assert not late(session.started_at + session.max_time), "max_time is never late"
            if session.id in self._unused_since and session.state == "open":
                assert not late(self._unused_since[session.id] + self.profile.unused_expiry)
            if session.state == "closed":
                assert not self.members(session.id), "nobody is left in a closed session"
            under_way = self._idle[session.id] - self._held[session.id] + self._runs_for(session)
            assert session.usage(now) == self._paid[session.id] + under_way, "D15: usage is the ledger's"
        running = [j for j in self.jobs.values() if j.state == "running"]
        assert len(running) <= 1
        for job in running:
            assert self.occupant == (job.id, job.attempt)
            assert not late(job.started_at + job.limit), "R52 is never late"
        for window in self.reservations.values():
            assert not late(window.end), "a window ends in time"
        if all(w.start > now for w in self.reservations.values()):
            assert self._window_rows == self._window_idle, "D13"
        self._ttl(now, ticked)
        expected = next_job(self.snapshot(), now)
        if self.able and self.occupant is None:
            assert expected is None, f"{expected} could start and does not"
        self.expected = expected

    def _ttl(self, now: float, ticked: bool) -> None:
        active = self.active()
        if active is None or self._runs(active):
            return
        if self.ready_job(active, now):
            self._waited.add(active.id)
            return
        window = self._open(now)
        dedicated = window if window is not None and window.mode == "dedicated" else None
        if ticked and not self._overruled(active, dedicated):
            assert self._clock[active.id] < active.ttl, "R23: never late"

    # a finished job or session needs no memory

    def forget(self) -> None:
        """Drop what can matter no more; keeps long runs small."""
        for job_id in [
            i for i, j in self.jobs.items() if j.state in FINAL and (self.occupant or ("",))[0] != i
        ]:
            del self.jobs[job_id]
        for session_id in [i for i, s in self.sessions.items() if s.state == "closed"]:
            if not any(j.session_id == session_id for j in self.jobs.values()):
                del self.sessions[session_id]
        horizon = self.now - self.profile.fair_share_window
        if self.profile.half_life is None:
            self.charges = [c for c in self.charges if c[0] > horizon]
        self.rows.clear()
