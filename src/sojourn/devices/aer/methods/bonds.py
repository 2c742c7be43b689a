"""How far the bond dimensions of a matrix product state grow with the gates of a circuit. Pure numbers.

A gate across a cut of the line of qubits is a sum of products of operators on the two sides of the cut.
With the coefficients c of the sum the bond dimension of the cut grows by (sum of |c|)^2 at most, where bond
dimensions are those of the Rényi entropy of order 1/2: by 2 for a cx or cz, by 4 for a swap, and little for a
rotation by a small angle, of whose entanglement the state drops what it cannot tell from nothing. Gates that
follow each other on the same two qubits count as the one gate that they make together.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from qiskit.circuit import (
    CircuitError,
    CircuitInstruction,
    Gate,
    Instruction,
    ParameterExpression,
    QuantumCircuit,
)

Matrix = NDArray[np.complex128]

ENOUGH = 1e18
"""Multiplications from which on it does not matter any more how many there are: they take centuries."""


@dataclass(frozen=True, slots=True)
class Growth:
    """Multiplications that a matrix product state takes beside what each instruction takes anyway: `gates`
    for all gates on more than one qubit, `shot` for the bits of a shot. `bond` is the largest bond dimension.
    """

    gates: float = 0.0
    shot: float = 0.0
    bond: float = 1.0


NONE = Growth()


def growth(circuit: QuantumCircuit) -> Growth:
    """Of the qubits as a line in the order of the circuit, which has no control flow.

    A gate whose angle is not known yet counts as none, one on more than two qubits as one that doubles. What
    a measurement takes away is not counted.
    """
    line = _Line(circuit.num_qubits)
    place = {qubit: i for i, qubit in enumerate(circuit.qubits)}
    for item in circuit.data:
        line.add(item, [place[qubit] for qubit in item.qubits])
        if line.gates > ENOUGH:
            break
    return Growth(line.gates, line.shot(), line.largest)


class _Line:
    """The bond dimensions while the gates pass by. Cut k is the one before qubit k; the first and the last,
    at the ends of the line, have none."""

    def __init__(self, qubits: int) -> None:
        cuts = np.arange(qubits + 1)
        self._grown = np.zeros(qubits + 1)  # log2 of what the gates across each cut make
        # each qubit between two cuts at most doubles
        self._apart = np.abs(cuts[:, None] - cuts).astype(float)
        # since the last gate on two qubits
        self._turns: list[list[Instruction]] = [[] for _ in range(qubits)]
        self._with: list[_Pair | None] = [None] * qubits
        self._matrices: dict[tuple[str, tuple[float, ...]], Matrix | None] = {}
        self.gates = 0.0
        self.largest = 1.0

    def add(self, item: CircuitInstruction, qubits: list[int]) -> None:
        if len(qubits) == 1:
            self._turns[qubits[0]].append(item.operation)
            return
        low, high = min(qubits), max(qubits)
        if len(qubits) > 2:
            self._grown[low + 1 : high + 1] += 1
            for qubit in qubits:
                self._with[qubit] = None
        elif (matrix := self._matrix(item.operation)) is not None:
            if qubits[0] > qubits[1]:
                matrix = matrix.reshape(2, 2, 2, 2).transpose(1, 0, 3, 2).reshape(4, 4)
            self._join(low, high, matrix)
        else:
            return
        self._count(low, high)

    def _join(self, low: int, high: int, matrix: Matrix) -> None:
        pair = self._with[low]
        if pair is None or pair is not self._with[high]:
            pair = self._with[low] = self._with[high] = _Pair(matrix)
        else:
            pair.made = matrix @ np.kron(self._turned(high), self._turned(low)) @ pair.made
        self._turns[low], self._turns[high] = [], []
        strength = _strength(pair.made)
        self._grown[low + 1 : high + 1] += strength - pair.strength
        pair.strength = strength

    def _turned(self, qubit: int) -> Matrix:
        made = _ONE
        for operation in self._turns[qubit]:
            matrix = self._matrix(operation)
            made = made if matrix is None else matrix @ made
        return made

    def shot(self) -> float:
        """One product of a matrix and a vector for each qubit."""
        bonds = self._bonds(0, len(self._grown))
        return float((bonds[:-1] * bonds[1:]).sum())

    def _count(self, low: int, high: int) -> None:
        """A singular value decomposition at each cut between the two: qubits that are apart are swapped."""
        bonds = self._bonds(low, high + 2)
        left, right = 2 * bonds[:-2], 2 * bonds[2:]
        self.gates += float((left * right * np.minimum(left, right)).sum())
        self.largest = max(self.largest, float(bonds.max()))

    def _bonds(self, first: int, last: int) -> NDArray[np.float64]:
        """The bond dimensions at the cuts from `first` to `last` - 1."""
        found: NDArray[np.float64] = np.exp2((self._grown + self._apart[first:last]).min(axis=1))
        return found

    def _matrix(self, operation: Instruction) -> Matrix | None:
        if not isinstance(operation, Gate):
            return None
        angles = operation.params
        if any(isinstance(angle, ParameterExpression) and angle.parameters for angle in angles):
            return None
        if not all(isinstance(angle, int | float) for angle in angles):
            return _of(operation)
        key = (operation.name, tuple(angles))
        if key not in self._matrices:
            self._matrices[key] = _of(operation)
        return self._matrices[key]


_ONE: Matrix = np.eye(2, dtype=np.complex128)


class _Pair:
    """Gates that follow each other on the same two qubits: what they make together, and its strength."""

    __slots__ = ("made", "strength")

    def __init__(self, made: Matrix) -> None:
        self.made = made
        self.strength = 0.0


def _of(gate: Gate) -> Matrix | None:
    try:
        made: Matrix = gate.to_matrix()
    except CircuitError:  # it has none
        return None
    return made


def _strength(matrix: Matrix) -> float:
    """log2 of the factor by which a gate on two qubits, (4, 4), may make a bond dimension grow."""
    parts = matrix.reshape(2, 2, 2, 2).transpose(0, 2, 1, 3).reshape(4, 4)
    coefficients = np.linalg.svd(parts, compute_uv=False) / 2
    return max(0.0, 2 * float(np.log2(coefficients.sum())))
