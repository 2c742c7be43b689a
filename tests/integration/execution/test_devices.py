"""The built-in drivers through real workers: what the service will see of them."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator

import psutil
import pytest
from qiskit import QuantumCircuit
from qiskit_ibm_runtime import RuntimeDecoder, RuntimeEncoder

from sojourn.execution.engine import DeviceUnavailable, RunRequest, Stopped
from sojourn.execution.local.engine import LocalEngine
from sojourn.worker.protocol.types import Completed, DeviceSpec, JobRefused

pytestmark = pytest.mark.anyio
DEVICES = ("ideal", "bench", "manila")


@pytest.fixture(scope="module")
async def devices() -> AsyncIterator[LocalEngine]:
    engine = LocalEngine(
        [
            DeviceSpec("ideal", "aer"),
            DeviceSpec("threaded", "aer", {"threads": 2}),
            DeviceSpec("bench", "mock", {"seconds": 0.0, "qubits": 127}),
            DeviceSpec("manila", "fake", {"backend": "FakeManilaV2"}),
            DeviceSpec("wrong", "fake", {"backend": "FakeNowhere"}),
            DeviceSpec("unknown", "teleporter"),
        ]
    )
    await engine.start()
    yield engine
    await engine.stop()


def params(circuit: QuantumCircuit, shots: int = 1000) -> bytes:
    text = json.dumps({"pubs": [(circuit, None, shots)], "version": 2, "options": {}}, cls=RuntimeEncoder)
    return text.encode()


def flip(width: int = 2) -> QuantumCircuit:
    circuit = QuantumCircuit(width)
    circuit.x(0)
    circuit.measure_all()
    return circuit


@pytest.mark.parametrize("device", DEVICES)
async def test_a_sampler_job_runs_from_description_to_result(devices: LocalEngine, device: str) -> None:
    description = await devices.description(device)
    assert description.configuration["n_qubits"] == description.num_qubits
    json.dumps([description.configuration, description.properties])
    prepared = await devices.prepare(device, "sampler", params(flip()))
    assert (prepared.num_circuits, prepared.executions) == (1, 1000)
    outcome = await devices.run(device, RunRequest("1", "sampler", params(flip())))
    assert isinstance(outcome, Completed), outcome
    counts = json.loads(outcome.result, cls=RuntimeDecoder)[0].data.meas.get_counts()
    assert sum(counts.values()) == 1000
    if device != "bench":  # its results are random
        assert max(counts, key=counts.__getitem__) == "01"


async def test_aer_can_use_threads_in_a_forked_worker(devices: LocalEngine) -> None:
    """A pool that was started before the fork would be dead in the worker, and the run would hang."""
    await devices.description("threaded")
    worker = psutil.Process(devices.state("threaded").pid)
    assert worker.num_threads() == 1
    circuit = QuantumCircuit(20)
    circuit.rx(0.3, range(20))
    circuit.measure_all()
    for _ in range(2):
        outcome = await devices.run("threaded", RunRequest("1", "sampler", params(circuit, 16)))
        assert isinstance(outcome, Completed), outcome
    assert worker.num_threads() > 1


async def test_a_run_inside_aer_can_be_killed_and_the_next_one_runs(devices: LocalEngine) -> None:
    circuit = QuantumCircuit(26)
    for layer in range(200):
        for qubit in range(26):
            circuit.rx(0.1 + layer, qubit)
        for qubit in range(25):
            circuit.cx(qubit, qubit + 1)
    circuit.measure_all()
    job = asyncio.create_task(devices.run("ideal", RunRequest("long", "sampler", params(circuit, 16))))
    await devices.run("bench", RunRequest("1", "sampler", params(flip())))
    worker = psutil.Process(devices.state("ideal").pid)
    while worker.memory_info().rss < 900 << 20 and not job.done():  # the statevector has 1 GiB: Aer is at it
        await devices.run("bench", RunRequest("1", "sampler", params(flip())))
    assert not job.done(), job.result()
    devices.kill("ideal", "long")
    assert await job == Stopped()
    outcome = await devices.run("ideal", RunRequest("2", "sampler", params(flip())))
    assert isinstance(outcome, Completed)


async def test_a_job_that_is_no_job_is_refused_at_preparation(devices: LocalEngine) -> None:
    for body in (b"", b"{", b"[]", b"\x00" * 1000):
        with pytest.raises(JobRefused):
            await devices.prepare("ideal", "sampler", body)
    with pytest.raises(JobRefused):
        await devices.prepare("manila", "sampler", params(flip(6)))


@pytest.mark.parametrize(("device", "word"), [("wrong", "FakeNowhere"), ("unknown", "teleporter")])
async def test_a_device_configured_wrongly_is_named_with_what_is_wrong(
    devices: LocalEngine, device: str, word: str
) -> None:
    with pytest.raises(DeviceUnavailable, match=word):
        await devices.description(device)
