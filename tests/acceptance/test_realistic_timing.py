"""`timing = "realistic"` on the server for tests: the time of the device passes at once, as the server's.

With Qiskit's client, in one server with one such device.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from qiskit import QuantumCircuit
from qiskit_ibm_runtime import QiskitRuntimeService, SamplerV2, Session
from qiskit_ibm_runtime.exceptions import IBMRuntimeError, RuntimeJobMaxTimeoutError

from sojourn.client import Client
from sojourn.testing import ScriptedServer, Sojourn

OVERHEAD = 900.0
SHOTS = 40_000
SECONDS = OVERHEAD + SHOTS * 250e-6
CIRCUIT = QuantumCircuit(1)
CIRCUIT.measure_all()


@pytest.fixture(scope="module")
def server() -> Iterator[ScriptedServer]:
    options = {"qubits": 2, "timing": "realistic", "job_overhead": OVERHEAD, "calibration_seconds": 1800}
    device = {"name": "chip", "driver": "aer", "options": options}
    with ScriptedServer(devices=[device], policy={"interactive_ttl": 100_000}) as running:
        yield running


@pytest.fixture
def sojourn(server: ScriptedServer) -> Iterator[Sojourn]:
    found = Sojourn(server)
    yield found
    found.reset()


@pytest.fixture
def service(sojourn: Sojourn) -> QiskitRuntimeService:
    return sojourn.service()


def submit(mode: Any, **options: Any) -> Any:
    sampler = SamplerV2(mode=mode)
    sampler.options.update(**options)
    return sampler.run([CIRCUIT], shots=SHOTS)


def passed(sojourn: Sojourn, since: Any) -> float:
    return float((sojourn.now - since).total_seconds())


def test_a_job_takes_the_time_of_the_device_by_the_servers_clock_and_is_charged_for_it(
    sojourn: Sojourn, service: QiskitRuntimeService
) -> None:
    begun = sojourn.now
    job = submit(service.backend("chip"))
    assert job.result()[0].data.meas.num_shots == SHOTS
    assert SECONDS <= passed(sojourn, begun) < SECONDS + 60
    told = job.metrics()
    assert told["usage"]["quantum_seconds"] == pytest.approx(SECONDS, abs=60)
    assert job.usage_estimation["quantum_seconds"] == pytest.approx(SECONDS)
    (span,) = job.result().metadata["execution"]["execution_spans"]
    assert span.duration == pytest.approx(SECONDS, abs=60)


def test_r52_a_job_whose_limit_is_shorter_is_stopped_at_it(
    sojourn: Sojourn, service: QiskitRuntimeService
) -> None:
    begun = sojourn.now
    job = submit(service.backend("chip"), max_execution_time=600)
    with pytest.raises(RuntimeJobMaxTimeoutError):
        job.result()
    assert 600 <= passed(sojourn, begun) < SECONDS + 60
    assert job.metrics()["usage"]["quantum_seconds"] == pytest.approx(600, abs=1)
    assert submit(service.backend("chip")).result()[0].data.meas.num_shots == SHOTS


def test_r36_the_time_of_a_session_runs_out_while_its_job_has_the_device(
    sojourn: Sojourn, service: QiskitRuntimeService
) -> None:
    session = Session(backend=service.backend("chip"), max_time=1500)
    for _ in range(2):  # the second runs from 910 s to 1820 s
        assert submit(session, max_execution_time=1200).result()[0].data.meas.num_shots == SHOTS
    assert session.status() == "Closed"
    with pytest.raises(IBMRuntimeError, match="1217"):
        submit(session, max_execution_time=1200)


def test_a_calibration_takes_its_time_as_well(server: ScriptedServer, sojourn: Sojourn) -> None:
    begun = sojourn.now
    made = Client(server.url, server.operator_key).post("/devices/chip/calibrate")
    while sojourn.get(f"/jobs/{made['id']}")["state"] in ("accepted", "queued", "running"):
        pass
    assert 1800 <= passed(sojourn, begun) < 1860
