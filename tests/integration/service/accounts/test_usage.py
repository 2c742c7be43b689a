"""R49: the ledger, its reports, and everything that must agree with it; retention leaves it alone."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime
from typing import TypedDict, Unpack

import pytest

from sojourn.api.http.statuses import status_of
from sojourn.config import DeviceSettings
from sojourn.service.errors import BadRequest, Expired, Forbidden, NotFound
from sojourn.service.projects.projects import MemberChange, ProjectChange
from sojourn.service.projects.usage import UsageQuery
from sojourn.service.views import JobFilter, Principal
from sojourn.store import jobs
from sojourn.store.ledger import Mask, Sum, sums
from tests.harness.programs import job_body
from tests.harness.service import QUICK, ServiceHarness

RunService = Callable[..., None]
DAY = 86_400


async def use(h: ServiceHarness, who: Principal, seconds: float, session: str | None = None) -> str:
    job = await h.submit(who, job_body("slow", session_id=session))
    await h.running(who, job.id)
    h.clock.advance(seconds)
    await h.service.jobs.cancel(who, job.id)
    await h.ended(who, job.id)
    return job.id


def boss(h: ServiceHarness) -> Principal:
    accounts = h.service.accounts
    return accounts.principal(accounts.user_id("operator"), None)


class Narrowed(TypedDict, total=False):
    """What a report is about, where that is not everything."""

    start: float
    end: float
    user: str
    device: str
    kind: str
    session: str


async def rows(
    h: ServiceHarness, who: Principal, *by: str, **more: Unpack[Narrowed]
) -> dict[tuple[str | None, ...], float]:
    report = await h.service.usage.report(who, UsageQuery(by=by, **more))
    assert report.seconds == pytest.approx(sum(row.seconds for row in report.rows))
    return {row.keys: round(row.seconds, 6) for row in report.rows}


def test_r49_reports_by_user_project_device_kind_session_and_day_have_one_sum(
    run_service: RunService,
) -> None:
    async def body(h: ServiceHarness) -> None:
        ann, bob = await h.user("ann"), await h.user("bob")
        await use(h, ann, 100)
        job = await use(h, bob, 40)
        h.clock.advance(DAY)
        await use(h, bob, 7)
        op = boss(h)
        assert await rows(h, op, "user") == {("ann",): 100, ("bob",): 47}
        assert await rows(h, op, "project", "device") == {("anns", "slow"): 100, ("bobs", "slow"): 47}
        assert await rows(h, op, "kind") == {("job",): 147}
        assert await rows(h, op, "session") == {(None,): 147}
        assert (await rows(h, op, "job"))[(job,)] == 40
        assert await rows(h, op, "user", user="bob", device="slow", kind="job") == {("bob",): 47}
        assert await rows(h, op, "user", device="mock") == {}
        days = await rows(h, op, "day", "user")
        assert sum(days.values()) == 147
        assert len(days) >= 3
        assert await rows(h, op) == {(): 147}

    run_service(body)


def test_r49_a_row_over_midnight_or_over_the_edge_of_the_period_counts_in_parts(
    run_service: RunService,
) -> None:
    async def body(h: ServiceHarness) -> None:
        ann = await h.user("ann")
        midnight = (h.clock.now() // DAY + 1) * DAY
        h.clock.advance(midnight - 30 - h.clock.now())
        await use(h, ann, 100)
        first = datetime.fromtimestamp(midnight - 1, UTC).strftime("%Y-%m-%d")
        second = datetime.fromtimestamp(midnight, UTC).strftime("%Y-%m-%d")
        assert await rows(h, ann, "day") == {(first,): 30, (second,): 70}
        assert await rows(h, ann, "user", end=midnight - 10) == {("ann",): 20}
        assert await rows(h, ann, "user", start=midnight - 10) == {("ann",): 80}
        assert await rows(h, ann, "day", start=midnight - 10, end=midnight + 5) == {
            (first,): 10,
            (second,): 5,
        }

    run_service(body)


def test_r49_a_sessions_elapsed_time_and_its_jobs_usage_agree_with_the_ledger(
    run_service: RunService,
) -> None:
    async def body(h: ServiceHarness) -> None:
        ann = await h.user("ann")
        session = await h.service.sessions.open(ann, device="slow", mode="dedicated", max_time=None)
        jobs = []
        for seconds in (50, 20):
            jobs.append(await use(h, ann, seconds, session.id))
            if seconds == 50:  # the root of R40 must not be cancelled: the session would end
                break
        await h.settled()
        ended = await h.service.sessions.get(ann, session.id)
        by_kind = await rows(h, ann, "kind", session=session.id)
        assert sum(by_kind.values()) == pytest.approx(ended.elapsed)
        assert by_kind[("job",)] == sum([(await h.service.jobs.get(ann, j)).quantum_seconds for j in jobs])
        assert h.service.usage.window(ann).consumed_seconds == pytest.approx(sum(by_kind.values()))

    run_service(body)


def test_r49_a_held_session_is_charged_for_its_hold_and_says_the_same(run_service: RunService) -> None:
    async def body(h: ServiceHarness) -> None:
        ann = await h.user("ann")
        session = await h.service.sessions.open(ann, device="mock", mode="dedicated", max_time=None)
        job = await h.submit(ann, job_body("mock", session_id=session.id))
        await h.ended(ann, job.id)
        h.clock.advance(120)
        assert (await h.service.sessions.get(ann, session.id)).elapsed == pytest.approx(120)
        h.clock.advance(500)
        await h.settled()
        view = await h.service.sessions.get(ann, session.id)
        assert view.state == "inactive"
        assert view.elapsed == pytest.approx(300)
        assert await rows(h, ann, "kind", "session") == {("held", session.id): 300}
        assert h.service.usage.window(ann).consumed_seconds == pytest.approx(300)

    run_service(body)


def test_users_see_their_own_usage_and_the_projects_and_admins_see_everybody(run_service: RunService) -> None:
    async def body(h: ServiceHarness) -> None:
        ann, bob = await h.user("ann"), await h.user("bob")
        key = await h.service.users.add("abe", "anns")
        abe = h.service.accounts.principal(h.service.accounts.by_key(key.api_key) or "", None)
        for who, seconds in ((ann, 10), (abe, 20), (bob, 40)):
            await use(h, who, seconds)
        assert await rows(h, ann, "user") == {("ann",): 10, ("(others)",): 20}
        assert await rows(h, ann, "project") == {("anns",): 30}
        assert len(await rows(h, ann, "job")) == 2
        assert await rows(h, ann, "user", user="ann") == {("ann",): 10}
        for hidden in (UsageQuery(user="abe"), UsageQuery(project="bobs")):
            with pytest.raises(Forbidden):
                await h.service.usage.report(ann, hidden)
        admin = ProjectChange(members={"ann": MemberChange(admin=True)})
        await h.service.projects.change(boss(h), "anns", admin)
        ann = h.service.accounts.principal(ann.user_id, None)
        assert await rows(h, ann, "user") == {("ann",): 10, ("abe",): 20}
        for name in ("bob", "zoe"):  # there is a bob, which is not hers to know
            with pytest.raises(NotFound, match=f"no user '{name}' in project anns"):
                await h.service.usage.report(ann, UsageQuery(user=name))
        assert await rows(h, boss(h), "user") == {("ann",): 10, ("abe",): 20, ("bob",): 40}
        now = h.clock.now()
        for wrong in (UsageQuery(start=now, end=now - 5), UsageQuery(by=("colour",)), UsageQuery(kind="x")):
            with pytest.raises(BadRequest):
                await h.service.usage.report(ann, wrong)

    run_service(body)


def test_a_report_that_is_too_long_is_not_made_before_it_is_refused(run_service: RunService) -> None:
    """What others used is summed in the database, so it makes a report no longer."""

    async def body(h: ServiceHarness) -> None:
        ann, bob = await h.user("ann"), await h.user("bob")
        for who, seconds in ((ann, 10), (ann, 10), (bob, 20), (bob, 40), (bob, 40)):
            await use(h, who, seconds)
        end = h.clock.now() + 1

        async def found(by: tuple[str, ...], most: int, mask: Mask | None = None) -> list[Sum]:
            return await h.service.parts.store.read(
                lambda c: sums(c, end - 86_400 * 9, end, by, {}, most=most, mask=mask)
            )

        assert len(await found(("job",), 3)) == 4
        assert len(await found(("job", "day"), 3)) >= 4
        assert len(await found(("job",), 5)) == 5
        for by in (("job",), ("user", "job")):
            masked = await found(by, 5, Mask(ann.user_id, "(others)"))
            assert sorted((each.seconds, each.rows) for each in masked) == [(10, 1), (10, 1), (100, 3)]

    run_service(body)


def test_retention_deletes_old_bytes_and_steps_and_never_the_ledger(run_service: RunService) -> None:
    async def body(h: ServiceHarness) -> None:
        ann, bob = await h.user("ann"), await h.user("bob")
        await h.service.projects.change(boss(h), "bobs", ProjectChange(allocation=0.0))
        live = await h.submit(bob, job_body())  # waits for ever
        old = await h.submit(ann, job_body(tags=["old"]))
        await h.ended(ann, old.id)
        charged = await use(h, ann, 60)
        h.clock.advance(3 * DAY)
        new = await h.submit(ann, job_body())
        await h.ended(ann, new.id)
        assert await h.service.jobs.params(ann, old.id)
        h.clock.advance(3 * DAY)
        await h.service.parts.retention.run()
        with pytest.raises(Expired, match=r"inputs of job .* deleted") as refusal:
            await h.service.jobs.params(ann, old.id)
        assert status_of(refusal.value) == 410
        with pytest.raises(Expired, match="result"):
            await h.service.jobs.result(ann, old.id)
        assert (await h.service.jobs.get(ann, old.id)).state == "completed"
        assert await h.service.jobs.history(ann, old.id) == []
        assert await h.service.jobs.params(ann, new.id)  # the same bytes, of a job that is young enough
        assert b"PrimitiveResult" in await h.result(ann, new.id)
        assert await h.service.jobs.history(bob, live.id)
        assert await h.service.jobs.params(bob, live.id)
        assert await rows(h, ann, "job", kind="job", start=0.0) == {(charged,): 60}

    async def after_a_restart(h: ServiceHarness) -> None:
        ann = h.service.accounts.principal(h.service.accounts.user_id("ann"), None)
        (old,) = [j for j in (await h.service.parts.store.read(jobs.recent, 0)) if "old" in j.meta.tags]
        with pytest.raises(Expired):
            await h.service.jobs.result(ann, old.job.id)

    days = {"params_days": 4, "results_days": 4, "story_days": 4}
    run_service(body, after_a_restart, sections={"retention": days})


@pytest.mark.parametrize("private", [False, True])
def test_r49_what_a_job_used_that_was_deleted_while_it_ran_stays_in_the_ledger(
    run_service: RunService, private: bool
) -> None:
    used: dict[str, float] = {}

    async def body(h: ServiceHarness) -> None:
        ann = await h.user("ann")
        job = await h.submit(ann, job_body("slow", private=private))
        waits = await h.submit(ann, job_body("slow"))
        await h.running(ann, job.id)
        h.clock.advance(40)
        polls = [asyncio.ensure_future(h.service.jobs.poll(ann, job.id)) for _ in range(2)]
        await asyncio.gather(h.service.jobs.delete(ann, job.id), h.service.jobs.delete(ann, job.id))
        assert {view.state for view in await asyncio.gather(*polls)} <= {"running", "cancelled"}
        await h.running(ann, waits.id)  # the device is free
        for call in (h.service.jobs.get, h.service.jobs.result, h.service.jobs.delete, h.service.jobs.cancel):
            with pytest.raises(NotFound):
                await call(ann, job.id)
        assert await rows(h, ann, "job", kind="job", start=0.0) == {(job.id,): 40}
        assert h.service.usage.window(ann).consumed_seconds == 40
        await h.service.jobs.delete(ann, waits.id)
        used["all"] = h.service.usage.window(ann).consumed_seconds

    async def after_a_restart(h: ServiceHarness) -> None:
        ann = h.service.accounts.principal(h.service.accounts.user_id("ann"), None)
        assert (await h.service.jobs.find(ann, JobFilter())).count == 0
        assert h.service.usage.window(ann).consumed_seconds == used["all"]

    run_service(body, after_a_restart)


def test_r56_of_a_private_result_that_was_deleted_it_is_not_said_that_somebody_read_it(
    run_service: RunService,
) -> None:
    async def body(h: ServiceHarness) -> None:
        ann = await h.user("ann")
        job = await h.submit(ann, job_body(private=True))
        await h.ended(ann, job.id)
        h.clock.advance(2 * DAY)
        assert h.service.parts.retention._round is not None
        await h.service.parts.retention._round
        with pytest.raises(Expired, match="deleted: this service keeps the result"):
            await h.service.jobs.result(ann, job.id)

    run_service(body, sections={"retention": {"results_days": 1}})


@pytest.mark.parametrize("days", [0, 1])
def test_r56_a_private_result_that_an_early_version_gave_without_a_note_is_empty(
    run_service: RunService, days: int
) -> None:
    """Its age cannot have deleted it."""

    async def body(h: ServiceHarness) -> None:
        ann = await h.user("ann")
        job = await h.submit(ann, job_body(private=True))
        await h.ended(ann, job.id)
        assert await h.service.jobs.result(ann, job.id)
        record = h.service.parts.records.job(job.id)
        assert record is not None
        record.meta.warnings = ()
        assert await h.service.jobs.result(ann, job.id) == b""

    run_service(body, sections={"retention": {"results_days": days}})


def test_retention_comes_by_itself_every_hour(run_service: RunService) -> None:
    async def body(h: ServiceHarness) -> None:
        ann = await h.user("ann")
        job = await h.submit(ann, job_body())
        await h.ended(ann, job.id)
        h.clock.advance(2 * DAY)
        assert h.service.parts.retention._round is not None
        await h.service.parts.retention._round
        with pytest.raises(Expired):
            await h.service.jobs.result(ann, job.id)

    run_service(body, sections={"retention": {"results_days": 1}})


def test_without_retention_everything_is_kept(run_service: RunService) -> None:
    async def body(h: ServiceHarness) -> None:
        ann = await h.user("ann")
        job = await h.submit(ann, job_body())
        await h.ended(ann, job.id)
        h.clock.advance(1000 * DAY)
        await h.settled()
        assert await h.service.jobs.result(ann, job.id)

    run_service(body)


def test_r49_a_hold_ends_with_the_service_and_begins_with_the_device(run_service: RunService) -> None:
    kept: dict[str, Principal | str] = {}

    async def before(h: ServiceHarness) -> None:
        ann = kept["ann"] = await h.user("ann")
        session = await h.service.sessions.open(ann, device="mock", mode="dedicated", max_time=None)
        kept["session"] = session.id
        await h.ended(ann, (await h.submit(ann, job_body("mock", session_id=session.id))).id)
        h.clock.advance(50)

    async def after(h: ServiceHarness) -> None:
        ann, session = kept["ann"], kept["session"]
        assert isinstance(ann, Principal)
        assert isinstance(session, str)
        held = await rows(h, boss(h), "kind", session=session)
        assert held["held",] == 50.0
        assert (await h.service.sessions.get(ann, session)).elapsed == pytest.approx(sum(held.values()))

    run_service(before, after)


def test_a_device_that_was_taken_away_can_be_asked_about_and_one_that_never_was_is_refused(
    run_service: RunService,
) -> None:
    async def before(h: ServiceHarness) -> None:
        ann = await h.user("ann")
        await h.ended(ann, (await h.submit(ann, job_body("other"))).id)

    async def after(h: ServiceHarness) -> None:
        assert await rows(h, boss(h), "device", device="other") == {}  # no time has passed
        with pytest.raises(NotFound, match=r"no backend 'othre'\. Backends: mock"):
            await rows(h, boss(h), "device", device="othre")

    run_service(before, devices=(QUICK, DeviceSettings(name="other", driver="mock", options={"qubits": 5})))
    run_service(after, devices=(QUICK,))


def test_r17_the_clocks_of_a_device_that_is_no_longer_configured_run_on(run_service: RunService) -> None:
    kept: dict[str, Principal | str] = {}

    async def before(h: ServiceHarness) -> None:
        ann = kept["ann"] = await h.user("ann")
        session = await h.service.sessions.open(ann, device="slow", mode="dedicated", max_time=100)
        kept["session"] = session.id
        await h.running(ann, (await h.submit(ann, job_body("slow", session_id=session.id))).id)

    async def without(h: ServiceHarness) -> None:
        ann, session = kept["ann"], kept["session"]
        assert isinstance(ann, Principal)
        assert isinstance(session, str)
        h.clock.advance(99)
        await h.settled()
        assert (await h.service.sessions.get(ann, session)).state != "closed"
        h.clock.advance(1)
        await h.settled()
        assert (await h.service.sessions.get(ann, session)).state == "closed"

    run_service(before)
    run_service(without, devices=(QUICK,))
