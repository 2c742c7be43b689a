"""Preparations: by device in turn, refused in words, and a crash or a hang costs only the guilty one."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import psutil
import pytest

from sojourn.execution.engine import DeviceUnavailable
from sojourn.execution.local.engine import LocalEngine
from sojourn.worker.protocol.types import DeviceSpec, JobRefused, Prepared

pytestmark = pytest.mark.anyio
ECHO = "hosts:EchoHost"


@pytest.fixture(scope="module")
async def impatient() -> AsyncIterator[LocalEngine]:
    """One device, one preparer, 1.5 s for a preparation."""
    engine = LocalEngine([DeviceSpec("a", "echo")], host_class=ECHO, prepare_limit=1.5)
    await engine.start()
    await engine.prepare("a", "sampler", b"")
    yield engine
    await engine.stop()


def pid(prepared: Prepared) -> int:
    return int(prepared.warnings[1])


async def test_a_preparation_answers_with_its_estimate(engine: LocalEngine) -> None:
    prepared = await engine.prepare("a", "sampler", b"x" * (20 << 20))
    assert (prepared.estimated_seconds, prepared.num_circuits, prepared.num_qubits) == (0.5, 1, 2)


async def test_one_preparer_serves_all_devices(engine: LocalEngine) -> None:
    both = [await engine.prepare(device, "sampler", b"") for device in ("a", "b")]
    assert [prepared.warnings[0] for prepared in both] == ["a", "b"]
    assert pid(both[0]) == pid(both[1])
    assert pid(both[0]) not in (engine.state("a").pid, engine.state("b").pid)


async def test_a_refusal_keeps_its_words_and_number(engine: LocalEngine) -> None:
    with pytest.raises(JobRefused, match="too wide") as refused:
        await engine.prepare("a", "refuse", b"")
    assert refused.value.code == 1234


async def test_what_a_machine_raises_is_the_devices_fault_as_it_has_asked_itself(engine: LocalEngine) -> None:
    with pytest.raises(DeviceUnavailable, match="device a cannot prepare: RuntimeError: broken"):
        await engine.prepare("a", "raise", b"")


async def test_a_preparation_that_takes_too_much_memory_is_refused_with_the_limit() -> None:
    engine = LocalEngine([DeviceSpec("a", "echo")], host_class=ECHO, prepare_memory=64 << 20)
    await engine.start()
    try:
        before = pid(await engine.prepare("a", "greedy", b"%d" % (32 << 20)))
        with pytest.raises(JobRefused, match="more than the 64 MB that one job may have"):
            await engine.prepare("a", "greedy", b"%d" % (128 << 20))
        assert pid(await engine.prepare("a", "sampler", b"")) == before, "the preparer goes on"
    finally:
        await engine.stop()


async def test_a_job_that_crashes_two_preparers_is_refused_and_the_others_are_repeated(
    engine: LocalEngine, tmp_path: Path
) -> None:
    before = pid(await engine.prepare("a", "sampler", b""))
    gate = tmp_path / "gate"
    os.mkfifo(gate)
    # The gate is opened when all are on their way: some at the preparer already, some still in the queue.
    jobs = [asyncio.create_task(engine.prepare("a", "gate-segfault", os.fsencode(gate)))]
    jobs += [asyncio.create_task(engine.prepare("a", "sampler", b"")) for _ in range(20)]
    await asyncio.sleep(0)
    dying = psutil.Process(before)
    writer = await asyncio.to_thread(gate.open, "wb")
    writer.close()
    await asyncio.to_thread(dying.wait)  # once may be bad luck
    writer = await asyncio.to_thread(gate.open, "wb")
    writer.close()
    guilty, *others = await asyncio.gather(*jobs, return_exceptions=True)
    assert isinstance(guilty, JobRefused)
    assert "crashed the decoder (SIGSEGV), twice" in guilty.message
    assert {pid(other) for other in others if isinstance(other, Prepared)} != {before}
    assert all(isinstance(other, Prepared) for other in others)


async def test_a_kill_from_outside_is_forgiven_once(engine: LocalEngine, tmp_path: Path) -> None:
    worker = pid(await engine.prepare("a", "sampler", b""))
    gate = tmp_path / "gate"
    os.mkfifo(gate)
    job = asyncio.create_task(engine.prepare("a", "gate", os.fsencode(gate)))
    await asyncio.sleep(0)
    writer = await asyncio.to_thread(gate.open, "wb")  # it is in work
    dying = psutil.Process(worker)
    os.kill(worker, signal.SIGKILL)
    await asyncio.to_thread(dying.wait)
    writer.close()
    writer = await asyncio.to_thread(gate.open, "wb")  # it is in work again
    writer.close()
    assert pid(await job) != worker


async def test_a_preparation_that_hangs_is_refused_with_the_limit(impatient: LocalEngine) -> None:
    hanging = asyncio.create_task(impatient.prepare("a", "hang", b""))
    waiting = asyncio.create_task(impatient.prepare("a", "sampler", b""))
    with pytest.raises(JobRefused, match=r"more than 1\.5 s"):
        await hanging
    assert isinstance(await waiting, Prepared)


async def test_a_device_that_crashes_the_preparer_while_loading_is_not_the_jobs_fault(tmp_path: Path) -> None:
    specs = [DeviceSpec("a", "echo", {"load": "segfault"}, lazy=True), DeviceSpec("b", "echo", lazy=True)]
    engine = LocalEngine(specs, host_class=ECHO)
    await engine.start()
    try:
        bad, good = await asyncio.gather(
            engine.prepare("a", "sampler", b""), engine.prepare("b", "sampler", b""), return_exceptions=True
        )
        assert isinstance(bad, DeviceUnavailable)
        assert "loading device a crashed (SIGSEGV)" in str(bad)
        assert isinstance(good, Prepared)
    finally:
        await engine.stop()


async def test_a_caller_that_gave_up_holds_nobody_up(engine: LocalEngine) -> None:
    jobs = [asyncio.create_task(engine.prepare("a", "sampler", b"")) for _ in range(30)]
    await asyncio.sleep(0)
    for job in jobs[::2]:
        job.cancel()
    answers = await asyncio.gather(*jobs, return_exceptions=True)
    assert all(isinstance(answer, Prepared) for answer in answers[1::2])


async def test_one_devices_jobs_do_not_hold_up_another_devices(engine: LocalEngine, tmp_path: Path) -> None:
    for device in ("a", "b"):
        await engine.prepare(device, "sampler", b"")
    gate = tmp_path / "gate"
    os.mkfifo(gate)
    order: list[str] = []

    async def prepare(device: str, program: str, params: bytes = b"") -> None:
        order.append((await engine.prepare(device, program, params)).warnings[0])

    jobs = [asyncio.create_task(prepare("a", "gate", os.fsencode(gate)))]
    jobs += [asyncio.create_task(prepare("a", "sampler")) for _ in range(20)]
    jobs += [asyncio.create_task(prepare("b", "sampler"))]
    await asyncio.sleep(0)
    writer = await asyncio.to_thread(gate.open, "wb")  # the preparer is in the first one; all others wait
    writer.close()
    await asyncio.gather(*jobs)
    assert order.index("b") <= 2, "it waits for what the preparer has, and one turn"


async def test_two_preparers_work_at_the_same_time(tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    os.mkfifo(gate)
    engine = LocalEngine([DeviceSpec("a", "echo")], host_class=ECHO, preparers=2)
    await engine.start()
    try:
        stuck = asyncio.create_task(engine.prepare("a", "gate", os.fsencode(gate)))
        await asyncio.sleep(0)
        writer = await asyncio.to_thread(gate.open, "wb")
        others = await asyncio.gather(*(engine.prepare("a", "sampler", b"") for _ in range(20)))
        assert len({pid(other) for other in others}) >= 1
        writer.close()
        assert pid(await stuck) not in {pid(other) for other in others}
    finally:
        await engine.stop()


async def test_a_device_that_cannot_load_is_unavailable_for_preparation() -> None:
    engine = LocalEngine([DeviceSpec("a", "echo", {"load": "raise"}, lazy=True)], host_class=ECHO)
    await engine.start()
    try:
        with pytest.raises(DeviceUnavailable, match="the dilution fridge is warm"):
            await engine.prepare("a", "sampler", b"")
    finally:
        await engine.stop()
