"""Several devices in one virtual time, each checked by its own invariants; a method for each thing to do."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import replace

from sojourn.core import Job, JobKind, Lane, Mode, Profile, Session
from sojourn.core import events as ev
from sojourn.core.calendar import AfterReservation, ReservationMode
from sojourn.core.effects import Charge, Effect
from sojourn.core.explanation.explain import explain
from sojourn.core.fair_share.shares import ProjectShare, Shares
from sojourn.core.model import DeviceMode, JobState
from tests.model.explain_oracle import check_explanation
from tests.model.invariants import Invariants
from tests.model.steps import FINAL, LIVE

SMALL = Profile(
    interactive_ttl=5.0,
    batch_ttl=3.0,
    max_time=40.0,
    unused_expiry=20.0,
    cache_grace=6.0,
    program_limits={"sampler": 10.0, "estimator": 18.0},
    job_limit=10.0,
    job_cap=30.0,
    fair_share_window=150.0,
    reservation_minimum=3.0,
    reservation_allowance=60.0,
)
"""The default profile with small numbers."""

LATER = Profile(
    name="small ibm2026",
    interactive_ttl=4.0,
    batch_ttl=1.0,
    max_time=40.0,
    default_max_time=30.0,
    unused_expiry=15.0,
    cache_grace=3.0,
    root_cancel_ends_session=False,
    hard_close=JobState.CANCELLED,
    system_in_dedicated=False,
    charge_holds=frozenset({Mode.DEDICATED}),
    program_limits={"sampler": 10.0, "estimator": 18.0},
    job_cap=15.0,
    crash_reruns=0,
    rerun_lost=False,
    fair_share_window=60.0,
    reservation_minimum=3.0,
)

ESTIMATED = replace(SMALL, name="small, by estimate", estimate_factor=2.0, estimate_floor=3.0)
"""The limits of jobs that state none follow from their estimates (D22)."""

PEOPLE = (("ann", "p"), ("bob", "p"), ("cid", "q"), ("dot", "r"), ("eve", "z"))
PROJECTS = ("p", "q", "r", "z")
SHARES = (
    Shares(),
    Shares(projects={"p": ProjectShare(weight=2.0), "z": ProjectShare(weight=0.0)}),
    Shares(
        accounts={"lab": 3.0, "club": 0.5},
        projects={
            "p": ProjectShare("lab", allocation=20.0),
            "q": ProjectShare("lab", 0.5),
            "r": ProjectShare("club"),
        },
        users={("p", "ann"): 4.0, ("p", "bob"): 0.0},
    ),
    Shares(projects={"q": ProjectShare(allocation=0.0), "r": ProjectShare(allocation=5.0)}),
)
EXPLAINED = 7
"""Each time that so many steps have been made, one waiting job is asked why. To ask always, and all of them,
would take longer than all the other checks together."""
OUTCOMES = (ev.Outcome.COMPLETED, *ev.Outcome)


class Device:
    def __init__(self, name: str, profile: Profile) -> None:
        self.name = name
        self.profile = profile
        self.lane = Lane(name, profile)
        self.invariants = Invariants(profile)


class MultiDevice:
    """Numbers choose: each word takes small integers and finds something that they can mean."""

    def __init__(self, profiles: tuple[Profile, ...] = (SMALL, LATER)) -> None:
        self.devices = [Device(f"d{i}", profile) for i, profile in enumerate(profiles)]
        self.now = 1000.0
        self.steps = 0
        self.count = 0
        for device in self.devices:
            self.do(device, ev.DeviceReady())

    # the machine

    def do(self, device: Device, event: ev.Event) -> list[Effect]:
        self.steps += 1
        effects = device.lane.handle(event, self.now)
        device.invariants.see(event, self.now, effects)
        self._agree(device, isinstance(event, ev.Tick))
        for row in effects:
            if isinstance(row, Charge) and row.kind != "system" and len(self.devices) > 1:
                for other in self.devices:
                    if other is not device:
                        self.do(other, ev.UsageReported(row.user, row.project, row.seconds, row.end))
        return effects

    def _agree(self, device: Device, ticked: bool) -> None:
        """The lane's own answers agree with what it has told."""
        lane, invariants = device.lane, device.invariants
        assert lane.next_in_line() == invariants.expected
        jobs = [j for j in invariants.jobs.values() if j.state not in FINAL]
        assert lane.depth == sum(j.state != "running" for j in jobs)
        line = list(lane.line())
        assert sorted(job_id for _, job_id in line) == sorted(j.id for j in jobs if j.state == "queued")
        places = {job_id: place for place, job_id in line}
        assert {i: lane.standing(lane.state.jobs[i]).place for i in places} == places
        runs = lane.running is not None
        assert lane.positions(places) == {job_id: n + runs for n, job_id in enumerate(places)}
        active = invariants.active()
        assert lane.active == (active.id if active else None)
        deadline = lane.next_deadline()
        if self.steps % EXPLAINED == 0:
            waiting = [j.id for j in jobs if j.state != "running"]
            if waiting:
                asked = waiting[self.steps // EXPLAINED % len(waiting)]
                check_explanation(invariants, asked, explain(lane, asked))
        if ticked:
            assert deadline is None or deadline > self.now, "a tick settles everything that was due"

    def sleep(self, seconds: float) -> None:
        """Every lane gets its ticks exactly when it wants them."""
        until = self.now + seconds
        while True:
            due = [(at, d) for d in self.devices if (at := d.lane.next_deadline()) is not None]
            at, device = min(due, key=lambda x: x[0], default=(until + 1, self.devices[0]))
            if at > until:
                break
            self.now = max(self.now, at)
            self.do(device, ev.Tick())
        self.now = until
        for device in self.devices:
            device.invariants.forget()

    def oversleep(self, seconds: float) -> None:
        """Time passes and nobody tells the lanes: what is overdue still happens at its own time."""
        self.now += seconds

    # who and what

    def device(self, n: int) -> Device:
        return self.devices[n % len(self.devices)]

    def _name(self, kind: str) -> str:
        self.count += 1
        return f"{kind}{self.count}"

    def _session(self, device: Device, n: int) -> Session | None:
        live = [s for s in device.invariants.sessions.values() if s.state in LIVE]
        return live[n % len(live)] if live else None

    def _job(self, device: Device, n: int, *states: str) -> Job | None:
        jobs = [j for j in device.invariants.jobs.values() if j.state in states]
        return jobs[n % len(jobs)] if jobs else None

    # words

    def submit(self, d: int, who: int, limit: int, prepared: bool) -> None:
        user, project = PEOPLE[who % len(PEOPLE)]
        self._accept(self.device(d), user, project, None, limit, prepared)

    def submit_in_session(self, d: int, which: int, limit: int, prepared: bool) -> None:
        device = self.device(d)
        session = self._session(device, which)
        if session is not None:
            self._accept(device, session.user, session.project, session.id, limit, prepared)

    def calibrate(self, d: int) -> None:
        self._accept(self.device(d), "system", "system", None, 5, True, JobKind.SYSTEM)

    def _accept(
        self,
        device: Device,
        user: str,
        project: str,
        session: str | None,
        limit: int,
        prepared: bool,
        kind: JobKind = JobKind.USER,
    ) -> None:
        name = self._name("j")
        program = ("sampler", "estimator")[limit % 2]
        own = None if limit == 0 else float(limit)
        stated = limit % 3 > 0  # else it is the project's, which bounds what follows from an estimate (D22)
        self.do(device, ev.JobAccepted(name, self.count, user, project, program, session, own, kind, stated))
        if prepared and name in device.invariants.jobs:
            self.do(device, ev.JobPrepared(name, self._estimate()))

    def _estimate(self) -> float | None:
        """What preparation finds; not always anything."""
        return None if self.count % 7 == 6 else float(self.count % 7)

    def prepare(self, d: int, n: int) -> None:
        job = self._job(self.device(d), n, "accepted")
        if job is not None:
            self.do(self.device(d), ev.JobPrepared(job.id, self._estimate()))

    def unfit(self, d: int, n: int) -> None:
        job = self._job(self.device(d), n, "accepted", "queued")
        if job is not None:
            self.do(self.device(d), ev.JobUnfit(job.id, "no such qubit", 1))

    def cancel(self, d: int, n: int) -> None:
        job = self._job(self.device(d), n, "accepted", "queued", "running", "completed")
        if job is not None:
            self.do(self.device(d), ev.JobCancelled(job.id))

    def finish(self, d: int, outcome: int) -> None:
        device = self.device(d)
        if device.invariants.occupant is not None:
            job_id, attempt = device.invariants.occupant
            self.do(device, ev.RunEnded(job_id, attempt, OUTCOMES[outcome % len(OUTCOMES)]))
            self.do(device, ev.RunEnded(job_id, attempt, ev.Outcome.COMPLETED))  # told twice

    def open(self, d: int, who: int, batch: bool, max_time: int) -> None:
        user, project = PEOPLE[who % len(PEOPLE)]
        mode = Mode.BATCH if batch else Mode.DEDICATED
        opened = ev.SessionOpened(self._name("s"), user, project, mode, float(max_time) if max_time else None)
        self.do(self.device(d), opened)

    def drain(self, d: int, n: int) -> None:
        session = self._session(self.device(d), n)
        if session is not None:
            self.do(self.device(d), ev.SessionDrained(session.id))

    def close(self, d: int, n: int) -> None:
        session = self._session(self.device(d), n)
        if session is not None:
            self.do(self.device(d), ev.SessionClosed(session.id))
            self.do(self.device(d), ev.SessionClosed(session.id))

    def reserve(self, d: int, project: int, after: int, length: int, priority: bool, requeue: bool) -> None:
        start = self.now + after
        booked = ev.ReservationBooked(
            self._name("w"),
            PROJECTS[project % len(PROJECTS)],
            "admin",
            start,
            start + length,
            ReservationMode.PRIORITY if priority else ReservationMode.DEDICATED,
            AfterReservation.REQUEUE if requeue else AfterReservation.FAIL,
        )
        self.do(self.device(d), booked)

    def cancel_reservation(self, d: int, n: int) -> None:
        device = self.device(d)
        reservations = [*device.invariants.reservations, "none"]
        self.do(device, ev.ReservationCancelled(reservations[n % len(reservations)]))

    def halt(self, d: int, mode: int) -> None:
        modes = tuple(DeviceMode)
        self.do(self.device(d), ev.DeviceHalted(modes[mode % len(modes)], "olga", "maintenance"))

    def resume(self, d: int) -> None:
        self.do(self.device(d), ev.DeviceResumed("olga"))

    def lose(self, d: int) -> None:
        self.do(self.device(d), ev.DeviceLost("the worker died"))

    def ready(self, d: int) -> None:
        self.do(self.device(d), ev.DeviceReady())

    def share(self, n: int) -> None:
        for device in self.devices:
            self.do(device, ev.SharesChanged(SHARES[n % len(SHARES)]))

    def tick(self, d: int) -> None:
        self.do(self.device(d), ev.Tick())

    def restart(self, d: int, down: float = 0.0) -> None:
        """R55: a new lane from what was committed, after the service was down for some time."""
        device = self.device(d)
        self.do(device, ev.Tick())  # the last thing that was committed
        invariants = device.invariants
        lane = Lane(device.name, device.profile, invariants.shares)
        charges = [(user, project, used, until) for until, project, user, used in sorted(invariants.charges)]
        lost = lane.restore(*deepcopy(invariants.restarted()), charges=charges)
        device.lane = lane
        self.do(device, ev.Tick())
        self.now += down
        overdue: list[ev.Event] = [*lost, ev.Tick()]
        for event in overdue:
            self.do(device, event)

    # the end

    def run_out(self) -> None:
        """Everybody goes home: the devices come back, allocations are lifted, all that waits is let run."""
        self.share(0)
        for d, device in enumerate(self.devices):
            self.ready(d)
            self.resume(d)
            for job in [j for j in device.invariants.jobs.values() if j.state == "accepted"]:
                self.do(device, ev.JobPrepared(job.id))
        for _ in range(10_000):
            if all(self._over(d) for d in self.devices):
                break
            self.sleep(1.0)
            for d in range(len(self.devices)):
                self.finish(d, 0)
        for device in self.devices:
            assert self._over(device), "every accepted job ends, every session and window too"

    def _over(self, device: Device) -> bool:
        invariants = device.invariants
        return (
            all(j.state in FINAL for j in invariants.jobs.values())
            and all(s.state == "closed" for s in invariants.sessions.values())
            and not invariants.reservations
        )
