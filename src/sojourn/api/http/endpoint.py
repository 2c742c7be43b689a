"""Runs one request of a raw route: who, what, answer, errors.

Not our own API's pydantic routes (see v1), but every other path goes through an `Endpoint`, which is an
ASGI application for one path with one handler per method.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from sojourn import codes
from sojourn.api.http import bodies
from sojourn.api.http.auth import Authenticator, address_of
from sojourn.api.http.bodies import Gone
from sojourn.api.http.replies import Reply, error_reply, refusal_reply
from sojourn.api.http.request_ids import REQUEST_ID, new_id
from sojourn.api.http.streams import write, write_large
from sojourn.api.http.values import Query
from sojourn.service.errors import BadRequest, Refusal, TooLarge, without_room
from sojourn.service.jobs.texts import Large
from sojourn.service.requests.exchange import Call
from sojourn.service.requests.rooms import PIECE, Held
from sojourn.store.database import StoreFull

if TYPE_CHECKING:
    from starlette.types import Receive, Scope, Send

    from sojourn.config import Settings
    from sojourn.service.service import Service
    from sojourn.service.views import Principal
    from sojourn.worker.protocol.types import Description

log = logging.getLogger("sojourn.api")

EXCHANGE = "sojourn.exchange"
"""Key of the ASGI scope under which the server's protocol puts the `Exchange` of a request (R54)."""

LOOKS = ("GET", "HEAD")

COUNTED = "sojourn.counted"
"""Key of the ASGI scope: what the request's body takes is counted in the rooms of its user, and not any more
among what connections of strangers hold."""

RECOUNT = "sojourn.recount"
"""Key of the ASGI scope: what the protocol wants to be called when that has begun."""

_CLOSE = ((b"connection", b"close"),)


class Api:
    """What the handlers share: the service, the authenticator, the limits."""

    def __init__(self, service: Service, settings: Settings) -> None:
        self.service = service
        self.settings = settings
        self.authenticator = Authenticator(service, settings.server.token_lifetime, settings.access)
        self.rooms = service.rooms
        self.connections: Callable[[], dict[str, Any]] = dict  # what they hold
        self.max_body = int(settings.server.max_body_mb * 1_000_000)
        self.descriptions: dict[str, tuple[str, Description, bytes, bytes]] = {}


class Request:
    """One request, as handlers see it. `who` is set for handlers that need a caller."""

    __slots__ = ("_query", "_receive", "api", "headers", "held", "path", "scope", "texts", "who")

    who: Principal

    def __init__(self, api: Api, scope: Scope, receive: Receive) -> None:
        self.api = api
        self.scope = scope
        self.path: Mapping[str, str] = scope.get("path_params", {})
        self.headers: dict[bytes, bytes] = dict(scope["headers"])
        self.held: list[Held] = []  # until the reply is written, as the next
        self.texts: list[Large] = []
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
        """The whole body; TooLarge, without reading on, over `limit` bytes (None: the configured limit).

        Raises Busy when the server has no room for it.
        """
        limit = self.api.max_body if limit is None else limit
        declared = self.headers.get(b"content-length", b"")
        if declared.isdigit() and int(declared) > limit:
            raise too_large(int(declared), limit, self.api.max_body)
        if self.headers.get(b"content-encoding", b"identity").strip().lower() not in (b"identity", b""):
            raise BadRequest(
                f"Content-Encoding {self.header(b'content-encoding')!r} is not supported. "
                "Send the body as it is, without compression."
            )
        chunks = self._chunks(limit)
        who: Principal | None = getattr(self, "who", None)
        if who is None:  # bounded by the protocol, see `COUNTED`
            return await bodies.in_memory(chunks)
        self.scope[COUNTED] = True
        size = int(declared) if declared.isdigit() else None
        folder = self.api.settings.server.data
        whole, held = await bodies.body(chunks, size, limit, who.user_id, self.api.rooms, folder)
        self.held.append(held)
        if (recount := self.scope.get(RECOUNT)) is not None:
            recount()
        return whole

    async def _chunks(self, limit: int) -> AsyncIterator[bytes]:
        size = 0
        while True:
            message = await self._receive()
            if message["type"] == "http.disconnect":
                raise Gone
            chunk = message.get("body", b"")
            size += len(chunk)
            if size > limit:
                raise too_large(None, limit, self.api.max_body)
            if chunk:
                yield chunk
            if not message.get("more_body", False):
                return

    def refused(self, refusal: Refusal) -> Reply:
        """The answer to a refusal. It ends the connection where the rest of a body would take too long."""
        reply = refusal_reply(refusal)
        if isinstance(refusal, TooLarge) and not _will_be_short(self.headers, self.api.max_body):
            return replace(reply, headers=(*reply.headers, *_CLOSE))
        return reply

    def lost(self) -> bool:
        """Whether nobody is left to answer."""
        exchange = self.scope.get(EXCHANGE)
        return exchange is not None and exchange.lost_at is not None

    def release(self) -> None:
        """The reply is written."""
        for text in self.texts:
            text.close()
        for held in self.held:
            held.release()


