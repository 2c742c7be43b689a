"""The service: assembles store, lanes and workers, recovers after a crash, and is the API's one partner."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from contextlib import suppress
from copy import copy
from pathlib import Path
from typing import Any

import structlog
from sqlalchemy.exc import DatabaseError

from sojourn.config import Settings
from sojourn.core import Lane
from sojourn.core import events as ev
from sojourn.core.effects import Charge, ChargeKind
from sojourn.core.fairshare import Usage
from sojourn.execution.fleet import Fleet
from sojourn.execution.types import Description, DeviceUnavailable, WorkerPhase, WorkerState
from sojourn.service.accounts import Accounts
from sojourn.service.clock import Clock, SystemClock
from sojourn.service.devices import is_mock, models, profile_of, renamed, specs
from sojourn.service.dispatcher import OPERATIONAL, Dispatcher
from sojourn.service.errors import Conflict, ServiceFailed
from sojourn.service.hub import Hub
from sojourn.service.jobs import Jobs
from sojourn.service.records import JobRecord, Records, SessionRecord
from sojourn.service.sessions import Sessions
from sojourn.service.views import DeviceView, NewKey, Principal, UsageView, UserView
from sojourn.store import Store
from sojourn.store.migrate import SchemaTooNew

log = structlog.get_logger("sojourn.service")

OPERATOR, OPERATOR_PROJECT = "operator", "operators"
LOCAL = "local"
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
    ) -> None:
        self.settings = settings
        self.clock: Clock = clock or SystemClock()
        self._on_fatal = on_fatal
        self.fatal: BaseException | None = None
        self._hub: Hub | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    # life

    async def start(self) -> None:
        """Open the store, recover, and let the workers come up in the background."""
        data = self.settings.server.data
        data.mkdir(parents=True, exist_ok=True, mode=0o700)
        store = await _open(data / "sojourn.db")
        accounts = Accounts(store, self.clock.now)
        await accounts.load()
        devices = specs(self.settings.devices)
        fleet = Fleet(
            list(devices.values()),
            on_state=self._worker_changed,
            preparers=self.settings.server.preparers,
        )
        window = profile_of(self.settings, "").fair_share_window
        hub = self._hub = Hub(
            self.settings,
            store,
            self.clock,
            accounts,
            Records(),
            fleet,
            devices,
            models(devices),
            Usage(window),
        )
        self.accounts = accounts
        jobs, sessions = self._jobs, self._sessions = Jobs(hub), Sessions(hub)
        self.submit, self.job, self.poll, self.params = jobs.submit, jobs.job, jobs.poll, jobs.params
        self.result, self.logs, self.jobs, self.story = jobs.result, jobs.logs, jobs.jobs, jobs.story
        self.release_polls = jobs.release_polls
        self.cancel_job, self.delete_job, self.set_tags = jobs.cancel_job, jobs.delete_job, jobs.set_tags
        self.open_session, self.session = sessions.open_session, sessions.session
        self.sessions, self.drain_session = sessions.sessions, sessions.drain_session
        self.close_session = sessions.close_session
        await self._first_users(data)
        await store.forget_params()
        await self._recover(hub)
        await fleet.start()
        for name in devices:  # one that sleeps says nothing until it has work
            hub.dispatchers[name].worker_changed(fleet.state(name))
        log.info("service.started", devices=[n for n in devices if not is_mock(n)], data=str(data))

    async def stop(self) -> None:
        """Jobs that run are run again at the next start."""
        if self._hub is None:
            return
        hub = self._hub
        for task in self._tasks:
            task.cancel()
        await self._jobs.stop()
        for desk in hub.dispatchers.values():
            await desk.stop()
        await hub.fleet.stop()
        hub.store.close()
        self._hub = None

    async def _first_users(self, data: Path) -> None:
        """The operator and the local user, each with the key in a file that only its owner may read."""
        for name, project, is_operator in ((OPERATOR, OPERATOR_PROJECT, True), (LOCAL, LOCAL, False)):
            path = data / f"{name}.key"
            if not self.accounts.has(name):
                key = (await self.accounts.add(name, project, operator=is_operator)).api_key
            elif not path.exists():
                key = await self.accounts.new_key(name)
            else:
                continue
            path.unlink(missing_ok=True)
            handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(handle, "w") as file:
                file.write(key + "\n")

    # recovery (R55)

    async def _recover(self, hub: Hub) -> None:
        jobs, sessions = await hub.store.live()
        now = self.clock.now()
        hub.next_seq = await hub.store.last_seq() + 1
        # a device that is not configured any more keeps its queue: its users can still look and cancel
        names = [*hub.specs, *sorted({s.device for s in jobs} | {s.device for s in sessions})]
        names = list(dict.fromkeys(names))
        charges = await hub.store.charges_since(now - hub.usage.window)
        steps: list[asyncio.Future[None]] = []
        for name in names:
            lane = Lane(name, profile_of(self.settings, name))
            for _, project, seconds, at in charges:
                lane.queues.fair.usage.add(project, seconds, at)
            desk = hub.dispatchers[name] = Dispatcher(
                lane,
                store=hub.store,
                clock=self.clock,
                fleet=hub.fleet,
                records=hub.records,
                on_charge=self._charged,
                on_fatal=self._failed,
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
            lost = lane.restore([copy(s.job) for s in own_jobs], [copy(s.session) for s in own_sessions])
            if name in hub.specs:
                steps.append(desk.feed(ev.Tick()))  # what is overdue fires first
            for event in lost:
                log.warning("job.lost", device=name, job=event.job_id)
                steps.append(desk.feed(event))
        for step in steps:  # nobody sees a state of before the restart
            await step
        for _, project, seconds, at in charges:
            hub.usage.add(project, seconds, at)
        for stored in jobs:
            if stored.device in hub.specs and stored.job.state == "accepted":
                await self._jobs.recover(hub.dispatchers[stored.device], stored)
        window = self.settings.policy.submit_retry_window
        for stored in await hub.store.recent_submits(now - window):
            self._jobs.restore_recent(stored)

    def _worker_changed(self, device: str, state: WorkerState) -> None:
        hub = self._hub
        if hub is None or device not in hub.dispatchers:
            return
        hub.dispatchers[device].worker_changed(state)
        if state.phase is WorkerPhase.READY and device not in hub.descriptions:
            task = asyncio.get_running_loop().create_task(self._learn(device))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _learn(self, device: str) -> None:
        with suppress(DeviceUnavailable):
            self.hub.descriptions[device] = await self.hub.fleet.description(device)

    def _charged(self, device: str, charge: Charge) -> None:
        """Usage reaches the other lanes as an event (R48)."""
        if self._hub is None or charge.kind is ChargeKind.SYSTEM:
            return
        self._hub.usage.add(charge.project, charge.seconds, charge.end)
        report = ev.UsageReported(charge.user, charge.project, charge.seconds, charge.end)
        for name, desk in self._hub.dispatchers.items():
            if name != device:
                desk.feed(report)

    def _failed(self, error: BaseException) -> None:
        log.critical("service.broken", error=repr(error), exc_info=error)
        if self.fatal is None:
            self.fatal = error
            if self._on_fatal is not None:
                self._on_fatal(error)

    # users

    async def add_user(self, name: str, project: str, operator: bool = False) -> NewKey:
        return await self.accounts.add(name, project, operator=operator)

    def users(self) -> list[UserView]:
        return self.accounts.users()

    async def revoke_user(self, name: str) -> None:
        await self.accounts.revoke(name)

    # devices

    def devices(self) -> list[DeviceView]:
        return [self._device_view(name) for name in self.hub.specs]

    def device(self, name: str) -> DeviceView:
        return self._device_view(self.hub.dispatcher(name).device)

    async def description(self, name: str) -> Description:
        """Waits until the device's worker has described it; Conflict when it cannot."""
        hub = self.hub
        looks_like = hub.models.get(hub.dispatcher(name).device)
        if looks_like is not None:  # a companion need not be woken for this
            return renamed(await self.description(looks_like), name)
        try:
            return await hub.fleet.description(name)
        except DeviceUnavailable as error:
            raise Conflict(f"{name} is not available: {error}", code=1206) from None

    async def described(self) -> None:
        """Wait until every device's first worker has told what the device is, or could not."""
        hub = self.hub
        unknown = [n for n, s in hub.specs.items() if not s.lazy and n not in hub.descriptions]
        if unknown:
            await asyncio.wait(
                {asyncio.ensure_future(self._learn(n)) for n in unknown}, timeout=FIRST_DESCRIPTION
            )

    def _device_view(self, name: str) -> DeviceView:
        hub = self.hub
        lane, spec, state = hub.dispatchers[name].lane, hub.specs[name], hub.fleet.state(name)
        known = hub.descriptions.get(hub.models.get(name, name))
        operational = state.phase is not WorkerPhase.FAILED  # a worker that starts will take jobs
        return DeviceView(
            name=name,
            driver=spec.driver,
            num_qubits=known.num_qubits if known else None,
            operational=operational,
            message="active" if operational else (state.reason or str(state.phase)),
            queue_length=lane.depth,
            running=lane.running,
            active_session=lane.active,
            mock=is_mock(name),
            backend_version=known.backend_version if known else "",
            phase=str(state.phase),
            reason=state.reason,
        )

    # usage and health

    def usage(self, who: Principal) -> UsageView:
        hub = self.hub
        hub.usage.expire(self.clock.now())
        return UsageView(limit_seconds=None, consumed_seconds=hub.usage.of(who.project_id))

    def alive(self) -> dict[str, Any]:
        return {"alive": True}

    def ready(self) -> dict[str, Any]:
        """Whether jobs can be taken and run: the store answers, every device's worker is up or asleep."""
        if self._hub is None or self.fatal is not None:
            why = repr(self.fatal) if self.fatal is not None else "closed"
            return {"ready": False, "store": why, "devices": {}}
        devices = {}
        for name in self._hub.specs:
            state = self._hub.fleet.state(name)
            devices[name] = {"phase": str(state.phase), "reason": state.reason}
        up = all(self._hub.fleet.state(n).phase in OPERATIONAL for n in self._hub.specs)
        return {"ready": up, "store": "ok", "devices": devices}

    @property
    def hub(self) -> Hub:
        """The parts; only while the service runs."""
        if self._hub is None:
            raise Conflict("The service is not running.")
        return self._hub


async def _open(path: Path) -> Store:
    try:
        return await Store.open(path)
    except DatabaseError as error:
        raise ServiceFailed(
            f"the database {path} cannot be used ({error.orig}). Make it readable and writable for us, "
            "put its backup in its place, or choose another folder with --data"
        ) from error
    except SchemaTooNew as error:
        raise ServiceFailed(f"the database {path} cannot be used: {error}") from None
