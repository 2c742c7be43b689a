"""Jobs as their users meet them: submit, look, wait, cancel, delete. Policy is the lane's."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Sequence
from dataclasses import asdict, replace
from typing import Any

import structlog

from sojourn.core import Mode, codes
from sojourn.core import events as ev
from sojourn.core.explain import explain
from sojourn.core.model import JobState
from sojourn.execution.types import DeviceUnavailable, JobRefused, Prepared
from sojourn.service import ids
from sojourn.service.calls import Call
from sojourn.service.devices import is_mock
from sojourn.service.dispatcher import Dispatcher
from sojourn.service.errors import BadRequest, Conflict, Expired, NotFound, Refusal, SessionClosed
from sojourn.service.hub import Hub
from sojourn.service.polls import Polls
from sojourn.service.records import JobRecord
from sojourn.service.submit import Body, Earlier, RecentSubmits, check_tags, parse
from sojourn.service.views import (
    JobFilter,
    JobPage,
    JobView,
    Principal,
    ReasonView,
    StoryLine,
    WhyView,
)
from sojourn.store import JobMeta
from sojourn.store.store import JobQuery, StoredJob

log = structlog.get_logger("sojourn.jobs")
MAX_KEY = 200
MAX_CALLER = 400


class Jobs:
    def __init__(self, hub: Hub) -> None:
        self._hub = hub
        self._polls = Polls(hub.settings.policy.poll_hold)
        self._recent = RecentSubmits(hub.settings.policy.submit_retry_window)
        self._keyed: dict[tuple[str, str], tuple[str, asyncio.Task[JobView]]] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    # submit

    async def submit(
        self, who: Principal, body: bytes, *, call: Call, idempotency_key: str | None = None
    ) -> JobView:
        """Check, prepare, commit; the job is acknowledged when this returns.

        A refused job leaves nothing behind. A repeated submit (R54) gets the job of the first one.
        """
        if idempotency_key is not None and not 0 < len(idempotency_key) <= MAX_KEY:
            raise BadRequest(f"An Idempotency-Key has 1 to {MAX_KEY} characters.")
        # Equal for the same bytes sent to the same instance.
        digest = await ids.sha256_aside(who.project_id.encode() + b"\0", body)
        # A submit goes on when its connection is lost: a client that repeats it joins the first one.
        if idempotency_key is not None:
            return await asyncio.shield(self._submit_keyed(who, body, call, digest, idempotency_key))
        earlier = self._recent.repeats(who.user_id, digest, call)
        if earlier is not None:
            job_id = await asyncio.shield(earlier.job)
            log.info("submit.repeated", job=job_id, user=who.user)
            return self._hub.job_view(await self._hub.job_record(who, job_id))
        entry = self._recent.begin(who.user_id, digest, call)
        task = asyncio.ensure_future(self._submit(who, body, call, digest))
        task.add_done_callback(lambda t: self._remember(who.user_id, digest, entry, t))
        return await asyncio.shield(task)

    def _remember(self, user: str, digest: str, entry: Earlier, task: asyncio.Task[JobView]) -> None:
        if task.cancelled():
            stopping = Conflict("The service is stopping. Submit the job again.")
            self._recent.failed(user, digest, entry, stopping)
        elif (error := task.exception()) is not None:
            self._recent.failed(user, digest, entry, error)
        else:
            self._recent.succeeded(entry, task.result().id)

    def _submit_keyed(
        self, who: Principal, body: bytes, call: Call, digest: str, key: str
    ) -> asyncio.Task[JobView]:
        """The one submit that is under way with this key, or a new one.

        The key is taken before the store is asked and until the commit: two submits with one key would break
        the store's unique index, and with it the commit of everybody who is in the same group.
        """
        digest = ids.sha256(f"{digest} {key}".encode())
        taken = self._keyed.get((who.user_id, key))
        if taken is None:
            task = asyncio.ensure_future(self._submit_once(who, body, call, digest, key))
            self._keyed[who.user_id, key] = digest, task
            task.add_done_callback(lambda t: self._release_key(who.user_id, key, t))
            return task
        if taken[0] != digest:
            raise Conflict(
                f"Idempotency-Key {key!r} is in use for another submit, with another body. Use a new key."
            )
        return taken[1]

    def _release_key(self, user: str, key: str, task: asyncio.Task[JobView]) -> None:
        del self._keyed[user, key]
        if not task.cancelled():
            task.exception()  # nobody may be waiting for it

    async def _submit_once(self, who: Principal, body: bytes, call: Call, digest: str, key: str) -> JobView:
        stored = await self._hub.store.job_by_key(who.user_id, key)
        if stored is None:
            return await self._submit(who, body, call, digest, key)
        if stored.meta.submit_digest != digest:
            raise Conflict(
                f"Idempotency-Key {key!r} was used for job {stored.job.id} with another body. Use a new key."
            )
        return self._hub.job_view(await self._hub.job_record(who, stored.job.id))

    async def _submit(
        self, who: Principal, data: bytes, call: Call, digest: str, idempotency_key: str | None = None
    ) -> JobView:
        body = parse(data)
        desk = await self._desk_for(who, body)
        if body.calibration_id is not None:
            self._hub.calibrations.check_current(desk.device, body.calibration_id)
        job_id = ids.new_id("d")
        self._hub.limits.job(who, job_id, body, desk.device)
        try:
            return await self._admit(who, body, desk, job_id, call, digest, idempotency_key)
        except BaseException:
            self._hub.limits.job_refused(job_id)
            raise

    async def _admit(
        self,
        who: Principal,
        body: Body,
        desk: Dispatcher,
        job_id: str,
        call: Call,
        digest: str,
        idempotency_key: str | None,
    ) -> JobView:
        """Prepare and commit a job that counts already."""
        params = bytes(body.params)
        params_hash = await ids.sha256_aside(params)
        meta = JobMeta(
            private=bool(body.private),
            cost=body.cost,
            log_level=body.log_level,
            caller=call.application[:MAX_CALLER] if call.application is not None else None,
            tags=tuple(body.tags or ()),
            params_hash=params_hash,
            submit_digest=digest,
            idempotency_key=idempotency_key,
        )
        preparing = asyncio.ensure_future(self._hub.fleet.prepare(desk.device, body.program_id, params))
        preparing.add_done_callback(_heard)
        own_limit = self._hub.limits.own_limit(who, body, desk.lane.profile)

        def warn() -> None:
            longest = desk.lane.profile.run_limit(body.program_id, own_limit)
            meta.warnings = (*meta.warnings, *desk.lane.warnings("job", longest, who.project_id))

        try:
            await asyncio.wait({preparing}, timeout=self._hub.settings.policy.admission_hold)
            prepared = preparing.done()
            if prepared:
                _note(meta, self._outcome(who.project_id, desk.device, preparing))
            if body.start_session:
                self._hub.limits.session(who, job_id, desk.lane.profile)
            events = self._events_of(who, body, job_id, own_limit, prepared=prepared)
            blobs = {params_hash: params}
            committed = desk.feed(*events, metas={job_id: meta}, blobs=blobs, taken=warn)
        except BaseException as error:
            preparing.cancel()  # there is no job that it could be for
            if body.start_session and isinstance(error, Refusal):
                desk.feed(ev.SessionClosed(job_id, "the service, as its first job was refused"))
            raise
        self._hub.records.blobs.put(params_hash, params)
        await committed
        record = self._hub.records.job(job_id)
        assert record is not None, "a committed job is on record"
        self._polls.submitted(record, who.user_id)
        if not prepared:
            self._spawn(self._prepare_later(desk, record, preparing))
        return self._hub.job_view(record)

    def _events_of(
        self, who: Principal, body: Body, job_id: str, own_limit: float | None, *, prepared: bool
    ) -> list[ev.Event]:
        """What the lane hears of a submit; a session that the job starts has the job's id."""
        session_id = job_id if body.start_session else body.session_id
        events: list[ev.Event] = []
        if body.start_session:
            seconds = float(body.session_time) if body.session_time else None
            events.append(ev.SessionOpened(job_id, who.user_id, who.project_id, Mode.DEDICATED, seconds))
        events.append(
            ev.JobAccepted(
                job_id,
                self._hub.take_seq(),
                who.user_id,
                who.project_id,
                body.program_id,
                session_id,
                own_limit,
            )
        )
        if prepared:
            events.append(ev.JobPrepared(job_id))
        return events

    def _outcome(self, project: str, device: str, preparing: asyncio.Future[Prepared]) -> Prepared:
        """What preparation found; a refusal becomes the answer to the submit."""
        try:
            prepared = preparing.result()
            self._hub.limits.prepared(project, prepared)
        except JobRefused as error:
            raise BadRequest(error.message, code=error.code) from None
        except DeviceUnavailable as error:
            raise Conflict(f"{device} cannot take jobs: {error}", code=codes.SYSTEM_FAILURE) from None
        return prepared

    async def _desk_for(self, who: Principal, body: Body) -> Dispatcher:
        """The device that the job is for, when its session agrees (R5, R35)."""
        if body.session_id is None:
            if body.backend is None:
                raise BadRequest("The job names no backend. Say which one, for example with backend=….")
            return self._hub.dispatcher(body.backend)
        if body.start_session:
            raise BadRequest("A job cannot join a session and start another one: leave out one of the two.")
        record = await self._hub.session_record(who, body.session_id)
        session = record.session
        if body.backend is not None and body.backend != record.device:
            hint = (
                " A dry run stands outside of sessions: give the primitive the backend as its mode."
                if is_mock(body.backend)
                else ""
            )
            raise BadRequest(
                f"Session {session.id} is on {record.device}; a job for {body.backend[:100]} cannot be in "
                f"it (R5).{hint}",
                code=1218,
            )
        if not session.accepting:
            raise SessionClosed(
                f"Session {session.id} takes no more jobs. {session.reason or 'It was closed.'} "
                "A session cannot be reopened; open a new one."
            )
        return self._hub.dispatcher(record.device)

    async def _prepare_later(
        self, desk: Dispatcher, record: JobRecord, preparing: asyncio.Future[Prepared]
    ) -> None:
        """The preparation of a job that has been acknowledged already."""
        job_id = record.job.id
        meta = replace(record.meta)
        try:
            prepared = await preparing
            self._hub.limits.prepared(record.job.project, prepared)
            _note(meta, prepared)
        except JobRefused as error:
            await desk.feed(ev.JobUnfit(job_id, error.message, error.code))
        except DeviceUnavailable as error:
            await desk.feed(
                ev.JobUnfit(job_id, f"{desk.device} cannot take jobs: {error}", codes.SYSTEM_FAILURE)
            )
        else:
            await desk.feed(ev.JobPrepared(job_id), metas={job_id: meta})

    async def recover(self, desk: Dispatcher, stored: StoredJob) -> None:
        """An acknowledged job that had not been prepared when the service stopped (R55)."""
        record = self._hub.records.job(stored.job.id)
        if record is not None:
            params = await self._hub.store.blob(stored.meta.params_hash or "") or b""
            preparing = asyncio.ensure_future(
                self._hub.fleet.prepare(desk.device, stored.job.program, params)
            )
            self._spawn(self._prepare_later(desk, record, preparing))

    def restore_recent(self, stored: StoredJob) -> None:
        self._recent.restore(
            stored.job.user, stored.meta.submit_digest, stored.job.id, stored.job.accepted_at
        )

    # look

    async def job(self, who: Principal, job_id: str) -> JobView:
        record = await self._named(who, job_id)
        return self._hub.job_view(record, self._hub.position(record))

    async def poll(self, who: Principal, job_id: str) -> JobView:
        """As `job`, but answered only when there is news for this caller (held polls)."""
        record = await self._named(who, job_id)
        if not record.job.state.final:
            lane = self._hub.dispatchers[record.device].lane
            await self._polls.news(record, who.user_id, lambda: lane.next_in_line() == job_id)
        return self._hub.job_view(record)

    async def params(self, who: Principal, job_id: str) -> bytes:
        """The inputs, byte for byte as they were sent."""
        record = await self._named(who, job_id)
        if record.meta.private:
            raise NotFound(f"Job {job_id} is private: its inputs are not given back (R56).")
        if record.meta.params_hash is None:
            raise self._expired(job_id, "inputs")
        return await self._blob(record.meta.params_hash)

    async def result(self, who: Principal, job_id: str) -> bytes:
        """The result's text; of a failed job the error's; empty when there is none (yet)."""
        record = await self._named(who, job_id)
        if record.meta.private and record.job.state.final:
            data = await self._hub.store.take_result(job_id)
            if record.meta.result_hash is not None:
                self._hub.records.blobs.drop(record.meta.result_hash)
                record.meta.result_hash = None
            return data or b""
        if record.meta.result_hash is None:
            if record.job.state is JobState.COMPLETED:
                raise self._expired(job_id, "result")
            return (record.job.reason or "").encode() if record.job.state is JobState.FAILED else b""
        return await self._blob(record.meta.result_hash)

    async def logs(self, who: Principal, job_id: str) -> str:
        record = await self._named(who, job_id)
        return (await self._blob(record.meta.logs_hash)).decode("utf-8", "replace")

    async def jobs(self, who: Principal, wanted: JobFilter) -> JobPage:
        """The caller's jobs in this instance; an operator's view has everybody's."""
        mocks = tuple(n for n in self._hub.specs if is_mock(n)) if not wanted.include_mocks else ()
        query = JobQuery(
            user=None if who.operator else who.user_id,
            project=None if who.operator else who.project_id,
            device=wanted.device,
            not_devices=mocks if wanted.device is None else (),
            pending=wanted.pending,
            program=wanted.program_id,
            tags=wanted.tags,
            session_id=wanted.session_id,
            after=wanted.created_after,
            before=wanted.created_before,
        )
        found, count = await self._hub.store.jobs(
            query, limit=wanted.limit, offset=wanted.offset, ascending=wanted.ascending
        )
        views = [self._hub.job_view(JobRecord(s.device, s.job, s.meta)) for s in found]
        for view in views:
            self._recent.named(view.id)
        return JobPage(views, count)

    async def why(self, who: Principal, job_id: str) -> WhyView:
        """Why the job waits, from the lane that will start it; no reasons when it does not wait."""
        record = await self._named(who, job_id)
        lane = self._hub.dispatchers[record.device].lane
        found = explain(lane, job_id)
        state = record.job.state.value
        if found is None:
            return WhyView(job_id, record.device, state, None, lane.depth)
        name = self._hub.accounts.project_name
        reasons = [ReasonView(type(r).__name__, r.sentence(name), asdict(r)) for r in found.reasons]
        return WhyView(job_id, record.device, state, found.position, found.depth, tuple(reasons))

    async def story(self, who: Principal, job_id: str) -> list[StoryLine]:
        await self._named(who, job_id)
        rows = await self._hub.store.story(job_id)
        return [StoryLine(r.at, r.cause, r.before, r.after, r.reason) for r in rows]

    # change

    async def cancel_job(self, who: Principal, job_id: str) -> None:
        """R53: any state before the end; afterwards Conflict."""
        record = await self._named(who, job_id)
        if record.job.state.final:
            raise Conflict(f"Job {job_id} is {record.job.state} already; it cannot be cancelled.")
        by = "the user" if record.job.user == who.user_id else "an operator"
        await self._hub.dispatchers[record.device].feed(ev.JobCancelled(job_id, by))

    async def delete_job(self, who: Principal, job_id: str) -> None:
        record = await self._named(who, job_id)
        if not record.job.state.final:
            raise Conflict(f"Job {job_id} is {record.job.state}; cancel it or wait, then delete it.")
        await self._hub.store.delete_job(job_id)
        self._hub.records.forget_job(job_id)
        self._recent.forget(job_id)

    async def set_tags(self, who: Principal, job_id: str, tags: Sequence[str]) -> None:
        record = await self._named(who, job_id)
        record.meta.tags = check_tags(list(tags))
        await self._hub.store.set_tags(job_id, record.meta.tags)

    # within

    async def _named(self, who: Principal, job_id: str) -> JobRecord:
        record = await self._hub.job_record(who, job_id)
        self._recent.named(job_id)
        return record

    def _expired(self, job_id: str, what: str) -> Expired:
        return Expired(
            f"The {what} of job {job_id} has been deleted: this service keeps the {what} of a job for a "
            "limited time after its end (settings of [retention]). Run the job again if you need it."
        )

    async def _blob(self, digest: str | None) -> bytes:
        if digest is None:
            return b""
        return self._hub.records.blobs.get(digest) or await self._hub.store.blob(digest) or b""

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._spawned)

    def _spawned(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("preparation.broken", exc_info=error)

    def release_polls(self) -> None:
        """Answer every held poll now: the service is about to stop."""
        self._polls.release()

    async def stop(self) -> None:
        self.release_polls()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


def _heard(preparing: asyncio.Future[Prepared]) -> None:
    """The job may be refused while it is prepared: then nobody asks what was found."""
    if not preparing.cancelled():
        preparing.exception()


def _note(meta: JobMeta, prepared: Prepared) -> None:
    meta.estimated_seconds = prepared.estimated_seconds
    meta.num_circuits = prepared.num_circuits
    meta.num_qubits = prepared.num_qubits
    meta.executions = prepared.executions
    meta.warnings = (*prepared.warnings, *meta.warnings)
