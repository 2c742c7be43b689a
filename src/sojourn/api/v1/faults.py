"""Our own API's answers to refusals, to what FastAPI cannot read, and to exceptions."""

from collections.abc import Sequence
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException
from starlette.routing import Match, Route

from sojourn import codes
from sojourn.api.http.endpoint import bug_reply, method_reply, missing_reply
from sojourn.api.http.replies import Reply, error_body, refusal_reply
from sojourn.api.http.values import shown
from sojourn.service.errors import Refusal, without_room
from sojourn.store.database import StoreFull


def add_handlers(app: FastAPI) -> None:
    app.add_exception_handler(Refusal, _refused)
    app.add_exception_handler(StoreFull, _full)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(Exception, _bug)


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
    if error.status_code == 400:  # an exception on the way from bytes to JSON, which is not passed on
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
