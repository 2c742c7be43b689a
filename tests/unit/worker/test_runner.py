"""The programs of `backend.run()`, as clients up to 0.30 send them and their decoder reads the results."""

from __future__ import annotations

import json
from typing import Any

import pytest
from qiskit.circuit import ClassicalRegister, Parameter, QuantumCircuit, QuantumRegister
from qiskit_aer.noise import NoiseModel, pauli_error
from qiskit_ibm_runtime import RuntimeEncoder
from qiskit_ibm_runtime.decoders.runner import RunnerResultDecoder

from sojourn.worker.host import DeviceHost
from sojourn.worker.protocol.types import Completed, Failed, JobRefused

SENT = {"shots": 4000, "meas_level": 2, "init_qubits": True, "memory": False, "meas_return": "avg"}


def body(circuits: list[Any], **more: Any) -> bytes:
    return json.dumps({**SENT, "circuits": circuits, **more}, cls=RuntimeEncoder).encode()


def run(host: DeviceHost, params: bytes, program: str = "circuit-runner") -> Any:
    host.prepare(program, params)
    outcome = host.run(program, params)
    assert isinstance(outcome, Completed), outcome.detail if isinstance(outcome, Failed) else outcome
    return RunnerResultDecoder.decode(outcome.result.decode())


def registers() -> QuantumCircuit:
    circuit = QuantumCircuit(QuantumRegister(3, "q"), ClassicalRegister(2, "a"), ClassicalRegister(1, "b"))
    circuit.metadata = {"number": 7}
    circuit.x([0, 2])
    circuit.measure([0, 1, 2], [0, 1, 2])
    return circuit


def test_counts_come_with_the_registers_of_the_circuit(aer: DeviceHost) -> None:
    found = run(aer, body([registers()], shots=50))
    assert found.success
    assert found.get_counts(0) == {"1 01": 50}
    assert found.results[0].shots == 50
    header = found.results[0].header  # an object or a table, by the version of Qiskit
    assert (header if isinstance(header, dict) else vars(header))["metadata"] == {"number": 7}
    assert found.backend_name == "aer"


def test_the_bits_of_each_shot_come_when_they_are_asked_for(aer: DeviceHost) -> None:
    circuit = QuantumCircuit(1, 1)
    circuit.h(0)
    circuit.measure(0, 0)
    found = run(aer, body([circuit, registers()], shots=100, memory=True, seed_simulator=3))
    assert len(found.get_memory(0)) == 100
    counts = found.get_counts(0)
    assert {bit: found.get_memory(0).count(bit) for bit in "01"} == counts
    assert set(found.get_memory(1)) == {"1 01"}
    assert "memory" not in run(aer, body([circuit])).data(0)


def test_a_header_comes_back(aer: DeviceHost) -> None:
    found = run(aer, body([registers()], header={"mine": [1, 2]}))
    assert (found.header if isinstance(found.header, dict) else vars(found.header)) == {"mine": [1, 2]}


def test_circuits_with_control_flow_run_under_the_other_name(aer: DeviceHost) -> None:
    circuit = QuantumCircuit(2, 2)
    circuit.x(0)
    circuit.measure(0, 0)
    with circuit.if_test((circuit.clbits[0], 1)):
        circuit.x(1)
    circuit.measure(1, 1)
    assert run(aer, body([circuit], shots=20), "qasm3-runner").get_counts(0) == {"11": 20}


def test_a_random_device_answers_in_shape(mock: DeviceHost) -> None:
    native = QuantumCircuit(2, 2)
    native.measure([0, 1], [0, 1])
    assert sum(run(mock, body([native])).get_counts(0).values()) == 4000


def parametric() -> QuantumCircuit:
    circuit = QuantumCircuit(1, 1)
    circuit.rx(Parameter("t"), 0)
    return circuit


@pytest.mark.parametrize(
    ("params", "words"),
    [
        (body([]), "params.circuits has 0 entries"),
        (json.dumps(SENT).encode(), "params.circuits is missing"),
        (body([registers()], shots=0), "params.shots = 0 is not honoured"),
        (body([registers()], shots=10**9), "the limit of aer is 1000000"),
        (body([registers()], meas_level=1), "params.meas_level = 1 is not honoured"),
        (body([registers()], init_num_resets=3), "params.init_num_resets = 3"),
        (body([registers()], noise_model={"a": 1}), "params.noise_model"),
        (
            body([registers()], parametrs=1),
            "params.parametrs = 1 is not an option that the circuit-runner knows",
        ),
        (body([parametric()]), "circuits[0] has 1 parameters"),
        (body([3]), "circuits[0] must be of type QuantumCircuit"),
        (body([registers()], header={"deep": {"__type__": "to_json", "__value__": 1}}), "params.header"),
    ],
)
def test_what_is_wrong_is_named(aer: DeviceHost, params: bytes, words: str) -> None:
    with pytest.raises(JobRefused) as caught:
        aer.prepare("circuit-runner", params)
    assert words in caught.value.message


def test_a_circuit_must_fit_the_device(manila: DeviceHost) -> None:
    circuit = QuantumCircuit(1, 1)
    circuit.h(0)
    with pytest.raises(JobRefused, match="h on qubits"):
        manila.prepare("circuit-runner", body([circuit]))


def test_a_noise_model_is_simulated_on_an_ideal_device(aer: DeviceHost, manila: DeviceHost) -> None:
    model = NoiseModel()
    model.add_all_qubit_quantum_error(pauli_error([("X", 1.0)]), "x")
    found = run(aer, body([registers()], shots=50, noise_model=model))
    assert found.get_counts(0) == {"0 00": 50}
    with pytest.raises(JobRefused, match=r"params\.noise_model"):
        manila.prepare("circuit-runner", body([registers()], noise_model=model))
