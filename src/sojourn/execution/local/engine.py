"""Runs jobs in worker processes of this machine: the local engine.

Holds the supervisors, the preparers and their interpreters; knows nothing of queues or sessions and does not
import Qiskit. Everything runs on the caller's event loop, without threads.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import structlog

from sojourn.execution.engine import (
    DeviceUnavailable,
    Lost,
    Pace,
    RunOutcome,
    RunRequest,
    Stopped,
    UserPreparations,
    WorkerPhase,
    WorkerState,
)
from sojourn.execution.local.forkserver_client import IMPORT_LIMIT
from sojourn.execution.local.interpreter import CAN_FORK, Interpreter
from sojourn.execution.local.liveness import HUNG_LIMIT, check_interval
from sojourn.execution.local.preparers import PreparerPool
from sojourn.execution.local.rewriter import Rewriter
from sojourn.execution.local.supervisor import HEALTH_INTERVAL, Supervisor
from sojourn.worker.protocol.memory import machine_memory
from sojourn.worker.protocol.messages import DEFAULT_HOST
from sojourn.worker.protocol.types import Description, DeviceSpec, Failed, JobRefused, Prepared

PREPARE_LIMIT = 60.0
LOAD_LIMIT = 120.0
PREPARE_MEMORY = 2 * 2**30
"""Bytes that one preparation may take: several times what the largest body unfolds to. A few hundred bytes of
QPY can claim registers that no machine has room for."""

_SLOW_TO_IMPORT = frozenset({"fake"})
"""Drivers whose imports take a second and more; the others' workers need not wait for them."""


log = structlog.get_logger("sojourn.execution")


def _ignore(device: str, state: WorkerState) -> None:
    pass


