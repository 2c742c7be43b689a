"""Devices that are elsewhere: told of jobs and sessions, asked again what they are, away and back."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest

from sojourn.execution.engine import DeviceUnavailable, RunRequest, WorkerPhase
from sojourn.execution.local.engine import LocalEngine
from sojourn.worker.protocol.types import Completed, DeviceSpec, Failed
from tests.integration.execution.test_life import Watch, engine_of

pytestmark = pytest.mark.anyio
FAR = "hosts:FarHost"


@pytest.fixture
def line(tmp_path: Path) -> Path:
    path = tmp_path / "line"
    path.write_text("a device")
    return path


def say(line: Path, text: str | None) -> None:
    """What is at its end; None for a dead line."""
    if text is None:
        line.unlink()
    else:
        line.write_text(text)


def spec(line: Path) -> DeviceSpec:
    return DeviceSpec("a", "echo", {"path": str(line)})


async def run(engine: LocalEngine, name: str, job: str = "", session: str | None = None) -> Completed:
    outcome = await engine.run("a", RunRequest(name, "tell", b"", job=job, session=session))
    assert isinstance(outcome, Completed)
    return outcome


async def until(watch: Watch, phase: WorkerPhase) -> None:
    while not watch.phases() or watch.phases()[-1] is not phase:
        await watch.next()


async def test_the_worker_is_told_which_job_and_session_it_has_and_which_sessions_end(line: Path) -> None:
    async with engine_of(spec(line), host_class=FAR) as (engine, watch):
        await until(watch, WorkerPhase.READY)
        first = await run(engine, "1", "j1", "s1")
        assert json.loads(first.result) == ["j1 of s1"]
        engine.end_session("a", "s1")
        engine.end_session("a", "bad")
        second = await run(engine, "2", "j2")
        assert json.loads(second.result) == ["end of s1", "end of bad", "j2 of None"]
        third = await run(engine, "3")
        assert json.loads(third.result) == [], "a run without a job is nobody's"


async def test_what_the_device_says_it_has_worked_comes_with_the_outcome(line: Path) -> None:
    async with engine_of(spec(line), host_class=FAR) as (engine, _):
        completed = await engine.run("a", RunRequest("1", "tell", b""))
        failed = await engine.run("a", RunRequest("2", "fail", b""))
        assert isinstance(completed, Completed)
        assert isinstance(failed, Failed)
        assert (completed.quantum_seconds, completed.used, failed.used) == (3.0, 1.5, 0.25)


async def test_a_device_that_has_become_another_one_is_described_anew(line: Path) -> None:
    async with engine_of(spec(line), host_class=FAR) as (engine, watch):
        assert (await engine.description("a")).configuration == {"said": "a device"}
        pid = engine.state("a").pid
        say(line, "another one")
        while engine.state("a").renewals == 0:
            await watch.next()
        assert (await engine.description("a")).configuration == {"said": "another one"}
        assert engine.state("a").pid == pid


async def test_a_device_that_is_away_takes_no_run_and_comes_back_by_itself(line: Path) -> None:
    async with engine_of(spec(line), host_class=FAR) as (engine, watch):
        await until(watch, WorkerPhase.READY)
        say(line, None)
        with pytest.raises(DeviceUnavailable, match="the line is dead"):
            await run(engine, "1")  # it may be asked before it is looked at again, or after
        await until(watch, WorkerPhase.FAILED)
        assert engine.state("a").reason == "RuntimeError: the line is dead"
        say(line, "a device")
        await until(watch, WorkerPhase.READY)
        assert isinstance(await engine.run("a", RunRequest("last", "tell", b"")), Completed)


async def test_a_run_is_not_held_up_by_the_end_of_a_worker_that_is_looked_at(line: Path) -> None:
    """The worker is asked what it is every 50 ms, and killed amid its runs."""
    async with engine_of(spec(line), host_class=FAR) as (engine, watch):
        for number in range(3):
            await until(watch, WorkerPhase.READY)
            running = asyncio.create_task(engine.run("a", RunRequest(str(number), "tell", b"")))
            await asyncio.sleep(0)
            engine.kill("a", str(number))
            await asyncio.wait_for(running, 60)
        await until(watch, WorkerPhase.READY)
