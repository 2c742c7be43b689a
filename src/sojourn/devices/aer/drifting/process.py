"""Random processes whose value at any time follows from a seed. NumPy only; knows no devices.

Each is a stationary Ornstein-Uhlenbeck process: normal with mean 0 and standard deviation 1 at any time,
with the correlation exp(-d / time) between two times d apart. Values at the multiples of `_SPAN` time
constants are drawn independently (they are correlated by 1e-14, which is neglected). Between two known
values the one in the middle is drawn under the condition of both, which for this process depends on nothing
else, and so on, `_HALVINGS` times; a random generator of its own, seeded by the place, draws each. So a
value costs the same at all times, and processes that never met agree on it. In the last interval, `_SPAN` /
2**20 of a time constant, it is interpolated.

D. T. Gillespie, Phys. Rev. E 54, 2084 (1996), has the process and its transition probability.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

_SPAN = 32.0
_HALVINGS = 20
_KEPT = 200


class Process:
    """`size` independent processes with the same correlation time, in seconds."""

    def __init__(self, seed: Sequence[int], size: int, time: float) -> None:
        self._seed = tuple(seed)
        self._size = size
        self._time = time
        self._drawn: dict[tuple[int, int], NDArray[np.float64]] = {}

    def at(self, when: float) -> NDArray[np.float64]:
        """(size,) the values at `when`, in seconds from any fixed moment, 0 or later."""
        time = max(0.0, when) / self._time
        cell = math.floor(time / _SPAN)
        low, high = cell * _SPAN, (cell + 1) * _SPAN
        left, right = self._draw(0, cell), self._draw(0, cell + 1)
        for level in range(1, _HALVINGS + 1):
            half = (high - low) / 2
            kept = math.exp(-half)
            spread = math.sqrt((1 - kept**2) / (1 + kept**2))
            value = (left + right) * (kept / (1 + kept**2)) + spread * self._draw(level, cell)
            if time < low + half:
                high, right, cell = low + half, value, 2 * cell
            else:
                low, left, cell = low + half, value, 2 * cell + 1
        before, after = math.exp(low - time), math.exp(time - high)
        of_left, of_right = before * (1 - after**2), after * (1 - before**2)
        made: NDArray[np.float64] = (of_left * left + of_right * right) / (1 - (before * after) ** 2)
        return made

    def _draw(self, level: int, place: int) -> NDArray[np.float64]:
        """Normal numbers that belong to a place: the first `size` of its generator."""
        key = (level, place)
        found = self._drawn.get(key)
        if found is None:
            if len(self._drawn) >= _KEPT:
                self._drawn.clear()
            found = np.random.default_rng((*self._seed, level, place)).standard_normal(self._size)
            self._drawn[key] = found
        return found
