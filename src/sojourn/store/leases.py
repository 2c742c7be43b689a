"""Maps leases to rows and back: to whom another scheduler has given a device."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from enum import StrEnum
from typing import Any

from sqlalchemy import Connection, delete, insert, select, update

from sojourn.store import tables as t


class LeaseState(StrEnum):
    HELD = "held"
    ENDING = "ending"
    """Nothing more is admitted; what the holder has left is being ended."""
    ENDED = "ended"


@dataclass(frozen=True, slots=True)
class Lease:
    """`device` and `name` identify it. `project` is an id, None for all of the user's. `seconds` is its
    length, None for no end of its own. Times are seconds since the epoch."""

    device: str
    name: str
    user: str
    project: str | None
    taken_at: float
    seconds: float | None
    state: LeaseState = LeaseState.HELD
    ended_at: float | None = None
    reason: str | None = None

    def ended(self, state: LeaseState, at: float, reason: str) -> Lease:
        return replace(self, state=state, ended_at=at, reason=reason)


_COLUMNS = {"user": "user_id", "project": "project_id"}


def put(connection: Connection, lease: Lease) -> None:
    """Write it as it is now, whether there is a row of it or not."""
    row = {_COLUMNS.get(name, name): value for name, value in asdict(lease).items()}
    row["state"] = lease.state.value
    same = (t.leases.c.device == lease.device) & (t.leases.c.name == lease.name)
    if not connection.execute(update(t.leases).where(same).values(row)).rowcount:
        connection.execute(insert(t.leases), row)


def get(connection: Connection, device: str, name: str) -> Lease | None:
    c = t.leases.c
    row = connection.execute(select(t.leases).where(c.device == device, c.name == name)).first()
    return _lease(row) if row is not None else None


def unfinished(connection: Connection) -> list[Lease]:
    """Those that are held or have begun to end, the oldest first."""
    c = t.leases.c
    query = select(t.leases).where(c.state != LeaseState.ENDED.value).order_by(c.taken_at)
    return [_lease(row) for row in connection.execute(query)]


def find(connection: Connection, *, device: str | None, user: str | None, limit: int) -> list[Lease]:
    """Newest first; with `user` only those of that user (an id)."""
    c = t.leases.c
    query = select(t.leases).order_by(c.taken_at.desc(), c.name).limit(limit)
    if device is not None:
        query = query.where(c.device == device)
    if user is not None:
        query = query.where(c.user_id == user)
    return [_lease(row) for row in connection.execute(query)]


def forget(connection: Connection, before: float) -> None:
    """Remove those that ended before then."""
    c = t.leases.c
    connection.execute(delete(t.leases).where(c.state == LeaseState.ENDED.value, c.ended_at < before))


def _lease(row: Any) -> Lease:
    return Lease(
        device=row.device,
        name=row.name,
        user=row.user_id,
        project=row.project_id,
        taken_at=row.taken_at,
        seconds=row.seconds,
        state=LeaseState(row.state),
        ended_at=row.ended_at,
        reason=row.reason,
    )
