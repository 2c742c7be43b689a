"""The client's session and batch endpoints: from HTTP to the service and back. Decides nothing itself."""

from __future__ import annotations

from typing import Any

from sojourn.api.http.endpoint import Request
from sojourn.api.http.replies import NO_CONTENT, Reply, json_reply
from sojourn.api.http.values import duration, field, json_object, shown
from sojourn.api.ibm.shapes import session_object
from sojourn.service.errors import BadRequest, Conflict

MODES = ("dedicated", "batch")
_OF_A_SESSION = (
    *("mode", "backend", "backend_name", "max_ttl", "max_session_ttl", "max_time"),
    *("instance", "hub", "group", "project"),  # the header says it already
)
_SMALL_BODY = 100_000
_EXAMPLE = '{"mode": "dedicated", "backend": "…", "max_ttl": 600},'


async def create(request: Request) -> Reply:
    body = json_object(await request.body(_SMALL_BODY), f"the session, {_EXAMPLE}")
    _only(body, _OF_A_SESSION)
    request.service.accounts.check_instance(request.who, field(body, "instance", str, "your instance's CRN"))
    mode = field(body, "mode", str, "'dedicated' or 'batch'", check=MODES.__contains__) or "dedicated"
    device = _device(body)
    max_time = None
    given = next(
        (name for name in ("max_ttl", "max_session_ttl", "max_time") if body.get(name) is not None), None
    )
    if given is not None:
        max_time = duration(body[given], given, request.service.devices.longest_session(device))
    session = await request.service.sessions.open(request.who, device=device, mode=mode, max_time=max_time)
    return json_reply(session_object(session, crn(request)))


def _only(body: dict[str, Any], known: tuple[str, ...]) -> None:
    """Nothing that is asked for is dropped without a word."""
    if unknown := [shown(name) for name in body if name not in known]:
        raise BadRequest(
            f"Unknown field: {', '.join(unknown)}. Allowed are {', '.join(known)}. Leave out others."
        )


def _device(body: dict[str, Any]) -> str:
    first = field(body, "backend", str, "the name of a device")
    second = field(body, "backend_name", str, "the name of a device")
    if first and second and first != second:
        raise BadRequest(
            f"Fields 'backend' and 'backend_name' are {shown(first)} and {shown(second)}; "
            "a session has one device."
        )
    device = first or second
    if not device:
        raise BadRequest(
            "Field 'backend' is missing; name the device of the session. GET /backends lists them."
        )
    return device


def crn(request: Request) -> str | None:
    """The CRN of the project in which the caller acts."""
    mine = request.service.accounts.projects_of(request.who.user_id)
    return next((project.crn for project in mine if project.id == request.who.project_id), None)


async def details(request: Request) -> Reply:
    session = await request.service.sessions.get(request.who, request.path["session_id"])
    return json_reply(session_object(session, crn(request)))


async def sessions(request: Request) -> Reply:
    limit = min(request.query.integer("limit", 10, low=1), 200)
    found = await request.service.sessions.find(request.who, limit)
    own = crn(request)
    return json_reply({"sessions": [session_object(session, own) for session in found], "limit": limit})


async def update(request: Request) -> Reply:
    """`accepting_jobs: false` drains (R38a). A session that stopped accepting never accepts again (R35)."""
    session_id = request.path["session_id"]
    body = json_object(await request.body(_SMALL_BODY), 'the change, {"accepting_jobs": false},')
    _only(body, ("accepting_jobs",))
    accepting = body.get("accepting_jobs")
    if not isinstance(accepting, bool):
        raise BadRequest(
            f"Field 'accepting_jobs' is {shown(accepting)}; it must be false (accept no more jobs, finish "
            "the present ones) or true. Nothing else of a session can be changed."
        )
    if not accepting:
        await request.service.sessions.drain(request.who, session_id)
        return NO_CONTENT
    session = await request.service.sessions.get(request.who, session_id)
    if not session.accepting_jobs:
        raise Conflict(
            f"Session {session_id} is {session.state} and takes no more jobs; it cannot be reopened. "
            "Open a new session."
        )
    return NO_CONTENT


async def close(request: Request) -> Reply:
    """The hard close (R33); closing twice is no error (R38)."""
    await request.service.sessions.close(request.who, request.path["session_id"])
    return NO_CONTENT
