"""Why a job waits: typed reasons, computed from the lane itself, so they are as true as its next decision.

Reads a lane and changes nothing. Position, depth and reasons come from one look at one line.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum

from sojourn.core.calendar import WindowMode
from sojourn.core.lane import Lane
from sojourn.core.model import HaltMode, Job, JobKind, JobState, Mode
from sojourn.core.words import at_time, seconds

Name = Callable[[str], str]
"""From a project's id to its name."""


@dataclass(frozen=True, slots=True)
class Preparing:
    """R51: accepted, not yet queued."""

    def sentence(self, _: Name) -> str:
        return "the job is still being checked and prepared"


@dataclass(frozen=True, slots=True)
class DeviceStopped:
    """An operator wants nothing to start."""

    mode: HaltMode
    by: str
    message: str
    until: float | None

    def sentence(self, _: Name) -> str:
        why = f": {self.message}" if self.message else ""
        until = f" (expected until {at_time(self.until)})" if self.until is not None else ""
        return f"the device is {_STOPPED[self.mode]} by {self.by}{why}{until}"


_STOPPED = {
    HaltMode.PAUSED: "paused",
    HaltMode.MAINTENANCE: "in maintenance",
    HaltMode.DRAINING: "being drained",
}


@dataclass(frozen=True, slots=True)
class DeviceDown:
    """The device could not run a job now."""

    reason: str

    def sentence(self, _: Name) -> str:
        return f"the device is not available: {self.reason}"


@dataclass(frozen=True, slots=True)
class AllocationUsed:
    """R50: its project has nothing left to spend."""

    project: str
    used: float
    allocation: float

    def sentence(self, name: Name) -> str:
        return (
            f"project {name(self.project)} has used {seconds(round(self.used, 3))} of its allocation of "
            f"{seconds(self.allocation)}"
        )


@dataclass(frozen=True, slots=True)
class Reserved:
    """R45, R47: somebody else's window is open."""

    reservation: str
    project: str
    mode: WindowMode
    until: float

    def sentence(self, name: Name) -> str:
        what = "has the device" if self.mode is WindowMode.DEDICATED else "goes first"
        whose = f"reservation {self.reservation} of project {name(self.project)}"
        return f"{whose} {what} until {at_time(self.until)}"


@dataclass(frozen=True, slots=True)
class DoesNotFit:
    """R46: it could run into somebody's dedicated window."""

    reservation: str
    start: float
    end: float
    limit: float

    def sentence(self, _: Name) -> str:
        return (
            f"with its limit of {seconds(self.limit)} it does not fit before reservation "
            f"{self.reservation}, from {at_time(self.start)} to {at_time(self.end)}"
        )


@dataclass(frozen=True, slots=True)
class Running:
    """The device is busy; nothing is preempted (R11)."""

    job_id: str
    project: str
    session_id: str | None

    def sentence(self, name: Name) -> str:
        where = f" of session {self.session_id}" if self.session_id else ""
        return f"job {self.job_id}{where} of project {name(self.project)} is running"


@dataclass(frozen=True, slots=True)
class Clearing:
    """R53: a job has ended but its run still has the device, until the worker is stopped."""

    job_id: str

    def sentence(self, _: Name) -> str:
        return f"job {self.job_id} has ended and is being cleared off the device"


@dataclass(frozen=True, slots=True)
class SystemJobsAhead:
    """R9 (1)."""

    count: int

    def sentence(self, _: Name) -> str:
        return f"{_jobs(self.count, 'system job')} ahead"


@dataclass(frozen=True, slots=True)
class SessionHolds:
    """R2: another session goes first; `held_until` is the end of its idle hold as things stand, None while
    it has a job or somebody else has the device."""

    session_id: str
    project: str
    jobs_ahead: int
    held_until: float | None

    def sentence(self, name: Name) -> str:
        whose = f"session {self.session_id} of project {name(self.project)}"
        if self.jobs_ahead:
            more = "job" if self.jobs_ahead == 1 else "jobs"
            return f"the active {whose} goes first with {self.jobs_ahead} more {more}"
        if self.held_until is not None:
            return f"the active {whose} holds the device until {at_time(self.held_until)} or its next job"
        return f"the active {whose} keeps the device for its next job"


@dataclass(frozen=True, slots=True)
class JobsAhead:
    """Others in the same queue go first; counts by project."""

    by_project: tuple[tuple[str, int], ...]

    @property
    def count(self) -> int:
        return sum(n for _, n in self.by_project)

    def sentence(self, name: Name) -> str:
        whose = ", ".join(f"{n} of project {name(project)}" for project, n in self.by_project)
        return f"{_jobs(self.count, 'job')} ahead in the queue ({whose})"


@dataclass(frozen=True, slots=True)
class OverShare:
    """R48: its project has used more than it is entitled to among those who wait in the queue."""

    project: str
    ratio: float

    def sentence(self, name: Name) -> str:
        return f"project {name(self.project)} has used {self.ratio:.1f}x its share"


Reason = (
    Preparing
    | DeviceStopped
    | DeviceDown
    | AllocationUsed
    | Reserved
    | DoesNotFit
    | Running
    | Clearing
    | SystemJobsAhead
    | SessionHolds
    | JobsAhead
    | OverShare
)


@dataclass(frozen=True, slots=True)
class Explanation:
    """`position` jobs are before it (the running one counts); `depth` wait on the device in all."""

    job_id: str
    position: int | None
    depth: int
    reasons: tuple[Reason, ...]


