"""Runs on the devices that go as a script says: an engine around the real one, whose workers do the work.

What it makes of a run, the service takes for true: a job that fails, is cancelled or runs too long goes the
way of any other one.
"""

from __future__ import annotations

import asyncio
import functools
import os
import signal
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any, Protocol

from sojourn import codes
from sojourn.execution.engine import (
    Crashed,
    Pace,
    RunOutcome,
    RunRequest,
    Stopped,
    UserPreparations,
    WorkerPhase,
    WorkerState,
)
from sojourn.execution.local.engine import LocalEngine
from sojourn.testing.server.clock import MovableClock
from sojourn.testing.server.script import Act
from sojourn.worker.protocol.types import (
    CALIBRATE,
    CHECK,
    Completed,
    Description,
    DeviceSpec,
    Failed,
    Prepared,
)


class Director(Protocol):
    """What the engine asks of the service around it."""

    clock: MovableClock

    def act(self, device: str, job_id: str) -> Act | None: ...

    def began(self, job_id: str) -> float:
        """The service's time at which the present run began."""
        ...

    async def cancel(self, job_id: str) -> None:
        """As an operator would."""

    async def run_out(self, job_id: str) -> None:
        """Move the time on until the job has run for as long as it may."""

    async def pass_until(self, when: float) -> None:
        """Move the time on until then, if that is not past."""

    async def ran(self, device: str, job_id: str) -> None:
        """A run has ended."""


class ScriptedEngine:
    """Arguments as of `LocalEngine`."""

    def __init__(
        self,
        specs: Sequence[DeviceSpec],
        *,
        director: Director,
        on_state: Callable[[str, WorkerState], None],
        preparers: int,
        prepare_limit: float,
        pace: Pace,
        hung_limit: float,
        hidden: str,
    ) -> None:
        self._director = director
        self._on_state = on_state
        # Devices whose worker is to die of its run, and its pid when it has to.
        self._doomed: dict[str, int | None] = {}
        self._killed: dict[str, asyncio.Future[None]] = {}
        self._inner = LocalEngine(
            [replace(spec, virtual=True) for spec in specs],
            on_state=self._noted,
            preparers=preparers,
            prepare_limit=prepare_limit,
            pace=pace,
            hung_limit=hung_limit,
            hidden=hidden,
        )

    async def start(self) -> None:
        await self._inner.start()

    async def stop(self) -> None:
        await self._inner.stop()

    def state(self, device: str) -> WorkerState:
        return self._inner.state(device)

    async def description(self, device: str) -> Description:
        return await self._inner.description(device)

    def calibrate(self, device: str, properties: bytes) -> None:
        self._inner.calibrate(device, properties)

    def preparers(self) -> dict[str, Any]:
        return self._inner.preparers()

    def preparations(self) -> Sequence[UserPreparations]:
        return self._inner.preparations()

    async def prepare(
        self,
        device: str,
        program_id: str,
        params: bytes,
        user: str = "",
        begun: Callable[[], None] | None = None,
    ) -> Prepared:
        return await self._inner.prepare(device, program_id, params, user, begun)

    async def run(self, device: str, request: RunRequest) -> RunOutcome:
        killed = self._killed[request.run_id] = asyncio.get_running_loop().create_future()
        try:
            if request.program_id in (CALIBRATE, CHECK):
                return await self._worked(device, request, killed)
            job_id = request.run_id.rpartition(".")[0]
            act = self._director.act(device, job_id)
            if act is None:
                outcome = await self._worked(device, request, killed)
            else:
                outcome = await self._played(device, request, job_id, act, killed)
        finally:
            del self._killed[request.run_id]
        await self._director.ran(device, job_id)
        return outcome

    def kill(self, device: str, run_id: str) -> None:
        killed = self._killed.get(run_id)
        if killed is not None:
            _settle(killed)
        self._inner.kill(device, run_id)

    def end_session(self, device: str, session: str) -> None:
        self._inner.end_session(device, session)

    async def _played(
        self, device: str, request: RunRequest, job_id: str, act: Act, killed: asyncio.Future[None]
    ) -> RunOutcome:
        if act.seconds and not await self._passed(self._director.began(job_id) + act.seconds, killed):
            return Stopped()
        match act.status:
            case "failed":
                reason = act.reason or "The test asked for this failure."
                return Failed(reason, codes.RUN_FAILED if act.code is None else act.code, reason)
            case "cancelled":
                return await self._ended_by(self._director.cancel(job_id), killed)
            case "ran_too_long":
                return await self._ended_by(self._director.run_out(job_id), killed)
            case "crashed":
                return await self._fatal(device, request)
            case _:
                return await self._worked(device, request, killed)

    async def _worked(self, device: str, request: RunRequest, killed: asyncio.Future[None]) -> RunOutcome:
        """As it goes by itself. Of a device with `timing = "realistic"` the worker says how long the job has
        it, and that time passes here, at once, with all that is due in it."""
        begun = self._director.clock.now()
        outcome = await self._inner.run(device, request)
        if isinstance(outcome, Completed) and outcome.held:
            await self._director.pass_until(begun + outcome.held)
            if killed.done():
                return Stopped()
        return outcome

    async def _fatal(self, device: str, request: RunRequest) -> RunOutcome:
        """The worker is killed as soon as it has the job. One that was quicker with its answer dies of the
        same signal, and the answer is forgotten."""
        self._doomed[device] = None
        try:
            outcome = await self._inner.run(device, request)
        finally:
            pid = self._doomed.pop(device)
        if pid is None or not isinstance(outcome, Completed | Failed):
            return outcome
        while self._inner.state(device).pid == pid:  # noqa: ASYNC110 - nobody is told
            await asyncio.sleep(0.01)
        return Crashed("SIGSEGV")

    async def _ended_by(self, act: Awaitable[None], killed: asyncio.Future[None]) -> RunOutcome:
        await act
        await killed
        return Stopped()

    async def _passed(self, until: float, killed: asyncio.Future[None]) -> bool:
        """Wait for that time of the service; whether the run is still wanted then."""
        clock = self._director.clock
        while clock.now() < until and not killed.done():
            over: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            reminder = clock.call_at(until, functools.partial(_settle, over))
            await asyncio.wait({over, killed}, return_when=asyncio.FIRST_COMPLETED)
            reminder.cancel()
        return not killed.done()

    def _noted(self, device: str, state: WorkerState) -> None:
        if state.phase is WorkerPhase.BUSY and device in self._doomed and state.pid is not None:
            self._doomed[device] = state.pid
            with suppress(ProcessLookupError):
                os.kill(state.pid, signal.SIGSEGV)
        self._on_state(device, state)


def _settle(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)
