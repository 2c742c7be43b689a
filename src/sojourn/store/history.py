"""The history: every transition of every job, session, device and reservation, and every calibration, as one
row of the table `story`.

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

from sqlalchemy import ColumnElement, Connection, Executable, delete, func, insert, select, update

from sojourn.core.effects import Effect, JobChanged, SessionChanged
from sojourn.core.events import Outcome
from sojourn.core.forecast.learned import Left
from sojourn.core.model import Job, JobKind, JobState, Session, SessionState
from sojourn.store import tables as t
from sojourn.store.database.prepared import inserting
from sojourn.store.jobs import LIVE

SPAN = 5000
"""Ids that one call of `page` goes through at most, whatever is looked for among them."""
_GONE = "history_gone"
LOOKED_AT = 20_000
"""Rows that a look into the past takes at most."""
GIVEN_UP = ("ttl over", "drained", "closed")
"""Causes of the lane that tell what a session's owner does after a job, when the session loses the device."""


class Kind(StrEnum):
    """Of what an entry is."""

    JOB = "job"
    SESSION = "session"
    DEVICE = "device"
    CALIBRATION = "calibration"
    RESERVATION = "reservation"


@dataclass(frozen=True, slots=True)
class Entry:
    """A committed transition. `cause` is the event that led to it; `before` is None for the first one.

    `entity` is the id of the job, session or reservation, the name of the device, or the calibration's id.
    `user_id` and `project_id` are None where it is nobody's; `session_id` is that of a job in a session, or
    the session's own.
    """

    id: int
    at: float
    device: str
    entity: str
    cause: str
    before: str | None
    after: str
    reason: str | None
    kind: str = Kind.JOB
    user_id: str | None = None
    project_id: str | None = None
    session_id: str | None = None


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which entries: all conditions that are not None must hold. `project` is an id; no `kinds` are all."""

    device: str | None = None
    job: str | None = None
    session: str | None = None
    project: str | None = None
    kinds: frozenset[Kind] = frozenset()

    def takes(self, entry: Entry) -> bool:
        """The same of one entry as `page` asks of the table."""
        return (
            (self.device is None or entry.device == self.device)
            and (self.job is None or (entry.entity == self.job and entry.kind == Kind.JOB))
            and (self.session is None or entry.session_id == self.session)
            and (self.project is None or entry.project_id == self.project)
            and (not self.kinds or entry.kind in self.kinds)
        )

    def conditions(self) -> Iterator[ColumnElement[bool]]:
        c = t.story.c
        if self.device is not None:
            yield c.device == self.device
        if self.job is not None:
            yield c.entity == self.job
            yield c.kind == Kind.JOB.value
        if self.session is not None:
            yield c.session_id == self.session
        if self.project is not None:
            yield c.project_id == self.project
        if self.kinds:
            yield c.kind.in_(sorted(self.kinds))


# look


def of(
    connection: Connection, entity: str, states: type[JobState] | type[SessionState] = JobState
) -> list[Entry]:
    """The transitions of a job, or with its states those of a session, oldest first."""
    return _entries(connection, select(t.story).where(*_steps(entity, states)).order_by(t.story.c.id))


def _entries(connection: Connection, query: Executable) -> list[Entry]:
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


def newest_id(connection: Connection) -> int:
    """That of the last transition; 0 in a new store."""
    return connection.execute(select(func.max(t.story.c.id))).scalar() or 0


def ends(connection: Connection) -> tuple[int, int]:
    """(the highest id that retention has deleted or 0, the newest id or 0): after the first of them the
    history is whole."""
    value = connection.execute(select(t.meta.c.value).where(t.meta.c.key == _GONE)).scalar()
    return int(value or 0), newest_id(connection)


def after(connection: Connection, last: int, limit: int) -> list[Entry]:
    """The entries behind that id, oldest first."""
    c = t.story.c
    return _entries(connection, select(t.story).where(c.id > last).order_by(c.id).limit(limit))


def page(connection: Connection, wanted: Wanted, last: int, upto: int, limit: int) -> tuple[list[Entry], int]:
    """Entries behind the id `last`, up to `upto` at most, oldest first; and the id up to which these are
    all. Its time is bounded by `limit` and SPAN."""
    c = t.story.c
    reached = min(upto, last + SPAN)
    query = select(t.story).where(c.id > last, c.id <= reached, *wanted.conditions())
    found = _entries(connection, query.order_by(c.id).limit(limit))
    return found, found[-1].id if len(found) == limit else reached


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


# write


_INSERT = inserting(t.story)


def write(connection: Connection, device: str, effects: Iterable[Effect]) -> None:
    """The transitions of jobs and sessions among the effects of a lane's step."""
    _INSERT.run(connection, *_rows(device, effects))


def _rows(device: str, effects: Iterable[Effect]) -> Iterable[dict[str, Any]]:
    """One row a transition; changes of mere fields are not part of the history."""
    thing: Job | Session
    session: str | None
    for effect in effects:
        if isinstance(effect, JobChanged):
            kind, thing, session = Kind.JOB, effect.job, effect.job.session_id
        elif isinstance(effect, SessionChanged):
            kind, thing, session = Kind.SESSION, effect.session, effect.session.id
        else:
            continue
        before, after = effect.before.value if effect.before is not None else None, thing.state.value
        if before != after:
            yield {
                "at": effect.at,
                "device": device,
                "entity": thing.id,
                "cause": effect.cause,
                "before": before,
                "after": after,
                "reason": thing.reason,
                "kind": kind.value,
                "user_id": thing.user,
                "project_id": thing.project,
                "session_id": session,
            }


def add(
    connection: Connection,
    kind: Kind,
    entity: str,
    *,
    at: float,
    device: str,
    cause: str,
    before: str | None,
    after: str,
    reason: str | None = None,
    user_id: str | None = None,
    project_id: str | None = None,
) -> None:
    """One transition of something else, in the transaction of the change itself. Nothing is written when the
    state stays what it was."""
    if before != after:
        row = {
            "at": at,
            "device": device,
            "entity": entity,
            "cause": cause,
            "before": before,
            "after": after,
            "reason": reason,
            "kind": kind.value,
            "user_id": user_id,
            "project_id": project_id,
        }
        connection.execute(insert(t.story), row)


# retention


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
    """Delete these, and note up to which id the history has gaps from now on."""
    connection.execute(delete(t.story).where(t.story.c.id.in_(ids)))
    gone, _ = ends(connection)
    if ids and max(ids) > gone:
        value = str(max(ids)).encode()
        c = t.meta.c
        if not connection.execute(update(t.meta).where(c.key == _GONE).values(value=value)).rowcount:
            connection.execute(insert(t.meta), {"key": _GONE, "value": value})
