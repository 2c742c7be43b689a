"""`/metrics`: all that the server counts and measures, for Prometheus. docs/metrics.md has the names."""

from __future__ import annotations

import asyncio

from starlette.routing import BaseRoute, Route

import sojourn
from sojourn.api.http.endpoint import Api, Endpoint, Request
from sojourn.api.http.log import log_state
from sojourn.api.http.replies import Reply
from sojourn.service.accounts.permissions import Action, may
from sojourn.service.errors import Forbidden
from sojourn.service.metrics import table
from sojourn.service.metrics.exposition import CONTENT_TYPE, Exposition, Sheet


class Metrics:
    def __init__(self, api: Api) -> None:
        self._api = api
        self._exposition = Exposition(api.service.measures.registry, self._take)

    async def reply(self, request: Request) -> Reply:
        if self._api.settings.server.metrics == "operators":
            who = self._api.authenticator.principal(request.headers, request.address)
            await asyncio.sleep(self._api.service.limits.pace(who))
            if not may(who, Action.SEE_METRICS):
                raise Forbidden(
                    f"User {who.user!r} is not an operator. Use an operator's API key for this, or set "
                    'server.metrics = "open".'
                )
        return Reply(await self._exposition.text(), media=CONTENT_TYPE)

    async def _take(self, sheet: Sheet) -> None:
        """What the service knows of itself, and what HTTP adds."""
        await self._api.service.readings.take(sheet)
        sheet.put(table.INFO, 1, sojourn.__version__)
        sheet.put(table.LOG_LOST, log_state().lost)
        sheet.declare(table.CONNECTIONS_CUT)
        if not (held := self._api.connections()):  # served without the protocol that counts them
            return
        sheet.put(table.CONNECTIONS, held["open"]["held"])
        sheet.put(table.CONNECTIONS_LIMIT, held["open"]["of"])
        for kind in ("incoming", "unread"):
            sheet.put(table.CONNECTION_BYTES, held[kind]["held"], kind)
            sheet.put(table.CONNECTION_LIMIT, held[kind]["of"], kind)
        for reason, count in held["cut"].items():
            sheet.put(table.CONNECTIONS_CUT, count, reason)


def routes(api: Api) -> list[BaseRoute]:
    return [Route("/metrics", Endpoint(api, {"GET": Metrics(api).reply}, authenticated=False))]
