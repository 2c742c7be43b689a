"""Maps jobs to rows and back, finds jobs, and changes what is not changed by a lane.

What a lane has changed is written by `write`, as a part of a unit of work (`sojourn.store.commit`).
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import msgspec
from sqlalchemy import (
    ColumnElement,
    Connection,
    String,
    delete,
    func,
    insert,
    literal_column,
    or_,
    select,
    update,
)

from sojourn.core.effects import Effect, JobChanged
from sojourn.core.model import Job, JobKind, JobState
from sojourn.store import tables as t
from sojourn.store.blobs import drop_blob, read_blob
from sojourn.store.database.prepared import inserting, updating

LIVE = [JobState.ACCEPTED.value, JobState.QUEUED.value, JobState.RUNNING.value]
# Written out, as databases match a partial index only with values that they can see.
_IS_LIVE = t.jobs.c.state.in_([literal_column(f"'{state}'", String) for state in LIVE])

LEARNT = (
    "warnings",
    "result_hash",
    "logs_hash",
    "num_circuits",
    "num_qubits",
    "executions",
)
"""The fields of JobMeta that change after the submit."""


@dataclass(slots=True)
class JobMeta:
    """What a job carries beside the policy's fields."""

    private: bool = False
    cost: int | None = None
    log_level: str | None = None
    caller: str | None = None
    warnings: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    params_hash: str | None = None
    result_hash: str | None = None
    logs_hash: str | None = None
    submit_digest: str = ""
    idempotency_key: str | None = None
    num_circuits: int | None = None
    num_qubits: int | None = None
    executions: int | None = None

    def learn(self, later: JobMeta) -> None:
        """Take over what preparation and runs find out; the rest has other writers."""
        for name in LEARNT:
            setattr(self, name, getattr(later, name))

    def row(self) -> dict[str, Any]:
        return {
            "private": self.private,
            "cost": self.cost,
            "log_level": self.log_level,
            "caller": self.caller,
            "warnings": json.dumps(self.warnings),
            "tags": json.dumps(self.tags),
            "params_hash": self.params_hash,
            "result_hash": self.result_hash,
            "logs_hash": self.logs_hash,
            "submit_digest": self.submit_digest,
            "idempotency_key": self.idempotency_key,
            "num_circuits": self.num_circuits,
            "num_qubits": self.num_qubits,
            "executions": self.executions,
        }


@dataclass(frozen=True, slots=True)
class StoredJob:
    """A job as it lies in the store."""

    device: str
    job: Job
    meta: JobMeta


@dataclass(frozen=True, slots=True)
class JobQuery:
    """Conditions on jobs; None or empty means any."""

    user: str | None = None
    project: str | None = None
    device: str | None = None
    not_devices: tuple[str, ...] = ()
    pending: bool | None = None
    program: str | None = None
    tags: tuple[str, ...] = ()
    session_id: str | None = None
    after: float | None = None
    before: float | None = None


What = Literal["params", "result"]
FIELDS: dict[What, tuple[str, ...]] = {"params": ("params_hash",), "result": ("result_hash", "logs_hash")}
"""What a job loses when it has grown old, and in which columns that is named."""


@dataclass(frozen=True, slots=True)
class OldJob:
    seq: int
    id: str


# questions


def get(connection: Connection, job_id: str) -> StoredJob | None:
    row = connection.execute(select(t.jobs).where(t.jobs.c.id == job_id)).first()
    return stored_job(row) if row else None


def by_key(connection: Connection, user: str, key: str) -> StoredJob | None:
    """The job that `user` submitted with this idempotency key."""
    query = select(t.jobs).where(t.jobs.c.user_id == user, t.jobs.c.idempotency_key == key)
    row = connection.execute(query).first()
    return stored_job(row) if row else None


