"""Tells a ConnectionBook what happens on the wire, and gives each request the name of its connection (R54).

The only place that subclasses the server's protocol. The judgement is in sojourn.service.calls.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from sojourn.api.endpoint import CONNECTION, RECEIVED, REQUEST_NUMBER
from sojourn.api.request_ids import unreadable
from sojourn.api.wire import encode, error_body

if TYPE_CHECKING:
    import asyncio

    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from sojourn.service.calls import ConnectionBook


def recording_protocol(book: ConnectionBook) -> type[HttpToolsProtocol]:
    """A protocol class for uvicorn that writes into `book`."""

    class RecordingProtocol(HttpToolsProtocol):
        _connection = ""

        def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
            super().connection_made(transport)
            host, port = self.client or ("", 0)
            self._connection = book.opened(f"{host}:{port}")

        def connection_lost(self, exc: Exception | None) -> None:
            book.closed(self._connection, clean=exc is None)
            super().connection_lost(exc)

        def on_message_begin(self) -> None:
            super().on_message_begin()
            marks: dict[str, Any] = {
                CONNECTION: self._connection,
                REQUEST_NUMBER: book.request_started(self._connection),
                RECEIVED: time.time(),
            }
            self.scope.update(marks)  # type: ignore[typeddict-item]

        def send_400_response(self, msg: str) -> None:
            """Bytes that are no HTTP get the error body of everything else; the connection ends."""
            said = f"{msg} Send HTTP/1.1, with a path and headers in ASCII."
            body = encode(error_body(1200, said))
            head = (
                "HTTP/1.1 400 Bad Request\r\ncontent-type: application/json\r\n"
                f"content-length: {len(body)}\r\nconnection: close\r\n"
                f"uber-trace-id: {unreadable(msg)}\r\n\r\n"
            )
            self.transport.write(head.encode() + body)
            self.transport.close()

    return RecordingProtocol


class Recorder:
    """ASGI middleware: notes when the whole reply of a request was handed to the socket, and its status."""

    def __init__(self, app: ASGIApp, book: ConnectionBook) -> None:
        self._app = app
        self._book = book

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        connection = scope.get(CONNECTION)
        if not connection:
            await self._app(scope, receive, send)
            return
        status = 500

        async def noted(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)
            if message["type"] == "http.response.body" and not message.get("more_body", False):
                self._book.reply_done(connection, scope[REQUEST_NUMBER], status)

        await self._app(scope, receive, noted)
