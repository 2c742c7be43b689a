"""From rows back to the core's entities and the jobs' meta data."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from sojourn.core.calendar import AfterWindow, Reservation, WindowMode
from sojourn.core.model import Halt, HaltMode, Job, JobKind, JobState, Mode, Session, SessionState
from sojourn.store import tables as t
from sojourn.store.commit import JobMeta


@dataclass(frozen=True, slots=True)
class StoredJob:
    """A job as it lies in the store."""

    device: str
    job: Job
    meta: JobMeta


_JOB_COLUMNS = tuple(t.jobs.c.keys())


def stored_job(row: Iterable[Any]) -> StoredJob:
    """A whole row of `jobs`. By their names, columns of a row would be looked up five times as slowly."""
    values = dict(zip(_JOB_COLUMNS, row, strict=True))
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


def reservation_of(row: Any) -> Reservation:
    return Reservation(
        id=row.id,
        project=row.project_id,
        user=row.user_id,
        start=row.starts_at,
        end=row.ends_at,
        mode=WindowMode(row.mode),
        after_window=AfterWindow(row.after_window),
        idle_since=row.idle_since,
        opened=row.state == "open",
    )


def halt_of(row: Any) -> Halt:
    return Halt(HaltMode(row.mode), row.by, row.message, row.since, row.until)
