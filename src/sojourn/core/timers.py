"""Keeps the deadlines of one lane in order: which is next. Knows nothing of what they are for."""

from __future__ import annotations

from collections.abc import Callable
from enum import IntEnum
from heapq import heapify, heappop, heappush

FEW_TIMERS = 128


class Timer(IntEnum):
    """The kinds of deadline; at the same instant they fire in this order."""

    RUN_LIMIT = 0
    RESERVATION_END = 1
    MAX_TIME = 2
    TTL = 3
    UNUSED = 4
    RESERVATION_START = 5


class Timers:
    """A heap of instants. An entry is out of date when its entity has another instant by now, or none."""

    def __init__(self) -> None:
        self._heap: list[tuple[float, Timer, str]] = []
        self._compact_at = FEW_TIMERS

    def __len__(self) -> int:
        return len(self._heap)

    def push(self, at: float, timer: Timer, entity: str) -> None:
        heappush(self._heap, (at, timer, entity))

    def compact(self, is_current: Callable[[float, Timer, str], bool]) -> None:
        """Drop entries that are out of date once there are many; they would stay until their instant."""
        if len(self._heap) >= self._compact_at:
            self._heap = [entry for entry in self._heap if is_current(*entry)]
            heapify(self._heap)
            self._compact_at = max(FEW_TIMERS, 2 * len(self._heap))

    def drop(self, *kinds: Timer) -> None:
        self._heap = [entry for entry in self._heap if entry[1] not in kinds]
        heapify(self._heap)

    def peek(self) -> tuple[float, Timer, str] | None:
        return self._heap[0] if self._heap else None

    def pop(self) -> None:
        heappop(self._heap)
