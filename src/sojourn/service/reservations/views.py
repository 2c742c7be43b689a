"""A reservation as a caller asks for it, and as a caller may see it."""

from __future__ import annotations

from dataclasses import dataclass

from sojourn.core.calendar import AfterReservation, ReservationMode


@dataclass(frozen=True, slots=True)
class NewReservation:
    """`device` from `start` (None: now) to `end`, or for `length` seconds, for the users of a project, by
    name; None is the caller's own."""

    device: str
    project: str | None
    start: float | None
    end: float | None = None
    length: float | None = None
    mode: str = ReservationMode.DEDICATED
    after_window: str = AfterReservation.FAIL


@dataclass(frozen=True, slots=True)
class ReservationView:
    """A reservation as committed. What is None is not the caller's to see: only that the device is taken.

    `state` is booked, open, ended or cancelled.
    """

    device: str
    start: float
    end: float
    mode: str
    state: str
    id: str | None = None
    project: str | None = None
    user: str | None = None
    after_window: str | None = None
