"""The noise learners of the client, end to end: the class that sends circuits, the one that sends boxes, and
the one that prepares its experiments in the client and sends a quantum program."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from qiskit import QuantumCircuit, transpile
from qiskit_ibm_runtime import QiskitRuntimeService, RuntimeEncoder, Session
from qiskit_ibm_runtime.exceptions import IBMRuntimeError
from qiskit_ibm_runtime.executor_noise_learner import NoiseLearnerV3 as ClientSideLearner
from qiskit_ibm_runtime.noise_learner import NoiseLearner
from qiskit_ibm_runtime.noise_learner_v3 import NoiseLearnerV3
from samplomatic import InjectNoise, Twirl

from sojourn.embedded import Embedded

DEVICES: list[dict[str, Any]] = [
    {"name": "noisy", "driver": "fake", "options": {"backend": "FakeManilaV2", "seed": 3}},
    {"name": "wide", "driver": "fake", "options": {"backend": "FakeTorino"}},
]
QUICK = {"num_randomizations": 8, "shots_per_randomization": 64, "layer_pair_depths": [0, 2, 8]}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Embedded]:
    with Embedded(tmp_path_factory.mktemp("server"), devices=DEVICES) as server:
        yield server


@pytest.fixture(scope="module")
def service(server: Embedded) -> QiskitRuntimeService:
    return server.service()


def bell() -> QuantumCircuit:
    circuit = QuantumCircuit(2)
    circuit.h(0)
    circuit.cx(0, 1)
    return circuit


def boxed(width: int) -> QuantumCircuit:
    """A layer of one cx, and a readout of its qubits."""
    circuit = QuantumCircuit(width, 2)
    with circuit.box([Twirl(), InjectNoise("layer")]):
        circuit.cx(0, 1)
    with circuit.box([Twirl(), InjectNoise("readout")]):
        circuit.measure([0, 1], [0, 1])
    return circuit


@pytest.mark.filterwarnings("ignore:The NoiseLearner class is deprecated:DeprecationWarning")
def test_the_noise_learner_learns_the_layers_of_circuits(service: QiskitRuntimeService) -> None:
    backend = service.backend("wide")
    learner = NoiseLearner(backend, QUICK)
    job = learner.run([transpile(bell(), backend, seed_transpiler=1)])
    (layer,) = job.result(timeout=100)
    assert layer.circuit.count_ops() == {"cz": 1}
    assert layer.num_qubits == 2
    assert layer.error.num_qubits == 2
    assert 0 < layer.error.rates.sum() < 0.2
    assert job.metrics()["num_circuits"] >= 9 * 3 * 8
    assert service.job(job.job_id()).result()[0].qubits == layer.qubits


def test_the_noise_learner_v3_learns_boxes_in_a_session(service: QiskitRuntimeService) -> None:
    backend = service.backend("noisy")
    circuit = boxed(5)
    with Session(backend=backend) as session:
        learner = NoiseLearnerV3(mode=session, options=QUICK)
        job = learner.run(circuit.data)
        result = job.result(timeout=100)
    assert job.session_id == session.session_id
    maps = result.to_dict(circuit.data)
    assert set(maps) == {"layer", "readout"}
    assert 0 < maps["layer"].rates.sum() < 0.2
    assert 0 < maps["readout"].rates.sum() < 0.2
    assert service.job(job.job_id()).inputs["instructions"][0].operation.name == "box"


def test_the_learner_that_prepares_in_the_client_gives_the_same_noise(service: QiskitRuntimeService) -> None:
    backend = service.backend("noisy")
    layer = [boxed(5).data[0]]
    options = {**QUICK, "num_randomizations": 16, "shots_per_randomization": 256}
    there = NoiseLearnerV3(mode=backend, options=options).run(layer).result(timeout=100)[0]
    here = ClientSideLearner(mode=backend, options=options).run(layer).result(timeout=100)[0]
    one, two = there.to_pauli_lindblad_map(), here.to_pauli_lindblad_map()
    assert one.num_terms == two.num_terms == 15
    assert one.rates.sum() == pytest.approx(two.rates.sum(), rel=0.3)


def test_what_is_not_honoured_is_refused_at_submit_by_name(service: QiskitRuntimeService) -> None:
    backend = service.backend("noisy")
    learner = NoiseLearnerV3(mode=backend)
    learner.options.bit_flip_checks.post_circuit.enable = True
    with pytest.raises(IBMRuntimeError, match=r"options\.bit_flip_checks\.post_circuit\.enable = True"):
        learner.run([boxed(5).data[0]])


def test_the_program_has_another_name_for_other_clients(server: Embedded) -> None:
    circuit = QuantumCircuit(5)
    circuit.cx(0, 1)
    params = json.loads(json.dumps({"circuits": [circuit], "options": QUICK}, cls=RuntimeEncoder))
    headers = {"Authorization": f"apikey {server.local_key}"}
    body = {"program_id": "noiselearner", "backend": "noisy", "params": params}
    with httpx.Client(base_url=f"{server.url}/api/v1", headers=headers, trust_env=False) as client:
        reply = client.post("/jobs", json=body)
        assert reply.status_code == 200, reply.text
        assert client.get(f"/jobs/{reply.json()['id']}").json()["program"] == {"id": "noise-learner"}
