"""Defines all effects of a lane. Pure data.

`JobChanged`, `SessionChanged` and `Charge` are facts to commit; `Start` and `Stop` are acts that the shell
performs after the commit, any number of times with the same result.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from sojourn.core.calendar import Reservation
from sojourn.core.model import DeviceStatus, Job, JobState, Session, SessionState


@dataclass(frozen=True, slots=True)
class JobChanged:
    """`job` is a copy, as it is after the step. `before` is None for a new job."""

    job: Job
    before: JobState | None
    at: float
    cause: str


@dataclass(frozen=True, slots=True)
class SessionChanged:
    """`session` is a copy. `before` equals its state when only its fields changed."""

    session: Session
    before: SessionState | None
    at: float
    cause: str


class ChargeKind(StrEnum):
    """Kinds of ledger rows (R49)."""

    JOB = "job"
    HELD = "held"
    SYSTEM = "system"
    RESERVATION = "reservation"  # a dedicated reservation's idle time


@dataclass(frozen=True, slots=True)
class Charge:
    """Device seconds from `start` to `end` for an account; a row of the ledger (R49)."""

    kind: ChargeKind
    user: str
    project: str
    start: float
    end: float
    job_id: str | None = None
    session_id: str | None = None

    @property
    def seconds(self) -> float:
        return self.end - self.start


@dataclass(frozen=True, slots=True)
class ReservationChanged:
    """`reservation` is a copy; `state` is booked, open, ended or cancelled."""

    reservation: Reservation
    state: str
    at: float


@dataclass(frozen=True, slots=True)
class DeviceChanged:
    """The status of the device has changed; None is online."""

    halt: DeviceStatus | None
    at: float


@dataclass(frozen=True, slots=True)
class Start:
    """Run this attempt of the job on the device."""

    job_id: str
    attempt: int


@dataclass(frozen=True, slots=True)
class Stop:
    """Kill this attempt if it still runs; answer with RunEnded(STOPPED)."""

    job_id: str
    attempt: int


@dataclass(frozen=True, slots=True)
class Rejected:
    """The event was not admissible and changed nothing. `code` is the service's number."""

    code: int
    message: str


Effect = JobChanged | SessionChanged | ReservationChanged | DeviceChanged | Charge | Start | Stop | Rejected
