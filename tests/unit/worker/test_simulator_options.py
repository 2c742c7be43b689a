"""The options of simulators: honoured on ideal devices, refused on others. A noise model that is not
physical, too large or none at all is refused with the entry that is wrong."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from qiskit.circuit import Parameter, QuantumCircuit
from qiskit_aer.noise import (
    NoiseModel,
    ReadoutError,
    amplitude_damping_error,
    coherent_unitary_error,
    depolarizing_error,
    pauli_error,
)
from qiskit_ibm_runtime import RuntimeEncoder
from qiskit_ibm_runtime.fake_provider import FakeManilaV2

from sojourn.worker.codec import noise
from sojourn.worker.codec.decode import Budget
from sojourn.worker.host import DeviceHost
from sojourn.worker.protocol.types import JobRefused
from tests.unit.worker.conftest import estimator_body, result, sampler_body


def simulator(**options: Any) -> dict[str, Any]:
    return {"simulator": {"seed_simulator": 1, **options}}


def flipped() -> QuantumCircuit:
    circuit = QuantumCircuit(2, 1)
    circuit.x(0)
    circuit.measure(0, 0)
    return circuit


def always_flips() -> NoiseModel:
    model = NoiseModel()
    model.add_all_qubit_quantum_error(pauli_error([("X", 1.0)]), "x")
    return model


def test_a_noise_model_as_the_client_sends_it_is_honoured(aer: DeviceHost) -> None:
    body = sampler_body([(flipped(), None, 50)], simulator(noise_model=always_flips()))
    assert result(aer, "sampler", body)[0].data.c.get_counts() == {"0": 50}
    plain = sampler_body([(flipped(), None, 50)], simulator(noise_model=None))
    assert result(aer, "sampler", plain)[0].data.c.get_counts() == {"1": 50}


def test_a_noise_model_may_be_the_dictionary_that_it_gives(aer: DeviceHost) -> None:
    given = always_flips().to_dict(serializable=True)
    body = sampler_body([(flipped(), None, 50)], simulator(noise_model=given))
    assert result(aer, "sampler", body)[0].data.c.get_counts() == {"0": 50}


def test_the_estimator_has_the_noise_too(aer: DeviceHost) -> None:
    circuit = QuantumCircuit(1)
    circuit.x(0)
    body = estimator_body([(circuit, {"Z": 1.0})], simulator(noise_model=always_flips()))
    assert result(aer, "estimator", body)[0].data.evs == pytest.approx(1.0)


def test_an_empty_noise_model_is_no_noise(aer: DeviceHost) -> None:
    body = sampler_body([(flipped(), None, 50)], simulator(noise_model=NoiseModel()))
    assert result(aer, "sampler", body)[0].data.c.get_counts() == {"1": 50}


def test_another_noise_model_does_not_get_the_circuit_compiled_for_the_first(aer: DeviceHost) -> None:
    other = NoiseModel()
    other.add_all_qubit_readout_error(ReadoutError([[0.0, 1.0], [1.0, 0.0]]))
    for model, expected in ((always_flips(), "0"), (None, "1"), (other, "0"), (NoiseModel(), "1")):
        body = sampler_body([(flipped(), None, 20)], simulator(noise_model=model))
        assert result(aer, "sampler", body)[0].data.c.get_counts() == {expected: 20}


@pytest.mark.parametrize("encoded", [True, False])
def test_models_of_every_kind_of_error_are_read_as_they_are(encoded: bool) -> None:
    model = NoiseModel.from_backend(FakeManilaV2())
    model.add_all_qubit_quantum_error(amplitude_damping_error(0.1), "h")
    model.add_all_qubit_quantum_error(coherent_unitary_error(np.array([[1, 0], [0, 1j]])), "s")
    if encoded:
        text = json.dumps(model, cls=RuntimeEncoder)
    else:
        text = json.dumps(model.to_dict(serializable=True))
    found = noise.read(json.loads(text), "m", Budget())
    assert found is not None
    kept = model.to_dict()["errors"]
    assert len(found.gates) + len(found.reads) == len(kept)
    gates = [error for error in kept if error["type"] == "qerror"]
    for ours, theirs in zip(found.gates, gates, strict=True):
        assert list(ours.gates) == theirs["operations"]
        assert [share for share, _ in ours.terms] == pytest.approx(theirs["probabilities"])
        for (_, steps), expected in zip(ours.terms, theirs["instructions"], strict=True):
            assert [(step.name, list(step.qubits)) for step in steps] == [
                (step["name"], step["qubits"]) for step in expected
            ]
            for step, their in zip(steps, expected, strict=True):
                for matrix, array in zip(step.matrices, their.get("params", []), strict=False):
                    assert np.allclose(matrix, array)


def qerror(**more: Any) -> dict[str, Any]:
    made: dict[str, Any] = {
        "type": "qerror",
        "id": "a",
        "operations": ["x"],
        "instructions": [[{"name": "x", "qubits": [0]}], [{"name": "id", "qubits": [0]}]],
        "probabilities": [0.25, 0.75],
    }
    return {**made, **more}


def step(name: str, qubits: Any = (0,), **more: Any) -> dict[str, Any]:
    return {"instructions": [[{"name": name, "qubits": list(qubits), **more}]], "probabilities": [1.0]}


TWICE = [[[1, 0], [0, 0]], [[0, 0], [2, 0]]]


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (5, ["errors[0] must be an object"]),
        ({"type": "pickle"}, ["errors[0].type is 'pickle'"]),
        (qerror(probabilities=[0.5, 0.6]), ["errors[0].probabilities", "[0.5, 0.6]", "sum must be 1"]),
        (qerror(probabilities=[-0.5, 1.5]), ["errors[0].probabilities", "must be probabilities"]),
        (qerror(probabilities=[1.0]), ["probabilities must be a list of 2 numbers"]),
        (qerror(instructions=[]), ["errors[0].instructions"]),
        (qerror(instructions=["x", "y"]), ["errors[0].instructions[0] must be a list"]),
        (qerror(operations=[]), ["errors[0].operations"]),
        (qerror(operations=["my label"]), ["'my label'", "not by a label"]),
        (qerror(operations=["x", "cx"]), ["acts on 2 qubits, and 'x' on 1"]),
        (qerror(gate_qubits=[[0, 1]]), ["gate_qubits is [[0, 1]]", "1 different"]),
        (qerror(gate_qubits=[["0"]]), ["gate_qubits"]),
        (qerror(**step("eval")), ["'eval' is not an instruction of an error"]),
        (qerror(**step("x", [5])), ["[5]", "from 0 to 2"]),
        (qerror(**step("cx", [0, 0])), ["[0, 0]", "different numbers"]),
        (qerror(**step("rx", params=["pi"])), ["'rx' must have 1 qubits and 1 finite parameters"]),
        (qerror(**step("pauli", params=["W"])), ["'W'", "I, X, Y and Z"]),
        (qerror(**step("pauli", params=["XX"])), ["a letter for each qubit"]),
        (qerror(**step("unitary", params=[TWICE])), ["sum of probabilities"]),
        (qerror(**step("kraus", params=[TWICE])), ["sum K^dagger K = 1"]),
        (qerror(**step("kraus", params=[[[1, 0]]])), ["2x2 matrices"]),
        (qerror(**step("kraus", params=[])), ["has 0 matrices"]),
        (qerror(**step("unitary", params=[{"__type__": "ndarray", "__value__": "!"}])), ["base64"]),
        (qerror(**step("x", condition=1)), ["with a condition"]),
        ({"type": "roerror", "probabilities": [[1, 0]]}, ["P(1|0)"]),
        ({"type": "roerror", "probabilities": np.eye(4).tolist()}, ["of one qubit"]),
        ({"type": "roerror", "probabilities": [[0.9, 0.2], [0, 1]]}, ["[0.9, 0.2]", "sum must be 1"]),
        ({"type": "roerror", "probabilities": [[1, 0], [0, 1]], "gate_qubits": [[0, 1]]}, ["gate_qubits"]),
    ],
)
def test_what_is_no_physical_error_is_refused_with_its_place(
    aer: DeviceHost, error: Any, words: list[str]
) -> None:
    body = sampler_body([(flipped(), None, 5)], simulator(noise_model={"errors": [error]}))
    with pytest.raises(JobRefused) as caught:
        aer.prepare("sampler", body)
    assert caught.value.message.startswith("options.simulator.noise_model.errors[0]")
    assert len(caught.value.message) < 600
    for part in words:
        assert part in caught.value.message


@pytest.mark.parametrize(
    "value",
    [
        {"__type__": "settings", "__module__": "os", "__class__": "system", "__value__": {}},
        {"__type__": "NoiseModel", "__value__": []},
        {"errors": {}},
        {"errors": [], "x90_gates": ["x"]},
        {},
        [1],
        "NoiseModel",
    ],
)
def test_what_is_no_noise_model_is_refused_and_no_class_is_loaded(aer: DeviceHost, value: Any) -> None:
    body = sampler_body([(flipped(), None, 5)], simulator(noise_model=value))
    with pytest.raises(JobRefused, match=r"options\.simulator\.noise_model"):
        aer.prepare("sampler", body)


def test_noise_models_are_bounded(aer: DeviceHost, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(noise, "MAX_ERRORS", 3)
    monkeypatch.setattr(noise, "MAX_STEPS", 10)
    many = {"errors": [qerror()] * 4}
    with pytest.raises(JobRefused, match=r"errors has 4 entries; the limit is 3"):
        aer.prepare("sampler", sampler_body([flipped()], simulator(noise_model=many)))
    long = {"errors": [qerror(instructions=[[{"name": "x", "qubits": [0]}] * 12], probabilities=[1.0])]}
    with pytest.raises(JobRefused, match=r"more than 10 instructions"):
        aer.prepare("sampler", sampler_body([flipped()], simulator(noise_model=long)))


@pytest.mark.parametrize(
    ("option", "value"),
    [("noise_model", {"errors": []}), ("coupling_map", [[0, 1]]), ("basis_gates", ["x"])],
)
def test_a_device_with_errors_of_its_own_refuses_them(manila: DeviceHost, option: str, value: Any) -> None:
    with pytest.raises(JobRefused) as caught:
        manila.prepare("sampler", sampler_body([flipped()], simulator(**{option: value})))
    assert f"options.simulator.{option} = {value!r} is not honoured" in caught.value.message
    assert "errors of its own" in caught.value.message


def test_circuits_keep_to_the_gates_and_pairs_that_are_asked_for(aer: DeviceHost) -> None:
    circuit = QuantumCircuit(3, 1)
    circuit.sx(0)
    circuit.cx(1, 0)
    circuit.barrier()
    circuit.measure(0, 0)
    with circuit.if_test((circuit.clbits[0], 1)):
        circuit.rx(Parameter("a"), 2)
    pub = (circuit, [0.1], 5)
    fine = simulator(basis_gates=["sx", "cx", "rx"], coupling_map=[[1, 0], [1, 2]])
    aer.prepare("sampler", sampler_body([pub], fine))
    with pytest.raises(JobRefused, match=r"pubs\[0\]: rx on qubits \(2,\) is not among options"):
        aer.prepare("sampler", sampler_body([pub], simulator(basis_gates=["sx", "cx"])))
    with pytest.raises(JobRefused, match=r"cx on qubits \(1, 0\) is not on a pair of options.simulator"):
        aer.prepare("sampler", sampler_body([pub], simulator(coupling_map=[[0, 1]])))
    bare = flipped().remove_final_measurements(inplace=False)
    with pytest.raises(JobRefused, match="basis_gates"):
        aer.prepare("estimator", estimator_body([(bare, {"ZZ": 1.0})], simulator(basis_gates=["sx"])))


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("coupling_map", [[0]]),
        ("coupling_map", [[0, -1]]),
        ("coupling_map", 3),
        ("basis_gates", "cx"),
        ("basis_gates", [1]),
    ],
)
def test_maps_and_gates_of_another_form_are_refused_by_name(aer: DeviceHost, option: str, value: Any) -> None:
    with pytest.raises(JobRefused) as caught:
        aer.prepare("sampler", sampler_body([flipped()], simulator(**{option: value})))
    assert f"options.simulator.{option} = {value!r}" in caught.value.message


def test_a_noise_model_is_sampled_at_each_point(aer: DeviceHost) -> None:
    model = NoiseModel()
    model.add_all_qubit_quantum_error(depolarizing_error(0.3, 1), "rx")
    circuit = QuantumCircuit(1, 1)
    circuit.rx(Parameter("a"), 0)
    circuit.measure(0, 0)
    body = sampler_body([(circuit, np.array([[0.0], [np.pi]]), 20_000)], simulator(noise_model=model))
    bits = result(aer, "sampler", body)[0].data.c
    ones = [bits[point].get_counts().get("1", 0) / 20_000 for point in (0, 1)]
    assert ones == pytest.approx([0.15, 0.85], abs=5 * 0.36 / np.sqrt(20_000))
