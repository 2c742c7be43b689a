"""Our own API as a FastAPI application, for `/sojourn/v1`: a module per noun."""

from typing import Any

from fastapi import FastAPI

import sojourn
from sojourn.api.http.endpoint import Api
from sojourn.api.v1 import (
    audit,
    devices,
    identity,
    jobs,
    keys,
    projects,
    reservations,
    sessions,
    usage,
    users,
)
from sojourn.api.v1.common import Callers, ErrorBody
from sojourn.api.v1.events import routes as events
from sojourn.api.v1.events import webhooks
from sojourn.api.v1.faults import add_handlers

_NOUNS = (
    identity,
    devices,
    reservations,
    jobs,
    sessions,
    events,
    users,
    keys,
    audit,
    projects,
    webhooks,
    usage,
)
_ERRORS: dict[int | str, dict[str, Any]] = {
    "4XX": {"model": ErrorBody, "description": "What was wrong, and what to do"},
}


def create_v1(api: Api) -> FastAPI:
    """The application; its OpenAPI is at `openapi.json`."""
    app = FastAPI(
        title="Sojourn",
        version=sojourn.__version__,
        summary="A self-hosted quantum compute service: its own API",
        docs_url=None,  # these pages load scripts from elsewhere; a server in a closed network has none
        redoc_url=None,
        responses=_ERRORS,
    )
    callers = Callers(api)
    for module in _NOUNS:
        # one flat table: a wrong method is answered with all those of its path
        module.add_routes(app.router, api.service, callers)
    add_handlers(app)
    return app
