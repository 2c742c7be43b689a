"""Finds and deletes what has grown old: bodies, results and steps of what has ended, bytes of calibrations,
rows of the journal. Never the ledger (R49).

Finding runs on a reader; only the deletion of one small batch is a write.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from sqlalchemy import Connection, delete, func, or_, select, update

from sojourn.core.model import SessionState
from sojourn.store import tables as t
from sojourn.store.blobs import drop_blob
from sojourn.store.jobs import LIVE, drop_unused, named_by_a_job

What = Literal["params", "result"]
FIELDS: dict[What, tuple[str, ...]] = {"params": ("params_hash",), "result": ("result_hash", "logs_hash")}


@dataclass(frozen=True, slots=True)
class OldJob:
    seq: int
    id: str


def old_jobs(
    connection: Connection, what: What, before: float, *, after_seq: int, limit: int
) -> list[OldJob]:
    """Jobs that ended before then and still have it, in order of acceptance from `after_seq` on."""
    c = t.jobs.c
    query = (
        select(c.seq, c.id)
        .where(c.seq > after_seq, c.state.not_in(LIVE), c.ended_at < before)
        .where(or_(*(c[name].is_not(None) for name in FIELDS[what])))
        .order_by(c.seq)
        .limit(limit)
    )
    return [OldJob(row.seq, row.id) for row in connection.execute(query)]


def forget(connection: Connection, what: What, jobs: Sequence[str]) -> list[str]:
    """Take it from these jobs; answers the digests that they had. Bytes that another job has stay."""
    names = FIELDS[what]
    chosen = t.jobs.c.id.in_(jobs)
    rows = connection.execute(select(*(t.jobs.c[name] for name in names)).where(chosen)).all()
    digests = [digest for row in rows for digest in row if digest is not None]
    connection.execute(update(t.jobs).where(chosen).values(dict.fromkeys(names)))
    drop_unused(connection, list(dict.fromkeys(digests)))
    return digests


def old_steps(connection: Connection, before: float, *, after_id: int, limit: int) -> list[int]:
    """Ids of steps from before then whose job or session has ended."""
    c = t.story.c
    live_jobs = select(t.jobs.c.id).where(t.jobs.c.state.in_(LIVE))
    live_sessions = select(t.sessions.c.id).where(t.sessions.c.state != SessionState.CLOSED.value)
    query = (
        select(c.id)
        .where(c.id > after_id, c.at < before)
        .where(c.entity.not_in(live_jobs), c.entity.not_in(live_sessions))
        .order_by(c.id)
        .limit(limit)
    )
    return list(connection.execute(query).scalars())


def delete_steps(connection: Connection, ids: Sequence[int]) -> None:
    connection.execute(delete(t.story).where(t.story.c.id.in_(ids)))


def old_calibrations(connection: Connection, before: float) -> list[str]:
    """Digests whose bytes are there, and which only calibrations name that were followed before then."""
    k = t.calibrations.c
    named = select(k.configuration_hash).union(select(k.properties_hash))
    there = connection.execute(select(t.blobs.c.hash).where(t.blobs.c.hash.in_(named))).scalars()
    kept = _kept_by_calibrations(connection, before)
    return [digest for digest in there if digest not in kept]


def drop_calibrations(connection: Connection, before: float, digests: Sequence[str]) -> None:
    """Delete these bytes; their calibrations stay on record. What something else has come to name stays."""
    kept = _kept_by_calibrations(connection, before)
    for digest in digests:
        if digest not in kept and not named_by_a_job(connection, digest):
            drop_blob(connection, digest)


def _kept_by_calibrations(connection: Connection, before: float) -> set[str | None]:
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


def journal_begins(connection: Connection, before: float) -> dict[str, int]:
    """For each device the last row before then at which a replay can begin: a start of its lane."""
    c = t.journal.c
    query = select(c.device, func.max(c.id)).where(c.kind == "Restored", c.at < before).group_by(c.device)
    return {row[0]: row[1] for row in connection.execute(query)}


def journal_rows(connection: Connection, device: str, first: int, *, limit: int) -> list[int]:
    """The oldest rows of a device before the row `first`."""
    c = t.journal.c
    query = select(c.id).where(c.device == device, c.id < first).order_by(c.id).limit(limit)
    return list(connection.execute(query).scalars())


def delete_journal(connection: Connection, ids: Sequence[int]) -> None:
    connection.execute(delete(t.journal).where(t.journal.c.id.in_(ids)))
