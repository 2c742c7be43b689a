"""Counts what was used and still matters: in a sliding window, or fading with a half-life (R48, D18).

`UsageWindow` is the arithmetic of time; the share tree keeps its sums with it. `UsageMeter` is a plain table
of such sums, for a caller that has no queue.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import deque
from collections.abc import Callable, Hashable, Iterator, Mapping
from math import ceil
from typing import Generic, TypeVar

Holder = TypeVar("Holder", bound=Hashable)

NANO = 1_000_000_000

STEPS = 672
"""A window of 28 days is kept by the hour."""

RESCALE_AT = 2.0**200
"""Decayed usage is kept in units that grow with time; they are scaled back long before they overflow."""

MOST_HALVINGS = 1000.0
"""A float has no room for more; nothing is left by then in any case."""

FADED = 56
"""Half-lives after which 2 years of use are less than a nanosecond."""


def step_of(window: float) -> float:
    """Seconds: whole ones, and at least one."""
    return max(1.0, window // STEPS)


class UsageWindow(Generic[Holder]):
    """For how long a charge counts, whoever the holders of the sums are.

    `window` is how long, in seconds from the charge's end; with a `half_life` a charge fades instead of
    ending. The caller keeps sums of *amounts*: `charge` turns seconds into one to add, `leave` names those to
    take off again, `seconds` reads a sum. Amounts are whole nanoseconds, so that sums are exact whatever is
    added and taken off; with a half-life they are seconds in a unit that grows with time, and `rescale` is
    called with what every sum has to be divided by when that unit has grown too large.

    Charges of a step are merged, so memory does not grow with them (D18). What was charged at `at` leaves
    with its step: when the window has passed since the first multiple of the step that is not before `at`. So
    it counts up to a step longer, never shorter. Multiples are counted from the sum of the jumps of the
    service's time, see `jump`. `now` must not go backwards.
    """

    def __init__(self, window: float, half_life: float | None, rescale: Callable[[float], None]) -> None:
        self.window = window
        self.half_life = half_life
        self.step = step_of(window)
        self.now = 0.0
        self._rescale = rescale
        self._jumped = 0.0
        self._epoch = 0.0
        self._steps: deque[tuple[int, dict[Holder, int]]] = deque()  # by number, oldest first

    @property
    def memory(self) -> float:
        """For how many seconds a charge can count; with a half-life, until nothing is left."""
        return (self.window if self.half_life is None else FADED * self.half_life) + self.step

    def charge(self, at: float, holder: Holder, seconds: float) -> float:
        """Device seconds that ended at `at`; returns the amount to add to the holder's sums."""
        self.now = max(self.now, at)
        if self.half_life is not None:
            if (unit := self._unit(at)) > RESCALE_AT:
                self._rescale(unit)
                self._epoch, unit = at, 1.0
            return seconds * unit
        amount = round(seconds * NANO)
        self._note(at, holder, amount)
        return amount

    def leave(self, now: float) -> Iterator[tuple[Holder, int]]:
        """(holder, amount) of what has left the window by `now`; each is returned once."""
        self.now = max(self.now, now)
        while (at := self.next_leave()) is not None and at <= now:
            yield from self._steps.popleft()[1].items()

    def next_leave(self) -> float | None:
        """When the oldest amounts leave the window; None when there are none."""
        return self._begin(self._steps[0][0]) + self.window if self._steps else None

    def seconds(self, amount: float) -> float:
        """Device seconds of a sum, as of the latest time that was given."""
        return amount / (self._unit(self.now) if self.half_life is not None else NANO)

    def jump(self, seconds: float) -> None:
        """Time has gone forward without having passed: everything is as old as it was before."""
        self.now += seconds
        self._jumped += seconds
        if self._epoch:
            self._epoch += seconds

    def replace(self, holders: Mapping[Holder, Holder]) -> None:
        """Put another holder in the place of each."""
        self._steps = deque(
            (number, {holders[holder]: amount for holder, amount in amounts.items()})
            for number, amounts in self._steps
        )

    def _unit(self, at: float) -> float:
        """R48's half-life: everybody's usage fades alike, so a charge made later simply counts for more."""
        assert self.half_life is not None
        if self._epoch == 0.0:
            self._epoch = at
        unit: float = 2.0 ** min((at - self._epoch) / self.half_life, MOST_HALVINGS)
        return unit

    def _note(self, at: float, holder: Holder, amount: int) -> None:
        steps, number = self._steps, ceil((at - self._jumped) / self.step)
        if not steps or steps[-1][0] < number:
            steps.append((number, {}))
        place = len(steps) - 1
        if steps[place][0] != number:  # another lane's report is a little late
            place = bisect_left(steps, number, key=lambda step: step[0])
            if steps[place][0] != number:
                steps.insert(place, (number, {}))
        amounts = steps[place][1]
        amounts[holder] = amounts.get(holder, 0) + amount

    def _begin(self, number: int) -> float:
        return number * self.step + self._jumped

    def __iter__(self) -> Iterator[tuple[float, Holder, int]]:
        """(when, holder, amount), oldest first; `when` lies in the step."""
        for number, amounts in self._steps:
            for holder, amount in amounts.items():
                yield self._begin(number), holder, amount


class UsageMeter:
    """What each project and each of its users has used, over all devices. Times and lengths are seconds."""

    def __init__(self, window: float, half_life: float | None = None) -> None:
        self._window: UsageWindow[tuple[str, str]] = UsageWindow(window, half_life, self._rescale)
        self._projects: dict[str, float] = {}
        self._users: dict[tuple[str, str], float] = {}

    @property
    def window(self) -> float:
        return self._window.window

    @property
    def step(self) -> float:
        """Charges within a step of so many seconds count as one (D18)."""
        return self._window.step

    @property
    def memory(self) -> float:
        """For how many seconds a charge can count."""
        return self._window.memory

    def charge(self, project: str, user: str, seconds: float, at: float) -> None:
        """Device seconds that ended at `at`."""
        self._add((project, user), self._window.charge(at, (project, user), seconds))

    def expire(self, now: float) -> None:
        """Forget the charges that have left the window."""
        for holder, amount in self._window.leave(now):
            self._add(holder, -amount)

    def jump(self, seconds: float) -> None:
        """Time has gone forward by so much without having passed: nothing fades and nothing ends for it."""
        self._window.jump(seconds)

    def used(self, project: str, user: str | None = None) -> float:
        """Device seconds of a project, or of a user in it, that count as of the latest time given."""
        amount = self._projects.get(project) if user is None else self._users.get((project, user))
        return self._window.seconds(amount) if amount is not None else 0.0

    def _add(self, holder: tuple[str, str], amount: float) -> None:
        self._users[holder] = self._users.get(holder, 0) + amount
        self._projects[holder[0]] = self._projects.get(holder[0], 0) + amount

    def _rescale(self, unit: float) -> None:
        self._projects = {project: amount / unit for project, amount in self._projects.items()}
        self._users = {user: amount / unit for user, amount in self._users.items()}
