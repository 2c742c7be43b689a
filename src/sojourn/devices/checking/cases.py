"""The circuits of the conformance check, and which results a device must give of each.

Each can tell one mistake from a right result: bits or registers in another order, rows of parameters that
were mixed up, zeros in the place of measurements. What a device does not claim to have is not asked of it.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from qiskit.circuit import ClassicalRegister, Parameter, QuantumCircuit, QuantumRegister
from qiskit.transpiler import Target

NO_VALUES: NDArray[np.float64] = np.zeros((1, 0))


@dataclass(frozen=True)
class Case:
    """`expected` has the probability of each bit string (last bit first) at each of the points `values`; what
    is not in it has none. `needs` are instructions that the device must claim, `qubits` how many it must
    have."""

    name: str
    circuit: QuantumCircuit
    expected: list[Mapping[str, float]]
    values: NDArray[np.float64] = field(default_factory=lambda: NO_VALUES)
    qubits: int = 1
    needs: tuple[str, ...] = ()


def lacking(case: Case, target: Target) -> str | None:
    """Why the case does not apply to a device with this target, if so."""
    width = target.num_qubits or 0
    if width < case.qubits:
        return f"it takes {case.qubits} qubits, the device has {width}"
    missing = [name for name in case.needs if name not in target.operation_names]
    if missing:
        return f"the device does not claim {' or '.join(missing)}"
    return None


def cases() -> Iterator[Case]:
    """All of them, the plainest first."""
    yield Case("no gate", _measured(QuantumCircuit(1, 1)), [{"0": 1.0}])
    flip = QuantumCircuit(1, 1)
    flip.x(0)
    yield Case("X", _measured(flip), [{"1": 1.0}])
    bell = QuantumCircuit(2, 2)
    bell.h(0)
    bell.cx(0, 1)
    yield Case("Bell pair", _measured(bell), [{"00": 0.5, "11": 0.5}], qubits=2)
    yield _order()
    yield _registers()
    yield _wide()
    yield _sweep()
    yield _two_parameters()
    yield from _claimed()


def _measured(circuit: QuantumCircuit) -> QuantumCircuit:
    circuit.measure(range(circuit.num_qubits), range(circuit.num_clbits))
    return circuit


def _order() -> Case:
    """Each qubit is measured into another bit than its own."""
    circuit = QuantumCircuit(3, 3)
    circuit.x(0)
    circuit.measure([0, 1, 2], [2, 0, 1])
    return Case("order of bits", circuit, [{"100": 1.0}], qubits=3)


def _registers() -> Case:
    qubits = QuantumRegister(3)
    first, second = ClassicalRegister(1, "first"), ClassicalRegister(2, "second")
    circuit = QuantumCircuit(qubits, first, second)
    circuit.x(1)
    circuit.measure(qubits[0], first[0])
    circuit.measure(qubits[1], second[1])
    circuit.measure(qubits[2], second[0])
    return Case("two registers", circuit, [{"100": 1.0}], qubits=3)


def _wide() -> Case:
    """More than a byte of bits, most of them not measured."""
    circuit = QuantumCircuit(2, 10)
    circuit.x(0)
    circuit.measure([0, 1], [9, 4])
    return Case("a register of 10 bits", circuit, [{"1000000000": 1.0}], qubits=2)


def _sweep() -> Case:
    angle = Parameter("a")
    circuit = QuantumCircuit(1, 1)
    circuit.sx(0)
    circuit.rz(angle, 0)
    circuit.sx(0)
    angles = np.array([[0.0], [math.pi / 2], [math.pi]])
    return Case("sweep of rz", _measured(circuit), [{"1": 1.0}, {"0": 0.5, "1": 0.5}, {"0": 1.0}], angles)


def _two_parameters() -> Case:
    """The second by name comes first in the circuit, and each acts on a bit of its own."""
    one, two = Parameter("a"), Parameter("b")
    circuit = QuantumCircuit(2, 2)
    circuit.rx(two, 0)
    circuit.rx(one, 1)
    values = np.array([[math.pi, 0.0], [0.0, math.pi]])
    return Case("two parameters", _measured(circuit), [{"10": 1.0}, {"01": 1.0}], values, qubits=2)


def _claimed() -> Iterator[Case]:
    """What dynamic circuits are made of, for devices that claim it."""
    again = QuantumCircuit(1, 2)
    again.x(0)
    again.measure(0, 0)
    again.x(0)
    again.measure(0, 1)
    yield Case("measurement in the middle", again, [{"01": 1.0}], needs=("if_else",))
    cleared = QuantumCircuit(1, 2)
    cleared.x(0)
    cleared.measure(0, 0)
    cleared.reset(0)
    cleared.measure(0, 1)
    yield Case("reset", cleared, [{"01": 1.0}], needs=("reset", "if_else"))
    for name, value, expected in (("condition that holds", 1, "01"), ("condition that does not", 0, "11")):
        condition = QuantumCircuit(1, 2)
        condition.x(0)
        condition.measure(0, 0)
        with condition.if_test((condition.clbits[0], value)):
            condition.x(0)
        condition.measure(0, 1)
        yield Case(name, condition, [{expected: 1.0}], needs=("if_else",))
    loop = QuantumCircuit(1, 1)
    with loop.for_loop(range(3)):
        loop.x(0)
    yield Case("loop of three turns", _measured(loop), [{"1": 1.0}], needs=("for_loop",))


def words(circuit: QuantumCircuit) -> str:
    """The circuit on one line: `x 0, measure 0 -> 0`."""
    places = {bit: index for index, bit in enumerate((*circuit.qubits, *circuit.clbits))}
    first = circuit.num_qubits
    said = []
    for item in circuit.data:
        name = item.operation.name
        blocks = getattr(item.operation, "blocks", ())
        angles = "" if blocks else ", ".join(str(value) for value in item.operation.params)
        text = name + (f"({angles})" if angles else "")
        text += "".join(f" {places[qubit]}" for qubit in item.qubits)
        if item.clbits and not blocks:
            text += " ->" + "".join(f" {places[clbit] - first}" for clbit in item.clbits)
        for block in blocks:
            text += f" {{{words(block)}}}"
        said.append(text)
    return ", ".join(said)
