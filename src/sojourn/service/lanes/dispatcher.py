"""One device's shell: feeds events to the lane, commits what comes out, then acts.

Has the device's timer and its run in progress. Takes no policy decision.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial

import structlog

from sojourn import codes
from sojourn.core import Lane
from sojourn.core import events as ev
from sojourn.core.effects import Charge, Effect, JobChanged, Rejected, SessionChanged, Start, Stop
from sojourn.core.model import Job, JobKind, SessionState
from sojourn.execution.engine import (
    JOB,
    Crashed,
    DeviceUnavailable,
    Engine,
    Lost,
    RunOutcome,
    RunRequest,
    Stopped,
    WorkerPhase,
    WorkerState,
)
from sojourn.journal.recorder import Journal
from sojourn.service.errors import BadRequest, Conflict
from sojourn.service.ids import sha256
from sojourn.service.lanes.device_time import DeviceTime, doing
from sojourn.service.lanes.records import JobRecord, Records
from sojourn.service.lanes.system_jobs import SystemJobs, SystemOutcome
from sojourn.service.lanes.worker_deaths import sentence
from sojourn.service.loglevels import shown
from sojourn.service.timing.clock import Clock, Handle
from sojourn.store import Database, JobMeta, Unit, jobs
from sojourn.store.blobs import read_blob, stage, unstage
from sojourn.store.database import StoreFull, Work, unawaited
from sojourn.store.journal import JournalRow
from sojourn.worker.protocol.messages import ProtocolError
from sojourn.worker.protocol.types import Completed, Failed

log = structlog.get_logger("sojourn.dispatcher")

OPERATIONAL = (WorkerPhase.READY, WorkerPhase.BUSY, WorkerPhase.ASLEEP)

_HOLDS = (SessionState.ACTIVE, SessionState.PENDING_INACTIVE, SessionState.PENDING_CLOSED)
"""A session in one of these states has the device, or a job of it runs there."""


class Dispatcher:
    """`system_jobs` has the inputs of the service's own jobs and reads their results. `over` says why a
    project may store nothing more, if so. `on_charge` is called with every committed charge, `on_crash` with
    a job of which the worker died and how it died, `observe` with the effects of every committed step,
    `on_fatal` after a commit that failed or when a lane broke in the middle of an event: then memory and
    store differ and the process must end."""

    def __init__(
        self,
        lane: Lane,
        *,
        store: Database,
        clock: Clock,
        engine: Engine,
        records: Records,
        system_jobs: SystemJobs,
        on_charge: Callable[[str, Charge], None],
        on_crash: Callable[[str, Job, str], None],
        on_fatal: Callable[[BaseException], None],
        over: Callable[[str], Awaitable[str | None]],
        observe: Callable[[str, Sequence[Effect]], None],
        journal: Journal | None = None,
    ) -> None:
        self.lane = lane
        self.device = lane.device
        self._store = store
        self._clock = clock
        self._engine = engine
        self._records = records
        self._system_jobs = system_jobs
        self._journal = journal
        self._on_charge = on_charge
        self._on_crash = on_crash
        self._on_fatal = on_fatal
        self._over = over
        self._observe = observe
        self.time = DeviceTime(clock.monotonic())
        self._timer: Handle | None = None
        self._runs: dict[tuple[str, int], asyncio.Task[None]] = {}
        self._stopped: set[tuple[str, int]] = set()  # of these runs; the engine may not have them yet
        self._leaving = False
        self._reruns = True  # what the lane was told of the driver last
        self._held: str | None = None  # why nothing may start, whatever the worker says
        self.leaping = 0.0
        """Seconds of jumps of the time that the lane has seen and that are not committed yet: so much must
        be taken from `now` before it is compared with a time on record."""

    # events in

    def feed(
        self,
        *events: ev.Event,
        metas: Mapping[str, JobMeta] | None = None,
        blobs: Mapping[str, bytes] | None = None,
        found: SystemOutcome | None = None,
        at: float | None = None,
        taken: Callable[[], None] | None = None,
        also: Work[object] | None = None,
    ) -> asyncio.Future[None]:
        """Hand events that belong together to the lane; the future is done when they are committed.

        `found` is what a system job has found, and is committed with them. `at` is when they happened,
        if it is not now: what the caller has read from the clock for events that speak of it, or the last
        sign of life before a restart. `taken` is called when the lane has admitted them, before anything is
        written; `also` writes more in the same transaction, if they come to anything.

        Raises a Refusal when the lane does not admit one of them; nothing of that one has happened then.
        """
        effects: list[Effect] = []
        refused: Rejected | None = None
        now = self._clock.now() if at is None else at
        rows: list[JournalRow] = []
        for event in events:
            answer = self._handle(event, now)
            if self._journal is not None:
                rows.append(self._journal.event(event, now, answer))
            for effect in answer:
                if isinstance(effect, Rejected):
                    refused = effect
                else:
                    effects.append(effect)
            if refused is not None:
                break
        self._arm()
        if taken is not None and refused is None:
            taken()
        more = None if refused else also
        done = self._commit(
            effects, dict(metas or {}), {} if refused else dict(blobs or {}), found, rows, more
        )
        if refused is not None:
            kind = Conflict if refused.code == Conflict.code else BadRequest
            raise kind(refused.message, code=refused.code)
        return done

    def _handle(self, event: ev.Event, now: float) -> list[Effect]:
        try:
            effects = self.lane.handle(event, now)
        except Exception as error:
            self._on_fatal(error)
            raise
        self.time.note(doing(self.lane), self._clock.monotonic())
        return effects

    def _commit(
        self,
        effects: list[Effect],
        metas: dict[str, JobMeta],
        blobs: dict[str, bytes],
        found: SystemOutcome | None = None,
        rows: Sequence[JournalRow] = (),
        also: Work[object] | None = None,
    ) -> asyncio.Future[None]:
        if not effects and not rows:
            done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            done.set_result(None)
            return done
        also = found.write if found is not None else also
        unit = Unit(self.device, effects, metas, blobs, also, rows)
        committed = self._store.commit(unit, lambda _: self._committed(effects, metas, found))
        committed.add_done_callback(self._check)
        return committed

    def record(self, row: JournalRow) -> None:
        """A row of the journal that belongs to no event."""
        unit = Unit(self.device, (), journal=[row])
        self._store.commit(unit).add_done_callback(self._check)

    def _check(self, committed: asyncio.Future[None]) -> None:
        if not committed.cancelled() and (error := committed.exception()) is not None:
            self._on_fatal(error)

    # effects out, after the commit

    def _committed(
        self, effects: Sequence[Effect], metas: dict[str, JobMeta], found: SystemOutcome | None = None
    ) -> None:
        if found is not None:  # before the next job starts
            found.take_effect()
        self._records.apply(self.device, effects, metas)
        for effect in effects:
            match effect:
                case Start(job_id, attempt):
                    self._start(job_id, attempt)
                case Stop(job_id, attempt):
                    self._stop(job_id, attempt)
                case Charge():
                    self._on_charge(self.device, effect)
                case JobChanged(job=job) if job.state.final:
                    self._forget_inputs(job.id)
                case SessionChanged(session=session, before=before) if before in _HOLDS and (
                    session.state not in _HOLDS
                ):
                    self._engine.end_session(self.device, session.id)
        # only now: no act may depend on what a log or a metric does
        self._observe(self.device, effects)
        for effect in effects:
            if isinstance(effect, JobChanged) and effect.job.state.final:
                job = effect.job
                log.info("job.ended", device=self.device, job=job.id, state=job.state, why=job.reason)

    def _forget_inputs(self, job_id: str) -> None:
        """R56; the store does it again for all such jobs at the next start."""
        record = self._records.job(job_id)
        if record is not None and record.meta.private:
            if record.meta.params_hash is not None:
                self._records.blobs.drop(record.meta.params_hash)
            record.meta.params_hash = None
            self._store.must_write(jobs.forget_params, job_id).add_done_callback(unawaited)

    def _start(self, job_id: str, attempt: int) -> None:
        key = (job_id, attempt)
        if key not in self._runs:
            task = asyncio.get_running_loop().create_task(self._run(job_id, attempt))
            self._runs[key] = task
            task.add_done_callback(lambda t: self._run_done(key, t))

    def _stop(self, job_id: str, attempt: int) -> None:
        if (job_id, attempt) in self._runs:
            self._stopped.add((job_id, attempt))
        self._engine.kill(self.device, _run_id(job_id, attempt))

    def _run_done(self, key: tuple[str, int], task: asyncio.Task[None]) -> None:
        self._runs.pop(key, None)
        self._stopped.discard(key)
        if not task.cancelled() and (error := task.exception()) is not None:
            self._on_fatal(error)

    async def _run(self, job_id: str, attempt: int) -> None:
        JOB.set(job_id)
        record = self._records.live_jobs.get(job_id)
        if record is None:  # it has ended between the commit and now: only free the device
            self.feed(ev.RunEnded(job_id, attempt, ev.Outcome.STOPPED))
            return
        if record.job.kind is JobKind.USER and (full := await self._over(record.job.project)) is not None:
            self.feed(ev.RunEnded(job_id, attempt, ev.Outcome.FAILED, full, codes.OVER_LIMIT))
            return
        digest = record.meta.params_hash or ""
        if record.job.kind is JobKind.SYSTEM:
            params = self._system_jobs.inputs(self.device, record.job.program)
        else:
            params = self._records.blobs.get(digest) or await self._store.read(read_blob, digest) or b""
        if (job_id, attempt) in self._stopped:  # while its inputs were read: the engine had nothing to kill
            self.feed(ev.RunEnded(job_id, attempt, ev.Outcome.STOPPED))
            return
        record.progress.clear()
        request = _request(record.job, attempt, params, partial(self._progressed, record), self._clock.now())
        try:
            outcome = await self._engine.run(self.device, request)
        except DeviceUnavailable as error:
            why, untouched = str(error), not error.touched
            ended = ev.RunEnded(job_id, attempt, ev.Outcome.LOST, why, untouched=untouched)
            self.feed(ev.DeviceLost(why), ended)
            return
        await self._ended(job_id, attempt, outcome, record.meta, "".join(record.progress))

    def _progressed(self, record: JobRecord, part: float, words: str) -> None:
        at = datetime.fromtimestamp(self._clock.now(), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        record.progress.append(f"INFO {at} progress: {part:.0%}, {words}\n")

    async def _ended(
        self, job_id: str, attempt: int, outcome: RunOutcome, meta: JobMeta, progress: str
    ) -> None:
        kept: dict[str, bytes] = {}
        meta = replace(meta)  # nobody may see the result before the commit
        found: SystemOutcome | None = None
        job = self.lane.jobs.get(job_id)
        match outcome:
            case Completed(result=result, quantum_seconds=seconds) if (
                job is not None and job.kind is JobKind.SYSTEM
            ):
                try:
                    found = self._system_jobs.outcome(self.device, job.program, job_id, result, seconds)
                    event = ev.RunEnded(job_id, attempt, ev.Outcome.COMPLETED, found.said)
                    meta.result_hash = _keep(kept, found.report)
                except ProtocolError as error:
                    event = ev.RunEnded(job_id, attempt, ev.Outcome.FAILED, str(error), codes.SYSTEM_FAILURE)
            case Completed(result=result, logs=logs, used=used):
                event = ev.RunEnded(job_id, attempt, ev.Outcome.COMPLETED, used=used)
                meta.result_hash = _keep(kept, result)
                meta.logs_hash = _keep(kept, shown(progress + logs, meta.log_level).encode())
            case Failed(reason=reason, code=code, detail=detail, logs=logs, used=used):
                event = ev.RunEnded(job_id, attempt, ev.Outcome.FAILED, reason, code, used=used)
                meta.result_hash = _keep(kept, (detail or reason).encode())
                meta.logs_hash = _keep(kept, shown(progress + logs, meta.log_level).encode())
            case Crashed(how=how):
                event = ev.RunEnded(job_id, attempt, ev.Outcome.CRASHED, sentence(how))
            case Lost(how=how):
                why = f"The device's worker process {how} while it had the job, for no reason of the job's."
                event = ev.RunEnded(job_id, attempt, ev.Outcome.LOST, why)
            case Stopped():
                event = ev.RunEnded(job_id, attempt, ev.Outcome.STOPPED, "The run was stopped.")
        if job is not None:
            large = kept if found is None else found.blobs
            try:
                staged = await stage(self._store, large, scarce=self._held is not None)
            except StoreFull as error:
                log.error("result.unstored", device=self.device, job=job_id, why=str(error))
                if event.outcome is ev.Outcome.COMPLETED:
                    event = ev.RunEnded(job_id, attempt, ev.Outcome.UNSTORED, _unstored(large, error))
                kept, found, meta.result_hash, meta.logs_hash = {}, None, None, None
            else:
                job = self.lane.jobs.get(job_id)  # it may have ended meanwhile
                if job is None:
                    unstage(self._store, staged)
        if job is None:  # R53: the result lost the race
            self.feed(event)
            return
        for digest, data in kept.items():
            self._records.blobs.put(digest, data)
        crashes = job.crashes
        self.feed(event, metas={job_id: meta}, blobs=kept, found=found)
        if isinstance(outcome, Crashed) and job.crashes > crashes:
            self._on_crash(self.device, job, outcome.how)

    # the device's state and time

    def worker_changed(self, state: WorkerState) -> None:
        """The engine reports; only what the lane needs to know reaches it."""
        if self._leaving:
            return
        operational = state.phase in OPERATIONAL and self._held is None
        if operational and (not self.lane.ready or state.reruns != self._reruns):
            self._reruns = state.reruns
            self.feed(ev.DeviceReady(state.reruns))
        elif not operational and (self.lane.ready or self._says_more(state)):
            self.feed(ev.DeviceLost(self._why_lost(state)))

    def _says_more(self, state: WorkerState) -> bool:
        """Whether those who wait get another reason than before."""
        return bool(self._held or state.reason) and self._why_lost(state) != self.lane.lost_because

    def _why_lost(self, state: WorkerState) -> str:
        return self._held or state.reason or f"its worker is {state.phase}"

    def hold(self, reason: str | None) -> None:
        """Start nothing for this reason until there is none; what runs goes on."""
        self._held = reason
        if self._leaving:
            return
        state = self._engine.state(self.device)
        if reason is None and state.phase in OPERATIONAL:
            self.worker_changed(state)
        else:
            self.feed(ev.DeviceLost(self._why_lost(state)))

    def tick(self) -> None:
        self.feed(ev.Tick())

    def step_clock(self, jumped: float, lead: float) -> tuple[Unit, Callable[[], None]]:
        """In the same moment in which the clock has jumped, or its lead has changed (D24). The unit is to be
        committed with those of all other devices; then the callback is called."""
        now, event = self._clock.now(), ev.ClockStepped(jumped, lead)
        effects = self._handle(event, now)
        rows = [self._journal.event(event, now, effects)] if self._journal is not None else []
        self._arm()
        self.leaping += jumped

        def landed() -> None:
            self.leaping -= jumped
            self._committed(effects, {})

        return Unit(self.device, effects, journal=rows), landed

    def _arm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        deadline = None if self._leaving else self.lane.next_deadline()
        if deadline is not None:
            self._timer = self._clock.call_at(deadline, self._on_timer)

    def _on_timer(self) -> None:
        self._timer = None
        deadline = self.lane.next_deadline()
        if deadline is not None and deadline <= self._clock.now():
            self.tick()
        else:
            self._arm()

    async def leave(self) -> None:
        """The service stops: holds end now and not with the last sign of life (D19), and nothing starts any
        more. From here on there are no timers, and the worker is not listened to."""
        self._leaving = True
        await self.feed(ev.DeviceLost("the service was stopped"))

    async def stop(self) -> None:
        """Runs in progress are left to the engine, which kills them, and to recovery."""
        self._leaving = True
        self._arm()
        for task in list(self._runs.values()):
            task.cancel()
        await asyncio.gather(*self._runs.values(), return_exceptions=True)


def _run_id(job_id: str, attempt: int) -> str:
    return f"{job_id}.{attempt}"


def _request(
    job: Job, attempt: int, params: bytes, progress: Callable[[float, str], None], at: float
) -> RunRequest:
    request = RunRequest(_run_id(job.id, attempt), job.program, params, progress, at=at)
    if job.kind is JobKind.SYSTEM:  # it is in nobody's session, and ends none behind the device
        return request
    return replace(request, job=job.id, session=None if job.detached else job.session_id)


def _unstored(kept: Mapping[str, bytes], error: StoreFull) -> str:
    size = sum(map(len, kept.values()))
    return (
        f"The job completed, and its result of {size / 1e6:.3g} MB could not be stored: the disk of the "
        f"service is full ({error}). Nothing is charged. Submit it again when there is room, or with fewer "
        "shots or circuits."
    )


def _keep(kept: dict[str, bytes], data: bytes) -> str | None:
    if not data:
        return None
    digest = sha256(data)
    kept[digest] = data
    return digest
