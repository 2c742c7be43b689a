"""Defines all events of a device's lane. Pure data; the time is given beside it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from sojourn.core.calendar import AfterReservation, ReservationMode
from sojourn.core.fair_share.shares import Shares
from sojourn.core.model import DeviceMode, JobKind, Mode


@dataclass(frozen=True, slots=True)
class JobAccepted:
    """A job came in. `own_limit` is its max_execution_time in seconds, if it has one; where it is not
    `stated`, the longest run that its project allows."""

    job_id: str
    seq: int
    user: str
    project: str
    program: str
    session_id: str | None = None
    own_limit: float | None = None
    kind: JobKind = JobKind.USER
    stated: bool = True


@dataclass(frozen=True, slots=True)
class JobPrepared:
    """Preparation succeeded: the job may queue (R51). `estimate` is how many device seconds it will take;
    None or 0 for a device that does not know how long its gates take."""

    job_id: str
    estimate: float | None = None


@dataclass(frozen=True, slots=True)
class JobUnfit:
    """Preparation found that the job cannot run."""

    job_id: str
    reason: str
    code: int


@dataclass(frozen=True, slots=True)
class JobCancelled:
    """Somebody who may wants the job gone (R53)."""

    job_id: str
    by: str = "the user"


class Outcome(StrEnum):
    """How a run on the device ended."""

    COMPLETED = "completed"
    FAILED = "failed"  # the user's error
    CRASHED = "crashed"  # the worker died of it, as far as anybody can tell (D23)
    UNSTORED = "unstored"  # it completed, and there was no room for what it found
    STOPPED = "stopped"  # we killed it
    LOST = "lost"  # the server or the device failed, or nobody knows (R55)


@dataclass(frozen=True, slots=True)
class RunEnded:
    """The device is free again. A result of a job that is already final is dropped (R53).

    `used` is how many seconds the device itself worked, where it says so: one that is behind a queue of its
    own. None: all the time from the start to now. `untouched`: nothing of a run that was lost has reached the
    device.
    """

    job_id: str
    attempt: int
    outcome: Outcome
    reason: str | None = None
    code: int | None = None
    used: float | None = None
    untouched: bool = False


@dataclass(frozen=True, slots=True)
class SessionOpened:
    """`max_time` in seconds, None when the user did not say (R19)."""

    session_id: str
    user: str
    project: str
    mode: Mode
    max_time: float | None = None


@dataclass(frozen=True, slots=True)
class SessionDrained:
    """No more jobs; those there may finish (R38a)."""

    session_id: str


@dataclass(frozen=True, slots=True)
class SessionClosed:
    """The hard close (R33)."""

    session_id: str
    by: str = "the user"


@dataclass(frozen=True, slots=True)
class DeviceReady:
    """The device can run a job. `reruns`: whether one whose run is lost may be run on it again (R55)."""

    reruns: bool = True


@dataclass(frozen=True, slots=True)
class DeviceLost:
    """The device cannot run a job for now."""

    reason: str


@dataclass(frozen=True, slots=True)
class DeviceHalted:
    """An operator pauses, drains or maintains the device."""

    mode: DeviceMode
    by: str
    message: str
    until: float | None = None


@dataclass(frozen=True, slots=True)
class DeviceResumed:
    """An operator puts the device online again."""

    by: str


@dataclass(frozen=True, slots=True)
class ReservationBooked:
    """Somebody who may books `[start, end)` for the users of a project (R47)."""

    reservation_id: str
    project: str
    user: str
    start: float
    end: float
    mode: ReservationMode = ReservationMode.DEDICATED
    after_window: AfterReservation = AfterReservation.FAIL


@dataclass(frozen=True, slots=True)
class ReservationCancelled:
    """Before its start it is as if it had never been; an open one ends now (R44)."""

    reservation_id: str


@dataclass(frozen=True, slots=True)
class SharesChanged:
    """New weights, accounts and allocations (R48, R50)."""

    shares: Shares


@dataclass(frozen=True, slots=True)
class UsageReported:
    """Device seconds charged on another lane of the pool (R48)."""

    user: str
    project: str
    seconds: float
    at: float


@dataclass(frozen=True, slots=True)
class ClockStepped:
    """The machine's clock was set. `jumped` is by how many seconds the service's time has just gone forward
    without anything having lasted so long: 0 for a clock that was set back, as this time never goes back.
    From now on it leads the clock by `lead` seconds."""

    jumped: float
    lead: float


@dataclass(frozen=True, slots=True)
class Tick:
    """Time has passed: every deadline up to and including now fires."""


Event = (
    JobAccepted
    | JobPrepared
    | JobUnfit
    | JobCancelled
    | RunEnded
    | SessionOpened
    | SessionDrained
    | SessionClosed
    | DeviceReady
    | DeviceLost
    | DeviceHalted
    | DeviceResumed
    | ReservationBooked
    | ReservationCancelled
    | SharesChanged
    | UsageReported
    | ClockStepped
    | Tick
)
