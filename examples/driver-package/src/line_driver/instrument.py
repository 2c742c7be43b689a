"""The instrument: a line of qubits that reads some bits wrong. Knows nothing of Sojourn.

A real driver talks to a machine or to a vendor's library here.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from qiskit.circuit import QuantumCircuit
from qiskit.primitives import StatevectorSampler


class Instrument:
    """`errors` are the probabilities to read the wrong bit, one for each qubit."""

    def __init__(self, errors: Sequence[float]) -> None:
        self.errors = list(errors)

    def measure(
        self, circuit: QuantumCircuit, values: NDArray[np.float64], shots: int, seed: np.random.Generator
    ) -> NDArray[np.uint8]:
        """(shots, bytes) uint8: the classical bits of each shot; the last bit of the last byte is bit 0."""
        if not circuit.num_clbits:
            return np.zeros((shots, 0), dtype=np.uint8)
        sampler = StatevectorSampler(seed=int(seed.integers(2**31)))
        found = sampler.run([(circuit, values)], shots=shots).result()[0].join_data()
        bits: NDArray[np.uint8] = found.array
        return bits ^ self._misread(circuit, shots, bits.shape[1], seed)

    def _misread(
        self, circuit: QuantumCircuit, shots: int, width: int, seed: np.random.Generator
    ) -> NDArray[np.uint8]:
        """(shots, bytes): the bits that are read wrong."""
        single = np.zeros((shots, width * 8), dtype=np.uint8)
        for item in circuit.data:
            if item.operation.name == "measure":
                qubit = circuit.find_bit(item.qubits[0]).index
                bit = circuit.find_bit(item.clbits[0]).index
                single[:, width * 8 - 1 - bit] = seed.random(shots) < self.errors[qubit]
        return np.packbits(single, axis=-1)
