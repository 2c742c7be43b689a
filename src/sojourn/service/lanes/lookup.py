"""Finds the job or session that a request names, if the caller may know of it."""

from __future__ import annotations

from dataclasses import replace

from sojourn import codes
from sojourn.core.model import JobKind
from sojourn.service.accounts.audit import Audit
from sojourn.service.accounts.directory import Directory
from sojourn.service.accounts.permissions import Action, may
from sojourn.service.errors import NotFound
from sojourn.service.lanes.records import JobRecord, Records, SessionRecord
from sojourn.service.lanes.registry import Lanes
from sojourn.service.views import Principal
from sojourn.store import Database, devices, jobs, sessions


class Lookup:
    """Looks into the records first, then into the store. What an operator sees of others is audited."""

    def __init__(
        self, store: Database, records: Records, accounts: Directory, audit: Audit, lanes: Lanes
    ) -> None:
        self._store = store
        self._records = records
        self._accounts = accounts
        self._audit = audit
        self._lanes = lanes

    async def job(self, who: Principal, job_id: str, action: Action = Action.SEE_JOB) -> JobRecord:
        """The job, if the caller may do this to it, else NotFound."""
        record = self._records.job(job_id)
        if record is None:
            stored = await self._store.read(jobs.get, job_id)
            record = JobRecord(stored.device, stored.job, stored.meta) if stored else None
        if record is None or not self._may_job(who, action, record):
            raise self.no_such_job(job_id)
        if record.job.user != who.user_id and record.job.kind is JobKind.USER:  # an operator
            self._audit.looked(who, f"job {job_id}", self._accounts.user_name(record.job.user))
        return record

    def _may_job(self, who: Principal, action: Action, record: JobRecord) -> bool:
        """A job of the system is nobody's: operators may know of it in every dialect."""
        if record.job.kind is JobKind.SYSTEM and self._accounts.is_operator(who.user_id):
            who = replace(who, operator=True)
        return _may(who, action, record.job.user, record.job.project)

    def no_such_job(self, job_id: str) -> NotFound:
        return NotFound(f"Job {job_id} was not found in this instance.")

    async def session(
        self, who: Principal, session_id: str, action: Action = Action.SEE_SESSION
    ) -> SessionRecord:
        """The session, if the caller may do this to it, else NotFound."""
        record = self._records.session(session_id)
        if record is None:
            stored = await self._store.read(sessions.get, session_id)
            record = SessionRecord(stored.device, stored.session, list(stored.timestamps)) if stored else None
        if record is None or not _may(who, action, record.session.user, record.session.project):
            raise NotFound(
                f"Session {session_id} was not found in this instance.", code=codes.UNKNOWN_SESSION
            )
        if record.session.user != who.user_id:  # an operator
            self._audit.looked(who, f"session {session_id}", self._accounts.user_name(record.session.user))
        return record

    def sees_job(self, who: Principal, job_id: str) -> bool:
        """Whether a job that has not ended, or has just ended, is the caller's to know."""
        record = self._records.job(job_id)
        return record is not None and _may(who, Action.SEE_JOB, record.job.user, record.job.project)

    def sees_session(self, who: Principal, session_id: str) -> bool:
        record = self._records.session(session_id)
        return record is not None and _may(
            who, Action.SEE_SESSION, record.session.user, record.session.project
        )

    async def check_filter(self, who: Principal, device: str | None, session_id: str | None) -> None:
        """A slip of the pen must not look like an answer that is empty. Raises NotFound for a device,
        configured or not, of which there is no trace, and for a session of which the caller may know none."""
        known = device is None or device in self._lanes.dispatchers
        if device is not None and not known and not await self._store.read(devices.has_traces, device):
            self._lanes.dispatcher(device)
        if session_id is None:
            return
        record = self._records.session(session_id)
        stored = await self._store.read(sessions.get, session_id) if record is None else None
        found = record or stored
        if found is None or not _may_count(who, found.session.user, found.session.project):
            raise NotFound(f"There is no session {session_id[:100]!r} of yours.", code=codes.UNKNOWN_SESSION)


def _may(who: Principal, action: Action, user: str, project: str) -> bool:
    return may(who, action, owner=who.user_id == user and who.project_id == project)


def _may_count(who: Principal, user: str, project: str) -> bool:
    """Also an admin of the project, who may know what each of its sessions has used."""
    mine = who.project_id == project
    return may(who, Action.COUNT_SESSION, owner=mine and who.user_id == user, admin=mine and who.admin)
