"""The errors of wrong settings, as gates: their angles, their places, and what is left alone."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from qiskit.circuit import Delay, Parameter, QuantumCircuit
from qiskit.circuit.library import RXGate, RZGate
from qiskit.quantum_info import Operator

from sojourn.devices.aer.drifting.miscalibrated import Wrong, carried_out

STEP = 1e-9
LENGTHS = {"sx": 4e-8, "x": 4e-8, "cz": 1e-7}


def length(name: str, qubits: tuple[int, ...]) -> float:
    del qubits
    return LENGTHS.get(name, 0.0)


def wrong(detuning: Any, rotation: Any) -> Wrong:
    return Wrong(np.array(detuning, dtype=float), np.array(rotation, dtype=float))


def done(circuit: QuantumCircuit, errors: Wrong) -> QuantumCircuit:
    return carried_out(circuit, errors, length, STEP)


def test_without_errors_a_circuit_is_left_as_it_is() -> None:
    circuit = QuantumCircuit(1)
    circuit.sx(0)
    assert done(circuit, wrong([0.0], [0.0])) is circuit


@pytest.mark.parametrize(("gate", "angle"), [("sx", math.pi / 2), ("x", math.pi)])
def test_a_pulse_turns_too_far_by_a_part_of_its_angle(gate: str, angle: float) -> None:
    circuit = QuantumCircuit(2)
    getattr(circuit, gate)(1)
    expected = QuantumCircuit(2)
    expected.append(RXGate(1.03 * angle), [1])
    assert Operator(done(circuit, wrong([0.0, 0.0], [0.5, 0.03]))).equiv(Operator(expected))


def test_a_qubit_gains_the_phase_of_its_detuning_while_it_waits_and_while_a_gate_lasts() -> None:
    circuit = QuantumCircuit(2)
    circuit.cz(0, 1)
    circuit.delay(500, 0, unit="dt")
    circuit.delay(2.0, 1, unit="us")
    found = done(circuit, wrong([1e5, -2e5], [0.0, 0.0]))
    expected = QuantumCircuit(2)
    expected.cz(0, 1)
    expected.append(RZGate(-2 * math.pi * 1e5 * 6e-7), [0])
    expected.append(RZGate(2 * math.pi * 2e5 * 2.1e-6), [1])
    waits = [item for item in found.data if isinstance(item.operation, Delay)]
    assert len(waits) == 2, "the delays stay: qubits relax in them"
    unitary = found.copy_empty_like()
    for item in found.data:
        if not isinstance(item.operation, Delay):
            unitary.append(item)
    assert Operator(unitary).equiv(Operator(expected))


def test_virtual_gates_measurements_and_resets_have_no_such_errors() -> None:
    circuit = QuantumCircuit(1, 1)
    circuit.rz(0.3, 0)
    circuit.reset(0)
    circuit.measure(0, 0)
    circuit.barrier(0)
    assert [item.name for item in done(circuit, wrong([1e6], [0.1])).data] == [
        "rz",
        "reset",
        "measure",
        "barrier",
    ]


def test_a_qubit_that_only_waits_is_left_alone() -> None:
    circuit = QuantumCircuit(2, 1)
    circuit.delay(100, 1, unit="dt")
    circuit.sx(0)
    circuit.measure(0, 0)
    found = done(circuit, wrong([1e6, 1e6], [0.1, 0.1]))
    assert [item.name for item in found.data if found.qubits[1] in item.qubits] == ["delay"]


def test_blocks_of_control_flow_have_the_errors_of_the_qubits_that_they_act_on() -> None:
    circuit = QuantumCircuit(3, 1)
    circuit.measure(0, 0)
    with circuit.if_test((circuit.clbits[0], 1)):
        circuit.sx(2)
        circuit.delay(1000, 2, unit="dt")
    found = done(circuit, wrong([0.0, 0.0, 1e5], [0.0, 0.0, 0.0]))
    (flow,) = [item.operation for item in found.data if item.name == "if_else"]
    names = [item.name for item in flow.blocks[0].data]
    assert names == ["sx", "rz", "delay", "rz"]
    angles = [item.operation.params[0] for item in flow.blocks[0].data if item.name == "rz"]
    assert angles == pytest.approx([-2 * math.pi * 1e5 * 4e-8, -2 * math.pi * 1e5 * 1e-6])


def test_angles_and_delays_that_are_parameters_stay_parameters() -> None:
    angle, wait = Parameter("angle"), Parameter("wait")
    circuit = QuantumCircuit(1)
    circuit.rx(angle, 0)
    circuit.delay(wait, 0, unit="s")
    found = done(circuit, wrong([1e5], [0.1]))
    assert set(found.parameters) == {angle, wait}
    bound = found.assign_parameters({angle: 1.0, wait: 1e-6})
    turns = {item.name: float(item.operation.params[0]) for item in bound.data if item.name in ("r", "rz")}
    assert turns == pytest.approx({"r": 0.1, "rz": -2 * math.pi * 0.1})
