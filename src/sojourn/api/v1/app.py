"""Our own API as a FastAPI application, for `/sojourn/v1`. Asks the service; decides who may ask what."""

import asyncio
import platform
from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Any, Literal

from fastapi import Depends, FastAPI, Path, Query, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from pydantic import BaseModel
from starlette.exceptions import HTTPException
from starlette.routing import Match, Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

import sojourn
from sojourn import codes
from sojourn.api.http.auth import address_of
from sojourn.api.http.bodies import Gone
from sojourn.api.http.endpoint import Api, bug_reply, method_reply, missing_reply
from sojourn.api.http.endpoint import Request as RawRequest
from sojourn.api.http.replies import Reply, encode, error_body, refusal_reply
from sojourn.api.http.streams import write
from sojourn.api.http.values import epoch, shown
from sojourn.api.v1 import audit, models, projects, usage, users
from sojourn.api.v1.devices import router
from sojourn.service.errors import Forbidden, Refusal, without_room
from sojourn.service.views import JobFilter, Principal
from sojourn.store.room import StoreFull

PREFIX = "/sojourn/v1"
_SMALL_BODY = 100_000  # the objects that Python makes of JSON take up to fifty times as much
_ERRORS: dict[int | str, dict[str, Any]] = {
    "4XX": {"model": models.ErrorBody, "description": "What was wrong, and what to do"},
}

Name = Annotated[str, Path(max_length=64)]
Id = Annotated[str, Path(max_length=128)]


def create_own(api: Api) -> FastAPI:
    """The application; its OpenAPI is at `openapi.json`."""
    app = FastAPI(
        title="Sojourn",
        version=sojourn.__version__,
        summary="A self-hosted quantum compute service: its own API",
        docs_url=None,  # these pages load scripts from elsewhere; a server in a closed network has none
        redoc_url=None,
        responses=_ERRORS,
    )
    service = api.service

    async def caller(request: Request) -> Principal:
        who = api.gate.principal(dict(request.headers.raw), address_of(request.scope))
        await asyncio.sleep(service.pace(who))
        return who

    async def operator(who: Annotated[Principal, Depends(caller)]) -> Principal:
        if not who.operator:
            raise Forbidden(f"User {who.user!r} is no operator. Use an operator's API key for this.")
        return who

    Caller = Annotated[Principal, Depends(caller)]  # noqa: N806

    @app.get("/version")
    async def version() -> models.Version:
        return models.Version(name="sojourn", version=sojourn.__version__, python=platform.python_version())

    @app.get("/me")
    async def me(who: Caller) -> models.Me:
        crn = next((p.crn for p in service.accounts.projects_of(who.user_id) if p.id == who.project_id), "")
        return models.Me(user=who.user, project=who.project, instance=crn, operator=who.operator)

    @app.get("/instances")
    async def instances(who: Caller) -> models.Instances:
        mine = service.accounts.projects_of(who.user_id)
        return models.Instances(instances=[models.Instance(id=p.id, name=p.name, crn=p.crn) for p in mine])

    @app.get("/devices")
    async def devices(who: Caller) -> models.Devices:
        return models.Devices(devices=[models.Device.of(view) for view in service.devices(who)])

    @app.get("/devices/{name}")
    async def device(who: Caller, name: Name) -> models.Device:
        return models.Device.of(service.device(name, who))

    app.include_router(router(service, caller, operator))

    @app.get("/jobs", response_model=models.Jobs)
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
        await service.check_filter(who, device, session)
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
        page = await service.jobs(who, wanted)
        found = [models.job_table(view) for view in page.jobs]
        table = {"jobs": found, "count": page.count, "limit": limit, "offset": offset}
        return Response(encode(table), media_type="application/json")

    @app.get("/jobs/{job_id}")
    async def job(who: Caller, job_id: Id) -> models.Job:
        return models.Job.of(await service.job(who, job_id))

    @app.get("/jobs/{job_id}/why")
    async def why(who: Caller, job_id: Id) -> models.Why:
        return models.Why.of(await service.why(who, job_id))

    @app.get("/jobs/{job_id}/story")
    async def story(who: Caller, job_id: Id) -> models.Story:
        lines = await service.story(who, job_id)
        return models.Story(id=job_id, story=[models.Line.of(line) for line in lines])

    @app.post("/jobs/{job_id}/cancel")
    async def cancel(who: Caller, job_id: Id) -> models.Job:
        await service.cancel_job(who, job_id)
        return models.Job.of(await service.job(who, job_id))

    @app.get("/sessions", response_model=models.Sessions)
    async def sessions(who: Caller, limit: Annotated[int, Query(ge=1, le=200)] = 20) -> Response:
        found = await service.sessions(who, limit)
        return _written(models.Sessions(sessions=[models.Session.of(view) for view in found]))

    @app.get("/sessions/{session_id}")
    async def session(who: Caller, session_id: Id) -> models.Session:
        return models.Session.of(await service.session(who, session_id))

    @app.post("/sessions/{session_id}/close")
    async def close(who: Caller, session_id: Id) -> models.Session:
        await service.close_session(who, session_id)
        return models.Session.of(await service.session(who, session_id))

    @app.post("/sessions/{session_id}/drain")
    async def drain(who: Caller, session_id: Id) -> models.Session:
        await service.drain_session(who, session_id)
        return models.Session.of(await service.session(who, session_id))

    users.add_routes(app, service, caller, operator)
    audit.add_routes(app, service, operator)
    projects.add_routes(app, service, caller, operator)
    usage.add_routes(app, service, caller)

    app.add_exception_handler(Refusal, _refused)
    app.add_exception_handler(StoreFull, _full)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(Exception, _bug)
    return app