def explain(lane: Lane, job_id: str) -> Explanation | None:
    """Why the job waits on this lane, as of the lane's last event; None unless it is accepted or queued."""
    job = lane.book.jobs.get(job_id)
    if job is None or job.state is JobState.RUNNING:
        return None
    if job.state is JobState.ACCEPTED:
        return Explanation(job_id, None, lane.depth, (Preparing(), *_of_device(lane)))
    order = line(lane)
    ahead = [lane.book.jobs[i] for i in order[: order.index(job_id)]]
    reasons = [*_of_device(lane), *_of_time(lane, job), *_of_run(lane), *_of_queue(lane, job, ahead)]
    return Explanation(job_id, len(ahead) + (lane.running is not None), lane.depth, tuple(reasons))


# the line


class Place(IntEnum):
    """Whose turn it is before whose (R9), as things stand."""

    SYSTEM = 0
    HOLDER = 1  # of the open reservation
    SESSION = 2  # the active one
    SYSTEM_LATER = 3  # the profile lets no system job into an interactive session
    QUEUE = 4
    SPENT = 5  # R50


def line(lane: Lane) -> list[str]:
    """All queued jobs in the order in which they would start if nothing else happened.

    A job that does not fit before a window keeps its place (R46): it is passed over, not overtaken. Jobs of a
    project whose allocation is used up stand last, oldest first.
    """
    return sorted(lane.order(), key=lambda job_id: _place(lane, lane.book.jobs[job_id]))


def _place(lane: Lane, job: Job) -> tuple[Place, int]:
    active = lane.queues.active
    if job.kind is JobKind.SYSTEM:
        interactive = active is not None and active.mode is Mode.DEDICATED
        later = interactive and not lane.profile.system_in_dedicated
        return (Place.SYSTEM_LATER if later else Place.SYSTEM), 0
    if job.id not in lane.fair:
        return Place.SESSION, 0
    if lane.fair.blocked(job.project):
        return Place.SPENT, job.seq
    window = lane.calendar.open_at(lane.now)
    if window is None or job.project != window.project or (active and active.project == window.project):
        return Place.QUEUE, 0
    in_time = window.mode is WindowMode.DEDICATED or job.accepted_at >= window.start
    return (Place.HOLDER if in_time else Place.QUEUE), 0


# reasons


def _of_device(lane: Lane) -> list[Reason]:
    found: list[Reason] = []
    if lane.halt is not None and lane.halt.mode is not HaltMode.DRAINING:
        found.append(DeviceStopped(lane.halt.mode, lane.halt.by, lane.halt.message, lane.halt.until))
    if not lane.ready:
        found.append(DeviceDown(lane.lost_because))
    return found


def _of_time(lane: Lane, job: Job) -> list[Reason]:
    """Windows and allocations: what keeps the job from starting even when it is its turn."""
    found: list[Reason] = []
    if _place(lane, job)[0] is Place.SPENT:
        allocation = lane.fair.shares.project(job.project).allocation
        found.append(AllocationUsed(job.project, lane.fair.used(job.project), allocation or 0.0))
    if job.kind is JobKind.SYSTEM:  # goes first, whoever has booked (R9)
        return found
    window = lane.calendar.open_at(lane.now)
    if window is not None and window.project != job.project and window.mode is WindowMode.DEDICATED:
        found.append(Reserved(window.id, window.project, window.mode, window.end))
    ahead = lane.calendar.next_dedicated(lane.now, job.project)
    if ahead is not None and not lane.queues.fits(job, lane.now):
        found.append(DoesNotFit(ahead.id, ahead.start, ahead.end, job.limit))
    return found


def _of_run(lane: Lane) -> list[Reason]:
    """What occupies the device."""
    if lane.run is None:
        return []
    job = lane.book.jobs.get(lane.run.job_id)
    if job is None:
        return [Clearing(lane.run.job_id)]
    return [Running(job.id, job.project, None if job.detached else job.session_id)]


def _of_queue(lane: Lane, job: Job, ahead: list[Job]) -> list[Reason]:
    """Who goes first."""
    found: list[Reason] = []
    mine = _place(lane, job)[0]
    before = Counter(_place(lane, other)[0] for other in ahead)
    if system := before[Place.SYSTEM] + before[Place.SYSTEM_LATER]:
        found.append(SystemJobsAhead(system))
    active = lane.queues.active
    if active is not None and mine > Place.SESSION:
        held_until = None if lane.queues.session_waits else active.ttl_at
        found.append(SessionHolds(active.id, active.project, before[Place.SESSION], held_until))
    named = {Place.SYSTEM, Place.SYSTEM_LATER} | ({Place.SESSION} if mine > Place.SESSION else set())
    others = Counter(other.project for other in ahead if _place(lane, other)[0] not in named)
    if others:
        found.append(JobsAhead(tuple(sorted(others.items()))))
    foreign = any(project != job.project for project in others)
    if foreign and job.id in lane.fair and (ratio := _over_share(lane, job)) > 1.0:
        found.append(OverShare(job.project, ratio))
    return found


def _over_share(lane: Lane, job: Job) -> float:
    """The project's part of what the waiting projects have used, over the part that it is entitled to.

    That is its account's weight among the accounts that wait, times its own among that account's projects.
    """
    shares, waiting = lane.fair.shares, {w.project for w in lane.fair.waiting.values()}
    accounts = {shares.project(p).account for p in waiting}
    account = shares.project(job.project).account
    siblings = [shares.project(p).weight for p in waiting if shares.project(p).account == account]
    used = sum(map(lane.fair.used, waiting))
    every = sum(map(shares.account_weight, accounts)) * sum(siblings)
    entitled = shares.account_weight(account) * shares.project(job.project).weight
    if used <= 0 or entitled <= 0:
        return 0.0
    return (lane.fair.used(job.project) / used) / (entitled / every)


def _jobs(count: int, what: str) -> str:
    return f"{count} {what} is" if count == 1 else f"{count} {what}s are"
