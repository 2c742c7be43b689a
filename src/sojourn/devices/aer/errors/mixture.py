"""Errors as mixtures in which, mostly, nothing happens.

An error of a gate is a probability for each of several circuits. A Kraus map among them (relaxation with
T2 > T1) changes every state a little; but as long as there is dephasing beside the decay, it is the identity
with some probability and another map with the rest. That is no approximation, and the identity's share is as
large as one would hope: one less about the error.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from qiskit.circuit import Instruction, QuantumCircuit, Reset
from qiskit.circuit.library import PauliGate, get_standard_gate_name_mapping
from qiskit.quantum_info import Kraus
from qiskit_aer.noise import QuantumError

Matrix = NDArray[np.complex128]
_RANK = 1e-12  # eigenvalues of a Choi matrix below this are none
_INSIDE = 1e-7
_SAFE = 1 - 1e-9  # so that what is left has no negative eigenvalue by rounding


@dataclass(frozen=True, slots=True)
class Operation:
    """What is done to `qubits` of the error: a gate or reset by its name, or a Kraus map."""

    name: str
    qubits: tuple[int, ...]
    params: tuple[Any, ...] = ()


@dataclass(frozen=True, slots=True)
class Mixture:
    """`nothing` is the probability that nothing happens; `others` are the probabilities, and what happens."""

    nothing: float
    others: tuple[tuple[float, tuple[Operation, ...]], ...]


def mixture(error: QuantumError) -> Mixture:
    """The same channel as `error`."""
    nothing = 0.0
    others = []
    for circuit, probability in zip(error.circuits, error.probabilities, strict=True):
        for weight, operations in _branches(circuit):
            if operations:
                others.append((float(probability) * weight, operations))
            else:
                nothing += float(probability) * weight
    return Mixture(nothing, tuple(entry for entry in others if entry[0] > 0))


def _branches(circuit: QuantumCircuit) -> list[tuple[float, tuple[Operation, ...]]]:
    """What the circuit does: a branch for each choice of its Kraus maps between the identity and the rest."""
    place = {qubit: i for i, qubit in enumerate(circuit.qubits)}
    made: list[tuple[float, tuple[Operation, ...]]] = [(1.0, ())]
    for item in circuit.data:
        name, params = item.operation.name, tuple(item.operation.params)
        qubits = tuple(place[qubit] for qubit in item.qubits)
        if name == "id" or (name == "pauli" and not params[0].strip("I")):
            continue
        share = 0.0
        if name == "kraus":
            share, rest = split([np.asarray(matrix, dtype=np.complex128) for matrix in params])
            params = tuple(rest)
        step = Operation(name, qubits, params)
        acted = [(weight * (1 - share), (*operations, step)) for weight, operations in made]
        made = [(weight * share, operations) for weight, operations in made if share] + acted
    return made


def split(matrices: Sequence[Matrix]) -> tuple[float, list[Matrix]]:
    """The largest probability with which a Kraus map is the identity, and the operators of the rest.

    With the Choi matrix C and the identity's vector v it is 1 / (v* C^-1 v), and 0 if v is not in the range
    of C, as for pure decay.
    """
    size = matrices[0].shape[0]
    vectors = np.stack([matrix.reshape(-1) for matrix in matrices], axis=1)
    choi = vectors @ vectors.conj().T
    unit = np.eye(size, dtype=np.complex128).reshape(-1)
    values, basis = np.linalg.eigh(choi)
    values, basis = values[values > _RANK], basis[:, values > _RANK]
    inside = basis.conj().T @ unit
    if np.linalg.norm(basis @ inside - unit) > _INSIDE:
        return 0.0, list(matrices)
    share = _SAFE / float(np.sum(np.abs(inside) ** 2 / values))
    left = (choi - share * np.outer(unit, unit)) / (1 - share)
    values, basis = np.linalg.eigh(left)
    return share, [
        np.sqrt(value) * basis[:, index].reshape(size, size)
        for index, value in enumerate(values.tolist())
        if value > _RANK
    ]


def unravelled(error: QuantumError) -> QuantumError:
    """The same channel with the identity's share of its Kraus maps apart: a trajectory seldom has one."""
    made = mixture(error)
    terms: list[tuple[QuantumCircuit, float]] = []
    if made.nothing > 0:
        idle = QuantumCircuit(error.num_qubits)
        idle.id(0)
        terms.append((idle, made.nothing))
    for share, operations in made.others:
        circuit = QuantumCircuit(error.num_qubits)
        for operation in operations:
            circuit.append(_instruction(operation), operation.qubits)
        terms.append((circuit, share))
    return QuantumError(terms)


def _instruction(operation: Operation) -> Instruction:
    if operation.name == "kraus":
        return Kraus(list(operation.params)).to_instruction()
    if operation.name == "reset":
        return Reset()
    if operation.name == "pauli":
        return PauliGate(*operation.params)
    return get_standard_gate_name_mapping()[operation.name]
