"""Large values are read in pieces, and no reader keeps the write-ahead log from being taken in."""

from __future__ import annotations

import asyncio
import random
import sqlite3
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from sqlalchemy import delete

from sojourn.store import Store
from sojourn.store import pieces as module
from sojourn.store import tables as t
from sojourn.store.unit import put_blobs

TEXT = random.Random(1).randbytes(3_000_001)
Body = Callable[[Store], Awaitable[None]]


def run(folder: Path, body: Body) -> None:
    async def whole() -> None:
        store = await Store.open(folder / "s.db")
        try:
            await store.write(lambda c: put_blobs(c, {"large": TEXT, "small": b"abc"}))
            await body(store)
        finally:
            store.close()

    asyncio.run(whole())


def test_any_piece_is_what_was_written(tmp_path: Path) -> None:
    async def body(store: Store) -> None:
        reading = store.reading("large")
        for at, size in ((0, 10), (1_000_000, 1_000_000), (999, 1), (3_000_000, 1), (2_999_000, 1001)):
            assert await reading.read(at, size) == TEXT[at : at + size]
        reading.close()

    run(tmp_path, body)


def test_many_read_at_once(tmp_path: Path) -> None:
    async def one(store: Store, step: int) -> bytes:
        reading = store.reading("large")
        parts = [await reading.read(at, min(step, len(TEXT) - at)) for at in range(0, len(TEXT), step)]
        reading.close()
        return b"".join(parts)

    async def body(store: Store) -> None:
        found = await asyncio.gather(*(one(store, 400_000 + n) for n in range(3 * module.MOST_OPEN)))
        assert all(text == TEXT for text in found)

    run(tmp_path, body)


def test_what_is_deleted_is_not_there(tmp_path: Path) -> None:
    async def body(store: Store) -> None:
        assert await store.reading("none").read(0, 10) == b""
        await store.write(lambda c: c.execute(delete(t.blobs).where(t.blobs.c.hash == "large")) and None)
        assert await store.reading("large").read(0, 10) == b""

    run(tmp_path, body)


def test_a_small_text_comes_whole_and_of_a_large_one_its_size(tmp_path: Path) -> None:
    async def body(store: Store) -> None:
        assert await store.blob_up_to("small", 3) == b"abc"
        assert await store.blob_up_to("small", 2) == 3
        assert await store.blob_up_to("large", 1_000_000) == len(TEXT)
        assert await store.blob_up_to("none", 10) is None

    run(tmp_path, body)


@pytest.mark.parametrize("pause", ["idle", "brisk for too long"])
def test_a_reader_does_not_keep_the_log_from_being_taken_in(
    tmp_path: Path, pause: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "IDLE" if pause == "idle" else "LONGEST", 0.0)

    async def body(store: Store) -> None:
        reading = store.reading("large")
        await reading.read(0, 10)
        await store.write(lambda c: put_blobs(c, {"other": TEXT}))
        if pause == "idle":
            while store._pieces.open:  # the timer of the loop, then the thread
                await store.ping()
        else:
            assert await reading.read(10, 10) == TEXT[10:20]
        with sqlite3.connect(store.path) as other:
            busy, left, done = other.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
        assert (busy, left) == (0, done), "all of the log is in the database"
        assert await reading.read(20, 10) == TEXT[20:30]

    run(tmp_path, body)
