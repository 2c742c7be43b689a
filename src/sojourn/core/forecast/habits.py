"""What sessions do after a job: the next one after a pause, a close, or nothing until the ttl is over.

Learned by mode and user, and by mode for who is not known yet.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from enum import Enum
from math import inf, log
from random import Random

from sojourn.core.forecast.durations import ENOUGH, GROUPS
from sojourn.core.forecast.samples import MOST

MOST_FURTHER = 4096
"""Jobs that a session is expected to submit at most."""


class Next(Enum):
    JOB = "job"
    CLOSE = "close"
    LAPSE = "lapse"  # it lost the device


Event = tuple[Next, float]
"""What came next, and how many seconds after the end of the session's last job."""

_UNKNOWN: tuple[Event, ...] = (
    (Next.JOB, 0.3),
    (Next.JOB, 1.0),
    (Next.JOB, 3.0),
    (Next.JOB, 20.0),
    (Next.CLOSE, 0.1),
    (Next.LAPSE, inf),
)
"""What is believed of sessions of which nothing is known."""


class Habits:
    """Learns from one device. Every draw is made with the caller's `random`."""

    def __init__(self) -> None:
        self._groups: OrderedDict[tuple[str, str], deque[Event]] = OrderedDict()

    def note(self, mode: str, user: str, what: Next, after: float) -> None:
        """After a job of a session, with none waiting: `after` seconds later, or never for a lapse."""
        for group in ((mode, user), (mode, "")):
            self._groups.setdefault(group, deque(maxlen=MOST)).append((what, after))
            self._groups.move_to_end(group)
        while len(self._groups) > GROUPS:
            self._groups.popitem(last=False)

    def goes_on(self, mode: str, user: str, idle: float, random: Random) -> float | None:
        """Seconds from the end of the last job to the next one, for a session that has been idle for `idle`
        seconds; None when no more comes."""
        left = [event for event in self._of(mode, user) if event[1] >= idle]
        pauses = [after for what, after in left if what is Next.JOB]
        if random.random() * (len(left) + 1) >= len(pauses):
            return None
        return random.choice(pauses)

    def further(self, mode: str, user: str, random: Random) -> int:
        """How many jobs come after the next one."""
        seen = self._of(mode, user)
        share = sum(what is Next.JOB for what, _ in seen) / (len(seen) + 1)
        return min(MOST_FURTHER, int(log(1.0 - random.random()) / log(share))) if share else 0

    def pause(self, mode: str, user: str, random: Random) -> float:
        """Seconds between two jobs of a session that goes on; 0 for one that was never seen to."""
        pauses = [after for what, after in self._of(mode, user) if what is Next.JOB]
        return random.choice(pauses) if pauses else 0.0

    def closes(self, mode: str, user: str, idle: float, random: Random) -> float | None:
        """Seconds from the end of the last job to the close by its owner, likewise; None when the session is
        left to its ttl."""
        ends = [event for event in self._of(mode, user) if event[1] >= idle and event[0] is not Next.JOB]
        what, after = random.choice(ends) if ends else (Next.LAPSE, inf)
        return after if what is Next.CLOSE else None

    def _of(self, mode: str, user: str) -> tuple[Event, ...] | deque[Event]:
        for group in ((mode, user), (mode, "")):
            seen = self._groups.get(group)
            if seen is not None and len(seen) >= ENOUGH:
                return seen
        return _UNKNOWN
