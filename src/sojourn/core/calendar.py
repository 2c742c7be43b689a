"""Reservations of one device: who has it when (R43-R47). Pure arithmetic on windows; no states of jobs."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from math import inf


class WindowMode(StrEnum):
    """R47. `dedicated`: nothing else runs. `priority`: the holder's jobs submitted in the window go first."""

    DEDICATED = "dedicated"
    PRIORITY = "priority"


class AfterWindow(StrEnum):
    """R44: what becomes of the queued jobs of a session that became active inside the window."""

    FAIL = "fail"
    REQUEUE = "requeue"


@dataclass(slots=True)
class Reservation:
    """`[start, end)` in seconds since the epoch, for the users of `project`.

    These two are dates: they are told by the machine's clock. `idle_since` is since when (in the service's
    time) the device has stood idle for the holder in an open dedicated window.
    """

    id: str
    project: str
    user: str  # who booked
    start: float
    end: float
    mode: WindowMode = WindowMode.DEDICATED
    after_window: AfterWindow = AfterWindow.FAIL
    idle_since: float | None = None
    opened: bool = False  # its opening has been told

    @property
    def seconds(self) -> float:
        return self.end - self.start

    def open_at(self, date: float) -> bool:
        return self.start <= date < self.end


@dataclass(frozen=True, slots=True)
class Room:
    """R46: how long a job may run that starts now, in seconds, and end before the next dedicated window of
    somebody else. `holder` is the project that has that window; another one may come after it."""

    others: float = inf
    holder: str = ""
    holders: float = inf

    def of(self, project: str) -> float:
        return self.holders if project == self.holder else self.others


class Calendar:
    """Reservations that have not ended, by start; none overlap.

    `now` is the service's time, which leads the clock that dates are told by, by `lead` seconds: 0 unless
    that clock was set back.
    """

    def __init__(self) -> None:
        self.lead = 0.0
        self._windows: list[Reservation] = []

    def date(self, now: float) -> float:
        """What the machine's clock shows at the time `now`."""
        return now - self.lead

    def instant(self, date: float) -> float:
        """The service's time at which that clock shows `date`."""
        return date + self.lead

    def __iter__(self) -> Iterator[Reservation]:
        return iter(self._windows)

    def __len__(self) -> int:
        return len(self._windows)

    def get(self, reservation_id: str) -> Reservation | None:
        return next((w for w in self._windows if w.id == reservation_id), None)

    def overlapping(self, start: float, end: float) -> Reservation | None:
        """The first booked window that shares time with `[start, end)`."""
        return next((w for w in self._windows if w.start < end and start < w.end), None)

    def add(self, window: Reservation) -> None:
        """ValueError when it overlaps another one."""
        if self.overlapping(window.start, window.end) is not None:
            raise ValueError(f"reservation {window.id} overlaps another one")
        self._windows.insert(bisect_right(self._windows, window.start, key=lambda w: w.start), window)

    def remove(self, reservation_id: str) -> None:
        self._windows = [w for w in self._windows if w.id != reservation_id]

    def open_at(self, now: float) -> Reservation | None:
        """The window that is open."""
        # not simply the first: at the instant where two meet, the one that is over may still stand there
        date = self.date(now)
        return next((w for w in self._windows if w.open_at(date)), None)

    def next_dedicated(self, now: float, project: str | None = None) -> Reservation | None:
        """The next dedicated window that begins after `now` and is not `project`'s own."""
        date = self.date(now)
        return next(
            (
                w
                for w in self._windows
                if w.start > date and w.mode is WindowMode.DEDICATED and w.project != project
            ),
            None,
        )

    def room(self, now: float) -> Room:
        ahead = self.next_dedicated(now)
        if ahead is None:
            return Room()
        second, date = self.next_dedicated(now, ahead.project), self.date(now)
        return Room(ahead.start - date, ahead.project, second.start - date if second is not None else inf)

    def booked(self, project: str) -> float:
        """Seconds that the project holds in windows that have not ended."""
        return sum(w.seconds for w in self._windows if w.project == project)
