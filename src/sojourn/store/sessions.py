"""Maps sessions and batches to rows and back, and finds them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, String, literal_column, select

from sojourn.core.effects import Effect, SessionChanged
from sojourn.core.model import Mode, Session, SessionState
from sojourn.store import history
from sojourn.store import tables as t
from sojourn.store.database.prepared import inserting, updating

# Written out, as databases match a partial index only with values that they can see.
_IS_OPEN = t.sessions.c.state != literal_column(f"'{SessionState.CLOSED.value}'", String)


@dataclass(frozen=True, slots=True)
class StoredSession:
    """A session as it lies in the store; `timestamps` are its (state, time) steps, oldest first."""

    device: str
    session: Session
    timestamps: tuple[tuple[str, float], ...]


def get(connection: Connection, session_id: str) -> StoredSession | None:
    row = connection.execute(select(t.sessions).where(t.sessions.c.id == session_id)).first()
    return _stored(connection, row) if row else None


def find(connection: Connection, user: str | None, project: str | None, limit: int) -> list[StoredSession]:
    """Newest first; None means any."""
    query = select(t.sessions).order_by(t.sessions.c.created_at.desc()).limit(limit)
    if user is not None:
        query = query.where(t.sessions.c.user_id == user)
    if project is not None:
        query = query.where(t.sessions.c.project_id == project)
    return [_stored(connection, row) for row in connection.execute(query).all()]


def between(connection: Connection, device: str, start: float, end: float, most: int) -> list[StoredSession]:
    """Sessions and batches that were open between `start` and `end`, by creation; of more the latest."""
    c = t.sessions.c
    query = (
        select(t.sessions)
        .where(c.device == device, c.created_at < end, (c.closed_at.is_(None)) | (c.closed_at > start))
        .order_by(c.created_at.desc())
        .limit(most)
    )
    return [_stored(connection, row) for row in reversed(connection.execute(query).all())]


def live(connection: Connection) -> list[StoredSession]:
    """All that are not closed: where recovery begins (R55)."""
    rows = connection.execute(select(t.sessions).where(_IS_OPEN)).all()
    return [_stored(connection, row) for row in rows]


def write(connection: Connection, device: str, effects: Iterable[Effect]) -> None:
    """What the effects of a lane's step have made of sessions."""
    last: dict[str, Session] = {}
    new: set[str] = set()
    for effect in effects:
        if isinstance(effect, SessionChanged):
            last[effect.session.id] = effect.session
            if effect.before is None:
                new.add(effect.session.id)
    # the active one last: the index allows one at any moment
    for session in sorted(last.values(), key=lambda session: session.state is SessionState.ACTIVE):
        row = session_row(session)
        if session.id in new:
            _INSERT.run(connection, row | {"device": device})
        else:
            _UPDATE.run(connection, row | {"b_id": session.id})


# rows


def _stored(connection: Connection, row: Any) -> StoredSession:
    return StoredSession(row.device, session_of(row), tuple(history.session_steps(connection, row.id)))


def session_of(row: Any) -> Session:
    return Session(
        id=row.id,
        user=row.user_id,
        project=row.project_id,
        mode=Mode(row.mode),
        created_at=row.created_at,
        ttl=row.ttl,
        max_time=row.max_time,
        state=SessionState(row.state),
        accepting=row.accepting,
        first=row.first_job,
        root=row.root_job,
        started_at=row.started_at,
        activated_at=row.activated_at,
        closed_at=row.closed_at,
        ends_at=row.ends_at,
        ttl_at=row.ttl_at,
        ttl_left=row.ttl_left,
        unused_at=row.unused_at,
        hold_since=row.hold_since,
        cache_expires_at=row.cache_expires_at,
        last_job_started=row.last_job_started,
        last_job_completed=row.last_job_completed,
        running_since=row.running_since,
        window=row.window_id,
        job_seconds=row.job_seconds,
        held_seconds=row.held_seconds,
        reason=row.reason,
    )


_SAME_NAME = (
    "id",
    "state",
    "accepting",
    "created_at",
    "ttl",
    "max_time",
    "started_at",
    "activated_at",
    "closed_at",
    "ends_at",
    "ttl_at",
    "ttl_left",
    "unused_at",
    "hold_since",
    "cache_expires_at",
    "last_job_started",
    "last_job_completed",
    "running_since",
    "job_seconds",
    "held_seconds",
    "reason",
)


def session_row(session: Session) -> dict[str, Any]:
    row = {name: getattr(session, name) for name in _SAME_NAME}
    row["state"] = session.state.value
    row["mode"] = session.mode.value
    row["user_id"] = session.user
    row["project_id"] = session.project
    row["first_job"] = session.first
    row["root_job"] = session.root
    row["window_id"] = session.window
    return row


_CHANGING = [
    *(c for c in _SAME_NAME if c not in ("id", "created_at", "ttl")),
    "first_job",
    "root_job",
    "window_id",
]
_INSERT = inserting(t.sessions)
_UPDATE = updating(t.sessions, *_CHANGING)
