"""Maps calibrations to rows and back, with their bytes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, func, insert, select

from sojourn.store import history
from sojourn.store import tables as t
from sojourn.store.blobs import drop_blob, put_blobs
from sojourn.store.jobs import are_named


@dataclass(frozen=True, slots=True)
class Calibration:
    """One calibration of one device, numbered from 1. `job_id` is the job that measured it.

    None as `job_id`: found by the worker at its start. `properties_hash` is None for a
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
    """One row and its bytes, and its entry in the history: from the id of the one before to its own."""
    put_blobs(connection, blobs)
    k = t.calibrations.c
    before = connection.execute(select(func.max(k.number)).where(k.device == calibration.device)).scalar()
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
    history.add(
        connection,
        history.Kind.CALIBRATION,
        calibration.id,
        at=calibration.at,
        device=calibration.device,
        cause="found" if calibration.job_id is None else "measured",
        before=f"cal-{before}" if before is not None else None,
        after=calibration.id,
    )


def every(connection: Connection) -> list[Calibration]:
    """Those of every device, each device's oldest first."""
    query = select(t.calibrations).order_by(t.calibrations.c.device, t.calibrations.c.number)
    return [Calibration(*row) for row in connection.execute(query)]


def last_attempts(connection: Connection) -> dict[str, float]:
    """When each device's latest calibration was accepted, whatever became of it."""
    c = t.jobs.c
    latest = select(c.device, func.max(c.accepted_at)).group_by(c.device)
    query = latest.where(c.kind == "system", c.program == "calibrate")
    return {row[0]: row[1] for row in connection.execute(query)}


# retention


def old(connection: Connection, before: float) -> list[str]:
    """Digests whose bytes are there, and which only calibrations name that were followed before then."""
    k = t.calibrations.c
    named = select(k.configuration_hash).union(select(k.properties_hash))
    there = connection.execute(select(t.blobs.c.hash).where(t.blobs.c.hash.in_(named))).scalars()
    kept = _kept(connection, before)
    return [digest for digest in there if digest not in kept]


def drop_bytes(connection: Connection, before: float, digests: Sequence[str]) -> None:
    """Delete these bytes; their calibrations stay on record. What something else has come to name stays."""
    kept = _kept(connection, before)
    for digest in digests:
        if digest not in kept and not are_named(connection, digest):
            drop_blob(connection, digest)


def _kept(connection: Connection, before: float) -> set[str | None]:
    """Digests of each device's first and present calibration, and of those that held at `before` or later.

    The first one answers for all time before it; there is one for each device, and it is never old.
    """
    k = t.calibrations.c
    query = select(k.device, k.number, k.at, k.configuration_hash, k.properties_hash)
    kept: set[str | None] = set()
    followed: dict[str, float] = {}
    for row in connection.execute(query.order_by(k.device, k.number.desc())):
        if row.number == 1 or followed.get(row.device, before) >= before:
            kept.update((row.configuration_hash, row.properties_hash))
        followed[row.device] = row.at
    return kept