def live(connection: Connection) -> list[StoredJob]:
    """All that have not ended, in order of acceptance: where recovery begins (R55)."""
    # Sorted here: asked for an order, SQLite walks the index that has it, past all that has ended.
    rows = sorted(connection.execute(select(t.jobs).where(_IS_LIVE)), key=lambda row: row.seq)
    return [stored_job(row) for row in rows]


def recent(connection: Connection, since: float) -> list[StoredJob]:
    """Jobs accepted after `since`, for recognising a repeated submit after a restart (R54)."""
    query = select(t.jobs).where(t.jobs.c.accepted_at > since).order_by(t.jobs.c.seq)
    return [stored_job(row) for row in connection.execute(query)]


def page(
    connection: Connection, query: JobQuery, *, limit: int, offset: int, ascending: bool
) -> tuple[list[StoredJob], int]:
    """One page of those that match, and how many match in all."""
    conditions = list(_conditions(query))
    count = connection.execute(select(func.count()).select_from(t.jobs).where(*conditions)).scalar()
    order = t.jobs.c.seq.asc() if ascending else t.jobs.c.seq.desc()
    rows = connection.execute(select(t.jobs).where(*conditions).order_by(order).limit(limit).offset(offset))
    return [stored_job(row) for row in rows], count or 0


def last_seq(connection: Connection) -> int:
    """The highest number that a job has; 0 in a new store."""
    return connection.execute(select(func.max(t.jobs.c.seq))).scalar() or 0


def stored_bytes(connection: Connection, project: str | None = None) -> dict[str, int]:
    """Bytes of the inputs, results and logs of each project's jobs, or of one's."""
    c = t.project_storage.c
    query = select(c.project_id, c.bytes)
    if project is not None:
        query = query.where(c.project_id == project)
    return {row[0]: row[1] for row in connection.execute(query)}


def _conditions(query: JobQuery) -> Iterator[ColumnElement[bool]]:
    c = t.jobs.c
    for column, value in (
        (c.user_id, query.user),
        (c.project_id, query.project),
        (c.device, query.device),
        (c.program, query.program),
    ):
        if value is not None:
            yield column == value
    # What few jobs have is looked up first, by its own index: the planner would walk all jobs of the owner.
    if query.session_id is not None:
        yield c.id.in_(select(c.id).where(c.session_id == query.session_id))
    if query.not_devices:
        yield c.device.not_in(query.not_devices)
    if query.pending is not None:
        yield c.id.in_(select(c.id).where(_IS_LIVE)) if query.pending else c.state.not_in(LIVE)
    if query.after is not None:
        yield c.accepted_at >= query.after
    if query.before is not None:
        yield c.accepted_at <= query.before
    for tag in query.tags:
        yield c.id.in_(select(t.job_tags.c.job_id).where(t.job_tags.c.tag == tag))


# changes


def write(
    connection: Connection, device: str, effects: Iterable[Effect], meta: Mapping[str, JobMeta]
) -> None:
    """What the effects of a lane's step have made of jobs; `meta` as in `Unit`."""
    last: dict[str, Job] = {}
    new: set[str] = set()
    for effect in effects:
        if isinstance(effect, JobChanged):
            last[effect.job.id] = effect.job
            if effect.before is None:
                new.add(effect.job.id)
    # those that leave the device first: the index allows one running job at any moment
    for job in sorted(last.values(), key=lambda job: job.state is JobState.RUNNING):
        row = job_row(job)
        rest = meta.get(job.id)
        if job.id in new:
            _INSERT.run(connection, row | (rest or JobMeta()).row() | {"device": device})
            if rest:
                _add_tags(connection, job.id, rest.tags)
        elif rest is not None:
            known = rest.row()
            learnt = {name: known[name] for name in LEARNT}
            _UPDATE_WITH_META.run(connection, row | learnt | {"b_id": job.id})
        else:
            _UPDATE.run(connection, row | {"b_id": job.id})


