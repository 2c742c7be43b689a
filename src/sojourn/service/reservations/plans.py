"""What a reservation would come to: what is in its way, and what it takes of which allowance. No I/O."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from sojourn.config import ReservationSettings
from sojourn.service.reservations.bounds import Span, most_within
from sojourn.service.reservations.views import ReservationView


@dataclass(frozen=True, slots=True)
class Holding:
    """Reserved time that counts for a project, or for a user in any project, by name."""

    of: Literal["project", "user"]
    name: str
    spans: Sequence[Span]

    @property
    def words(self) -> str:
        return f"{self.of.capitalize()} {self.name}"


@dataclass(frozen=True, slots=True)
class Allowance:
    """How much of a limit is reserved, in seconds: `used` now, and `then` with the reservation.

    It counts on all devices within any `period` seconds, or, where that is None, on `device` in all that has
    not ended. Without a `limit` there is none. `binds`: whether the caller has to keep to it.
    """

    of: Literal["project", "user"]
    name: str
    device: str | None
    period: float | None
    limit: float | None
    used: float
    then: float
    binds: bool

    @property
    def left(self) -> float | None:
        """After the reservation."""
        return None if self.limit is None else max(0.0, self.limit - self.then)


@dataclass(frozen=True, slots=True)
class Plan:
    """`refused` is why it would not be made, None when it would. `conflicts` are the reservations of the
    device that share time with it, by start."""

    device: str
    project: str
    start: float
    end: float
    mode: str
    after_window: str
    refused: str | None
    conflicts: tuple[ReservationView, ...]
    allowances: tuple[Allowance, ...]


def within_a_period(
    bounds: ReservationSettings, held: Sequence[Holding], wanted: Span, *, binds: bool
) -> Iterator[Allowance]:
    """What `[reservations] allowance` has left, in the fullest period that touches the reservation."""
    if wanted.seconds <= 0:  # it is refused
        return
    for each in held:
        yield Allowance(
            each.of,
            each.name,
            None,
            bounds.period,
            bounds.allowance or None,
            most_within(each.spans, wanted, bounds.period),
            most_within([*each.spans, wanted], wanted, bounds.period),
            binds,
        )
