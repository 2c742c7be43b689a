"""One lane in virtual time, with the few words that a rule's test needs."""

from __future__ import annotations

from copy import copy
from dataclasses import replace
from typing import Any

from sojourn.core import Job, JobKind, JobState, Lane, Mode, Profile, Session, SessionState
from sojourn.core import events as ev
from sojourn.core.effects import (
    Charge,
    Effect,
    JobChanged,
    Rejected,
    ReservationChanged,
    SessionChanged,
    Start,
    Stop,
)
from sojourn.core.fair_share.shares import Shares
from sojourn.core.model import DeviceMode
from tests.model import effect_checks

START = 1_000_000.0


class LaneHarness:
    """Jobs and sessions are called by name; a user is its own project unless one is given."""

    def __init__(self, profile: Profile | None = None, **numbers: Any) -> None:
        self.lane = Lane("device", replace(profile or Profile(), **numbers))
        self.now = START
        self.jobs: dict[str, Job] = {}
        self.sessions: dict[str, Session] = {}
        self.charges: list[Charge] = []
        self.started: list[str] = []
        self.stopped: list[str] = []
        self.reservations: dict[str, list[str]] = {}
        self.steps: list[tuple[str, str, float]] = []
        self._seq = 0
        self.do(ev.DeviceReady())

    # events

    def restart(self, down: float = 0.0, lead: float = 0.0) -> None:
        """R55: the service dies now; a new lane takes over what was committed. Its device is not ready."""
        old = self.lane
        self.lane = Lane(old.device, old.profile, old.shares)
        lost = self.lane.restore(
            [copy(job) for job in old.state.jobs.values()],
            [copy(session) for session in old.state.sessions.values()],
            [copy(window) for window in old.calendar],
            old.status,
            lead,
        )
        self.do(ev.Tick())
        self.now += down
        overdue: list[ev.Event] = [ev.Tick(), *lost]
        for event in overdue:
            self.do(event)

    def do(self, event: ev.Event) -> list[Effect]:
        return self._note(self.lane.handle(event, self.now))

    def submit(
        self,
        name: str,
        user: str = "ann",
        session: str | None = None,
        *,
        limit: float | None = None,
        program: str = "sampler",
        kind: JobKind = JobKind.USER,
        prepared: bool = True,
        project: str | None = None,
        stated: bool = True,
        estimate: float | None = None,
    ) -> Rejected | None:
        """Accept and prepare; returns the refusal, if it is one."""
        self._seq += 1
        of = project or user
        accepted = ev.JobAccepted(name, self._seq, user, of, program, session, limit, kind, stated)
        refused = [e for e in self.do(accepted) if isinstance(e, Rejected)]
        if refused:
            return refused[0]
        if prepared:
            self.prepare(name, estimate)
        return None

    def prepare(self, name: str, estimate: float | None = None) -> None:
        self.do(ev.JobPrepared(name, estimate))

    def open(
        self,
        name: str,
        user: str = "ann",
        *,
        mode: Mode = Mode.DEDICATED,
        max_time: float | None = None,
        project: str | None = None,
    ) -> Rejected | None:
        effects = self.do(ev.SessionOpened(name, user, project or user, mode, max_time))
        return next((e for e in effects if isinstance(e, Rejected)), None)

    def reserve(self, name: str, project: str, after: float, length: float, **more: Any) -> Rejected | None:
        """A window that begins `after` seconds from now, dedicated unless `mode` says otherwise."""
        start = self.now + after
        booked = ev.ReservationBooked(name, project, f"{project}-admin", start, start + length, **more)
        return next((e for e in self.do(booked) if isinstance(e, Rejected)), None)

    def halt(self, mode: DeviceMode, message: str = "the fridge is warm") -> None:
        self.do(ev.DeviceHalted(mode, "olga", message))

    def resume(self) -> None:
        self.do(ev.DeviceResumed("olga"))

    def shares(self, **more: Any) -> None:
        self.do(ev.SharesChanged(Shares(**more)))

    def used(self, seconds: float, user: str, project: str | None = None) -> None:
        """Device seconds on another device of the pool, until now."""
        self.do(ev.UsageReported(user, project or user, seconds, self.now))

    def finish(
        self, name: str | None = None, outcome: ev.Outcome = ev.Outcome.COMPLETED, **more: Any
    ) -> list[Effect]:
        """The worker reports the end of what runs."""
        run = self.lane.run
        assert run is not None, "nothing runs"
        assert name is None or run.job_id == name, f"{run.job_id} runs, not {name}"
        return self.do(ev.RunEnded(run.job_id, run.attempt, outcome, **more))

    def cancel(self, name: str) -> Rejected | None:
        effects = self.do(ev.JobCancelled(name))
        return next((e for e in effects if isinstance(e, Rejected)), None)

    def close(self, session: str) -> None:
        self.do(ev.SessionClosed(session))

    def drain(self, session: str) -> None:
        self.do(ev.SessionDrained(session))

    def sleep(self, seconds: float) -> None:
        """Let time pass; the lane gets its Ticks exactly when it wants them."""
        until = self.now + seconds
        while (at := self.lane.next_deadline()) is not None and at <= until:
            self.now = max(self.now, at)
            self.do(ev.Tick())
        self.now = until

    def run_for(self, seconds: float, name: str | None = None) -> None:
        """What runs goes on for `seconds` and completes."""
        self.sleep(seconds)
        self.finish(name)

    # looking

    @property
    def running(self) -> str | None:
        return self.lane.running

    def state(self, name: str) -> JobState | SessionState:
        return self.jobs[name].state if name in self.jobs else self.sessions[name].state

    def is_(self, name: str, state: str) -> bool:
        return self.state(name).value == state

    def _note(self, effects: list[Effect]) -> list[Effect]:
        for effect in effects:
            effect_checks.check(effect)
            match effect:
                case JobChanged():
                    self.jobs[effect.job.id] = effect.job
                    if effect.before != effect.job.state:
                        self.steps.append((effect.job.id, effect.job.state.value, effect.at))
                case SessionChanged():
                    self.sessions[effect.session.id] = effect.session
                    if effect.before != effect.session.state:
                        self.steps.append((effect.session.id, effect.session.state.value, effect.at))
                case ReservationChanged():
                    self.reservations.setdefault(effect.reservation.id, []).append(effect.state)
                case Charge():
                    self.charges.append(effect)
                case Start():
                    self.started.append(effect.job_id)
                case Stop():
                    self.stopped.append(effect.job_id)
        return effects
