"""Adds charges to the ledger (R49), whose rows are never changed, and sums them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, Connection, Integer, case, cast, func, select

from sojourn.core.effects import Charge, Effect
from sojourn.core.forecast.learned import Ran
from sojourn.store import tables as t
from sojourn.store.database.prepared import inserting

DAY = 86_400
LOOKED_AT = 20_000
"""Rows that a look into the past takes at most."""

COLUMNS: dict[str, Any] = {
    "user": t.ledger.c.user_id,
    "project": t.ledger.c.project_id,
    "device": t.ledger.c.device,
    "kind": t.ledger.c.kind,
    "session": t.ledger.c.session_id,
    "job": t.ledger.c.job_id,
}
"""What rows can be chosen and grouped by, beside the day."""


class Sum(NamedTuple):
    """`keys` in the order asked for; a day is its number since the epoch (UTC). `seconds` on the device,
    `rows` of the ledger."""

    keys: tuple[Any, ...]
    seconds: float
    rows: int


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


@dataclass(frozen=True, slots=True)
class Mask:
    """`others` stands for the user, session and job in the rows of everybody but `user`."""

    user: str
    others: str

    def of(self, key: str) -> ColumnElement[Any]:
        column: ColumnElement[Any] = COLUMNS[key]
        if key not in ("user", "session", "job"):
            return column
        return case((t.ledger.c.user_id == self.user, column), (column.is_(None), None), else_=self.others)


_INSERT = inserting(t.ledger)


def write(connection: Connection, device: str, effects: Iterable[Effect]) -> None:
    """The charges among the effects of a lane's step."""
    _INSERT.run(
        connection,
        *(
            {
                "kind": e.kind.value,
                "device": device,
                "user_id": e.user,
                "project_id": e.project,
                "job_id": e.job_id,
                "session_id": e.session_id,
                "started_at": e.start,
                "ended_at": e.end,
                "seconds": e.seconds,
            }
            for e in effects
            if isinstance(e, Charge)
        ),
    )


def sums(
    connection: Connection,
    start: float,
    end: float,
    by: tuple[str, ...],
    only: dict[str, str],
    *,
    most: int,
    mask: Mask | None = None,
) -> list[Sum]:
    """The ledger within [start, end) in seconds since the epoch, grouped by keys of COLUMNS and `day`.

    No more than `most` sums, and one more that says that there are more.

    A row that begins before or ends after the period counts with the part within, and one that lasts over
    midnight counts on each day with its part; so the sums of adjoining periods add up.
    """
    c = t.ledger.c
    within = [c.ended_at > start, c.started_at < end, *(COLUMNS[k] == v for k, v in only.items())]
    # a charge may be less than the time between its ends, never more: the part within counts evenly
    begin = case((c.started_at < start, start), else_=c.started_at)
    finish = case((c.ended_at > end, end), else_=c.ended_at)
    share = c.seconds * (finish - begin) / (c.ended_at - c.started_at)
    columns = {k: mask.of(k) if mask is not None else COLUMNS[k] for k in by if k != "day"}
    if "day" not in by:
        keys = [columns[k] for k in by]
        query = select(*keys, func.sum(share), func.count()).where(*within).group_by(*keys).limit(most + 1)
        totals = connection.execute(query).all()
        return [Sum(tuple(keys), seconds, rows) for *keys, seconds, rows in totals if rows]
    first, last = _day(connection, begin), _day(connection, finish)
    keys = [first if k == "day" else columns[k] for k in by]
    query = select(*keys, func.sum(share), func.count()).where(*within, first == last).group_by(*keys)
    query = query.limit(most + 1)
    found = {tuple(row[:-2]): Sum(tuple(row[:-2]), row[-2], row[-1]) for row in connection.execute(query)}
    plain = list(columns.values())
    across = select(*plain, begin, finish, share).where(*within, first != last)
    for row in connection.execute(across):
        for day, part in _parts(row[-3], row[-2]):
            rest = iter(row[:-3])
            key = tuple(day if k == "day" else next(rest) for k in by)
            seconds = row[-1] * part / (row[-2] - row[-3])
            old = found.get(key, Sum(key, 0.0, 0))
            found[key] = Sum(key, old.seconds + seconds, old.rows + 1)
        if len(found) > most:
            break
    return list(found.values())


def ran(connection: Connection, device: str, after_id: int) -> tuple[list[Ran], int]:
    """The jobs that have had the device, by the rows later than `after_id`, oldest first; and the last id. Of
    all devices the latest LOOKED_AT rows at most."""
    c, j, s = t.ledger.c, t.jobs.c, t.sessions.c
    newest_id = connection.execute(select(func.max(c.id))).scalar() or 0
    query = (
        select(
            c.job_id,
            c.user_id,
            j.program,
            j.estimated_seconds,
            j.accepted_at,
            c.started_at,
            c.ended_at,
            c.session_id,
            s.mode,
        )
        .join(t.jobs, j.id == c.job_id)
        .outerjoin(t.sessions, s.id == c.session_id)
        .where(c.id > max(after_id, newest_id - LOOKED_AT), c.id <= newest_id, c.device == device)
        .order_by(c.id)
    )
    return [Ran(*row) for row in connection.execute(query)], newest_id


def charged(connection: Connection, since: float, step: float) -> list[tuple[str, str, float, float]]:
    """(user, project, seconds, when) of what was charged after `since`, step by step; without system jobs.

    The rows of a user in a project that ended in the same step, from `(n - 1) * step` to `n * step`, are one:
    their seconds, and the middle of their ends, each weighed by its seconds (D18).
    """
    c = t.ledger.c
    steps = c.ended_at / step
    number = _floor(connection, steps)
    number = number + case((steps > number, 1), else_=0)
    query = (
        select(
            c.user_id,
            c.project_id,
            func.sum(c.seconds),
            func.sum(c.seconds * c.ended_at),
            func.min(c.ended_at),
            func.max(c.ended_at),
        )
        .where(c.ended_at > since, c.kind != "system", c.seconds > 0)
        .group_by(number, c.user_id, c.project_id)
        .order_by(number, c.user_id, c.project_id)
    )
    # the middle is brought back between first and last, from where rounding may carry it into another step
    return [
        (user, project, seconds, min(max(weighed / seconds, first), last))
        for user, project, seconds, weighed, first, last in connection.execute(query)
    ]


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


def _day(connection: Connection, at: ColumnElement[Any]) -> ColumnElement[Any]:
    return _floor(connection, at / float(DAY))


def _floor(connection: Connection, number: ColumnElement[Any]) -> ColumnElement[Any]:
    """Of a number that is not negative."""
    return func.floor(number) if connection.dialect.name == "postgresql" else cast(number, Integer)


def _parts(begin: float, end: float) -> Iterator[tuple[int, float]]:
    """(day, seconds of it) from `begin` to `end`."""
    day = int(begin // DAY)
    while day * DAY < end:
        part = min(end, (day + 1) * DAY) - max(begin, day * DAY)
        if part > 0:
            yield day, part
        day += 1
