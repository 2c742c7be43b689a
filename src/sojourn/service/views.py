"""What the service shows to the outside: immutable, committed facts. No HTTP and no SQL in here.

Times are seconds since the epoch (UTC), durations are seconds.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sojourn.worker.protocol.types import Environment


@dataclass(frozen=True, slots=True)
class Principal:
    """Who calls, in which project. `operator` may administrate the service. `key` is the id of the API key,
    and `key_expires` when it ends, where one is known. `address` and `request` are where the request came
    from, and its id; "" for a call that is none."""

    user_id: str
    user: str
    project_id: str
    project: str
    operator: bool = False
    admin: bool = False  # of this project
    key: str | None = None
    key_expires: float | None = None
    address: str = ""
    request: str = ""


@dataclass(frozen=True, slots=True)
class ProjectView:
    """A project as it is kept. `limits` are its own values for keys of `[limits]` (R50); `tags` are in lower
    case, as the client looks for them."""

    id: str
    name: str
    crn: str
    account: str = "default"
    weight: float = 1.0
    allocation: float | None = None
    plan: str = "premium"
    limits: Mapping[str, float] = field(default_factory=dict, hash=False)
    tags: tuple[str, ...] = ()
    created: float = 0.0


@dataclass(frozen=True, slots=True)
class UserView:
    name: str
    projects: tuple[str, ...]
    operator: bool
    revoked: bool
    created: float
    crashes: int = 0  # how often a job of the user has ended its worker in the last hour


@dataclass(frozen=True, slots=True)
class NewKey:
    """The only time that the API key is shown."""

    name: str
    project: str
    instance: str  # the CRN
    api_key: str


@dataclass(frozen=True, slots=True)
class DeviceState:
    """What operators want of a device: `online`, or since when it is not, by whom and why.

    `until` is when they expect the end.
    """

    name: str = "online"  # or paused, draining, maintenance
    message: str = ""
    by: str | None = None
    since: float | None = None
    until: float | None = None


@dataclass(frozen=True, slots=True)
class DeviceView:
    """A device now. `operational`: jobs can start; `queue_length` counts accepted and queued jobs.

    `busy` and `held` say that a job runs and that a session has the device; the ids are None for a caller to
    whom they do not belong.
    """

    name: str
    driver: str
    num_qubits: int | None
    operational: bool
    message: str  # "active", or why it is not
    queue_length: int
    busy: bool
    running: str | None  # job id
    held: bool
    active_session: str | None
    mock: bool
    backend_version: str
    phase: str  # of its worker
    reason: str | None = None
    state: DeviceState = DeviceState()
    calibration: str | None = None  # the id of the one that holds
    calibrated: float | None = None
    next_calibration: float | None = None  # by its schedule
    checked: float | None = None  # when it was last checked on demand, since the start of the service
    check_summary: str | None = None  # what that check found
    environment: Environment | None = None  # of its worker; for operators, once one has started


@dataclass(frozen=True, slots=True)
class Span:
    """When something is expected: half of what may come is earlier. 10 % is earlier than `earliest`, 90 %
    than `latest`, which is None where less than that may come at all."""

    expected: float
    earliest: float
    latest: float | None


@dataclass(frozen=True, slots=True)
class QueueFacts:
    """When a job starts and ends, as forecast at `as_of`. `position` jobs are expected to start before it,
    the running one counts; it is None for a job that runs.

    `waits` are seconds until the expected start, by what passes in them. `unknown` says why no time is known.
    """

    as_of: float
    position: int | None = None
    start: Span | None = None
    end: Span | None = None
    waits: tuple[tuple[str, float], ...] = ()
    unknown: str | None = None


@dataclass(frozen=True, slots=True)
class Offer:
    """What a device would do with a job that is not submitted. `refused` is why it would not take it; then
    there is no `queue`.

    `limit` is how long it may run there, `seconds` for how long it would have the device: 10 % of such jobs
    take less than the first, half less than the second, 90 % less than the third. `left` are the seconds of
    the project's allocation that are not used up, None without an allocation.
    """

    device: str
    refused: str | None
    limit: float
    seconds: tuple[float, float, float]
    left: float | None
    queue: QueueFacts | None = None


@dataclass(frozen=True, slots=True)
class JobView:
    """A job as committed. `state` is one of accepted, queued, running, completed, failed, cancelled."""

    id: str
    device: str
    user: str
    project: str
    program_id: str
    state: str
    created: float
    session_id: str | None = None
    reason: str | None = None
    reason_code: int | None = None
    tags: tuple[str, ...] = ()
    private: bool = False
    cost: int | None = None  # the job's own limit in seconds, as sent
    limit: float = 0.0  # the limit that holds, seconds
    log_level: str | None = None
    estimated_seconds: float | None = None
    queued: float | None = None
    started: float | None = None
    finished: float | None = None
    quantum_seconds: float = 0.0  # charged
    num_circuits: int | None = None
    num_qubits: int | None = None
    executions: int | None = None
    attempt: int = 0
    position: int | None = None  # jobs before it on the device; None unless it waits
    caller: str | None = None
    warnings: tuple[str, ...] = ()
    waiting_reasons: tuple[str, ...] = ()  # only where it was asked for, as is the next
    estimated_start: float | None = None  # when it starts if nothing else happens, if that can be said
    queue: QueueFacts | None = None  # likewise

    @property
    def final(self) -> bool:
        return self.state in ("completed", "failed", "cancelled")


@dataclass(frozen=True, slots=True)
class JobFilter:
    """All given conditions must hold; `tags` must all be on the job."""

    limit: int = 10
    offset: int = 0
    device: str | None = None
    pending: bool | None = None
    program_id: str | None = None
    tags: tuple[str, ...] = ()
    session_id: str | None = None
    created_after: float | None = None
    created_before: float | None = None
    ascending: bool = False
    include_mocks: bool = False
    positions: bool = False  # for these the queues of the devices are gone through


@dataclass(frozen=True, slots=True)
class JobPage:
    jobs: Sequence[JobView]
    count: int  # all that match, whatever limit and offset


@dataclass(frozen=True, slots=True)
class SessionView:
    """A session as committed. `state`: open, active, inactive, pending_closed, closed."""

    id: str
    device: str
    mode: str  # dedicated | batch
    user: str
    project: str
    state: str
    accepting_jobs: bool
    created: float
    max_time: float
    interactive_ttl: float
    active_ttl: float  # seconds that are left of max_time; all of it before the start
    started: float | None = None
    activated: float | None = None
    closed: float | None = None
    last_job_started: float | None = None
    last_job_completed: float | None = None
    idle_ttl: float | None = None  # seconds until it loses the device, while that clock runs
    elapsed: float = 0.0  # usage by the profile's rule
    reason: str | None = None  # why it ended
    timestamps: tuple[tuple[str, float], ...] = ()
    warnings: tuple[str, ...] = ()  # only in the answer to its creation (R44, R50)


@dataclass(frozen=True, slots=True)
class UsageView:
    limit_seconds: float | None
    consumed_seconds: float
    limit_reached: bool = False


@dataclass(frozen=True, slots=True)
class HistoryLine:
    """One committed change of the state of a job or session. `event` is its cause."""

    at: float
    event: str
    before: str | None
    after: str
    reason: str | None = None
    id: int = 0
    """Grows in the order in which transitions are committed, over all jobs and devices."""


@dataclass(frozen=True, slots=True)
class ReasonView:
    """One reason why a job waits: its kind, a sentence for people, and the facts behind it."""

    kind: str
    sentence: str
    facts: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class WhyView:
    """`position` jobs go before it, the running one counts; `depth` wait on the device in all."""

    id: str
    device: str
    state: str
    position: int | None
    depth: int
    reasons: tuple[ReasonView, ...] = ()
    estimated_start: float | None = None  # if nothing else happens, where only reservations keep it
    queue: QueueFacts | None = None
