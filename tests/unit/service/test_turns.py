"""However many requests of one caller look at once, a few are worked on; nobody else waits for them."""

from __future__ import annotations

import asyncio
from collections import Counter

import pytest
import structlog
from structlog.testing import capture_logs
from structlog.typing import EventDict

from sojourn.service.requests.turns import CROWD, LOG_EVERY, Looks, Turns
from sojourn.service.views import Principal
from sojourn.store.database.access import Reading
from tests.unit.service.test_polling import leap

ANN = Principal("u1", "ann", "p1", "anns")
ANN_ELSEWHERE = Principal("u1", "ann", "p2", "lab")
BOB = Principal("u2", "bob", "p1", "anns")


class Work:
    """Requests that take turns and are done when they are told to be."""

    def __init__(self, limit: int) -> None:
        self.now = 0.0
        self.turns = Turns(lambda _: Looks(limit), lambda: self.now)
        self.begun: list[str] = []
        self._done: dict[str, asyncio.Event] = {}

    def ask(self, who: Principal, name: str) -> asyncio.Task[None]:
        self._done[name] = asyncio.Event()
        return asyncio.ensure_future(self._ask(who, name))

    async def _ask(self, who: Principal, name: str) -> None:
        reading = await self.turns.take(who)
        self.begun.append(name)
        try:
            await self._done[name].wait()
        finally:
            self.turns.give(who, reading)

    async def finish(self, name: str) -> None:
        self._done[name].set()
        await self.settle()

    async def settle(self) -> None:
        for _ in range(5):
            await asyncio.sleep(0)


def test_of_many_requests_of_a_caller_so_many_are_worked_on_and_the_others_come_in_order() -> None:
    async def body() -> None:
        work = Work(2)
        for n in range(5):
            work.ask(ANN, f"a{n}")
        await work.settle()
        assert work.begun == ["a0", "a1"]
        await work.finish("a1")
        assert work.begun == ["a0", "a1", "a2"]
        for name in ("a0", "a2", "a3", "a4"):
            await work.finish(name)
        assert work.begun == ["a0", "a1", "a2", "a3", "a4"]
        assert not work.turns._rows, "nothing is remembered of who has left"

    asyncio.run(body())


def test_of_requests_that_never_wait_so_many_are_answered_in_a_round_of_the_loop() -> None:
    async def body() -> None:
        turns = Turns(lambda _: Looks(2))
        rounds = [0]

        async def ask() -> int:
            turns.give(ANN, await turns.take(ANN))
            return len(rounds)

        asked = [asyncio.ensure_future(ask()) for _ in range(10)]
        while not all(task.done() for task in asked):
            rounds.append(0)
            await asyncio.sleep(0)
        answered = Counter(task.result() for task in asked)
        assert len(answered) == 5
        assert set(answered.values()) == {2}

    asyncio.run(body())


def test_others_and_other_projects_do_not_wait_for_a_caller() -> None:
    async def body() -> None:
        work = Work(1)
        for who, name in ((ANN, "a0"), (ANN, "a1"), (BOB, "b"), (ANN_ELSEWHERE, "c")):
            work.ask(who, name)
        await work.settle()
        assert work.begun == ["a0", "b", "c"]

    asyncio.run(body())


def test_with_a_limit_of_0_nobody_waits() -> None:
    async def body() -> None:
        work = Work(0)
        for n in range(50):
            work.ask(ANN, f"a{n}")
        await work.settle()
        assert len(work.begun) == 50

    asyncio.run(body())


def test_a_caller_whose_queries_have_cost_too_much_waits_until_that_is_paid_and_others_do_not() -> None:
    async def body() -> None:
        loop = asyncio.get_running_loop()
        turns = Turns(lambda _: Looks(1, rate=0.25, burst=2.0), loop.time)
        for cost in (1.5, 1.5):  # a second more than there was
            reading = await turns.take(ANN)
            reading.seconds = cost
            turns.give(ANN, reading)
        assert loop.time() == 0
        turns.give(BOB, await turns.take(BOB))
        assert loop.time() == 0
        structlog.reset_defaults()
        with capture_logs() as told:
            reading = await turns.take(ANN)
        assert loop.time() == pytest.approx(1.0 / 0.25)
        assert [line["event"] for line in told] == ["looks.cost"]
        reading.seconds = 1.0
        turns.give(ANN, reading)
        leaves = asyncio.ensure_future(turns.take(ANN))
        await asyncio.sleep(0.5)
        leaves.cancel()
        await asyncio.wait({leaves})
        turns.give(ANN, await turns.take(ANN))
        assert loop.time() == pytest.approx(8.0), "and whoever left has not been forgotten"
        await asyncio.sleep(0)
        assert not turns._rows

    leap(body)


def test_a_request_that_is_cancelled_takes_no_turn_with_it() -> None:
    """While it waits, and in the very moment in which its turn comes."""

    async def body() -> None:
        turns = Turns(lambda _: Looks(1))
        await turns.take(ANN)
        waits, comes, last = (asyncio.ensure_future(turns.take(ANN)) for _ in range(3))
        await asyncio.sleep(0)
        waits.cancel()
        turns.give(ANN, Reading())
        comes.cancel()
        assert [await asyncio.wait({task}) and task.cancelled() for task in (waits, comes)] == [True, True]
        await asyncio.wait_for(last, 5)
        turns.give(ANN, Reading())
        await asyncio.sleep(0)
        assert not turns._rows

    asyncio.run(body())


def test_the_log_says_who_asks_more_than_is_answered_once_a_minute() -> None:
    async def body() -> list[EventDict]:
        work = Work(1)
        structlog.reset_defaults()
        with capture_logs() as told:
            for n in range(CROWD + 5):
                work.ask(ANN, f"a{n}")
            await work.settle()
            work.now = LOG_EVERY
            work.ask(ANN, "later")
            await work.settle()
        return [entry for entry in told if entry["event"] == "looks.wait"]

    first, second = asyncio.run(body())
    assert (first["user"], first["waiting"], first["at_once"]) == ("ann", CROWD, 1)
    assert second["waiting"] == CROWD + 5
