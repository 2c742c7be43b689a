"""How workers come up, fail to, and go: what the server says of them meanwhile, and that nothing is left."""

from __future__ import annotations

import asyncio
import json
import os
import resource
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path
from typing import Any

import psutil
import pytest

from sojourn.execution.engine import Crashed, DeviceUnavailable, Lost, RunRequest, WorkerPhase, WorkerState
from sojourn.execution.local.engine import LocalEngine
from sojourn.execution.local.interpreter import Interpreter, LaunchFailed
from sojourn.worker.protocol.types import Completed, DeviceSpec

pytestmark = pytest.mark.anyio
ECHO = "hosts:EchoHost"
HERE = Path(__file__).parent


class Watch:
    """Every state that was reported, and a way to wait for one."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, WorkerState]] = []
        self._changed = asyncio.Event()

    def __call__(self, device: str, state: WorkerState) -> None:
        self.seen.append((device, state))
        self._changed.set()

    def phases(self, device: str = "a") -> list[WorkerPhase]:
        return [state.phase for name, state in self.seen if name == device]

    async def next(self) -> None:
        self._changed.clear()
        await self._changed.wait()

    async def for_phases(self, *phases: WorkerPhase) -> None:
        """Wait until these were reported for `a`, in this order, perhaps with others between."""
        while True:
            left = list(phases)
            for phase in self.phases():
                if left and phase is left[0]:
                    left.pop(0)
            if not left:
                return
            self._changed.clear()
            await self._changed.wait()


@asynccontextmanager
async def engine_of(*specs: DeviceSpec, **options: Any) -> AsyncIterator[tuple[LocalEngine, Watch]]:
    watch = Watch()
    engine = LocalEngine(specs, on_state=watch, **{"host_class": ECHO, **options})
    await engine.start()
    try:
        yield engine, watch
    finally:
        await engine.stop()


def open_files() -> list[str]:
    """What the descriptors of this process lead to, without the one that lists them."""
    found = []
    for entry in Path("/proc/self/fd").iterdir():
        with suppress(FileNotFoundError):
            found.append(str(entry.readlink()))
    return sorted(found)


def descendants() -> list[psutil.Process]:
    found: list[psutil.Process] = psutil.Process().children(recursive=True)
    return found


async def test_start_answers_before_any_worker_is_up() -> None:
    async with engine_of(DeviceSpec("a", "echo")) as (engine, watch):
        assert engine.state("a") == WorkerState(WorkerPhase.STARTING)
        description = await engine.description("a")
        assert description.num_qubits == 2
        state = engine.state("a")
        assert state.phase is WorkerPhase.READY
        assert state.pid == description.configuration["pid"]
        assert watch.phases() == [WorkerPhase.READY]


async def test_options_of_the_device_reach_the_driver() -> None:
    options = {"backend": "FakeTorino", "nested": {"list": [1, 2.5, None, True]}}
    async with engine_of(DeviceSpec("a", "echo", options)) as (engine, _):
        assert (await engine.description("a")).configuration["options"] == options


async def test_every_change_is_reported_in_order() -> None:
    async with engine_of(DeviceSpec("a", "echo")) as (engine, watch):
        await engine.run("a", RunRequest("1", "noop", b""))
        await engine.run("a", RunRequest("2", "segfault", b""))
        await engine.run("a", RunRequest("3", "noop", b""))
        ready, busy, starting = WorkerPhase.READY, WorkerPhase.BUSY, WorkerPhase.STARTING
        assert watch.phases() == [ready, busy, ready, busy, starting, ready, busy, ready]


async def test_a_machine_that_cannot_load_says_why_and_is_tried_again(tmp_path: Path) -> None:
    path = tmp_path / "there"
    spec = DeviceSpec("a", "echo", {"load": "until", "path": str(path)})
    async with engine_of(spec, DeviceSpec("b", "echo")) as (engine, watch):
        with pytest.raises(DeviceUnavailable, match="device a has no worker: RuntimeError: not yet"):
            await engine.description("a")
        assert engine.state("a") == WorkerState(WorkerPhase.FAILED, "RuntimeError: not yet")
        with pytest.raises(DeviceUnavailable, match="not yet"):
            await engine.run("a", RunRequest("1", "noop", b""))
        with pytest.raises(DeviceUnavailable, match="not yet"):
            await engine.prepare("a", "sampler", b"")
        assert (await engine.description("b")).num_qubits == 2
        path.touch()
        await watch.for_phases(WorkerPhase.FAILED, WorkerPhase.READY)
        assert isinstance(await engine.run("a", RunRequest("2", "noop", b"")), Completed)


async def test_a_first_crash_while_loading_is_forgiven(tmp_path: Path) -> None:
    spec = DeviceSpec("a", "echo", {"load": "crash-once", "path": str(tmp_path / "there")})
    async with engine_of(spec) as (engine, watch):
        await engine.description("a")
        assert watch.phases() == [WorkerPhase.READY]


@pytest.mark.parametrize(
    ("load", "reason"),
    [
        ("segfault", r"the worker ended \(SIGSEGV\) while loading"),
        ("exit", r"the worker ended \(exit 3\) while loading"),
        ("raise", r"RuntimeError: the dilution fridge is warm"),
    ],
)
async def test_a_load_that_always_fails_is_reported_with_its_reason(load: str, reason: str) -> None:
    async with engine_of(DeviceSpec("a", "echo", {"load": load})) as (engine, _):
        with pytest.raises(DeviceUnavailable, match=reason):
            await engine.description("a")


async def test_a_load_that_hangs_is_given_up() -> None:
    async with engine_of(DeviceSpec("a", "echo", {"load": "hang"}), load_limit=2.0) as (engine, _):
        with pytest.raises(DeviceUnavailable, match=r"did not load within 2 s"):
            await engine.description("a")


async def test_a_machine_class_that_does_not_exist_is_named() -> None:
    async with engine_of(DeviceSpec("a", "echo"), host_class="hosts:Nothing") as (engine, _):
        with pytest.raises(DeviceUnavailable, match="Nothing"):
            await engine.description("a")


async def test_a_lazy_device_sleeps_until_its_first_job() -> None:
    async with engine_of(DeviceSpec("a", "echo", lazy=True)) as (engine, watch):
        assert engine.state("a").phase is WorkerPhase.ASLEEP
        assert descendants() == []
        assert isinstance(await engine.run("a", RunRequest("1", "noop", b"")), Completed)
        assert watch.phases()[:2] == [WorkerPhase.STARTING, WorkerPhase.READY]


async def test_a_lazy_device_can_prepare_without_a_worker_of_its_own() -> None:
    async with engine_of(DeviceSpec("a", "echo", lazy=True)) as (engine, _):
        assert (await engine.prepare("a", "sampler", b"")).executions == 4096
        assert engine.state("a").phase is WorkerPhase.ASLEEP


async def test_an_idle_worker_that_dies_is_replaced() -> None:
    async with engine_of(DeviceSpec("a", "echo")) as (engine, watch):
        await engine.description("a")
        os.kill(engine.state("a").pid or 0, signal.SIGKILL)
        await watch.for_phases(WorkerPhase.READY, WorkerPhase.STARTING, WorkerPhase.READY)
        assert isinstance(await engine.run("a", RunRequest("1", "noop", b"")), Completed)


@contextmanager
def no_files_left() -> Iterator[None]:
    """This process can open nothing, not even in the place of what it closes. What it has stays usable."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (3, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.mark.parametrize("fork", [True, False])
