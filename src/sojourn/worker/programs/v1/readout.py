"""Readout mitigation of distributions: measures how each qubit is misread, and undoes it on what was seen.

Every job that asks for it runs two circuits more: all measured qubits in 0, and all in 1. They give an
assignment matrix for each qubit; qubits are taken to be misread independently of each other. The matrix of a
whole register is the product of these, restricted to the bit strings that were observed, with its columns
normalised to 1, and the observed distribution is solved for (Nation et al., PRX Quantum 2, 040326, 2021). So
the cost follows the number of different outcomes and not that of states. The result is a quasi-distribution:
it adds up to 1 and may have negative entries.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from qiskit.circuit import Operation, QuantumCircuit
from qiskit.circuit.library import XGate
from qiskit.transpiler import PassManager, Target
from qiskit.transpiler.passes import Optimize1qGatesDecomposition

from sojourn.devices.driver import Outcome
from sojourn.worker.programs.device import Circuit, DeviceContext
from sojourn.worker.protocol.types import JobRefused

CALIBRATION_SHOTS = 8192
"""Of each of the two circuits, if the device runs so many."""

BATCH = 2048
"""Shots that are solved for together: their outcomes are as many at most. With more different outcomes the
shots are split at random, and the distributions of the parts are averaged."""

MAX_BATCHES = 10_000
"""Of one job; each takes up to half a second."""

LEAST_SIGNAL = 0.1
"""A qubit that is read right less often than this above chance is left as it is."""

_EXACT = 512  # outcomes up to which the overhead is computed of the inverse
_NEVER = 1e-12  # a probability that was measured as 0


@dataclass(frozen=True, slots=True)
class Misreadings:
    """`rates` are, for each of `qubits`, the probabilities to read 1 for 0 and 0 for 1; `unread` are qubits
    whose readout carries no signal."""

    rates: Mapping[int, tuple[float, float]]
    shots: int
    unread: tuple[int, ...] = ()

    def of(self, read: Mapping[int, int], bits: int) -> NDArray[np.float64]:
        """(bits, 2) rates of classical bits, by the qubit that each is `read` from; 0 for the others."""
        found = np.zeros((bits, 2))
        for bit, qubit in read.items():
            found[bit] = self.rates.get(qubit, (0.0, 0.0))
        return found


def calibration_shots(device: DeviceContext) -> int:
    return min(CALIBRATION_SHOTS, device.max_shots)


def calibration(device: DeviceContext, qubits: Sequence[int]) -> list[Circuit]:
    """The two circuits that measure `qubits`, bit by bit: all in 0, all in 1. Raises `JobRefused`."""
    return [_prepared(device, tuple(qubits), state) for state in (0, 1)]


def _prepared(device: DeviceContext, qubits: tuple[int, ...], state: int) -> Circuit:
    def make() -> tuple[Circuit, int]:
        circuit = QuantumCircuit(max(qubits) + 1, len(qubits))
        for bit, qubit in enumerate(qubits):
            for operation in _flip(device.target, qubit) if state else ():
                circuit.append(operation, [qubit])
            circuit.measure(qubit, bit)
        key = f"readout {state} {qubits}".encode()
        return device.fit(key, circuit, None, "the readout calibration"), 4096 + 800 * len(qubits)

    found: Circuit = device.recall(("readout", state, qubits), make)
    return found


def _flip(target: Target, qubit: int) -> list[Operation]:
    """An X in gates of the device."""
    if target.instruction_supported("x", (qubit,)):
        return [XGate()]
    wanted = QuantumCircuit(target.num_qubits or qubit + 1)
    wanted.x(qubit)
    basis = [name for name in target.operation_names if target.instruction_supported(name, (qubit,))]
    native = PassManager([Optimize1qGatesDecomposition(basis=basis, target=target)]).run(wanted)
    if not all(target.instruction_supported(item.operation.name, (qubit,)) for item in native.data):
        raise JobRefused(
            f"the device has no gates on qubit {qubit} that prepare 1, so its readout cannot be calibrated; "
            "set resilience_settings.level to 0"
        )
    return [item.operation for item in native.data]


def misreadings(qubits: Sequence[int], zeros: Outcome, ones: Outcome) -> Misreadings:
    """What the two circuits of `calibration` have shown."""
    rates: dict[int, tuple[float, float]] = {}
    unread = []
    excited = [_means(outcome, len(qubits)) for outcome in (zeros, ones)]
    for bit, qubit in enumerate(qubits):
        up, down = float(excited[0][bit]), float(1 - excited[1][bit])
        if 1 - up - down < LEAST_SIGNAL:
            unread.append(qubit)
        else:
            rates[qubit] = (up, down)
    return Misreadings(rates, int(zeros.counts.sum()), tuple(unread))


def _means(outcome: Outcome, bits: int) -> NDArray[np.float64]:
    found: NDArray[np.float64] = outcome.counts @ table(outcome.patterns, bits) / outcome.counts.sum()
    return found


def table(patterns: NDArray[np.uint8], bits: int) -> NDArray[np.float64]:
    """(patterns, bits) of 0 and 1, the first column being classical bit 0."""
    single = np.unpackbits(patterns, axis=-1, bitorder="big")
    return single[:, ::-1][:, :bits].astype(np.float64)


def batches(bits: int, shots: int) -> int:
    """How many solutions a point takes, at most."""
    return 1 if bits < 60 and 2**bits <= BATCH else math.ceil(shots / BATCH)


def corrected(outcome: Outcome, bits: int, rates: NDArray[np.float64]) -> tuple[NDArray[np.float64], float]:
    """(patterns,) quasi-probabilities of the outcome's patterns, when their bits are misread at the `rates`,
    and the factor by which the variance of what is made of them grows at most. No pattern may come twice."""
    seen = table(outcome.patterns, bits)
    if len(seen) <= BATCH:
        return _solved(seen, outcome.counts.astype(np.float64), rates)
    total, overhead = np.zeros(len(seen)), 0.0
    shots = np.repeat(np.arange(len(seen)), outcome.counts)
    np.random.default_rng(0).shuffle(shots)  # shots have no order here, so that any split of them is fair
    for part in np.array_split(shots, math.ceil(len(shots) / BATCH)):
        here, counts = np.unique(part, return_counts=True)
        found, cost = _solved(seen[here], counts.astype(np.float64), rates)
        total[here] += found * (len(part) / len(shots))
        overhead += cost * (len(part) / len(shots))
    return total, overhead


def _solved(
    seen: NDArray[np.float64], counts: NDArray[np.float64], rates: NDArray[np.float64]
) -> tuple[NDArray[np.float64], float]:
    matrix, observed = _matrix(seen, rates), counts / counts.sum()
    try:
        if len(seen) <= _EXACT:
            inverse = np.linalg.inv(matrix)
            return inverse @ observed, float(np.abs(inverse).sum(axis=0).max() ** 2)
        found = np.linalg.solve(matrix, observed)
    except np.linalg.LinAlgError:
        found = np.linalg.lstsq(matrix, observed)[0]
    up, down = rates.T
    return found, float(np.prod((1 + np.abs(up - down)) / (1 - up - down)) ** 2)


def _matrix(seen: NDArray[np.float64], rates: NDArray[np.float64]) -> NDArray[np.float64]:
    """The probability to read pattern i (row) where pattern j (column) is, among the patterns `seen`. Its
    logarithm is a sum over bits of what depends on the bit of i, on that of j, and on both."""
    up, down = np.maximum(rates, _NEVER).T
    stays0, stays1, up, down = np.log1p(-up), np.log1p(-down), np.log(up), np.log(down)
    both = (seen * (stays0 + stays1 - up - down)) @ seen.T
    rows, columns = seen @ (up - stays0), seen @ (down - stays0)
    made: NDArray[np.float64] = np.exp(stays0.sum() + rows[:, None] + columns[None, :] + both)
    normal: NDArray[np.float64] = made / made.sum(axis=0)
    return normal
