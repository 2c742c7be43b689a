"""Counts what is there, under several keys at once, in constant time. Knows no limits and no policy."""

from __future__ import annotations

from collections.abc import Hashable


class Counters:
    """Things with an id, counted under keys. Entering or leaving twice is not an error."""

    def __init__(self) -> None:
        self._there: dict[str, tuple[Hashable, ...]] = {}
        self._counts: dict[Hashable, int] = {}

    def __len__(self) -> int:
        return len(self._there)

    def enter(self, identity: str, *keys: Hashable) -> None:
        if identity in self._there:
            return
        self._there[identity] = keys
        for key in keys:
            self._counts[key] = self._counts.get(key, 0) + 1

    def leave(self, identity: str) -> None:
        for key in self._there.pop(identity, ()):
            left = self._counts[key] - 1
            if left:
                self._counts[key] = left
            else:
                del self._counts[key]

    def count(self, key: Hashable) -> int:
        return self._counts.get(key, 0)
