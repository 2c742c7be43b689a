"""Jobs as their users meet them: submit, look, wait, cancel, delete. Policy is the lane's."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, replace

from sojourn.core import events as ev
from sojourn.core.explanation.explain import explain
from sojourn.core.explanation.reasons import Clearing, Reason, Running, SessionHolds, without_ids
from sojourn.core.model import JobState
from sojourn.service.accounts.audit import Audit
from sojourn.service.accounts.directory import Directory
from sojourn.service.accounts.permissions import Action, may
from sojourn.service.companions import is_mock
from sojourn.service.errors import Conflict
from sojourn.service.forecasts.forecasts import Forecasts
from sojourn.service.jobs import joblog
from sojourn.service.jobs.contents import Contents
from sojourn.service.jobs.polling import Polls
from sojourn.service.jobs.submits import Submits
from sojourn.service.jobs.texts import Large
from sojourn.service.lanes.lookup import Lookup
from sojourn.service.lanes.records import JobRecord, Records
from sojourn.service.lanes.registry import Lanes
from sojourn.service.lanes.view_maker import ViewMaker
from sojourn.service.requests.exchange import Call
from sojourn.service.requests.holds import Holds
from sojourn.service.requests.parts import in_parts
from sojourn.service.submission import NewJob, check_tags
from sojourn.service.timing.clock import Clock
from sojourn.service.views import (
    HistoryLine,
    JobFilter,
    JobPage,
    JobView,
    Principal,
    QueueFacts,
    ReasonView,
    WhyView,
)
from sojourn.store import Database, history
from sojourn.store import jobs as rows
from sojourn.store.jobs import JobQuery


class Jobs:
    def __init__(
        self,
        *,
        store: Database,
        clock: Clock,
        accounts: Directory,
        audit: Audit,
        records: Records,
        lanes: Lanes,
        lookup: Lookup,
        views: ViewMaker,
        submits: Submits,
        polls: Polls,
        holds: Holds,
        contents: Contents,
        forecasts: Forecasts,
    ) -> None:
        self._store = store
        self._clock = clock
        self._accounts = accounts
        self._audit = audit
        self._records = records
        self._lanes = lanes
        self._lookup = lookup
        self._views = views
        self._submits = submits
        self._polls = polls
        self._holds = holds
        self._contents = contents
        self._forecasts = forecasts

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
        """See `Submits.submit`."""
        return await self._submits.submit(who, new, sent=sent, call=call, idempotency_key=idempotency_key)

    async def rerun(
        self, who: Principal, job_id: str, *, call: Call, idempotency_key: str | None = None
    ) -> JobView:
        """A new job of the same program, inputs, device, tags and limit. It joins the session of the first
        one while that takes jobs, else it is in none.

        Raises what a submit raises, NotFound for a private job, and Expired when the inputs have been deleted
        because of their age.
        """
        record = await self._named(who, job_id, Action.RERUN)
        session = self._records.session(record.job.session_id or "")
        params, held = await self._contents.inputs(record, who)
        new = NewJob(
            program=record.job.program,
            params=params,
            device=record.device,
            session=session.session.id if session is not None and session.session.accepting else None,
            tags=record.meta.tags,
            max_execution_time=record.meta.cost,
            log_level=record.meta.log_level,
        )
        try:
            return await self._submits.submit(
                who,
                new,
                sent=f"rerun {job_id}".encode(),
                call=replace(call, held=held),
                idempotency_key=idempotency_key,
            )
        finally:
            held.release()

    # look

    async def get(self, who: Principal, job_id: str) -> JobView:
        record = await self._named(who, job_id)
        return self._views.job(record, self._lanes.position(record))

    async def look(self, who: Principal, job_id: str) -> JobView:
        """As `get`, with the forecast of when it starts and ends."""
        record = await self._named(who, job_id)
        queue = await self._forecasts.of(record)  # meanwhile the job may have gone on
        return self._views.job(record, self._lanes.position(record), _current(record, queue))

    def placed(self, view: JobView) -> JobView:
        """What `get` shows of a job that was just submitted. That somebody has looked at it is not noted: the
        answer to the submit is still to come."""
        record = self._records.job(view.id)
        return view if record is None else self._views.job(record, self._lanes.position(record))

    async def waiting(self, who: Principal, job_id: str) -> JobView:
        """As `get`, with why it waits, if it does."""
        why = await self.why(who, job_id)
        view = self._views.job(await self._lookup.job(who, job_id), why.position, why.queue)
        reasons = tuple(reason.sentence for reason in why.reasons)
        return replace(view, waiting_reasons=reasons, estimated_start=why.estimated_start)

    async def poll(self, who: Principal, job_id: str) -> JobView:
        """As `get`, but answered only when there is news for this caller (held polls)."""
        record = await self._lookup.job(who, job_id)
        self._seen(who, record)
        dispatchers = self._lanes.dispatchers
        with self._holds.hold():
            await self._polls.news(
                record, who.user_id, lambda: dispatchers[record.device].lane.next_in_line() == job_id
            )
        return self._views.job(record)

    async def params(self, who: Principal, job_id: str) -> bytes | Large:
        """The inputs, byte for byte as they were sent."""
        return await self._contents.params(await self._named(who, job_id))

    async def result(self, who: Principal, job_id: str, *, take: bool = True) -> bytes | Large:
        """The result's text; of a failed job the error's; empty when there is none (yet).

        A private job's result is given once (R56), and is empty from then on, which is None in a Qiskit
        program; one of the job's warnings says why. Without `take` it is only looked at. Raises Expired for a
        result that was deleted because of its age.
        """
        return await self._contents.result(await self._named(who, job_id), who, take=take)

    async def logs(self, who: Principal, job_id: str) -> str:
        """The job's log at the level that it was submitted with (see sojourn.service.jobs.joblog)."""
        record = await self._named(who, job_id)
        written = (await self._contents.log(record)).decode("utf-8", "replace")
        if not record.job.state.final:
            written = "".join(record.progress)
        steps = joblog.shows_steps(record.meta.log_level)
        history_lines = await self._history(job_id) if steps else []
        return joblog.text(self._views.job(record), history_lines, written)

    async def find(self, who: Principal, wanted: JobFilter) -> JobPage:
        """The caller's jobs in this instance; an operator's view has everybody's."""
        specs = {} if wanted.include_mocks else self._lanes.specs
        mocks = tuple(name for name, spec in specs.items() if is_mock(spec))
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
        found, count = await self._store.read(
            rows.page, query, limit=wanted.limit, offset=wanted.offset, ascending=wanted.ascending
        )
        records = [JobRecord(s.device, s.job, s.meta) for s in found]
        queues = await self._forecasts.page(records) if wanted.positions else {}
        places = await self._lanes.many_positions(records) if wanted.positions else {}

        def shown(record: JobRecord) -> JobView:
            self._seen(who, record)
            queue = _current(record, queues.get(record.job.id))
            return self._views.job(record, places.get(record.job.id), queue)

        return JobPage(await in_parts(shown, records), count)

    async def why(self, who: Principal, job_id: str) -> WhyView:
        """Why the job waits, from the lane that will start it; no reasons when it does not wait."""
        record = await self._named(who, job_id)
        queue = await self._forecasts.of(record)  # meanwhile the job may have gone on
        queue = _current(record, queue)
        state = record.job.state.value
        dispatcher = self._lanes.dispatchers.get(record.device)
        if dispatcher is None:  # its device is not configured any more, and nothing waits there
            return WhyView(job_id, record.device, state, None, 0)
        found = explain(dispatcher.lane, job_id, self._clock.now())
        if found is None:
            position = self._lanes.position(record)
            return WhyView(job_id, record.device, state, position, dispatcher.lane.depth, queue=queue)
        name = self._accounts.project_name
        shown = [reason if self._knows(who, reason) else without_ids(reason) for reason in found.reasons]
        reasons = [ReasonView(type(r).__name__, r.sentence(name), asdict(r)) for r in shown]
        return WhyView(
            job_id, record.device, state, found.position, found.depth, tuple(reasons), found.starts_at, queue
        )

    def _knows(self, who: Principal, reason: Reason) -> bool:
        """Whether the job or session that a reason names is the caller's to know."""
        match reason:
            case Running(job_id=str(job_id)) | Clearing(job_id=str(job_id)):
                return self._lookup.sees_job(who, job_id)
            case SessionHolds(session_id=str(session_id)):
                return self._lookup.sees_session(who, session_id)
        return True

    async def history(self, who: Principal, job_id: str) -> list[HistoryLine]:
        await self._named(who, job_id)
        return await self._history(job_id)

    async def _history(self, job_id: str) -> list[HistoryLine]:
        found = await self._store.read(history.of, job_id)
        return [HistoryLine(e.at, e.cause, e.before, e.after, e.reason, e.id) for e in found]

    # change

    async def cancel(self, who: Principal, job_id: str) -> None:
        """R53: any state before the end; afterwards Conflict."""
        record = await self._named(who, job_id, Action.CHANGE_JOB)
        if record.job.state.final:
            raise Conflict(f"Job {job_id} is {record.job.state} already; it cannot be cancelled.")
        await self._cancel(who, record)

    async def _cancel(self, who: Principal, record: JobRecord) -> None:
        dispatcher = self._lanes.dispatchers[record.device]
        if record.job.user == who.user_id:
            await dispatcher.feed(ev.JobCancelled(record.job.id, "the user"))
            return
        owner = self._accounts.user_name(record.job.user)
        entry = self._audit.entry(who, "job.cancelled", f"job {record.job.id}", owner=owner)
        await dispatcher.feed(ev.JobCancelled(record.job.id, "an operator"), also=entry.write)
        self._audit.done(entry)

    async def delete(self, who: Principal, job_id: str) -> None:
        """In any state: one that has not ended is cancelled first, with all that a cancel means (R40, R53).
        What it used stays in the ledger (R49)."""
        record = await self._named(who, job_id, Action.CHANGE_JOB)
        if not record.job.state.final:
            with suppress(Conflict):  # it has just ended; the deletion is committed after that
                await self._cancel(who, record)
        await self._store.write(rows.remove, job_id)
        self._records.forget_job(job_id)  # not before: the commit of its end puts it on record
        self._submits.named(job_id)

    async def set_tags(self, who: Principal, job_id: str, tags: Sequence[str]) -> None:
        record = await self._named(who, job_id, Action.CHANGE_JOB)
        checked = check_tags(list(tags))
        if not await self._store.write(rows.set_tags, job_id, checked):
            raise self._lookup.no_such_job(job_id)  # it was deleted meanwhile
        record.meta.tags = checked

    # within

    async def _named(self, who: Principal, job_id: str, action: Action = Action.SEE_JOB) -> JobRecord:
        """The job that a request names which is not a poll."""
        record = await self._lookup.job(who, job_id, action)
        self._seen(who, record)
        self._polls.asked_aside(record, who.user_id)
        return record

    def _seen(self, who: Principal, record: JobRecord) -> None:
        """What an operator looks at, its owner has not seen."""
        if record.job.user == who.user_id:
            self._submits.named(record.job.id)

    def release_polls(self) -> None:
        """Answer every held poll now: the service is about to stop."""
        self._polls.release()


def _current(record: JobRecord, queue: QueueFacts | None) -> QueueFacts | None:
    """A forecast that is a second old says nothing of the start of a job that has started since."""
    if queue is None or record.job.state.final:
        return None
    if record.job.state is JobState.RUNNING:
        return replace(queue, position=None, start=None, waits=(), unknown=None)
    return queue
