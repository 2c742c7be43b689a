"""What the history promises to those who follow it: whole, in order, and whose each entry is."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from sqlalchemy import Connection, insert, select

from sojourn.core import Mode
from sojourn.core import events as ev
from sojourn.core.model import DeviceMode
from sojourn.store import Database, JobMeta, Unit, calibrations, history
from sojourn.store import tables as t
from sojourn.store.calibrations import Calibration
from sojourn.store.database.sqlite import sqlite_engine
from sojourn.store.history import Entry, Kind, Wanted
from sojourn.store.migrations.upgrade import MIGRATIONS, upgrade
from tests.harness.lane import LaneHarness

Run = Callable[[Callable[[Database], Awaitable[None]]], None]


@pytest.fixture
def run(tmp_path: Path) -> Run:
    def runner(body: Callable[[Database], Awaitable[None]]) -> None:
        async def whole() -> None:
            store = await Database.open(tmp_path / "s.db")
            try:
                await store.write(_people)
                await body(store)
            finally:
                store.close()

        asyncio.run(whole())

    return runner


def _people(c: Connection) -> None:
    for name in ("ann", "bob"):
        c.execute(insert(t.users), {"id": name, "name": name, "operator": False, "created_at": 0.0})
        c.execute(insert(t.projects), {"id": name, "name": name, "crn": f"crn:{name}", "created_at": 0.0})


async def commit(store: Database, world: LaneHarness, *events: ev.Event) -> None:
    effects = [effect for event in events for effect in world.do(event)]
    metas = {event.job_id: JobMeta() for event in events if isinstance(event, ev.JobAccepted)}
    await store.commit(Unit("device", effects, metas))


def accepted(name: str, seq: int, user: str = "ann", session: str | None = None) -> ev.JobAccepted:
    return ev.JobAccepted(name, seq, user, user, "sampler", session)


async def every(store: Database, wanted: Wanted | None = None) -> list[Entry]:
    found, reached = await store.read(history.page, wanted or Wanted(), 0, 1_000_000, 1000)
    assert reached == history.SPAN
    return found


def test_an_entry_says_of_what_it_is_and_whose(run: Run) -> None:
    async def body(store: Database) -> None:
        world = LaneHarness()
        await commit(store, world, ev.SessionOpened("S", "ann", "ann", Mode.BATCH, 100.0))
        await commit(store, world, accepted("a", 1, session="S"), accepted("b", 2, "bob"))
        await commit(store, world, ev.DeviceHalted(DeviceMode.PAUSED, "op", "new fridge", None))
        await commit(store, world, ev.DeviceHalted(DeviceMode.PAUSED, "op", "another word", None))
        await commit(store, world, ev.DeviceResumed("op"))
        found = await every(store)
        assert [(e.kind, e.entity, e.user_id, e.project_id, e.session_id) for e in found] == [
            ("session", "S", "ann", "ann", "S"),
            ("job", "a", "ann", "ann", "S"),
            ("job", "b", "bob", "bob", None),
            ("device", "device", None, None, None),
            ("device", "device", None, None, None),
        ]
        halted, resumed = found[-2:]
        assert (halted.cause, halted.before, halted.after, halted.reason) == (
            "halted",
            "online",
            "paused",
            "new fridge",
        )
        assert (resumed.cause, resumed.before, resumed.after, resumed.reason) == (
            "resumed",
            "paused",
            "online",
            None,
        )

    run(body)


def test_a_calibration_is_an_entry_from_the_one_before_to_its_own(run: Run) -> None:
    async def body(store: Database) -> None:
        for number, job in ((1, None), (3, "c1")):  # the second one was not stored
            made = Calibration("device", number, 5.0 + number, job, "hash", None)
            await store.write(calibrations.add, made, {"hash": b"{}"})
        assert [(e.kind, e.entity, e.cause, e.before, e.after) for e in await every(store)] == [
            ("calibration", "cal-1", "found", None, "cal-1"),
            ("calibration", "cal-3", "measured", "cal-1", "cal-3"),
        ]

    run(body)


def test_the_table_and_a_live_stream_take_the_same_entries_for_every_filter(run: Run) -> None:
    async def body(store: Database) -> None:
        world = LaneHarness()
        await commit(store, world, ev.SessionOpened("S", "ann", "ann", Mode.BATCH, 100.0))
        await commit(store, world, accepted("S", 1, session="S"), accepted("b", 2, "bob"))
        await commit(store, world, ev.DeviceHalted(DeviceMode.DRAINING, "op", "", None))
        found = await every(store)
        filters = [
            Wanted(device="device"),
            Wanted(device="other"),
            Wanted(job="S"),
            Wanted(session="S"),
            Wanted(project="bob"),
            Wanted(kinds=frozenset({Kind.DEVICE})),
            Wanted(session="S", kinds=frozenset({Kind.JOB, Kind.DEVICE})),
        ]
        sizes = []
        for wanted in filters:
            taken = await every(store, wanted)
            assert taken == [entry for entry in found if wanted.takes(entry)]
            sizes.append(len(taken))
        assert sizes == [4, 0, 1, 2, 1, 1, 1]

    run(body)


def test_a_page_ends_with_its_limit_or_its_span_and_says_how_far_it_reaches(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(history, "SPAN", 4)

    async def body(store: Database) -> None:
        world = LaneHarness()
        for number in range(10):
            await commit(store, world, accepted(f"j{number}", number, "bob" if number == 8 else "ann"))
        pages = []
        last = 0
        while last < 9:
            found, last = await store.read(history.page, Wanted(project="bob"), last, 9, 1)
            pages.append(([entry.entity for entry in found], last))
        assert pages == [([], 4), ([], 8), (["j8"], 9)]
        found, last = await store.read(history.page, Wanted(), 2, 9, 3)
        assert ([entry.id for entry in found], last) == ([3, 4, 5], 5)

    run(body)


def test_it_is_known_from_which_id_on_the_history_is_whole(run: Run) -> None:
    async def body(store: Database) -> None:
        assert await store.read(history.ends) == (0, 0)
        world = LaneHarness()
        for number in range(5):
            await commit(store, world, accepted(f"j{number}", number))
        assert await store.read(history.ends) == (0, 5)
        await store.write(history.remove, [1, 3])
        assert await store.read(history.ends) == (3, 5)
        await store.write(history.remove, [2])
        assert await store.read(history.ends) == (3, 5)
        await store.write(history.remove, [4])
        assert await store.read(history.ends) == (4, 5)

    run(body)


def test_what_a_reader_has_seen_is_known_on_the_event_loop_when_told_is_done(run: Run) -> None:
    """The kind: a row that is read between its commit and the call that puts it on record."""

    async def body(store: Database) -> None:
        known: set[int] = set()
        written = [store.submit(_note(number), _adding(known, number)) for number in range(200)]
        seen: set[int] = set()
        while len(seen) < 200:
            seen = set(await store.read(_noted))
            await store.told()
            assert seen <= known
        await asyncio.gather(*written)

    run(body)


def _adding(known: set[int], number: int) -> Callable[[None], None]:
    return lambda _: known.add(number)


def _note(number: int) -> Callable[[Connection], None]:
    return lambda c: history.add(
        c, Kind.DEVICE, str(number), at=0.0, device="d", cause="x", before="a", after="b"
    )


def _noted(connection: Connection) -> list[int]:
    return [int(entity) for entity in connection.execute(select(t.story.c.entity)).scalars()]


def test_steps_of_before_the_migration_get_their_kind_and_owner(tmp_path: Path) -> None:
    from alembic import command
    from alembic.config import Config

    engine = sqlite_engine(tmp_path / "s.db", writer=True)
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    with engine.begin() as c:
        config.attributes["connection"] = c
        command.upgrade(config, "0006")
        c.exec_driver_sql("INSERT INTO users (id, name, operator, created_at) VALUES ('u', 'ann', 0, 0)")
        c.exec_driver_sql("INSERT INTO projects (id, name, crn, created_at) VALUES ('p', 'chem', 'c', 0)")
        c.exec_driver_sql(
            "INSERT INTO jobs (id, seq, device, user_id, project_id, program, kind, state, session_id, "
            "accepted_at, run_limit, attempt, crashes, detached, charged, private, warnings, tags, "
            "submit_digest) VALUES ('J', 1, 'd', 'u', 'p', 'sampler', 'user', 'queued', 'J', 0, 1, 0, 0, 0, "
            "0, 0, '[]', '[]', '')"
        )
        c.exec_driver_sql(
            "INSERT INTO sessions (id, device, user_id, project_id, mode, state, accepting, created_at, ttl, "
            "job_seconds, held_seconds) VALUES ('J', 'd', 'u', 'p', 'batch', 'open', 1, 0, 1, 0, 0)"
        )
        for number, entity, after in ((3, "J", "open"), (4, "J", "queued"), (5, "gone", "completed")):
            c.exec_driver_sql(
                "INSERT INTO story (id, at, device, entity, cause, after) VALUES (?, 0, 'd', ?, 'x', ?)",
                (number, entity, after),
            )
    upgrade(engine)
    with engine.connect() as connection:
        found, _ = history.page(connection, Wanted(), 0, 9, 9)
        assert [(e.id, e.kind, e.user_id, e.project_id, e.session_id) for e in found] == [
            (3, "session", "u", "p", "J"),
            (4, "job", "u", "p", "J"),
            (5, "job", None, None, None),
        ]
        assert history.ends(connection) == (5, 5)
