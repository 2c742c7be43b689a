"""A process of the service that hangs is found within its time and replaced, and costs no job anything.

The kind: fork server, worker and preparer; idle, with something that they have not read, or at work; stopped
by a signal, or alive and without an answer. A run that computes for long is none of them.
"""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path

import psutil
import pytest

from sojourn.execution.engine import DeviceUnavailable, Lost, RunRequest, Stopped, WorkerPhase
from sojourn.execution.local.engine import LocalEngine
from sojourn.execution.local.spawn import start
from sojourn.worker.protocol.types import Completed, DeviceSpec, JobRefused, Prepared
from tests.integration.execution.test_life import engine_of

pytestmark = pytest.mark.anyio
SOON = {"hung_limit": 1.0}
"""A process that is stopped, or owes an answer, is replaced after a second."""
HUNG = ("was stopped for 1 s", "did not answer for 1 s")
"""Of one that is idle and stopped either may be seen first."""


async def gone(pid: int | None) -> None:
    assert pid is not None
    await asyncio.to_thread(psutil.wait_procs, [psutil.Process(pid)], timeout=30)
    assert not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE


def forkserver_of(engine: LocalEngine, device: str = "a") -> psutil.Process:
    found = psutil.Process(engine.state(device).pid).parent()
    assert found is not None
    assert found.pid != os.getpid()
    return found


@pytest.mark.parametrize("fork", [True, False])
async def test_an_idle_worker_that_is_stopped_is_replaced_before_its_next_job(fork: bool) -> None:
    async with engine_of(DeviceSpec("a", "echo"), fork=fork, **SOON) as (engine, watch):
        await engine.description("a")
        os.kill(engine.state("a").pid or 0, signal.SIGSTOP)
        await watch.for_phases(WorkerPhase.READY, WorkerPhase.STARTING, WorkerPhase.READY)
        told = [state.reason for _, state in watch.seen if state.phase is WorkerPhase.STARTING]
        assert told in [[f"its worker {how}, and is replaced"] for how in HUNG]
        assert isinstance(await engine.run("a", RunRequest("1", "noop", b"")), Completed)


async def test_a_run_that_a_stopped_worker_never_read_is_lost_and_nobodys_fault() -> None:
    async with engine_of(DeviceSpec("a", "echo"), **SOON) as (engine, _):
        await engine.description("a")
        os.kill(engine.state("a").pid or 0, signal.SIGSTOP)
        assert await engine.run("a", RunRequest("1", "noop", b"")) in [Lost(how) for how in HUNG]
        assert engine.state("a").phase is WorkerPhase.STARTING, "nobody starts the next run too early"
        assert isinstance(await engine.run("a", RunRequest("2", "noop", b"")), Completed)


async def test_a_run_whose_worker_is_stopped_at_work_is_lost_and_nobodys_fault() -> None:
    async with engine_of(DeviceSpec("a", "echo"), **SOON) as (engine, watch):
        run = asyncio.create_task(engine.run("a", RunRequest("1", "hang", b"")))
        await watch.for_phases(WorkerPhase.BUSY)
        os.kill(engine.state("a").pid or 0, signal.SIGSTOP)
        assert await run == Lost("was stopped for 1 s")
        assert isinstance(await engine.run("a", RunRequest("2", "noop", b"")), Completed)


async def test_a_run_may_be_silent_for_longer_than_any_helper_may(tmp_path: Path) -> None:
    """Native code holds the interpreter for as long as it computes: silence is no sign of anything."""
    gate = tmp_path / "gate"
    os.mkfifo(gate)
    specs = [DeviceSpec(name, "echo") for name in ("a", "b", "c")]
    async with engine_of(*specs, **SOON) as (engine, watch):
        await asyncio.gather(engine.description("b"), engine.description("c"))
        order = f'["{tmp_path / "zz"}", "{gate}"]'.encode()
        os.mkfifo(tmp_path / "zz")
        run = asyncio.create_task(engine.run("a", RunRequest("1", "meet", order)))  # waits for the gate
        await watch.for_phases(WorkerPhase.BUSY)
        pid = engine.state("a").pid
        for device in ("b", "c"):  # twice the time after which a helper has hung passes
            os.kill(engine.state(device).pid or 0, signal.SIGSTOP)
            assert isinstance(await engine.run(device, RunRequest("2", "noop", b"")), Lost)
            assert isinstance(await engine.run(device, RunRequest("3", "noop", b"")), Completed)
        assert engine.state("a").pid == pid
        await asyncio.to_thread(gate.write_text, "go on")
        await asyncio.to_thread((tmp_path / "zz").read_bytes)
        assert isinstance(await run, Completed)


