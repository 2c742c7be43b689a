"""Which circuits a stabilizer state can run: Clifford instructions, at the values that they have."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from qiskit.circuit import ControlFlowOp, ParameterExpression, QuantumCircuit

_GATES = frozenset(
    ["cx", "cy", "cz", "ecr", "h", "id", "s", "sdg", "swap", "sx", "sxdg", "x", "y", "z", "measure", "reset"]
)
_OTHERS = frozenset(["barrier", "delay", "store", "break_loop", "continue_loop"])
_TOLERANCE = 1e-7  # of an angle, in units of pi/2


def angles_of(circuit: QuantumCircuit) -> list[ParameterExpression] | None:
    """The angles that must be multiples of pi/2 for the circuit to be Clifford; None when it never is."""
    found: list[ParameterExpression] = []
    for name, angle in _instructions(circuit):
        if name == "rz":
            if isinstance(angle, ParameterExpression) and angle.parameters:
                found.append(angle)
            elif not multiples(np.array([float(angle)])):
                return None
        elif name not in _GATES and name not in _OTHERS:
            return None
    return found


def _instructions(circuit: QuantumCircuit) -> Iterator[tuple[str, ParameterExpression | float]]:
    for item in circuit.data:
        operation = item.operation
        if isinstance(operation, ControlFlowOp):
            for block in operation.blocks:
                yield from _instructions(block)
        else:
            yield operation.name, operation.params[0] if operation.name == "rz" else 0.0


def multiples(angles: NDArray[np.float64]) -> bool:
    """Whether each of the angles is a multiple of pi/2."""
    turns = angles / (np.pi / 2)
    return bool((np.abs(turns - np.rint(turns)) < _TOLERANCE).all())
