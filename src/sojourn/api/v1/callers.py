"""Who asks a route of our own API, as dependencies of FastAPI."""

from __future__ import annotations

import asyncio

from fastapi import Request

from sojourn.api.http.auth import address_of
from sojourn.api.http.endpoint import Api
from sojourn.service.errors import Forbidden
from sojourn.service.views import Principal


class Callers:
    """`caller` is anybody with credentials, `operator` an operator; each request counts for the rate."""

    def __init__(self, api: Api) -> None:
        self._api = api

    async def caller(self, request: Request) -> Principal:
        """Raises NotAuthenticated, Forbidden, BadRequest or TooMany."""
        who = self._api.gate.principal(dict(request.headers.raw), address_of(request.scope))
        await asyncio.sleep(self._api.service.pace(who))
        return who

    async def operator(self, request: Request) -> Principal:
        """As `caller`; raises Forbidden for everybody else."""
        who = await self.caller(request)
        if not who.operator:
            raise Forbidden(f"User {who.user!r} is no operator. Use an operator's API key for this.")
        return who
