"""The life of reservations on one lane: booking, opening, ending, and the account of idle time (R43-R47)."""

from __future__ import annotations

from copy import copy

from sojourn import codes
from sojourn.core.calendar import AfterReservation, Calendar, Reservation, ReservationMode
from sojourn.core.effects import ChargeKind, Rejected, ReservationChanged
from sojourn.core.events import ReservationBooked
from sojourn.core.profile import Profile
from sojourn.core.queues import Queues
from sojourn.core.sessions import Sessions
from sojourn.core.state import LaneState
from sojourn.core.timers import Timer
from sojourn.core.wording.formatting import at_time, seconds


def objection(calendar: Calendar, profile: Profile, reservation: Reservation, now: float) -> str | None:
    """Why it cannot be reserved (R47)."""
    shortest = profile.reservation_minimum
    if reservation.start < calendar.date(now):
        start = at_time(reservation.start)
        return f"The window begins at {start}, which is in the past. Choose a later start."
    if reservation.end <= reservation.start:
        start, end = at_time(reservation.start), at_time(reservation.end)
        return (
            f"The window begins at {start} and ends at {end}; its end must lie after its start. Choose a "
            "later end."
        )
    if not reservation.seconds >= shortest:
        length = seconds(reservation.seconds)
        return f"The window is {length} long; a reservation is at least {seconds(shortest)}."
    other = calendar.overlapping(reservation.start, reservation.end)
    if other is not None:
        return (
            f"Reservation {other.id} has the device from {at_time(other.start)} to {at_time(other.end)}. "
            "Reservations on a device cannot overlap; choose another time."
        )
    allowance = profile.reservation_allowance
    reserved = calendar.reserved(reservation.project)
    if allowance is not None and reserved + reservation.seconds > allowance:
        return (
            f"The project may have {seconds(allowance)} booked ahead and has {seconds(reserved)}; "
            f"another {seconds(reservation.seconds)} is too much. Cancel a reservation or book less."
        )
    return None


class Reservations:
    def __init__(self, state: LaneState, queues: Queues, sessions: Sessions, profile: Profile) -> None:
        self._state = state
        self._queues = queues
        self._sessions = sessions
        self._profile = profile

    @property
    def calendar(self) -> Calendar:
        return self._queues.calendar

    def reserve(self, event: ReservationBooked, now: float) -> Rejected | None:
        """R47. Returns why not, and then nothing has changed."""
        reservation = Reservation(
            event.reservation_id,
            event.project,
            event.user,
            event.start,
            event.end,
            event.mode,
            event.after_window,
        )
        if (why := objection(self.calendar, self._profile, reservation, now)) is not None:
            return Rejected(codes.RESERVATION_REFUSED, why)
        self.calendar.add(reservation)
        self.schedule(reservation)
        self._tell(reservation, "booked", now)
        return None

    def schedule(self, reservation: Reservation) -> None:
        if not reservation.opened:  # after a restart, what was reported is not reported again (R55)
            self._state.timers.push(
                self.calendar.instant(reservation.start), Timer.RESERVATION_START, reservation.id
            )
        self._state.timers.push(self.calendar.instant(reservation.end), Timer.RESERVATION_END, reservation.id)

    def cancel(self, reservation: Reservation, now: float) -> None:
        if reservation.start <= self.calendar.date(now):  # also at the very instant of its end
            self.end(reservation, now, "cancelled")
        else:
            self.calendar.remove(reservation.id)
            self._tell(reservation, "cancelled", now)

    def opened(self, reservation: Reservation, at: float) -> None:
        self._tell(reservation, "open", at)

    def end(self, reservation: Reservation, at: float, state: str = "ended") -> None:
        """R44: running jobs finish, queued ones of the reservation's sessions do not."""
        self._end_idle(reservation, at)
        self.calendar.remove(reservation.id)
        why = None
        if reservation.after_window is AfterReservation.FAIL:
            date = self.calendar.date(at)
            why = (
                f"Reservation {reservation.id} ended at {at_time(date)} before this job of its session could "
                "start."
            )
        self._sessions.reservation_over(reservation.id, at, why)
        self._tell(reservation, state, at)

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
        for reservation in [w for w in calendar if w is not opened]:
            if reservation.end <= date:
                self.end(reservation, now)
            elif reservation.start <= date:
                reservation.start, late = date, reservation
        following = next((w for w in calendar if w is not opened), None)
        if opened is not None:
            if following is not None:
                opened.end = min(opened.end, following.start)
            if opened.end <= date:
                self.end(opened, now)
            else:
                self._tell(opened, "open", now)
        self._state.timers.drop(Timer.RESERVATION_START, Timer.RESERVATION_END)
        for reservation in calendar:
            if reservation is late:
                self.opened(reservation, now)
            self.schedule(reservation)

    def account(self, now: float, *, idle: bool) -> None:
        """Note whether the device is idle for the holder of a dedicated reservation; that is charged (D13).

        `idle`: the device could run a job and does not. The hold of the holder's own session has rows of
        its own, if the profile charges it.
        """
        reservation = self.calendar.open_at(now)
        if reservation is None or reservation.mode is not ReservationMode.DEDICATED:
            return
        active = self._queues.active
        held = active is not None and active.hold_since is not None
        if idle and not held:
            if reservation.idle_since is None:
                reservation.idle_since = now
                self._tell(reservation, "open", now)
        else:
            self._end_idle(reservation, now)

    def _end_idle(self, reservation: Reservation, now: float) -> None:
        since, reservation.idle_since = reservation.idle_since, None
        if since is None:
            return
        row = self._state.charge(ChargeKind.RESERVATION, reservation.user, reservation.project, since, now)
        if row is not None:
            self._queues.fair.charge(reservation.project, reservation.user, row.seconds, now)
        self._tell(reservation, "open", now)

    def _tell(self, reservation: Reservation, state: str, at: float) -> None:
        reservation.opened = reservation.opened or state == "open"
        self._state.effects.append(ReservationChanged(copy(reservation), state, at))
