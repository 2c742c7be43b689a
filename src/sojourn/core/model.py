"""The things that a lane knows: jobs and sessions, as slotted data. No behaviour beyond derived facts.

Times are seconds since the epoch, durations are seconds. Rule numbers (R…, D…) are those of the contract.
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
    `pending_closed` has ended while its last job still runs (R36)."""

    OPEN = "open"
    ACTIVE = "active"
    INACTIVE = "inactive"
    PENDING_CLOSED = "pending_closed"
    CLOSED = "closed"


class Mode(StrEnum):
    """Interactive sessions and batches differ only in their numbers (R13, R14, R21)."""

    DEDICATED = "dedicated"
    BATCH = "batch"


@dataclass(slots=True)
class Job:
    """One job of one device.

    `seq` orders jobs by acceptance across the whole service. `own_limit` is the `max_execution_time` that
    the user asked for; `limit` the one that holds. `detached` marks a job that outlived its session as a
    plain job (R34); its session's cached data holds until `cache_expires_at`.
    """

    id: str
    seq: int
    user: str
    project: str
    program: str
    accepted_at: float
    limit: float
    own_limit: float | None = None
    session_id: str | None = None
    kind: JobKind = JobKind.USER
    state: JobState = JobState.ACCEPTED
    queued_at: float | None = None
    started_at: float | None = None
    ended_at: float | None = None
    attempt: int = 0
    crashes: int = 0
    detached: bool = False
    cache_expires_at: float | None = None
    reason: str | None = None
    reason_code: int | None = None
    charged: float = 0.0


@dataclass(slots=True)
class Session:
    """One session or batch of one device (R5).

    `max_time` is what the user asked for until the root starts, then what holds (R19). `first` is the first
    accepted job: it stands for the root until a job has started (R40). The deadlines (`ends_at`, `ttl_at`,
    `unused_at`) are absolute; `ttl_left` is what remains of a suspended ttl clock (D1). `hold_since` is
    the beginning of the present idle hold.
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
    cache_expires_at: float | None = None
    last_job_started: float | None = None
    last_job_completed: float | None = None
    active_seconds: float = 0.0  # of finished active spells
    job_seconds: float = 0.0  # charged to its jobs
    reason: str | None = None  # why it ended

    def elapsed(self, now: float) -> float:
        """Wall-clock seconds in which the session has been active."""
        spell = now - self.activated_at if self.activated_at is not None and self.holds_clock else 0.0
        return self.active_seconds + max(0.0, spell)

    @property
    def holds_clock(self) -> bool:
        return self.state in (SessionState.ACTIVE, SessionState.PENDING_CLOSED)