async def test_a_device_outlives_a_time_without_file_descriptors(fork: bool) -> None:
    """The kind: any resource of the system that a new process needs and that is gone for a while. Every fault
    of starting a worker is told, and tried again."""
    async with engine_of(DeviceSpec("a", "echo"), fork=fork) as (engine, watch):
        pid = (await engine.description("a")).configuration["pid"]
        preparer = int((await engine.prepare("a", "sampler", b"")).warnings[1])
        with no_files_left():
            for worker in (pid, preparer):
                os.kill(worker, signal.SIGKILL)
            await watch.for_phases(WorkerPhase.READY, WorkerPhase.STARTING, WorkerPhase.FAILED)
            assert "Too many open files" in (engine.state("a").reason or "")
        await watch.for_phases(WorkerPhase.FAILED, WorkerPhase.READY)
        assert isinstance(await engine.run("a", RunRequest("1", "noop", b"")), Completed)
        await engine.prepare("a", "sampler", b"")


async def test_a_launch_that_fails_leaves_nothing_open() -> None:
    interpreter = Interpreter(fork=False)
    before = open_files()
    with no_files_left(), pytest.raises(LaunchFailed, match="Too many open files"):
        await interpreter.launch("a", ())
    assert open_files() == before


async def test_a_worker_that_writes_garbage_is_replaced() -> None:
    async with engine_of(DeviceSpec("a", "echo"), host_class="hosts:GarbageHost") as (engine, _):
        outcome = await engine.run("a", RunRequest("1", "garbage", b""))
        assert isinstance(outcome, Crashed)
        assert "broke the protocol" in outcome.how
        assert isinstance(await engine.run("a", RunRequest("2", "noop", b"")), Completed)


