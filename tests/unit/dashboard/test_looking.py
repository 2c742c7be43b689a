"""When a page looks again: at once after a rest, together what comes soon after, and now and then anyhow."""

from __future__ import annotations

import asyncio

import pytest

from sojourn.dashboard.looking import LEAST, PART, SLOW, Looking, Pace


def looked(begin: float = 100.0, took: float = 0.0) -> Pace:
    pace = Pace(SLOW)
    pace.begin(begin)
    pace.end(begin + took)
    return pace


def test_what_is_heard_after_a_rest_is_looked_at_at_once() -> None:
    pace = looked(begin=100.0)
    pace.hear()
    assert pace.due <= 101.0


def test_what_is_heard_soon_after_a_look_waits_for_what_comes_with_it() -> None:
    pace = looked(begin=100.0)
    for _ in range(100):
        pace.hear()
    assert pace.due == 100.0 + LEAST
    pace.begin(pace.due)
    pace.end(100.0 + LEAST)
    assert pace.due == 100.0 + LEAST + SLOW


def test_what_is_heard_while_it_looks_is_looked_at_again() -> None:
    pace = Pace(SLOW)
    pace.begin(100.0)
    pace.hear()
    pace.end(100.1)
    assert pace.due == 100.0 + LEAST


def test_without_events_it_looks_slowly() -> None:
    assert looked(begin=100.0).due == 100.0 + SLOW


def test_a_server_that_takes_long_is_asked_for_half_of_the_time_at_most() -> None:
    pace = looked(begin=100.0, took=3.0)
    pace.hear()
    assert pace.due == pytest.approx(100.0 + 3.0 / PART)


def test_it_looks_when_it_is_told_and_not_before() -> None:
    async def inside() -> None:
        looks: asyncio.Queue[int] = asyncio.Queue()

        async def look() -> None:
            looks.put_nowait(1)

        looking = Looking(look, 3600.0)
        task = asyncio.create_task(looking.run())
        await looks.get()
        assert looks.empty()
        looking.soon()
        async with asyncio.timeout(30.0):
            await looks.get()
        looking.every(0.0)
        async with asyncio.timeout(30.0):
            await looks.get()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    asyncio.run(inside())
