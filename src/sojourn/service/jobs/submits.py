"""Submits: each makes one job, however often it is sent (R54).

A submit with an Idempotency-Key gets the job of that key; of those without, one that repeats another whose
reply was lost gets the job of that one.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

import structlog

from sojourn.core.model import JobKind
from sojourn.service import ids
from sojourn.service.errors import BadRequest, Conflict
from sojourn.service.jobs.admission import Admission
from sojourn.service.jobs.answered import AnsweredSubmits
from sojourn.service.jobs.polling import Polls
from sojourn.service.jobs.repeats import Repeats, Submit
from sojourn.service.lanes.lookup import Lookup
from sojourn.service.lanes.view_maker import ViewMaker
from sojourn.service.requests.exchange import Call
from sojourn.service.submission import NewJob
from sojourn.service.timing.clock import Clock
from sojourn.service.timing.steps import Steps
from sojourn.service.views import JobView, Principal
from sojourn.store import Database
from sojourn.store import jobs as rows
from sojourn.store.jobs import StoredJob

log = structlog.get_logger("sojourn.jobs")
MAX_KEY = 200


class Submits:
    """A reply counts as lost for `window` seconds; `data` is the folder that keeps which were answered."""

    def __init__(
        self,
        *,
        store: Database,
        clock: Clock,
        steps: Steps,
        lookup: Lookup,
        views: ViewMaker,
        admission: Admission,
        polls: Polls,
        data: Path,
        window: float,
    ) -> None:
        self._store = store
        self._clock = clock
        self._steps = steps
        self._lookup = lookup
        self._views = views
        self._admission = admission
        self._polls = polls
        self._window = window
        self._answered = AnsweredSubmits(data, window, clock.now)
        self._repeats = Repeats(window, self._answered.note)
        self._keyed: dict[tuple[str, str], tuple[str, asyncio.Task[JobView]]] = {}

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
            return self._views.job(await self._lookup.job(who, job_id))
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
        stored = await self._store.read(rows.by_key, who.user_id, key)
        if stored is None:
            return await self._submit(who, new, call, digest, key)
        if stored.meta.submit_digest != digest:
            raise Conflict(
                f"Idempotency-Key {key!r} was used for job {stored.job.id} with another body. Use a new key."
            )
        return self._views.job(await self._lookup.job(who, stored.job.id))

    async def _submit(
        self, who: Principal, new: NewJob, call: Call, digest: str, idempotency_key: str | None = None
    ) -> JobView:
        record = await self._admission.admit(who, new, call, digest, idempotency_key)
        self._polls.submitted(record, who.user_id)
        log.info("job.accepted", job=record.job.id, user=who.user, device=record.device)
        return self._views.job(record)

    def named(self, job_id: str) -> None:
        """The owner knows the job, or it was deleted: from now on an equal submit means a new one."""
        self._repeats.named(job_id)

    async def restore(self) -> None:
        """After a start: those of the recent submits that earlier processes committed and did not answer."""
        clock, steps = self._clock, self._steps
        now, here = clock.now(), clock.monotonic()
        recent = await self._store.read(rows.recent, steps.before(now, self._window))
        noted = self._answered.read()
        lost = [
            s
            for s in recent
            if noted is not None
            and s.job.id not in noted.ids
            and s.job.accepted_at > noted.since
            and _may_repeat(s)
        ]
        lost_ids = {stored.job.id for stored in lost}
        self._answered.start(s.job.id for s in recent if s.job.id not in lost_ids)
        for stored in lost:
            job, digest = stored.job, stored.meta.submit_digest
            accepted = here - (now - steps.restated(job.accepted_at))
            self._repeats.restore(job.user, digest, job.id, accepted)

    def close(self) -> None:
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
