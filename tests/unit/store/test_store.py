"""What the store promises: everything or nothing, in order, and the invariants once more."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from sqlalchemy import Connection, insert, select, update
from sqlalchemy.exc import DatabaseError, IntegrityError

from sojourn.core import JobKind, Mode
from sojourn.core import events as ev
from sojourn.core.effects import Charge, JobChanged
from sojourn.core.fair_share.usage import UsageMeter
from sojourn.store import Database, JobMeta, Unit, history, jobs, ledger, sessions
from sojourn.store import tables as t
from sojourn.store.blobs import read_blob
from sojourn.store.database.sqlite import sqlite_engine
from sojourn.store.jobs import JobQuery, _conditions
from sojourn.store.migrations.upgrade import HEAD, MIGRATIONS, SchemaTooNew, current, upgrade
from tests.harness.lane import LaneHarness

Run = Callable[[Callable[[Database], Awaitable[None]]], None]


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


async def people(store: Database) -> None:
    def work(c: Connection) -> None:
        for name in ("ann", "bob"):
            c.execute(insert(t.users), {"id": name, "name": name, "operator": False, "created_at": 0.0})
            c.execute(insert(t.projects), {"id": name, "name": name, "crn": f"crn:{name}", "created_at": 0.0})

    await store.write(work)


async def commit(
    store: Database, world: LaneHarness, *events: ev.Event, meta: dict[str, JobMeta] | None = None
) -> None:
    effects = [effect for event in events for effect in world.do(event)]
    await store.commit(Unit("device", effects, meta or {}, {"h": b"body"}))


def accepted(name: str, seq: int, user: str = "ann", session: str | None = None) -> ev.JobAccepted:
    return ev.JobAccepted(name, seq, user, user, "sampler", session)


def test_what_a_lane_knows_comes_back_the_same(run: Run) -> None:
    async def body(store: Database) -> None:
        world = LaneHarness()
        meta = {"a1": JobMeta(tags=("x", "y"), params_hash="h", submit_digest="d", warnings=("w",))}
        await commit(store, world, ev.SessionOpened("A", "ann", "ann", Mode.BATCH, 100.0))
        await commit(store, world, accepted("a1", 1, session="A"), ev.JobPrepared("a1"), meta=meta)
        await commit(store, world, accepted("b1", 2, "bob"))
        found, opened = await store.read(jobs.live), await store.read(sessions.live)
        assert {s.job.id: s.job for s in found} == world.lane.jobs
        assert {s.session.id: s.session for s in opened} == world.lane.sessions
        assert next(s.meta for s in found if s.job.id == "a1") == meta["a1"]
        assert [state for state, _ in opened[0].timestamps] == ["open", "active"]
        assert await store.read(jobs.last_seq) == 2

    run(body)


def test_d22_a_jobs_limit_its_estimate_and_who_set_it_come_back(run: Run) -> None:
    """Stated, its project's, its program's, and from its estimate; prepared or not."""

    async def body(store: Database) -> None:
        world = LaneHarness(estimate_factor=3.0, estimate_floor=60.0)
        asked = {"own": JobMeta(cost=500)}
        limits = {
            "own": (500.0, True),
            "project": (500.0, False),
            "long": (40.0, False),
            "none": (None, True),
        }
        for seq, (name, (own, stated)) in enumerate(limits.items()):
            accepted = ev.JobAccepted(
                name, seq, "ann", "ann", "sampler", None, own, JobKind.USER, stated=stated
            )
            await commit(store, world, accepted, ev.JobPrepared(name, 30.0), meta=asked)
        waits = ev.JobAccepted("waits", 9, "ann", "ann", "sampler", None, 500.0, JobKind.USER, stated=False)
        await commit(store, world, waits)
        live = await store.read(jobs.live)
        assert {s.job.id: s.job for s in live} == world.lane.jobs
        found = {s.job.id: (s.job.limit, s.job.estimate) for s in live}
        assert found == {
            "own": (500.0, 30.0),
            "project": (90.0, 30.0),
            "long": (40.0, 30.0),
            "none": (90.0, 30.0),
            "waits": (500.0, None),
        }

    run(body)


def test_final_jobs_and_closed_sessions_are_not_live(run: Run) -> None:
    async def body(store: Database) -> None:
        world = LaneHarness()
        await commit(store, world, ev.SessionOpened("A", "ann", "ann", Mode.DEDICATED))
        await commit(store, world, accepted("a1", 1, session="A"), ev.JobPrepared("a1"))
        world.now += 5
        await commit(store, world, ev.RunEnded("a1", 1, ev.Outcome.COMPLETED), ev.SessionClosed("A"))
        assert await store.read(jobs.live) == []
        assert await store.read(sessions.live) == []
        stored = await store.read(jobs.get, "a1")
        assert stored is not None
        assert stored.job == world.jobs["a1"]
        assert await store.read(ledger.charged, 0.0, 1.0) == [("ann", "ann", 5.0, world.now)]

    run(body)


def test_r48_charges_of_a_step_come_back_as_one_and_leave_the_window_when_they_did(run: Run) -> None:
    async def body(store: Database) -> None:
        world = LaneHarness(fair_share_window=672 * 60.0)  # kept by the minute (D18)
        runs = ("ann", 20), ("bob", 5), ("ann", 10), ("ann", 30), ("bob", 40.5)
        for i, (user, length) in enumerate(runs):
            await commit(store, world, accepted(f"j{i}", i, user), ev.JobPrepared(f"j{i}"))
            world.now += length
            await commit(store, world, ev.RunEnded(f"j{i}", 1, ev.Outcome.COMPLETED))
        charges = await store.read(ledger.charged, 0.0, world.lane.usage_step)
        assert sum(seconds for _, _, seconds, _ in charges) == 105.5
        assert 2 < len(charges) < 5
        again = UsageMeter(672 * 60.0)
        for user, project, seconds, at in charges:
            again.charge(project, user, seconds, at)
        for _ in range(160):
            world.now += 1
            for fair in (again, world.lane.fair):
                fair.expire(world.now + 672 * 60.0 - 106)
            assert again.used("ann") == world.lane.used("ann")
            assert again.used("bob") == world.lane.used("bob")
        assert again.used("ann") == again.used("bob") == 0

    run(body)


def test_a_job_that_ends_and_the_next_that_starts_fit_in_one_unit(run: Run) -> None:
    async def body(store: Database) -> None:
        world = LaneHarness()
        for i in (1, 2):
            await commit(store, world, accepted(f"a{i}", i), ev.JobPrepared(f"a{i}"))
        await commit(store, world, ev.RunEnded("a1", 1, ev.Outcome.COMPLETED))
        assert [s.job.state for s in await store.read(jobs.live)] == ["running"]

    run(body)


def test_ids_of_the_history_grow_in_the_order_of_the_commits_over_all_devices(run: Run) -> None:
    async def body(store: Database) -> None:
        worlds = {"one": LaneHarness(), "two": LaneHarness()}
        committed: list[str] = []
        doubled: list[asyncio.Future[None]] = []

        def step(device: str, *events: ev.Event) -> asyncio.Future[None]:
            """What its lane does is committed, and noted when that is so."""
            effects = [effect for event in events for effect in worlds[device].do(event)]
            changed = [e.job.id for e in effects if isinstance(e, JobChanged) and e.before != e.job.state]
            return store.commit(Unit(device, effects), lambda _: committed.extend(changed))

        for i in range(40):
            device = ("one", "two")[i % 3 % 2]
            job = accepted(f"{device}{i}", i)
            step(device, job)
            if i % 7 == 0:  # fails, with the group that it is in: the others are run again by themselves
                doubled.append(store.commit(Unit(device, [*LaneHarness().do(job)])))
            step(device, ev.JobPrepared(job.job_id))
        await step("one", ev.Tick())
        failures = await asyncio.gather(*doubled, return_exceptions=True)
        assert {type(failure) for failure in failures} == {IntegrityError}
        rows = await store.read(_whole_history)
        assert [entity for _, entity in rows] == committed
        assert [row_id for row_id, _ in rows] == sorted({row_id for row_id, _ in rows})
        (first, second, *_) = await store.read(history.of, "one0")
        states = (first.before, first.after, second.before, second.after)
        assert states == (None, "accepted", "accepted", "queued")
        assert first.id < second.id
        assert (first.device, first.cause, second.cause) == ("one", "accepted", "prepared")

    run(body)


def _whole_history(connection: Connection) -> list[tuple[int, str]]:
    rows = connection.execute(select(t.story.c.id, t.story.c.entity).order_by(t.story.c.id))
    return [(row.id, row.entity) for row in rows]


def test_an_id_of_the_history_is_not_given_again_when_all_that_is_old_was_deleted(run: Run) -> None:
    async def body(store: Database) -> None:
        world = LaneHarness()
        for i in range(2):
            await commit(store, world, accepted(f"a{i}", i), ev.JobPrepared(f"a{i}"))
            world.now += 5
            await commit(store, world, ev.RunEnded(f"a{i}", 1, ev.Outcome.COMPLETED))
        newest, _ = (await store.read(_whole_history))[-1]
        old = await store.read(history.old, world.now + 1, after_id=0, limit=100)
        await store.write(history.remove, old)
        assert [row_id for row_id, _ in await store.read(_whole_history)] == [newest]
        await commit(store, world, accepted("b", 9))
        assert (await store.read(history.of, "b"))[0].id > newest

    run(body)


def test_two_running_jobs_on_a_device_are_refused_by_the_schema(run: Run) -> None:
    async def body(store: Database) -> None:
        world = LaneHarness()
        for i in (1, 2):
            await commit(store, world, accepted(f"a{i}", i), ev.JobPrepared(f"a{i}"))
        with pytest.raises(IntegrityError):
            await store.write(lambda c: c.execute(update(t.jobs).values(state="running")) and None)

    run(body)


def test_two_active_sessions_on_a_device_are_refused_by_the_schema(run: Run) -> None:
    async def body(store: Database) -> None:
        world = LaneHarness()
        for name in ("A", "B"):
            await commit(store, world, ev.SessionOpened(name, "ann", "ann", Mode.DEDICATED))
        with pytest.raises(IntegrityError):
            await store.write(lambda c: c.execute(update(t.sessions).values(state="active")) and None)

    run(body)


def test_a_ledger_row_cannot_be_changed(run: Run) -> None:
    async def body(store: Database) -> None:
        world = LaneHarness()
        await commit(store, world, accepted("a1", 1), ev.JobPrepared("a1"))
        world.now += 5
        await commit(store, world, ev.RunEnded("a1", 1, ev.Outcome.COMPLETED))
        assert any(isinstance(c, Charge) for c in world.charges)
        with pytest.raises(DatabaseError, match="append-only"):
            await store.write(lambda c: c.execute(update(t.ledger).values(seconds=0.0)) and None)

    run(body)


def test_a_unit_that_fails_leaves_nothing_and_its_neighbours_in_the_batch_stand(run: Run) -> None:
    async def body(store: Database) -> None:
        world = LaneHarness()
        good = Unit("device", [*world.do(accepted("a1", 1))], {}, {})
        bad = Unit("device", [*LaneHarness().do(accepted("b1", 1))], {}, {"blob": b"of the bad one"})
        last = Unit("device", [*world.do(accepted("a2", 2))], {}, {})
        results = await asyncio.gather(
            store.commit(good), store.commit(bad), store.commit(last), return_exceptions=True
        )
        assert [type(r).__name__ for r in results] == ["NoneType", "IntegrityError", "NoneType"]
        assert [s.job.id for s in await store.read(jobs.live)] == ["a1", "a2"]
        assert await store.read(read_blob, "blob") is None

    run(body)


def test_acts_follow_commits_in_their_order_even_when_nobody_waits(run: Run) -> None:
    async def body(store: Database) -> None:
        done: list[int] = []

        def act(number: int) -> Callable[[object], None]:
            return lambda _: done.append(number)

        futures = [store.submit(lambda _: None, act(i)) for i in range(500)]
        futures[0].cancel()
        await futures[-1]
        assert done == list(range(500))

    run(body)


def test_an_act_that_fails_is_told_to_its_caller_and_those_behind_it_are_served(run: Run) -> None:
    async def body(store: Database) -> None:
        acts: list[int] = []

        def act(number: int) -> None:
            if number == 1:
                raise ValueError("no")
            acts.append(number)

        def work(number: int) -> Callable[[Connection], int]:
            return lambda _: number

        done = [store.submit(work(n), act) for n in range(3)]
        answers = await asyncio.gather(*done, return_exceptions=True)
        assert (answers[0], type(answers[1]), answers[2], acts) == (0, ValueError, 2, [0, 2])

    run(body)


def test_the_list_counts_all_that_match_and_pages_through_them(run: Run) -> None:
    async def body(store: Database) -> None:
        world = LaneHarness()
        for i in range(1, 8):
            meta = {f"a{i}": JobMeta(tags=("odd", "all") if i % 2 else ("all",))}
            await commit(store, world, accepted(f"a{i}", i), meta=meta)
        both = JobQuery(tags=("odd", "all"))
        page, count = await store.read(jobs.page, both, limit=2, offset=1, ascending=False)
        assert ([s.job.id for s in page], count) == (["a5", "a3"], 4)
        page, count = await store.read(jobs.page, JobQuery(user="bob"), limit=2, offset=0, ascending=True)
        assert (page, count) == ([], 0)
        assert await store.write(jobs.set_tags, "a2", ["odd"])
        changed = await store.write(jobs.set_tags, "deleted-meanwhile", ["odd"])
        assert not changed, "a race, and not a fault of the store"
        _, count = await store.read(jobs.page, JobQuery(tags=("odd",)), limit=1, offset=0, ascending=True)
        assert count == 5
        assert await store.write(jobs.set_tags, "a2", []) is True
        await store.write(jobs.remove, "a2")
        assert await store.write(jobs.set_tags, "a2", ["odd"]) is False
        _, count = await store.read(jobs.page, JobQuery(tags=("odd",)), limit=1, offset=0, ascending=True)
        assert count == 4

    run(body)


@pytest.mark.parametrize(
    ("query", "index"),
    [
        (JobQuery(user="ann", project="ann", pending=True), "ix_jobs_live"),
        (JobQuery(user="ann", project="ann", session_id="s"), "ix_jobs_session"),
        (JobQuery(user="ann", project="ann", tags=("x",)), "ix_job_tags_tag"),
        (JobQuery(user="ann", project="ann", program="sampler"), "ix_jobs_owner"),
    ],
)
def test_a_list_of_few_jobs_does_not_walk_through_all_jobs(run: Run, query: JobQuery, index: str) -> None:
    async def body(store: Database) -> None:
        def plan(connection: Connection) -> str:
            listed = select(t.jobs).where(*_conditions(query)).order_by(t.jobs.c.seq.desc()).limit(10)
            text = str(listed.compile(connection, compile_kwargs={"literal_binds": True}))
            return " ".join(str(row) for row in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {text}"))

        found = await store.read(plan)
        assert index in found
        assert "SCAN jobs USING INDEX sqlite_autoindex" not in found

    run(body)


def test_deleting_a_job_keeps_bytes_that_another_job_names(run: Run) -> None:
    async def body(store: Database) -> None:
        world = LaneHarness()
        for i in (1, 2):
            await commit(store, world, accepted(f"a{i}", i), meta={f"a{i}": JobMeta(params_hash="h")})
        await store.write(jobs.remove, "a1")
        assert await store.read(read_blob, "h") == b"body"
        await store.write(jobs.remove, "a2")
        assert await store.read(read_blob, "h") is None

    run(body)


def test_r56_a_private_result_is_given_once(run: Run) -> None:
    async def body(store: Database) -> None:
        world = LaneHarness()
        await commit(store, world, accepted("a1", 1), meta={"a1": JobMeta(private=True, result_hash="h")})
        taken = await asyncio.gather(*(store.write(jobs.take_result, "a1", f"note {n}") for n in range(5)))
        assert sorted(data or b"" for data, _ in taken) == [b"", b"", b"", b"", b"body"]
        ((_, note),) = [(data, warnings) for data, warnings in taken if data]
        assert len(note) == 1
        assert {warnings for _, warnings in taken} == {note}
        stored = await store.read(jobs.get, "a1")
        assert stored is not None
        assert stored.meta.warnings == note
        assert await store.read(read_blob, "h") is None
        assert await store.write(jobs.take_result, "nothing", "note") == (None, ())

    run(body)


def test_the_schema_of_the_migrations_is_the_schema_of_the_tables(tmp_path: Path) -> None:
    from alembic.autogenerate import compare_metadata
    from alembic.migration import MigrationContext

    engine = sqlite_engine(tmp_path / "s.db", writer=True)
    upgrade(engine)
    with engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), t.metadata) == []
    assert current(engine) == HEAD
    assert max(p.name for p in (MIGRATIONS / "versions").glob("0*.py")).startswith(HEAD)


def test_jobs_of_before_the_drivers_word_may_run_again(tmp_path: Path) -> None:
    from alembic import command
    from alembic.config import Config

    engine = sqlite_engine(tmp_path / "s.db", writer=True)
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "0006")
        connection.exec_driver_sql(
            "INSERT INTO users (id, name, operator, created_at) VALUES ('u', 'ann', 0, 1.0)"
        )
        connection.exec_driver_sql(
            "INSERT INTO projects (id, name, crn, created_at) VALUES ('p', 'chem', 'crn:p', 7.0)"
        )
        connection.exec_driver_sql(
            "INSERT INTO jobs (id, seq, device, user_id, project_id, program, kind, state, accepted_at, "
            "run_limit, attempt, crashes, detached, charged, private, warnings, tags, submit_digest) VALUES "
            "('j', 1, 'lab', 'u', 'p', 'sampler', 'user', 'running', 1.0, 9.0, 1, 0, 0, 0.0, 0, "
            "'[]', '[]', 'd')"
        )
    upgrade(engine)
    with engine.connect() as connection:
        (stored,) = jobs.live(connection)
    assert stored.job.reruns


def test_projects_of_before_tags_have_none_after_the_migration(tmp_path: Path) -> None:
    from alembic import command
    from alembic.config import Config

    engine = sqlite_engine(tmp_path / "s.db", writer=True)
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "0001")
        connection.exec_driver_sql(
            "INSERT INTO projects (id, name, crn, created_at) VALUES ('p', 'chem', 'crn:p', 7.0)"
        )
    upgrade(engine)
    with engine.connect() as connection:
        (project,) = connection.execute(select(t.projects)).all()
    assert (project.name, project.tags, project.created_at) == ("chem", "[]", 7.0)


def test_keys_of_before_names_get_one_and_those_of_files_are_told_from_the_others(tmp_path: Path) -> None:
    from alembic import command
    from alembic.config import Config

    engine = sqlite_engine(tmp_path / "s.db", writer=True)
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    users = {"o": ("operator", None), "a": ("ann", None), "r": ("rob", 9.0)}
    joined = [
        ("o", "operators", 1.0),
        ("o", "lab", 3.0),
        ("a", "lab", 4.0),
        ("a", "chem", 5.0),
        ("r", "lab", 6.0),
    ]
    keys = [
        ("o1", "o", 1.0),
        ("o2", "o", 2.0),
        ("o3", "o", 3.0),
        ("a1", "a", 4.0),
        ("a2", "a", 5.0),
        ("r1", "r", 6.0),
    ]
    with engine.begin() as c:
        config.attributes["connection"] = c
        command.upgrade(config, "0002")
        for name in ("operators", "lab", "chem"):
            c.exec_driver_sql(
                "INSERT INTO projects (id, name, crn, created_at) VALUES (?, ?, ?, 0)", (name,) * 3
            )
        for user, (name, revoked) in users.items():
            c.exec_driver_sql(
                "INSERT INTO users (id, name, operator, created_at, revoked_at) VALUES (?, ?, 0, 0, ?)",
                (user, name, revoked),
            )
        for row in joined:
            c.exec_driver_sql(
                "INSERT INTO memberships (user_id, project_id, created_at) VALUES (?, ?, ?)", row
            )
        for row in keys:
            c.exec_driver_sql("INSERT INTO api_keys (hash, user_id, created_at) VALUES (?, ?, ?)", row)
    upgrade(engine)
    with engine.connect() as connection:
        found = {
            row.hash: (row.name, row.project_id, row.expires_at)
            for row in connection.execute(select(t.api_keys))
        }
    assert found == {
        "o1": ("operator.key.2", None, None),  # the file was renewed once: both end when it is again
        "o2": ("operator.key", None, None),
        "o3": ("key-1", None, None),
        "a1": ("key-2", None, None),
        "a2": ("key-1", None, None),
    }


def test_a_database_of_a_later_version_is_not_touched(tmp_path: Path) -> None:
    engine = sqlite_engine(tmp_path / "s.db", writer=True)
    upgrade(engine)
    with engine.begin() as connection:
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = '9999'")
    with pytest.raises(SchemaTooNew, match="9999"):
        upgrade(engine)


def test_a_batch_is_on_disk_when_it_is_acknowledged(run: Run, tmp_path: Path) -> None:
    async def body(store: Database) -> None:
        world = LaneHarness()
        await commit(store, world, accepted("a1", 1))
        other = sqlite_engine(tmp_path / "s.db", writer=False)
        with other.connect() as connection:
            assert connection.execute(select(t.jobs.c.id)).scalars().all() == ["a1"]
            assert connection.exec_driver_sql("PRAGMA journal_mode").scalar() == "wal"
            assert connection.exec_driver_sql("PRAGMA synchronous").scalar() == 2  # FULL
        other.dispose()

    run(body)
