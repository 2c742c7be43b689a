"""Jobs as their users meet them: submit, look, wait, cancel, delete. Policy is the lane's."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Sequence
from contextlib import suppress
from dataclasses import asdict, replace
from typing import Any

import structlog

from sojourn.config.values import DAY
from sojourn.core import events as ev
from sojourn.core.explain import explain
from sojourn.core.formatting import at_time
from sojourn.core.model import JobKind, JobState
from sojourn.core.reasons import Clearing, Reason, Running, SessionHolds, without_ids
from sojourn.service import ids, joblog
from sojourn.service.admission import Admission
from sojourn.service.answered import AnsweredSubmits
from sojourn.service.calls import Call
from sojourn.service.devices import is_mock
from sojourn.service.errors import BadRequest, Conflict, Expired, NotFound
from sojourn.service.hub import Hub
from sojourn.service.permissions import Action, may
from sojourn.service.polls import Polls
from sojourn.service.records import JobRecord
from sojourn.service.repeats import Repeats, Submit
from sojourn.service.submit import NewJob, check_tags
from sojourn.service.texts import Large, Texts
from sojourn.service.views import (
    JobFilter,
    JobPage,
    JobView,
    Principal,
    ReasonView,
    StoryLine,
    WhyView,
)
from sojourn.store import history
from sojourn.store import jobs as rows
from sojourn.store.jobs import JobQuery, StoredJob

log = structlog.get_logger("sojourn.jobs")
MAX_KEY = 200
_WAS_READ = "The result was read at"
"""So begins the note in a job whose private result was given; without it, age has deleted the result."""


class Jobs:
    def __init__(self, hub: Hub) -> None:
        self._hub = hub
        self._polls = Polls(hub.settings.policy.poll_hold)
        window = hub.settings.policy.submit_retry_window
        self._answered = AnsweredSubmits(hub.settings.server.data, window)
        self._repeats = Repeats(window, self._answered.note)
        self._admission = Admission(hub)
        self._texts = Texts(hub)
        self.recover = self._admission.recover
        self._keyed: dict[tuple[str, str], tuple[str, asyncio.Task[JobView]]] = {}

    # submit

    async def submit(
        self,
        who: Principal,
        new: NewJob,
        *,
        sent: bytes,
        call: Call,
        idempotency_key: str | None = None,
    ) -> JobView:
        """Check, prepare, commit; the job is acknowledged when this returns.

        `sent` is the body that `new` was made of. A refused job leaves nothing behind. A submit of the same
        body that repeats one with a lost reply, or with the same key, gets its job (R54).
        """
        if idempotency_key is not None and not 0 < len(idempotency_key) <= MAX_KEY:
            raise BadRequest(f"An Idempotency-Key has 1 to {MAX_KEY} characters.")
        # Equal for the same bytes sent to the same instance.
        digest = await ids.sha256_aside(who.project_id.encode() + b"\0", sent)
        # A submit goes on when its connection is lost: a client that repeats it joins the first one.
        if idempotency_key is not None:
            return await asyncio.shield(self._submit_keyed(who, new, call, digest, idempotency_key))
        if call.exchange is None:
            return await asyncio.shield(_keeping(call, self._submit(who, new, call, digest)))
        repeated = self._repeats.claim(who.user_id, digest, call.exchange)
        if repeated is not None:
            job_id = await asyncio.shield(repeated.job)
            log.info("submit.repeated", job=job_id, user=who.user)
            return self._hub.job_view(await self._hub.job_record(who, job_id))
        submit = self._repeats.begin(who.user_id, digest, call.exchange)
        task = _keeping(call, self._submit(who, new, call, digest))
        task.add_done_callback(lambda t: self._submitted(submit, t))
        return await asyncio.shield(task)

    def _submitted(self, submit: Submit, task: asyncio.Task[JobView]) -> None:
        if task.cancelled():
            self._repeats.failed(submit, Conflict("The service is stopping. Submit the job again."))
        elif (error := task.exception()) is not None:
            self._repeats.failed(submit, error)
        else:
            self._repeats.accepted(submit, task.result().id)

    def _submit_keyed(
        self, who: Principal, new: NewJob, call: Call, digest: str, key: str
    ) -> asyncio.Task[JobView]:
        """The one submit that is under way with this key, or a new one.

        The key is taken before the store is asked and until the commit: two submits with one key would break
        the store's unique index, and with it the commit of everybody who is in the same group.
        """
        digest = ids.sha256(f"{digest} {key}".encode())
        taken = self._keyed.get((who.user_id, key))
        if taken is None:
            task = _keeping(call, self._submit_once(who, new, call, digest, key))
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

    async def _submit_once(self, who: Principal, new: NewJob, call: Call, digest: str, key: str) -> JobView:
        stored = await self._hub.store.read(rows.by_key, who.user_id, key)
        if stored is None:
            return await self._submit(who, new, call, digest, key)
        if stored.meta.submit_digest != digest:
            raise Conflict(
                f"Idempotency-Key {key!r} was used for job {stored.job.id} with another body. Use a new key."
            )
        return self._hub.job_view(await self._hub.job_record(who, stored.job.id))

    async def _submit(
        self, who: Principal, new: NewJob, call: Call, digest: str, idempotency_key: str | None = None
    ) -> JobView:
        record = await self._admission.admit(who, new, call, digest, idempotency_key)
        self._polls.submitted(record, who.user_id)
        log.info("job.accepted", job=record.job.id, user=who.user, device=record.device)
        return self._hub.job_view(record)

    async def restore_submits(self, window: float) -> None:
        """After a start: those of the submits of the last `window` seconds that earlier processes committed
        and did not answer."""
        clock, steps = self._hub.clock, self._hub.steps
        now, here = clock.now(), clock.monotonic()
        recent = await self._hub.store.read(rows.recent, steps.before(now, window))
        noted = self._answered.read()
        lost = [s for s in recent if noted is not None and s.job.id not in noted and _may_repeat(s)]
        lost_ids = {stored.job.id for stored in lost}
        self._answered.start(s.job.id for s in recent if s.job.id not in lost_ids)
        for stored in lost:
            job, digest = stored.job, stored.meta.submit_digest
            accepted = here - (now - steps.restated(job.accepted_at))
            self._repeats.restore(job.user, digest, job.id, accepted)

    # look

    async def job(self, who: Principal, job_id: str) -> JobView:
        record = await self._named(who, job_id)
        return self._hub.job_view(record, self._hub.position(record))

    def placed(self, view: JobView) -> JobView:
        """What `job` shows of a job that was just submitted. That somebody has looked at it is not noted: the
        answer to the submit is still to come."""
        record = self._hub.records.job(view.id)
        return view if record is None else self._hub.job_view(record, self._hub.position(record))

    async def waiting(self, who: Principal, job_id: str) -> JobView:
        """As `job`, with why it waits, if it does."""
        why = await self.why(who, job_id)
        view = self._hub.job_view(await self._hub.job_record(who, job_id), why.position)
        reasons = tuple(reason.sentence for reason in why.reasons)
        return replace(view, waiting_reasons=reasons, estimated_start=why.estimated_start)

    async def poll(self, who: Principal, job_id: str) -> JobView:
        """As `job`, but answered only when there is news for this caller (held polls)."""
        record = await self._hub.job_record(who, job_id)
        self._seen(who, record)
        desks = self._hub.dispatchers
        await self._polls.news(
            record, who.user_id, lambda: desks[record.device].lane.next_in_line() == job_id
        )
        return self._hub.job_view(record)

    async def params(self, who: Principal, job_id: str) -> bytes | Large:
        """The inputs, byte for byte as they were sent."""
        record = await self._named(who, job_id)
        if record.meta.private:
            raise NotFound(f"Job {job_id} is private: its inputs are not given back (R56).")
        if record.meta.params_hash is None:
            raise self._expired(job_id, "inputs")
        found = await self._blob(record, record.meta.params_hash)
        if found is None:
            raise self._expired(job_id, "inputs")
        return found

    async def result(self, who: Principal, job_id: str, *, take: bool = True) -> bytes | Large:
        """The result's text; of a failed job the error's; empty when there is none (yet).

        A private job's result is given once (R56), and is empty from then on, which is None in a Qiskit
        program; one of the job's warnings says why. Without `take` it is only looked at. Raises Expired for a
        result that was deleted because of its age.
        """
        record = await self._named(who, job_id)
        if record.meta.private and record.job.state.final and take:
            return await self._take_result(record, who)
        return await self._kept_result(record)

    async def _kept_result(self, record: JobRecord) -> bytes | Large:
        found = await self._blob(record, record.meta.result_hash)
        if found is not None:
            return found
        if record.job.state is JobState.FAILED:
            return (record.job.reason or "").encode()
        if record.job.state is JobState.COMPLETED:
            await self._check_kept(record)
            if not self._was_read(record):
                raise self._expired(record.job.id, "result")
        return b""

    def _was_read(self, record: JobRecord) -> bool:
        """Whether the result was given, and not deleted because of its age. Early versions of this service
        made no note of it; then it was given if the job is too young for the other."""
        if any(map(_says_read, record.meta.warnings)):
            return True
        days = self._hub.settings.retention.results_days
        age = self._hub.clock.date() - (record.job.ended_at or 0.0)
        return record.meta.private and (not days or age < days * DAY)

    async def _take_result(self, record: JobRecord, who: Principal) -> bytes | Large:
        """Read, forgotten and noted in the job itself in one transaction; a large one is copied before."""
        meta, store = record.meta, self._hub.store
        at = at_time(self._hub.clock.now())
        note = f"{_WAS_READ} {at}, and a private job's result is given once (R56)."
        data: bytes | Large | None = None
        if meta.result_hash is not None:
            data = await self._texts.find(meta.result_hash)
        if isinstance(data, Large) and meta.result_hash is not None:
            digest = meta.result_hash
            data = copied = await self._texts.copy(data, who.user_id)
            try:
                given, warnings = await asyncio.shield(
                    store.write(rows.forget_result, record.job.id, digest, note)
                )
            except BaseException:
                copied.close()
                raise
            if not given:
                copied.close()
                data = None
        else:
            data, warnings = await store.write(rows.take_result, record.job.id, note)
        if meta.result_hash is not None:
            self._hub.records.blobs.drop(meta.result_hash)
        meta.result_hash, meta.warnings = None, warnings
        return await self._kept_result(record) if data is None else data

    async def logs(self, who: Principal, job_id: str) -> str:
        """The job's log at the level that it was submitted with (see sojourn.service.joblog)."""
        record = await self._named(who, job_id)
        written = (await self._log(record)).decode("utf-8", "replace")
        steps = joblog.shows_steps(record.meta.log_level)
        story = await self.story(who, job_id) if steps else []
        return joblog.text(self._hub.job_view(record), story, written)

    async def jobs(self, who: Principal, wanted: JobFilter) -> JobPage:
        """The caller's jobs in this instance; an operator's view has everybody's."""
        mocks = tuple(n for n in self._hub.specs if is_mock(n)) if not wanted.include_mocks else ()
        query = JobQuery(
            user=None if may(who, Action.SEE_JOB) else who.user_id,
            project=None if may(who, Action.SEE_JOB) else who.project_id,
            device=wanted.device,
            not_devices=mocks if wanted.device is None else (),
            pending=wanted.pending,
            program=wanted.program_id,
            tags=wanted.tags,
            session_id=wanted.session_id,
            after=wanted.created_after,
            before=wanted.created_before,
        )
        found, count = await self._hub.store.read(
            rows.page, query, limit=wanted.limit, offset=wanted.offset, ascending=wanted.ascending
        )
        records = [JobRecord(s.device, s.job, s.meta) for s in found]
        places = await self._hub.many_positions(records) if wanted.positions else {}
        for record in records:
            self._seen(who, record)
        return JobPage([self._hub.job_view(r, places.get(r.job.id)) for r in records], count)

    async def why(self, who: Principal, job_id: str) -> WhyView:
        """Why the job waits, from the lane that will start it; no reasons when it does not wait."""
        record = await self._named(who, job_id)
        state = record.job.state.value
        desk = self._hub.dispatchers.get(record.device)
        if desk is None:  # its device is not configured any more, and nothing waits there
            return WhyView(job_id, record.device, state, None, 0)
        found = explain(desk.lane, job_id, self._hub.clock.now())
        if found is None:
            return WhyView(job_id, record.device, state, self._hub.position(record), desk.lane.depth)
        name = self._hub.accounts.project_name
        told = [reason if self._knows(who, reason) else without_ids(reason) for reason in found.reasons]
        reasons = [ReasonView(type(r).__name__, r.sentence(name), asdict(r)) for r in told]
        return WhyView(
            job_id, record.device, state, found.position, found.depth, tuple(reasons), found.starts_at
        )

    def _knows(self, who: Principal, reason: Reason) -> bool:
        """Whether the job or session that a reason names is the caller's to know."""
        match reason:
            case Running(job_id=str(job_id)) | Clearing(job_id=str(job_id)):
                return self._hub.sees_job(who, job_id)
            case SessionHolds(session_id=str(session_id)):
                return self._hub.sees_session(who, session_id)
        return True

    async def story(self, who: Principal, job_id: str) -> list[StoryLine]:
        await self._named(who, job_id)
        found = await self._hub.store.read(history.of, job_id)
        return [StoryLine(e.at, e.cause, e.before, e.after, e.reason, e.id) for e in found]

    # change

    async def cancel_job(self, who: Principal, job_id: str) -> None:
        """R53: any state before the end; afterwards Conflict."""
        record = await self._named(who, job_id, Action.CHANGE_JOB)
        if record.job.state.final:
            raise Conflict(f"Job {job_id} is {record.job.state} already; it cannot be cancelled.")
        await self._cancel(who, record)

    async def _cancel(self, who: Principal, record: JobRecord) -> None:
        desk = self._hub.dispatchers[record.device]
        if record.job.user == who.user_id:
            await desk.feed(ev.JobCancelled(record.job.id, "the user"))
            return
        owner = self._hub.accounts.user_name(record.job.user)
        entry = self._hub.audit.entry(who, "job.cancelled", f"job {record.job.id}", owner=owner)
        await desk.feed(ev.JobCancelled(record.job.id, "an operator"), also=entry.write)
        self._hub.audit.done(entry)

    async def delete_job(self, who: Principal, job_id: str) -> None:
        """In any state: one that has not ended is cancelled first, with all that a cancel means (R40, R53).
        What it used stays in the ledger (R49)."""
        record = await self._named(who, job_id, Action.CHANGE_JOB)
        if not record.job.state.final:
            with suppress(Conflict):  # it has just ended; the deletion is committed after that
                await self._cancel(who, record)
        await self._hub.store.write(rows.remove, job_id)
        self._hub.records.forget_job(job_id)  # not before: the commit of its end puts it on record
        self._repeats.named(job_id)

    async def set_tags(self, who: Principal, job_id: str, tags: Sequence[str]) -> None:
        record = await self._named(who, job_id, Action.CHANGE_JOB)
        checked = check_tags(list(tags))
        if not await self._hub.store.write(rows.set_tags, job_id, checked):
            raise self._hub.no_such_job(job_id)  # it was deleted meanwhile
        record.meta.tags = checked

    # within

    async def _named(self, who: Principal, job_id: str, action: Action = Action.SEE_JOB) -> JobRecord:
        """The job that a request names which is not a poll."""
        record = await self._hub.job_record(who, job_id, action)
        self._seen(who, record)
        self._polls.asked_aside(record, who.user_id)
        return record

    def _seen(self, who: Principal, record: JobRecord) -> None:
        """Operators look at everybody's jobs, which tells their owners nothing."""
        if record.job.user == who.user_id:
            self._repeats.named(record.job.id)

    def _expired(self, job_id: str, what: str) -> Expired:
        return Expired(
            f"The {what} of job {job_id} has been deleted: this service keeps the {what} of a job for a "
            "limited time after its end (settings of [retention]). Run the job again if you need it."
        )

    async def _blob(self, record: JobRecord, digest: str | None) -> bytes | Large | None:
        """None when there is none (any more). Raises NotFound when the job was deleted meanwhile."""
        if digest is None:
            return None
        found = await self._texts.find(digest)
        if found is None:
            await self._check_kept(record)
        return found

    async def _log(self, record: JobRecord) -> bytes:
        """A worker's log is never large: it fits into the header of a frame."""
        found = await self._blob(record, record.meta.logs_hash) or b""
        if isinstance(found, Large):
            try:
                return await found.read(0, found.size)
            finally:
                found.close()
        return found

    async def _check_kept(self, record: JobRecord) -> None:
        """Raises NotFound when the job was deleted since its record was looked up."""
        if await self._hub.store.read(rows.get, record.job.id) is None:
            raise self._hub.no_such_job(record.job.id)

    def release_polls(self) -> None:
        """Answer every held poll now: the service is about to stop."""
        self._polls.release()

    async def stop(self) -> None:
        self.release_polls()
        await self._admission.stop()
        self._answered.close()


def _keeping(call: Call, work: Coroutine[Any, Any, JobView]) -> asyncio.Task[JobView]:
    """A task that goes on without its connection, and keeps the memory of the body until it is done."""
    task = asyncio.ensure_future(work)
    if call.held is not None:
        call.held.until(task)
    return task


def _may_repeat(stored: StoredJob) -> bool:
    """Whether an equal submit without a key could be a repetition of it."""
    return stored.job.kind is JobKind.USER and stored.meta.idempotency_key is None


def _says_read(warning: str) -> bool:
    return warning.startswith(_WAS_READ)
