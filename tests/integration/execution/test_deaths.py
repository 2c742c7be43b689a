"""What the death of a worker under a run costs, and the bound of memory of a run. Real processes."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable

import psutil
import pytest

from sojourn import codes
from sojourn.execution.engine import (
    Crashed,
    DeviceUnavailable,
    Lost,
    RunOutcome,
    RunRequest,
    Stopped,
    WorkerPhase,
    WorkerState,
)
from sojourn.execution.local.engine import LocalEngine
from sojourn.worker.protocol.memory import KEPT, MB
from sojourn.worker.protocol.types import Completed, DeviceSpec, Failed

ECHO = "hosts:EchoHost"

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.skipif(sys.platform != "linux", reason="the bound is the kernel's"),
]


class Changes:
    """Wakes who waits for a device to become something."""

    def __init__(self) -> None:
        self._waiting: list[tuple[Callable[[], bool], asyncio.Future[None]]] = []

    def __call__(self, device: str, state: WorkerState) -> None:
        for condition, waiter in self._waiting:
            if not waiter.done() and condition():
                waiter.set_result(None)

    async def until(self, condition: Callable[[], bool]) -> None:
        if not condition():
            waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._waiting.append((condition, waiter))
            await waiter


CHANGES = Changes()


@pytest.fixture(scope="module")
async def bounded() -> AsyncIterator[LocalEngine]:
    """`a` may take 64 MB for a run, `b` what it likes."""
    specs = [DeviceSpec("a", "echo", memory=64 * MB), DeviceSpec("b", "echo")]
    engine = LocalEngine(specs, host_class=ECHO, on_state=CHANGES)
    await engine.start()
    await asyncio.gather(engine.description("a"), engine.description("b"))
    yield engine
    await engine.stop()


_numbers = iter(range(10_000))


async def run(engine: LocalEngine, program: str, params: bytes = b"", device: str = "a") -> RunOutcome:
    return await engine.run(device, RunRequest(f"death-{next(_numbers)}", program, params))


async def pid(engine: LocalEngine, device: str = "a") -> bytes:
    outcome = await run(engine, "pid", device=device)
    assert isinstance(outcome, Completed)
    return outcome.result


def out_of_memory(outcome: RunOutcome) -> None:
    assert isinstance(outcome, Failed)
    assert outcome.code == codes.OUT_OF_MEMORY
    assert "one run on a may take 64 MB (memory_mb of the device)" in outcome.reason


async def test_a_run_that_takes_more_memory_than_it_may_fails_and_its_worker_lives(
    bounded: LocalEngine,
) -> None:
    before = await pid(bounded)
    for _ in range(2):
        out_of_memory(await run(bounded, "greedy", b"%d" % (KEPT + 600 * MB)))
    assert isinstance(await run(bounded, "greedy", b"%d" % (60 * MB)), Completed)
    assert await pid(bounded) == before


async def test_native_code_that_aborts_for_want_of_memory_is_told_from_other_deaths(
    bounded: LocalEngine,
) -> None:
    out_of_memory(await run(bounded, "greedy-native"))
    assert await run(bounded, "segfault") == Crashed("SIGSEGV")
    assert await run(bounded, "greedy-native", device="b") == Crashed("SIGABRT")  # nothing bounds it


async def test_without_a_bound_a_run_may_take_more(bounded: LocalEngine) -> None:
    assert isinstance(await run(bounded, "greedy", b"%d" % (KEPT + 600 * MB), "b"), Completed)


async def test_a_run_whose_worker_died_ends_when_the_next_one_is_ready(bounded: LocalEngine) -> None:
    """So the restart is time of the job that caused it."""
    before = await pid(bounded)
    assert await run(bounded, "segfault") == Crashed("SIGSEGV")
    state = bounded.state("a")
    assert state.phase is WorkerPhase.READY
    assert str(state.pid).encode() != before


async def test_a_run_can_be_stopped_while_its_dead_worker_is_replaced(bounded: LocalEngine) -> None:
    job = asyncio.ensure_future(bounded.run("b", RunRequest("replaced", "hang", b"")))
    await CHANGES.until(lambda: bounded.state("b").phase is WorkerPhase.BUSY)
    os.kill(bounded.state("b").pid or 0, signal.SIGKILL)
    await CHANGES.until(lambda: bounded.state("b").phase is not WorkerPhase.BUSY)
    bounded.kill("b", "replaced")
    assert isinstance(await job, Crashed | Stopped)
    await pid(bounded, "b")


async def test_a_run_that_ended_with_the_fork_server_is_not_held_against_its_job() -> None:
    changes = Changes()
    engine = LocalEngine([DeviceSpec("a", "echo")], host_class=ECHO, on_state=changes)
    await engine.start()
    await engine.description("a")
    try:
        job = asyncio.ensure_future(run(engine, "hang"))
        await changes.until(lambda: engine.state("a").phase is WorkerPhase.BUSY)
        forkserver = psutil.Process(engine.state("a").pid).ppid()
        assert forkserver != os.getpid(), "nothing is forked here"
        os.kill(forkserver, signal.SIGKILL)
        assert await job == Lost("ended with its fork server (SIGKILL)")
    finally:
        await engine.stop()


async def test_a_worker_that_is_lost_before_it_has_the_job_costs_the_job_nothing(
    bounded: LocalEngine,
) -> None:
    """It cannot take a calibration over: then the next worker is asked, which says why it cannot either."""
    bounded.calibrate("a", b"{}")  # the host of these tests cannot apply a calibration
    with pytest.raises(DeviceUnavailable, match="apply_calibration"):
        await run(bounded, "pid")
    bounded.calibrate("a", b"")
    await CHANGES.until(lambda: bounded.state("a").phase is WorkerPhase.READY)
    assert isinstance(await run(bounded, "pid"), Completed)
