"""How far a matrix product state grows is known from the gates across each place of its line."""

from __future__ import annotations

import math

import pytest
from qiskit.circuit import Gate, Parameter, QuantumCircuit

from sojourn.devices.aer.methods.bonds import ENOUGH, growth


def chain(qubits: int) -> QuantumCircuit:
    circuit = QuantumCircuit(qubits)
    for qubit in range(qubits - 1):
        circuit.cx(qubit, qubit + 1)
    return circuit


def bond(circuit: QuantumCircuit) -> float:
    return growth(circuit).bond


def repeated(circuit: QuantumCircuit, times: int) -> QuantumCircuit:
    """With turns in between, so that no gate undoes an earlier one."""
    made = circuit.copy_empty_like()
    for time in range(times):
        for qubit in range(circuit.num_qubits):
            made.rx(0.3 + time, qubit)
        made.compose(circuit, inplace=True)
    return made


def test_without_gates_between_qubits_nothing_grows() -> None:
    circuit = QuantumCircuit(4)
    circuit.h(range(4))
    assert growth(circuit).gates == 0
    assert bond(circuit) == 1
    assert growth(circuit).shot == 4


@pytest.mark.parametrize("times", [1, 2, 5])
def test_every_gate_across_a_cut_doubles_its_bond_dimension(times: int) -> None:
    assert bond(repeated(chain(40), times)) == pytest.approx(2**times)


def test_the_ends_of_the_line_bound_it() -> None:
    assert bond(repeated(chain(8), 30)) == pytest.approx(2**4)
    assert bond(repeated(chain(9), 30)) == pytest.approx(2**4)


def test_a_gate_between_qubits_that_are_apart_crosses_every_cut_between_them() -> None:
    circuit = QuantumCircuit(20)
    for qubit in range(5):
        circuit.cz(qubit, 19 - qubit)
    assert bond(circuit) == pytest.approx(2**5)
    near = QuantumCircuit(20)
    for qubit in range(5):
        near.cz(2 * qubit, 2 * qubit + 1)
    assert bond(near) == pytest.approx(2)


def test_gates_on_the_same_two_qubits_count_as_what_they_make_together() -> None:
    circuit = QuantumCircuit(10)
    for _ in range(20):
        circuit.cx(4, 5)
        circuit.rx(0.3, 4)
        circuit.rx(0.4, 5)
    circuit.cx(0, 4)
    assert bond(circuit) <= 4.001 * 2
    undone = QuantumCircuit(2)
    undone.cx(0, 1)
    undone.cx(1, 0)
    undone.cx(1, 0)
    undone.cx(0, 1)
    assert growth(undone).shot == pytest.approx(2)  # the bond between them is 1 again
    other = QuantumCircuit(2)
    other.cx(0, 1)
    other.cx(1, 0)
    assert growth(other).shot == pytest.approx(4)


@pytest.mark.parametrize("angle", [0.1, 0.5, 1.2])
def test_a_rotation_by_a_small_angle_counts_for_little_in_the_gates_of_any_device(angle: float) -> None:
    circuit, compiled = QuantumCircuit(2), QuantumCircuit(2)
    circuit.rzz(angle, 0, 1)
    compiled.cx(0, 1)
    compiled.rz(angle, 1)
    compiled.cx(0, 1)
    factor = (math.cos(angle / 2) + math.sin(angle / 2)) ** 2
    for each in (circuit, compiled):
        assert growth(each).shot == pytest.approx(2 * factor)


def test_what_is_not_known_yet_counts_as_nothing() -> None:
    angle = Parameter("a")
    circuit = QuantumCircuit(2)
    circuit.rzz(angle, 0, 1)
    circuit.append(Gate("own", 2, []), [0, 1])  # without a matrix
    assert growth(circuit).gates == 0
    circuit.cx(0, 1)
    circuit.rz(angle, 1)
    assert bond(circuit) == pytest.approx(2)


def test_a_gate_on_three_qubits_doubles_what_it_crosses() -> None:
    circuit = QuantumCircuit(4)
    circuit.ccx(0, 1, 3)
    assert bond(circuit) == pytest.approx(2)


def test_a_hopeless_circuit_is_not_counted_to_its_end() -> None:
    circuit = repeated(chain(60), 60)
    assert growth(circuit).gates < 1000 * ENOUGH
