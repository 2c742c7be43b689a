"""Defines the reasons for which a job waits, each with its facts and a sentence for people."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from sojourn.core.calendar import ReservationMode
from sojourn.core.model import DeviceMode
from sojourn.core.wording.formatting import at_time, seconds
from sojourn.core.wording.limits import LimitSource, left_before, named, remedy

Name = Callable[[str], str]
"""From a project's id to its name."""


@dataclass(frozen=True, slots=True)
class Preparing:
    """R51: the job is accepted and not yet queued."""

    def sentence(self, _: Name) -> str:
        return "the job is still being checked and prepared"


@dataclass(frozen=True, slots=True)
class DeviceStopped:
    """An operator has paused the device or put it into maintenance."""

    mode: DeviceMode
    by: str
    message: str
    until: float | None

    def sentence(self, _: Name) -> str:
        why = f": {self.message}" if self.message else ""
        until = f" (expected until {at_time(self.until)})" if self.until is not None else ""
        return f"the device is {_STOPPED[self.mode]} by {self.by}{why}{until}"


_STOPPED = {
    DeviceMode.PAUSED: "paused",
    DeviceMode.MAINTENANCE: "in maintenance",
    DeviceMode.DRAINING: "being drained",
}


@dataclass(frozen=True, slots=True)
class DeviceDown:
    """The device cannot run a job now."""

    reason: str

    def sentence(self, _: Name) -> str:
        return f"the device is not available: {self.reason}"


@dataclass(frozen=True, slots=True)
class AllocationUsed:
    """R50: the allocation of its project is used up."""

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
    """R45, R47: another project's reservation is open; with priority, jobs of that project are waiting."""

    reservation: str
    project: str
    mode: ReservationMode
    until: float

    def sentence(self, name: Name) -> str:
        what = "has the device" if self.mode is ReservationMode.DEDICATED else "goes first"
        whose = f"reservation {self.reservation} of project {name(self.project)}"
        return f"{whose} {what} until {at_time(self.until)}"


@dataclass(frozen=True, slots=True)
class DoesNotFit:
    """R46: it could run into a dedicated reservation of another project, which begins in `room` seconds.

    `limit` comes from `source`, see there; `would_fit` is the longest max_execution_time that fits, None for
    a job that needs more.
    """

    reservation: str
    start: float
    end: float
    limit: float
    room: float
    source: LimitSource | None
    estimate: float | None
    would_fit: int | None

    def sentence(self, _: Name) -> str:
        return (
            f"with its {named(self.limit, self.source, self.estimate)} it does not fit into the "
            f"{left_before(self.room)} before reservation {self.reservation}, from {at_time(self.start)} to "
            f"{at_time(self.end)}{remedy(self.room, self.estimate, self.source)}"
        )


@dataclass(frozen=True, slots=True)
class Running:
    """The device runs a job; running jobs are not preempted (R11)."""

    job_id: str | None
    project: str
    session_id: str | None

    def sentence(self, name: Name) -> str:
        what = "a job" if self.job_id is None else f"job {self.job_id}"
        where = f" of session {self.session_id}" if self.session_id else ""
        return f"{what}{where} of project {name(self.project)} is running"


@dataclass(frozen=True, slots=True)
class Clearing:
    """R53: a job has ended, but its run has the device until the worker has stopped."""

    job_id: str | None

    def sentence(self, _: Name) -> str:
        what = "a job" if self.job_id is None else f"job {self.job_id}"
        return f"{what} has ended; waiting for its worker to stop"


@dataclass(frozen=True, slots=True)
class SystemJobsAhead:
    """R9 (1): calibrations and other system jobs go first."""

    count: int

    def sentence(self, _: Name) -> str:
        return f"{_jobs(self.count, 'system job')} ahead"


@dataclass(frozen=True, slots=True)
class SessionHolds:
    """R2: another session goes first; `held_until` is the end of its idle hold as things stand, None while
    it has a job that can start or somebody else has the device."""

    session_id: str | None
    project: str
    jobs_ahead: int
    held_until: float | None

    def sentence(self, name: Name) -> str:
        which = "session" if self.session_id is None else f"session {self.session_id}"
        whose = f"{which} of project {name(self.project)}"
        if self.jobs_ahead:
            more = "job" if self.jobs_ahead == 1 else "jobs"
            goes = f"the active {whose} goes first with {self.jobs_ahead} more {more}"
            if self.held_until is None:
                return goes
            until = at_time(self.held_until)
            return f"{goes}, of which none can start now, and holds the device until {until}"
        if self.held_until is not None:
            return f"the active {whose} holds the device until {at_time(self.held_until)} or its next job"
        return f"the active {whose} holds the device for its next job"


@dataclass(frozen=True, slots=True)
class JobsAhead:
    """Other jobs in the same queue go first; counts by project."""

    by_project: tuple[tuple[str, int], ...]

    @property
    def count(self) -> int:
        return sum(n for _, n in self.by_project)

    def sentence(self, name: Name) -> str:
        whose = ", ".join(f"{n} of project {name(project)}" for project, n in self.by_project)
        return f"{_jobs(self.count, 'job')} ahead in the queue ({whose})"


@dataclass(frozen=True, slots=True)
class OverShare:
    """R48: its project has used more than its share among the projects with waiting jobs."""

    project: str
    ratio: float

    def sentence(self, name: Name) -> str:
        return f"project {name(self.project)} has used {self.ratio:.1f}x its share"


@dataclass(frozen=True, slots=True)
class NoWeight:
    """R48: with weight 0 a job starts only when no others wait. `level` is account, project or user."""

    level: str

    def sentence(self, _: Name) -> str:
        return f"the {self.level} has weight 0, so its jobs start only when no others wait"


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
    | NoWeight
)


def without_ids(reason: Reason) -> Reason:
    """The reason for a reader who may not see that job or session: its project remains."""
    match reason:
        case Running():
            return replace(reason, job_id=None, session_id=None)
        case Clearing():
            return replace(reason, job_id=None)
        case SessionHolds():
            return replace(reason, session_id=None)
    return reason


def _jobs(count: int, what: str) -> str:
    return f"{count} {what} is" if count == 1 else f"{count} {what}s are"
