"""Puts the parts together: the dialect, our own API, health, and one answer for what is not there."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

from starlette.routing import Mount, Route, Router

from sojourn import codes
from sojourn.api import health, ibm, metrics
from sojourn.api.http.connections import Recorder
from sojourn.api.http.endpoint import Api, Endpoint, Request, missing_reply
from sojourn.api.http.replies import Reply, error_reply
from sojourn.api.http.request_ids import RequestIds
from sojourn.api.http.streams import write
from sojourn.api.measured import Measured
from sojourn.api.traced import Traced
from sojourn.api.v1 import PREFIX
from sojourn.api.v1.app import create_v1
from sojourn.api.v1.middleware import Bodies, InTurn

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Receive, Scope, Send

    from sojourn.config import Settings
    from sojourn.service.service import Service

_LONGEST_PATH = 2048


def create_app(
    service: Service,
    settings: Settings,
    connections: Callable[[], dict[str, Any]] = dict,
    front: Callable[[Request], Awaitable[Reply]] | None = None,
) -> ASGIApp:
    """The ASGI application over a service that somebody else starts and stops.

    `front` answers `GET /`, where people come by; without it there is nothing.

    `connections` says for `/readyz` what the connections hold, see sojourn.api.http.bounds.

    Served without `RecordingProtocol` (see sojourn.api.server), it does not see connections that end before
    the reply, and a submit that is repeated after one makes a second job (R54).
    """
    api = Api(service, settings)
    api.connections = connections
    routes = [
        *ibm.routes(api),
        Mount(PREFIX, app=InTurn(Bodies(create_v1(api), api), api)),
        *health.routes(api),
        *([Route("/", Endpoint(api, {"GET": front}, authenticated=False))] if front is not None else []),
        *metrics.routes(api),
    ]
    router = Router(routes, redirect_slashes=False, default=_nothing_there)
    app: ASGIApp = Measured(Recorder(Guard(router)), service.measures)
    if service.traces.enabled:
        app = Traced(app, service.traces)
    return RequestIds(app)


class Guard:
    """Refuses what no route should see: paths that are absurdly long, and websockets."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and len(scope["path"]) > _LONGEST_PATH:
            message = f"The path has {len(scope['path'])} characters; the limit is {_LONGEST_PATH}."
            await write(send, error_reply(414, codes.ADDRESS_TOO_LONG, message))
            return
        await self._app(scope, receive, send)


async def _nothing_there(scope: Scope, receive: Receive, send: Send) -> None:
    if scope["type"] == "websocket":
        await receive()
        await send({"type": "websocket.close", "code": 1000, "reason": "Poll GET /jobs/{id} instead."})
        return
    await write(send, missing_reply(scope), head=scope["method"] == "HEAD")
