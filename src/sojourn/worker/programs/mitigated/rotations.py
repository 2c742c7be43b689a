"""Writes rotations with free angles in the two kinds that can be twirled: about the axes Z and X.

Samplomatic combines gates of one qubit with the random ones around them. Of those with parameters it knows
`rz` and `rx`; a circuit for a device that has other gates may have others.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from qiskit.circuit import Gate, QuantumCircuit
from qiskit.circuit.library import RXGate, RZGate, SXGate

_HALF = math.pi / 2


def _about_y(angle: Any, first: Any = 0.0, last: Any = 0.0) -> list[Gate]:
    return [RZGate(first - _HALF), RXGate(angle), RZGate(last + _HALF)]


FORMS: Mapping[str, Callable[..., list[Gate]]] = {
    "p": lambda angle: [RZGate(angle)],
    "u1": lambda angle: [RZGate(angle)],
    "ry": _about_y,
    "r": lambda angle, axis: [RZGate(-axis), RXGate(angle), RZGate(axis)],
    "u2": lambda last, first: [RZGate(first - _HALF), SXGate(), RZGate(last + _HALF)],
    "u": lambda angle, last, first: _about_y(angle, first, last),
    "u3": lambda angle, last, first: _about_y(angle, first, last),
}
"""The gates that give the one with this name and these parameters, up to a phase, in the order of time."""


def twirlable(circuit: QuantumCircuit) -> QuantumCircuit:
    """The circuit with its rotations in these two kinds, as far as they have parameters."""
    if not any(_foreign(item.operation) for item in circuit.data):
        return circuit
    made = circuit.copy_empty_like()
    for item in circuit.data:
        for operation in _written(item.operation):
            made.append(operation, item.qubits, item.clbits, copy=False)
    return made


def _foreign(operation: Any) -> bool:
    return operation.name in FORMS and operation.is_parameterized()


def _written(operation: Any) -> Sequence[Any]:
    return FORMS[operation.name](*operation.params) if _foreign(operation) else (operation,)