async def test_a_worker_that_lives_and_does_not_answer_is_replaced() -> None:
    """A thread that a driver left behind holds the interpreter."""
    async with engine_of(DeviceSpec("a", "echo"), host_class="hosts:SilentHost", **SOON) as (engine, watch):
        await engine.run("a", RunRequest("1", "fall silent", b""))
        pid = engine.state("a").pid
        await watch.for_phases(WorkerPhase.BUSY, WorkerPhase.STARTING)
        assert "did not answer for 1 s" in (engine.state("a").reason or "")
        assert isinstance(await engine.run("a", RunRequest("2", "noop", b"")), Completed)
        assert engine.state("a").pid != pid


async def test_a_preparation_that_a_stopped_preparer_has_is_done_by_another_one(tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    os.mkfifo(gate)
    async with engine_of(DeviceSpec("a", "echo"), **SOON) as (engine, _):
        for _ in range(3):  # before it has read them: as often as it happens
            stopped = int((await engine.prepare("a", "sampler", b"")).warnings[1])
            os.kill(stopped, signal.SIGSTOP)
            assert int((await engine.prepare("a", "sampler", b"")).warnings[1]) != stopped
        stopped = int((await engine.prepare("a", "sampler", b"")).warnings[1])
        job = asyncio.create_task(engine.prepare("a", "gate", os.fsencode(gate)))
        await asyncio.sleep(0)
        writer = await asyncio.to_thread(gate.open, "wb")  # it is in work
        os.kill(stopped, signal.SIGSTOP)
        await gone(stopped)
        writer.close()
        writer = await asyncio.to_thread(gate.open, "wb")  # it is in work again
        writer.close()
        assert isinstance(await job, Prepared)


async def test_a_preparer_that_waits_instead_of_computing_costs_a_job_its_first_try_only() -> None:
    async with engine_of(DeviceSpec("a", "echo"), prepare_limit=1.5) as (engine, _):
        first = int((await engine.prepare("a", "sampler", b"")).warnings[1])
        with pytest.raises(JobRefused, match=r"more than 1\.5 s"):
            await engine.prepare("a", "hang", b"")
        assert not psutil.pid_exists(first)


@pytest.mark.parametrize("how", [signal.SIGSTOP, signal.SIGKILL])
async def test_a_preparer_that_is_lost_again_and_again_is_never_the_jobs_fault(how: signal.Signals) -> None:
    async with engine_of(DeviceSpec("a", "echo"), fork=False, **SOON) as (engine, _):
        await engine.prepare("a", "sampler", b"")
        pool = engine._pools[None]

        async def lose() -> None:
            last: tuple[int, ...] = ()
            while True:
                if pool.pids != last:
                    last = pool.pids
                    for pid in last:
                        os.kill(pid, signal.SIGSTOP)
                        os.kill(pid, how)
                await asyncio.sleep(0)

        async def until_refused() -> None:
            while True:  # a preparer that answers before it gets the signal has not been lost
                await engine.prepare("a", "sampler", b"")

        losing = asyncio.create_task(lose())
        await asyncio.sleep(0)
        with pytest.raises(DeviceUnavailable, match=r"preparers were lost|loading device a crashed"):
            await until_refused()
        assert engine.preparers()["missing"]
        losing.cancel()
        assert isinstance(await engine.prepare("a", "sampler", b""), Prepared)


async def test_a_stopped_fork_server_is_replaced_and_its_workers_go_on() -> None:
    async with engine_of(DeviceSpec("a", "echo"), DeviceSpec("b", "echo"), **SOON) as (engine, watch):
        await asyncio.gather(engine.description("a"), engine.description("b"))
        await engine.prepare("a", "sampler", b"")
        forkserver, kept = forkserver_of(engine), engine.state("b").pid
        run = asyncio.create_task(engine.run("b", RunRequest("1", "hang", b"")))
        await engine.run("a", RunRequest("2", "noop", b""))
        forkserver.suspend()
        os.kill(engine.state("a").pid or 0, signal.SIGKILL)  # nobody is there to report it
        await watch.for_phases(WorkerPhase.READY, WorkerPhase.STARTING, WorkerPhase.READY)
        assert isinstance(await engine.run("a", RunRequest("3", "noop", b"")), Completed)
        assert forkserver_of(engine) != forkserver
        assert engine.state("b").pid == kept, "a worker needs no fork server"
        engine.kill("b", "1")  # and a limit is enforced without one
        assert await run == Stopped()
        assert isinstance(await engine.run("b", RunRequest("4", "noop", b"")), Completed)
        for pid in engine._pools[None].pids:  # its last child
            os.kill(pid, signal.SIGKILL)
        await gone(forkserver.pid)


async def test_a_run_is_stopped_while_the_fork_server_is_not_missed_yet() -> None:
    async with engine_of(DeviceSpec("a", "echo"), hung_limit=600.0) as (engine, watch):
        run = asyncio.create_task(engine.run("a", RunRequest("1", "child", b"")))
        assert isinstance(await run, Completed)
        run = asyncio.create_task(engine.run("a", RunRequest("2", "hang", b"")))
        await watch.for_phases(WorkerPhase.BUSY, WorkerPhase.READY, WorkerPhase.BUSY)
        forkserver_of(engine).suspend()
        engine.kill("a", "2")
        assert await run == Stopped()


async def test_a_driver_whose_import_hangs_takes_no_other_device_with_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The fork server imports drivers itself: `b` must be had all the same, and `a` says what it is."""
    info = tmp_path / "hanging-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: hanging\nVersion: 1\n")
    (info / "entry_points.txt").write_text("[sojourn.drivers]\nhanging = hanging:Driver\n")
    (tmp_path / "hanging.py").write_text("import threading\nthreading.Event().wait()\n")
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}{os.pathsep}{os.environ['PYTHONPATH']}")
    specs = [DeviceSpec("a", "hanging", {"import": "hanging"}), DeviceSpec("b", "echo")]
    async with engine_of(*specs, import_limit=1.0, load_limit=60.0, **SOON) as (engine, _):
        assert (await engine.description("b")).num_qubits == 2
        assert isinstance(await engine.run("b", RunRequest("1", "noop", b"")), Completed)
        assert isinstance(await engine.prepare("b", "sampler", b""), Prepared)
        assert engine.state("a").phase is WorkerPhase.STARTING


async def test_a_device_that_hangs_while_loading_is_kept_from_the_preparers() -> None:
    """A companion for dry runs has no worker that could try it first."""
    specs = [DeviceSpec("a", "echo", {"load": "hang"}, lazy=True), DeviceSpec("b", "echo", lazy=True)]
    async with engine_of(*specs, prepare_limit=1.5) as (engine, _):
        for why in ("took more than 1.5 s", "took more than 1.5 s lately"):
            with pytest.raises(DeviceUnavailable, match=f"loading device a {why}"):
                await engine.prepare("a", "sampler", b"")
        assert isinstance(await engine.prepare("b", "sampler", b""), Prepared)


async def test_a_helper_has_no_terminal_that_could_stop_it() -> None:
    child = start(["sleep", "1000"], keep=(), output=2)
    try:
        assert os.getsid(child.pid) == child.pid == os.getpgid(child.pid)
    finally:
        child.kill()
        child.wait()
