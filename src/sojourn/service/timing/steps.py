"""Steps of the machine's clock, and what they mean for times that were recorded before them.

A time in the store is as the service's time was then. How long ago that is, in time that has really passed,
is known here.
"""

from __future__ import annotations

from sojourn.store import Database
from sojourn.store import clock as stored
from sojourn.store.clock import StoredStep


class Steps:
    """The record, oldest first; times of the store are between 0 and now."""

    def __init__(self, steps: list[StoredStep]) -> None:
        self._steps = steps

    @classmethod
    async def load(cls, store: Database) -> Steps:
        return cls(await store.read(stored.steps))

    @property
    def lead(self) -> float:
        """By how much the service's time led the clock when the latest step was recorded."""
        return self._steps[-1].lead if self._steps else 0.0

    def take(self, step: StoredStep) -> None:
        """It is committed together with what it changes."""
        self._steps.append(step)

    def restated(self, at: float) -> float:
        """A recorded time in the present time: later by all jumps since."""
        late = at
        for step in reversed(self._steps):
            if step.at <= at:
                break
            late += step.jumped
        return late

    def before(self, now: float, seconds: float) -> float:
        """The recorded time since which, up to now, `seconds` have passed."""
        for step in reversed(self._steps):
            if now - seconds >= step.at:
                break
            seconds -= now - step.at
            now = step.at - step.jumped
        return now - seconds
