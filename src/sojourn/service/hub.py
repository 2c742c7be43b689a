"""What the parts of the service share: the store, the records, the devices' dispatchers. No behaviour of
its own but looking things up for a caller."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from sojourn.config import Settings
from sojourn.core.fairshare import FairShareQueue
from sojourn.core.model import JobKind, JobState
from sojourn.execution.fleet import Fleet
from sojourn.execution.types import Description, DeviceSpec
from sojourn.service.accounts import Accounts
from sojourn.service.audit import Audit
from sojourn.service.calibrations import Calibrations
from sojourn.service.clock import Clock
from sojourn.service.devices import is_mock, profile_of
from sojourn.service.dispatcher import Dispatcher
from sojourn.service.errors import NotFound
from sojourn.service.limits import Limits
from sojourn.service.projects import Projects
from sojourn.service.records import JobRecord, Records, SessionRecord
from sojourn.service.views import JobView, Principal, SessionView
from sojourn.store import Store


@dataclass(slots=True)
class Hub:
    settings: Settings
    store: Store
    clock: Clock
    accounts: Accounts
    records: Records
    fleet: Fleet
    specs: dict[str, DeviceSpec]
    models: dict[str, str]  # companion -> the device that it looks like
    usage: FairShareQueue  # of all devices; nobody waits in it
    calibrations: Calibrations
    audit: Audit
    descriptions: dict[str, Description] = field(default_factory=dict)
    dispatchers: dict[str, Dispatcher] = field(default_factory=dict)
    next_seq: int = 1
    limits: Limits = field(init=False)
    projects: Projects = field(init=False)

    def __post_init__(self) -> None:
        self.limits, self.projects = Limits(self), Projects(self)

    def take_seq(self) -> int:
        """The next number in the order of acceptance."""
        seq = self.next_seq
        self.next_seq += 1
        return seq

    def dispatcher(self, device: str | None) -> Dispatcher:
        """The dispatcher of a configured device. Raises NotFound with the names that there are."""
        found = self.dispatchers.get(device or "")
        if found is None or found.device not in self.specs:
            names = ", ".join(name for name in self.specs if not is_mock(name))
            raise NotFound(f"There is no backend {(device or '')[:100]!r}. Backends: {names}.", code=1205)
        return found

    async def job_record(self, who: Principal, job_id: str) -> JobRecord:
        """The caller's job, or NotFound; operators see every job."""
        record = self.records.job(job_id)
        if record is None:
            stored = await self.store.job(job_id)
            record = JobRecord(stored.device, stored.job, stored.meta) if stored else None
        if record is None or not _may_see(who, record.job.user, record.job.project):
            raise self.no_such_job(job_id)
        if record.job.user != who.user_id and record.job.kind is JobKind.USER:  # an operator
            self.audit.looked(who, f"job {job_id}", self.accounts.user_name(record.job.user))
        return record

    def no_such_job(self, job_id: str) -> NotFound:
        return NotFound(f"Job {job_id} was not found in this instance.")

    async def session_record(self, who: Principal, session_id: str) -> SessionRecord:
        """The caller's session, or NotFound; operators see every session."""
        record = self.records.session(session_id)
        if record is None:
            stored = await self.store.session(session_id)
            record = SessionRecord(stored.device, stored.session, list(stored.timestamps)) if stored else None
        if record is None or not _may_see(who, record.session.user, record.session.project):
            raise NotFound(f"Session {session_id} was not found in this instance.", code=1216)
        if record.session.user != who.user_id:  # an operator
            self.audit.looked(who, f"session {session_id}", self.accounts.user_name(record.session.user))
        return record

    async def check_filter(self, device: str | None, session_id: str | None) -> None:
        """A slip of the pen must not look like an answer that is empty. Raises NotFound for a device,
        configured or not, or a session of which there is no trace."""
        if device is not None and device not in self.dispatchers and not await self.store.traces_of(device):
            self.dispatcher(device)
        if session_id is None or self.records.session(session_id) is not None:
            return
        if await self.store.session(session_id) is None:
            raise NotFound(f"There is no session {session_id[:100]!r}.", code=1216)

    def job_view(self, record: JobRecord, position: int | None = None) -> JobView:
        job, meta = record.job, record.meta
        return JobView(
            id=job.id,
            device=record.device,
            user=self.accounts.user_name(job.user),
            project=self.accounts.project_name(job.project),
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
        )

    def position(self, record: JobRecord) -> int | None:
        """How many jobs are before it on its device; None unless it is queued."""
        return self.positions([record]).get(record.job.id)

    def positions(self, records: Iterable[JobRecord]) -> dict[str, int]:
        """The same of those of `records` that are queued, by one look at the order of each device."""
        waiting: dict[str, set[str]] = {}
        for record in records:
            if record.job.state is JobState.QUEUED:
                waiting.setdefault(record.device, set()).add(record.job.id)
        found: dict[str, int] = {}
        for device, wanted in waiting.items():
            lane = self.dispatchers[device].lane
            found |= dict.fromkeys(wanted, 0)  # one has just started or ended: the commit is under way
            for place, (_, job_id) in enumerate(lane.line(), lane.running is not None):
                if job_id in wanted:
                    found[job_id] = place
                    wanted.remove(job_id)
                    if not wanted:
                        break
        return found

    def session_view(self, record: SessionRecord) -> SessionView:
        session, now = record.session, self.clock.now()
        longest = session.max_time
        if longest is None:  # D2
            longest = profile_of(self.settings, record.device).max_time  # the device may be gone by now
        return SessionView(
            id=session.id,
            device=record.device,
            mode=session.mode.value,
            user=self.accounts.user_name(session.user),
            project=self.accounts.project_name(session.project),
            state=session.state.value,
            accepting_jobs=session.accepting,
            created=session.created_at,
            max_time=longest,
            interactive_ttl=session.ttl,
            active_ttl=max(0.0, session.ends_at - now)
            if session.ends_at is not None
            else (0.0 if session.started_at is not None or session.closed_at is not None else longest),
            started=session.started_at,
            activated=session.activated_at,
            closed=session.closed_at,
            last_job_started=session.last_job_started,
            last_job_completed=session.last_job_completed,
            elapsed=session.usage(now),
            reason=session.reason,
            timestamps=tuple(record.steps),
        )


def _may_see(who: Principal, user: str, project: str) -> bool:
    return who.operator or (who.user_id == user and who.project_id == project)