class LocalEngine:
    """The workers of `specs`.

    `on_state` is called on the loop at every change, before anybody who waits for it continues.
    `preparers` is their number per interpreter. `host_class` is the dotted path of the class that workers
    load (``module:Class``). `prepare_limit` and `load_limit` are seconds; `pace` says what of the first a
    small job may take, and how much of it a user. `prepare_memory` is the bytes
    that one preparation may take: None for 2 GiB, or a preparer's part of half of the machine's memory if
    that is less. A process that owes an answer for `hung_limit` seconds, or is stopped for 2 s, is replaced;
    `import_limit` is the seconds that a driver's import may take in a fork server, `health_interval` those
    between two questions to an idle device about its health. `hidden` is a folder that
    workers put out of their own reach, "" for none; see `confinement`. `fork` False starts every worker from
    scratch, as on systems where a fork is not usable.
    """

    def __init__(
        self,
        specs: Sequence[DeviceSpec],
        *,
        on_state: Callable[[str, WorkerState], None] = _ignore,
        preparers: int = 1,
        host_class: str = DEFAULT_HOST,
        prepare_limit: float = PREPARE_LIMIT,
        pace: Pace | None = None,
        prepare_memory: int | None = None,
        load_limit: float = LOAD_LIMIT,
        hung_limit: float = HUNG_LIMIT,
        import_limit: float = IMPORT_LIMIT,
        health_interval: float = HEALTH_INTERVAL,
        hidden: str = "",
        fork: bool = CAN_FORK,
    ) -> None:
        names = [spec.name for spec in specs]
        twice = {name for name in names if names.count(name) > 1}
        if twice:
            raise ValueError(f"device names must differ; more than once: {', '.join(sorted(twice))}")
        if preparers < 1:
            raise ValueError(f"preparers must be at least 1, not {preparers}")
        self._interval = check_interval(hung_limit)
        self._checking: asyncio.Task[None] | None = None
        pythons = {spec.python for spec in specs}
        foreign = pythons - {None}
        self._interpreters = {
            python: Interpreter(
                python, fork=fork, hung_limit=hung_limit, import_limit=import_limit, hidden=hidden
            )
            for python in (pythons | {None} if foreign else pythons)
        }
        self._supervisors = {
            spec.name: Supervisor(
                spec,
                self._interpreters[spec.python],
                on_state=self._on_worker_state,
                host_class=host_class,
                load_limit=load_limit,
                health_interval=health_interval,
            )
            for spec in specs
        }
        self._pools = {
            python: PreparerPool(
                [replace(spec, runs=False) for spec in specs if spec.python == python],
                interpreter,
                size=preparers,
                host_class=host_class,
                limit=prepare_limit,
                pace=pace,
                memory=_affordable(preparers) if prepare_memory is None else prepare_memory,
            )
            for python, interpreter in self._interpreters.items()
        }
        self._on_state = on_state
        self._rewriter = None
        if foreign:
            memory = PREPARE_MEMORY if prepare_memory is None else prepare_memory
            self._rewriter = Rewriter(self._interpreters[None], memory=memory, limit=prepare_limit)
        self._fitting: dict[tuple[str, str], bool] = {}  # runs before their worker; whether they were stopped

    async def start(self) -> None:
        """Start the workers of all devices that are not lazy, in the background."""
        self._checking = asyncio.create_task(self._check_processes(), name="check worker processes")
        eager = [it for it in self._supervisors.values() if not it.spec.lazy]
        for supervisor in sorted(eager, key=lambda it: it.spec.driver in _SLOW_TO_IMPORT):
            supervisor.wake()
            await asyncio.sleep(0)  # requests reach the fork server in this order
        for python in {it.spec.python for it in eager}:
            self._pools[python].start()

    async def stop(self) -> None:
        """Kill and reap every process. Runs and preparations in flight raise `DeviceUnavailable`."""
        if self._checking is not None:
            self._checking.cancel()
        await asyncio.gather(*(supervisor.stop() for supervisor in self._supervisors.values()))
        await asyncio.gather(*(pool.stop() for pool in self._pools.values()))
        if self._rewriter is not None:
            await self._rewriter.stop()
        await asyncio.gather(*(interpreter.stop() for interpreter in self._interpreters.values()))

    def state(self, device: str) -> WorkerState:
        """Where the device's worker is. Raises KeyError for a name that is not configured (as do all)."""
        return self._supervisors[device].state

    async def description(self, device: str) -> Description:
        """What the device says of itself; waits for the first worker. Raises `DeviceUnavailable`."""
        return await self._supervisors[device].description()

    def preparers(self) -> dict[str, Any]:
        """How many preparers are `up` and `wanted`; whether they are `missing`: an interpreter whose
        preparers have been lost and not replaced; and the `reason`."""
        pools = list(self._pools.values())
        reasons = [pool.fault for pool in pools if pool.fault is not None]
        return {
            "up": sum(pool.up for pool in pools),
            "wanted": sum(pool.wanted for pool in pools),
            "missing": any(pool.missing for pool in pools),
            "reason": reasons[0] if reasons else None,
        }

    def calibrate(self, device: str, properties: bytes) -> None:
        """From the next run on the calibration with these properties (JSON text) holds, also for new workers.

        Empty `properties`: what the driver finds by itself.
        """
        self._supervisors[device].calibration = properties

    async def prepare(
        self,
        device: str,
        program_id: str,
        params: bytes,
        user: str = "",
        begun: Callable[[], None] | None = None,
    ) -> Prepared:
        """Decode and check a job, and estimate it, in turns between the users; `begun` is called when that
        begins. Raises `JobRefused`, `DeviceUnavailable`. A caller that is cancelled holds nobody up."""
        supervisor = self._supervisors[device]
        state = supervisor.state
        if state.phase is WorkerPhase.FAILED and supervisor.described is None:
            # The preparer would fail on it just the same, and keep others waiting.
            raise DeviceUnavailable(f"device {device} has no worker: {state.reason}")
        if supervisor.described is None and not supervisor.spec.lazy:
            # Its own worker loads it first: if its driver hangs, the preparers of all devices must not.
            await supervisor.description()
        pool = self._pools[supervisor.spec.python]
        return await pool.prepare(device, program_id, await self._fitted(supervisor, params), user, begun)

    def preparations(self) -> list[UserPreparations]:
        """Who waits for preparations and who is served, in each interpreter."""
        return [found for pool in self._pools.values() for found in pool.users()]

    async def run(self, device: str, request: RunRequest) -> RunOutcome:
        """Run one attempt; calls for the same device go one after the other, in order.

        Raises `DeviceUnavailable` if no worker can be had. A worker that dies is an outcome (`Crashed`,
        `Lost`).
        """
        supervisor = self._supervisors[device]
        if supervisor.spec.python is not None:
            fitted = await self._fitted_run(supervisor, request)
            if not isinstance(fitted, RunRequest):
                return fitted
            request = fitted
        return await supervisor.run(request)

    def kill(self, device: str, run_id: str) -> None:
        """Stop a run: its `run` returns `Stopped` once the worker is gone. Unknown `run_id`: no effect."""
        if (device, run_id) in self._fitting:
            self._fitting[device, run_id] = True
        self._supervisors[device].kill(run_id)

    async def _fitted(self, supervisor: Supervisor, params: bytes) -> bytes:
        """The params with circuits that the device's interpreter reads. Raises `JobRefused`,
        `DeviceUnavailable`."""
        if self._rewriter is None or supervisor.spec.python is None:
            return params
        if supervisor.state.environment is None:
            await supervisor.description()
        environment = supervisor.state.environment
        if environment is None or not environment.qpy:
            return params
        return await self._rewriter.fitted(supervisor.spec.name, environment, params)

    async def _fitted_run(self, supervisor: Supervisor, request: RunRequest) -> RunRequest | RunOutcome:
        """The same attempt with such params, or why there is none."""
        key = supervisor.spec.name, request.run_id
        self._fitting[key] = False
        try:
            params = await self._fitted(supervisor, request.params)
            return Stopped() if self._fitting[key] else replace(request, params=params)
        except JobRefused as refused:
            return Failed(refused.message, refused.code)
        except DeviceUnavailable as error:
            if supervisor.state.phase is WorkerPhase.FAILED:
                raise
            return Lost(f"could not be given circuits that it reads ({error})")
        finally:
            del self._fitting[key]

    def end_session(self, device: str, session: str) -> None:
        """The session does not have the device any more: its worker is told, if it is there. A device that
        is not configured any more has none."""
        if (supervisor := self._supervisors.get(device)) is not None:
            supervisor.end_session(session)

    async def _check_processes(self) -> None:
        """Check all processes, for as long as the engine runs."""
        while True:
            await asyncio.sleep(self._interval)
            for interpreter in self._interpreters.values():
                try:
                    interpreter.check()
                except Exception:  # one that cannot be looked at must not leave the others unwatched
                    log.exception("worker processes not checked", python=interpreter.python)

    def _on_worker_state(self, device: str, state: WorkerState) -> None:
        self._on_state(device, state)
        if state.phase is WorkerPhase.READY:
            self._pools[self._supervisors[device].spec.python].warm(device)


def _affordable(preparers: int) -> int:
    """`PREPARE_MEMORY`, or a preparer's part of half of what there is."""
    total = machine_memory()
    return PREPARE_MEMORY if total is None else min(PREPARE_MEMORY, total // 2 // preparers)
