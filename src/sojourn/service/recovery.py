"""Recovery after a restart (R55): loads what has not ended, and the lanes go on with it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from copy import copy
from dataclasses import dataclass

import structlog

from sojourn.config import Settings
from sojourn.core import Lane
from sojourn.core import events as ev
from sojourn.core.calendar import Reservation
from sojourn.core.fair_share.shares import Shares
from sojourn.core.fair_share.usage import UsageMeter
from sojourn.core.model import DeviceStatus
from sojourn.journal.recorder import Journal
from sojourn.service.jobs.admission import Admission
from sojourn.service.lanes.dispatcher import Dispatcher
from sojourn.service.lanes.following import Following
from sojourn.service.lanes.records import JobRecord, Records, SessionRecord
from sojourn.service.lanes.registry import Lanes
from sojourn.service.timing.clock import Clock
from sojourn.service.timing.steps import Steps
from sojourn.store import Database, history, ledger
from sojourn.store import devices as stored_devices
from sojourn.store import jobs as stored_jobs
from sojourn.store import reservations as stored_reservations
from sojourn.store import sessions as stored_sessions
from sojourn.store.jobs import StoredJob
from sojourn.store.sessions import StoredSession

log = structlog.get_logger("sojourn.service")

NOT_CONFIGURED = "it is not in the configuration any more. Cancel the job, or ask an operator to put it back"

Charged = tuple[str, str, float, float]
"""User, project, seconds, and when."""


@dataclass(frozen=True, slots=True)
class _Left:
    """What had not ended when the service stopped."""

    jobs: list[StoredJob]
    sessions: list[StoredSession]
    reservations: list[tuple[str, Reservation]]  # with their devices
    statuses: Mapping[str, DeviceStatus]

    def devices(self) -> set[str]:
        return (
            {stored.device for stored in self.jobs}
            | {stored.device for stored in self.sessions}
            | {device for device, _ in self.reservations}
            | set(self.statuses)
        )


class Recovery:
    """`dispatcher` makes the dispatcher of a lane; with a journal it records the lane's events there."""

    def __init__(
        self,
        *,
        settings: Settings,
        store: Database,
        clock: Clock,
        steps: Steps,
        meter: UsageMeter,
        records: Records,
        lanes: Lanes,
        dispatcher: Callable[[Lane, Journal | None], Dispatcher],
        following: Following,
        admission: Admission,
    ) -> None:
        self._settings = settings
        self._store = store
        self._clock = clock
        self._steps = steps
        self._meter = meter
        self._records = records
        self._lanes = lanes
        self._dispatcher = dispatcher
        self._following = following
        self._admission = admission

    async def run(self, shares: Shares) -> None:
        """When this returns every lane is as it was, has missed no deadline, and that is committed."""
        store, lanes = self._store, self._lanes
        left = _Left(
            await store.read(stored_jobs.live),
            await store.read(stored_sessions.live),
            await store.read(stored_reservations.live),
            await store.read(stored_devices.halts),
        )
        now = self._clock.now()
        alive = min(now, await store.read(history.newest))
        lanes.next_seq = await store.read(stored_jobs.last_seq) + 1
        # a device that is not configured any more keeps its queue: its users can still look and cancel
        names = list(dict.fromkeys([*lanes.specs, *sorted(left.devices())]))
        made = {name: Lane(name, self._settings.profile(name), shares) for name in names}
        charged = await self._charged(now, made)
        commits: list[asyncio.Future[None]] = []
        lost: list[tuple[str, ev.RunEnded]] = []
        lead, led = self._clock.lead, self._steps.lead  # now, and when the reservations were last placed
        for name, lane in made.items():
            dispatcher, events = self._restore(lane, left, charged[lane.usage_step], now, led)
            lost += [(name, event) for event in events]
            if alive:
                commits.append(dispatcher.feed(ev.Tick(), at=alive))  # what was held is held no longer (D19)
        if lead != led:  # it was set while nothing ran here, or the time down has made up for a lead
            log.warning("clock.behind", seconds=lead, before=led)
            commits.append(self._following.step_lanes(0.0, lead))
        for name, dispatcher in lanes.dispatchers.items():
            commits.append(dispatcher.feed(ev.Tick()))  # what is overdue fires first
            if name not in lanes.specs:
                commits.append(dispatcher.feed(ev.DeviceLost(NOT_CONFIGURED)))
        for name, event in lost:
            log.warning("job.lost", device=name, job=event.job_id)
            commits.append(lanes.dispatchers[name].feed(event))
        for commit in commits:  # nobody sees a state of before the restart
            await commit
        for user, project, seconds, at in charged[self._meter.step]:
            self._meter.charge(project, user, seconds, at)
        for stored in left.jobs:
            if stored.device in lanes.specs and stored.job.state == "accepted":
                self._admission.recover(lanes.dispatchers[stored.device], stored)

    async def _charged(self, now: float, lanes: Mapping[str, Lane]) -> dict[float, list[Charged]]:
        """What was charged within the memory of all meters, by the length of their steps."""
        memory = max([self._meter.memory, *(lane.usage_memory for lane in lanes.values())])
        since = self._steps.before(now, memory)
        return {
            step: [
                (user, project, seconds, self._steps.restated(at))
                for user, project, seconds, at in await self._store.read(ledger.charged, since, step)
            ]
            for step in {self._meter.step, *(lane.usage_step for lane in lanes.values())}
        }

    def _restore(
        self, lane: Lane, left: _Left, charges: list[Charged], now: float, led: float
    ) -> tuple[Dispatcher, list[ev.RunEnded]]:
        """The lane's dispatcher, and the ends of the runs that were lost with the workers."""
        name = lane.device
        journal = Journal(name) if self._settings.server.journal else None
        dispatcher = self._lanes.dispatchers[name] = self._dispatcher(lane, journal)
        jobs = [stored for stored in left.jobs if stored.device == name]
        sessions = [stored for stored in left.sessions if stored.device == name]
        for job in jobs:
            self._records.live_jobs[job.job.id] = JobRecord(name, job.job, job.meta)
        for kept in sessions:
            self._records.live_sessions[kept.session.id] = SessionRecord(
                name, kept.session, list(kept.timestamps)
            )
        # the lane changes its entities, the records show committed ones: each has its own
        own = (
            [copy(stored.job) for stored in jobs],
            [copy(stored.session) for stored in sessions],
            [reservation for device, reservation in left.reservations if device == name],
        )
        status = left.statuses.get(name)
        if journal is not None:
            dispatcher.record(journal.restored(lane, now, *own, status, charges, led))
        return dispatcher, list(lane.restore(*own, status, led, charges))
