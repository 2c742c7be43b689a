"""What requests in work may take is bounded in all and for each user, and those who wait have fair turns."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable

import pytest

from sojourn.api.http.statuses import status_of
from sojourn.service.errors import Busy
from sojourn.service.requests.rooms import Held, Room


def room(total: int = 10, own: int = 5) -> Room:
    return Room(total, own, busy="busy", over_own="over own")


async def started(work: Awaitable[Held]) -> asyncio.Future[Held]:
    """A request that waits."""
    task = asyncio.ensure_future(work)
    await asyncio.sleep(0)
    return task


def test_one_owner_has_at_most_his_own_part() -> None:
    async def body() -> None:
        r = room()
        assert r.try_take("a", 3) is not None
        assert r.try_take("a", 3) is None
        assert r.try_take("b", 5) is not None
        assert r.held == 8

    asyncio.run(body())


def test_all_together_have_at_most_the_whole() -> None:
    async def body() -> None:
        r = room(total=10, own=5)
        assert r.try_take("a", 5)
        assert r.try_take("b", 4)
        assert r.try_take("c", 2) is None
        assert r.try_take("c", 1)

    asyncio.run(body())


def test_who_finds_no_room_in_time_is_told_which_bound_it_was() -> None:
    async def body() -> None:
        r = room()
        r.try_take("a", 5)
        with pytest.raises(Busy, match="over own") as own:
            await r.take("a", 1, 0)
        r.try_take("b", 5)
        with pytest.raises(Busy, match="busy"):
            await r.take("c", 1, 0)
        assert (status_of(own.value), r.refused, r.held) == (503, 2, 10)
        assert own.value.retry_after

    asyncio.run(body())


def test_those_who_wait_have_turns_and_of_one_the_first_comes_first() -> None:
    async def body() -> None:
        r = room(total=4, own=2)
        first = [r.try_take("a", 2), r.try_take("b", 2)]
        waiting = [await started(r.take(who, 2, None)) for who in ("c", "c", "d")]
        for held in first:
            assert held is not None
            held.release()
        await asyncio.gather(waiting[0], waiting[2])
        assert not waiting[1].done(), "c's second one waits behind d's first"
        waiting[1].cancel()

    asyncio.run(body())


def test_who_has_his_own_part_full_keeps_nobody_waiting() -> None:
    async def body() -> None:
        r = room()
        assert r.try_take("a", 5)
        await started(r.take("a", 5, None))
        assert r.try_take("b", 1) is not None

    asyncio.run(body())


def test_a_large_request_is_not_passed_for_ever_by_small_ones() -> None:
    async def body() -> None:
        r = room(total=10, own=10)
        small = r.try_take("a", 6)
        large = await started(r.take("b", 8, None))
        assert r.try_take("c", 1) is None, "b has waited longer"
        assert small is not None
        small.release()
        assert (await large).size == 8

    asyncio.run(body())


def test_a_part_is_free_when_all_that_use_it_are_done() -> None:
    async def body() -> None:
        r = room()
        held = r.try_take("a", 5)
        assert held is not None
        work = asyncio.get_running_loop().create_future()
        held.until(work)
        held.release()
        assert r.held == 5
        work.set_result(None)
        await asyncio.sleep(0)
        assert r.held == 0

    asyncio.run(body())


@pytest.mark.parametrize("given", [False, True], ids=["while it waits", "when it has just got it"])
def test_a_request_that_is_cancelled_leaves_nothing_behind(given: bool) -> None:
    async def body() -> None:
        r = room(total=5)
        held = r.try_take("a", 5)
        assert held is not None
        task = await started(r.take("b", 5, None))
        if given:
            held.release()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        if not given:
            held.release()
        assert r.held == 0
        assert r.try_take("c", 5) is not None

    asyncio.run(body())


def test_more_than_the_own_part_is_all_of_it() -> None:
    async def body() -> None:
        r = room()
        held = await r.take("a", 100, 0)
        assert held.size == 5
        held.release()
        assert r.held == 0

    asyncio.run(body())
