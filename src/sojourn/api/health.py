"""`/healthz` and `/readyz`: alive, and ready with what is not. For supervisors; needs no credentials."""

from __future__ import annotations

from starlette.routing import BaseRoute, Route

from sojourn.api.http.endpoint import Api, Endpoint, Request
from sojourn.api.http.log import log_state
from sojourn.api.http.replies import Reply, json_reply


async def healthz(request: Request) -> Reply:
    return json_reply({"alive": True, **request.service.alive()})


async def readyz(request: Request) -> Reply:
    """200 when the store is reachable and every device's worker is up, else 503 with what is missing.

    A log that cannot be written is reported, and is not a reason to take the service out of use; nor are the
    bounds of connections and requests, of which it says what they hold and how often they were met.
    """
    log = log_state()
    found = {
        **await request.service.ready(),
        "log": {"lost": log.lost, "reason": log.reason},
        "connections": request.api.connections(),
        "rooms": request.api.rooms.state(),
    }
    return json_reply(found, 200 if found.get("ready") else 503)


def routes(api: Api) -> list[BaseRoute]:
    return [
        Route("/healthz", Endpoint(api, {"GET": healthz}, authenticated=False)),
        Route("/readyz", Endpoint(api, {"GET": readyz}, authenticated=False)),
    ]
