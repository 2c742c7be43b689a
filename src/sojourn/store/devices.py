"""Maps to rows and back: which devices operators have halted, to whom other schedulers have leased devices.
Finds traces of a device, too."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from enum import StrEnum
from typing import Any

from sqlalchemy import Connection, delete, insert, select, update

from sojourn.core.effects import DeviceChanged, Effect
from sojourn.core.model import DeviceMode, DeviceStatus
from sojourn.store import history
from sojourn.store import tables as t

ONLINE = "online"
"""The state of a device without a row."""


def halts(connection: Connection) -> dict[str, DeviceStatus]:
    """The devices that are not online."""
    return {row.device: halt_of(row) for row in connection.execute(select(t.device_states))}


def has_traces(connection: Connection, device: str) -> bool:
    """Whether something has ever run or been charged on a device of that name."""
    columns = t.jobs.c.device, t.ledger.c.device
    queries = (select(column).where(column == device).limit(1) for column in columns)
    return any(connection.execute(query).first() is not None for query in queries)


def write(connection: Connection, device: str, effects: Iterable[Effect]) -> None:
    """What operators want of the device by the effects of its lane's step."""
    for effect in effects:
        if isinstance(effect, DeviceChanged):
            halt, same = effect.halt, t.device_states.c.device == device
            before = connection.execute(select(t.device_states.c.mode).where(same)).scalar()
            connection.execute(delete(t.device_states).where(same))
            if halt is not None:
                connection.execute(insert(t.device_states), halt_row(device, halt))
            history.add(
                connection,
                history.Kind.DEVICE,
                device,
                at=effect.at,
                device=device,
                cause="resumed" if halt is None else "halted",
                before=before or ONLINE,
                after=ONLINE if halt is None else halt.mode.value,
                reason=None if halt is None else halt.message or None,
            )


def halt_of(row: Any) -> DeviceStatus:
    return DeviceStatus(DeviceMode(row.mode), row.by, row.message, row.since, row.until)


def halt_row(device: str, halt: DeviceStatus) -> dict[str, Any]:
    return {
        "device": device,
        "mode": halt.mode.value,
        "by": halt.by,
        "message": halt.message,
        "since": halt.since,
        "until": halt.until,
    }


# leases


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


def put_lease(connection: Connection, given: Lease) -> None:
    """Write it as it is now, whether there is a row of it or not."""
    row = {_COLUMNS.get(name, name): value for name, value in asdict(given).items()}
    row["state"] = given.state.value
    same = (t.leases.c.device == given.device) & (t.leases.c.name == given.name)
    if not connection.execute(update(t.leases).where(same).values(row)).rowcount:
        connection.execute(insert(t.leases), row)


def lease(connection: Connection, device: str, name: str) -> Lease | None:
    c = t.leases.c
    row = connection.execute(select(t.leases).where(c.device == device, c.name == name)).first()
    return _lease(row) if row is not None else None


def unfinished_leases(connection: Connection) -> list[Lease]:
    """Those that are held or have begun to end, the oldest first."""
    c = t.leases.c
    query = select(t.leases).where(c.state != LeaseState.ENDED.value).order_by(c.taken_at)
    return [_lease(row) for row in connection.execute(query)]


def leases(connection: Connection, *, device: str | None, user: str | None, limit: int) -> list[Lease]:
    """Newest first; with `user` only those of that user (an id)."""
    c = t.leases.c
    query = select(t.leases).order_by(c.taken_at.desc(), c.name).limit(limit)
    if device is not None:
        query = query.where(c.device == device)
    if user is not None:
        query = query.where(c.user_id == user)
    return [_lease(row) for row in connection.execute(query)]


def forget_leases(connection: Connection, before: float) -> None:
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
