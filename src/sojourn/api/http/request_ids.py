"""Gives each request an id: in the reply's header `uber-trace-id`, and in every log line written meanwhile.

The Qiskit client asks for that header when it shows a refusal; without it the message is shown three times.
"""

from __future__ import annotations

import random
import re
from collections.abc import MutableMapping
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

import structlog

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

log = structlog.get_logger("sojourn.api")

HEADER = b"uber-trace-id"
REQUEST_ID = "sojourn.id"
"""Key of the ASGI scope under which a request's id is."""

_GIVEN = re.compile(rb"[A-Za-z0-9._-]{8,64}")
"""What is taken over from `X-Request-ID`: letters that can harm neither a header nor a terminal."""
_CODE = re.compile(rb'"code":\s*(-?\d+)')
_LONGEST_PATH = 200
_NOT_READY = "/readyz", 503
"""It is not a refusal, and who asks for it asks again every second."""


class _Served:
    """A request while it is served. Tasks and timers that it starts keep the object, and may outlive it."""

    __slots__ = ("id",)

    def __init__(self, request_id: str) -> None:
        self.id = request_id


_served: ContextVar[_Served | None] = ContextVar("sojourn_request", default=None)


def new_id() -> str:
    return f"{random.getrandbits(64):016x}"  # to be told apart, not to be kept secret


def current_id() -> str:
    """The id of the request that is served now, "" outside of one."""
    served = _served.get()
    return "" if served is None else served.id


class RequestIds:
    """ASGI middleware, the outermost: names the request, and logs each refusal with its name.

    A well-formed `X-Request-ID`, as reverse proxies send it, is the id; else there is a new one. The first of
    several such headers counts.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request_id = _given(scope["headers"]) or new_id()
        scope[REQUEST_ID] = request_id
        field = (HEADER, request_id.encode())
        refused = 0

        async def named(message: Message) -> None:
            nonlocal refused
            if message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", ()), field]
                status = message["status"]
                refused = status if status >= 400 and (scope["path"], status) != _NOT_READY else 0
            # Before the reply is complete, and that to HEAD is complete with its headers.
            if refused and (message["type"] == "http.response.body" or scope["method"] == "HEAD"):
                _note(scope, refused, message)
                refused = 0
            await send(message)

        served = _Served(request_id)
        before = _served.set(served)
        try:
            await self._app(scope, receive, named)
        finally:
            _served.reset(before)
            served.id = ""


def _given(headers: list[tuple[bytes, bytes]]) -> str | None:
    for name, value in headers:
        if name == b"x-request-id":
            return value.decode() if _GIVEN.fullmatch(value) else None
    return None


def _note(scope: Scope, status: int, message: Message) -> None:
    """The log's line of a refusal. Its message is left out: it may quote what the caller sent."""
    code = _CODE.search(message.get("body", b""), 0, 200)
    path = (scope.get("raw_path") or scope["path"].encode()).decode("ascii", "backslashreplace")
    log.info(
        "request.refused",
        method=scope["method"],
        path=(path if path.isprintable() else ascii(path))[:_LONGEST_PATH],
        status=status,
        code=int(code[1]) if code is not None else None,
    )


def unreadable(what: str) -> str:
    """The id of bytes that are not a request at all; the refusal is logged like the others."""
    request_id = new_id()
    log.info("request.refused", status=400, why=what, request=request_id)
    return request_id


def in_events(_: Any, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """structlog processor: the id, in lines that are written while a request is served."""
    if request_id := current_id():
        event["request"] = request_id
    return event
