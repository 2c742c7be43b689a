"""The shapes of our own API, as documented in docs/api.md. Pydantic models made from the service's views."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field

from sojourn.api.wire import iso
from sojourn.service.revocation import Remains
from sojourn.service.views import DeviceView, JobView, SessionView, StoryLine, UserView, WhyView

Time = str
SHOWN_REMAINS = 20


class ErrorEntry(BaseModel):
    code: int
    message: str


class ErrorBody(BaseModel):
    """What went wrong, the limit, the value received and what to do."""

    error: ErrorEntry
    errors: list[ErrorEntry]


class Version(BaseModel):
    name: str
    version: str
    python: str


class Me(BaseModel):
    user: str
    project: str
    instance: str
    operator: bool


class Instance(BaseModel):
    id: str
    name: str
    crn: str


class Instances(BaseModel):
    instances: list[Instance]


class User(BaseModel):
    name: str
    projects: list[str]
    operator: bool
    revoked: bool
    created: Time | None
    crashes: int = Field(description="How often, in the last hour, a job of the user has ended its worker.")

    @classmethod
    def of(cls, view: UserView) -> User:
        return cls(
            name=view.name,
            projects=list(view.projects),
            operator=view.operator,
            revoked=view.revoked,
            created=iso(view.created),
            crashes=view.crashes,
        )


class Users(BaseModel):
    users: list[User]


class NewUser(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    name: str = Field(min_length=1, max_length=64, description="Unique on the server.")
    project: str = Field(min_length=1, max_length=64, description="Made when it does not exist.")
    operator: bool = Field(default=False, description="May manage users and see every project.")
    anew: bool = Field(
        default=False,
        description="Give the name of a revoked user to somebody else, who has nothing of that user's.",
    )


class Key(BaseModel):
    """The only time that the API key is shown."""

    name: str
    project: str
    instance: str
    api_key: str


class Ending(BaseModel):
    """What is to end with the key, or the membership."""

    model_config = ConfigDict(extra="forbid", strict=True)

    close_sessions: bool = Field(default=False, description="Hard: their queued jobs fail (R33).")
    cancel_jobs: bool = Field(default=False, description="Those that run as well (R53).")


class Remain(BaseModel):
    id: str
    device: str
    state: str


class Remaining(BaseModel):
    """`count` in all, and the oldest of them."""

    count: int
    oldest: list[Remain]

    @classmethod
    def of(cls, found: Iterable[Remain]) -> Self:
        every = list(found)
        return cls(count=len(every), oldest=every[:SHOWN_REMAINS])


class Revoked(BaseModel):
    """What the user has left that goes on: nothing of it ends by the revocation itself. `closed_sessions` and
    `cancelled_jobs` are how many this request has ended."""

    name: str
    revoked: bool = True
    sessions: Remaining
    jobs: Remaining
    reservations: Remaining
    closed_sessions: int
    cancelled_jobs: int

    @classmethod
    def of(cls, name: str, left: Remains, **more: Any) -> Self:
        return cls(
            name=name,
            **more,
            sessions=Remaining.of(
                Remain(id=r.session.id, device=r.device, state=r.session.state.value) for r in left.sessions
            ),
            jobs=Remaining.of(
                Remain(id=r.job.id, device=r.device, state=r.job.state.value) for r in left.jobs
            ),
            reservations=Remaining.of(
                Remain(id=window.id, device=device, state="open" if is_open else "booked")
                for device, window, is_open in left.reservations
            ),
            closed_sessions=left.closed,
            cancelled_jobs=left.cancelled,
        )


class Removed(Revoked):
    """The same of a user who was taken out of `project`, with what is left there."""

    project: str
    revoked: bool = False
    removed: bool = True

    @classmethod
    def of_member(cls, name: str, project: str, left: Remains) -> Self:
        return cls.of(name, left, project=project)


class Device(BaseModel):
    """`busy`: a job runs; `held`: a session has the device. Their ids, `running` and `active_session`, are
    null for all but their owners and operators."""

    name: str
    driver: str
    num_qubits: int | None
    operational: bool
    message: str
    queue_length: int
    busy: bool
    running: str | None
    held: bool
    active_session: str | None
    mock: bool
    backend_version: str
    phase: str
    reason: str | None
    state: Literal["online", "paused", "draining", "maintenance"]
    state_message: str
    state_by: str | None
    state_since: Time | None
    state_until: Time | None
    calibration: str | None
    calibrated: Time | None
    next_calibration: Time | None

    @classmethod
    def of(cls, view: DeviceView) -> Device:
        state = view.state
        told = {
            "state": state.name,
            "state_message": state.message,
            "state_by": state.by,
            "state_since": iso(state.since),
            "state_until": iso(state.until),
            "calibrated": iso(view.calibrated),
            "next_calibration": iso(view.next_calibration),
        }
        same = (name for name in cls.model_fields if name not in told)
        return cls.model_validate(told | {name: getattr(view, name) for name in same})


class Devices(BaseModel):
    devices: list[Device]


JobState = Literal["accepted", "queued", "running", "completed", "failed", "cancelled"]
SessionState = Literal["open", "active", "pending_inactive", "inactive", "pending_closed", "closed"]


class Job(BaseModel):
    id: str
    device: str
    user: str
    project: str
    program: str
    state: JobState
    created: Time | None
    queued: Time | None
    started: Time | None
    finished: Time | None
    session: str | None
    reason: str | None
    reason_code: int | None
    tags: list[str]
    private: bool
    limit_seconds: float
    estimated_seconds: float | None
    quantum_seconds: float
    num_circuits: int | None
    num_qubits: int | None
    executions: int | None
    attempt: int
    position: int | None
    caller: str | None
    warnings: list[str]

    @classmethod
    def of(cls, view: JobView) -> Job:
        return cls.model_validate(job_table(view))


def job_table(view: JobView) -> dict[str, Any]:
    """The fields of a `Job`. A view is right by its own types: a list need not check hundreds of them."""
    return {
        "id": view.id,
        "device": view.device,
        "user": view.user,
        "project": view.project,
        "program": view.program_id,
        "state": view.state,
        "created": iso(view.created),
        "queued": iso(view.queued),
        "started": iso(view.started),
        "finished": iso(view.finished),
        "session": view.session_id,
        "reason": view.reason,
        "reason_code": view.reason_code,
        "tags": list(view.tags),
        "private": view.private,
        "limit_seconds": view.limit,
        "estimated_seconds": view.estimated_seconds,
        "quantum_seconds": view.quantum_seconds,
        "num_circuits": view.num_circuits,
        "num_qubits": view.num_qubits,
        "executions": view.executions,
        "attempt": view.attempt,
        "position": view.position,
        "caller": view.caller,
        "warnings": list(view.warnings),
    }


class Jobs(BaseModel):
    jobs: list[Job]
    count: int
    limit: int
    offset: int


class Line(BaseModel):
    at: Time | None
    event: str
    before: str | None
    after: str
    reason: str | None
    data: dict[str, Any]

    @classmethod
    def of(cls, line: StoryLine) -> Line:
        return cls(
            at=iso(line.at),
            event=line.event,
            before=line.before,
            after=line.after,
            reason=line.reason,
            data={},
        )


class Story(BaseModel):
    id: str
    story: list[Line]


class Stamp(BaseModel):
    status: str
    timestamp: Time | None


class Session(BaseModel):
    id: str
    device: str
    mode: Literal["dedicated", "batch"]
    user: str
    project: str
    state: SessionState
    accepting_jobs: bool
    created: Time | None
    started: Time | None
    activated: Time | None
    closed: Time | None
    last_job_started: Time | None
    last_job_completed: Time | None
    max_time: float
    interactive_ttl: float
    active_ttl: float
    elapsed: float
    reason: str | None
    timestamps: list[Stamp]

    @classmethod
    def of(cls, view: SessionView) -> Session:
        return cls.model_validate(
            {
                "id": view.id,
                "device": view.device,
                "mode": view.mode,
                "user": view.user,
                "project": view.project,
                "state": view.state,
                "accepting_jobs": view.accepting_jobs,
                "created": iso(view.created),
                "started": iso(view.started),
                "activated": iso(view.activated),
                "closed": iso(view.closed),
                "last_job_started": iso(view.last_job_started),
                "last_job_completed": iso(view.last_job_completed),
                "max_time": view.max_time,
                "interactive_ttl": view.interactive_ttl,
                "active_ttl": view.active_ttl,
                "elapsed": view.elapsed,
                "reason": view.reason,
                "timestamps": [Stamp(status=status, timestamp=iso(at)) for status, at in view.timestamps],
            }
        )


class Sessions(BaseModel):
    sessions: list[Session]


class Reason(BaseModel):
    """One reason why a job waits. `facts` are the numbers and ids behind the sentence."""

    kind: str
    sentence: str
    facts: dict[str, Any]


class Why(BaseModel):
    """`position` jobs go before it, the running one counts; `depth` wait on its device in all.

    `estimated_start` is when it starts if nothing else happens, where only reservations keep it.
    """

    id: str
    device: str
    state: str
    position: int | None
    depth: int
    reasons: list[Reason]
    estimated_start: Time | None

    @classmethod
    def of(cls, view: WhyView) -> Self:
        reasons = [Reason(kind=r.kind, sentence=r.sentence, facts=dict(r.facts)) for r in view.reasons]
        return cls(
            id=view.id,
            device=view.device,
            state=view.state,
            position=view.position,
            depth=view.depth,
            reasons=reasons,
            estimated_start=iso(view.estimated_start),
        )
