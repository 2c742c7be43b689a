"""Reservations as rows, also those that have ended: what a calendar shows. Decides nothing."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import or_, select

from sojourn.core.calendar import Reservation
from sojourn.store import tables as t
from sojourn.store.jobs import Store
from sojourn.store.rows import reservation_of

LIVE = ("booked", "open")


@dataclass(frozen=True, slots=True)
class StoredReservation:
    """`state` is booked, open, ended or cancelled, since `changed_at`."""

    device: str
    reservation: Reservation
    state: str
    changed_at: float


async def find(
    store: Store, *, device: str | None = None, ended: bool = False, limit: int = 1000
) -> list[StoredReservation]:
    """By start, earliest first; with `ended` also those that are over, the latest `limit` of all."""
    c = t.reservations.c
    query = select(t.reservations).order_by(c.starts_at.desc(), c.id).limit(limit)
    if device is not None:
        query = query.where(c.device == device)
    if not ended:
        query = query.where(c.state.in_(LIVE))
    rows = await store.read(lambda connection: list(connection.execute(query)))
    return [StoredReservation(r.device, reservation_of(r), r.state, r.changed_at) for r in reversed(rows)]


async def get(store: Store, reservation_id: str) -> StoredReservation | None:
    query = select(t.reservations).where(t.reservations.c.id == reservation_id)
    row = await store.read(lambda connection: connection.execute(query).first())
    if row is None:
        return None
    return StoredReservation(row.device, reservation_of(row), row.state, row.changed_at)


@dataclass(frozen=True, slots=True)
class ReservedSpan:
    """The time that a reservation has, or had until it was cancelled."""

    device: str
    project: str
    user: str
    start: float
    end: float


async def spans(store: Store, project: str, user: str, after: float, before: float) -> list[ReservedSpan]:
    """What the project has reserved, or the user for any project, and shares time with `(after, before)`."""
    c = t.reservations.c
    query = select(c.device, c.project_id, c.user_id, c.starts_at, c.ends_at, c.state, c.changed_at).where(
        or_(c.project_id == project, c.user_id == user), c.starts_at < before, c.ends_at > after
    )
    rows = await store.read(lambda connection: list(connection.execute(query)))
    found = []
    for row in rows:
        end = min(row.ends_at, row.changed_at) if row.state == "cancelled" else row.ends_at
        if end > max(row.starts_at, after):
            found.append(ReservedSpan(row.device, row.project_id, row.user_id, row.starts_at, end))
    return found
