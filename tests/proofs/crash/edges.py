"""The service's edges in the simulated world: when a transaction is committed, and what the workers do.

`InlineWriter` runs the store's own transactions; only the moment is drawn. `SimulatedEngine` stands for the
worker processes, as a device's driver stands for the device.
"""

from __future__ import annotations

import asyncio
import json
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from random import Random
from typing import Any
from unittest.mock import patch

from sqlalchemy import Connection, Engine

from sojourn.execution.engine import (
    Crashed,
    DeviceUnavailable,
    RunOutcome,
    RunRequest,
    Stopped,
    UserPreparations,
    WorkerPhase,
    WorkerState,
)
from sojourn.service import ids
from sojourn.service.accounts import accounts
from sojourn.store.database import StoreFull
from sojourn.store.database.work import Work
from sojourn.store.database.writer import Need, Writer, _deliver, _Entry
from sojourn.worker.protocol.messages import encode_description
from sojourn.worker.protocol.types import (
    CALIBRATE,
    Completed,
    Description,
    DeviceSpec,
    Failed,
    JobRefused,
    Prepared,
)
from tests.proofs.crash.world import World

FIRST = asyncio.FIRST_COMPLETED
NOBODY = WorkerState(WorkerPhase.STARTING)
RunSeen = Callable[[str, RunRequest], None]


class InlineWriter(Writer):
    """The writer without its thread: what waits is committed, and told, when chance says so, in order."""

    def __init__(self, engine: Engine, world: World) -> None:
        self._engine = engine
        self._world = world
        self._loop = asyncio.get_running_loop()
        self._waiting: deque[_Entry] = deque()
        self._committed: deque[list[_Entry]] = deque()  # and not told yet
        self._told_at = 0.0

    def submit(
        self, work: Work[Any], then: Callable[[Any], None] | None = None, *, need: Need = Need.SPARE
    ) -> asyncio.Future[Any]:
        entry = _Entry(self._cut_within(work), then, self._loop.create_future(), need)
        self._waiting.append(entry)
        if len(self._waiting) == 1:
            self._loop.call_later(self._world.delay(0.05), self._write)
        return entry.future

    def close(self) -> None:
        if self._world.dark:  # the process that unwinds is gone
            self._waiting.clear()
        while self._waiting:
            self._write(len(self._waiting))

    def _cut_within(self, work: Work[Any]) -> Work[Any]:
        def run(connection: Connection) -> Any:
            result = work(connection)
            self._world.point("inside a transaction")
            return result

        return run

    def _write(self, count: int | None = None) -> None:
        if not self._waiting:
            return
        count = count or self._world.chance.randint(1, len(self._waiting))
        batch = [self._waiting.popleft() for _ in range(count)]
        if self._world.full:
            batch = self._without_room(batch)
        if self._waiting:
            self._loop.call_later(self._world.delay(0.05), self._write)
        self._world.point("before a commit")
        if not any(entry.error for entry in batch):
            self._commit(batch)
        self._world.point("after a commit")
        self._told_at = max(self._told_at, self._world.time + self._world.delay(0.02))
        self._committed.append(batch)
        self._loop.call_at(self._told_at, self._deliver_next)  # timers of one instant have no order

    def _without_room(self, batch: list[_Entry]) -> list[_Entry]:
        """What waits for room goes back; the rest has failed, and is returned."""
        for entry in batch:
            entry.error = None if entry.need is Need.MUST else StoreFull("database or disk is full")
        self._waiting.extendleft(reversed([entry for entry in batch if entry.error is None]))
        assert self.on_full is not None
        self._loop.call_soon(self.on_full, "database or disk is full")
        return [entry for entry in batch if entry.error is not None]

    def _deliver_next(self) -> None:
        _deliver(self._committed.popleft())
        self._world.point("after the acts of a commit")


