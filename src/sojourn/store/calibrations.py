"""The history of calibrations in the store: which there were, when, and their bytes. Decides nothing."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection, func, insert, select

from sojourn.store import tables as t
from sojourn.store.blobs import put_blobs
from sojourn.store.jobs import Store


@dataclass(frozen=True, slots=True)
class Calibration:
    """One calibration of one device, numbered from 1. `job_id` is the job that measured it.

    None as `job_id`: the device told it by itself, when its worker came up. `properties_hash` is None for a
    device that has no properties. The hashes name blobs of JSON text.
    """

    device: str
    number: int
    at: float
    job_id: str | None
    configuration_hash: str
    properties_hash: str | None

    @property
    def id(self) -> str:
        """What the client calls it: `cal-1` is the device's first description."""
        return f"cal-{self.number}"


def add(connection: Connection, calibration: Calibration, blobs: dict[str, bytes]) -> None:
    """Write one row and its bytes, within a transaction of the caller's."""
    put_blobs(connection, blobs)
    connection.execute(
        insert(t.calibrations),
        {
            "device": calibration.device,
            "number": calibration.number,
            "at": calibration.at,
            "job_id": calibration.job_id,
            "configuration_hash": calibration.configuration_hash,
            "properties_hash": calibration.properties_hash,
        },
    )


async def history(store: Store) -> list[Calibration]:
    """Every calibration of every device, each device's oldest first."""
    query = select(t.calibrations).order_by(t.calibrations.c.device, t.calibrations.c.number)
    return await store.read(lambda c: [Calibration(*row) for row in c.execute(query)])


async def last_attempts(store: Store) -> dict[str, float]:
    """When each device's latest system job was accepted, whatever became of it."""
    c = t.jobs.c
    query = select(c.device, func.max(c.accepted_at)).where(c.kind == "system").group_by(c.device)
    return await store.read(lambda connection: {row[0]: row[1] for row in connection.execute(query)})
