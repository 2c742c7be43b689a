"""Preparations of several users: one's hold another's up by one at most; what has ended is not prepared."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest

from sojourn.execution.engine import Pace
from sojourn.execution.local import preparers
from sojourn.execution.local.engine import LocalEngine
from sojourn.execution.local.turns import APART, FREE, QUIET, Budgets, Request, Waiting
from sojourn.worker.protocol.types import DeviceSpec, JobRefused, Prepared

pytestmark = pytest.mark.anyio
ECHO = "hosts:EchoHost"
SMALL = 0.8
"""Seconds that a job without inputs may take here."""

MACHINE = 20.0
"""Seconds in which a machine under load replaces a preparer: what is measured is counted in preparations."""


@asynccontextmanager
async def running(preparers: int, *, pace: Pace, devices: Iterable[str] = "ab") -> AsyncIterator[LocalEngine]:
    specs = [DeviceSpec(device, "echo") for device in devices]
    engine = LocalEngine(specs, host_class=ECHO, preparers=preparers, pace=pace)
    await engine.start()
    try:
        for spec in specs:  # every preparer has loaded every device
            await asyncio.gather(*(engine.prepare(spec.name, "sampler", b"") for _ in range(8)))
        yield engine
    finally:
        await engine.stop()


def ask(
    engine: LocalEngine, user: str, program: str = "sampler", device: str = "a", params: bytes = b""
) -> Any:
    return asyncio.ensure_future(engine.prepare(device, program, params, user))


@pytest.mark.parametrize("preparers", [1, 2])
async def test_another_users_job_waits_for_one_preparation_behind_six_that_hang(preparers: int) -> None:
    async with running(preparers, pace=Pace(small=SMALL, burst=0.5, rate=0.0)) as engine:
        loop = asyncio.get_running_loop()
        hanging = [ask(engine, "eve", "hang", device="ab"[i % 2]) for i in range(6)]
        ended = []
        begun = loop.time()
        for device in "abab":
            assert isinstance(await ask(engine, "ada", device=device), Prepared)
            ended.append(sum(job.done() for job in hanging))
        assert loop.time() - begun < SMALL + MACHINE, "one preparation, and its preparer is replaced"
        assert ended[0] <= preparers, "the first waits for those that are in work"
        assert preparers > 1 or ended[-1] == 1, "later ones wait for none: eve is over the budget"
        for job in hanging:
            job.cancel()


async def test_users_take_turns_and_of_one_user_the_devices_do(tmp_path: Path) -> None:
    async with running(1, pace=Pace()) as engine:
        order: list[str] = []

        def answered(user: str, device: str) -> Callable[[asyncio.Future[Prepared]], None]:
            return lambda _: order.append(user + device)

        gate = tmp_path / "gate"
        os.mkfifo(gate)
        jobs = [ask(engine, "cy", "gate", params=os.fsencode(gate))]
        wanted = [("eve", "a")] * 4 + [("eve", "b")] * 2 + [("ada", "a")] * 2 + [("bob", "b")]
        for user, device in wanted:
            jobs.append(ask(engine, user, device=device))
            jobs[-1].add_done_callback(answered(user, device))
        await asyncio.sleep(0)
        writer = await asyncio.to_thread(gate.open, "wb")  # the preparer is in the first one; all others wait
        writer.close()
        await asyncio.gather(*jobs)
        assert order == ["evea", "adaa", "bobb", "eveb", "adaa", "evea", "eveb", "evea", "evea"]


async def test_who_is_over_the_budget_comes_last_and_leaves_a_preparer_to_the_others() -> None:
    async with running(2, pace=Pace(small=1.0, burst=0.5, rate=0.0)) as engine:
        await ask(engine, "ada")
        with pytest.raises(JobRefused, match="more than 1 s"):
            await ask(engine, "eve", "hang")
        hanging = [ask(engine, "eve", "hang") for _ in range(3)]
        await asyncio.sleep(0)
        for _ in range(5):  # one preparer is eve's, the other is not
            assert isinstance(await ask(engine, "ada"), Prepared)
        (eve,) = [u for u in engine.preparations() if u.user == "eve"]
        assert (eve.in_work, eve.waiting) == (1, 2)
        assert eve.budget < 0
        for job in hanging:
            job.cancel()


async def test_a_lone_user_has_all_preparers_whatever_was_used(tmp_path: Path) -> None:
    async with running(2, pace=Pace(burst=0.0, rate=0.0)) as engine:
        engine._pools[None]._budgets._asked.clear()  # the preparations that loaded the devices were another's
        paths = [tmp_path / "1", tmp_path / "2"]
        for path in paths:
            os.mkfifo(path)
        jobs = [ask(engine, "eve", "gate", params=os.fsencode(path)) for path in paths]
        await asyncio.sleep(0)
        writers = [await asyncio.to_thread(path.open, "wb") for path in paths]  # both are in work at once
        for writer in writers:
            writer.close()
        await asyncio.gather(*jobs)


async def test_short_preparations_leave_a_preparer_to_somebody_who_has_asked_lately(tmp_path: Path) -> None:
    async with running(2, pace=Pace()) as engine:
        await ask(engine, "ada")
        gate = tmp_path / "gate"
        os.mkfifo(gate)
        first = ask(engine, "eve", "gate", params=os.fsencode(gate))
        await asyncio.sleep(0)
        writer = await asyncio.to_thread(gate.open, "wb")  # it is in work
        second = ask(engine, "eve")
        for _ in range(3):
            assert isinstance(await ask(engine, "ada"), Prepared)
        assert not second.done()
        writer.close()
        await asyncio.gather(first, second)


async def test_a_cancelled_preparation_leaves_the_queue_and_its_preparer_is_replaced() -> None:
    async with running(1, pace=Pace(small=60.0)) as engine:
        loop = asyncio.get_running_loop()
        before = int((await ask(engine, "eve")).warnings[1])
        hanging = [ask(engine, "eve", "hang") for _ in range(5)]
        await asyncio.sleep(0)  # they ask, and
        await asyncio.sleep(0)  # are given out
        (eve,) = engine.preparations()
        assert (eve.in_work, eve.waiting) == (1, 4)
        begun = loop.time()
        for job in hanging:
            job.cancel()
        await asyncio.wait(hanging)
        (eve,) = engine.preparations()
        assert (eve.in_work, eve.waiting) == (1, 0)
        after = int((await ask(engine, "ada")).warnings[1])
        assert loop.time() - begun < preparers.ABANDONED + MACHINE
        assert after != before
        assert not psutil.pid_exists(before)


async def test_a_cancelled_preparation_that_ends_by_itself_costs_no_preparer(tmp_path: Path) -> None:
    async with running(1, pace=Pace()) as engine:
        before = int((await ask(engine, "eve")).warnings[1])
        gate = tmp_path / "gate"
        os.mkfifo(gate)
        job = ask(engine, "eve", "gate", params=os.fsencode(gate))
        await asyncio.sleep(0)
        writer = await asyncio.to_thread(gate.open, "wb")
        job.cancel()
        writer.close()
        assert int((await ask(engine, "eve")).warnings[1]) == before


async def test_a_larger_job_may_take_longer_and_the_refusal_says_how_long() -> None:
    async with running(2, pace=Pace(small=1.5, per_mb=1.5), devices="a") as engine:
        loop = asyncio.get_running_loop()
        took = {}
        for size in (0, 1_000_000):
            begun = loop.time()
            with pytest.raises(JobRefused) as refused:
                await ask(engine, "eve", "hang", params=b"x" * size)
            took[size] = loop.time() - begun
            limit = 1.5 + 1.5 * size / 1e6
            told = f"took more than {limit:g} s, the limit for {size} bytes of inputs"
            assert told in refused.value.message
        assert took[0] >= 1.5
        assert took[1_000_000] >= 3.0


async def test_a_user_over_the_budget_is_served_by_a_lone_preparer_when_the_budget_has_filled() -> None:
    async with running(1, pace=Pace(small=0.5, burst=0.2, rate=0.1)) as engine:
        await ask(engine, "ada")
        with pytest.raises(JobRefused, match=r"more than 0\.5 s"):
            await ask(engine, "eve", "hang")
        later = ask(engine, "eve")
        assert isinstance(await ask(engine, "ada"), Prepared)
        assert not later.done()
        assert isinstance(await later, Prepared)


async def test_what_is_owed_is_bounded_and_fills_at_the_rate() -> None:
    budgets = Budgets(Pace(burst=10.0, rate=0.5), debt=60.0)
    budgets.spend("eve", FREE, 0.0)
    assert budgets.left("eve", 0.0) == 10.0, "a short one is not counted"
    budgets.spend("eve", 1000.0, 0.0)
    assert (budgets.left("eve", 0.0), budgets.left("ada", 0.0)) == (-60.0, 10.0)
    assert (budgets.left("eve", 120.0), budgets.left("eve", 1000.0)) == (0.0, 10.0)


async def test_long_preparations_leave_one_of_several_preparers_to_whoever_comes_after_a_quiet_hour() -> None:
    budgets = Budgets(Pace(), 60.0, APART)
    budgets.asks("ada", 0.0)
    budgets.asks("eve", 3600.0)
    assert not budgets.alone("eve", 3600.0)
    assert budgets.alone("eve", APART + 0.5)
    assert budgets.alone("eve", QUIET + 0.5, QUIET)


async def test_a_user_is_alone_when_nobody_else_has_asked_in_the_last_minute() -> None:
    budgets = Budgets(Pace(), debt=60.0)
    assert budgets.alone("eve", 0.0)
    budgets.asks("ada", 0.0)
    budgets.asks("eve", 1.0)
    assert not budgets.alone("eve", QUIET)
    assert not budgets.alone("ada", QUIET)
    assert budgets.alone("eve", QUIET + 0.5)
    assert not budgets.alone("ada", QUIET + 0.5)


async def test_what_was_taken_and_not_served_is_the_next_again() -> None:
    waiting = Waiting()
    ours = [Request(number, user, "a", "sampler", b"") for number, user in enumerate(("eve", "ada", "eve"))]
    for request in ours:
        waiting.add(request)
    taken = waiting.take(lambda _: True)
    assert taken is ours[0]
    waiting.put_back([taken])
    assert [waiting.take(lambda _: True) for _ in range(4)] == [ours[0], ours[1], ours[2], None]
    ours[1].answer.cancel()
    waiting.put_back([ours[1]])
    assert len(waiting) == 0, "nobody waits for it any more"
