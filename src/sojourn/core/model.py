"""Defines jobs, sessions and the status of a device, as plain data.

Times are seconds since the epoch, durations are seconds. Rule numbers (R…, D…) are those of docs/policy.md.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class JobState(StrEnum):
    """R51. The last three are final."""

    ACCEPTED = "accepted"
    QUEUED = "queued"
    RUNNING = "running"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def final(self) -> bool:
        return self in FINAL


FINAL = frozenset({JobState.COMPLETED, JobState.FAILED, JobState.CANCELLED})


class JobKind(StrEnum):
    """Who wants the job: a user, or the system itself (calibration), which goes first (R9)."""

    USER = "user"
    SYSTEM = "system"


class SessionState(StrEnum):
    """`open` until the root job starts; `active` holds the device; `inactive` has lost it for now (R23);
    `pending_inactive` loses it when its running job ends (R44); `pending_closed` has ended while its last
    job still runs (R36)."""

    OPEN = "open"
    ACTIVE = "active"
    PENDING_INACTIVE = "pending_inactive"
    INACTIVE = "inactive"
    PENDING_CLOSED = "pending_closed"
    CLOSED = "closed"


class Mode(StrEnum):
    """Interactive sessions and batches differ only in their numbers (R13, R14, R21)."""

    DEDICATED = "dedicated"
    BATCH = "batch"


class DeviceMode(StrEnum):
    """What an operator can want of a device that is not simply online.

    `paused` and `maintenance`: the queue keeps, nothing starts. `draining`: what is there runs, nothing
    new comes in.
    """

    PAUSED = "paused"
    DRAINING = "draining"
    MAINTENANCE = "maintenance"


@dataclass(frozen=True, slots=True)
class DeviceStatus:
    """`until` is when the operator expects the end; nothing happens by itself then."""

    mode: DeviceMode
    by: str
    message: str
    since: float
    until: float | None = None


Spent = tuple[float, float, float]


@dataclass(slots=True)
class Job:
    """One job of one device.

    `seq` orders jobs by acceptance across the whole service. `own_limit` is the `max_execution_time` that
    the user asked for, or, where it is not `stated`, the longest run that the project allows; `limit` is the
    one that holds. `estimate` is the device seconds that preparation expects. `detached` marks a job that
    outlived its session as a plain job (R34); its session's cached data holds until `cache_expires_at`.
    `crashed` are the runs whose worker died (D23): (start, end, seconds by which time has jumped since).
    `reruns`: whether the device on which it runs lets a run that was lost be repeated (R55).
    """

    id: str
    seq: int
    user: str
    project: str
    program: str
    accepted_at: float
    limit: float
    own_limit: float | None = None
    stated: bool = True
    estimate: float | None = None
    session_id: str | None = None
    kind: JobKind = JobKind.USER
    state: JobState = JobState.ACCEPTED
    queued_at: float | None = None
    started_at: float | None = None
    ended_at: float | None = None
    attempt: int = 0
    crashes: int = 0
    crashed: tuple[Spent, ...] = ()
    detached: bool = False
    cache_expires_at: float | None = None
    reason: str | None = None
    reason_code: int | None = None
    charged: float = 0.0
    reruns: bool = True


@dataclass(slots=True)
class Session:
    """One session or batch of one device (R5).

    `max_time` is what the user asked for until the root starts, then what holds (R19). `first` is the first
    accepted job: it stands for the root until a job has started (R40). The deadlines (`ends_at`, `ttl_at`,
    `unused_at`) are absolute; `ttl_left` is what remains of a suspended ttl clock (D1). `hold_since` is
    the beginning of the present idle hold if it is charged, `running_since` that of the running job.
    `window` is the reservation in which it last became active (R44).
    """

    id: str
    user: str
    project: str
    mode: Mode
    created_at: float
    ttl: float
    max_time: float | None = None
    state: SessionState = SessionState.OPEN
    accepting: bool = True
    first: str | None = None
    root: str | None = None
    started_at: float | None = None
    activated_at: float | None = None
    closed_at: float | None = None
    ends_at: float | None = None
    ttl_at: float | None = None
    ttl_left: float | None = None
    unused_at: float | None = None
    hold_since: float | None = None
    running_since: float | None = None
    window: str | None = None
    cache_expires_at: float | None = None
    last_job_started: float | None = None
    last_job_completed: float | None = None
    job_seconds: float = 0.0  # charged for its jobs
    held_seconds: float = 0.0  # charged for its holds
    reason: str | None = None  # why it ended

    def usage(self, now: float) -> float:
        """Device seconds up to now: its ledger rows, and what is under way (R49)."""
        held = now - self.hold_since if self.hold_since is not None else 0.0
        running = now - self.running_since if self.running_since is not None else 0.0
        return self.job_seconds + self.held_seconds + max(0.0, held) + max(0.0, running)
