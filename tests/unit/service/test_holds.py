"""The time for which a poll is held is counted, and taken out of what its request took."""

from __future__ import annotations

import asyncio

from sojourn.service.requests.holds import HELD, SHORTEST, Held, Holds


def test_polls_are_counted_while_they_are_held_and_their_time_is_noted_afterwards() -> None:
    seen: list[float] = []
    holds = Holds(seen.append)

    async def poll(news: asyncio.Event) -> float:
        held = Held()
        HELD.set(held)
        with holds.hold():
            await news.wait()
        return held.seconds

    async def body() -> None:
        news = asyncio.Event()
        polls = [asyncio.create_task(poll(news)) for _ in range(3)]
        loop = asyncio.get_running_loop()
        begun = loop.time()
        while holds.count < 3 or loop.time() - begun < 2 * SHORTEST:  # noqa: ASYNC110
            await asyncio.sleep(0)
        assert seen == []
        news.set()
        took = await asyncio.gather(*polls)
        assert holds.count == 0
        assert sorted(seen) == sorted(took)
        assert min(took) >= SHORTEST

    asyncio.run(body())


def test_a_poll_that_is_answered_at_once_was_not_held() -> None:
    seen: list[float] = []
    holds = Holds(seen.append)
    for _ in range(100):
        with holds.hold():
            pass
    assert len(seen) < 100, "a machine may stop for a millisecond, and not each time"


def test_a_poll_whose_client_goes_away_is_not_held_any_more() -> None:
    holds = Holds(lambda _: None)

    async def body() -> None:
        async def poll() -> None:
            with holds.hold():
                await asyncio.Event().wait()

        task = asyncio.create_task(poll())
        while not holds.count:  # noqa: ASYNC110
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        assert holds.count == 0

    asyncio.run(body())
