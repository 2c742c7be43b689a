"""Reads who had a device when from the ledger: jobs, held sessions, system jobs, reserved idle time."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection, select

from sojourn.store import tables as t
from sojourn.store.sessions import StoredSession, stored


@dataclass(frozen=True, slots=True)
class Span:
    """Somebody had the device from `start` to `end`. `kind` is one of the ledger's. Users and projects are
    ids; `program` and `state` are the job's, where the row is one of a job."""

    kind: str
    start: float
    end: float
    user: str
    project: str
    job: str | None
    session: str | None
    program: str | None = None
    state: str | None = None


def spans(connection: Connection, device: str, start: float, end: float, most: int) -> list[Span]:
    """What ended after `start` and began before `end`, by time; of more than `most` the latest."""
    c, j = t.ledger.c, t.jobs.c
    query = (
        select(
            c.kind,
            c.started_at,
            c.ended_at,
            c.user_id,
            c.project_id,
            c.job_id,
            c.session_id,
            j.program,
            j.state,
        )
        .select_from(t.ledger.outerjoin(t.jobs, j.id == c.job_id))
        .where(c.device == device, c.ended_at > start, c.started_at < end)
        .order_by(c.ended_at.desc())
        .limit(most)
    )
    return [Span(*row) for row in reversed(connection.execute(query).all())]


def sessions(connection: Connection, device: str, start: float, end: float, most: int) -> list[StoredSession]:
    """Sessions and batches that were open between `start` and `end`, by creation; of more the latest."""
    c = t.sessions.c
    query = (
        select(t.sessions)
        .where(c.device == device, c.created_at < end, (c.closed_at.is_(None)) | (c.closed_at > start))
        .order_by(c.created_at.desc())
        .limit(most)
    )
    return [stored(connection, row) for row in reversed(connection.execute(query).all())]