def set_tags(connection: Connection, job_id: str, tags: Sequence[str]) -> bool:
    """Replaces the tags; False, and nothing is written, when there is no such job (any more)."""
    change = update(t.jobs).where(t.jobs.c.id == job_id).values(tags=json.dumps(list(tags)))
    if not connection.execute(change).rowcount:
        return False
    connection.execute(delete(t.job_tags).where(t.job_tags.c.job_id == job_id))
    _add_tags(connection, job_id, tags)
    return True


def _add_tags(connection: Connection, job_id: str, tags: Sequence[str]) -> None:
    if tags:
        connection.execute(insert(t.job_tags), [{"job_id": job_id, "tag": tag} for tag in tags])


def take_result(connection: Connection, job_id: str, note: str) -> tuple[bytes | None, tuple[str, ...]]:
    """R56: read a private job's result, forget it and add `note` to the job's warnings, in one step.

    Answers the result, or None when there is none, and the warnings that the job has now.
    """
    digest, warnings = _result(connection, job_id)
    if digest is None:
        return None, warnings
    data = read_blob(connection, digest)
    return data, _drop_result(connection, job_id, digest, (*warnings, note))


def forget_result(
    connection: Connection, job_id: str, digest: str, note: str
) -> tuple[bool, tuple[str, ...]]:
    """As `take_result`, for a caller that has a copy of the bytes: whether it is the one that may give
    them, as they are forgotten now, and the warnings that the job has now."""
    present, warnings = _result(connection, job_id)
    if present != digest:
        return False, warnings
    return True, _drop_result(connection, job_id, digest, (*warnings, note))


def _result(connection: Connection, job_id: str) -> tuple[str | None, tuple[str, ...]]:
    """The digest of the job's result, and its warnings."""
    c = t.jobs.c
    row = connection.execute(select(c.result_hash, c.warnings).where(c.id == job_id)).first()
    return (None, ()) if row is None else (row.result_hash, tuple(json.loads(row.warnings)))


def _drop_result(
    connection: Connection, job_id: str, digest: str, warnings: tuple[str, ...]
) -> tuple[str, ...]:
    change = {"result_hash": None, "warnings": json.dumps(warnings)}
    connection.execute(update(t.jobs).where(t.jobs.c.id == job_id).values(change))
    drop_unused(connection, [digest])
    return warnings


def forget_params(connection: Connection, job_id: str | None = None) -> None:
    """R56: a private job's inputs are deleted at its end. Without an id: those of all that have ended."""
    private = [t.jobs.c.private, t.jobs.c.state.not_in(LIVE), t.jobs.c.params_hash.is_not(None)]
    if job_id is not None:
        private.append(t.jobs.c.id == job_id)
    found = connection.execute(select(t.jobs.c.params_hash).where(*private)).scalars().all()
    if found:
        connection.execute(update(t.jobs).where(*private).values(params_hash=None))
        drop_unused(connection, found)


def remove(connection: Connection, job_id: str) -> None:
    """The job and its bytes; its ledger rows stay (R49)."""
    row = connection.execute(select(t.jobs).where(t.jobs.c.id == job_id)).first()
    if row is None:
        return
    connection.execute(delete(t.job_tags).where(t.job_tags.c.job_id == job_id))
    connection.execute(delete(t.jobs).where(t.jobs.c.id == job_id))
    drop_unused(connection, [row.params_hash, row.result_hash, row.logs_hash])


# retention


def old(connection: Connection, what: What, before: float, *, after_seq: int, limit: int) -> list[OldJob]:
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


def drop_unused(connection: Connection, digests: Sequence[str | None]) -> None:
    """Delete the bytes that no job and no calibration names any more."""
    k = t.calibrations.c
    for digest in filter(None, digests):
        named = select(k.number).where((k.configuration_hash == digest) | (k.properties_hash == digest))
        if not are_named(connection, digest) and connection.execute(named.limit(1)).first() is None:
            drop_blob(connection, digest)


