"""The service: its life, from the start with recovery to the stop, and its facets."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import structlog

from sojourn.config import Settings
from sojourn.execution.engine import EngineFactory, WorkerState
from sojourn.execution.local.engine import LocalEngine
from sojourn.service.accounts.accounts import Accounts
from sojourn.service.accounts.audit import Audit
from sojourn.service.accounts.configuration import note_changes
from sojourn.service.accounts.users import Users
from sojourn.service.assembly import Parts, StoreFactory, assemble
from sojourn.service.companions import is_mock
from sojourn.service.data.opening import DATABASE, explained
from sojourn.service.data.rights import check as check_rights
from sojourn.service.devices.catalog import Catalog
from sojourn.service.devices.control import DeviceControl
from sojourn.service.devices.leases import Leases
from sojourn.service.errors import Conflict
from sojourn.service.events.streams import Streams
from sojourn.service.forecasts.offers import Offers
from sojourn.service.jobs.jobs import Jobs
from sojourn.service.lanes.lookup import Lookup
from sojourn.service.metrics.measures import Measures
from sojourn.service.metrics.readings import Readings
from sojourn.service.projects.limits import Limits
from sojourn.service.projects.projects import Projects
from sojourn.service.projects.storage import Storage
from sojourn.service.projects.usage import Usage
from sojourn.service.readiness import not_running
from sojourn.service.requests.rooms import Rooms
from sojourn.service.requests.turns import Turns
from sojourn.service.reservations.reservations import Reservations
from sojourn.service.reservations.timeline import Timeline
from sojourn.service.revocation import Revocation
from sojourn.service.sessions import Sessions
from sojourn.service.timing.clock import Clock, SystemClock
from sojourn.service.tracing.opening import traces
from sojourn.service.tracing.traces import Traces
from sojourn.service.webhooks.webhooks import Webhooks
from sojourn.store import Database
from sojourn.store import jobs as stored_jobs
from sojourn.store.blobs import sweep_parts
from sojourn.store.calibrations import last_attempts
from sojourn.store.database import StoreFull, run_all

log = structlog.get_logger("sojourn.service")


class Service:
    """`async with Service(settings) as service:`, or `await start()` and `await stop()`; on one event loop.

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
        store: StoreFactory = Database.open,
    ) -> None:
        self.settings = settings
        self.clock: Clock = clock or SystemClock()
        self._make_engine = engine
        self._open_database = store
        self._on_fatal = on_fatal
        self.measures = Measures()
        self.traces = Traces()
        self.fatal: BaseException | None = None
        self._parts: Parts | None = None

    # life

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    async def start(self) -> None:
        """Open the store, recover, and let the workers come up in the background.

        Raises ServiceFailed when the database is missing, damaged or of another version.
        """
        data = self.settings.server.data
        self.traces = traces(self.settings.server.traces)
        data.mkdir(parents=True, exist_ok=True, mode=0o700)
        check_rights(data, self.settings.access.data_folder)
        async with explained(data / DATABASE):
            await self._start(data)

    async def _start(self, data: Path) -> None:
        for what in self.settings.deprecations():
            log.warning("configuration.deprecated", what=what)
        parts = self._parts = await assemble(
            self.settings,
            self.clock,
            data,
            make_engine=self._make_engine,
            open_database=self._open_database,
            on_state=self._worker_changed,
            on_fatal=self._failed,
            measures=self.measures,
            traces=self.traces,
        )
        await parts.key_files.settle()
        with suppress(StoreFull):  # then the next start notes it
            await note_changes(self.settings, parts.store, parts.audit)
        await parts.projects.configure()
        with suppress(StoreFull):  # then it is done when there is room
            await parts.store.write(run_all, stored_jobs.forget_params, sweep_parts)
        await parts.recovery.run(parts.projects.shares())
        await parts.submits.restore()
        await parts.disk.start()
        parts.limits.recount()
        await parts.leases.start()
        await parts.crashes.load()
        parts.retention.start()
        await parts.engine.start()
        devices = parts.lanes.specs
        for name in devices:  # one that sleeps says nothing until it has work
            parts.lanes.dispatchers[name].worker_changed(parts.engine.state(name))
        await self._start_schedule(parts)
        parts.following.start()
        await parts.webhooks.start()
        log.info("service.started", devices=[n for n, s in devices.items() if not is_mock(s)], data=str(data))

    async def _start_schedule(self, parts: Parts) -> None:
        last = await parts.store.read(last_attempts)
        for device in parts.lanes.specs:
            present = parts.calibrations.present(device)
            if present is not None:
                last[device] = max(last.get(device, 0.0), present.at)
        parts.schedule.start(last)

    async def stop(self) -> None:
        """Jobs that run are run again at the next start."""
        if self._parts is None:
            return
        parts = self._parts
        parts.following.stop()
        parts.store.hurry()
        await parts.disk.stop()
        parts.schedule.stop()
        await parts.leases.stop()
        parts.background.cancel()
        await parts.retention.stop()
        parts.audit.stop()
        parts.forecasts.stop()
        parts.polls.release()
        await parts.webhooks.stop()
        await parts.streams.stop()
        await parts.admission.stop()
        parts.submits.close()
        dispatchers = parts.lanes.dispatchers.values()
        try:
            if self.fatal is None:
                # `_failed` is called with what goes wrong, and the rest stops all the same
                await asyncio.gather(*[each.leave() for each in dispatchers], return_exceptions=True)
            for dispatcher in dispatchers:
                await dispatcher.stop()
        finally:
            await parts.engine.stop()
            parts.store.close()
            self._parts = None
            await asyncio.to_thread(self.traces.close)

    def _worker_changed(self, device: str, state: WorkerState) -> None:
        parts = self._parts
        if parts is None or device not in parts.lanes.dispatchers:
            return
        self.measures.worker(device, state)
        parts.lanes.dispatchers[device].worker_changed(state)
        parts.devices.worker_changed(device, state)

    def _failed(self, error: BaseException) -> None:
        if self.fatal is None:
            self.fatal = error
            if self._on_fatal is not None:
                self._on_fatal(error)
        log.critical("service.broken", exc_info=error)

    # health

    def alive(self) -> dict[str, Any]:
        return {"alive": True}

    async def check_store(self) -> None:
        """See `Readiness`."""
        await self.parts.readiness.check_store()

    async def ready(self) -> dict[str, Any]:
        """See `Readiness`."""
        if self.fatal is not None:
            return not_running(repr(self.fatal))
        if self._parts is None:
            return not_running("closed")
        return await self._parts.readiness.report()

    # facets, each with what may be asked of it

    @property
    def parts(self) -> Parts:
        """All parts, those behind the facets too. Raises Conflict unless the service runs."""
        if self._parts is None:
            raise Conflict("The service is not running.")
        return self._parts

    @property
    def jobs(self) -> Jobs:
        return self.parts.jobs

    @property
    def sessions(self) -> Sessions:
        return self.parts.sessions

    @property
    def devices(self) -> Catalog:
        return self.parts.devices

    @property
    def control(self) -> DeviceControl:
        return self.parts.control

    @property
    def timeline(self) -> Timeline:
        return self.parts.timeline

    @property
    def reservations(self) -> Reservations:
        return self.parts.reservations

    @property
    def leases(self) -> Leases:
        return self.parts.leases

    @property
    def users(self) -> Users:
        return self.parts.users

    @property
    def revocation(self) -> Revocation:
        return self.parts.revocation

    @property
    def projects(self) -> Projects:
        return self.parts.projects

    @property
    def accounts(self) -> Accounts:
        return self.parts.accounts

    @property
    def usage(self) -> Usage:
        return self.parts.usage

    @property
    def storage(self) -> Storage:
        return self.parts.storage

    @property
    def limits(self) -> Limits:
        return self.parts.limits

    @property
    def audit(self) -> Audit:
        return self.parts.audit

    @property
    def lookup(self) -> Lookup:
        return self.parts.lookup

    @property
    def rooms(self) -> Rooms:
        return self.parts.rooms

    @property
    def turns(self) -> Turns:
        return self.parts.turns

    @property
    def readings(self) -> Readings:
        return self.parts.readings

    @property
    def streams(self) -> Streams:
        return self.parts.streams

    @property
    def webhooks(self) -> Webhooks:
        return self.parts.webhooks

    @property
    def offers(self) -> Offers:
        return self.parts.offers
