"""Suppression and mitigation with signals, qubits that are not initialised, timing, and simulators."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from qiskit import transpile
from qiskit.circuit import ClassicalRegister, QuantumCircuit, QuantumRegister
from qiskit_aer.noise import NoiseModel, ReadoutError

from sojourn.worker.host import DeviceHost
from sojourn.worker.protocol.types import Completed
from tests.unit.worker.conftest import estimator_body, result, sampler_body
from tests.unit.worker.test_mitigated import ANGLES, native, refusal, rotated

SEED = {"simulator": {"seed_simulator": 3}}
GATES = {"enable_gates": True, "num_randomizations": 4, "shots_per_randomization": 25}
BITS = {"enable_measure": True, "num_randomizations": 8, "shots_per_randomization": 16}


def flipped() -> QuantumCircuit:
    circuit = QuantumCircuit(1, 1)
    circuit.x(0)
    circuit.measure(0, 0)
    return circuit


def misread(one: float, zero: float) -> NoiseModel:
    """`one` is P(1|0), `zero` is P(0|1)."""
    model = NoiseModel()
    model.add_all_qubit_readout_error(ReadoutError([[1 - one, one], [zero, 1 - zero]]))
    return model


def with_noise(model: NoiseModel, **options: Any) -> dict[str, Any]:
    return {"simulator": {"seed_simulator": 3, "noise_model": model}, **options}


# signals


@pytest.mark.parametrize("level", ["kerneled", "avg_kerneled"])
def test_gates_are_twirled_and_signals_are_measured(aer: DeviceHost, level: str) -> None:
    values = np.array([[0.0], [np.pi]])
    options = {**SEED, "twirling": GATES, "execution": {"meas_type": level}}
    found = result(aer, "sampler", sampler_body([(rotated(), values, 90)], options))
    signal = found[0].data.c
    assert signal.shape == ((2, 90, 2) if level == "kerneled" else (2, 2))
    assert np.iscomplexobj(signal)
    assert (signal[0].real < 0).all()
    assert (signal[1].real > 0).all()
    assert found[0].metadata["num_randomizations"] == 4
    # the shots beyond those that were asked for are left out, and from a mean nothing can be
    assert found[0].metadata["shots"] == (90 if level == "kerneled" else 100)


@pytest.mark.parametrize("level", ["kerneled", "avg_kerneled"])
def test_idle_times_are_filled_and_signals_are_measured(torino: DeviceHost, level: str) -> None:
    isa = native(rotated(), torino)
    options = {**SEED, "dynamical_decoupling": {"enable": True}, "execution": {"meas_type": level}}
    found = result(torino, "sampler", sampler_body([(isa, ANGLES, 50)], options))
    assert found[0].data.c.shape == ((3, 50, 2) if level == "kerneled" else (3, 2))
    assert found.metadata["dynamical_decoupling"]["enable"] is True
    assert found[0].metadata["shots"] == 50


@pytest.mark.parametrize("level", ["kerneled", "avg_kerneled"])
def test_signals_of_twirled_measurements_are_refused_as_they_cannot_be_flipped(
    aer: DeviceHost, level: str
) -> None:
    options = {"twirling": BITS, "execution": {"meas_type": level}}
    message = refusal(aer, "sampler", sampler_body([flipped()], options))
    assert f"options.execution.meas_type = {level!r}" in message
    assert "options.twirling.enable_measure = True" in message
    assert "no bit that could be flipped" in message


# qubits that are not initialised


def test_a_twirled_measurement_leaves_its_flip_in_a_qubit_that_is_not_initialised(aer: DeviceHost) -> None:
    """In each randomisation the qubit is flipped by the circuit, and by the twirl or not: what is read with
    the twirl undone is either 1 in every shot or in every other one."""
    options = {**SEED, "twirling": BITS, "execution": {"init_qubits": False}}
    found = result(aer, "sampler", sampler_body([(flipped(), None, 128)], options))
    shots = "".join(found[0].data.c.get_bitstrings())
    blocks = {shots[start : start + 16] for start in range(0, 128, 16)}
    assert blocks == {"1" * 16, "10" * 8}


def test_a_readout_or_layers_are_not_learned_from_qubits_that_are_not_initialised(aer: DeviceHost) -> None:
    circuit = rotated(measured=False)
    pubs = [(circuit, "ZZ", [0.3], 0.1)]
    carried = {"execution": {"init_qubits": False}}
    message = refusal(aer, "estimator", estimator_body(pubs, {**carried, "resilience_level": 1}))
    assert "options.execution.init_qubits = False together with a measurement of the readout error" in message
    assert "options.resilience.measure_mitigation = False" in message
    pec = {**carried, "resilience": {"pec_mitigation": True}}
    message = refusal(aer, "estimator", estimator_body(pubs, pec))
    assert "a measurement of the noise of layers" in message
    assert "options.resilience.layer_noise_model" in message


def test_gates_are_folded_with_qubits_that_are_not_initialised(aer: DeviceHost) -> None:
    """The state alternates, so that the value is 0 at every noise factor."""
    circuit = QuantumCircuit(2)
    circuit.x(0)
    circuit.cx(0, 1)
    options = {
        **SEED,
        "execution": {"init_qubits": False},
        "default_shots": 64,
        "resilience": {"zne_mitigation": True, "zne": {"extrapolator": "linear"}},
    }
    found = result(aer, "estimator", estimator_body([(circuit, "IZ")], options))
    assert found[0].data.evs == pytest.approx(0.0, abs=1e-9)


# timing


def test_the_timing_is_that_of_the_circuit_that_is_run(torino: DeviceHost) -> None:
    waits = QuantumCircuit(2, 2)
    for _ in range(20):
        waits.sx(1)
    waits.barrier()
    waits.measure([0, 1], [0, 1])
    isa = transpile(waits, target=torino._device.target, initial_layout=[3, 4], optimization_level=0)
    timing = {"experimental": {"execution": {"scheduler_timing": True, "stretch_values": True}}}
    told = {}
    for name, more in (
        ("plain", {}),
        ("twirled", {"twirling": BITS}),
        ("decoupled", {"dynamical_decoupling": {"enable": True}}),
    ):
        found = result(torino, "sampler", sampler_body([(isa, None, 100)], {**timing, **more}))
        told[name] = found[0].metadata["compilation"]
        assert told[name]["stretch_values"] == []
    texts = {name: entry["scheduler_timing"]["timing"] for name, entry in told.items()}
    assert ",x_" not in texts["plain"]
    assert ",x_" in texts["decoupled"]
    assert ",sx_3," not in texts["plain"]
    assert ",sx_3," in texts["twirled"]  # which takes the gates before a measurement into the twirl
    durations = {name: entry["scheduler_timing"]["circuit_duration"] for name, entry in told.items()}
    assert 0 < durations["twirled"] < durations["plain"]


# simulators


def test_measurement_twirling_makes_a_given_readout_error_symmetric(aer: DeviceHost) -> None:
    circuit = QuantumCircuit(1, 1)
    circuit.measure(0, 0)
    model = misread(0.4, 0.0)
    shares = []
    for more in ({}, {"twirling": {"enable_measure": True, "num_randomizations": 200}}):
        body = sampler_body([(circuit, None, 20_000)], with_noise(model, **more))
        counts = result(aer, "sampler", body)[0].data.c.get_counts()
        shares.append(counts["1"] / 20_000)
    assert shares[0] == pytest.approx(0.4, abs=0.02)
    assert shares[1] == pytest.approx(0.2, abs=0.05)  # of the randomisations about half are flipped


def test_a_given_readout_error_is_mitigated(aer: DeviceHost) -> None:
    circuit = QuantumCircuit(1)
    circuit.x(0)
    values = {}
    for level in (0, 1):
        options = with_noise(misread(0.1, 0.1), resilience_level=level, default_shots=20_000)
        values[level] = float(result(aer, "estimator", estimator_body([(circuit, "Z")], options))[0].data.evs)
    assert values[0] == pytest.approx(-0.8, abs=0.03)
    assert values[1] == pytest.approx(-1.0, abs=0.03)


def test_a_prepared_circuit_keeps_to_the_gates_and_pairs_of_the_job(aer: DeviceHost) -> None:
    circuit = QuantumCircuit(2, 2)
    circuit.x(0)
    circuit.cx(0, 1)
    circuit.measure([0, 1], [0, 1])
    own = {"basis_gates": ["x", "cx"], "coupling_map": [[0, 1]]}
    twirling = {"enable_gates": True, "enable_measure": True}
    message = refusal(aer, "sampler", sampler_body([circuit], {"simulator": own, "twirling": twirling}))
    assert "pubs[0], as it is prepared: " in message
    assert "is not among options.simulator.basis_gates" in message
    assert "the preparation for twirling, decoupling or mitigation brings it in" in message
    more = {"simulator": {**own, "basis_gates": ["x", "cx", "rz", "sx"]}, "twirling": twirling}
    found = result(aer, "sampler", sampler_body([(circuit, None, 64)], more))
    assert found[0].data.c.get_counts() == {"11": 64}
    away = {"simulator": {"coupling_map": [[1, 0]]}, "twirling": twirling}
    message = refusal(aer, "sampler", sampler_body([circuit], away))
    assert "pubs[0]: cx on qubits (0, 1) is not on a pair of options.simulator.coupling_map" in message


def test_the_log_says_how_a_job_with_a_noise_model_was_simulated(aer: DeviceHost) -> None:
    body = sampler_body([(flipped(), None, 50)], with_noise(misread(0.1, 0.1)))
    outcome = aer.run("sampler", body)
    assert isinstance(outcome, Completed)
    assert "simulated 1 circuit on 1 active qubit for 50 shots" in outcome.logs


def test_a_register_may_be_called_as_the_executor_calls_signals(aer: DeviceHost) -> None:
    circuit = QuantumCircuit(QuantumRegister(1), ClassicalRegister(1, "a_iq"))
    circuit.x(0)
    circuit.measure(0, 0)
    options = {**SEED, "twirling": GATES, "execution": {"meas_type": "kerneled"}}
    found = result(aer, "sampler", sampler_body([(circuit, None, 100)], options))
    assert (found[0].data["a_iq"].real > 0).all()
