"""Large values are read in pieces, whether they lie in parts or, as small and old ones do, in one row."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from sojourn.store import Database
from sojourn.store.blobs import PART, drop_blob, put_blobs, read_blob, read_slice, read_up_to, stage

TEXT = random.Random(1).randbytes(3 * PART + 1)
Body = Callable[[Database], Awaitable[None]]


@pytest.fixture(params=["in parts", "in one row"])
def run(tmp_path: Path, request: pytest.FixtureRequest) -> Callable[[Body], None]:
    async def whole(body: Body) -> None:
        store = await Database.open(tmp_path / "s.db")
        try:
            if request.param == "in parts":
                assert await stage(store, {"large": TEXT, "small": b"abc"}) == ["large"]
            await store.write(lambda c: put_blobs(c, {"large": TEXT, "small": b"abc"}))
            await body(store)
        finally:
            store.close()

    return lambda body: asyncio.run(whole(body))


def test_any_piece_is_what_was_written(run: Callable[[Body], None]) -> None:
    pieces = (
        (0, 10),
        (PART, PART),
        (PART - 1, 2),
        (999, 1),
        (3 * PART, 1),
        (3 * PART - 999, 1000),
        (5, 2 * PART),
    )

    async def body(store: Database) -> None:
        for at, size in pieces:
            assert await store.read(read_slice, "large", at, size) == TEXT[at : at + size]
        assert await store.read(read_slice, "large", len(TEXT), 10) == b""
        assert await store.read(read_slice, "small", 1, 10) == b"bc"
        assert await store.read(read_blob, "large") == TEXT

    run(body)


def test_many_read_at_once(run: Callable[[Body], None]) -> None:
    async def one(store: Database, step: int) -> bytes:
        return b"".join([await store.read(read_slice, "large", at, step) for at in range(0, len(TEXT), step)])

    async def body(store: Database) -> None:
        found = await asyncio.gather(*(one(store, 400_000 + n) for n in range(20)))
        assert all(text == TEXT for text in found)

    run(body)


def test_what_is_deleted_is_not_there(run: Callable[[Body], None]) -> None:
    async def body(store: Database) -> None:
        assert await store.read(read_slice, "none", 0, 10) == b""
        await store.write(lambda c: drop_blob(c, "large"))
        assert await store.read(read_slice, "large", 0, 10) == b""
        assert await store.read(read_up_to, "large", 10) is None

    run(body)


def test_a_small_text_comes_whole_and_of_a_large_one_its_size(run: Callable[[Body], None]) -> None:
    async def body(store: Database) -> None:
        assert await store.read(read_up_to, "small", 3) == b"abc"
        assert await store.read(read_up_to, "small", 2) == 3
        assert await store.read(read_up_to, "large", PART) == len(TEXT)
        assert await store.read(read_up_to, "large", len(TEXT)) == TEXT
        assert await store.read(read_up_to, "none", 10) is None

    run(body)
