"""ASGI middleware: each request is told to whoever traces the service (see sojourn.service.tracing)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sojourn.api.http.request_ids import current_id

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from sojourn.service.tracing.traces import Traces


class Traced:
    """Within `RequestIds`, whose id it tells."""

    def __init__(self, app: ASGIApp, traces: Traces) -> None:
        self._app = app
        self._traces = traces

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        with self._traces.serving(scope["method"], scope["path"], scope["headers"], current_id()) as replied:

            async def noted(message: Message) -> None:
                if message["type"] == "http.response.start":
                    replied(message["status"])
                await send(message)

            await self._app(scope, receive, noted)
