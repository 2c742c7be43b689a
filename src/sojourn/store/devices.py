"""Maps the states of devices that operators have halted to rows and back; finds traces of a device."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from sqlalchemy import Connection, delete, insert, select

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
