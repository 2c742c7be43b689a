"""The orders that the test gives: the time moves on, faults are scripted, what is left is ended.

Each is carried out by what an operator could do as well, with the operator's own rights. Orders and answers
are lines of JSON on an inherited socket.
"""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sojourn.core.model import JobKind
from sojourn.service.errors import Refusal
from sojourn.testing.server.clock import MovableClock
from sojourn.testing.server.script import Act, Script

if TYPE_CHECKING:
    from sojourn.service.lanes.records import JobRecord
    from sojourn.service.service import Service
    from sojourn.service.views import Principal

LONGEST = 30 * 86400.0
"""Seconds that the time can be moved on at once: every deadline on the way is one to carry out."""
_LINE = 2**22  # bytes of an order
_IDLE = 60.0
"""Seconds until no device runs anything after a reset."""


class Orders:
    """Also directs the engine, see `sojourn.testing.server.engine.Director`."""

    def __init__(self, data: Path, clock: MovableClock) -> None:
        self.clock = clock
        self.script = Script()
        self.service: Service | None = None
        self._data = data
        self._crowd: set[str] = set()  # the ids of users who only occupy devices

    # the test

    async def follow(self, connection: socket.socket) -> None:
        """Until the other side hangs up."""
        reader, writer = await asyncio.open_connection(sock=connection, limit=_LINE)
        try:
            while line := await reader.readline():
                writer.write(json.dumps(await self._answer(json.loads(line))).encode() + b"\n")
                await writer.drain()
        except ConnectionError:  # the test's process has ended
            pass
        finally:
            writer.close()

    async def _answer(self, order: dict[str, Any]) -> dict[str, Any]:
        do = order.pop("do")
        known: dict[str, Callable[..., Any]] = {
            "advance": self.advance,
            "now": self.now,
            "script": self.add,
            "left": self.left,
            "clear": self.clear,
            "crowd": self.crowd,
            "reset": self.reset,
        }
        try:
            return {"done": await known[do](**order)}
        except (Refusal, ValueError, TimeoutError) as error:
            return {"error": getattr(error, "message", None) or str(error) or repr(error)}

    async def advance(self, seconds: float) -> str:
        if seconds > LONGEST:
            raise ValueError(f"the time can be moved on by at most 30 days at once, not {seconds:g} s")
        await self.clock.advance(seconds, self._settled)
        return await self.now()

    async def now(self) -> str:
        return datetime.fromtimestamp(self.clock.now(), UTC).isoformat()

    async def add(self, acts: list[Any], answers: list[Any], calibrate: bool) -> None:
        self.script.add(acts, answers, calibrate)

    async def left(self) -> dict[str, int]:
        return self.script.left()

    async def clear(self) -> None:
        self.script.clear()

    async def crowd(self, user: str, device: str, seconds: float) -> None:
        """The next job of `user` there takes so long."""
        self._crowd.add(self._running.accounts.user_id(user))
        self.script.crowd[device] = seconds

    async def reset(self) -> None:
        """End every job and session, and put every device online again."""
        self.script.clear()
        service, who = self._running, self._operator
        records, lanes = service.parts.records, service.parts.lanes
        for session in list(records.live_sessions):
            with suppress(Refusal):  # it has just ended
                await service.sessions.close(who, session)
        for record in list(records.live_jobs.values()):
            with suppress(Refusal):
                await service.jobs.cancel(who, record.job.id)
        for device in lanes.specs:
            if lanes.dispatchers[device].lane.status is not None:
                await service.control.resume(who, device)
        await self._settled()
        async with asyncio.timeout(_IDLE):
            # until the workers of what was cancelled are gone, of which nobody is told
            while any(each.lane.run is not None for each in lanes.dispatchers.values()):  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        await self._settled()
        self.script.forget()

    # the engine

    def act(self, device: str, job_id: str) -> Act | None:
        record = self._record(job_id)
        return None if record is None else self.script.act(job_id, device, record.job.user in self._crowd)

    def began(self, job_id: str) -> float:
        record = self._record(job_id)
        began = None if record is None else record.job.started_at
        return self.clock.now() if began is None else began

    async def cancel(self, job_id: str) -> None:
        with suppress(Refusal):  # somebody was faster
            await self._running.jobs.cancel(self._operator, job_id)

    async def run_out(self, job_id: str) -> None:
        record = self._record(job_id)
        if record is not None and record.job.started_at is not None:
            await self.pass_until(record.job.started_at + record.job.limit)

    async def pass_until(self, when: float) -> None:
        await self.clock.advance(max(0.0, when - self.clock.now()), self._settled)

    async def ran(self, device: str, job_id: str) -> None:
        record = self._record(job_id)
        in_session = record is not None and record.job.session_id is not None
        if self.script.calibrate and in_session:
            self.script.calibrate = False
            with suppress(Refusal):  # one is under way
                await self._running.control.calibrate(self._operator, device, "the test asked for it")

    # within

    @property
    def _running(self) -> Service:
        if self.service is None:
            raise ValueError("the service has not been started")
        return self.service

    @property
    def _operator(self) -> Principal:
        accounts = self._running.accounts
        user = accounts.by_key((self._data / "operator.key").read_text(encoding="utf-8").strip())
        assert user is not None, "the operator's key file has a key that is in force"
        return accounts.principal(user, None)

    def _record(self, job_id: str) -> JobRecord | None:
        """Of a job of a user that has not ended."""
        record = self._running.parts.records.live_jobs.get(job_id)
        return record if record is not None and record.job.kind is JobKind.USER else None

    async def _settled(self) -> None:
        """What was decided is committed, and what follows from the commit has begun."""
        await self._running.parts.store.write(lambda _: None)
