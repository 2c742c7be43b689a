"""What the routers of our own API share: who asks, types of fields, the body of an error."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Annotated

from fastapi import Path, Request
from pydantic import BaseModel, Field

from sojourn.api.http.auth import address_of
from sojourn.api.http.endpoint import Api
from sojourn.api.http.values import shown
from sojourn.service.accounts.permissions import Action, may
from sojourn.service.errors import BadRequest, Forbidden
from sojourn.service.views import Principal

Time = str
"""ISO 8601 in UTC."""
Name = Annotated[str, Path(max_length=64)]
Id = Annotated[str, Path(max_length=128)]
Text = Annotated[str, Field(max_length=400)]


def check_query_name(name: str, possible: Sequence[str]) -> None:
    """For routes on which a query parameter that is ignored would do harm. Raises BadRequest."""
    if name not in possible:
        raise BadRequest(f"There is no query parameter {shown(name)} here. Possible: {', '.join(possible)}.")


class ErrorEntry(BaseModel):
    code: int
    message: str


class ErrorBody(BaseModel):
    """What went wrong, the limit, the value received and what to do."""

    error: ErrorEntry
    errors: list[ErrorEntry]


class Callers:
    """`caller` is anybody with credentials; each request counts for the rate."""

    def __init__(self, api: Api) -> None:
        self._api = api

    async def caller(self, request: Request) -> Principal:
        """Raises NotAuthenticated, Forbidden, BadRequest or TooMany."""
        who = self._api.authenticator.principal(dict(request.headers.raw), address_of(request.scope))
        await asyncio.sleep(self._api.service.limits.pace(who))
        return who

    def who_may(self, action: Action) -> Callable[[Request], Awaitable[Principal]]:
        """As `caller`, for an action on everybody's objects; raises Forbidden for who may not."""

        async def allowed(request: Request) -> Principal:
            who = await self.caller(request)
            if not may(who, action):
                raise Forbidden(f"User {who.user!r} is not an operator. Use an operator's API key for this.")
            return who

        return allowed

    def again(self, request: Request) -> Callable[[], Principal]:
        """Who the caller of a request is by the time of the call, which raises what `caller` would. It counts
        for nothing: the request was let in."""
        authenticator, headers = self._api.authenticator, dict(request.headers.raw)
        return lambda: authenticator.principal(headers, None)
