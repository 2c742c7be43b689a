"""Buckets, one for each caller, from which is taken what the caller uses, and which fill again with time.

Imports the standard library only.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Hashable
from typing import Generic, TypeVar

REMEMBERED = 10_000
"""Callers whose bucket is remembered; who is forgotten has a full one."""

K = TypeVar("K", bound=Hashable)


class Buckets(Generic[K]):
    """`rate` is what flows in per second, `burst` what a full one holds. Times are in seconds."""

    def __init__(self) -> None:
        self._of: OrderedDict[K, tuple[float, float]] = OrderedDict()  # the level, and when

    def __len__(self) -> int:
        return len(self._of)

    def level(self, key: K, now: float, rate: float, burst: float) -> float:
        """What is left; below 0 for one from which more was taken."""
        level, then = self._of.get(key, (burst, now))
        return min(burst, level + (now - then) * rate)

    def take(
        self, key: K, amount: float, now: float, rate: float, burst: float, least: float = -math.inf
    ) -> None:
        """No bucket is emptied below `least`."""
        self._of[key] = (max(self.level(key, now, rate, burst) - amount, least), now)
        self._of.move_to_end(key)
        if len(self._of) > REMEMBERED:
            self._of.popitem(last=False)
