"""Makes the forecasts of the devices: when somebody asks, once a second for each device at most.

The snapshot of a lane is taken on the event loop, all the rest is worked out in a thread, a few milliseconds
at a time: a thread that computes shares the interpreter with the event loop, and slows every request down
while it does. A process of its own would have to be sent the queue each time.

What the past teaches is read from the store before each forecast: nothing is noted while jobs run, and after
a restart the same rows are there. Nobody asks, nothing is done.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from math import inf
from random import Random

import structlog

from sojourn.core.forecast.corrections import Waits
from sojourn.core.forecast.forecast import Forecast, hypothetical
from sojourn.core.forecast.learned import Learned
from sojourn.core.forecast.snapshot import Snapshot, take, why_stopped
from sojourn.core.model import Job
from sojourn.service.forecasts.facts import facts
from sojourn.service.lanes.records import JobRecord
from sojourn.service.lanes.registry import Lanes
from sojourn.service.requests.parts import in_parts
from sojourn.service.timing.clock import Clock
from sojourn.service.views import QueueFacts
from sojourn.store import Database, history, ledger
from sojourn.store.database import READING

log = structlog.get_logger("sojourn.forecasts")

EVERY = 1.0
"""Seconds between the beginnings of two forecasts of a device at least, however many ask."""
COMPARED = 16
"""Jobs of each forecast that are compared with what comes."""
LITTLE = 10.0
"""The next one is not begun for so many times as long as it took: a tenth of a processor at most."""
REST = 2.0
"""After each of its runs a forecast rests for so many times as long as the run took."""
ROUNDS = 2
"""Forecasts in which a job is looked for that may have come since the latest one."""


@dataclass(slots=True, eq=False)
class _Device:
    """`read_runs` and `read_ends` are the last rows of the past that were taken in."""

    learned: Learned = field(default_factory=Learned)
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    read_runs: int = 0
    read_ends: int = 0
    latest: Forecast | None = None
    begun: float = -inf  # of the event loop's time
    pause: float = EVERY  # until the next one begins
    told: dict[str, QueueFacts | None] = field(default_factory=dict)  # of the latest forecast
    making: asyncio.Task[None] | None = None
    made: int = 0
    worked_out: int = 0  # these, and those of offers
    seconds: float = 0.0  # of a processor, for them


class Forecasts:
    """`project_name` is for sentences; `next_calibrations` has the dates of the schedules by device."""

    def __init__(
        self,
        *,
        store: Database,
        clock: Clock,
        lanes: Lanes,
        project_name: Callable[[str], str],
        next_calibrations: Mapping[str, float],
    ) -> None:
        self._store = store
        self._clock = clock
        self._lanes = lanes
        self.project_name = project_name
        self._next_calibrations = next_calibrations
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="sojourn-forecast")
        self._devices: dict[str, _Device] = {}

    def stop(self) -> None:
        """What is being worked out is not waited for."""
        for device in self._devices.values():
            if device.making is not None:
                device.making.cancel()
        self._thread.shutdown(wait=False, cancel_futures=True)

    # what is asked

    async def of(self, record: JobRecord) -> QueueFacts | None:
        """When the job starts and ends; None for one that has ended.

        A job that has come since the latest forecast waits for the next one, a second at most.
        """
        name, job = record.device, record.job.id
        if record.job.state.final or name not in self._lanes.dispatchers:
            return None
        device = self._device(name)
        for _ in range(ROUNDS):
            await self._refresh(name)
            latest = device.latest
            if latest is not None and job in latest and self._holds(name, latest):
                return self._told(device, latest, job)
            left = device.begun + device.pause - asyncio.get_running_loop().time()
            if left > EVERY:
                return None  # the queue is so long that it would take too long
            await asyncio.sleep(left)
        return None

    async def page(self, records: Iterable[JobRecord]) -> dict[str, QueueFacts]:
        """The same of several jobs by their ids, from forecasts of the last second; without those that have
        come since."""
        wanted: dict[str, list[str]] = {}
        for record in records:
            if not record.job.state.final and record.device in self._lanes.dispatchers:
                wanted.setdefault(record.device, []).append(record.job.id)
        found: dict[str, QueueFacts] = {}
        for name, jobs in wanted.items():
            await self._refresh(name)
            device = self._device(name)
            latest = device.latest
            if latest is not None and self._holds(name, latest):
                told = await in_parts(partial(self._told, device, latest), jobs)
                found |= {job: fact for job, fact in zip(jobs, told, strict=True) if fact is not None}
        return found

    async def if_submitted(self, device: str, job: Job) -> Forecast:
        """The forecast with one more job, which is not submitted."""
        own = self._device(device)
        async with own.lock:
            await self._learn(device, own)
            snapshot = hypothetical(self._snapshot(device), job)
            forecast, _, took = await self._work_out(own, snapshot, 0)
        if (reading := READING.get()) is not None:  # it was made for this one request
            reading.seconds += took
        return forecast

    def length_of(self, device: str, job: Job) -> tuple[float, float, float]:
        """For how long the job would have the device: the shares of 10 %, 50 % and 90 %."""
        length = self._device(device).learned.durations.length(job.user, job.program, job.estimate)
        low, middle, high = (min(length.at(share), job.limit) for share in (0.1, 0.5, 0.9))
        return low, middle, high

    def spent(self, device: str) -> tuple[int, float]:
        """How many forecasts there were, and the seconds of a processor that they took."""
        own = self._devices.get(device)
        return (0, 0.0) if own is None else (own.worked_out, own.seconds)

    # within

    def _device(self, name: str) -> _Device:
        return self._devices.setdefault(name, _Device())

    def _holds(self, name: str, forecast: Forecast) -> bool:
        """Whether the device can still start jobs, or still cannot."""
        return forecast.stopped == why_stopped(self._lanes.dispatchers[name].lane)

    def _told(self, device: _Device, latest: Forecast, job: str) -> QueueFacts | None:
        if latest is not device.latest:  # it has been replaced while a long list was made
            return facts(latest, job, self.project_name)
        if job not in device.told:
            device.told[job] = facts(latest, job, self.project_name)
        return device.told[job]

    async def _refresh(self, name: str) -> None:
        """Return when the latest forecast is not older than a second and knows whether the device can start
        jobs, or could not be made."""
        device, loop = self._device(name), asyncio.get_running_loop()
        late = loop.time() - device.begun >= device.pause
        if device.making is None and (late or (device.latest and not self._holds(name, device.latest))):
            device.making = loop.create_task(self._make(name, device))
            device.making.add_done_callback(lambda task: self._done(device, task))
        if device.making is not None:
            await asyncio.wait({device.making})

    def _done(self, device: _Device, task: asyncio.Task[None]) -> None:
        device.making = None
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("forecast.failed", exc_info=error)

    async def _make(self, name: str, device: _Device) -> None:
        async with device.lock:
            device.begun = asyncio.get_running_loop().time()
            await self._learn(name, device)
            snapshot = self._snapshot(name)
            running = snapshot.running
            if running is not None and running.started_at is not None:
                device.learned.corrections.came(running.id, running.started_at)
            device.made += 1
            device.latest, said, took = await self._work_out(device, snapshot, COMPARED)
            device.pause = max(EVERY, LITTLE * took)
            device.told.clear()
            for job_id, waits, place in said:
                device.learned.corrections.said(job_id, snapshot.now, waits, place)

    async def _learn(self, name: str, device: _Device) -> None:
        runs, device.read_runs = await self._store.read(ledger.ran, name, device.read_runs)
        ends, device.read_ends = await self._store.read(history.left, name, device.read_ends)
        for run in runs:
            device.learned.ran(run)
        for end in ends:
            device.learned.left(end)

    def _snapshot(self, name: str) -> Snapshot:
        due = self._next_calibrations.get(name)
        calibrations = () if due is None else (self._clock.instant(due),)
        return take(self._lanes.dispatchers[name].lane, self._clock.now(), calibrations)

    async def _work_out(
        self, device: _Device, snapshot: Snapshot, compared: int
    ) -> tuple[Forecast, Sequence[tuple[str, Waits, int]], float]:
        """In the thread; `device.lock` is held, so nothing is learned meanwhile. With the forecast come what
        is to be compared, and the seconds of a processor that it took."""
        random = Random(device.made)

        def work() -> tuple[Forecast, Sequence[tuple[str, Waits, int]], float]:
            begun = time.thread_time()
            forecast = Forecast(snapshot, device.learned, rest=_rests())
            return forecast, list(forecast.some(compared, random)), time.thread_time() - begun

        found = await asyncio.get_running_loop().run_in_executor(self._thread, work)
        device.worked_out += 1
        device.seconds += found[2]
        return found


def _rests() -> Callable[[], None]:
    """What sleeps in proportion to the time that has passed since its last sleep, which is longer the more
    others want the processor."""
    woken = time.perf_counter()

    def rest() -> None:
        nonlocal woken
        time.sleep(REST * (time.perf_counter() - woken))
        woken = time.perf_counter()

    return rest
