"""From a checked request to a committed job: who may have it where, its preparation, the lane's events.

Whether a submit repeats an earlier one is decided before.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Callable
from dataclasses import replace

import structlog

from sojourn import codes
from sojourn.config import Settings
from sojourn.core import Mode
from sojourn.core import events as ev
from sojourn.execution.engine import JOB, DeviceUnavailable, Engine
from sojourn.execution.local.greeting import delay
from sojourn.service import ids
from sojourn.service.accounts.directory import Directory
from sojourn.service.accounts.permissions import Action
from sojourn.service.background import Background
from sojourn.service.companions import is_mock
from sojourn.service.data.disk import Disk
from sojourn.service.devices.calibrations import Calibrations
from sojourn.service.devices.leases import Leases
from sojourn.service.errors import BadRequest, Conflict, NoRoom, Refusal, SessionClosed, TooLarge
from sojourn.service.lanes.dispatcher import Dispatcher
from sojourn.service.lanes.lookup import Lookup
from sojourn.service.lanes.records import JobRecord, Records
from sojourn.service.lanes.registry import Lanes
from sojourn.service.projects.limits import Limits
from sojourn.service.projects.storage import Storage
from sojourn.service.requests.exchange import Call
from sojourn.service.requests.rooms import Rooms
from sojourn.service.submission import NewJob
from sojourn.service.tracing.traces import Traces
from sojourn.service.views import Principal
from sojourn.store import JobMeta
from sojourn.store.blobs import read_blob, read_up_to, stage, unstage
from sojourn.store.database import Database, StoreFull
from sojourn.store.jobs import StoredJob
from sojourn.worker.protocol.types import JobRefused, Prepared

log = structlog.get_logger("sojourn.admission")
MAX_CALLER = 400
LATER = 4
"""Preparations of one user's acknowledged jobs that wait in memory at a time, at least. The others wait as
rows of the store."""


class Admission:
    def __init__(
        self,
        *,
        settings: Settings,
        store: Database,
        records: Records,
        lanes: Lanes,
        accounts: Directory,
        lookup: Lookup,
        engine: Engine,
        calibrations: Calibrations,
        limits: Limits,
        storage: Storage,
        disk: Disk,
        rooms: Rooms,
        leases: Leases,
        traces: Traces,
        on_prepared: Callable[[str, float], None],
    ) -> None:
        """`on_prepared` hears of each preparation: its device, and its seconds."""
        self._hold = settings.policy.admission_hold
        self._store = store
        self._records = records
        self._lanes = lanes
        self._accounts = accounts
        self._lookup = lookup
        self._engine = engine
        self._calibrations = calibrations
        self._limits = limits
        self._storage = storage
        self._disk = disk
        self._rooms = rooms
        self._leases = leases
        self._traces = traces
        self._on_prepared = on_prepared
        self._preparations = Background(_broken)
        most = max(LATER, 2 * settings.server.preparers)
        self._at_a_time: defaultdict[str, asyncio.Semaphore] = defaultdict(lambda: asyncio.Semaphore(most))

    async def admit(
        self, who: Principal, new: NewJob, call: Call, digest: str, idempotency_key: str | None = None
    ) -> JobRecord:
        """The record of the job, once it is committed. A job that is refused leaves nothing behind."""
        self._disk.check()
        dispatcher = await self._dispatcher_for(who, new)
        self._leases.check(who, dispatcher.device)
        if new.calibration is not None:
            self._calibrations.check_current(dispatcher.device, new.calibration)
        if (full := await self._storage.over(who.project_id, len(new.params))) is not None:
            raise TooLarge(full)
        job_id = ids.new_id("d")
        self._limits.job(who, job_id, new, dispatcher.device, dispatcher.lane.profile)
        self._traces.begun(job_id)
        try:
            return await self._commit(who, new, dispatcher, job_id, call, digest, idempotency_key)
        except BaseException:
            self._limits.job_refused(job_id)
            self._traces.refused(job_id)
            raise

    async def _commit(
        self,
        who: Principal,
        new: NewJob,
        dispatcher: Dispatcher,
        job_id: str,
        call: Call,
        digest: str,
        idempotency_key: str | None,
    ) -> JobRecord:
        """Prepare and commit a job that counts already."""
        params = new.params
        params_hash = await ids.sha256_aside(params)
        meta = JobMeta(
            private=new.private,
            cost=new.max_execution_time,
            log_level=new.log_level,
            caller=call.application[:MAX_CALLER] if call.application is not None else None,
            tags=new.tags,
            params_hash=params_hash,
            submit_digest=digest,
            idempotency_key=idempotency_key,
        )
        begun = asyncio.Event()
        JOB.set(job_id)
        preparing = asyncio.ensure_future(
            self._measured(dispatcher.device, new.program, params, who.user, begun.set)
        )
        preparing.add_done_callback(_consume)
        if call.held is not None:
            call.held.until(preparing)  # whose turn may come long after the answer
        own_limit = self._limits.own_limit(who, new, dispatcher.lane.profile)

        def warn() -> None:
            meta.warnings = (*meta.warnings, *dispatcher.lane.job_warnings(job_id))

        staged: list[str] = []
        try:
            await asyncio.wait({preparing}, timeout=self._hold)
            prepared: Prepared | None = None
            if preparing.done():
                limit = dispatcher.lane.profile.run_limit(new.program, own_limit)
                prepared = self._outcome(who.project_id, dispatcher.device, preparing, limit)
                _note(meta, prepared)
            blobs = {params_hash: params}
            staged = await self._stage(blobs)
            self._accounts.check(who)  # whoever was revoked meanwhile starts nothing more
            self._leases.check(who, dispatcher.device)
            if new.opens is not None:
                self._limits.session(who, job_id, dispatcher.lane.profile)
            events = self._events_of(who, new, job_id, own_limit, prepared)
            committed = dispatcher.feed(*events, metas={job_id: meta}, blobs=blobs, taken=warn)
        except BaseException as error:
            preparing.cancel()  # there is no job that it could be for
            unstage(self._store, staged)
            if new.opens is not None and isinstance(error, Refusal):
                dispatcher.feed(ev.SessionClosed(job_id, "the service, as its first job was refused"))
            raise
        self._records.blobs.put(params_hash, params)
        await committed
        record = self._records.job(job_id)
        assert record is not None, "a committed job is on record"
        if prepared is None:
            if not begun.is_set():  # its body need not wait in memory: it is in the store now
                preparing.cancel()
            self._preparations.spawn(
                self._prepare_later(dispatcher, record, preparing if begun.is_set() else None)
            )
        return record

    async def _stage(self, blobs: dict[str, bytes]) -> list[str]:
        """Large inputs, ahead of the commit of their job. Raises NoRoom."""
        try:
            return await stage(self._store, blobs)
        except StoreFull as error:
            raise NoRoom(
                f"The job's inputs cannot be stored: {error}. Submit it again later, or a smaller one; "
                "deleting jobs that you do not need any more makes room."
            ) from None

    def _events_of(
        self,
        who: Principal,
        new: NewJob,
        job_id: str,
        own_limit: float | None,
        prepared: Prepared | None,
    ) -> list[ev.Event]:
        """The events of a submit; a session that the job starts has the job's id."""
        session_id = job_id if new.opens is not None else new.session
        events: list[ev.Event] = []
        if new.opens is not None:
            seconds = None if new.opens.max_time is None else float(new.opens.max_time)
            events.append(ev.SessionOpened(job_id, who.user_id, who.project_id, Mode.DEDICATED, seconds))
        events.append(
            ev.JobAccepted(
                job_id,
                self._lanes.take_seq(),
                who.user_id,
                who.project_id,
                new.program,
                session_id,
                own_limit,
                stated=new.max_execution_time is not None or own_limit is None,
            )
        )
        if prepared is not None:
            events.append(ev.JobPrepared(job_id, prepared.estimated_seconds))
        return events

    def _outcome(
        self, project: str, device: str, preparing: asyncio.Future[Prepared], limit: float
    ) -> Prepared:
        """What preparation found of a job that may run `limit` seconds; a refusal becomes the answer to the
        submit."""
        try:
            prepared = preparing.result()
            self._limits.prepared(project, prepared, limit)
            self._disk.check_result(prepared.result_bytes)
        except JobRefused as error:
            raise BadRequest(error.message, code=error.code) from None
        except DeviceUnavailable as error:
            raise Conflict(f"{device} cannot take jobs: {error}", code=codes.SYSTEM_FAILURE) from None
        return prepared

    async def _dispatcher_for(self, who: Principal, new: NewJob) -> Dispatcher:
        """The device that the job is for, when its session agrees (R5, R35)."""
        if new.session is None:
            if new.device is None:
                raise BadRequest("The job names no backend. Say which one, for example with backend=….")
            return self._lanes.dispatcher(new.device)
        if new.opens is not None:
            raise BadRequest("A job cannot join a session and start another one: leave out one of the two.")
        record = await self._lookup.session(who, new.session, Action.SUBMIT_TO_SESSION)
        session = record.session
        if new.device is not None and new.device != record.device:
            asked = self._lanes.specs.get(new.device)
            hint = (
                " A dry run stands outside of sessions: give the primitive the backend as its mode."
                if asked is not None and is_mock(asked)
                else ""
            )
            raise BadRequest(
                f"Session {session.id} is on {record.device}; a job for {new.device[:100]} cannot be in "
                f"it (R5).{hint}",
                code=codes.NOT_IN_SESSION,
            )
        if not session.accepting:
            raise SessionClosed(
                f"Session {session.id} takes no more jobs. {session.reason or 'It was closed.'} "
                "A session cannot be reopened; open a new one."
            )
        return self._lanes.dispatcher(record.device)

    async def _prepare_later(
        self, dispatcher: Dispatcher, record: JobRecord, preparing: asyncio.Future[Prepared] | None
    ) -> None:
        """The preparation of a job that has been acknowledged already, which may have begun. A device that
        cannot look at it is not the job's fault: the job waits until the device can, and its session lives on
        (R40, R55). A job that ends meanwhile, for whatever reason, is prepared no further."""
        job_id = record.job.id
        JOB.set(job_id)
        meta = replace(record.meta)
        looking = asyncio.ensure_future(self._until_looked_at(dispatcher, record, preparing))
        try:
            prepared = await _unless_ended(record, looking)
            if prepared is None:
                return
            self._limits.prepared(record.job.project, prepared, record.job.limit)
            _note(meta, prepared)
        except JobRefused as error:
            await dispatcher.feed(ev.JobUnfit(job_id, error.message, error.code))
        else:
            awaited = dispatcher.lane.profile.awaits_estimate(record.job)  # then its limit is known only now

            def warn() -> None:
                later = dispatcher.lane.job_warnings(job_id) if awaited else ()
                meta.warnings = tuple(dict.fromkeys((*meta.warnings, *later)))

            ready = ev.JobPrepared(job_id, prepared.estimated_seconds)
            await dispatcher.feed(ready, metas={job_id: meta}, taken=warn)

    async def _until_looked_at(
        self, dispatcher: Dispatcher, record: JobRecord, preparing: asyncio.Future[Prepared] | None
    ) -> Prepared:
        """What preparation finds, however often the device is unavailable for it. Raises `JobRefused`."""
        failures = 0
        while True:
            try:
                return await (self._prepare(dispatcher, record) if preparing is None else preparing)
            except DeviceUnavailable as error:
                preparing = None
                failures += 1
                log.warning(
                    "preparation.waits",
                    device=dispatcher.device,
                    job=record.job.id,
                    why=str(error),
                    attempt=failures,
                )
            await asyncio.sleep(delay(failures))

    async def _prepare(self, dispatcher: Dispatcher, record: JobRecord) -> Prepared:
        """The preparation with the body from the store, for which it waits until there is room. So few of one
        user wait at a time that their bodies need little memory, however many jobs there are."""
        user, digest = self._accounts.user_name(record.job.user), record.meta.params_hash or ""
        async with self._at_a_time[user]:
            size = await self._store.read(read_up_to, digest, 0)
            held = await self._rooms.work_again(record.job.user, size if isinstance(size, int) else 0)
            try:
                kept = self._records.blobs.get(digest)
                params = kept or await self._store.read(read_blob, digest) or b""
                return await self._measured(dispatcher.device, record.job.program, params, user)
            finally:
                held.release()

    async def _measured(
        self,
        device: str,
        program: str,
        params: bytes,
        user: str,
        begun: Callable[[], None] | None = None,
    ) -> Prepared:
        """`Engine.prepare`; one that was cancelled does not count."""
        loop = asyncio.get_running_loop()
        since = loop.time()
        try:
            prepared = await self._engine.prepare(device, program, params, user, begun)
        except JobRefused:
            self._on_prepared(device, loop.time() - since)
            raise
        self._on_prepared(device, loop.time() - since)
        return prepared

    def recover(self, dispatcher: Dispatcher, stored: StoredJob) -> None:
        """An acknowledged job that had not been prepared when the service stopped (R55)."""
        record = self._records.job(stored.job.id)
        if record is not None:
            self._preparations.spawn(self._prepare_later(dispatcher, record, None))

    async def stop(self) -> None:
        """What is not prepared by now is prepared after the next start."""
        await self._preparations.stop()


def _broken(error: BaseException) -> None:
    log.error("preparation.broken", exc_info=error)


async def _unless_ended(record: JobRecord, looking: asyncio.Future[Prepared]) -> Prepared | None:
    """What `looking` finds; None, and it is cancelled, when the job ends before."""
    try:
        while not looking.done():
            if record.job.state.final:
                return None
            changed = asyncio.get_running_loop().create_future()
            record.waiters.add(changed)
            try:
                await asyncio.wait({looking, changed}, return_when=asyncio.FIRST_COMPLETED)
            finally:
                record.waiters.discard(changed)
        return looking.result()
    finally:
        looking.cancel()


def _consume(preparing: asyncio.Future[Prepared]) -> None:
    """The job may be refused while it is prepared: then nobody asks what was found."""
    if not preparing.cancelled():
        preparing.exception()


def _note(meta: JobMeta, prepared: Prepared) -> None:
    meta.num_circuits = prepared.num_circuits
    meta.num_qubits = prepared.num_qubits
    meta.executions = prepared.executions
    meta.warnings = (*prepared.warnings, *meta.warnings)
