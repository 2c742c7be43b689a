"""ASGI middleware of our own API: a request waits for the caller's turn, and its body is read."""

from __future__ import annotations

import asyncio
import re
from typing import TYPE_CHECKING

from sojourn.api.http.bodies import Gone
from sojourn.api.http.endpoint import LOOKS, Api, Request
from sojourn.api.http.replies import refusal_reply
from sojourn.api.http.streams import write
from sojourn.api.v1 import PREFIX
from sojourn.service.errors import Refusal

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

_SMALL_BODY = 100_000  # the objects that Python makes of JSON take up to fifty times as much
_SUBMIT = f"{PREFIX}/jobs"
_AGAIN = re.compile(rf"{_SUBMIT}/[^/]+/rerun")

READ = "sojourn.request"
"""Key of the ASGI scope: the `Request` whose body was read, with its caller."""


class InTurn:
    """A request that only looks waits for the caller's turn.

    A turn ends when the answer begins: a reader who is slow with it holds no other request up. Who is not
    known has no turn to wait for; the application says what is wrong.
    """

    def __init__(self, app: ASGIApp, api: Api) -> None:
        self._app = app
        self._api = api

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] not in LOOKS:
            await self._app(scope, receive, send)
            return
        try:
            who = self._api.authenticator.principal(dict(scope["headers"]), None)
        except Refusal:
            await self._app(scope, receive, send)
            return
        turns = self._api.service.turns
        reading = await turns.take(who)
        mine = True

        def end() -> None:
            nonlocal mine
            if mine:
                mine = False
                turns.give(who, reading)

        async def answer(message: Message) -> None:
            end()
            await send(message)

        try:
            await self._app(scope, receive, answer)
        finally:
            end()


class Bodies:
    """Reads a body of up to `limit` bytes before the application does, else 413. That of a submit may be as
    long as in the client's dialect, and counts for the rate of its caller before it is read; so does one that
    submits a job again.

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
        request = Request(self._api, scope, receive)
        try:
            await self._serve(request, scope, receive, send)
        finally:
            request.release()

    async def _serve(self, request: Request, scope: Scope, receive: Receive, send: Send) -> None:
        submit = scope["method"] == "POST" and scope["path"] == _SUBMIT
        try:
            request.who = self._api.authenticator.principal(request.headers, request.address)
            if submit or (scope["method"] == "POST" and _AGAIN.fullmatch(scope["path"])):
                await asyncio.sleep(self._api.service.limits.pace(request.who))
            body = await request.body(None if submit else self._limit)
        except Gone:
            return
        except Refusal as refusal:
            await write(send, request.refused(refusal) if submit else refusal_reply(refusal))
            return
        scope[READ] = request
        unread = True

        async def replay() -> Message:
            nonlocal unread
            if unread:
                unread = False
                return {"type": "http.request", "body": body, "more_body": False}
            return await receive()

        await self._app(scope, replay, send)
