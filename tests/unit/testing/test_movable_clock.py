"""The clock of the server for tests: it goes on by itself, and further when it is told to."""

from __future__ import annotations

import asyncio

from sojourn.service.timing.clock import SystemClock
from sojourn.testing.server.clock import MovableClock

START = 1_750_000_000.0


class Machine:
    def __init__(self) -> None:
        self.at = 0.0
        self.clock = MovableClock(SystemClock(lambda: START + self.at, lambda: self.at))
        self.clock.begin(0.0)


async def nothing() -> None:
    pass


def test_every_time_that_is_asked_for_moves_by_the_same() -> None:
    async def body() -> None:
        machine = Machine()
        clock = machine.clock
        machine.at = 5.0
        await clock.advance(3600.0, nothing)
        assert (clock.now(), clock.date(), clock.monotonic()) == (START + 3605, START + 3605, 3605.0)
        assert clock.instant(START + 4000) == START + 4000
        machine.at = 7.0
        assert clock.now() == START + 3607

    asyncio.run(body())


def test_deadlines_fire_in_their_order_each_at_its_time_and_what_they_ask_for_on_the_way() -> None:
    async def body() -> None:
        clock = Machine().clock
        fired: list[tuple[str, float]] = []

        def at(name: str, seconds: float) -> None:
            clock.call_at(START + seconds, lambda: fired.append((name, clock.now() - START)))

        at("last", 500.0)
        clock.call_at(START + 100.0, lambda: at("asked for by the first", 200.0))
        at("second", 300.0)
        clock.call_at(START + 50.0, lambda: fired.append(("cancelled", 0.0))).cancel()
        settled: list[int] = []

        async def settle() -> None:
            settled.append(len(fired))

        await clock.advance(400.0, settle)
        assert fired == [("asked for by the first", 200.0), ("second", 300.0)]
        assert settled == [0, 1, 2]
        await clock.advance(100.0, settle)
        assert fired[2:] == [("last", 500.0)]

    asyncio.run(body())


def test_a_deadline_that_nobody_moves_the_time_to_comes_by_itself() -> None:
    async def body() -> None:
        clock = MovableClock()
        clock.begin(0.0)
        await clock.advance(60.0, nothing)
        come = asyncio.Event()
        clock.call_at(clock.now() + 0.01, come.set)
        await asyncio.wait_for(come.wait(), 10)

    asyncio.run(body())


def test_a_deadline_that_the_time_came_near_to_comes_sooner() -> None:
    async def body() -> None:
        clock = MovableClock()
        clock.begin(0.0)
        come = asyncio.Event()
        clock.call_at(clock.now() + 1000.01, come.set)
        await clock.advance(1000.0, nothing)
        await asyncio.wait_for(come.wait(), 10)

    asyncio.run(body())
