"""Finds and deletes what has grown old: bodies, results and steps of what has ended. Never the ledger (R49).

Finding runs on a reader; only the deletion of one small batch is a write.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from sqlalchemy import Connection, delete, or_, select, update

from sojourn.core.model import SessionState
from sojourn.store import tables as t
from sojourn.store.store import LIVE, drop_unused

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
