"""Reads what there is at the moment: queues, devices, workers, rooms, the store. Changes nothing."""

from __future__ import annotations

import asyncio
from collections import Counter
from contextlib import suppress
from itertools import product
from pathlib import Path

from sojourn.core.model import JobState, SessionState
from sojourn.execution.engine import Engine, WorkerPhase
from sojourn.service.data.disk import Disk
from sojourn.service.events.streams import Streams
from sojourn.service.forecasts.forecasts import Forecasts
from sojourn.service.lanes.device_time import Doing
from sojourn.service.lanes.dispatcher import Dispatcher
from sojourn.service.lanes.registry import Lanes
from sojourn.service.metrics import table
from sojourn.service.metrics.exposition import Sheet
from sojourn.service.metrics.measures import MODES
from sojourn.service.requests.holds import Holds
from sojourn.service.requests.rooms import Rooms
from sojourn.service.timing.clock import Clock
from sojourn.service.webhooks.webhooks import Webhooks
from sojourn.store import Database


class Readings:
    def __init__(
        self,
        *,
        clock: Clock,
        store: Database,
        engine: Engine,
        lanes: Lanes,
        disk: Disk,
        rooms: Rooms,
        holds: Holds,
        streams: Streams,
        webhooks: Webhooks,
        forecasts: Forecasts,
    ) -> None:
        self._clock = clock
        self._store = store
        self._engine = engine
        self._lanes = lanes
        self._disk = disk
        self._rooms = rooms
        self._holds = holds
        self._streams = streams
        self._webhooks = webhooks
        self._forecasts = forecasts

    async def take(self, sheet: Sheet) -> None:
        for name in self._lanes.specs:
            self._device(sheet, self._lanes.dispatchers[name])
            await asyncio.sleep(0)  # the event loop goes on between two devices
        self._preparations(sheet)
        self._requests(sheet)
        self._told(sheet)
        await self._database(sheet)

    def _device(self, sheet: Sheet, dispatcher: Dispatcher) -> None:
        device, lane = dispatcher.device, dispatcher.lane
        sheet.put(table.QUEUE_JOBS, lane.depth, device)
        # they are in the order of their acceptance
        oldest = next((job for job in lane.jobs.values() if job.state is not JobState.RUNNING), None)
        waited = self._clock.now() - oldest.accepted_at if oldest is not None else 0.0
        sheet.put(table.QUEUE_OLDEST, max(0.0, waited), device)
        sessions = Counter((session.mode, session.state) for session in lane.sessions.values())
        for mode, state in product(MODES, SessionState):
            if state is not SessionState.CLOSED:
                sheet.put(table.SESSIONS, sessions[mode, state], device, MODES[mode], state)
        seconds = dispatcher.time.until(self._clock.monotonic())
        for doing in Doing:
            sheet.put(table.DEVICE_SECONDS, seconds[doing], device, doing)
            sheet.put(table.DEVICE_STATE, doing is dispatcher.time.doing, device, doing)
        phase = self._engine.state(device).phase
        for each in WorkerPhase:
            sheet.put(table.WORKER_PHASE, each is phase, device, each)

    def _preparations(self, sheet: Sheet) -> None:
        served, preparers = self._engine.preparations(), self._engine.preparers()
        sheet.put(table.PREPARATIONS, sum(each.in_work for each in served), "in_work")
        sheet.put(table.PREPARATIONS, sum(each.waiting for each in served), "waiting")
        sheet.put(table.PREPARERS_UP, preparers["up"])
        sheet.put(table.PREPARERS_WANTED, preparers["wanted"])

    def _requests(self, sheet: Sheet) -> None:
        sheet.put(table.POLLS_HELD, self._holds.count)
        for name, room in self._rooms.all().items():
            if name == "files":
                sheet.put(table.SPOOL_FILES, room.held)
                sheet.put(table.SPOOL_FILES_LIMIT, room.total)
            else:
                sheet.put(table.ROOM, room.held, name)
                sheet.put(table.ROOM_LIMIT, room.total, name)
            sheet.put(table.ROOM_REFUSALS, room.refused, name)

    def _told(self, sheet: Sheet) -> None:
        streams = self._streams.state()
        sheet.put(table.STREAMS, streams["held"])
        sheet.put(table.STREAMS_LIMIT, streams["of"])
        sheet.put(table.STREAMS_CUT, self._streams.cut)
        sheet.put(table.EVENTS_TOLD, self._streams.told)
        for state, count in self._webhooks.state().items():
            sheet.put(table.WEBHOOKS, count, state)
        for outcome, count in self._webhooks.attempts().items():
            sheet.put(table.WEBHOOK_ATTEMPTS, count, outcome)
        for name in self._lanes.specs:
            made, seconds = self._forecasts.spent(name)
            sheet.put(table.FORECASTS, made, name)
            sheet.put(table.FORECAST_SECONDS, seconds, name)

    async def _database(self, sheet: Sheet) -> None:
        sheet.put(table.STORE_WAITING, self._store.waiting)
        sheet.put(table.STORE_SIZE, await asyncio.to_thread(_size, self._store.path))
        disk = self._disk.view()
        if disk.usable_mb is not None:
            sheet.put(table.STORE_USABLE, disk.usable_mb * 1e6)
        sheet.put(table.STORE_FULL, disk.reason is not None)


def _size(database: Path) -> int:
    """Bytes of the file and of its log."""
    size = 0
    for path in (database, database.with_name(f"{database.name}-wal")):
        with suppress(OSError):
            size += path.stat().st_size
    return size
