"""Turns of requests that only look: a few of each caller are worked on at a time, the others wait in order.

However many connections a caller opens, between two steps of another user's submit the event loop then works
on a few of their requests, and not on one of each connection. What the queries of a caller's requests cost is
taken from a bucket; while it is empty, a turn begins only when it has filled again. Knows no routes.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

import structlog

from sojourn.buckets import Buckets
from sojourn.service.views import Principal
from sojourn.store.database import READING, Reading

log = structlog.get_logger("sojourn.turns")

CROWD = 8
"""So many waiting requests of one caller are logged, once in LOG_EVERY seconds."""
LOG_EVERY = 60.0
LONGEST = 10.0
"""Seconds that one request waits for its caller's bucket at most: a rate may be set very low."""


@dataclass(slots=True)
class _Row:
    at_work: int = 0
    waiting: deque[asyncio.Future[None]] = field(default_factory=deque)


@dataclass(frozen=True, slots=True)
class Looks:
    """How many requests of a caller are worked on `at_once`, 0 for any number; and the seconds of a processor
    that their queries may take: `burst` at once, and `rate` per second in the long run, 0 for any."""

    at_once: int = 0
    rate: float = 0.0
    burst: float = 0.0


class Turns:
    """`looks` says what a caller may have. `clock` is in seconds."""

    def __init__(
        self, looks: Callable[[Principal], Looks], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._looks = looks
        self._clock = clock
        self._left: Buckets[tuple[str, str]] = Buckets()
        self._rows: dict[tuple[str, str], _Row] = {}
        self._logged: dict[tuple[str, str, str], float] = {}

    async def take(self, who: Principal) -> Reading:
        """Return when it is the request's turn; `give` must follow, unless this was cancelled. The queries of
        the task are counted from now on."""
        looks = self._looks(who)
        await self._turn(who, looks.at_once)
        reading = Reading()
        try:
            await self._until_paid(who, looks)
        except asyncio.CancelledError:
            self.give(who, reading)
            raise
        READING.set(reading)
        return reading

    async def _until_paid(self, who: Principal, looks: Looks) -> None:
        """One who has used up what there was holds the turn meanwhile: the others of this caller wait too."""
        if not looks.rate:
            return
        key = (who.user_id, who.project_id)
        left = self._left.level(key, self._clock(), looks.rate, looks.burst)
        if left < 0:
            self._note(who, key, "looks.cost", seconds=round(-left, 3), rate=looks.rate)
            await asyncio.sleep(min(-left / looks.rate, LONGEST))

    async def _turn(self, who: Principal, limit: int) -> None:
        key = (who.user_id, who.project_id)
        row = self._rows.setdefault(key, _Row())
        if not limit or (row.at_work < limit and not row.waiting):
            row.at_work += 1
            return
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        row.waiting.append(turn)
        if len(row.waiting) >= CROWD:
            self._note(who, key, "looks.wait", waiting=len(row.waiting), at_once=limit)
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self._done(key)  # the turn came with the cancellation: the next one has it
            raise

    def give(self, who: Principal, reading: Reading) -> None:
        """The request is done, and `reading` is what its queries have cost."""
        key = (who.user_id, who.project_id)
        if reading.seconds and (looks := self._looks(who)).rate:
            self._left.take(key, reading.seconds, self._clock(), looks.rate, looks.burst)
        self._done(key)

    def _done(self, key: tuple[str, str]) -> None:
        """The turn passes on in the loop's next round: so also of requests that are answered without a wait a
        few are worked on in a round, however many came in it."""
        asyncio.get_running_loop().call_soon(self._pass_on, key)

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

    def _note(self, who: Principal, key: tuple[str, str], what: str, **more: float) -> None:
        now, named = self._clock(), (*key, what)
        if now - self._logged.get(named, -LOG_EVERY) < LOG_EVERY:
            return
        self._logged = {k: at for k, at in self._logged.items() if now - at < LOG_EVERY} | {named: now}
        log.warning(what, user=who.user, project=who.project, **more)
