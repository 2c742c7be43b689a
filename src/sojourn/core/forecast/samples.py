"""A bounded sample of numbers and its quantiles."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from math import log

MOST = 64
"""Values that a sample keeps, the latest ones."""
_TINY = 1e-9


class Sample:
    """The latest values of something. Quantiles and the mean need at least one value."""

    __slots__ = ("_mean", "_ordered", "_values")

    def __init__(self, values: Iterable[float] = (), most: int = MOST) -> None:
        self._values: deque[float] = deque(values, most)
        self._ordered: list[float] = []  # empty when it has to be made anew
        self._mean = 0.0

    def __len__(self) -> int:
        return len(self._values)

    def __iter__(self) -> Iterator[float]:
        return iter(self._values)

    def add(self, value: float) -> None:
        self._values.append(value)
        self._ordered = []

    def at(self, share: float) -> float:
        """The value that a `share` of them, 0 to 1, do not exceed; between two of them in proportion."""
        ordered = self._sorted()
        place = share * (len(ordered) - 1)
        low = int(place)
        rest, here = place - low, ordered[low]
        return here + rest * (ordered[low + 1] - here) if rest else here

    def above(self, least: float) -> list[float]:
        """The values that are larger than this, in order."""
        return [value for value in self._sorted() if value > least]

    @property
    def mean(self) -> float:
        self._sorted()
        return self._mean

    @property
    def spread(self) -> float:
        """How far apart the tenth and the ninetieth percent lie, as the logarithm of their ratio."""
        return log(max(self.at(0.9), _TINY) / max(self.at(0.1), _TINY))

    def _sorted(self) -> list[float]:
        if not self._ordered:
            self._ordered = sorted(self._values)
            self._mean = sum(self._ordered) / len(self._ordered)
        return self._ordered