class SimulatedEngine:
    """The workers. What a job does is in its own params: `seconds`, and `fate` ok, fail or unfit."""

    def __init__(
        self,
        specs: Sequence[DeviceSpec],
        *,
        world: World,
        on_run: RunSeen,
        on_state: Callable[[str, WorkerState], None],
    ) -> None:
        self._world = world
        self._on_run = on_run
        self._on_state = on_state
        self._states = {spec.name: NOBODY for spec in specs}
        self._stopped = False
        self._held: dict[str, bytes] = {}
        self._restarts: dict[str, int] = dict.fromkeys(self._states, 0)
        self._runs: dict[str, tuple[str, asyncio.Future[RunOutcome]]] = {}
        self._first = {spec.name: asyncio.Event() for spec in specs}
        self._ready = {spec.name: asyncio.Event() for spec in specs}

    async def start(self) -> None:
        for device in self._states:
            self._restart(device)

    async def stop(self) -> None:
        self._stopped = True
        for _, outcome in self._runs.values():
            outcome.cancel()

    def state(self, device: str) -> WorkerState:
        return self._states[device]

    async def description(self, device: str) -> Description:
        await self._first[device].wait()
        return Description(5, {}, None, "1")

    def calibrate(self, device: str, properties: bytes) -> None:
        self._held[device] = properties

    async def prepare(
        self,
        device: str,
        program_id: str,
        params: bytes,
        user: str = "",
        begun: Callable[[], None] | None = None,
    ) -> Prepared:
        world = self._world
        if begun is not None and world.often(0.5):
            begun()
        world.point("before a preparation")
        wanted = json.loads(params)
        slow = world.faults.slow_preparation and world.often(0.25)
        await asyncio.sleep(world.chance.uniform(1.0, 40.0) if slow else world.delay(0.5))
        world.point("after a preparation")
        if wanted["fate"] == "unfit":
            raise JobRefused("The circuit does not fit.", 1204)
        if world.faults.workers and world.often(0.02):
            raise DeviceUnavailable("no preparer")
        return Prepared(wanted["seconds"], 1, 2, 64, ("a warning",) if wanted["n"] % 5 == 0 else ())

    def preparers(self) -> dict[str, Any]:
        return {"up": 1, "wanted": 1, "missing": False, "reason": None}

    def preparations(self) -> Sequence[UserPreparations]:
        return ()

    async def run(self, device: str, request: RunRequest) -> RunOutcome:
        world = self._world
        assert device not in self._runs, f"two runs at once on {device}: {self._runs[device]} and {request}"
        self._on_run(device, request)
        world.point("before a run")
        if world.faults.workers and world.often(0.02):
            self._restart(device)
        if self._states[device].phase is WorkerPhase.FAILED:
            raise DeviceUnavailable("the worker does not come up")
        outcome: asyncio.Future[RunOutcome] = asyncio.get_running_loop().create_future()
        self._runs[device] = (request.run_id, outcome)
        if self._states[device].phase is WorkerPhase.STARTING:
            ready = asyncio.ensure_future(self._ready[device].wait())
            either: set[asyncio.Future[Any]] = {outcome, ready}
            await asyncio.wait(either, return_when=FIRST)
        if not outcome.done():
            world.tell(f"{device} runs {request.run_id}")
            self._say(device, WorkerPhase.BUSY)
        wanted = {"seconds": 2.0, "fate": "ok"} | json.loads(request.params)
        ends: RunOutcome
        dies = world.faults.workers and world.often(0.06)
        if dies:
            seconds, ends = wanted["seconds"] * world.chance.random(), Crashed("SIGSEGV")
        elif wanted["fate"] == "fail":
            seconds, ends = wanted["seconds"], Failed("ValueError: no", 1500, "Traceback ...", "some log")
        elif request.program_id == CALIBRATE:
            found_now = {"backend_version": "1", "n_qubits": 5, "last_update_date": str(wanted["number"])}
            calibrated = Description(5, found_now, found_now, "1")
            seconds, ends = 2.0, Completed(encode_description(calibrated), 2.0, "")
        else:
            seconds, ends = wanted["seconds"], Completed(result_of(wanted["n"]), wanted["seconds"], "")
        timer = asyncio.get_running_loop().call_later(seconds, _settle, outcome, ends)
        try:
            found = await outcome
        finally:
            timer.cancel()
            self._runs.pop(device, None)
        world.point("after a run")
        if isinstance(found, Crashed | Stopped):
            self._restart(device)
        else:
            self._say(device, WorkerPhase.READY)
        return found

    def kill(self, device: str, run_id: str) -> None:
        self._world.point("before a kill")
        running, outcome = self._runs.get(device, ("", None))
        if running == run_id and outcome is not None:
            asyncio.get_running_loop().call_later(self._world.delay(0.5), _settle, outcome, Stopped())

    def end_session(self, device: str, session: str) -> None:
        self._world.point("before the end of a session")

    def die_idle(self) -> None:
        """Some worker dies between two runs."""
        device = self._world.chance.choice(sorted(self._states))
        if device not in self._runs and self._states[device].phase is WorkerPhase.READY:
            self._restart(device)

    def _restart(self, device: str) -> None:
        if self._world.faults.workers and self._world.often(0.1):
            self._say(device, WorkerPhase.FAILED, "it cannot be loaded")
        else:
            self._say(device, WorkerPhase.STARTING)
        self._restarts[device] += 1
        wait = self._world.delay(8.0)
        asyncio.get_running_loop().call_later(wait, self._up, device, self._restarts[device])

    def _up(self, device: str, restart: int) -> None:
        if self._stopped or restart != self._restarts[device]:
            return
        self._first[device].set()
        self._say(device, WorkerPhase.READY)

    def _say(self, device: str, phase: WorkerPhase, reason: str | None = None) -> None:
        self._states[device] = WorkerState(phase, reason, 1)
        if phase is WorkerPhase.READY:
            self._ready[device].set()
        else:
            self._ready[device].clear()
        self._on_state(device, self._states[device])


def result_of(n: int) -> bytes:
    return json.dumps({"result of": n}).encode()


def _settle(future: asyncio.Future[RunOutcome], value: RunOutcome) -> None:
    if not future.done():
        future.set_result(value)


class _Secrets:
    """`secrets` and `uuid` with seeded chance, so that names are the same in every replay."""

    def __init__(self, seed: int) -> None:
        self._chance = Random(seed)

    def randbits(self, bits: int) -> int:
        return self._chance.getrandbits(bits)

    def token_bytes(self, count: int) -> bytes:
        return self._chance.randbytes(count)

    def token_hex(self, count: int) -> str:
        return self._chance.randbytes(count).hex()

    token_urlsafe = token_hex

    def uuid4(self) -> str:
        return self._chance.randbytes(16).hex()


@contextmanager
def same_names(seed: int, wall: Callable[[], float]) -> Iterator[None]:
    drawn = _Secrets(seed)

    class Time:
        time = staticmethod(wall)

    with (
        patch.object(ids, "secrets", drawn),
        patch.object(ids, "time", Time),
        patch.object(accounts, "secrets", drawn),
        patch.object(accounts, "uuid", drawn),
    ):
        yield
