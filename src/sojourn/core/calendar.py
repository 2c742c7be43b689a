"""Reservations of one device: who has it when (R43-R47). Pure arithmetic; no states of jobs."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from math import inf
from operator import attrgetter


class ReservationMode(StrEnum):
    """R47. `dedicated`: nothing else runs. `priority`: the holder's jobs submitted in it go first."""

    DEDICATED = "dedicated"
    PRIORITY = "priority"


class AfterReservation(StrEnum):
    """R44: what becomes of the queued jobs of a session that became active inside the reservation."""

    FAIL = "fail"
    REQUEUE = "requeue"


@dataclass(slots=True)
class Reservation:
    """`[start, end)` in seconds since the epoch, for the users of `project`.

    These two are dates, by the machine's clock. `idle_since` is since when (in the service's
    time) the device has stood idle for the holder in an open dedicated reservation.
    """

    id: str
    project: str
    user: str  # who booked
    start: float
    end: float
    mode: ReservationMode = ReservationMode.DEDICATED
    after_window: AfterReservation = AfterReservation.FAIL
    idle_since: float | None = None
    opened: bool = False  # its opening has been reported

    @property
    def seconds(self) -> float:
        return self.end - self.start

    def open_at(self, date: float) -> bool:
        return self.start <= date < self.end


_start = attrgetter("start")


@dataclass(frozen=True, slots=True)
class Gap:
    """R46: how long a job that starts now may run, in seconds, to end before the next dedicated reservation
    of another project. `holder` is that project; a reservation of a third one may come after it."""

    others: float = inf
    holder: str = ""
    holders: float = inf

    def of(self, project: str) -> float:
        return self.holders if project == self.holder else self.others


class Calendar:
    """Reservations that have not ended, by start; none overlap. Booking looks at all, questions do not.

    `now` is the service's time, which leads that clock by `lead` seconds: 0 unless
    that clock was set back.
    """

    def __init__(self) -> None:
        self.lead = 0.0
        self._reservations: list[Reservation] = []
        self._by_id: dict[str, Reservation] = {}
        self._dedicated: list[Reservation] = []
        self._others: list[int] = []  # for each of these, where the next one of another project is

    def date(self, now: float) -> float:
        """What the machine's clock shows at the time `now`."""
        return now - self.lead

    def instant(self, date: float) -> float:
        """The service's time at which that clock shows `date`."""
        return date + self.lead

    def __iter__(self) -> Iterator[Reservation]:
        return iter(self._reservations)

    def __len__(self) -> int:
        return len(self._reservations)

    def get(self, reservation_id: str) -> Reservation | None:
        return self._by_id.get(reservation_id)

    def overlapping(self, start: float, end: float) -> Reservation | None:
        """The first booked reservation that shares time with `[start, end)`."""
        at = bisect_right(self._reservations, start, key=_start)
        near = self._reservations[max(0, at - 1) : at + 1]
        return next((w for w in near if w.start < end and start < w.end), None)

    def add(self, reservation: Reservation) -> None:
        """ValueError when it overlaps another one."""
        if self.overlapping(reservation.start, reservation.end) is not None:
            raise ValueError(f"reservation {reservation.id} overlaps another one")
        self._by_id[reservation.id] = reservation
        self._arrange()

    def remove(self, reservation_id: str) -> None:
        self._by_id.pop(reservation_id, None)
        self._arrange()

    def _arrange(self) -> None:
        self._reservations = sorted(self._by_id.values(), key=_start)
        self._dedicated = [w for w in self._reservations if w.mode is ReservationMode.DEDICATED]
        self._others = [len(self._dedicated)] * len(self._dedicated)
        for i in range(len(self._dedicated) - 2, -1, -1):
            same = self._dedicated[i].project == self._dedicated[i + 1].project
            self._others[i] = self._others[i + 1] if same else i + 1

    def open_at(self, now: float) -> Reservation | None:
        """The reservation that is open."""
        # not simply the first: at the instant where two meet, the one that is over may still stand there
        date = self.date(now)
        at = bisect_right(self._reservations, date, key=_start)
        return self._reservations[at - 1] if at and self._reservations[at - 1].open_at(date) else None

    def next_dedicated(self, now: float, project: str | None = None) -> Reservation | None:
        """The next dedicated reservation that begins after `now` and is not `project`'s own."""
        at = bisect_right(self._dedicated, self.date(now), key=_start)
        if at < len(self._dedicated) and self._dedicated[at].project == project:
            at = self._others[at]
        return self._dedicated[at] if at < len(self._dedicated) else None

    def gap(self, now: float) -> Gap:
        ahead = self.next_dedicated(now)
        if ahead is None:
            return Gap()
        second, date = self.next_dedicated(now, ahead.project), self.date(now)
        return Gap(ahead.start - date, ahead.project, second.start - date if second is not None else inf)

    def reserved(self, project: str) -> float:
        """Seconds that the project holds in reservations that have not ended."""
        return sum(w.seconds for w in self._reservations if w.project == project)
