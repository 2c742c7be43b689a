"""An orderly stop: everything that is held ends with it, and nothing happens afterwards (D19)."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy.exc import OperationalError

from sojourn.config import DeviceSettings
from sojourn.execution.engine import WorkerPhase, WorkerState
from sojourn.service.errors import Conflict
from sojourn.service.service import Service
from sojourn.service.timing.clock import VirtualClock
from tests.harness.programs import job_body
from tests.harness.service import QUICK, ServiceHarness, settings

RunService = Callable[..., None]
OTHER = DeviceSettings(name="other", driver="mock", options={"qubits": 5})


async def hold(h: ServiceHarness, name: str, device: str) -> str:
    """A session of a new user that holds the device."""
    who = await h.user(name)
    session = await h.service.sessions.open(who, device=device, mode="dedicated", max_time=None)
    await h.ended(who, (await h.submit(who, job_body(device, session_id=session.id))).id)
    return session.id


def test_no_clock_of_any_device_runs_on_after_a_stop(run_service: RunService) -> None:
    """Also where one device is told last what the hold of another cost."""

    async def body(h: ServiceHarness) -> None:
        await hold(h, "ann", "mock")
        await hold(h, "bob", "other")
        h.clock.advance(50)
        lanes = [dispatcher.lane for dispatcher in h.service.parts.lanes.dispatchers.values()]
        await h.service.stop()
        stopped = h.clock.now()
        h.clock.advance(10_000)
        assert {lane.now for lane in lanes} == {stopped}

    run_service(body, devices=(QUICK, OTHER))


def test_a_worker_that_comes_up_during_a_stop_starts_nothing(run_service: RunService) -> None:
    async def body(h: ServiceHarness) -> None:
        await hold(h, "ann", "mock")
        dispatcher = h.service.parts.lanes.dispatchers["mock"]
        await dispatcher.leave()
        dispatcher.worker_changed(WorkerState(WorkerPhase.READY))
        assert not dispatcher.lane.ready

    run_service(body)


def test_a_stop_whose_last_word_cannot_be_written_ends_everything_all_the_same(
    run_service: RunService, tmp_path: Path
) -> None:
    async def body(h: ServiceHarness) -> None:
        await hold(h, "ann", "mock")
        await hold(h, "bob", "other")
        h.clock.advance(50)
        with sqlite3.connect(tmp_path / "sojourn.db") as other:
            other.execute("ALTER TABLE ledger RENAME TO elsewhere")
        await h.service.stop()
        assert not (await h.service.ready())["ready"]

    run_service(body, devices=(QUICK, OTHER), broken=OperationalError)


def test_a_service_has_its_facets_while_it_runs_and_refuses_before_and_after(tmp_path: Path) -> None:
    async def life() -> None:
        service = Service(settings(tmp_path, QUICK), clock=VirtualClock())
        with pytest.raises(Conflict, match="not running"):
            service.devices.all()
        async with service:
            assert [device.name for device in service.devices.all()] == ["mock"]
            assert "devices" in await service.ready()
        with pytest.raises(Conflict, match="not running"):
            service.devices.all()
        assert await service.ready() == {"ready": False, "store": "closed", "devices": {}}

    asyncio.run(life())
