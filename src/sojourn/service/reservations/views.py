"""A reservation as a caller may see it."""

from __future__ import annotations

from dataclasses import dataclass


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
