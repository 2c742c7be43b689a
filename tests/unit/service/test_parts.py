"""Long lists are made in parts."""

from __future__ import annotations

import asyncio
import itertools

from sojourn.service.requests.parts import in_parts


def test_others_have_their_turn_while_a_long_list_is_made() -> None:
    made: list[int] = []
    seen: list[int] = []

    async def other() -> None:
        while len(made) < 200:
            seen.append(len(made))
            await asyncio.sleep(0)

    def make(number: int) -> int:
        made.append(number)
        return number * 2

    async def both() -> list[int]:
        found, _ = await asyncio.gather(in_parts(make, range(200)), other())
        return found

    assert asyncio.run(both()) == [number * 2 for number in range(200)]
    assert max(after - before for before, after in itertools.pairwise(seen)) <= 20


def test_a_short_list_is_made_at_once_and_an_empty_one_is_empty() -> None:
    async def alone() -> tuple[list[int], list[int]]:
        done = asyncio.ensure_future(in_parts(abs, [-1, -2]))
        await asyncio.sleep(0)
        assert done.done()
        return done.result(), await in_parts(abs, [])

    assert asyncio.run(alone()) == ([1, 2], [])