async def test_a_dead_fork_server_is_replaced_and_its_workers_with_it() -> None:
    async with engine_of(DeviceSpec("a", "echo"), DeviceSpec("b", "echo")) as (engine, _):
        for _ in range(3):  # the third time workers are started without one
            for device in ("a", "b"):
                assert isinstance(await engine.run(device, RunRequest("1", "noop", b"")), Completed)
            worker = psutil.Process(engine.state("a").pid)
            forkserver = worker.parent()
            assert forkserver is not None
            if forkserver.pid == os.getpid():
                break
            job = asyncio.create_task(engine.run("a", RunRequest("2", "hang", b"")))
            await engine.run("b", RunRequest("3", "noop", b""))
            forkserver.kill()
            assert await job == Lost("ended with its fork server (SIGKILL)")
        assert forkserver.pid == os.getpid()


async def test_without_fork_workers_are_started_one_by_one() -> None:
    async with engine_of(DeviceSpec("a", "echo"), fork=False) as (engine, _):
        await engine.description("a")
        parent = psutil.Process(engine.state("a").pid).parent()
        assert parent is not None
        assert parent.pid == os.getpid()
        assert await engine.run("a", RunRequest("1", "segfault", b"")) == Crashed("SIGSEGV")
        assert isinstance(await engine.run("a", RunRequest("2", "noop", b"")), Completed)
    assert descendants() == []


@pytest.mark.parametrize("fork", [True, False])
async def test_an_interpreter_that_does_not_exist_is_named(fork: bool) -> None:
    async with engine_of(DeviceSpec("a", "echo", python="/nonexistent/python"), fork=fork) as (engine, _):
        with pytest.raises(DeviceUnavailable, match=r"cannot start a worker with /nonexistent/python"):
            await engine.description("a")


async def test_an_interpreter_without_sojourn_says_so(tmp_path: Path) -> None:
    python = tmp_path / "python"
    python.write_text(f'#!/bin/sh\nexec {sys.executable} -S "$@"\n')
    python.chmod(0o755)
    async with engine_of(DeviceSpec("a", "echo", python=str(python))) as (engine, _):
        with pytest.raises(DeviceUnavailable, match="No module named"):
            await engine.description("a")


async def test_an_interpreter_that_ends_at_once_is_named() -> None:
    async with engine_of(DeviceSpec("a", "echo", python="/bin/false")) as (engine, _):
        with pytest.raises(DeviceUnavailable, match=r"while loading with /bin/false"):
            await engine.description("a")


