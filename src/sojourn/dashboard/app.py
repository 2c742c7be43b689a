"""The dashboard as an ASGI application."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from fastapi import FastAPI, Request
from nicegui import ui
from starlette.responses import Response

from sojourn.dashboard.following import Following
from sojourn.dashboard.frame import Frame
from sojourn.dashboard.pages import calendar, devices, health, jobs, operators, sessions, usage
from sojourn.dashboard.sign_in import Door
from sojourn.dashboard.upstream import Upstream
from sojourn.dashboard.visitors import Visitors
from sojourn.dashboard.ways import ByKey, ByLink

_HEADERS = {
    "x-frame-options": "DENY",
    "x-content-type-options": "nosniff",
    "referrer-policy": "same-origin",
}


def create(upstream: Upstream, visitors: Visitors) -> FastAPI:
    """One for each process: the pages are NiceGUI's, which keeps them globally."""
    following = Following(upstream)

    @asynccontextmanager
    async def life(_: FastAPI) -> AsyncIterator[None]:
        watching = asyncio.create_task(visitors.watch(), name="visits")
        yield
        watching.cancel()
        await following.close()
        await upstream.close()

    app = FastAPI(openapi_url=None, lifespan=life)

    @app.middleware("http")
    async def guarded(request: Request, ask: Callable[[Request], Awaitable[Response]]) -> Response:
        reply = await ask(request)
        for name, value in _HEADERS.items():
            reply.headers.setdefault(name, value)
        return reply

    door = Door(upstream, visitors, [ByKey(), ByLink(visitors)])
    door.add_routes(app)
    frame = Frame(upstream, following, door)
    for module in (devices, health, jobs, sessions, calendar, usage, operators):
        module.add_pages(frame)
    ui.run_with(
        app,
        title="Sojourn",
        language="en-US",
        dark=None,  # as the viewer's system is
        show_welcome_message=False,
        reconnect_timeout=10.0,
    )
    return app
