"""Maps reservations to rows and back, and finds them, also those that have ended."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, insert, or_, select, update

from sojourn.core.calendar import AfterReservation, Reservation, ReservationMode
from sojourn.core.effects import Effect, ReservationChanged
from sojourn.store import history
from sojourn.store import tables as t

LIVE = ("booked", "open")


@dataclass(frozen=True, slots=True)
class StoredReservation:
    """`state` is booked, open, ended or cancelled, since `changed_at`."""

    device: str
    reservation: Reservation
    state: str
    changed_at: float


@dataclass(frozen=True, slots=True)
class ReservedSpan:
    """The time that a reservation has, or had until it was cancelled."""

    device: str
    project: str
    user: str
    start: float
    end: float


def get(connection: Connection, reservation_id: str) -> StoredReservation | None:
    row = connection.execute(select(t.reservations).where(t.reservations.c.id == reservation_id)).first()
    return _stored(row) if row else None


def find(
    connection: Connection, *, device: str | None = None, ended: bool = False, limit: int = 1000
) -> list[StoredReservation]:
    """By start, earliest first; with `ended` also those that are over, the latest `limit` of all."""
    c = t.reservations.c
    query = select(t.reservations).order_by(c.starts_at.desc(), c.id).limit(limit)
    if device is not None:
        query = query.where(c.device == device)
    if not ended:
        query = query.where(c.state.in_(LIVE))
    return [_stored(row) for row in reversed(connection.execute(query).all())]


def live(connection: Connection) -> list[tuple[str, Reservation]]:
    """(device, reservation) of each that has not ended, by start."""
    c = t.reservations.c
    query = select(t.reservations).where(c.state.in_(LIVE)).order_by(c.starts_at)
    return [(row.device, reservation_of(row)) for row in connection.execute(query)]


def spans(connection: Connection, project: str, user: str, after: float, before: float) -> list[ReservedSpan]:
    """What the project has reserved, or the user for any project, and shares time with `(after, before)`."""
    c = t.reservations.c
    query = select(c.device, c.project_id, c.user_id, c.starts_at, c.ends_at, c.state, c.changed_at).where(
        or_(c.project_id == project, c.user_id == user), c.starts_at < before, c.ends_at > after
    )
    found = []
    for row in connection.execute(query):
        end = min(row.ends_at, row.changed_at) if row.state == "cancelled" else row.ends_at
        if end > max(row.starts_at, after):
            found.append(ReservedSpan(row.device, row.project_id, row.user_id, row.starts_at, end))
    return found


def write(connection: Connection, device: str, effects: Iterable[Effect]) -> None:
    """What the effects of a lane's step have made of reservations: rare, so written one by one."""
    for effect in effects:
        if isinstance(effect, ReservationChanged):
            row = reservation_row(effect) | {"device": device}
            same = t.reservations.c.id == row["id"]
            before = connection.execute(select(t.reservations.c.state).where(same)).scalar()
            if before is None:
                connection.execute(insert(t.reservations), row)
            else:
                connection.execute(update(t.reservations).where(same).values(row))
            history.add(
                connection,
                history.Kind.RESERVATION,
                row["id"],
                at=effect.at,
                device=device,
                cause="opened" if effect.state == "open" else effect.state,
                before=before,
                after=effect.state,
                user_id=row["user_id"],
                project_id=row["project_id"],
            )


# rows


def _stored(row: Any) -> StoredReservation:
    return StoredReservation(row.device, reservation_of(row), row.state, row.changed_at)


def reservation_of(row: Any) -> Reservation:
    return Reservation(
        id=row.id,
        project=row.project_id,
        user=row.user_id,
        start=row.starts_at,
        end=row.ends_at,
        mode=ReservationMode(row.mode),
        after_window=AfterReservation(row.after_window),
        idle_since=row.idle_since,
        opened=row.state == "open",
    )


def reservation_row(effect: ReservationChanged) -> dict[str, Any]:
    window = effect.reservation
    return {
        "id": window.id,
        "project_id": window.project,
        "user_id": window.user,
        "starts_at": window.start,
        "ends_at": window.end,
        "mode": window.mode.value,
        "after_window": window.after_window.value,
        "idle_since": window.idle_since,
        "state": effect.state,
        "changed_at": effect.at,
    }
