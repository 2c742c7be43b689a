"""Noise models, couplings and gates of V1 jobs, on a device without errors."""

from __future__ import annotations

import pytest
from qiskit.circuit import QuantumCircuit
from qiskit.quantum_info import SparsePauliOp
from qiskit_aer.noise import NoiseModel, ReadoutError, pauli_error

from sojourn.worker.host import DeviceHost
from tests.harness.v1 import estimator_body, sampler_body
from tests.unit.worker.test_v1 import bell, excited, refusal, run

LINE = [[0, 1], [1, 0], [1, 2], [2, 1]]


def misread() -> NoiseModel:
    model = NoiseModel()
    model.add_all_qubit_readout_error(ReadoutError([[0.9, 0.1], [0.2, 0.8]]))
    return model


def test_a_noise_model_is_simulated_and_its_readout_mitigated_at_level_1(aer: DeviceHost) -> None:
    found = []
    for level in (0, 1):
        body = sampler_body([excited(2)], level=level, run={"noise_model": misread()})
        quasi, _ = run(aer, "sampler", body)
        found.append(quasi[0][3])
    assert found[0] == pytest.approx(0.64, abs=0.05)
    assert found[1] == pytest.approx(1.0, abs=0.05)


@pytest.mark.parametrize("level", [0, 1, 2])
def test_the_estimator_has_the_noise_at_every_level(aer: DeviceHost, level: int) -> None:
    """A bit flip behind each cx, which readout mitigation does not see and extrapolation does."""
    model = NoiseModel()
    model.add_all_qubit_quantum_error(pauli_error([("IX", 0.05), ("II", 0.95)]), "cx")
    circuit = QuantumCircuit(2)
    circuit.cx(0, 1)
    wanted = SparsePauliOp.from_list([("IZ", 1.0)])
    body = estimator_body([circuit], [wanted], level=level, run={"noise_model": model, "shots": 20_000})
    values, _ = run(aer, "estimator", body)
    assert values[0] == pytest.approx(1.0 if level == 2 else 0.9, abs=0.08 if level == 2 else 0.03)


def test_circuits_are_transpiled_for_the_couplings_and_gates_of_the_job(aer: DeviceHost) -> None:
    circuit = QuantumCircuit(3)
    circuit.h(0)
    circuit.cx(0, 2)
    circuit.cx(0, 1)
    circuit.measure_all()
    wanted = {"coupling_map": LINE, "basis_gates": ["rz", "sx", "x", "cx"]}
    quasi, _ = run(aer, "sampler", sampler_body([circuit], level=0, transpilation=wanted))
    assert quasi[0][0] + quasi[0][7] == pytest.approx(1.0)
    for only in ("coupling_map", "basis_gates"):
        part = {only: wanted[only]}
        quasi, _ = run(aer, "sampler", sampler_body([circuit], level=0, transpilation=part))
        assert quasi[0][0] + quasi[0][7] == pytest.approx(1.0)


def test_a_circuit_that_is_not_transpiled_keeps_to_them_or_is_refused(aer: DeviceHost) -> None:
    wanted = {"skip_transpilation": True, "coupling_map": LINE, "basis_gates": ["h", "cx"]}
    run(aer, "sampler", sampler_body([bell()], level=0, transpilation=wanted))
    wanted["basis_gates"] = ["cx"]
    message = refusal(aer, "sampler", sampler_body([bell()], level=0, transpilation=wanted))
    assert "circuits[0]: h on qubits (0,) is not among params.transpilation_settings.basis_gates" in message


def test_they_are_refused_where_the_device_has_its_own(manila: DeviceHost) -> None:
    body = sampler_body([bell()], run={"noise_model": misread()}, transpilation={"coupling_map": LINE})
    message = refusal(manila, "sampler", body)
    assert "params.run_options.noise_model" in message
    assert "params.transpilation_settings.coupling_map" in message
    assert "null on a device that has errors of its own" in message
