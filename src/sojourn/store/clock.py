"""Maps steps of the machine's clock to rows and back; finds the newest time on record."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection, insert, select

from sojourn.store import tables as t


@dataclass(frozen=True, slots=True)
class StoredStep:
    """`at` is the service's time just after it had `jumped`; from then on it leads the clock by `lead`."""

    at: float
    jumped: float
    lead: float


def add(connection: Connection, step: StoredStep) -> None:
    connection.execute(insert(t.clock_steps), {"at": step.at, "jumped": step.jumped, "lead": step.lead})


def steps(connection: Connection) -> list[StoredStep]:
    """Oldest first."""
    c = t.clock_steps.c
    query = select(c.at, c.jumped, c.lead).order_by(c.id)
    return [StoredStep(*row) for row in connection.execute(query)]


def newest(connection: Connection) -> float:
    """The newest time on record; 0 in a new store. It is that of the rows that were written last: early
    versions of this service have followed a clock that was set back."""
    latest = (
        (t.story.c.at, t.story.c.id),
        (t.ledger.c.ended_at, t.ledger.c.id),
        (t.jobs.c.accepted_at, t.jobs.c.seq),
        (t.clock_steps.c.at, t.clock_steps.c.id),
    )
    queries = [select(at).order_by(number.desc()).limit(1) for at, number in latest]
    return max(connection.execute(query).scalar() or 0.0 for query in queries)
