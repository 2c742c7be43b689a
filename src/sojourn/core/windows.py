"""The life of reservations on one lane: booking, opening, ending, and the account of idle time (R43-R47)."""

from __future__ import annotations

from copy import copy

from sojourn import codes
from sojourn.core.book import Book
from sojourn.core.calendar import AfterWindow, Calendar, Reservation, WindowMode
from sojourn.core.effects import ChargeKind, Rejected, ReservationChanged
from sojourn.core.events import ReservationBooked
from sojourn.core.profile import Profile
from sojourn.core.queues import Queues
from sojourn.core.sessions import Sessions
from sojourn.core.timers import Due
from sojourn.core.words import at_time, seconds


class Windows:
    def __init__(self, book: Book, queues: Queues, sessions: Sessions, profile: Profile) -> None:
        self._book = book
        self._queues = queues
        self._sessions = sessions
        self._profile = profile

    @property
    def calendar(self) -> Calendar:
        return self._queues.calendar

    def book(self, event: ReservationBooked, now: float) -> Rejected | None:
        """R47. Returns why not, and then nothing has changed."""
        window = Reservation(
            event.reservation_id,
            event.project,
            event.user,
            event.start,
            event.end,
            event.mode,
            event.after_window,
        )
        if (why := self._objection(window, now)) is not None:
            return Rejected(codes.RESERVATION_REFUSED, why)
        self.calendar.add(window)
        self.remind(window)
        self._tell(window, "booked", now)
        return None

    def _objection(self, window: Reservation, now: float) -> str | None:
        shortest = self._profile.reservation_minimum
        if window.start < self.calendar.date(now):
            start = at_time(window.start)
            return f"The window begins at {start}, which is in the past. Choose a later start."
        if window.end <= window.start:
            start, end = at_time(window.start), at_time(window.end)
            return (
                f"The window begins at {start} and ends at {end}; its end must lie after its start. Choose a "
                "later end."
            )
        if not window.seconds >= shortest:
            length = seconds(window.seconds)
            return f"The window is {length} long; a reservation is at least {seconds(shortest)}."
        other = self.calendar.overlapping(window.start, window.end)
        if other is not None:
            return (
                f"Reservation {other.id} has the device from {at_time(other.start)} to {at_time(other.end)}. "
                "Reservations on a device cannot overlap; choose another time."
            )
        allowance = self._profile.reservation_allowance
        booked = self.calendar.booked(window.project)
        if allowance is not None and booked + window.seconds > allowance:
            return (
                f"The project may have {seconds(allowance)} booked ahead and has {seconds(booked)}; "
                f"another {seconds(window.seconds)} is too much. Cancel a reservation or book less."
            )
        return None

    def remind(self, window: Reservation) -> None:
        if not window.opened:  # after a restart, what was reported is not reported again (R55)
            self._book.deadlines.push(self.calendar.instant(window.start), Due.WINDOW_START, window.id)
        self._book.deadlines.push(self.calendar.instant(window.end), Due.WINDOW_END, window.id)

    def cancel(self, window: Reservation, now: float) -> None:
        if window.start <= self.calendar.date(now):  # also at the very instant of its end
            self.end(window, now, "cancelled")
        else:
            self.calendar.remove(window.id)
            self._tell(window, "cancelled", now)

    def opened(self, window: Reservation, at: float) -> None:
        self._tell(window, "open", at)

    def end(self, window: Reservation, at: float, state: str = "ended") -> None:
        """R44: running jobs finish, queued ones of the reservation's sessions do not."""
        self._end_idle(window, at)
        self.calendar.remove(window.id)
        why = None
        if window.after_window is AfterWindow.FAIL:
            date = self.calendar.date(at)
            why = (
                f"Reservation {window.id} ended at {at_time(date)} before this job of its session could "
                "start."
            )
        self._sessions.window_over(window.id, at, why)
        self._tell(window, state, at)

    def step_clock(self, now: float, jumped: float, lead: float) -> None:
        """What is booked keeps its dates, what is open keeps its length (D24).

        A reservation that lies in the skipped time altogether ends unopened, and is not charged; one that
        has begun in it opens now. An open one lasts as long as it would have, but into no other reservation.
        """
        calendar = self.calendar
        opened, moved = calendar.open_at(now - jumped), calendar.lead - lead
        calendar.lead = lead
        date = calendar.date(now)
        if opened is not None:  # its start stays where it was in the service's time
            opened.start += moved
            opened.end += moved + jumped
            if opened.idle_since is not None:
                opened.idle_since += jumped
        late: Reservation | None = None
        for window in [w for w in calendar if w is not opened]:
            if window.end <= date:
                self.end(window, now)
            elif window.start <= date:
                window.start, late = date, window
        following = next((w for w in calendar if w is not opened), None)
        if opened is not None:
            if following is not None:
                opened.end = min(opened.end, following.start)
            if opened.end <= date:
                self.end(opened, now)
            else:
                self._tell(opened, "open", now)
        self._book.deadlines.drop(Due.WINDOW_START, Due.WINDOW_END)
        for window in calendar:
            if window is late:
                self.opened(window, now)
            self.remind(window)

    def account(self, now: float, *, idle: bool) -> None:
        """Note whether the device is idle for the holder of a dedicated reservation; that is charged (D13).

        `idle`: the device could run a job and does not. The hold of the holder's own session has rows of
        its own, if the profile charges it.
        """
        window = self.calendar.open_at(now)
        if window is None or window.mode is not WindowMode.DEDICATED:
            return
        active = self._queues.active
        held = active is not None and active.hold_since is not None
        if idle and not held:
            if window.idle_since is None:
                window.idle_since = now
                self._tell(window, "open", now)
        else:
            self._end_idle(window, now)

    def _end_idle(self, window: Reservation, now: float) -> None:
        since, window.idle_since = window.idle_since, None
        if since is None:
            return
        row = self._book.charge(ChargeKind.RESERVATION, window.user, window.project, since, now)
        if row is not None:
            self._queues.fair.charge(window.project, window.user, row.seconds, now)
        self._tell(window, "open", now)

    def _tell(self, window: Reservation, state: str, at: float) -> None:
        window.opened = window.opened or state == "open"
        self._book.effects.append(ReservationChanged(copy(window), state, at))
