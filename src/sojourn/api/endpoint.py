"""Runs one request of a raw route: who, what, answer, errors. Owns reading bodies and writing replies.

Not our own API's pydantic routes (see own/), but every other path goes through an `Endpoint`, which is an
ASGI application for one path with one handler per method.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from sojourn.api.auth import Gate, address_of
from sojourn.api.query import Query
from sojourn.api.request_ids import REQUEST_ID, new_id
from sojourn.api.wire import Reply, error_reply, refusal_reply
from sojourn.service.calls import Call
from sojourn.service.errors import BadRequest, Refusal, TooLarge

if TYPE_CHECKING:
    from starlette.types import Receive, Scope, Send

    from sojourn.config import Settings
    from sojourn.execution.types import Description
    from sojourn.service.service import Service
    from sojourn.service.views import Principal

log = logging.getLogger("sojourn.api")

EXCHANGE = "sojourn.exchange"
"""Key of the ASGI scope under which the server's protocol puts the `Exchange` of a request (R54)."""

_CLOSE = ((b"connection", b"close"),)


class Gone(Exception):
    """The client hung up while we were reading; nobody is left to answer."""


class Api:
    """What the handlers share: the service, the gate, the limits."""

    def __init__(self, service: Service, settings: Settings) -> None:
        self.service = service
        self.settings = settings
        self.gate = Gate(service, settings.server.token_lifetime, settings.access)
        self.max_body = int(settings.server.max_body_mb * 1_000_000)
        self.descriptions: dict[str, tuple[str, Description, bytes, bytes]] = {}


class Request:
    """One request, as handlers see it. `who` is set for handlers that need a caller."""

    __slots__ = ("_query", "_receive", "api", "headers", "path", "scope", "who")

    who: Principal

    def __init__(self, api: Api, scope: Scope, receive: Receive) -> None:
        self.api = api
        self.scope = scope
        self.path: Mapping[str, str] = scope.get("path_params", {})
        self.headers: dict[bytes, bytes] = dict(scope["headers"])
        self._receive = receive
        self._query: Query | None = None

    @property
    def service(self) -> Service:
        return self.api.service

    @property
    def query(self) -> Query:
        if self._query is None:
            self._query = Query(self.scope["query_string"])
        return self._query

    @property
    def address(self) -> str:
        return address_of(self.scope)

    def header(self, name: bytes) -> str | None:
        raw = self.headers.get(name)
        return None if raw is None else raw.decode("latin-1")

    async def body(self, limit: int | None = None) -> bytes:
        """The whole body; TooLarge, without reading on, over `limit` bytes (None: the configured limit)."""
        limit = self.api.max_body if limit is None else limit
        declared = self.headers.get(b"content-length", b"")
        if declared.isdigit() and int(declared) > limit:
            raise too_large(int(declared), limit)
        if self.headers.get(b"content-encoding", b"identity").strip().lower() not in (b"identity", b""):
            raise BadRequest(
                f"Content-Encoding {self.header(b'content-encoding')!r} is not supported. "
                "Send the body as it is, without compression."
            )
        chunks: list[bytes] = []
        size = 0
        while True:
            message = await self._receive()
            if message["type"] == "http.disconnect":
                raise Gone
            chunk = message.get("body", b"")
            size += len(chunk)
            if size > limit:
                raise too_large(None, limit)
            if chunk:
                chunks.append(chunk)
            if not message.get("more_body", False):
                return chunks[0] if len(chunks) == 1 else b"".join(chunks)


def too_large(size: int | None, limit: int) -> TooLarge:
    got = f"{size / 1e6:.6g} MB" if size is not None else "too long"
    return TooLarge(
        f"The body is {got}; the limit here is {limit / 1e6:.6g} MB. "
        "Split the work into several jobs, or ask the operator to raise server.max_body_mb."
    )


Handler = Callable[[Request], Awaitable[Reply]]


class Endpoint:
    """The ASGI application of one path: a handler per method.

    With `authenticated` the caller is known before the handler runs, and each request counts `cost` requests
    of the caller's rate.
    """

    def __init__(
        self, api: Api, handlers: Mapping[str, Handler], *, authenticated: bool = True, cost: float = 1.0
    ) -> None:
        self._api = api
        self._handlers = dict(handlers)
        if "GET" in self._handlers:
            self._handlers.setdefault("HEAD", self._handlers["GET"])
        self._authenticated = authenticated
        self._cost = cost
        self._allow = ", ".join(sorted(self._handlers))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(self._api, scope, receive)
        try:
            reply = await self._answer(request)
        except Gone:
            return
        except Refusal as refusal:
            reply = refusal_reply(refusal)
            if refusal.status == 413 and not _will_be_short(request.headers, self._api.max_body):
                reply = Reply(reply.body, reply.status, reply.media, (*reply.headers, *_CLOSE))
        except Exception as error:
            reply = bug_reply(scope, error)
        await write(send, reply, head=scope["method"] == "HEAD")

    async def _answer(self, request: Request) -> Reply:
        handler = self._handlers.get(request.scope["method"])
        if handler is None:
            return method_reply(request.scope, self._allow)
        if self._authenticated:
            # In a Qiskit program an operator is a user like any other, who sees his own jobs.
            who = self._api.gate.principal(request.headers, request.address)
            request.who = replace(who, operator=False)
            if (wait := self._api.service.pace(request.who, self._cost)) > 0:
                await asyncio.sleep(wait)
        return await handler(request)


def call_of(request: Request) -> Call:
    """The request as the service needs it for a submit."""
    return Call(application=request.header(b"x-qx-client-application"), exchange=request.scope.get(EXCHANGE))


def _will_be_short(headers: Mapping[bytes, bytes], limit: int) -> bool:
    """Whether the rest of a body that was refused may be left to run out.

    A client reads an answer only after it has sent everything, so hanging up early would hide the answer from
    it; the server throws the rest away as it comes. That is done for bodies of a known, bearable size.
    """
    declared = headers.get(b"content-length", b"")
    return declared.isdigit() and int(declared) <= 8 * limit + 64_000_000


def method_reply(scope: Mapping[str, Any], allow: str) -> Reply:
    return error_reply(
        405,
        1405,
        f"{scope['method']} is not possible on {scope['path']}. Possible: {allow}.",
        headers=((b"allow", allow.encode()),),
    )


def missing_reply(scope: Mapping[str, Any]) -> Reply:
    return error_reply(
        404,
        1404,
        f"There is nothing at {scope['method']} {scope['path'][:200]}. The client's API is at /api/v1 and "
        "/experimental/api/v1, our own at /sojourn/v1.",
    )


def bug_reply(scope: Mapping[str, Any], error: Exception) -> Reply:
    """An exception that nobody expected: logged in full under the request's id, which the caller is told."""
    trace = scope.get(REQUEST_ID) or new_id()
    log.error("%s %s failed [%s]", scope.get("method"), ascii(scope.get("path")), trace, exc_info=error)
    return error_reply(
        500,
        1500,
        f"The server made a mistake; its log has the details under {trace}. Trying again may help.",
        trace=trace,
    )


async def write(send: Send, reply: Reply, *, head: bool = False) -> None:
    headers = list(reply.headers)
    if reply.status != 204:
        headers.append((b"content-type", reply.media))
        headers.append((b"content-length", str(len(reply.body)).encode()))
    await send({"type": "http.response.start", "status": reply.status, "headers": headers})
    await send({"type": "http.response.body", "body": b"" if head else reply.body})
