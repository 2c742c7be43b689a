"""A model of readout: makes bits or signals of the states in which measurements leave the qubits.

The kerneled signal of one measurement is a point in the IQ plane,

    z = m_s + x + i y,   x and y normal with mean 0 and standard deviation 1,

around the real number m_s of the qubit's state s. The classifier calls it 1 where Re z > 0. With

    m_0 = -Q(P(1|0)),   m_1 = Q(P(0|1)),   Q(p) the number that a normal variable exceeds with probability p,

the two clouds overlap by just the assignment errors of the qubit: bits that are classified from signals
have the statistics of bits. `FARTHEST` bounds m_s, so that a qubit without such errors has clouds 12 standard
deviations apart. The qubit does not decay while it is read. NumPy only; knows no circuits.
"""

from __future__ import annotations

from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from sojourn.devices.bits import num_bytes
from sojourn.devices.conditions import Level
from sojourn.devices.driver import Outcome

FARTHEST = 6.0
"""The middle of a cloud is at most so many of its standard deviations away from the threshold."""

_BLOCK = 2**18  # points whose random numbers are drawn together
_NORMAL = NormalDist()
_LEAST = _NORMAL.cdf(-FARTHEST)


def middle(error: float) -> float:
    """How far a cloud stands from the threshold, in its standard deviations, when the share `error` of it is
    beyond."""
    return -_NORMAL.inv_cdf(min(max(error, _LEAST), 1 - _LEAST))


class Readout:
    """The readout of all classical bits of a circuit."""

    def __init__(
        self, one: NDArray[np.float64], zero: NDArray[np.float64], measured: NDArray[np.bool_]
    ) -> None:
        """All are (bits,): P(1|0) and P(0|1) of the qubit that the bit is measured from, and whether it is
        measured at all. One that is not is 0 and has no signal."""
        self._one = np.where(measured, one, 0.0)
        self._zero = np.where(measured, zero, 0.0)
        self._measured = measured
        self._low = np.array([-middle(error) for error in self._one.tolist()])
        self._high = np.array([middle(error) for error in self._zero.tolist()])

    def read(self, outcome: Outcome, level: Level, random: np.random.Generator) -> Outcome:
        """What a measurement gives of the states that `outcome` has as its bits, shot by shot.

        `Outcome.signal` is complex64, (shots, bits), or (bits,) averaged over the shots. The bits beside it
        are those of the signal.
        """
        assert outcome.order is not None
        count, shots = len(self._measured), len(outcome.order)
        columns = 8 * num_bytes(count) - 1 - np.arange(count)
        patterns = np.empty((shots, num_bytes(count)), dtype=np.uint8)
        single = level in ("kerneled", "both")
        signal = np.empty((shots if single else 0, count), dtype=np.complex64)
        total = np.zeros(count, dtype=np.complex128)
        step = max(1, _BLOCK // max(count, 1))
        for start in range(0, shots, step):
            rows = slice(start, min(start + step, shots))
            states = np.unpackbits(outcome.patterns[outcome.order[rows]], axis=-1)[:, columns].astype(bool)
            if level == "classified":
                errors = np.where(states, self._zero, self._one)
                bits = states ^ (random.random(states.shape) < errors)
            else:
                found = self._signal(states, random)
                bits = found.real > 0
                if single:
                    signal[rows] = found
                else:
                    total += found.sum(axis=0, dtype=np.complex128)
            whole = np.zeros((len(bits), 8 * num_bytes(count)), dtype=bool)
            whole[:, columns] = bits
            patterns[rows] = np.packbits(whole, axis=-1)
        mean = (total / max(shots, 1)).astype(np.complex64)
        return Outcome(
            patterns,
            np.ones(shots, dtype=np.int64),
            np.arange(shots),
            signal if single else None if level == "classified" else mean,
        )

    def _signal(self, states: NDArray[np.bool_], random: np.random.Generator) -> NDArray[np.complex64]:
        """(shots, bits) of the same."""
        made = np.empty(states.shape, dtype=np.complex64)
        made.real = np.where(states, self._high, self._low) + random.standard_normal(states.shape)
        made.imag = random.standard_normal(states.shape)
        made[:, ~self._measured] = 0
        return made
