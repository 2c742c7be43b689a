"""The program estimator, as the real client encodes its jobs and decodes its results."""

from __future__ import annotations

import numpy as np
import pytest
from qiskit.circuit import Parameter, QuantumCircuit
from qiskit.circuit.library import efficient_su2
from qiskit.primitives import BackendEstimatorV2, StatevectorEstimator
from qiskit.primitives.containers.estimator_pub import EstimatorPub
from qiskit.quantum_info import SparsePauliOp
from qiskit.transpiler import generate_preset_pass_manager
from qiskit_aer import AerSimulator
from qiskit_ibm_runtime.fake_provider import FakeTorino

from sojourn.worker.host import DeviceHost
from sojourn.worker.protocol.types import JobRefused
from tests.unit.worker.conftest import body, estimator_body, result

HAMILTONIAN = SparsePauliOp.from_list(
    [("II", -1.05), ("IZ", 0.39), ("ZI", -0.39), ("ZZ", -0.01), ("XX", 0.18), ("YY", 0.05), ("XY", 0.3)]
)


def ansatz() -> QuantumCircuit:
    circuit = QuantumCircuit(2)
    for qubit in range(2):
        circuit.ry(Parameter(f"a{qubit}"), qubit)
        circuit.rz(Parameter(f"b{qubit}"), qubit)
    circuit.cx(0, 1)
    circuit.metadata = {"kind": "ansatz"}
    return circuit


def test_expectation_values_are_right(aer: DeviceHost) -> None:
    values = np.random.default_rng(4).random((3, 4)) * 6
    exact = StatevectorEstimator().run([(ansatz(), HAMILTONIAN, values)]).result()[0].data.evs
    found = result(aer, "estimator", estimator_body([(ansatz(), HAMILTONIAN, values)]))[0]
    assert found.data.evs.shape == (3,)
    assert np.all(np.abs(found.data.evs - exact) < 5 * found.data.stds + 1e-9)
    assert np.array_equal(found.data.stds, found.data.ensemble_standard_error)
    assert found.metadata["shots"] == 4096
    assert found.metadata["target_precision"] == 0.015625
    assert found.metadata["circuit_metadata"] == {"kind": "ansatz"}


def test_errors_are_those_of_qiskits_own_estimator(aer: DeviceHost) -> None:
    values = np.array([0.3, 1.1, 0.2, 0.9])
    pub = (ansatz(), HAMILTONIAN, values)
    reference = BackendEstimatorV2(backend=AerSimulator(method="statevector"), options={"seed_simulator": 1})
    expected = reference.run([pub], precision=0.01).result()[0]
    found = result(aer, "estimator", estimator_body([(*pub, 0.01)]))[0]
    assert found.metadata["shots"] == expected.metadata["shots"] == 10_000
    assert found.data.stds == pytest.approx(expected.data.stds, rel=0.05)
    assert found.data.evs == pytest.approx(expected.data.evs, abs=6 * float(expected.data.stds))


@pytest.mark.parametrize(
    ("values", "observables"),
    [((), ()), ((3,), ()), ((), (2,)), ((3,), (3,)), ((3, 1), (2,)), ((2, 1, 3), (4, 1)), ((1,), (5,))],
)
def test_values_and_observables_broadcast(
    aer: DeviceHost, values: tuple[int, ...], observables: tuple[int, ...]
) -> None:
    random = np.random.default_rng(2)
    points = random.random((*values, 4)) * 6
    labels = random.choice(["ZZ", "XI", "IX", "YY", "II", "ZI"], size=observables)
    terms = np.array(labels, dtype=object).tolist() if observables else str(labels)
    pub = EstimatorPub.coerce((ansatz(), terms, points, 0.02))
    exact = StatevectorEstimator().run([(ansatz(), terms, points)]).result()[0].data.evs
    found = result(aer, "estimator", estimator_body([pub], {"seed_estimator": 3}))[0].data
    assert found.evs.shape == np.broadcast_shapes(values, observables)
    assert np.all(np.abs(found.evs - exact) <= 5 * 0.02)


def test_terms_that_commute_are_measured_together(aer: DeviceHost) -> None:
    one = aer.prepare("estimator", estimator_body([(QuantumCircuit(3), ["ZZI", "IIZ", "ZIZ", "XXX", "XII"])]))
    assert one.num_circuits == 2
    assert one.executions == 2 * 4096


