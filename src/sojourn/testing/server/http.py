"""Requests of the client's dialect that are answered by a status, or whose connection is cut.

A cut is one of the connection itself, so all that the server does about lost replies happens (R54). The
token exchange, the look-up of instances and our own API are left alone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sojourn import codes
from sojourn.api.http.connections import RecordingProtocol
from sojourn.api.http.replies import Reply, error_reply
from sojourn.api.http.streams import write
from sojourn.api.ibm import PREFIXES

if TYPE_CHECKING:
    import asyncio

    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from sojourn.testing.server.script import Answer, Script

CONNECTION = "sojourn.testing.connection"
"""Key of the ASGI scope: the transport of the request."""


class ScriptedProtocol(RecordingProtocol):
    """Tells the application which connection a request came in by."""

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self.scope[CONNECTION] = self.transport  # type: ignore[literal-required]


class ScriptedHttp:
    """ASGI middleware around the whole application."""

    def __init__(self, app: ASGIApp, script: Script) -> None:
        self._app = app
        self._script = script

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = _in_dialect(scope)
        answer = None if path is None else self._script.answer(scope["method"], path)
        if answer is None:
            await self._app(scope, receive, send)
        elif answer.cut == "request":
            await _cut(scope, receive)
        elif answer.cut:
            await self._without_reply(scope, receive, send)
        else:
            await write(send, _reply(answer), head=scope["method"] == "HEAD")

    async def _without_reply(self, scope: Scope, receive: Receive, send: Send) -> None:
        """The connection ends before the first byte of the reply; uvicorn drops the rest."""
        begun = False

        async def lost(message: Message) -> None:
            nonlocal begun
            if not begun:
                begun = True
                await _cut(scope, receive)
            await send(message)

        await self._app(scope, receive, lost)


async def _cut(scope: Scope, receive: Receive) -> None:
    """Ends the connection, and waits until the server has noticed."""
    connection: asyncio.Transport = scope[CONNECTION]
    connection.abort()
    while (await receive())["type"] != "http.disconnect":
        pass


def _in_dialect(scope: Scope) -> str | None:
    """The path behind the prefix of the dialect; None for another request."""
    if scope["type"] == "http":
        for prefix in PREFIXES:
            if scope["path"].startswith(f"{prefix}/"):
                return str(scope["path"]).removeprefix(prefix)
    return None


def _reply(answer: Answer) -> Reply:
    message = answer.message or f"The test asked for a {answer.status} here."
    wait = answer.retry_after
    headers = () if wait is None else ((b"retry-after", f"{wait:g}".encode()),)
    code = codes.BUSY if answer.status >= 500 else codes.BAD_REQUEST
    return error_reply(answer.status, code, message, headers=headers)
