"""What was charged within a sliding window, merged in steps: memory does not grow with the jobs (D18)."""

from __future__ import annotations

from bisect import bisect_left
from collections import deque
from collections.abc import Iterator
from math import ceil

from sojourn.core.sharetree import Node

STEPS = 672
"""A window of 28 days is kept by the hour."""


def step_of(window: float) -> float:
    """Seconds: whole ones, and at least one."""
    return max(1.0, window // STEPS)


class Charges:
    """Amounts of users. What was charged at `at` leaves with its step: when the window has passed since the
    first multiple of the step that is not before `at`. So it counts up to a step longer, never shorter.

    Multiples are counted from the sum of the jumps of the service's time, see `jump`.
    """

    def __init__(self, window: float) -> None:
        self.window = window
        self.step = step_of(window)
        self.jumped = 0.0
        self._steps: deque[tuple[int, dict[Node, int]]] = deque()  # by number, oldest first

    def add(self, at: float, user: Node, amount: int) -> None:
        steps, number = self._steps, ceil((at - self.jumped) / self.step)
        if not steps or steps[-1][0] < number:
            steps.append((number, {}))
        place = len(steps) - 1
        if steps[place][0] != number:  # another lane's report is a little late
            place = bisect_left(steps, number, key=lambda step: step[0])
            if steps[place][0] != number:
                steps.insert(place, (number, {}))
        amounts = steps[place][1]
        amounts[user] = amounts.get(user, 0) + amount

    def leave(self, now: float) -> Iterator[tuple[Node, int]]:
        """What has left the window by now; it is told once."""
        while (at := self.next_leave()) is not None and at <= now:
            yield from self._steps.popleft()[1].items()

    def next_leave(self) -> float | None:
        """When the oldest amounts leave the window; None when there are none."""
        return self._begin(self._steps[0][0]) + self.window if self._steps else None

    def jump(self, seconds: float) -> None:
        """Time has gone forward without having passed: everything is as old as it was before."""
        self.jumped += seconds

    def _begin(self, number: int) -> float:
        return number * self.step + self.jumped

    def __iter__(self) -> Iterator[tuple[float, Node, int]]:
        """(when, user, amount), oldest first; `when` lies in the step."""
        for number, amounts in self._steps:
            for user, amount in amounts.items():
                yield self._begin(number), user, amount
