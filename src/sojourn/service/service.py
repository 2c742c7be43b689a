"""The service: assembles store, lanes and workers, recovers after a crash, and is the API's one partner."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import suppress
from copy import copy
from pathlib import Path
from typing import Any

import structlog

from sojourn import codes
from sojourn.config import ServerSettings, Settings
from sojourn.core import Lane
from sojourn.core import events as ev
from sojourn.core.effects import Charge, ChargeKind
from sojourn.core.formatting import at_time
from sojourn.core.usage import UsageMeter
from sojourn.execution.engine import DeviceUnavailable, EngineFactory, Pace, WorkerPhase, WorkerState
from sojourn.execution.local.engine import LocalEngine
from sojourn.journal.recorder import Journal
from sojourn.service.accounts import Accounts
from sojourn.service.audit import Audit
from sojourn.service.calibrations import FIRST, Calibrations
from sojourn.service.clock import Clock, SystemClock
from sojourn.service.data_folder import check as check_rights
from sojourn.service.devices import is_mock, models, renamed, schedules, specs
from sojourn.service.disk import Disk
from sojourn.service.dispatcher import Dispatcher
from sojourn.service.errors import Conflict
from sojourn.service.following import Following
from sojourn.service.hub import Hub
from sojourn.service.jobs import Jobs
from sojourn.service.key_files import KeyFiles
from sojourn.service.opening import DATABASE, explained, open_store
from sojourn.service.operations import Operations, pending_calibration, state_of
from sojourn.service.readiness import Readiness
from sojourn.service.records import JobRecord, Records, SessionRecord
from sojourn.service.reservations import Reservations
from sojourn.service.retention import Retention
from sojourn.service.revocation import Revocation
from sojourn.service.schedule import Schedule
from sojourn.service.sessions import Sessions
from sojourn.service.steps import Steps
from sojourn.service.turns import Turns
from sojourn.service.usage import Usage
from sojourn.service.users import Users
from sojourn.service.views import DeviceView, Principal
from sojourn.store import Database, history, ledger
from sojourn.store import devices as stored_devices
from sojourn.store import jobs as stored_jobs
from sojourn.store import reservations as stored_reservations
from sojourn.store import sessions as stored_sessions
from sojourn.store.blobs import sweep_parts
from sojourn.store.calibrations import Calibration, last_attempts
from sojourn.store.clock import newest
from sojourn.store.database import DiskSpace, StoreFull, run_all, unawaited
from sojourn.store.database.disk_space import MB
from sojourn.worker.confinement import landlock_version
from sojourn.worker.protocol.types import Description

log = structlog.get_logger("sojourn.service")

NOT_CONFIGURED = "it is not in the configuration any more. Cancel the job, or ask an operator to put it back"
FIRST_DESCRIPTION = 30.0
"""Seconds that a list of devices waits for what they are, after a start."""


class Service:
    """Create it, `await start()`, use it, `await stop()`; all on one event loop.

    `on_fatal` is called when a commit fails: what is in memory can then not be trusted, the process should
    end and start again from the store.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        clock: Clock | None = None,
        on_fatal: Callable[[BaseException], None] | None = None,
        engine: EngineFactory = LocalEngine,
        store: Callable[..., Awaitable[Database]] = Database.open,
    ) -> None:
        self.settings = settings
        self.clock: Clock = clock or SystemClock()
        self._make_engine = engine
        self._open_store = store
        self._on_fatal = on_fatal
        self.fatal: BaseException | None = None
        self._hub: Hub | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._readiness = Readiness(settings.server.data / DATABASE)
        self._heard: dict[str, int | None] = {}  # the worker that has described each device

    # life

    async def start(self) -> None:
        """Open the store, recover, and let the workers come up in the background.

        Raises ServiceFailed when the database is missing, damaged or of another version.
        """
        data = self.settings.server.data
        data.mkdir(parents=True, exist_ok=True, mode=0o700)
        check_rights(data, self.settings.access.data_folder)
        async with explained(data / DATABASE):
            await self._start(data)

    async def _start(self, data: Path) -> None:
        for what in self.settings.deprecations():
            log.warning("configuration.deprecated", what=what)
        disk = DiskSpace(data, int(self.settings.server.disk_reserve_mb * MB))
        store = await open_store(functools.partial(self._open_store, disk=disk), data / DATABASE)
        self.clock.begin(await store.read(newest))  # before anything is told the time
        accounts = Accounts(store, self.clock.date, self.settings.access.keys_per_user)
        await accounts.load()
        devices = specs(self.settings.devices)
        engine = self._make_engine(
            list(devices.values()),
            on_state=self._worker_changed,
            preparers=self.settings.server.preparers,
            prepare_limit=self.settings.server.prepare_seconds,
            pace=_pace(self.settings.server),
            hung_limit=self.settings.server.hung_seconds,
            hidden=_hidden(data) if self.settings.access.confine_workers else "",
        )
        companions = models(devices)

        def hold(device: str, properties: bytes) -> None:
            if device in devices:
                engine.calibrate(device, properties)

        calibrations = Calibrations(store, self.clock.now, companions, hold)
        await calibrations.load()
        policy = self.settings.profile()
        hub = self._hub = Hub(
            settings=self.settings,
            store=store,
            clock=self.clock,
            accounts=accounts,
            records=Records(),
            engine=engine,
            specs=devices,
            models=companions,
            usage=UsageMeter(policy.fair_share_window, policy.half_life),
            calibrations=calibrations,
            disk=Disk(store, self._room_changed),
            steps=await Steps.load(store),
            audit=Audit(store, self.clock),
            descriptions=calibrations.descriptions,
        )
        self.accounts = accounts
        jobs, sessions = self._jobs, self._sessions = Jobs(hub), Sessions(hub)
        self.submit, self.job, self.poll, self.params = jobs.submit, jobs.job, jobs.poll, jobs.params
        self.placed = jobs.placed
        self.result, self.logs, self.jobs, self.story = jobs.result, jobs.logs, jobs.jobs, jobs.story
        self.release_polls, self.why, self.waiting = jobs.release_polls, jobs.why, jobs.waiting
        self.cancel_job, self.delete_job, self.set_tags = jobs.cancel_job, jobs.delete_job, jobs.set_tags
        self.open_session, self.session = sessions.open_session, sessions.session
        self.sessions, self.drain_session = sessions.sessions, sessions.drain_session
        self.close_session = sessions.close_session
        revocation, self._key_files = Revocation(hub), KeyFiles(data, accounts, hub.audit)
        self.revoke_user, self.remove_member = revocation.revoke, revocation.remove
        self.people, self.audit = Users(hub, self._key_files), hub.audit
        self.users, self.add_user, self.restore_user = (
            self.people.users,
            self.people.add_user,
            self.people.restore_user,
        )
        operations, reservations = Operations(hub), Reservations(hub)
        self._operations = operations
        self.halt_device, self.resume_device = operations.halt_device, operations.resume_device
        self.calibrate = operations.calibrate
        self.reserve, self.cancel_reservation = reservations.reserve, reservations.cancel_reservation
        self.reservation, self.calendar = reservations.reservation, reservations.calendar
        self._schedule = Schedule(self.clock, schedules(self.settings.devices), self._calibration_due)
        self._retention = Retention(hub)
        self._following = Following(hub, self._schedule, self._retention, self._failed)
        usage = Usage(hub)
        self.usage, self.usage_report = usage.window, usage.report
        self.check_filter = hub.check_filter
        self.projects, self.pace, self.rooms = hub.projects, hub.limits.pace, hub.rooms
        self.stored = hub.storage.stored
        self.turns = Turns(lambda who: hub.limits.looks(who.project_id))
        await self._key_files.settle()
        await hub.projects.configure()
        with suppress(StoreFull):  # then it is done when there is room
            await store.write(run_all, stored_jobs.forget_params, sweep_parts)
        await self._recover(hub)
        await hub.disk.start()
        hub.limits.recount()
        await hub.crashes.load()
        self._retention.start()
        await engine.start()
        for name in devices:  # one that sleeps says nothing until it has work
            hub.dispatchers[name].worker_changed(engine.state(name))
        await self._start_schedule(hub)
        self._following.start()
        log.info("service.started", devices=[n for n in devices if not is_mock(n)], data=str(data))

    async def stop(self) -> None:
        """Jobs that run are run again at the next start."""
        if self._hub is None:
            return
        hub = self._hub
        self._following.stop()
        hub.store.hurry()
        await hub.disk.stop()
        self._schedule.stop()
        for task in self._tasks:
            task.cancel()
        await self._retention.stop()
        hub.audit.stop()
        await self._jobs.stop()
        desks = hub.dispatchers.values()
        try:
            if self.fatal is None:
                # what goes wrong is told to `_failed`, and the rest stops all the same
                await asyncio.gather(*[desk.leave() for desk in desks], return_exceptions=True)
            for desk in desks:
                await desk.stop()
        finally:
            await hub.engine.stop()
            hub.store.close()
            self._hub = None

    # recovery (R55)

    async def _recover(self, hub: Hub) -> None:
        jobs = await hub.store.read(stored_jobs.live)
        sessions = await hub.store.read(stored_sessions.live)
        windows = await hub.store.read(stored_reservations.live)
        halts = await hub.store.read(stored_devices.halts)
        now = self.clock.now()
        alive = min(now, await hub.store.read(history.newest))
        hub.next_seq = await hub.store.read(stored_jobs.last_seq) + 1
        # a device that is not configured any more keeps its queue: its users can still look and cancel
        left = {s.device for s in jobs} | {s.device for s in sessions} | {d for d, _ in windows} | set(halts)
        names = [*hub.specs, *sorted(left)]
        names = list(dict.fromkeys(names))
        shares = hub.projects.shares()
        lanes = {name: Lane(name, self.settings.profile(name), shares) for name in names}
        since = hub.steps.before(
            now, max([hub.usage.memory, *(lane.usage_memory for lane in lanes.values())])
        )
        charged = {
            step: [
                (user, project, seconds, hub.steps.restated(at))
                for user, project, seconds, at in await hub.store.read(ledger.charged, since, step)
            ]
            for step in {hub.usage.step, *(lane.usage_step for lane in lanes.values())}
        }
        steps: list[asyncio.Future[None]] = []
        lost: list[tuple[str, ev.RunEnded]] = []
        lead, led = self.clock.lead, hub.steps.lead  # now, and when the windows were last told
        for name, lane in lanes.items():
            charges = charged[lane.usage_step]
            journal = Journal(name) if self.settings.server.journal else None
            desk = hub.dispatchers[name] = Dispatcher(
                lane,
                store=hub.store,
                clock=self.clock,
                engine=hub.engine,
                records=hub.records,
                calibrations=hub.calibrations,
                on_charge=self._charged,
                on_crash=hub.crashes.note,
                on_fatal=self._failed,
                over=hub.storage.over,
                journal=journal,
            )
            own_jobs = [s for s in jobs if s.device == name]
            own_sessions = [s for s in sessions if s.device == name]
            for stored in own_jobs:
                hub.records.live_jobs[stored.job.id] = JobRecord(name, stored.job, stored.meta)
            for kept in own_sessions:
                hub.records.live_sessions[kept.session.id] = SessionRecord(
                    name, kept.session, list(kept.timestamps)
                )
            # the lane changes its entities, the records show committed ones: each has its own
            own_windows = [window for device, window in windows if device == name]
            own = [copy(s.job) for s in own_jobs], [copy(s.session) for s in own_sessions], own_windows
            if journal is not None:
                desk.record(journal.restored(lane, now, *own, halts.get(name), charges, led))
            lost += [(name, event) for event in lane.restore(*own, halts.get(name), led, charges)]
            if alive:
                steps.append(desk.feed(ev.Tick(), at=alive))  # what was held is held no longer (D19)
        if lead != led:  # it was set while nothing ran here, or the time down has made up for a lead
            log.warning("clock.behind", seconds=lead, before=led)
            steps.append(self._following.tell_the_lanes(0.0, lead))
        for name, desk in hub.dispatchers.items():
            steps.append(desk.feed(ev.Tick()))  # what is overdue fires first
            if name not in hub.specs:
                steps.append(desk.feed(ev.DeviceLost(NOT_CONFIGURED)))
        for name, event in lost:
            log.warning("job.lost", device=name, job=event.job_id)
            steps.append(hub.dispatchers[name].feed(event))
        for step in steps:  # nobody sees a state of before the restart
            await step
        for user, project, seconds, at in charged[hub.usage.step]:
            hub.usage.charge(project, user, seconds, at)
        for stored in jobs:
            if stored.device in hub.specs and stored.job.state == "accepted":
                self._jobs.recover(hub.dispatchers[stored.device], stored)
        await self._jobs.restore_submits(self.settings.policy.submit_retry_window)

    def _worker_changed(self, device: str, state: WorkerState) -> None:
        hub = self._hub
        if hub is None or device not in hub.dispatchers:
            return
        hub.dispatchers[device].worker_changed(state)
        if state.phase is WorkerPhase.READY and self._heard.get(device, -1) != state.pid:
            self._heard[device] = state.pid
            self._spawn(self._learn(device))

    def _room_changed(self, reason: str | None) -> None:
        """Nothing is started whose result would find no room; what runs goes on. With room again, the private
        inputs are forgotten that a full disk kept (R56)."""
        hub = self.hub
        if reason is None:
            hub.store.write(stored_jobs.forget_params).add_done_callback(unawaited)
        for name in hub.specs:
            if name in hub.dispatchers:
                hub.dispatchers[name].hold(reason)

    async def _learn(self, device: str) -> None:
        with suppress(DeviceUnavailable):
            await self._hear(device)

    async def _hear(self, device: str) -> None:
        await self.hub.calibrations.hear(device, await self.hub.engine.description(device))

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._spawned)

    def _spawned(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("service.task", exc_info=error)

    def _charged(self, device: str, charge: Charge) -> None:
        """Usage reaches the other lanes as an event (R48)."""
        if self._hub is None or charge.kind is ChargeKind.SYSTEM:
            return
        end = self._hub.steps.restated(charge.end)  # the clock may have been set before the commit
        self._hub.usage.charge(charge.project, charge.user, charge.seconds, end)
        report = ev.UsageReported(charge.user, charge.project, charge.seconds, end)
        for name, desk in self._hub.dispatchers.items():
            if name != device:
                desk.feed(report)

    def _failed(self, error: BaseException) -> None:
        if self.fatal is None:
            self.fatal = error
            if self._on_fatal is not None:
                self._on_fatal(error)
        log.critical("service.broken", exc_info=error)

    # calibrations by the clock

    async def _start_schedule(self, hub: Hub) -> None:
        last = await hub.store.read(last_attempts)
        for device in hub.specs:
            present = hub.calibrations.present(device)
            if present is not None:
                last[device] = max(last.get(device, 0.0), present.at)
        self._schedule.start(last)

    def _calibration_due(self, device: str) -> None:
        if pending_calibration(self.hub.dispatchers[device]) is None:
            self._spawn(self._calibrate(device))

    async def _calibrate(self, device: str) -> None:
        if pending_calibration(self.hub.dispatchers[device]) is None:
            await self._operations.queue_calibration(device, "the schedule")

    # devices

    def devices(self, who: Principal | None = None) -> list[DeviceView]:
        """Without a caller no ids of jobs and sessions are shown."""
        return [self._device_view(name, who) for name in self.hub.specs]

    def device(self, name: str, who: Principal | None = None) -> DeviceView:
        return self._device_view(self.hub.dispatcher(name).device, who)

    async def description(self, name: str) -> Description:
        """Waits until the device's worker has described it; Conflict when it cannot."""
        hub = self.hub
        looks_like = hub.models.get(hub.dispatcher(name).device)
        if looks_like is not None:  # a companion need not be woken for this
            return renamed(await self.description(looks_like), name)
        if name not in hub.descriptions:
            try:
                await self._hear(name)
            except DeviceUnavailable as error:
                raise Conflict(f"{name} is not available: {error}", code=codes.DEVICE_UNAVAILABLE) from None
        return hub.descriptions[name]

    async def calibrated(
        self, name: str, *, calibration_id: str | None = None, at: float | None = None
    ) -> tuple[str, Description]:
        """A calibration's id and what the device was under it: the one that is named, else the one that was
        in force at the time `at`, else the present one. NotFound for one that does not exist."""
        hub = self.hub
        device = hub.models.get(hub.dispatcher(name).device, name)
        present = await self.description(name)
        if calibration_id is not None:
            wanted = hub.calibrations.named(device, calibration_id)
        else:
            found = hub.calibrations.in_force(device, self.clock.now() if at is None else at)
            if found is None or (at is None and found != hub.calibrations.present(device)):
                found = hub.calibrations.present(device)
            if found is None:
                return FIRST, present
            wanted = found
        if wanted == hub.calibrations.present(device):
            return wanted.id, present
        return wanted.id, renamed(await hub.calibrations.description(wanted), name)

    def calibrations(self, name: str) -> list[Calibration]:
        """The device's calibrations, the newest first."""
        return list(reversed(self.hub.calibrations.history(self.hub.dispatcher(name).device)))

    def longest_session(self, name: str) -> float:
        """The system limit of a session on this device, in seconds (R20)."""
        return self.hub.dispatcher(name).lane.profile.max_time

    async def described(self) -> None:
        """Wait until every device's first worker has told what the device is, or could not."""
        hub = self.hub
        unknown = [n for n, s in hub.specs.items() if not s.lazy and n not in hub.descriptions]
        if unknown:
            await asyncio.wait(
                {asyncio.ensure_future(self._learn(n)) for n in unknown}, timeout=FIRST_DESCRIPTION
            )

    def _device_view(self, name: str, who: Principal | None) -> DeviceView:
        hub = self.hub
        lane, spec, state = hub.dispatchers[name].lane, hub.specs[name], hub.engine.state(name)
        known = hub.descriptions.get(hub.models.get(name, name))
        up = state.phase is not WorkerPhase.FAILED  # a worker that starts will take jobs
        wanted, message = state_of(hub.dispatchers[name]), "active"
        if not up:
            message = state.reason or str(state.phase)
        elif hub.disk.reason is not None:
            up, message = False, f"it starts no job now: {hub.disk.reason}"
        elif wanted.name != "online":
            message = f"{wanted.name}: {wanted.message}" if wanted.message else wanted.name
            message += f" (expected until {at_time(wanted.until)})" if wanted.until is not None else ""
        present, running, active = hub.calibrations.present(name), lane.running, lane.active
        return DeviceView(
            name=name,
            driver=spec.driver,
            num_qubits=known.num_qubits if known else None,
            operational=up and wanted.name in ("online", "draining"),
            message=message,
            queue_length=lane.depth,
            busy=running is not None,
            running=running if who and running and hub.sees_job(who, running) else None,
            held=active is not None,
            active_session=active if who and active and hub.sees_session(who, active) else None,
            mock=is_mock(name),
            backend_version=known.backend_version if known else "",
            phase=str(state.phase),
            reason=state.reason,
            state=wanted,
            calibration=present.id if present is not None else None,
            calibrated=present.at if present is not None else None,
            next_calibration=self._schedule.next.get(name),
        )

    # health

    def alive(self) -> dict[str, Any]:
        return {"alive": True}

    async def check_store(self) -> None:
        """See `Readiness`."""
        await self._readiness.check_store()

    async def ready(self) -> dict[str, Any]:
        """See `Readiness`."""
        return await self._readiness.of(self._hub, self.fatal)

    @property
    def hub(self) -> Hub:
        """The parts; only while the service runs."""
        if self._hub is None:
            raise Conflict("The service is not running.")
        return self._hub


def _pace(server: ServerSettings) -> Pace:
    return Pace(
        small=server.prepare_small_seconds,
        per_mb=server.prepare_seconds_per_mb,
        rate=server.prepare_rate,
        burst=server.prepare_burst,
    )


def _hidden(data: Path) -> str:
    """The folder that no worker may reach; "" where it cannot be kept from them."""
    if not landlock_version():
        log.warning("workers.unconfined", why="the kernel has no Landlock", folder=str(data))
        return ""
    return str(data.resolve())
