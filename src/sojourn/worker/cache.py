"""Caches what was decoded and prepared, within a bound (R39, R42). For values of any kind."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Any


class Cache:
    """Least recently used out first, bounded by the sum of the costs (bytes, roughly)."""

    def __init__(self, budget: int) -> None:
        self._budget = budget
        self._held: OrderedDict[Hashable, tuple[Any, int]] = OrderedDict()
        self.cost = 0
        self.hits = 0
        self.misses = 0

    def __len__(self) -> int:
        return len(self._held)

    def get(self, key: Hashable, make: Callable[[], tuple[Any, int]]) -> Any:
        """What is held under `key`, else what `make` gives (value, cost). A raised error is not held."""
        found = self._held.get(key)
        if found is not None:
            self._held.move_to_end(key)
            self.hits += 1
            return found[0]
        self.misses += 1
        value, cost = make()
        self._held[key] = (value, cost)
        self.cost += cost
        while self.cost > self._budget and len(self._held) > 1:
            _, (_, freed) = self._held.popitem(last=False)
            self.cost -= freed
        return value
