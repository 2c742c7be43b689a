"""Our own API: sessions and batches."""

from typing import Annotated, Literal, Self

from fastapi import APIRouter, Depends, Query, Response
from pydantic import BaseModel

from sojourn.api.http.replies import iso
from sojourn.api.v1.common import Callers, Id, Time
from sojourn.service.service import Service
from sojourn.service.views import Principal, SessionView

SessionState = Literal["open", "active", "pending_inactive", "inactive", "pending_closed", "closed"]


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
    idle_ttl: float | None
    elapsed: float
    reason: str | None
    timestamps: list[Stamp]

    @classmethod
    def of(cls, view: SessionView) -> Self:
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
                "idle_ttl": view.idle_ttl,
                "elapsed": view.elapsed,
                "reason": view.reason,
                "timestamps": [Stamp(status=status, timestamp=iso(at)) for status, at in view.timestamps],
            }
        )


class Sessions(BaseModel):
    sessions: list[Session]


def add_routes(routes: APIRouter, service: Service, callers: Callers) -> None:
    Caller = Annotated[Principal, Depends(callers.caller)]  # noqa: N806

    @routes.get("/sessions", response_model=Sessions)
    async def sessions(who: Caller, limit: Annotated[int, Query(ge=1, le=200)] = 20) -> Response:
        found = await service.sessions.find(who, limit)
        return _written(Sessions(sessions=[Session.of(view) for view in found]))

    @routes.get("/sessions/{session_id}")
    async def session(who: Caller, session_id: Id) -> Session:
        return Session.of(await service.sessions.get(who, session_id))

    @routes.post("/sessions/{session_id}/close")
    async def close(who: Caller, session_id: Id) -> Session:
        await service.sessions.close(who, session_id)
        return Session.of(await service.sessions.get(who, session_id))

    @routes.post("/sessions/{session_id}/drain")
    async def drain(who: Caller, session_id: Id) -> Session:
        await service.sessions.drain(who, session_id)
        return Session.of(await service.sessions.get(who, session_id))


def _written(answer: BaseModel) -> Response:
    """A long answer, without FastAPI's own way, which checks it once more and takes ten times as long."""
    return Response(answer.model_dump_json(), media_type="application/json")