def too_large(size: int | None, limit: int, of_jobs: int) -> TooLarge:
    """`of_jobs` is what the operator can raise; a smaller limit is that of everything but a submit."""
    got = f"{size / 1e6:.6g} MB" if size is not None else "too long"
    advice = (
        "Split the work into several jobs, or ask the operator to raise server.max_body_mb."
        if limit >= of_jobs
        else "Send fewer or shorter fields; only a submit may have more."
    )
    return TooLarge(f"The body is {got}; the limit here is {limit / 1e6:.6g} MB. {advice}")


Handler = Callable[[Request], Awaitable[Reply]]


class Endpoint:
    """The ASGI application of one path: a handler per method.

    With `authenticated` the caller is known before the handler runs, and each request counts `cost` requests
    of the caller's rate. With `turns` a GET waits for the caller's turn (see sojourn.service.requests.turns).
    """

    def __init__(
        self,
        api: Api,
        handlers: Mapping[str, Handler],
        *,
        authenticated: bool = True,
        cost: float = 1.0,
        turns: bool = True,
    ) -> None:
        self._api = api
        self._handlers = dict(handlers)
        if "GET" in self._handlers:
            self._handlers.setdefault("HEAD", self._handlers["GET"])
        self._authenticated = authenticated
        self._cost = cost
        self._turns = turns and authenticated
        self._allow = ", ".join(sorted(self._handlers))

    @property
    def methods(self) -> frozenset[str]:
        return frozenset(self._handlers)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(self._api, scope, receive)
        try:
            await self._serve(request, scope, send)
        finally:
            request.release()

    async def _serve(self, request: Request, scope: Scope, send: Send) -> None:
        head = scope["method"] == "HEAD"
        try:
            reply = await self._answer(request)
            if reply.text is not None:
                request.texts.append(reply.text)
                if not head and not reply.text.has_room:
                    request.held.append(await self._api.rooms.work(request.who.user_id, PIECE))
        except Gone:
            return
        except Refusal as refusal:
            reply = request.refused(refusal)
        except StoreFull as error:
            reply = refusal_reply(without_room(error))
        except Exception as error:
            reply = bug_reply(scope, error)
        if reply.text is None or head:
            await write(send, reply, head=head)
        else:
            await write_large(send, reply, request.lost)

    async def _answer(self, request: Request) -> Reply:
        handler = self._handlers.get(request.scope["method"])
        if handler is None:
            return method_reply(request.scope, self._allow)
        if self._authenticated:
            # In a Qiskit program an operator is a user like any other, who sees his own jobs.
            who = self._api.authenticator.principal(request.headers, request.address)
            request.who = replace(who, operator=False) if who.operator else who
            if (wait := self._api.service.limits.pace(request.who, self._cost)) > 0:
                await asyncio.sleep(wait)
        if not self._turns or request.scope["method"] not in LOOKS:
            return await handler(request)
        turns = self._api.service.turns
        reading = await turns.take(request.who)
        try:
            return await handler(request)
        finally:
            turns.give(request.who, reading)


def call_of(request: Request) -> Call:
    """The request as the service needs it for a submit."""
    return Call(
        application=request.header(b"x-qx-client-application"),
        exchange=request.scope.get(EXCHANGE),
        held=request.held[-1] if request.held else None,
    )


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
        codes.METHOD_NOT_POSSIBLE,
        f"{scope['method']} is not possible on {scope['path']}. Possible: {allow}.",
        headers=((b"allow", allow.encode()),),
    )


def missing_reply(scope: Mapping[str, Any]) -> Reply:
    return error_reply(
        404,
        codes.NO_SUCH_PATH,
        f"There is nothing at {scope['method']} {scope['path'][:200]}. The client's API is at /api/v1 and "
        "/experimental/api/v1, our own at /sojourn/v1.",
    )


def bug_reply(scope: Mapping[str, Any], error: Exception) -> Reply:
    """An exception that nobody expected: logged in full under the request's id, which the answer names."""
    trace = scope.get(REQUEST_ID) or new_id()
    log.error("%s %s failed [%s]", scope.get("method"), ascii(scope.get("path")), trace, exc_info=error)
    return error_reply(
        500,
        codes.UNEXPECTED,
        f"The server made a mistake; its log has the details under {trace}. Trying again may help.",
        trace=trace,
    )
