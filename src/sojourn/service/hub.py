"""What the parts of the service share: the store, the records, the devices' dispatchers. No behaviour of
its own but looking things up for a caller."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from sojourn import codes
from sojourn.config import Settings
from sojourn.core.model import JobKind, JobState
from sojourn.core.usage import UsageMeter
from sojourn.execution.engine import Engine
from sojourn.service.accounts import Accounts
from sojourn.service.audit import Audit
from sojourn.service.calibrations import Calibrations
from sojourn.service.clock import Clock
from sojourn.service.crashes import Crashes
from sojourn.service.devices import is_mock
from sojourn.service.disk import Disk
from sojourn.service.dispatcher import Dispatcher
from sojourn.service.errors import NotFound
from sojourn.service.limits import Limits
from sojourn.service.permissions import Action, may
from sojourn.service.projects import Projects
from sojourn.service.records import JobRecord, Records, SessionRecord
from sojourn.service.room import Rooms
from sojourn.service.steps import Steps
from sojourn.service.storage import Storage
from sojourn.service.views import JobView, Principal, SessionView
from sojourn.store import Database, devices, jobs, sessions
from sojourn.worker.protocol.types import Description, DeviceSpec

SLICE = 0.001
"""Seconds that one part of a long answer may take about twice, before others are served."""


@dataclass(slots=True)
class Hub:
    settings: Settings
    store: Database
    clock: Clock
    accounts: Accounts
    records: Records
    engine: Engine
    specs: dict[str, DeviceSpec]
    models: dict[str, str]  # companion -> the device that it looks like
    usage: UsageMeter  # of all devices
    calibrations: Calibrations
    disk: Disk
    steps: Steps
    audit: Audit
    descriptions: dict[str, Description] = field(default_factory=dict)
    dispatchers: dict[str, Dispatcher] = field(default_factory=dict)
    next_seq: int = 1
    rooms: Rooms = field(init=False)
    limits: Limits = field(init=False)
    crashes: Crashes = field(init=False)
    projects: Projects = field(init=False)
    storage: Storage = field(init=False)

    def __post_init__(self) -> None:
        self.rooms = Rooms(self.settings.server)
        self.limits, self.projects, self.storage = Limits(self), Projects(self), Storage(self)
        self.crashes = Crashes(self)

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
            raise NotFound(
                f"There is no backend {(device or '')[:100]!r}. Backends: {names}.", code=codes.UNKNOWN_DEVICE
            )
        return found

    async def job_record(self, who: Principal, job_id: str, action: Action = Action.SEE_JOB) -> JobRecord:
        """The job, if the caller may do this to it, else NotFound."""
        record = self.records.job(job_id)
        if record is None:
            stored = await self.store.read(jobs.get, job_id)
            record = JobRecord(stored.device, stored.job, stored.meta) if stored else None
        if record is None or not _may(who, action, record.job.user, record.job.project):
            raise self.no_such_job(job_id)
        if record.job.user != who.user_id and record.job.kind is JobKind.USER:  # an operator
            self.audit.looked(who, f"job {job_id}", self.accounts.user_name(record.job.user))
        return record

    def no_such_job(self, job_id: str) -> NotFound:
        return NotFound(f"Job {job_id} was not found in this instance.")

    def sees_job(self, who: Principal, job_id: str) -> bool:
        """Whether a job that has not ended, or has just ended, is the caller's to know."""
        record = self.records.job(job_id)
        return record is not None and _may(who, Action.SEE_JOB, record.job.user, record.job.project)

    def sees_session(self, who: Principal, session_id: str) -> bool:
        record = self.records.session(session_id)
        return record is not None and _may(
            who, Action.SEE_SESSION, record.session.user, record.session.project
        )

    async def session_record(
        self, who: Principal, session_id: str, action: Action = Action.SEE_SESSION
    ) -> SessionRecord:
        """The session, if the caller may do this to it, else NotFound."""
        record = self.records.session(session_id)
        if record is None:
            stored = await self.store.read(sessions.get, session_id)
            record = SessionRecord(stored.device, stored.session, list(stored.timestamps)) if stored else None
        if record is None or not _may(who, action, record.session.user, record.session.project):
            raise NotFound(
                f"Session {session_id} was not found in this instance.", code=codes.UNKNOWN_SESSION
            )
        if record.session.user != who.user_id:  # an operator
            self.audit.looked(who, f"session {session_id}", self.accounts.user_name(record.session.user))
        return record

    async def check_filter(self, who: Principal, device: str | None, session_id: str | None) -> None:
        """A slip of the pen must not look like an answer that is empty. Raises NotFound for a device,
        configured or not, of which there is no trace, and for a session of which the caller may know none."""
        known = device is None or device in self.dispatchers
        if device is not None and not known and not await self.store.read(devices.has_traces, device):
            self.dispatcher(device)
        if session_id is None:
            return
        record = self.records.session(session_id)
        stored = await self.store.read(sessions.get, session_id) if record is None else None
        found = record or stored
        if found is None or not _may_count(who, found.session.user, found.session.project):
            raise NotFound(f"There is no session {session_id[:100]!r} of yours.", code=codes.UNKNOWN_SESSION)

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
        """The same of those of `records` that are queued, as the queues are now."""
        waiting: dict[str, list[str]] = {}
        for record in records:
            if record.job.state is JobState.QUEUED:
                waiting.setdefault(record.device, []).append(record.job.id)
        found: dict[str, int] = {}
        for device, wanted in waiting.items():
            # one that the lane does not have has just started or ended: the commit is under way
            found |= dict.fromkeys(wanted, 0) | self.dispatchers[device].lane.positions(wanted)
        return found

    async def many_positions(self, records: Sequence[JobRecord]) -> dict[str, int]:
        """As `positions`, a few at a time. Where many users with equal shares wait each takes a while, and
        the event loop goes on between them."""
        found: dict[str, int] = {}
        size, done = 1, 0
        while done < len(records):
            begin = time.perf_counter()
            found |= self.positions(records[done : done + size])
            done += size
            size = 2 * size if time.perf_counter() - begin < SLICE else max(1, size // 2)
            await asyncio.sleep(0)
        return found

    def session_view(self, record: SessionRecord) -> SessionView:
        session, now = record.session, self.clock.now()
        if (desk := self.dispatchers.get(record.device)) is not None:
            now -= desk.leaping
        longest = session.max_time
        if longest is None:  # D2
            longest = self.settings.profile(record.device).max_time  # the device may be gone by now
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


def _may(who: Principal, action: Action, user: str, project: str) -> bool:
    return may(who, action, owner=who.user_id == user and who.project_id == project)


def _may_count(who: Principal, user: str, project: str) -> bool:
    """Also an admin of the project, who is told what each of its sessions has used."""
    mine = who.project_id == project
    return may(who, Action.COUNT_SESSION, owner=mine and who.user_id == user, admin=mine and who.admin)
