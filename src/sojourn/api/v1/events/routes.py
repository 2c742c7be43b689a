"""`GET /events`: what it is asked for, and what it refuses."""

import re
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Header, Query, Request, Response
from pydantic import BaseModel

from sojourn.api.http.values import shown
from sojourn.api.v1.common import Callers, Time, check_query_name
from sojourn.api.v1.events.sse import MEDIA, EventStream
from sojourn.service.accounts.permissions import Action, may
from sojourn.service.errors import BadRequest, NotFound
from sojourn.service.service import Service
from sojourn.service.views import Principal
from sojourn.store.history import Kind, Wanted

Name = Annotated[str | None, Query(min_length=1, max_length=100)]
Id = Annotated[str | None, Query(min_length=1, max_length=128)]
LARGEST = 2**53
_ONCE = ("device", "job", "session", "project", "last_event_id", "follow")


class Event(BaseModel):
    """A committed change, the data of one event of the stream. `subject` is the id of what has changed, or
    the name of a device; `session` that of a job in a session, or the session's own. `before` and `after`
    are its states, of a calibration the id of the one before and its own."""

    id: int
    at: Time
    kind: Literal["job", "session", "device", "calibration", "reservation"]
    subject: str
    device: str
    session: str | None
    user: str | None
    project: str | None
    cause: str
    before: str | None
    after: str
    reason: str | None


class End(BaseModel):
    """The data of the last event, `end`, where the server ends a stream."""

    reason: Literal["slow", "rights", "stopping", "failed", "complete"]
    message: str
    last_event_id: int


_ANSWER: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "Server-Sent Events; the data of each is an `Event`, that of `end` an `End`.",
        "content": {MEDIA: {"schema": {"anyOf": [Event.model_json_schema(), End.model_json_schema()]}}},
    }
}


def add_routes(routes: APIRouter, service: Service, callers: Callers) -> None:
    Caller = Annotated[Principal, Depends(callers.caller)]  # noqa: N806

    @routes.get("/events", response_class=Response, responses=_ANSWER)
    async def events(
        request: Request,
        who: Caller,
        device: Name = None,
        job: Id = None,
        session: Id = None,
        project: Name = None,
        kind: Annotated[list[Kind] | None, Query()] = None,
        last_event_id: Annotated[int | None, Query(ge=0, le=LARGEST)] = None,
        follow: bool = True,
        resumed: Annotated[str | None, Header(alias="Last-Event-ID")] = None,
    ) -> Response:
        _check_names(request)
        last = last_event_id if not resumed else _number(resumed)
        wanted = Wanted(
            device=device,
            job=job,
            session=session,
            project=None if project is None else _project(service, who, project),
            kinds=frozenset(kind or ()),
        )
        # a slip of the pen must not look like a stream in which nothing happens
        await service.lookup.check_filter(who, device, None)
        if job is not None:
            await service.lookup.job(who, job)
        if session is not None:
            await service.lookup.session(who, session)
        stream = await service.streams.open(who, wanted, last, follow=follow)
        return EventStream(stream, callers.again(request))


def _check_names(request: Request) -> None:
    """A filter that is ignored would show too much. Raises BadRequest."""
    given = request.query_params
    for name in given:
        check_query_name(name, (*_ONCE, "kind"))
        if name in _ONCE and len(given.getlist(name)) > 1:
            raise BadRequest(f"Query parameter {name!r} was sent more than once. Send it once.")


def _number(text: str) -> int:
    """The id in the header `Last-Event-ID`."""
    if not re.fullmatch(r"[0-9]{1,16}", text.strip()) or int(text) > LARGEST:
        raise BadRequest(
            f"Header Last-Event-ID is {shown(text)}; it must be the id of an event of this server, a whole "
            "number."
        )
    return int(text)


def _project(service: Service, who: Principal, name: str) -> str:
    """The id of a project that the caller may know of. Raises NotFound."""
    if may(who, Action.SEE_PROJECT):
        return service.accounts.project_named(name).id
    own = service.accounts.projects_of(who.user_id)
    for project in own:
        if project.name == name:
            return project.id
    known = ", ".join(project.name for project in own)
    raise NotFound(f"You are in no project {shown(name)}. Yours: {known}.")
