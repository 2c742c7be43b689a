"""What the engine asks of a driver: to stop a run, how far it is, how its device is, what it conforms to."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from typing import Any

import msgspec
import pytest
from qiskit import QuantumCircuit

from sojourn import codes
from sojourn.devices.checking.report import Report
from sojourn.execution.engine import (
    Crashed,
    DeviceUnavailable,
    RunOutcome,
    RunRequest,
    Stopped,
    WorkerPhase,
    WorkerState,
)
from sojourn.execution.local.engine import LocalEngine
from sojourn.worker.main import PROGRESS_INTERVAL
from sojourn.worker.protocol.types import CHECK, Completed, DeviceSpec, Failed, Prepared
from tests.harness.drivers import installed
from tests.harness.probe import Hands
from tests.harness.programs import sampler_params

pytestmark = pytest.mark.anyio
_ids = count()


@pytest.fixture(scope="module", autouse=True)
def package(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with installed(tmp_path_factory.mktemp("package"), probe="tests.harness.probe:ProbeDriver"):
        yield


@pytest.fixture
def hands(tmp_path: Path) -> Hands:
    return Hands(tmp_path)


class Bench:
    """An engine with one device, `lab`."""

    def __init__(self, hands: Hands, *, health_interval: float = 1000.0, **options: Any) -> None:
        self.engine = LocalEngine(
            [DeviceSpec("lab", "probe", {"folder": str(hands.folder), **options})],
            health_interval=health_interval,
        )

    async def __aenter__(self) -> Bench:
        await self.engine.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.engine.stop()

    @property
    def state(self) -> WorkerState:
        return self.engine.state("lab")

    async def until(self, phase: WorkerPhase, reason: str = "") -> None:
        await until(lambda: self.state.phase is phase and reason in (self.state.reason or ""))

    def start(self, **more: Any) -> tuple[str, asyncio.Task[RunOutcome]]:
        run_id = f"run-{next(_ids)}"
        program = more.pop("program", "sampler")
        request = RunRequest(run_id, program, PARAMS, **more)
        return run_id, asyncio.create_task(self.engine.run("lab", request))

    async def run(self, **more: Any) -> RunOutcome:
        return await self.start(**more)[1]


def params() -> bytes:
    circuit = QuantumCircuit(2, 2)
    circuit.x(0)
    circuit.measure([0, 1], [0, 1])
    return json.dumps(sampler_params((circuit, None, 16))).encode()


PARAMS = params()


async def until(condition: Callable[[], object]) -> None:
    """Something that another process does."""
    async with asyncio.timeout(60):
        while not condition():  # noqa: ASYNC110 - another process does it
            await asyncio.sleep(0.02)


async def test_a_run_that_can_be_cancelled_is_asked_to_stop_and_keeps_its_process(hands: Hands) -> None:
    async with Bench(hands, cancel_seconds=60) as bench:
        await bench.until(WorkerPhase.READY)
        before = bench.state.pid
        hands.ask("wait")
        run_id, task = bench.start()
        await until(lambda: hands.said("jobs"))
        bench.engine.kill("lab", run_id)
        assert await task == Stopped()
        assert hands.said("cancelled") == [""]
        hands.drop("wait")
        assert isinstance(await bench.run(), Completed)
        assert bench.state.pid == before


async def test_one_that_does_not_stop_in_its_time_loses_its_process(hands: Hands) -> None:
    async with Bench(hands, cancel_seconds=0.2) as bench:
        await bench.until(WorkerPhase.READY)
        before = bench.state.pid
        hands.ask("wait")
        hands.ask("deaf")
        run_id, task = bench.start()
        await until(lambda: hands.said("jobs"))
        bench.engine.kill("lab", run_id)
        assert await task == Stopped()
        hands.drop("wait")
        assert isinstance(await bench.run(), Completed)
        assert bench.state.pid != before


async def test_one_of_a_driver_that_cannot_stop_loses_it_at_once(hands: Hands) -> None:
    async with Bench(hands) as bench:
        await bench.until(WorkerPhase.READY)
        hands.ask("wait")
        run_id, task = bench.start()
        await until(lambda: hands.said("jobs"))
        bench.engine.kill("lab", run_id)
        assert await task == Stopped()
        assert hands.said("cancelled") == []


async def test_a_driver_says_how_far_a_run_is_and_not_more_than_somebody_reads(hands: Hands) -> None:
    said: list[tuple[float, str]] = []
    async with Bench(hands) as bench:
        await bench.until(WorkerPhase.READY)
        hands.ask("wait")
        begun = time.monotonic()
        _, task = bench.start(progress=lambda part, words: said.append((part, words)))
        await until(lambda: len(said) >= 2)
        hands.drop("wait")
        assert isinstance(await task, Completed)
    turns = [int(words.split()[1]) for _, words in said]
    assert turns == sorted(turns)
    assert len(said) <= 1 + (time.monotonic() - begun) / PROGRESS_INTERVAL
    assert all(0 <= part <= 1 for part, _ in said)


async def test_an_idle_device_that_is_not_well_takes_no_jobs_until_it_is(hands: Hands) -> None:
    async with Bench(hands, health_interval=0.05) as bench:
        await bench.until(WorkerPhase.READY)
        pid = bench.state.pid
        hands.ask("health", "the cryostat\nis at 4 K")
        await bench.until(WorkerPhase.UNHEALTHY, "the cryostat is at 4 K")
        with pytest.raises(DeviceUnavailable, match="the cryostat is at 4 K") as caught:
            await bench.run()
        assert not caught.value.touched
        prepared = await bench.engine.prepare("lab", "sampler", PARAMS)
        assert isinstance(prepared, Prepared), "its jobs are accepted, and wait"
        hands.drop("health")
        await bench.until(WorkerPhase.READY)
        assert bench.state.pid == pid
        assert isinstance(await bench.run(), Completed)


async def test_a_device_that_failed_a_run_is_asked_before_it_gets_the_next_one(hands: Hands) -> None:
    async with Bench(hands) as bench:
        await bench.until(WorkerPhase.READY)
        hands.ask("fail", "the line is dead")
        hands.ask("health", "the line is dead")
        outcome = await bench.run()
        assert isinstance(outcome, Failed)
        assert (outcome.reason, outcome.code) == ("the line is dead", codes.RUN_FAILED)
        assert bench.state.phase is WorkerPhase.UNHEALTHY


async def test_a_device_is_opened_and_checked_in_one_process_only(hands: Hands) -> None:
    async with Bench(hands) as bench:
        await bench.until(WorkerPhase.READY)
        checked = hands.said("runs")
        assert checked, "the conformance check has run circuits"
        await bench.engine.prepare("lab", "sampler", PARAMS)
        assert hands.said("opened") == [str(bench.state.pid)]
        assert hands.said("runs") == checked
        assert isinstance(await bench.run(), Completed)
        assert hands.said("jobs") == [str(bench.state.pid)]


async def test_a_device_that_does_not_conform_is_refused_with_the_evidence_and_served_once_it_does(
    hands: Hands,
) -> None:
    hands.ask("wrong")
    async with Bench(hands) as bench:
        await bench.until(WorkerPhase.FAILED, "does not conform")
        assert "X: the result is 100% off" in (bench.state.reason or "")
        assert "expected 1 in 100%; seen 0 in 100%" in (bench.state.reason or "")
        hands.drop("wrong")
        await bench.until(WorkerPhase.READY)
        assert isinstance(await bench.run(), Completed)


async def report_of(bench: Bench) -> Report:
    outcome = await bench.run(program=CHECK)
    assert isinstance(outcome, Completed), outcome
    return msgspec.json.decode(outcome.result, type=Report)


@pytest.mark.parametrize("check", [True, False])
async def test_a_check_that_fails_replaces_the_worker_by_one_that_must_pass(
    hands: Hands, check: bool
) -> None:
    async with Bench(hands, check=check) as bench:
        await bench.until(WorkerPhase.READY)
        assert bool(hands.said("runs")) is check
        assert (await report_of(bench)).passed
        pid = bench.state.pid
        hands.ask("wrong")
        report = await report_of(bench)
        assert not report.passed
        await bench.until(WorkerPhase.FAILED, "does not conform")
        with pytest.raises(DeviceUnavailable):
            await bench.run()
        hands.drop("wrong")
        await bench.until(WorkerPhase.READY)
        assert bench.state.pid != pid


async def test_outcomes_that_do_not_add_up_become_no_result(hands: Hands) -> None:
    async with Bench(hands) as bench:
        await bench.until(WorkerPhase.READY)
        hands.ask("short")
        outcome = await bench.run()
        assert isinstance(outcome, Failed)
        assert "lab gave a result that cannot be right" in outcome.reason
        assert "16 shots were asked for, the counts add up to 15" in outcome.reason


async def test_a_job_that_is_too_large_for_one_call_is_run_in_several(hands: Hands) -> None:
    async with Bench(hands, circuits=3) as bench:
        await bench.until(WorkerPhase.READY)
        before = len(hands.said("runs"))
        circuit = QuantumCircuit(1, 1)
        circuit.measure(0, 0)
        body = json.dumps(sampler_params(*[(circuit, None, 4)] * 8)).encode()
        outcome = await bench.engine.run("lab", RunRequest("many", "sampler", body))
        assert isinstance(outcome, Completed)
        assert hands.said("runs")[before:] == ["3", "3", "2"]


async def test_a_worker_says_whether_a_lost_job_may_run_again(hands: Hands) -> None:
    async with Bench(hands, on_loss="fail") as bench:
        await bench.until(WorkerPhase.READY)
        assert not bench.state.reruns
        hands.ask("die")
        assert await bench.run() == Crashed("SIGKILL")