def test_the_identity_needs_no_circuit(aer: DeviceHost) -> None:
    params = estimator_body([(QuantumCircuit(2), SparsePauliOp(["II"], [2.5]))])
    assert aer.prepare("estimator", params).num_circuits == 0
    found = result(aer, "estimator", params)[0].data
    assert (float(found.evs), float(found.stds)) == (2.5, 0.0)


def test_the_same_seed_gives_the_same_values(aer: DeviceHost) -> None:
    params = estimator_body([(ansatz(), HAMILTONIAN, [0.1, 0.2, 0.3, 0.4])], {"seed_estimator": 11})
    assert float(result(aer, "estimator", params)[0].data.evs) == float(
        result(aer, "estimator", params)[0].data.evs
    )


def test_shots_and_precision_by_their_order_of_precedence(aer: DeviceHost) -> None:
    plain, own = (QuantumCircuit(1), "Z"), (QuantumCircuit(1), "Z", None, 0.05)

    def shots(pubs: list[object], options: dict[str, object]) -> list[int]:
        found = result(aer, "estimator", estimator_body(pubs, options))
        return [pub.metadata["shots"] for pub in found]

    assert shots([plain, own], {"default_precision": 0.1}) == [100, 400]
    assert shots([plain, own], {"default_precision": 0.1, "default_shots": 55}) == [55, 400]
    assert shots([plain], {}) == [4096]


def test_a_vqe_step_on_a_wide_noisy_device(torino: DeviceHost) -> None:
    circuit = efficient_su2(3, reps=1)
    isa = generate_preset_pass_manager(1, backend=FakeTorino(), seed_transpiler=5).run(circuit)
    observable = SparsePauliOp(["ZZI", "IXX", "YIY"], [1.0, 0.5, -0.7]).apply_layout(isa.layout)
    assert isa.num_qubits == 133
    values = np.random.default_rng(1).random(circuit.num_parameters) * 3
    original = SparsePauliOp(["ZZI", "IXX", "YIY"], [1.0, 0.5, -0.7])
    exact = float(StatevectorEstimator().run([(circuit, original, values)]).result()[0].data.evs)
    found = result(torino, "estimator", estimator_body([(isa, observable, values)]))[0].data
    assert float(found.evs) == pytest.approx(exact, abs=0.35)
    assert found.stds < 0.05


def test_measuring_in_x_and_y_uses_the_devices_own_gates(manila: DeviceHost) -> None:
    circuit = QuantumCircuit(5)
    circuit.sx(3)  # the eigenstate of -Y
    found = result(manila, "estimator", estimator_body([(circuit, ["IYIII", "IXIII", "IZIII"])]))[0].data
    assert found.evs == pytest.approx([-1, 0, 0], abs=0.15)
    assert found.evs[0] > -1


def test_a_circuit_that_measures_keeps_its_own_bits_apart(aer: DeviceHost) -> None:
    circuit = QuantumCircuit(2, 1)
    circuit.x(0)
    circuit.measure(0, 0)
    with circuit.if_test((circuit.clbits[0], 1)):
        circuit.x(1)
    assert result(aer, "estimator", estimator_body([(circuit, ["ZI", "IZ", "ZZ"])]))[
        0
    ].data.evs == pytest.approx([-1, -1, 1])


def test_text_circuits_are_as_wide_as_their_observables(torino: DeviceHost) -> None:
    text = 'OPENQASM 3.0; include "stdgates.inc"; x $2; cz $2, $3;'
    label = ["I"] * 133
    label[132 - 2] = "Z"
    found = result(torino, "estimator", body([[text, {"".join(label): 1.0}, None, 0.05]]))[0].data
    assert float(found.evs) < -0.8


def test_random_results_have_the_right_shape(mock: DeviceHost) -> None:
    values = np.zeros((5, 4))
    found = result(mock, "estimator", estimator_body([(ansatz_for_mock(), HAMILTONIAN, values)]))[0].data
    assert found.evs.shape == found.stds.shape == (5,)
    assert np.all(np.abs(found.evs) < 3)


def ansatz_for_mock() -> QuantumCircuit:
    circuit = QuantumCircuit(2)
    for name in "abcd":
        circuit.rz(Parameter(name), 0)
    return circuit


def test_observables_wider_than_the_circuit_are_refused(aer: DeviceHost) -> None:
    params = body([[QuantumCircuit(2), {"ZZZ": 1.0}, None, None]])
    with pytest.raises(JobRefused, match=r"3 qubits.*circuit has 2.*apply_layout"):
        aer.prepare("estimator", params)
