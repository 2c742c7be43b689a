"""The history: every transition of every job and session, as one row of the table `story`.

A row's id grows in the order of the commits, over all devices. The database gives ids within a transaction,
one thread of one process writes (`sojourn.store.database.writer`), and it runs what it was given in the
order in which that is committed. When a group of units fails, nobody has seen their ids, and each is run
again by itself in the same order. A reader that has seen an id therefore never finds a smaller one later.
SQLite continues from the highest id that exists, so the newest row is never deleted (`old`): an id would be
given twice. A store with several writers needs more than a sequence, because a sequence gives its numbers
before the commits.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from sqlalchemy import ColumnElement, Connection, delete, func, insert, select

from sojourn.core.effects import Effect, JobChanged, SessionChanged
from sojourn.core.events import Outcome
from sojourn.core.forecast.learned import Left
from sojourn.core.model import JobKind, JobState, SessionState
from sojourn.store import tables as t
from sojourn.store.jobs import LIVE

LOOKED_AT = 20_000
"""Rows that a look into the past takes at most."""
GIVEN_UP = ("ttl over", "drained", "closed")
"""Causes of the lane that tell what a session's owner does after a job, when the session loses the device."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A committed transition. `cause` is the event that led to it; `before` is None for the first one."""

    id: int
    at: float
    device: str
    entity: str
    cause: str
    before: str | None
    after: str
    reason: str | None


def of(
    connection: Connection, entity: str, states: type[JobState] | type[SessionState] = JobState
) -> list[Entry]:
    """The transitions of a job, or with its states those of a session, oldest first."""
    query = select(t.story).where(*_steps(entity, states)).order_by(t.story.c.id)
    return [Entry(**row) for row in connection.execute(query).mappings()]


def session_steps(connection: Connection, session_id: str) -> Iterator[tuple[str, float]]:
    """(state, time), oldest first."""
    c = t.story.c
    query = select(c.after, c.at).where(*_steps(session_id, SessionState)).order_by(c.id)
    return ((row.after, row.at) for row in connection.execute(query))


def _steps(entity: str, states: type[StrEnum]) -> Iterator[ColumnElement[bool]]:
    """A session that a job has started has the job's id: its steps are distinguished by their states."""
    yield t.story.c.entity == entity
    yield t.story.c.after.in_([state.value for state in states])


def newest(connection: Connection) -> float:
    """When the last transition was written; 0 in a new store (D19)."""
    last = select(t.story.c.at).order_by(t.story.c.id.desc()).limit(1)
    return connection.execute(last).scalar() or 0.0


def crashes(connection: Connection, since: float) -> list[tuple[str, float]]:
    """(user, when) of each time after `since` that a job of a user has ended its worker, oldest first."""
    query = (
        select(t.jobs.c.user_id, t.story.c.at)
        .join(t.jobs, t.jobs.c.id == t.story.c.entity)
        .where(t.story.c.cause == str(Outcome.CRASHED), t.story.c.at > since)
        .where(t.jobs.c.kind == str(JobKind.USER))
        .order_by(t.story.c.at)
    )
    return [(row.user_id, row.at) for row in connection.execute(query)]


def left(connection: Connection, device: str, after_id: int) -> tuple[list[Left], int]:
    """The sessions that have given the device up, by their owner's close or by their ttl, in the entries
    later than `after_id`, oldest first; and the last id. Of all devices the latest LOOKED_AT at most."""
    c, s = t.story.c, t.sessions.c
    newest_id = connection.execute(select(func.max(c.id))).scalar() or 0
    query = (
        select(c.entity, s.user_id, s.mode, c.at, s.last_job_completed, c.after)
        .join(t.sessions, s.id == c.entity)
        .where(c.id > max(after_id, newest_id - LOOKED_AT), c.id <= newest_id, c.device == device)
        .where(
            c.before == SessionState.ACTIVE.value, c.cause.in_(GIVEN_UP), s.last_job_completed.is_not(None)
        )
        .where(c.after.in_([SessionState.INACTIVE.value, SessionState.CLOSED.value]))
        .order_by(c.id)
    )
    found = [
        Left(entity, user, mode, at, completed, after == SessionState.CLOSED.value)
        for entity, user, mode, at, completed, after in connection.execute(query)
    ]
    return found, newest_id


def write(connection: Connection, device: str, effects: Iterable[Effect]) -> None:
    """The transitions among the effects of a lane's step."""
    rows = list(_rows(device, effects))
    if rows:
        connection.execute(insert(t.story), rows)


def _rows(device: str, effects: Iterable[Effect]) -> Iterable[dict[str, Any]]:
    """One row a transition; changes of mere fields are not part of the history."""
    for effect in effects:
        if isinstance(effect, JobChanged):
            entity, after, reason = effect.job.id, effect.job.state.value, effect.job.reason
        elif isinstance(effect, SessionChanged):
            entity, after, reason = effect.session.id, effect.session.state.value, effect.session.reason
        else:
            continue
        before = effect.before.value if effect.before is not None else None
        if before != after:
            yield {
                "at": effect.at,
                "device": device,
                "entity": entity,
                "cause": effect.cause,
                "before": before,
                "after": after,
                "reason": reason,
            }


def old(connection: Connection, before: float, *, after_id: int, limit: int) -> list[int]:
    """Ids of entries from before then whose job or session has ended; never that of the newest entry."""
    c = t.story.c
    live_jobs = select(t.jobs.c.id).where(t.jobs.c.state.in_(LIVE))
    live_sessions = select(t.sessions.c.id).where(t.sessions.c.state != SessionState.CLOSED.value)
    newest_id = select(func.max(c.id)).scalar_subquery()
    query = (
        select(c.id)
        .where(c.id > after_id, c.id < newest_id, c.at < before)
        .where(c.entity.not_in(live_jobs), c.entity.not_in(live_sessions))
        .order_by(c.id)
        .limit(limit)
    )
    return list(connection.execute(query).scalars())


def remove(connection: Connection, ids: Sequence[int]) -> None:
    connection.execute(delete(t.story).where(t.story.c.id.in_(ids)))
