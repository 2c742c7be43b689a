"""An orderly stop: everything that is held ends with it, and nothing happens afterwards (D19)."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from pathlib import Path

from sqlalchemy.exc import OperationalError

from sojourn.config import DeviceSettings
from sojourn.execution.engine import WorkerPhase, WorkerState
from tests.harness.programs import job_body
from tests.harness.service import QUICK, ServiceHarness

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
        lanes = [desk.lane for desk in h.service.parts.lanes.dispatchers.values()]
        await h.service.stop()
        stopped = h.clock.now()
        h.clock.advance(10_000)
        assert {lane.now for lane in lanes} == {stopped}

    run_service(body, devices=(QUICK, OTHER))


def test_a_worker_that_comes_up_during_a_stop_starts_nothing(run_service: RunService) -> None:
    async def body(h: ServiceHarness) -> None:
        await hold(h, "ann", "mock")
        desk = h.service.parts.lanes.dispatchers["mock"]
        await desk.leave()
        desk.worker_changed(WorkerState(WorkerPhase.READY))
        assert not desk.lane.ready

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
