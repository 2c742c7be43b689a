"""The devices as their users see them: state, description and calibrations."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import suppress

from sojourn import codes
from sojourn.core.wording.formatting import at_time
from sojourn.execution.engine import DeviceUnavailable, Engine, WorkerPhase, WorkerState
from sojourn.service.accounts.permissions import Action, may
from sojourn.service.background import Background
from sojourn.service.companions import is_mock, renamed
from sojourn.service.data.disk import Disk
from sojourn.service.devices.calibrations import FIRST, Calibrations
from sojourn.service.devices.checks import Checks
from sojourn.service.errors import Conflict
from sojourn.service.lanes.dispatcher import Dispatcher
from sojourn.service.lanes.lookup import Lookup
from sojourn.service.lanes.registry import Lanes
from sojourn.service.timing.clock import Clock
from sojourn.service.views import DeviceState, DeviceView, Principal
from sojourn.store.calibrations import Calibration
from sojourn.worker.protocol.types import Description

FIRST_DESCRIPTION = 30.0
"""Seconds that a list of devices waits for what they are, after a start."""


class Catalog:
    """`next_calibrations` has the time of each device that is calibrated by a schedule."""

    def __init__(
        self,
        *,
        clock: Clock,
        engine: Engine,
        lanes: Lanes,
        lookup: Lookup,
        calibrations: Calibrations,
        checks: Checks,
        disk: Disk,
        next_calibrations: Mapping[str, float],
        background: Background,
    ) -> None:
        self._clock = clock
        self._engine = engine
        self._lanes = lanes
        self._lookup = lookup
        self._calibrations = calibrations
        self._checks = checks
        self._disk = disk
        self._next_calibrations = next_calibrations
        self._background = background
        self._described_by: dict[str, tuple[int | None, int]] = {}  # by which worker, in which words

    # devices

    def all(self, who: Principal | None = None) -> list[DeviceView]:
        """Without a caller no ids of jobs and sessions are shown."""
        return [self._view(name, who) for name in self._lanes.specs]

    def get(self, name: str, who: Principal | None = None) -> DeviceView:
        return self._view(self._lanes.dispatcher(name).device, who)

    def longest_session(self, name: str) -> float:
        """The system limit of a session on this device, in seconds (R20)."""
        return self._lanes.dispatcher(name).lane.profile.max_time

    # descriptions

    async def description(self, name: str) -> Description:
        """Waits until the device's worker has described it; Conflict when it cannot."""
        looks_like = self._lanes.models.get(self._lanes.dispatcher(name).device)
        if looks_like is not None:  # a companion need not be woken for this
            return renamed(await self.description(looks_like), name)
        descriptions = self._calibrations.descriptions
        if name not in descriptions:
            try:
                await self._fetch_description(name)
            except DeviceUnavailable as error:
                raise Conflict(f"{name} is not available: {error}", code=codes.DEVICE_UNAVAILABLE) from None
        return descriptions[name]

    async def described(self) -> None:
        """Wait until every device's first worker has described the device, or could not."""
        known = self._calibrations.descriptions
        unknown = [n for n, s in self._lanes.specs.items() if not s.lazy and n not in known]
        if unknown:
            await asyncio.wait(
                {asyncio.ensure_future(self._try_description(n)) for n in unknown}, timeout=FIRST_DESCRIPTION
            )

    def worker_changed(self, device: str, state: WorkerState) -> None:
        """A new worker describes its device once it is ready, and again when the device has changed."""
        words = state.pid, state.renewals
        if state.phase is WorkerPhase.READY and self._described_by.get(device) != words:
            self._described_by[device] = words
            self._background.spawn(self._try_description(device))

    async def _try_description(self, device: str) -> None:
        with suppress(DeviceUnavailable):
            await self._fetch_description(device)

    async def _fetch_description(self, device: str) -> None:
        await self._calibrations.on_description(device, await self._engine.description(device))

    # calibrations

    async def calibrated(
        self, name: str, *, calibration_id: str | None = None, at: float | None = None
    ) -> tuple[str, Description]:
        """A calibration's id and what the device was under it: the one that is named, else the one that was
        in force at the time `at`, else the present one. NotFound for one that does not exist."""
        calibrations = self._calibrations
        device = self._lanes.models.get(self._lanes.dispatcher(name).device, name)
        present = await self.description(name)
        if calibration_id is not None:
            wanted = calibrations.named(device, calibration_id)
        else:
            found = calibrations.in_force(device, self._clock.now() if at is None else at)
            if found is None or (at is None and found != calibrations.present(device)):
                found = calibrations.present(device)
            if found is None:
                return FIRST, present
            wanted = found
        if wanted == calibrations.present(device):
            return wanted.id, present
        return wanted.id, renamed(await calibrations.description(wanted), name)

    def calibrations(self, name: str) -> list[Calibration]:
        """The device's calibrations, the newest first."""
        return list(reversed(self._calibrations.history(self._lanes.dispatcher(name).device)))

    def _view(self, name: str, who: Principal | None) -> DeviceView:
        lanes, lookup = self._lanes, self._lookup
        dispatcher, spec, state = lanes.dispatchers[name], lanes.specs[name], self._engine.state(name)
        lane = dispatcher.lane
        known = self._calibrations.descriptions.get(lanes.models.get(name, name))
        down = (WorkerPhase.FAILED, WorkerPhase.UNHEALTHY)
        up = state.phase not in down  # a worker that starts will take jobs
        wanted, message = state_of(dispatcher), "active"
        if not up:
            message = state.reason or str(state.phase)
        elif self._disk.reason is not None:
            up, message = False, f"it starts no job now: {self._disk.reason}"
        elif wanted.name != "online":
            message = f"{wanted.name}: {wanted.message}" if wanted.message else wanted.name
            message += f" (expected until {at_time(wanted.until)})" if wanted.until is not None else ""
        checked = self._checks.latest.get(name)
        present, running, active = self._calibrations.present(name), lane.running, lane.active
        return DeviceView(
            name=name,
            driver=spec.driver,
            num_qubits=known.num_qubits if known else None,
            operational=up and wanted.name in ("online", "draining"),
            message=message,
            queue_length=lane.depth,
            busy=running is not None,
            running=running if who and running and lookup.sees_job(who, running) else None,
            held=active is not None,
            active_session=active if who and active and lookup.sees_session(who, active) else None,
            mock=is_mock(spec),
            backend_version=known.backend_version if known else "",
            phase=str(state.phase),
            reason=state.reason,
            state=wanted,
            calibration=present.id if present is not None else None,
            calibrated=present.at if present is not None else None,
            next_calibration=self._next_calibrations.get(name),
            checked=checked.at if checked is not None else None,
            check_summary=checked.summary if checked is not None else None,
            environment=state.environment if who and may(who, Action.OPERATE_DEVICES) else None,
        )


def state_of(dispatcher: Dispatcher) -> DeviceState:
    """What operators want of the device."""
    status = dispatcher.lane.status
    if status is None:
        return DeviceState()
    return DeviceState(status.mode.value, status.message, status.by, status.since, status.until)
