"""Makes the views that callers are shown of the records of jobs and sessions."""

from __future__ import annotations

from sojourn.config import Settings
from sojourn.service.accounts.directory import Directory
from sojourn.service.lanes.records import JobRecord, SessionRecord
from sojourn.service.lanes.registry import Lanes
from sojourn.service.timing.clock import Clock
from sojourn.service.views import JobView, QueueFacts, SessionView


class ViewMaker:
    """Names instead of ids, and times as of now."""

    def __init__(self, settings: Settings, clock: Clock, accounts: Directory, lanes: Lanes) -> None:
        self._settings = settings
        self._clock = clock
        self._accounts = accounts
        self._lanes = lanes

    def job(self, record: JobRecord, position: int | None = None, queue: QueueFacts | None = None) -> JobView:
        job, meta = record.job, record.meta
        return JobView(
            id=job.id,
            device=record.device,
            user=self._accounts.user_name(job.user),
            project=self._accounts.project_name(job.project),
            program_id=job.program,
            state=job.state.value,
            created=job.accepted_at,
            session_id=job.session_id,
            reason=job.reason,
            reason_code=job.reason_code,
            tags=meta.tags,
            private=meta.private,
            cost=meta.cost,
            limit=job.limit,
            log_level=meta.log_level,
            estimated_seconds=job.estimate,
            queued=job.queued_at,
            started=job.started_at,
            finished=job.ended_at,
            quantum_seconds=job.charged,
            num_circuits=meta.num_circuits,
            num_qubits=meta.num_qubits,
            executions=meta.executions,
            attempt=job.attempt,
            position=position,
            caller=meta.caller,
            warnings=meta.warnings,
            queue=queue,
        )

    def session(self, record: SessionRecord) -> SessionView:
        session, now = record.session, self._clock.now()
        if (dispatcher := self._lanes.dispatchers.get(record.device)) is not None:
            now -= dispatcher.leaping
        longest = session.max_time
        if longest is None:  # D2
            longest = self._settings.profile(record.device).max_time  # the device may be gone by now
        return SessionView(
            id=session.id,
            device=record.device,
            mode=session.mode.value,
            user=self._accounts.user_name(session.user),
            project=self._accounts.project_name(session.project),
            state=session.state.value,
            accepting_jobs=session.accepting,
            created=session.created_at,
            max_time=longest,
            interactive_ttl=session.ttl,
            active_ttl=max(0.0, session.ends_at - now)
            if session.ends_at is not None
            else (0.0 if session.started_at is not None or session.closed_at is not None else longest),
            idle_ttl=max(0.0, session.ttl_at - now) if session.ttl_at is not None else None,
            started=session.started_at,
            activated=session.activated_at,
            closed=session.closed_at,
            last_job_started=session.last_job_started,
            last_job_completed=session.last_job_completed,
            elapsed=session.usage(now),
            reason=session.reason,
            timestamps=tuple(record.steps),
        )
