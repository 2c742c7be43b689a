"""Counts and measures what happens, as it happens: jobs, charges, workers, requests, polls, commits.

What merely is, such as the length of a queue, is read when somebody asks: see `readings`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Generic, TypeVar

from prometheus_client import CollectorRegistry, Counter, Histogram
from prometheus_client.metrics import MetricWrapperBase
from prometheus_client.process_collector import ProcessCollector

from sojourn.core.effects import Charge, ChargeKind, Effect, JobChanged
from sojourn.core.model import FINAL, Job, JobKind, JobState, Mode
from sojourn.execution.engine import WorkerPhase, WorkerState
from sojourn.service.metrics import table
from sojourn.service.metrics.table import Metric

MODES = {Mode.DEDICATED: "session", Mode.BATCH: "batch"}
ALONE, SYSTEM = "job", "system"
STREAM = "stream"
"""The kind of requests whose replies last for as long as the client likes."""
NO_REPLY = "none"

ModeOf = Callable[[str], Mode | None]
"""The mode of the session with this id, None where it is not known any more."""


M = TypeVar("M", bound=MetricWrapperBase)


class _ByLabels(Generic[M]):
    """A metric with labels: the one of these values. The library takes a lock and checks them each time."""

    def __init__(self, metric: M) -> None:
        self._metric = metric
        self._known: dict[tuple[str, ...], M] = {}

    def __call__(self, *values: str) -> M:
        known = self._known.get(values)
        if known is None:
            known = self._known[values] = self._metric.labels(*values)
        return known


class Measures:
    """Of one service. `commit` may be called on any thread, all else is for the event loop.

    Every call takes microseconds, and none fails for what it is given.
    """

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        self._accepted = self._counters(table.JOBS_ACCEPTED)
        self._ended = self._counters(table.JOBS_ENDED)
        self._requeued = self._counters(table.JOBS_REQUEUED)
        self._wait = self._histograms(table.JOB_WAIT)
        self._run = self._histograms(table.JOB_RUN)
        self._preparation = self._histograms(table.PREPARATION)
        self._charged = self._counters(table.CHARGED)
        self._worker_starts = self._counters(table.WORKER_STARTS)
        self._requests = self._counters(table.REQUESTS)
        self._request_seconds = self._histograms(table.REQUEST_SECONDS)
        self._poll_hold = self._histogram(table.POLL_HOLD)
        self._commit_seconds = self._histogram(table.COMMIT_SECONDS)
        self._commit_size = self._histogram(table.COMMIT_SIZE)
        self._late = self._histogram(table.LOOP_LATE)
        self._workers: dict[str, int] = {}

    def _counters(self, metric: Metric) -> _ByLabels[Counter]:
        return _ByLabels(Counter(metric.name, metric.meaning, metric.labels, registry=self.registry))

    def _histograms(self, metric: Metric) -> _ByLabels[Histogram]:
        return _ByLabels(self._histogram(metric))

    def _histogram(self, metric: Metric) -> Histogram:
        return Histogram(
            metric.name, metric.meaning, metric.labels, buckets=metric.buckets, registry=self.registry
        )

    def know(self, devices: Iterable[str]) -> None:
        """Begin to count for these devices: a counter that was there with 0 has a rate when it counts."""
        for device in devices:
            for mode in (*MODES.values(), ALONE, SYSTEM):
                self._accepted(device, mode)
                for outcome in sorted(FINAL):
                    self._ended(device, mode, outcome)
            for kind in ChargeKind:
                self._charged(device, kind)
            self._requeued(device)
            self._worker_starts(device)

    # jobs and devices

    def committed(self, device: str, effects: Sequence[Effect], mode_of: ModeOf) -> None:
        """The facts of a step of the device's lane that was just committed."""
        for effect in effects:
            if isinstance(effect, Charge):
                self._charged(device, effect.kind).inc(effect.seconds)
            elif isinstance(effect, JobChanged) and effect.before is not effect.job.state:
                self._moved(device, effect.before, effect.job, _mode(effect.job, mode_of))

    def _moved(self, device: str, before: JobState | None, job: Job, mode: str) -> None:
        if before is None:
            self._accepted(device, mode).inc()
        if job.state is JobState.RUNNING and job.attempt == 1 and job.started_at is not None:
            self._wait(device, mode).observe(max(0.0, job.started_at - job.accepted_at))
        elif job.state is JobState.QUEUED and before is JobState.RUNNING:
            self._requeued(device).inc()
        elif job.state.final:
            self._ended(device, mode, job.state).inc()
            if before is JobState.RUNNING and job.started_at is not None and job.ended_at is not None:
                self._run(device, mode).observe(max(0.0, job.ended_at - job.started_at))

    def worker(self, device: str, state: WorkerState) -> None:
        """The device's worker is in another state."""
        if (
            state.phase is WorkerPhase.READY
            and state.pid is not None
            and self._workers.get(device) != state.pid
        ):
            self._workers[device] = state.pid
            self._worker_starts(device).inc()

    def prepared(self, device: str, seconds: float) -> None:
        """A preparation of a job for the device has ended: the job is ready, or refused."""
        self._preparation(device).observe(max(0.0, seconds))

    # requests, store, event loop

    def request(self, kind: str, status: int, seconds: float) -> None:
        """A request is done: with the status of its reply, 0 without one."""
        self._requests(kind, str(status) if status else NO_REPLY).inc()
        if kind != STREAM:
            self._request_seconds(kind).observe(max(0.0, seconds))

    def held(self, seconds: float) -> None:
        """A poll was held so long."""
        self._poll_hold.observe(seconds)

    def commit(self, transactions: int, seconds: float) -> None:
        """The database has committed so many transactions as one."""
        self._commit_size.observe(transactions)
        self._commit_seconds.observe(seconds)

    def late(self, seconds: float) -> None:
        """The event loop was so late with a timer."""
        self._late.observe(max(0.0, seconds))


def _mode(job: Job, mode_of: ModeOf) -> str:
    if job.kind is JobKind.SYSTEM:
        return SYSTEM
    if job.session_id is None:
        return ALONE
    return MODES[mode_of(job.session_id) or Mode.DEDICATED]
