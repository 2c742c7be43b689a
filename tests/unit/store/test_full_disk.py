"""What the store promises when there is no room: who waits, who fails, and that nothing half-written stays.

The room is that of the database file (`PRAGMA max_page_count`): SQLite reports the same of it as of a
full disk; tests/acceptance/test_full_disk.py fills a real one.
"""

from __future__ import annotations

import asyncio
import hashlib
import sqlite3
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from sqlalchemy import Connection, func, select
from sqlalchemy.exc import OperationalError

from sojourn.core import events as ev
from sojourn.store import Database, JobMeta, Unit, jobs
from sojourn.store import tables as t
from sojourn.store.blobs import PART, blob_size, read_blob, read_slice, stage, sweep_parts, unstage
from sojourn.store.database import run_all
from sojourn.store.database.disk_space import BALLAST, MB, DiskSpace, StoreFull, no_room
from sojourn.store.database.sqlite import sqlite_engine
from sojourn.store.migrations.upgrade import MIGRATIONS, upgrade
from tests.harness.lane import LaneHarness
from tests.unit.store.test_store import accepted, people

Run = Callable[[Callable[[Database], Awaitable[None]]], None]
LARGE = bytes(range(256)) * (3 * PART // 256) + b"and a rest"


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Run a test's coroutine with an open store that has two users."""

    def runner(body: Callable[[Database], Awaitable[None]]) -> None:
        async def whole() -> None:
            store = await Database.open(tmp_path / "s.db")
            try:
                await people(store)
                await body(store)
            finally:
                store.close()

        asyncio.run(whole())

    return runner


def name_of(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


async def room(store: Database, more: int) -> None:
    """From now on the database may grow by so many pages of 4 kB."""

    def limit(c: Connection) -> None:
        pages = c.exec_driver_sql("PRAGMA page_count").scalar() or 0
        c.exec_driver_sql(f"PRAGMA max_page_count = {pages + more}")

    def now() -> None:  # not through the writer, which may be waiting for just this
        with store._write_engine.connect() as connection:
            limit(connection)

    await asyncio.to_thread(now)


async def rows(store: Database) -> tuple[int, int]:
    """How many blobs and parts there are."""

    def work(c: Connection) -> tuple[int, int]:
        blobs, parts = (c.scalar(select(func.count()).select_from(x)) for x in (t.blobs, t.blob_parts))
        return blobs or 0, parts or 0

    return await store.read(work)


def unit(*blobs: bytes) -> Unit:
    return Unit("device", [], {}, {name_of(data): data for data in blobs})


@pytest.mark.parametrize("staged", [True, False])
def test_large_bytes_are_read_back_whole_and_in_slices_however_they_were_written(
    run: Run, staged: bool
) -> None:
    digest = name_of(LARGE)

    async def body(store: Database) -> None:
        blobs = {digest: LARGE}
        assert await stage(store, blobs if staged else {}) == ([digest] if staged else [])
        assert await store.read(read_blob, digest) is None, "not before it is committed"
        await store.commit(unit(LARGE))
        assert await rows(store) == (1, 4 if staged else 0)
        assert await store.read(read_blob, digest) == LARGE

        def check(c: Connection) -> None:
            assert blob_size(c, digest) == len(LARGE)
            for start, length in ((0, 7), (PART - 3, 6), (PART, PART), (5, 2 * PART), (len(LARGE) - 2, 9)):
                assert read_slice(c, digest, start, length) == LARGE[start : start + length]
            assert read_slice(c, digest, len(LARGE), 5) == b""
            assert read_slice(c, "unknown", 0, 5) == b""
            assert (blob_size(c, "unknown"), read_blob(c, "unknown")) == (None, None)

        await store.read(check)

    run(body)


def test_others_commits_need_not_wait_for_large_bytes(run: Run) -> None:
    """A transaction is at most one part long, so somebody else's is in between (L12)."""
    data = bytes(40 * PART)

    async def body(store: Database) -> None:
        staging = asyncio.ensure_future(stage(store, {name_of(data): data}))
        for _ in range(5):
            await store.write(lambda _: None)
            assert not staging.done()
        await staging

    run(body)


def test_bytes_for_which_there_is_no_room_leave_nothing_and_small_commits_go_on(run: Run) -> None:
    async def body(store: Database) -> None:
        told: list[str] = []
        store.when_full(told.append)
        await room(store, 400)  # a part fits, three do not
        with pytest.raises(StoreFull, match="full"):
            await stage(store, {name_of(LARGE): LARGE})
        await store.commit(unit(b"small"))
        assert await rows(store) == (1, 0)
        assert told
        assert "full" in told[0]
        await room(store, 4000)
        await stage(store, {name_of(LARGE): LARGE})
        await store.commit(unit(LARGE))
        assert await store.read(read_blob, name_of(LARGE)) == LARGE

    run(body)


def test_the_step_of_a_lane_waits_for_room_and_others_are_refused_meanwhile(run: Run) -> None:
    """Memory is ahead of the store by that step: it is neither lost nor overtaken by another step."""

    async def body(store: Database) -> None:
        full = asyncio.Event()
        store.when_full(lambda _: full.set())
        await room(store, 0)
        order: list[str] = []
        first = store.commit(unit(bytes(60_000)), lambda _: order.append("first"))
        await full.wait()
        second = store.commit(unit(b"second"), lambda _: order.append("second"))
        with pytest.raises(StoreFull):
            await store.write(lambda c: c.execute(select(t.meta)).all())
        assert await store.read(read_blob, "x") is None, "it can be read"
        assert not first.done()
        await room(store, 1000)
        await asyncio.gather(first, second)
        assert order == ["first", "second"]
        assert await rows(store) == (2, 0)

    run(body)


def test_a_store_that_is_closed_on_a_full_disk_does_not_wait(run: Run) -> None:
    async def body(store: Database) -> None:
        full = asyncio.Event()
        store.when_full(lambda _: full.set())
        await room(store, 0)
        step = store.commit(unit(bytes(60_000)))
        await full.wait()
        store.hurry()
        with pytest.raises(StoreFull):
            await step

    run(body)


def test_a_fault_that_is_not_about_room_is_told_as_it_is(run: Run) -> None:
    async def body(store: Database) -> None:
        with pytest.raises(OperationalError, match="no such table") as error:
            await store.write(lambda c: c.exec_driver_sql("SELECT * FROM nowhere"))
        assert not no_room(error.value)
        assert not no_room(ValueError())

    run(body)


def test_parts_that_were_dropped_before_their_commit_are_written_with_it(run: Run) -> None:
    """Another job with the same bytes was deleted in between."""

    async def body(store: Database) -> None:
        digest = name_of(LARGE)
        await stage(store, {digest: LARGE})
        unstage(store, [digest])
        await store.commit(unit(LARGE))
        assert await rows(store) == (1, 0)
        assert await store.read(read_blob, digest) == LARGE
        assert await stage(store, {digest: LARGE}) == [], "it is there"
        unstage(store, [digest])
        assert await store.read(read_blob, digest) == LARGE, "what is named stays"

    run(body)


def test_what_a_process_staged_and_never_named_is_swept_at_the_next_start(run: Run) -> None:
    async def body(store: Database) -> None:
        await stage(store, {name_of(LARGE): LARGE})
        other = LARGE[1:]
        await stage(store, {name_of(other): other})
        await store.commit(unit(other))
        assert await rows(store) == (1, 8)
        await store.write(jobs.forget_params)
        assert await rows(store) == (1, 8), "while the service runs, a job may still be about to name it"
        await store.write(run_all, jobs.forget_params, sweep_parts)
        assert await rows(store) == (1, 4)

    run(body)


def stored(c: Connection) -> int:
    """By hand: the bytes that ann's jobs name."""
    return sum(
        blob_size(c, digest) or 0
        for row in c.execute(
            select(t.jobs.c.params_hash, t.jobs.c.result_hash, t.jobs.c.logs_hash).where(
                t.jobs.c.project_id == "ann"
            )
        )
        for digest in row
        if digest is not None
    )


def test_r50_what_a_project_stores_is_counted_through_every_change(run: Run) -> None:
    async def body(store: Database) -> None:
        world = LaneHarness()

        async def agrees(expected: int) -> None:
            assert await store.read(jobs.stored_bytes, "ann") == {"ann": expected}
            assert await store.read(stored) == expected

        async def step(*events: ev.Event, meta: dict[str, JobMeta], **blobs: bytes) -> None:
            effects = [effect for event in events for effect in world.do(event)]
            await stage(store, {name_of(data): data for data in blobs.values()})
            await store.commit(Unit("device", effects, meta, {name_of(b): b for b in blobs.values()}))

        body_of = {name: name.encode() * 100 for name in ("a1", "a2")}
        a1 = JobMeta(params_hash=name_of(body_of["a1"]), private=True)
        a2 = JobMeta(params_hash=name_of(body_of["a2"]))
        await step(accepted("a1", 1), ev.JobPrepared("a1"), meta={"a1": a1}, x=body_of["a1"])
        await agrees(200)
        await step(accepted("a2", 2), ev.JobPrepared("a2"), meta={"a2": a2}, x=body_of["a2"])
        await agrees(400)
        a1.result_hash, a1.logs_hash = name_of(LARGE), name_of(b"said")
        await step(ev.RunEnded("a1", 1, ev.Outcome.COMPLETED), meta={"a1": a1}, x=LARGE, y=b"said")
        await agrees(404 + len(LARGE))
        await store.must_write(jobs.forget_params, "a1")
        await agrees(204 + len(LARGE))
        await store.write(jobs.take_result, "a1", "read")
        await agrees(204)
        await store.write(jobs.remove, "a1")
        await agrees(200)
        a2.result_hash = name_of(body_of["a2"])  # bytes that a job names twice count twice
        await step(ev.RunEnded("a2", 1, ev.Outcome.COMPLETED), meta={"a2": a2})
        await agrees(400)
        await store.write(jobs.remove, "a2")
        await agrees(0)
        assert await rows(store) == (0, 0)

    run(body)


def test_r50_what_was_stored_before_the_migration_is_counted(tmp_path: Path) -> None:
    from alembic import command
    from alembic.config import Config

    engine = sqlite_engine(tmp_path / "s.db", writer=True)
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "0002")
        for table in ("users", "projects"):
            more = ("operator", 0) if table == "users" else ("crn", "'crn:p'")
            connection.exec_driver_sql(
                f"INSERT INTO {table} (id, name, created_at, {more[0]}) VALUES ('p', 'p', 0, {more[1]})"
            )
        connection.exec_driver_sql("INSERT INTO blobs VALUES ('h', x'010203'), ('r', zeroblob(5000))")
        there = {row[1] for row in connection.exec_driver_sql("PRAGMA table_info(jobs)")}
        columns = {c.name: "0" for c in t.jobs.c if not c.nullable and c.name in there}
        columns |= {"id": "'j'", "user_id": "'p'", "project_id": "'p'", "state": "'completed'"}
        columns |= {"params_hash": "'h'", "result_hash": "'r'"}
        connection.exec_driver_sql(
            f"INSERT INTO jobs ({', '.join(columns)}) VALUES ({', '.join(columns.values())})"
        )
    upgrade(engine)
    with engine.connect() as connection:
        assert connection.execute(select(t.project_storage)).all() == [("p", 5003)]
        assert read_blob(connection, "r") == bytes(5000)


def test_the_reserve_is_at_most_a_tenth_of_the_disk_and_its_ballast_is_let_go_once(tmp_path: Path) -> None:
    of = DiskSpace(tmp_path, 100 * MB)
    assert of.reserve == 100 * MB
    assert of.fill()
    ballast = tmp_path / BALLAST
    assert ballast.stat().st_blocks * 512 >= 2 * MB, "it takes its room"
    assert of.release()
    assert not of.release()
    assert not ballast.exists()
    whole = DiskSpace(tmp_path, 10**18)
    assert whole.reserve < 10**17
    none = DiskSpace(tmp_path, 0)
    assert none.fill()
    assert not ballast.exists()


@pytest.mark.parametrize(
    ("code", "room"),
    [
        (sqlite3.SQLITE_FULL, True),
        (sqlite3.SQLITE_IOERR_WRITE, True),  # a quota, or a limit of the file's size
        (sqlite3.SQLITE_IOERR_FSYNC, False),
        (sqlite3.SQLITE_IOERR_READ, False),
        (sqlite3.SQLITE_CORRUPT, False),
    ],
)
def test_which_errors_of_the_database_are_about_room(code: int, room: bool) -> None:
    error = sqlite3.OperationalError("it")
    error.sqlite_errorcode = code
    assert no_room(error) is room
    assert no_room(OperationalError("statement", {}, error)) is room
