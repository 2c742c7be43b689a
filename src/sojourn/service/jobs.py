"""Jobs as their users meet them: submit, look, wait, cancel, delete. Policy is the lane's."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import asdict

import structlog

from sojourn.core import events as ev
from sojourn.core.explain import explain
from sojourn.core.model import JobState
from sojourn.service import ids, joblog
from sojourn.service.admission import Admission
from sojourn.service.calls import Call
from sojourn.service.devices import is_mock
from sojourn.service.errors import BadRequest, Conflict, Expired, NotFound
from sojourn.service.hub import Hub
from sojourn.service.polls import Polls
from sojourn.service.records import JobRecord
from sojourn.service.submit import Earlier, RecentSubmits, check_tags
from sojourn.service.views import (
    JobFilter,
    JobPage,
    JobView,
    Principal,
    ReasonView,
    StoryLine,
    WhyView,
)
from sojourn.store.store import JobQuery, StoredJob

log = structlog.get_logger("sojourn.jobs")
MAX_KEY = 200


class Jobs:
    def __init__(self, hub: Hub) -> None:
        self._hub = hub
        self._polls = Polls(hub.settings.policy.poll_hold)
        self._recent = RecentSubmits(hub.settings.policy.submit_retry_window)
        self._admission = Admission(hub)
        self.recover = self._admission.recover
        self._keyed: dict[tuple[str, str], tuple[str, asyncio.Task[JobView]]] = {}

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
        self, who: Principal, body: bytes, call: Call, digest: str, idempotency_key: str | None = None
    ) -> JobView:
        record = await self._admission.admit(who, body, call, digest, idempotency_key)
        self._polls.submitted(record, who.user_id)
        log.info("job.accepted", job=record.job.id, user=who.user, device=record.device)
        return self._hub.job_view(record)

    def restore_recent(self, stored: StoredJob) -> None:
        self._recent.restore(
            stored.job.user, stored.meta.submit_digest, stored.job.id, stored.job.accepted_at
        )

    # look

    async def job(self, who: Principal, job_id: str) -> JobView:
        record = await self._named(who, job_id)
        self._polls.asked_aside(record, who.user_id)
        return self._hub.job_view(record, self._hub.position(record))

    async def poll(self, who: Principal, job_id: str) -> JobView:
        """As `job`, but answered only when there is news for this caller (held polls)."""
        record = await self._named(who, job_id)
        desks = self._hub.dispatchers
        await self._polls.news(
            record, who.user_id, lambda: desks[record.device].lane.next_in_line() == job_id
        )
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
        """The result's text; of a failed job the error's; empty when there is none (yet).

        Raises Expired for one that has been deleted, or read if the job is private (R56): an empty text would
        be None in a Qiskit program.
        """
        record = await self._named(who, job_id)
        if record.meta.private and record.job.state.final:
            data = await self._hub.store.take_result(job_id)
            if record.meta.result_hash is not None:
                self._hub.records.blobs.drop(record.meta.result_hash)
                record.meta.result_hash = None
            if data is None and record.job.state is JobState.COMPLETED:
                raise Expired(
                    f"The result of job {job_id} is gone: a private job's result can be read once (R56), and "
                    "results are kept for a limited time (settings of [retention]). Run the job again if you "
                    "need it."
                )
            return data or b""
        if record.meta.result_hash is None:
            if record.job.state is JobState.COMPLETED:
                raise self._expired(job_id, "result")
            return (record.job.reason or "").encode() if record.job.state is JobState.FAILED else b""
        return await self._blob(record.meta.result_hash)

    async def logs(self, who: Principal, job_id: str) -> str:
        """The job's log at the level that it was submitted with (see sojourn.service.joblog)."""
        record = await self._named(who, job_id)
        written = (await self._blob(record.meta.logs_hash)).decode("utf-8", "replace")
        steps = joblog.shows_steps(record.meta.log_level)
        story = await self.story(who, job_id) if steps else []
        return joblog.text(self._hub.job_view(record), story, written)

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
        records = [JobRecord(s.device, s.job, s.meta) for s in found]
        places = self._hub.positions(records) if wanted.positions else {}
        for record in records:
            self._recent.named(record.job.id)
        return JobPage([self._hub.job_view(r, places.get(r.job.id)) for r in records], count)

    async def why(self, who: Principal, job_id: str) -> WhyView:
        """Why the job waits, from the lane that will start it; no reasons when it does not wait."""
        record = await self._named(who, job_id)
        state = record.job.state.value
        desk = self._hub.dispatchers.get(record.device)
        if desk is None:  # its device is not configured any more, and nothing waits there
            return WhyView(job_id, record.device, state, None, 0)
        found = explain(desk.lane, job_id)
        if found is None:
            return WhyView(job_id, record.device, state, self._hub.position(record), desk.lane.depth)
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

    def release_polls(self) -> None:
        """Answer every held poll now: the service is about to stop."""
        self._polls.release()

    async def stop(self) -> None:
        self.release_polls()
        await self._admission.stop()
