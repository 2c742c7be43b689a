"""ASGI middleware of our own API: a request that only looks waits for the caller's turn first."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sojourn.api.http.endpoint import LOOKS, Api
from sojourn.service.errors import Refusal

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send


class InTurn:
    """A turn ends when the answer begins: a reader who is slow with it holds no other request up.

    Who is not known has no turn to wait for; the application says what is wrong.
    """

    def __init__(self, app: ASGIApp, api: Api) -> None:
        self._app = app
        self._api = api

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] not in LOOKS:
            await self._app(scope, receive, send)
            return
        try:
            who = self._api.gate.principal(dict(scope["headers"]), None)
        except Refusal:
            await self._app(scope, receive, send)
            return
        turns = self._api.service.turns
        reading = await turns.take(who)
        mine = True

        def end() -> None:
            nonlocal mine
            if mine:
                mine = False
                turns.give(who, reading)

        async def answer(message: Message) -> None:
            end()
            await send(message)

        try:
            await self._app(scope, receive, answer)
        finally:
            end()