def are_named(connection: Connection, digest: str) -> bool:
    """Whether a job has these bytes."""
    c = t.jobs.c
    query = select(c.id).where(
        (c.params_hash == digest) | (c.result_hash == digest) | (c.logs_hash == digest)
    )
    return connection.execute(query.limit(1)).first() is not None


# rows


_COLUMNS = tuple(t.jobs.c.keys())


def stored_job(row: Iterable[Any]) -> StoredJob:
    """A whole row of `jobs`. By their names, columns of a row would be looked up five times as slowly."""
    values = dict(zip(_COLUMNS, row, strict=True))
    return StoredJob(values["device"], _job_of(values), _meta_of(values))


def _job_of(row: Mapping[str, Any]) -> Job:
    return Job(
        id=row["id"],
        seq=row["seq"],
        user=row["user_id"],
        project=row["project_id"],
        program=row["program"],
        accepted_at=row["accepted_at"],
        limit=row["run_limit"],
        own_limit=row["own_limit"],
        stated=row["own_limit"] is None or row["cost"] is not None,
        estimate=row["estimated_seconds"],
        session_id=row["session_id"],
        kind=JobKind(row["kind"]),
        state=JobState(row["state"]),
        queued_at=row["queued_at"],
        started_at=row["started_at"],
        ended_at=row["ended_at"],
        attempt=row["attempt"],
        crashes=row["crashes"],
        crashed=tuple((start, end, jumped) for start, end, jumped in _listed(row["crashed"])),
        detached=row["detached"],
        cache_expires_at=row["cache_expires_at"],
        reason=row["reason"],
        reason_code=row["reason_code"],
        charged=row["charged"],
        reruns=row["reruns"],
    )


def _meta_of(row: Mapping[str, Any]) -> JobMeta:
    return JobMeta(
        private=row["private"],
        cost=row["cost"],
        log_level=row["log_level"],
        caller=row["caller"],
        warnings=tuple(_listed(row["warnings"])),
        tags=tuple(_listed(row["tags"])),
        params_hash=row["params_hash"],
        result_hash=row["result_hash"],
        logs_hash=row["logs_hash"],
        submit_digest=row["submit_digest"],
        idempotency_key=row["idempotency_key"],
        num_circuits=row["num_circuits"],
        num_qubits=row["num_qubits"],
        executions=row["executions"],
    )


def _listed(text: str) -> Sequence[Any]:
    return () if text == "[]" else msgspec.json.decode(text, type=list)


def job_row(job: Job) -> dict[str, Any]:
    return {
        "id": job.id,
        "seq": job.seq,
        "user_id": job.user,
        "project_id": job.project,
        "program": job.program,
        "kind": job.kind.value,
        "state": job.state.value,
        "session_id": job.session_id,
        "accepted_at": job.accepted_at,
        "queued_at": job.queued_at,
        "started_at": job.started_at,
        "ended_at": job.ended_at,
        "run_limit": job.limit,
        "own_limit": job.own_limit,  # whether it is `stated` is in the job's `cost`
        "estimated_seconds": job.estimate,
        "attempt": job.attempt,
        "crashes": job.crashes,
        "crashed": json.dumps(job.crashed) if job.crashed else "[]",
        "detached": job.detached,
        "cache_expires_at": job.cache_expires_at,
        "reason": job.reason,
        "reason_code": job.reason_code,
        "charged": job.charged,
        "reruns": job.reruns,
    }


_FIXED = {"id", "seq", "user_id", "project_id", "program", "kind", "session_id", "accepted_at", "own_limit"}
_CHANGING = [c for c in job_row(Job("", 0, "", "", "", 0.0, 0.0)) if c not in _FIXED]
_INSERT = inserting(t.jobs)
_UPDATE = updating(t.jobs, *_CHANGING)
_UPDATE_WITH_META = updating(t.jobs, *_CHANGING, *LEARNT)
