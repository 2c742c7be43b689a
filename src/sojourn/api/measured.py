"""Measures every request: its kind, the status of its reply, and how long it took."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from sojourn.api.v1 import PREFIX
from sojourn.service.metrics.measures import STREAM
from sojourn.service.requests.holds import HELD, Held

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from sojourn.service.metrics.measures import Measures

STREAMS = f"{PREFIX}/events"
"""Where replies last for as long as the client likes."""


class Measured:
    """ASGI middleware."""

    def __init__(self, app: ASGIApp, measures: Measures) -> None:
        self._app = app
        self._measures = measures

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        status = 0

        async def noted(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        held = Held()
        before = HELD.set(held)
        begun = time.perf_counter()
        try:
            await self._app(scope, receive, noted)
        finally:
            took = time.perf_counter() - begun
            HELD.reset(before)
            self._measures.request(kind_of(scope["method"], scope["path"]), status, took - held.seconds)


def kind_of(method: str, path: str) -> str:
    """One of the kinds of docs/metrics.md, whatever was asked for."""
    if path.startswith(STREAMS):
        return STREAM
    if method not in ("GET", "HEAD"):
        return "submit" if method == "POST" and path.endswith("/jobs") else "change"
    parts = path.rsplit("/", 2)
    if len(parts) == 3 and parts[1] == "jobs":
        return "poll"
    return "result" if path.endswith("/results") else "look"
