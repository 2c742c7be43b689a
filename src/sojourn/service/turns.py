"""Turns of requests that only look: a few of each caller are worked on at a time, the others wait in order.

However many connections a caller opens, between two steps of another user's submit the event loop then works
on a few of their requests, and not on one of each connection. Knows no routes and no costs.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

import structlog

from sojourn.service.views import Principal

log = structlog.get_logger("sojourn.turns")

CROWD = 8
"""So many waiting requests of one caller are logged, once in LOG_EVERY seconds."""
LOG_EVERY = 60.0


@dataclass(slots=True)
class _Row:
    at_work: int = 0
    waiting: deque[asyncio.Future[None]] = field(default_factory=deque)


class Turns:
    """`limit` says how many requests of a caller are worked on at a time, 0 for any number."""

    def __init__(
        self, limit: Callable[[Principal], int], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._limit = limit
        self._clock = clock
        self._rows: dict[tuple[str, str], _Row] = {}
        self._logged: dict[tuple[str, str], float] = {}

    async def take(self, who: Principal) -> None:
        """Return when it is the request's turn; `give` must follow, unless this was cancelled."""
        key, limit = (who.user_id, who.project_id), self._limit(who)
        row = self._rows.setdefault(key, _Row())
        if not limit or (row.at_work < limit and not row.waiting):
            row.at_work += 1
            return
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        row.waiting.append(turn)
        if len(row.waiting) >= CROWD:
            self._note(who, key, len(row.waiting), limit)
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self.give(who)  # the turn came with the cancellation: the next one has it
            raise

    def give(self, who: Principal) -> None:
        """The request is done. Its turn passes on in the loop's next round: so also of requests that are
        answered without a wait a few are worked on in a round, however many came in it."""
        asyncio.get_running_loop().call_soon(self._pass_on, (who.user_id, who.project_id))

    def _pass_on(self, key: tuple[str, str]) -> None:
        row = self._rows[key]
        while row.waiting:
            turn = row.waiting.popleft()
            if not turn.done():
                turn.set_result(None)
                return
        row.at_work -= 1
        if not row.at_work:
            del self._rows[key]

    def _note(self, who: Principal, key: tuple[str, str], waiting: int, limit: int) -> None:
        now = self._clock()
        if now - self._logged.get(key, -LOG_EVERY) < LOG_EVERY:
            return
        self._logged = {k: at for k, at in self._logged.items() if now - at < LOG_EVERY} | {key: now}
        log.warning("looks.wait", user=who.user, project=who.project, waiting=waiting, at_once=limit)
