"""What each fault of a driver comes to: what the user of a job reads, what the device's state is, and that a
job on another device runs at the same time as if nothing had happened. Real workers and the real host."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from itertools import count

import pytest
from qiskit import QuantumCircuit
from qiskit_ibm_runtime import RuntimeEncoder

from sojourn import codes
from sojourn.execution.engine import (
    Crashed,
    DeviceUnavailable,
    RunOutcome,
    RunRequest,
    Stopped,
    WorkerPhase,
)
from sojourn.execution.local.engine import LocalEngine
from sojourn.execution.local.output import KEEP_PER_RUN
from sojourn.worker.protocol.memory import MB
from sojourn.worker.protocol.types import Completed, DeviceSpec, Failed

pytestmark = pytest.mark.anyio

AT_THE_START = {
    "construct fail": "RuntimeError: the fridge is warm",
    "construct segfault": r"the worker ended \(SIGSEGV\) while loading",
    "construct end": r"the worker ended \(exit 3\) while loading",
    "construct leave": r"the worker ended \(exit 4\) while loading",
    "construct panic": r"the worker ended \(exit 70\) while loading.*unwrap",
    "describe fail": "RuntimeError: the fridge is warm",
    "describe segfault": r"the worker ended \(SIGSEGV\) while loading",
    "describe nan": r"configuration\.quantum_volume is nan, which is not a number of JSON",
    "describe object": "the description cannot be sent: .* object",
    "describe huge": r"the description has \d+ bytes; the limit is \d+",
}
_numbers = count()


@pytest.fixture(scope="module")
async def engine() -> AsyncIterator[LocalEngine]:
    """A good device, a bad one for its runs, and one for each fault at the start."""
    engine = LocalEngine(
        [
            DeviceSpec("good", "aer", {"qubits": 3}),
            DeviceSpec("bad", "bad", memory=256 * MB),
            DeviceSpec("missing", "missing"),
            *(
                DeviceSpec(fault.replace(" ", "-"), "bad", {"fault": fault}, lazy=True)
                for fault in AT_THE_START
            ),
        ]
    )
    await engine.start()
    await asyncio.gather(engine.description("good"), engine.description("bad"))
    yield engine
    await engine.stop()


def params(name: str) -> bytes:
    """A sampler job of one circuit with this name."""
    circuit = QuantumCircuit(2, name=name)
    circuit.x(0)
    circuit.measure_all()
    text = json.dumps({"pubs": [(circuit, None, 7)], "version": 2, "options": {}}, cls=RuntimeEncoder)
    return text.encode()


async def run(engine: LocalEngine, device: str, name: str = "plain") -> RunOutcome:
    number = str(next(_numbers))
    return await engine.run(device, RunRequest(number, "sampler", params(name)))


async def beside(engine: LocalEngine, name: str) -> RunOutcome:
    """The job `name` on the bad device, while the good one runs jobs from before it to after it."""
    job = asyncio.ensure_future(run(engine, "bad", name))
    assert isinstance(await run(engine, "good"), Completed)
    outcome = await job
    assert isinstance(await run(engine, "good"), Completed)
    return outcome


@pytest.mark.parametrize("fault", AT_THE_START)
async def test_a_fault_at_the_start_is_the_devices_alone_and_told_with_its_reason(
    engine: LocalEngine, fault: str
) -> None:
    device = fault.replace(" ", "-")
    with pytest.raises(DeviceUnavailable, match=AT_THE_START[fault]):
        await engine.description(device)
    assert engine.state(device).phase is WorkerPhase.FAILED
    with pytest.raises(DeviceUnavailable, match=f"device {device} has no worker"):
        await run(engine, device)
    assert isinstance(await run(engine, "good"), Completed)


async def test_a_driver_that_cannot_be_imported_is_named_with_its_module(engine: LocalEngine) -> None:
    with pytest.raises(DeviceUnavailable, match=r"driver 'missing' .*cannot be imported: No module named"):
        await engine.description("missing")


@pytest.mark.parametrize("at", ["construct", "describe"])
async def test_a_driver_that_hangs_at_its_start_is_given_up(at: str) -> None:
    spec = DeviceSpec("stuck", "bad", {"fault": f"{at} hang"})
    engine = LocalEngine([spec], load_limit=8.0)
    await engine.start()
    try:
        with pytest.raises(DeviceUnavailable, match="did not load within 8 s"):
            await engine.description("stuck")
    finally:
        await engine.stop()


async def test_an_import_that_ends_the_process_ends_no_other_device() -> None:
    engine = LocalEngine([DeviceSpec("good", "aer", {"qubits": 2}), DeviceSpec("dying", "dying")])
    await engine.start()
    try:
        with pytest.raises(DeviceUnavailable, match=r"the worker ended \(exit 5\) while loading"):
            await engine.description("dying")
        assert isinstance(await run(engine, "good"), Completed)
    finally:
        await engine.stop()


@pytest.mark.parametrize(
    ("name", "how"),
    [("execute segfault", "SIGSEGV"), ("execute end", "exit 3"), ("compile segfault", "SIGSEGV")],
)
async def test_a_run_that_kills_its_worker_has_a_new_one_after_it(
    engine: LocalEngine, name: str, how: str
) -> None:
    assert await beside(engine, name) == Crashed(how)
    assert engine.state("bad").phase is WorkerPhase.READY
    assert isinstance(await run(engine, "bad"), Completed)


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("execute fail", "the job failed on the device: the fridge is warm"),
        ("execute panic", "the job failed on the device: NotAnException: called `Option::unwrap()`"),
        ("execute leave", "the job failed on the device: SystemExit: 4"),
        ("return nothing", ""),
        ("return too few", ""),
        ("return another type", ""),
        ("return lost order", ""),
    ],
)
async def test_what_a_driver_raises_or_returns_fails_the_job_and_keeps_its_worker(
    engine: LocalEngine, name: str, reason: str
) -> None:
    before = engine.state("bad").pid
    outcome = await beside(engine, name)
    assert isinstance(outcome, Failed)
    assert outcome.code == codes.RUN_FAILED
    assert reason in outcome.reason
    assert "\n" not in outcome.reason
    assert outcome.detail
    assert engine.state("bad").pid == before
    assert isinstance(await run(engine, "bad"), Completed)


@pytest.mark.parametrize(
    "name", ["wide patterns", "lost counts", "negative counts", "lost order", "foreign order", "too few"]
)
async def test_a_result_that_would_mislead_is_not_given_out(engine: LocalEngine, name: str) -> None:
    outcome = await beside(engine, f"return {name}")
    assert isinstance(outcome, Failed)
    assert "cannot be right" in outcome.reason


@pytest.mark.parametrize("at", ["compile", "execute"])
async def test_a_run_that_hangs_can_be_stopped(engine: LocalEngine, at: str) -> None:
    """The service does so at the job's limit (R52), and when it is cancelled."""
    job = asyncio.ensure_future(engine.run("bad", RunRequest(f"hang-{at}", "sampler", params(f"{at} hang"))))
    for _ in range(3):
        assert isinstance(await run(engine, "good"), Completed)
    engine.kill("bad", f"hang-{at}")
    assert await job == Stopped()
    assert isinstance(await run(engine, "bad"), Completed)


async def test_a_run_that_takes_all_memory_fails_with_the_bound(engine: LocalEngine) -> None:
    outcome = await beside(engine, "execute take all")
    assert isinstance(outcome, Failed)
    assert outcome.code == codes.OUT_OF_MEMORY
    assert "256 MB (memory_mb of the device)" in outcome.reason
    assert isinstance(await run(engine, "bad"), Completed)


async def test_a_flood_of_output_is_kept_within_bounds_and_costs_no_result(engine: LocalEngine) -> None:
    """What it says of its work as well: the driver of these tests always says 25 MB."""
    outcome = await beside(engine, "execute flood")
    assert isinstance(outcome, Completed)
    assert "more characters of output left out" in outcome.logs
    assert len(outcome.logs) < KEEP_PER_RUN + 200_000


async def test_what_a_worker_runs_with_is_told_with_its_state(engine: LocalEngine) -> None:
    environment = engine.state("good").environment
    assert environment is not None
    assert environment.qpy >= 17
    assert environment.qiskit.count(".") == 2