async def test_devices_of_two_interpreters_live_side_by_side(tmp_path: Path) -> None:
    python = tmp_path / "python"
    python.write_text(f'#!/bin/sh\nexec {sys.executable} "$@"\n')
    python.chmod(0o755)
    async with engine_of(DeviceSpec("a", "echo"), DeviceSpec("b", "echo", python=str(python))) as (engine, _):
        await asyncio.gather(engine.description("a"), engine.description("b"))
        parents = {psutil.Process(engine.state(name).pid).ppid() for name in ("a", "b")}
        assert len(parents) == 2
        assert (await engine.prepare("b", "sampler", b"")).warnings[0] == "b"


async def test_nothing_is_left_after_stop() -> None:
    async with engine_of(DeviceSpec("a", "echo")) as (engine, _):
        await engine.description("a")  # the event loop itself keeps a descriptor from its first stream on
    before = open_files()
    assert descendants() == []
    async with engine_of(DeviceSpec("a", "echo"), DeviceSpec("b", "echo")) as (engine, _):
        await engine.prepare("a", "sampler", b"")
        await engine.run("a", RunRequest("1", "segfault", b""))
        busy = asyncio.create_task(engine.run("b", RunRequest("2", "hang", b"")))
        await engine.run("a", RunRequest("3", "noop", b""))
        assert len(descendants()) == 4  # fork server, two workers, a preparer
        await engine.stop()
        with pytest.raises(DeviceUnavailable, match="stopping"):
            await busy
        with pytest.raises(DeviceUnavailable, match="stopping"):
            await engine.run("a", RunRequest("4", "noop", b""))
        with pytest.raises(DeviceUnavailable, match="stopping"):
            await engine.prepare("a", "sampler", b"")
        assert descendants() == []
    assert open_files() == before


async def test_stopping_right_after_starting_leaves_nothing() -> None:
    async with engine_of(DeviceSpec("a", "echo")):
        pass
    assert descendants() == []


SERVER = """
import asyncio, json, sys
from sojourn.execution.local.engine import LocalEngine
from sojourn.execution.engine import RunRequest
from sojourn.worker.protocol.types import DeviceSpec

async def main(fork):
    specs = [DeviceSpec("a", "echo"), DeviceSpec("b", "echo")]
    engine = LocalEngine(specs, host_class="hosts:EchoHost", fork=fork)
    await engine.start()
    await engine.description("a"), await engine.description("b")
    await engine.prepare("a", "sampler", b"")
    busy = asyncio.create_task(engine.run("b", RunRequest("1", "hang", b"")))
    await engine.run("a", RunRequest("2", "noop", b""))
    print(json.dumps([engine.state("a").pid, engine.state("b").pid]), flush=True)
    await busy

asyncio.run(main(sys.argv[1] == "fork"))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel tells children of their parent's death")
@pytest.mark.parametrize("way", ["fork", "direct"])
def test_nothing_survives_a_sigkill_of_the_server(way: str) -> None:
    """Also the same code on asyncio's own event loop, without uvloop."""
    server = subprocess.Popen([sys.executable, "-c", SERVER, way], stdout=subprocess.PIPE)
    try:
        assert server.stdout is not None
        words = next(line for line in server.stdout if line.startswith(b"["))  # the log goes there as well
        assert len(json.loads(words)) == 2
        family = psutil.Process(server.pid).children(recursive=True)
        assert len(family) == (4 if way == "fork" else 3)
    finally:
        server.kill()
        server.communicate()
    gone, alive = psutil.wait_procs(family, timeout=10)
    assert [process for process in alive if process.status() != psutil.STATUS_ZOMBIE] == []
    assert gone or alive


def test_the_server_side_does_not_import_qiskit() -> None:
    code = (
        "import sys, sojourn.execution.local.engine, sojourn.worker.protocol.types; "
        "heavy = {'qiskit', 'numpy', 'scipy', 'qiskit_aer', 'qiskit_ibm_runtime'}; "
        "print(sorted(heavy & sys.modules.keys()))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
