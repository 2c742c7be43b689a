"""Our own API: jobs, why they wait, and their history."""

from datetime import datetime
from typing import Annotated, Any, Literal, Self

from fastapi import APIRouter, Depends, Query, Request, Response
from pydantic import BaseModel

from sojourn.api.http.endpoint import Request as RawRequest
from sojourn.api.http.endpoint import call_of
from sojourn.api.http.replies import encode, iso
from sojourn.api.http.values import epoch
from sojourn.api.v1 import PREFIX, submit
from sojourn.api.v1.common import Callers, Id, Time
from sojourn.api.v1.middleware import READ
from sojourn.service.requests.parts import in_parts
from sojourn.service.service import Service
from sojourn.service.views import HistoryLine, JobFilter, JobView, Principal, QueueFacts, WhyView
from sojourn.service.views import Span as SpanView

JobState = Literal["accepted", "queued", "running", "completed", "failed", "cancelled"]


class Span(BaseModel):
    """When something is expected: half of what may come is earlier, 10 % is earlier than `earliest`, 90 %
    than `latest`, which is null where less than that may come at all."""

    expected: Time | None
    earliest: Time | None
    latest: Time | None


class Wait(BaseModel):
    """Seconds until the expected start in which something else has the device."""

    what: Literal["jobs", "system jobs", "session holds", "reservations", "other"]
    seconds: float


class Queue(BaseModel):
    """When a job starts and ends, as forecast at `as_of`; `position` jobs are expected to start before it.

    `unknown` says why no time is known. All of it comes from one computation, a second old at most.
    """

    as_of: Time | None
    position: int | None
    start: Span | None
    end: Span | None
    waits: list[Wait]
    unknown: str | None

    @classmethod
    def of(cls, facts: QueueFacts | None) -> Self | None:
        return None if facts is None else cls.model_validate(queue_table(facts))


def queue_table(facts: QueueFacts | None) -> dict[str, Any] | None:
    """The fields of a `Queue`."""
    if facts is None:
        return None
    return {
        "as_of": iso(facts.as_of),
        "position": facts.position,
        "start": _span_table(facts.start),
        "end": _span_table(facts.end),
        "waits": [{"what": what, "seconds": round(seconds, 3)} for what, seconds in facts.waits],
        "unknown": facts.unknown,
    }


def _span_table(span: SpanView | None) -> dict[str, Any] | None:
    if span is None:
        return None
    return {
        "expected": iso(span.expected),
        "earliest": iso(span.earliest),
        "latest": iso(span.latest),
    }


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
    queue: Queue | None

    @classmethod
    def of(cls, view: JobView) -> Self:
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
        "queue": queue_table(view.queue),
    }


class Jobs(BaseModel):
    jobs: list[Job]
    count: int
    limit: int
    offset: int


class HistoryEntry(BaseModel):
    """One change of the state of a job. `id` grows in the order of the commits, over all jobs and sessions of
    the server; `cause` is the event behind the change."""

    id: int
    at: Time | None
    cause: str
    before: str | None
    after: str
    reason: str | None

    @classmethod
    def of(cls, line: HistoryLine) -> Self:
        return cls(
            id=line.id,
            at=iso(line.at),
            cause=line.event,
            before=line.before,
            after=line.after,
            reason=line.reason,
        )


class History(BaseModel):
    """Oldest first."""

    id: str
    history: list[HistoryEntry]


class Line(BaseModel):
    at: Time | None
    event: str
    before: str | None
    after: str
    reason: str | None
    data: dict[str, Any]

    @classmethod
    def of(cls, line: HistoryLine) -> Self:
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
    queue: Queue | None

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
            queue=Queue.of(view.queue),
        )


def add_routes(routes: APIRouter, service: Service, callers: Callers) -> None:
    Caller = Annotated[Principal, Depends(callers.caller)]  # noqa: N806

    @routes.get("/jobs", response_model=Jobs)
    async def jobs(
        who: Caller,
        limit: Annotated[int, Query(ge=1, le=200)] = 20,
        offset: Annotated[int, Query(ge=0, le=2**53)] = 0,
        device: str | None = None,
        pending: bool | None = None,
        program: str | None = None,
        session: str | None = None,
        tag: Annotated[list[str] | None, Query()] = None,
        created_after: datetime | None = None,
        created_before: datetime | None = None,
        sort: Literal["ASC", "DESC"] = "DESC",
    ) -> Response:
        await service.lookup.check_filter(who, device, session)
        wanted = JobFilter(
            limit=limit,
            offset=offset,
            device=device,
            pending=pending,
            program_id=program,
            tags=tuple(tag or ()),
            session_id=session,
            created_after=epoch(created_after, "created_after"),
            created_before=epoch(created_before, "created_before"),
            ascending=sort == "ASC",
            include_mocks=True,
            positions=True,
        )
        page = await service.jobs.find(who, wanted)
        found = await in_parts(job_table, page.jobs)
        table = {"jobs": found, "count": page.count, "limit": limit, "offset": offset}
        return Response(encode(table), media_type="application/json")

    @routes.post("/jobs", status_code=201, response_model=Job, openapi_extra=submit.openapi())
    async def submit_job(request: Request) -> Response:
        """Answered when the job is stored, which is then not lost any more."""
        raw: RawRequest = request.scope[READ]  # of `Bodies`: its caller is known and its body read
        data = await request.body()
        key = raw.header(b"idempotency-key")
        made = await service.jobs.submit(
            raw.who, submit.parse(data), sent=data, call=call_of(raw), idempotency_key=key
        )
        return submitted(made)

    def submitted(made: JobView) -> Response:
        headers = {"location": f"{PREFIX}/jobs/{made.id}"}
        found = encode(job_table(service.jobs.placed(made)))
        return Response(found, 201, headers, media_type="application/json")

    @routes.post(
        "/jobs/{job_id}/rerun", status_code=201, response_model=Job, openapi_extra=submit.repeatable()
    )
    async def rerun(request: Request, job_id: Id) -> Response:
        """A new job of the same program, inputs, device, tags and limit, of the same user. It joins the
        session of the first one while that takes jobs, else it is in none."""
        raw: RawRequest = request.scope[READ]
        key = raw.header(b"idempotency-key")
        made = await service.jobs.rerun(raw.who, job_id, call=call_of(raw), idempotency_key=key)
        return submitted(made)

    @routes.get("/jobs/{job_id}")
    async def job(who: Caller, job_id: Id) -> Job:
        return Job.of(await service.jobs.look(who, job_id))

    @routes.get("/jobs/{job_id}/why")
    async def why(who: Caller, job_id: Id) -> Why:
        return Why.of(await service.jobs.why(who, job_id))

    @routes.get("/jobs/{job_id}/history")
    async def history(who: Caller, job_id: Id) -> History:
        lines = await service.jobs.history(who, job_id)
        return History(id=job_id, history=[HistoryEntry.of(line) for line in lines])

    @routes.get("/jobs/{job_id}/story", deprecated=True)
    async def story(who: Caller, job_id: Id) -> Story:
        lines = await service.jobs.history(who, job_id)
        return Story(id=job_id, story=[Line.of(line) for line in lines])

    @routes.post("/jobs/{job_id}/cancel")
    async def cancel(who: Caller, job_id: Id) -> Job:
        await service.jobs.cancel(who, job_id)
        return Job.of(await service.jobs.get(who, job_id))
