"""Programs of the client that prepare their circuits themselves, end to end: they send `executor`.

The classes of user code: the new `Sampler` and `Estimator` with what they can switch on, and `Executor` with
circuit items and samplex items; in job, session and batch mode; on an ideal and on noisy devices.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import httpx
import numpy as np
import pytest
from qiskit import QuantumCircuit, transpile
from qiskit.circuit import Parameter
from qiskit.quantum_info import SparsePauliOp
from qiskit_ibm_runtime import Batch, Executor, QiskitRuntimeService, QuantumProgram, Session
from qiskit_ibm_runtime.exceptions import IBMRuntimeError
from qiskit_ibm_runtime.executor_estimator import Estimator
from qiskit_ibm_runtime.executor_sampler import Sampler
from samplomatic import Twirl, build

from sojourn.embedded import Embedded

DEVICES: list[dict[str, Any]] = [
    {"name": "ideal", "driver": "aer", "options": {"qubits": 20}},
    {"name": "noisy", "driver": "fake", "options": {"backend": "FakeManilaV2"}},
    {"name": "wide", "driver": "fake", "options": {"backend": "FakeTorino"}},
    {"name": "bench", "driver": "mock", "options": {"qubits": 5}},
]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Embedded]:
    with Embedded(tmp_path_factory.mktemp("server"), devices=DEVICES) as server:
        yield server


@pytest.fixture(scope="module")
def service(server: Embedded) -> QiskitRuntimeService:
    return server.service()


def rotated(measured: bool = True) -> QuantumCircuit:
    """cos(t/2)|00> + sin(t/2)|11>."""
    circuit = QuantumCircuit(2, 2 if measured else 0)
    circuit.ry(Parameter("t"), 0)
    circuit.cx(0, 1)
    if measured:
        circuit.measure([0, 1], [0, 1])
    return circuit


ANGLES = [0.4, 1.5, 3.0]


def ones(result: Any) -> list[float]:
    """How often qubit 0 is 1 at each angle."""
    bits = result[0].data.c
    return [bits[i].slice_bits([0]).get_counts().get("1", 0) / bits.num_shots for i in range(len(ANGLES))]


EXPECTED = [math.sin(angle / 2) ** 2 for angle in ANGLES]


@pytest.mark.parametrize(
    ("device", "decoupling"),  # the client decouples on devices with durations only
    [("ideal", False), ("noisy", False), ("noisy", True), ("wide", False), ("wide", True)],
)
@pytest.mark.parametrize("twirling", [False, True])
def test_the_sampler_twirls_and_decouples(
    service: QiskitRuntimeService, device: str, twirling: bool, decoupling: bool
) -> None:
    backend = service.backend(device)
    sampler = Sampler(mode=backend)
    sampler.options.twirling.enable_gates = sampler.options.twirling.enable_measure = twirling
    sampler.options.dynamical_decoupling.enable = decoupling
    isa = transpile(rotated(), backend, seed_transpiler=1)
    job = sampler.run([(isa, np.array(ANGLES)[:, None])], shots=2000)
    result = job.result(timeout=100)
    assert result[0].data.c.shape == (3,)
    noise = 0.01 if device == "ideal" else 0.1
    assert ones(result) == pytest.approx(EXPECTED, abs=noise + 5 * 0.5 / math.sqrt(2000))
    assert job.metrics()["num_circuits"] >= 3


@pytest.mark.parametrize("level", [0, 1, 2])
@pytest.mark.parametrize("device", ["ideal", "noisy"])
def test_the_estimator_mitigates_in_a_session(service: QiskitRuntimeService, device: str, level: int) -> None:
    backend = service.backend(device)
    isa = transpile(rotated(measured=False), backend, seed_transpiler=1)
    operators = ["ZZ", "XX", "ZI"]
    observables = [SparsePauliOp(name).apply_layout(isa.layout) for name in operators]
    angle = 0.7
    expected = [1.0, math.sin(angle), math.cos(angle)]
    with Session(backend=backend) as session:
        estimator = Estimator(mode=session)
        estimator.options.resilience_level = level
        job = estimator.run([(isa, observables, [angle])], precision=0.02)
        data = job.result(timeout=100)[0].data
    assert job.session_id == session.session_id
    bias = {"ideal": 0.0, "noisy": {0: 0.15, 1: 0.08, 2: 0.08}[level]}[device]
    for value, error, right in zip(data.evs, data.stds, expected, strict=True):
        assert 0 <= error < 0.2
        assert value == pytest.approx(right, abs=bias + 5 * max(error, 0.02))


def test_the_estimator_measures_a_wide_device(service: QiskitRuntimeService) -> None:
    """The client measures all of its 133 qubits."""
    backend = service.backend("wide")
    isa = transpile(rotated(measured=False), backend, seed_transpiler=1)
    observable = SparsePauliOp("ZZ").apply_layout(isa.layout)
    job = Estimator(mode=backend).run([(isa, observable, [0.7])], precision=0.05)
    assert job.result(timeout=100)[0].data.evs == pytest.approx(1.0, abs=0.3)


@pytest.mark.parametrize("device", ["ideal", "noisy"])
def test_quantum_programs_run_in_a_batch(service: QiskitRuntimeService, device: str) -> None:
    backend = service.backend(device)
    isa = transpile(rotated(), backend, seed_transpiler=1)
    boxed = QuantumCircuit(2, 2)
    with boxed.box([Twirl()]):
        boxed.rx(Parameter("t"), 0)
        boxed.cx(0, 1)
    with boxed.box([Twirl()]):
        boxed.measure([0, 1], [0, 1])
    template, samplex = build(boxed)
    program = QuantumProgram(shots=100, passthrough_data={"mine": np.arange(3)})
    program.append_circuit_item(isa, circuit_arguments=np.array(ANGLES)[:, None], chunk_size=2)
    arguments = {"parameter_values": np.array([[0.0], [math.pi]])}
    program.append_samplex_item(template, samplex, arguments, shape=(10, 2), chunk_size=20)
    with Batch(backend=backend) as batch:
        job = Executor(mode=batch).run(program)
        found = job.result(timeout=100)
    assert job.session_id == batch.session_id
    assert found.passthrough_data["mine"].tolist() == [0, 1, 2]
    assert found[0]["c"].shape == (3, 100, 2)
    undone = found[1]["c"] ^ found[1]["measurement_flips.c"]
    assert undone.shape == (10, 2, 100, 2)
    assert undone.mean(axis=(0, 2, 3)) == pytest.approx([0.0, 1.0], abs=0.001 if device == "ideal" else 0.1)
    assert [sum(part.size for part in span.parts) for span in found.timing] == [2, 1, 20]
    assert service.job(job.job_id()).result()[1]["c"].shape == (10, 2, 100, 2)


def test_a_mock_device_answers_in_the_same_shapes(service: QiskitRuntimeService) -> None:
    backend = service.backend("bench")
    sampler = Sampler(mode=backend)
    sampler.options.twirling.enable_measure = True
    job = sampler.run([transpile(rotated().assign_parameters([1.0]), backend)], shots=64)
    assert job.result(timeout=100)[0].data.c.num_shots == 64


def test_what_cannot_be_run_is_refused_at_submit_by_name(service: QiskitRuntimeService) -> None:
    backend = service.backend("ideal")
    circuit = QuantumCircuit(1, 1)
    circuit.measure(0, 0)
    with circuit.if_test((circuit.clbits[0], 1)):
        circuit.x(0)
    kerneled = QuantumProgram(shots=10, meas_level="kerneled")
    kerneled.append_circuit_item(circuit)
    with pytest.raises(IBMRuntimeError, match=r"a level of measurement of .*kerneled"):
        Executor(mode=backend).run(kerneled)
    plain = QuantumProgram(shots=10)
    plain.append_circuit_item(circuit)
    hasty = Executor(mode=backend)
    hasty.options.execution.rep_delay = 1.0
    with pytest.raises(IBMRuntimeError, match=r"options\.rep_delay = 1\.0"):
        hasty.run(plain)


def test_an_unknown_schema_version_is_refused_with_those_that_run(server: Embedded) -> None:
    headers = {"Authorization": f"apikey {server.local_key}"}
    body = {"program_id": "executor", "backend": "ideal", "params": {"schema_version": "v9.0"}}
    with httpx.Client(base_url=f"{server.url}/api/v1", headers=headers, trust_env=False) as client:
        reply = client.post("/jobs", json=body)
    assert reply.status_code == 400
    message = reply.json()["error"]["message"]
    assert "schema_version is 'v9.0'; v0.1, v0.2, v1.0, v1.1, v2.0 are run here" in message
