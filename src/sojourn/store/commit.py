"""A unit of work: what one event changed, written in one transaction or not at all.

Owns the mapping from the core's facts to rows. Decides nothing.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection, bindparam, delete, insert, update

from sojourn.core.effects import (
    Charge,
    DeviceChanged,
    Effect,
    JobChanged,
    ReservationChanged,
    SessionChanged,
)
from sojourn.core.model import Halt, Job, JobState, Session, SessionState
from sojourn.store import tables as t
from sojourn.store.blobs import put_blobs
from sojourn.store.journal import JournalRow, put_journal

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


@dataclass(slots=True)
class Unit:
    """The facts of one step of one device, and the bytes that belong to them.

    `meta` holds the rest of the row for every job that is new or whose rest changed; `also` writes what else
    belongs to the step, in the same transaction.
    """

    device: str
    effects: Sequence[Effect]
    meta: Mapping[str, JobMeta] = field(default_factory=dict)
    blobs: Mapping[str, bytes] = field(default_factory=dict)
    also: Callable[[Connection], None] | None = None
    journal: Sequence[JournalRow] = ()

    def write(self, connection: Connection) -> None:
        put_blobs(connection, self.blobs)
        self._write_sessions(connection)
        self._write_jobs(connection)
        self._write_device(connection)
        self._write_ledger(connection)
        self._write_story(connection)
        if self.also is not None:
            self.also(connection)
        put_journal(connection, self.journal)

    def _write_jobs(self, connection: Connection) -> None:
        last: dict[str, Job] = {}
        new: set[str] = set()
        for effect in self.effects:
            if isinstance(effect, JobChanged):
                last[effect.job.id] = effect.job
                if effect.before is None:
                    new.add(effect.job.id)
        # those that leave the device first: the index allows one running job at any moment
        for job in sorted(last.values(), key=lambda job: job.state is JobState.RUNNING):
            row = job_row(job)
            meta = self.meta.get(job.id)
            if job.id in new:
                full = row | (meta or JobMeta()).row() | {"device": self.device}
                connection.execute(insert(t.jobs), full)
                if meta and meta.tags:
                    connection.execute(insert(t.job_tags), [{"job_id": job.id, "tag": x} for x in meta.tags])
            elif meta is not None:
                known = meta.row()
                learnt = {name: known[name] for name in LEARNT}
                connection.execute(_UPDATE_JOB_AND_META, row | learnt | {"b_id": job.id})
            else:
                connection.execute(_UPDATE_JOB, row | {"b_id": job.id})

    def _write_sessions(self, connection: Connection) -> None:
        last: dict[str, Session] = {}
        new: set[str] = set()
        for effect in self.effects:
            if isinstance(effect, SessionChanged):
                last[effect.session.id] = effect.session
                if effect.before is None:
                    new.add(effect.session.id)
        for session in sorted(last.values(), key=lambda session: session.state is SessionState.ACTIVE):
            row = session_row(session)
            if session.id in new:
                connection.execute(insert(t.sessions), row | {"device": self.device})
            else:
                connection.execute(_UPDATE_SESSION, row | {"b_id": session.id})

    def _write_device(self, connection: Connection) -> None:
        """Reservations and what operators want of the device: rare, so written one by one."""
        for effect in self.effects:
            if isinstance(effect, ReservationChanged):
                row = reservation_row(effect) | {"device": self.device}
                same = t.reservations.c.id == row["id"]
                if not connection.execute(update(t.reservations).where(same).values(row)).rowcount:
                    connection.execute(insert(t.reservations), row)
            elif isinstance(effect, DeviceChanged):
                connection.execute(delete(t.device_states).where(t.device_states.c.device == self.device))
                if effect.halt is not None:
                    connection.execute(insert(t.device_states), halt_row(self.device, effect.halt))

    def _write_ledger(self, connection: Connection) -> None:
        rows = [
            {
                "kind": e.kind.value,
                "device": self.device,
                "user_id": e.user,
                "project_id": e.project,
                "job_id": e.job_id,
                "session_id": e.session_id,
                "started_at": e.start,
                "ended_at": e.end,
                "seconds": e.seconds,
            }
            for e in self.effects
            if isinstance(e, Charge)
        ]
        if rows:
            connection.execute(insert(t.ledger), rows)

    def _write_story(self, connection: Connection) -> None:
        rows = list(story_rows(self.device, self.effects))
        if rows:
            connection.execute(insert(t.story), rows)


def story_rows(device: str, effects: Iterable[Effect]) -> Iterable[dict[str, Any]]:
    """One row a transition; changes of mere fields are not part of the story."""
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
        "own_limit": job.own_limit,  # whether it is `stated` the job's `cost` tells
        "estimated_seconds": job.estimate,
        "attempt": job.attempt,
        "crashes": job.crashes,
        "crashed": json.dumps(job.crashed) if job.crashed else "[]",
        "detached": job.detached,
        "cache_expires_at": job.cache_expires_at,
        "reason": job.reason,
        "reason_code": job.reason_code,
        "charged": job.charged,
    }


def reservation_row(effect: ReservationChanged) -> dict[str, Any]:
    window = effect.reservation
    return {
        "id": window.id,
        "project_id": window.project,
        "user_id": window.user,
        "starts_at": window.start,
        "ends_at": window.end,
        "mode": window.mode.value,
        "after_window": window.after_window.value,
        "idle_since": window.idle_since,
        "state": effect.state,
        "changed_at": effect.at,
    }


def halt_row(device: str, halt: Halt) -> dict[str, Any]:
    return {
        "device": device,
        "mode": halt.mode.value,
        "by": halt.by,
        "message": halt.message,
        "since": halt.since,
        "until": halt.until,
    }


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


_FIXED = {"id", "seq", "user_id", "project_id", "program", "kind", "session_id", "accepted_at", "own_limit"}
_JOB_COLUMNS = [c for c in job_row(Job("", 0, "", "", "", 0.0, 0.0)) if c not in _FIXED]
_SESSION_COLUMNS = [
    *(c for c in _SAME_NAME if c not in ("id", "created_at", "ttl")),
    "first_job",
    "root_job",
    "window_id",
]
_UPDATE_JOB = (
    update(t.jobs).where(t.jobs.c.id == bindparam("b_id")).values({c: bindparam(c) for c in _JOB_COLUMNS})
)
_UPDATE_JOB_AND_META = (
    update(t.jobs)
    .where(t.jobs.c.id == bindparam("b_id"))
    .values({c: bindparam(c) for c in (*_JOB_COLUMNS, *LEARNT)})
)
_UPDATE_SESSION = (
    update(t.sessions)
    .where(t.sessions.c.id == bindparam("b_id"))
    .values({c: bindparam(c) for c in _SESSION_COLUMNS})
)
