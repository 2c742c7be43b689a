"""Records what becomes of each reply on the wire: an `Exchange` for every request (R54).

What follows from a lost reply is decided in
sojourn.service.jobs.repeats.
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

from sojourn import codes
from sojourn.api.http.bounds import BoundedProtocol
from sojourn.api.http.endpoint import EXCHANGE
from sojourn.api.http.replies import error_reply
from sojourn.api.http.request_ids import unreadable
from sojourn.api.http.streams import write
from sojourn.service.requests.exchange import Exchange

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send


class RecordingProtocol(BoundedProtocol):
    """Opens an exchange with each request; those that are open when the connection ends are lost.

    A client that ends its own side before the reply gets none, as the server then ends the other one, too.
    """

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        self._exchanges: list[Exchange] = []
        super().connection_made(transport)

    def eof_received(self) -> None:
        self._lose()
        super().eof_received()

    def connection_lost(self, exc: Exception | None) -> None:
        self._lose()
        super().connection_lost(exc)

    def on_message_begin(self) -> None:
        super().on_message_begin()
        exchange = Exchange(time.monotonic())
        self._exchanges = [earlier for earlier in self._exchanges if not earlier.ended]
        self._exchanges.append(exchange)
        self.scope[EXCHANGE] = exchange  # type: ignore[literal-required]

    def on_message_complete(self) -> None:
        """Go on reading after a large body, or the end of the connection is seen only after the reply."""
        super().on_message_complete()
        if not self.pipeline and not self._cut_off:
            self.flow.resume_reading()

    def _lose(self) -> None:
        lost, self._exchanges = self._exchanges, []
        now = time.monotonic()
        for exchange in lost:
            exchange.lose(now)

    def send_400_response(self, msg: str) -> None:
        """Bytes that are no HTTP get the error body of everything else; the connection ends."""
        if self._cut_off:
            return
        said = f"{msg} Send HTTP/1.1, with a path and headers in ASCII."
        self._say(400, codes.BAD_REQUEST, said, unreadable(msg))
        self.transport.close()


class Recorder:
    """ASGI middleware: ends the exchange of each request.

    It is answered just before the end of the reply is handed to the connection, so that what is noted of it
    is on record when the client has it. A 5xx, and a request that is left without a reply, are lost.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        exchange: Exchange = scope.setdefault(EXCHANGE, Exchange(time.monotonic()))
        status = 0

        async def recorded(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            elif message["type"] == "http.response.body" and not message.get("more_body", False):
                if status < 500:
                    exchange.answer()
                else:
                    exchange.lose(time.monotonic())
            await send(message)

        try:
            await self._app(scope, receive, recorded)
        except asyncio.CancelledError:  # the server stops and has waited long enough
            if not status:
                await write(recorded, _STOPPING)
        finally:
            exchange.lose(time.monotonic())


_STOPPING = error_reply(
    503,
    codes.BUSY,
    "The service is stopping. If this was a submit that an equal one follows within the time in "
    "submit_retry_window, there is one job all the same.",
    headers=((b"retry-after", b"5"), (b"connection", b"close")),
)
