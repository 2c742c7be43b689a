"""Circuits are cut to the qubits that a job uses and put back onto the device without a change."""

from __future__ import annotations

import math

import pytest
from qiskit.circuit import ClassicalRegister, Parameter, QuantumCircuit
from qiskit.circuit.library import CXGate, XGate, get_standard_gate_name_mapping
from qiskit.circuit.measure import Measure
from qiskit.quantum_info import Operator
from qiskit.transpiler import InstructionProperties, Target

from sojourn.worker.programs.mitigated.narrow import Narrow, cut_target, has_durations, narrow
from sojourn.worker.programs.mitigated.rotations import FORMS, twirlable


def wide() -> QuantumCircuit:
    circuit = QuantumCircuit(6, global_phase=0.5)
    circuit.add_register(ClassicalRegister(2, "first"), ClassicalRegister(1, "second"))
    circuit.rz(Parameter("a") * 2, 4)
    circuit.barrier()
    circuit.cx(4, 1)
    with circuit.if_test((circuit.clbits[0], 1)):
        circuit.x(1)
    circuit.measure(4, 2)
    return circuit


def test_the_qubits_of_circuits_and_observables_are_kept() -> None:
    other = QuantumCircuit(6)
    other.x(0)
    place = narrow([wide(), other], ["IZIIII", "IIIIII"], 6)
    assert place == Narrow((0, 1, 4), 6)
    assert narrow([QuantumCircuit(3)], ["III"], 3).active == (0,)


def test_a_cut_circuit_is_the_same_when_it_is_put_back() -> None:
    place = narrow([wide()], [], 6)
    cut = place.cut(wide())
    assert cut.num_qubits == 2
    assert [register.name for register in cut.cregs] == ["first", "second"]
    back = place.place(cut)
    assert back.num_qubits == 6
    expected = QuantumCircuit(6, global_phase=0.5)
    for register in back.cregs:
        expected.add_register(register)
    expected.rz(next(iter(back.parameters)) * 2, 4)
    expected.barrier(1, 4)
    expected.cx(4, 1)
    with expected.if_test((expected.clbits[0], 1)):
        expected.x(1)
    expected.measure(4, 2)
    assert back == expected


def test_a_circuit_that_is_narrower_than_the_device_is_cut_as_well() -> None:
    small = QuantumCircuit(2)
    small.x(1)
    place = Narrow((1, 4), 6)
    assert place.cut(small).num_qubits == 2
    assert place.label("XZ") == "IX"
    assert place.label("YIIXI") == "YX"


def test_the_target_is_cut_with_its_durations() -> None:
    target = Target(num_qubits=3, dt=1e-9, pulse_alignment=4)
    target.add_instruction(XGate(), {(i,): InstructionProperties(duration=i * 1e-9) for i in range(3)})
    target.add_instruction(CXGate(), {(0, 1): None, (2, 1): None})
    target.add_instruction(Measure(), {(i,): InstructionProperties(duration=1e-6) for i in range(3)})
    found = cut_target(target, [1, 2])
    assert found.num_qubits == 2
    assert (found.dt, found.pulse_alignment) == (1e-9, 4)
    assert found["x"][(1,)].duration == pytest.approx(2e-9)
    assert set(found["cx"]) == {(1, 0)}
    assert has_durations(found)
    bare = Target(num_qubits=1)
    bare.add_instruction(Measure(), {(0,): None})
    assert not has_durations(bare)
    assert not has_durations(Target(num_qubits=1))
    assert math.isclose(found["measure"][(0,)].duration, 1e-6)


@pytest.mark.parametrize("name", FORMS)
def test_a_rotation_is_written_in_the_two_kinds_that_can_be_twirled(name: str) -> None:
    gate = get_standard_gate_name_mapping()[name]
    free = [Parameter(f"p{i}") for i in range(len(gate.params))]
    circuit = QuantumCircuit(1)
    circuit.append(gate.base_class(*free), [0])
    made = twirlable(circuit)
    assert set(made.count_ops()) <= {"rz", "rx", "sx"}
    values = dict(zip(free, (0.3, 1.1, 2.3), strict=False))
    assert Operator(made.assign_parameters(values)).equiv(Operator(circuit.assign_parameters(values)))


def test_rotations_without_parameters_stay_as_they_are() -> None:
    circuit = QuantumCircuit(1)
    circuit.ry(0.3, 0)
    circuit.rz(Parameter("a"), 0)
    assert twirlable(circuit) is circuit
