"""Errors that a stabilizer state can have, and what is left of others: Pauli operators and resets."""

from __future__ import annotations

from itertools import product

import numpy as np
from qiskit.quantum_info import Chi, SuperOp
from qiskit_aer.noise import QuantumError, pauli_error

_MIXED = frozenset(
    ["cx", "cy", "cz", "ecr", "h", "id", "pauli", "reset", "s", "sdg", "swap", "sx", "sxdg", "x", "y", "z"]
)


def holds(error: QuantumError) -> bool:
    """Whether a stabilizer state can have the error: a mixture of Clifford gates and resets."""
    return all(item.operation.name in _MIXED for circuit in error.circuits for item in circuit.data)


def twirled(error: QuantumError) -> QuantumError:
    """The Pauli channel that is left of the error when it is averaged over Pauli operators before and after.

    The diagonal of its chi matrix; average fidelity and the decay of each Pauli operator's expectation value
    stay, and what is lost is the drift towards the ground state.
    """
    weights = np.clip(np.real(np.diagonal(Chi(SuperOp(error)).data)), 0.0, None)
    letters = ("".join(label) for label in product("IXYZ", repeat=error.num_qubits))
    terms = [(label, weight) for label, weight in zip(letters, weights.tolist(), strict=True) if weight > 0]
    whole = sum(weight for _, weight in terms)
    return pauli_error([(label, weight / whole) for label, weight in terms])