class SmallBodies:
    """ASGI middleware: reads a body of up to `limit` bytes before the application does, else 413.

    Nothing is read for a caller without valid credentials: every route that takes a body asks for them.
    """

    def __init__(self, app: ASGIApp, api: Api, limit: int = _SMALL_BODY) -> None:
        self._app = app
        self._api = api
        self._limit = limit

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] in ("GET", "HEAD"):
            await self._app(scope, receive, send)
            return
        request = RawRequest(self._api, scope, receive)
        try:
            await self._serve(request, scope, receive, send)
        finally:
            request.release()

    async def _serve(self, request: RawRequest, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            request.who = self._api.gate.principal(request.headers, request.address)
            body = await request.body(self._limit)
        except Gone:
            return
        except Refusal as refusal:
            await write(send, refusal_reply(refusal))
            return
        unread = True

        async def replay() -> Message:
            nonlocal unread
            if unread:
                unread = False
                return {"type": "http.request", "body": body, "more_body": False}
            return await receive()

        await self._app(scope, replay, send)


def _written(answer: BaseModel) -> Response:
    """A long answer, without FastAPI's own way, which checks it once more and takes ten times as long."""
    return Response(answer.model_dump_json(), media_type="application/json")


def _as_response(reply: Reply) -> JSONResponse:
    response = JSONResponse(None, reply.status)
    response.body = reply.body
    response.headers["content-length"] = str(len(reply.body))
    for name, value in reply.headers:
        response.headers[name.decode()] = value.decode()
    return response


async def _refused(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, Refusal)
    return _as_response(refusal_reply(error))


async def _full(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, StoreFull)
    return _as_response(refusal_reply(without_room(error)))


async def _invalid(_: Request, error: Exception) -> JSONResponse:
    """All faults at once: each with its place, the value received and what is allowed."""
    assert isinstance(error, RequestValidationError)
    return JSONResponse(error_body(codes.BAD_REQUEST, " ".join(_sentences(error.errors()))), 400)


def _sentences(faults: Sequence[Any]) -> list[str]:
    found = []
    for fault in faults:
        where, *rest = fault["loc"]
        place = {"query": "Query parameter", "path": "Path parameter", "body": "Field"}.get(
            str(where), str(where)
        )
        name = ".".join(str(part) for part in rest)
        if fault["type"] == "json_invalid":
            found.append(f"The body is not valid JSON: {fault.get('ctx', {}).get('error', fault['msg'])}.")
        elif fault["type"] == "model_attributes_type" and isinstance(fault.get("input"), bytes):
            found.append("The body was not read as JSON. Send it with 'Content-Type: application/json'.")
        elif fault["type"] == "missing":
            found.append(f"{place} {name!r} is missing." if name else "The body is missing; send JSON.")
        elif not name:
            found.append(f"The body is {shown(fault.get('input'))}: send a JSON object.")
        else:
            found.append(f"{place} {name!r} is {shown(fault.get('input'))}: {fault['msg']}.")
    return found


async def _http(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)
    if error.status_code == 404:
        return _as_response(missing_reply(request.scope))
    if error.status_code == 405:
        return _as_response(method_reply(request.scope, _allowed(request)))
    said = str(error.detail)
    if error.status_code == 400:  # an exception on the way from bytes to JSON, which is not told any further
        said = "The body cannot be read as JSON: it is nested too deeply, or has bytes that are not UTF-8."
    return JSONResponse(error_body(codes.BAD_REQUEST, said), error.status_code)


def _allowed(request: Request) -> str:
    """The methods of all routes with this path; the framework names those of the first one only."""
    routes = (route for route in request.app.routes if isinstance(route, Route))
    found = {
        method
        for route in routes
        if route.matches(request.scope)[0] is not Match.NONE
        for method in route.methods or ()
    }
    return ", ".join(sorted(found))


async def _bug(request: Request, error: Exception) -> JSONResponse:
    return _as_response(bug_reply(request.scope, error))
