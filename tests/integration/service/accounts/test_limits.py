"""R50: every limit is kept, says its number, and lets go when there is room again."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from sojourn.api.http.statuses import status_of
from sojourn.service.errors import BadRequest, Refusal, TooLarge, TooMany
from sojourn.service.projects.limits import Limits
from sojourn.service.projects.projects import ProjectChange
from sojourn.service.views import JobFilter
from tests.harness.programs import bell, job_body, sampler_params
from tests.harness.service import ServiceHarness

RunService = Callable[..., None]
DAY = 86_400


async def full(h: ServiceHarness, who: Any, device: str = "slow", **more: Any) -> BadRequest:
    with pytest.raises(BadRequest) as refusal:
        await h.submit(who, job_body(device, **more))
    assert refusal.value.code == 3458
    assert status_of(refusal.value) == 400
    return refusal.value


def test_r50_pending_jobs_of_a_user_are_limited_and_an_ended_one_makes_room(run_service: RunService) -> None:
    async def body(h: ServiceHarness) -> None:
        ann, bob = await h.user("ann"), await h.user("bob")
        jobs = [await h.submit(ann, job_body("slow")) for _ in range(3)]
        refusal = await full(h, ann, "mock")
        assert "ann has 3 jobs" in refusal.message
        assert "limit is 3 (pending_per_user)" in refusal.message
        await h.submit(bob, job_body("slow"))
        await h.service.jobs.cancel(ann, jobs[2].id)
        await h.submit(ann, job_body("slow"))
        await full(h, ann)

    async def after_a_restart(h: ServiceHarness) -> None:
        ann = h.service.accounts.principal(h.service.accounts.user_id("ann"), None)
        await full(h, ann)

    run_service(body, after_a_restart, sections={"limits": {"pending_per_user": 3}})


def test_r50_pending_jobs_of_a_project_and_of_a_device_are_limited(run_service: RunService) -> None:
    async def body(h: ServiceHarness) -> None:
        ann, bob = await h.user("ann"), await h.user("bob")
        for _ in range(2):
            await h.submit(ann, job_body("slow"))
        assert "Project anns has 2 jobs" in (await full(h, ann, "mock")).message
        await h.submit(bob, job_body("slow"))
        assert "Device slow has 3 jobs" in (await full(h, bob, "slow")).message
        done = await h.submit(bob, job_body("mock"))
        await h.ended(bob, done.id)

    run_service(body, sections={"limits": {"pending_per_project": 2, "pending_per_device": 3}})


def test_r50_submits_at_the_same_time_do_not_slip_past_the_limit(run_service: RunService) -> None:
    async def body(h: ServiceHarness) -> None:
        ann = await h.user("ann")
        answers = await asyncio.gather(
            *(h.submit(ann, job_body("slow")) for _ in range(8)), return_exceptions=True
        )
        assert sum(isinstance(answer, Refusal) for answer in answers) == 5
        assert (await h.service.jobs.find(ann, JobFilter(pending=True))).count == 3

    run_service(body, sections={"limits": {"pending_per_user": 3}})


def test_r50_a_refused_submit_takes_no_place(run_service: RunService) -> None:
    async def body(h: ServiceHarness) -> None:
        ann = await h.user("ann")
        for _ in range(3):
            with pytest.raises(BadRequest):
                await h.submit(ann, job_body("slow", params={"pubs": 3}))
            with pytest.raises(BadRequest):
                await h.submit(ann, job_body("slow", start_session=True, params={"pubs": 3}))
            with pytest.raises(BadRequest):
                await h.submit(ann, job_body("slow", start_session=True, cost=90_000))
        assert len(h.service.parts.records.open_jobs) == len(h.service.parts.records.open_sessions) == 0
        await h.submit(ann, job_body("slow"))

    run_service(body, sections={"limits": {"pending_per_user": 1, "sessions_per_user": 1}})


def test_r50_what_has_not_ended_is_counted_in_words_that_fit_one_and_several(run_service: RunService) -> None:
    async def body(h: ServiceHarness) -> None:
        ann, boss = await h.user("ann"), await h.user("boss")
        for count, words in ((1, "1 job in project anns that has"), (2, "2 jobs in project anns that have")):
            await h.service.projects.change(boss, "anns", ProjectChange(limits={"pending_per_user": count}))
            await h.submit(ann, job_body("slow"))
            with pytest.raises(BadRequest) as refused:
                await h.submit(ann, job_body("slow"))
            assert f"User ann has {words} not ended; the limit is {count} (" in refused.value.message
        await h.service.sessions.open(ann, device="slow", mode="batch", max_time=None)
        with pytest.raises(BadRequest, match="User ann has 1 session in project anns that has not ended; "):
            await h.service.sessions.open(ann, device="slow", mode="batch", max_time=None)

    run_service(body, sections={"limits": {"sessions_per_user": 1}})


def test_r50_a_projects_own_limits_hold_at_once_and_can_be_taken_back(run_service: RunService) -> None:
    async def body(h: ServiceHarness) -> None:
        ann, boss = await h.user("ann"), await h.user("boss")
        await h.submit(ann, job_body("slow"))
        own = ProjectChange(limits={"pending_per_user": 1})
        info = await h.service.projects.change(boss, "anns", own)
        assert (info.limits.pending_per_user, info.own_limits) == (1, ("pending_per_user",))
        await full(h, ann)
        await h.service.projects.change(boss, "anns", ProjectChange(limits={"pending_per_user": None}))
        await h.submit(ann, job_body("slow"))

    run_service(body)


@pytest.mark.parametrize(
    ("limit", "body", "words"),
    [
        ({"circuits": 1}, {"params": sampler_params((bell(), None, 5), (bell(), None, 5))}, ("2", "1")),
        ({"executions": 60}, {}, ("64", "60")),
        ({"execution_seconds": 30}, {"cost": 31}, ("31", "30")),
        ({"payload_mb": 0.0001}, {}, ("0.0001 MB",)),
    ],
)
def test_r50_a_job_that_is_too_large_is_refused_with_both_numbers(
    run_service: RunService, limit: dict[str, float], body: dict[str, Any], words: tuple[str, ...]
) -> None:
    async def inside(h: ServiceHarness) -> None:
        ann = await h.user("ann")
        with pytest.raises((BadRequest, TooLarge)) as refusal:
            await h.submit(ann, job_body(**body))
        assert status_of(refusal.value) in (400, 413)
        for word in words:
            assert word in refusal.value.message
        assert (await h.service.jobs.find(ann, JobFilter())).count == 0

    run_service(inside, sections={"limits": limit}, admission_hold=30.0)


def test_r50_a_job_that_is_found_too_large_after_the_answer_fails_with_the_number(
    run_service: RunService,
) -> None:
    async def body(h: ServiceHarness) -> None:
        ann = await h.user("ann")
        job = await h.submit(ann, job_body())
        ended = await h.ended(ann, job.id)
        assert ended.state == "failed"
        assert ended.reason is not None
        assert "the limit of its project is 60 (executions)" in ended.reason

    run_service(body, sections={"limits": {"executions": 60}}, admission_hold=0.0)


def test_r50_a_job_that_asks_for_no_time_runs_no_longer_than_the_limit(run_service: RunService) -> None:
    async def body(h: ServiceHarness) -> None:
        ann = await h.user("ann")
        job = await h.submit(ann, job_body("slow"))
        await h.running(ann, job.id)
        assert (await h.service.jobs.get(ann, job.id)).limit == 30
        h.clock.advance(31)
        assert (await h.ended(ann, job.id)).reason_code == 1305

    run_service(body, sections={"limits": {"execution_seconds": 30}})


def test_r20_a_limit_that_nobody_asked_for_is_no_reason_to_refuse_a_job_in_a_shorter_session(
    run_service: RunService,
) -> None:
    """A project's execution_seconds is longer than the session: the job runs as long as the session lasts."""

    async def body(h: ServiceHarness) -> None:
        ann = await h.user("ann")
        short = await h.service.sessions.open(ann, device="mock", mode="dedicated", max_time=20)
        unsaid = await h.service.sessions.open(ann, device="mock", mode="dedicated", max_time=None)
        for more, limit in (
            ({"session_id": short.id}, 20),
            ({"session_id": unsaid.id}, 30),
            ({"start_session": True, "session_time": 10}, 10),
            ({"start_session": True}, 30),
            ({}, 30),
        ):
            job = await h.submit(ann, job_body("mock", **more))
            assert (await h.service.jobs.get(ann, job.id)).limit == limit
        with pytest.raises(BadRequest, match=r"25 s but session .* at most 20 s"):
            await h.submit(ann, job_body("mock", session_id=short.id, cost=25))

    run_service(body, sections={"limits": {"execution_seconds": 30}})


def test_r50_sessions_of_a_user_are_limited_and_a_closed_one_makes_room(run_service: RunService) -> None:
    async def body(h: ServiceHarness) -> None:
        ann = await h.user("ann")
        first = await h.service.sessions.open(ann, device="mock", mode="dedicated", max_time=None)
        await h.service.sessions.open(ann, device="mock", mode="batch", max_time=None)
        with pytest.raises(BadRequest, match=r"2 sessions.*limit is 2 \(sessions_per_user\)") as refusal:
            await h.service.sessions.open(ann, device="slow", mode="batch", max_time=None)
        assert refusal.value.code == 3458
        await h.service.sessions.close(ann, first.id)
        await h.service.sessions.open(ann, device="slow", mode="batch", max_time=None)
        h.clock.advance(1801)  # R26: those that are never used end, and make room
        await h.settled()
        await h.service.sessions.open(ann, device="slow", mode="batch", max_time=None)

    run_service(body, sections={"limits": {"sessions_per_user": 2}})


def test_the_open_plan_may_be_refused_sessions(run_service: RunService) -> None:
    async def body(h: ServiceHarness) -> None:
        ann, boss = await h.user("ann"), await h.user("boss")
        await h.service.projects.change(boss, "anns", ProjectChange(plan="open"))
        with pytest.raises(BadRequest, match="open plan") as refusal:
            await h.service.sessions.open(ann, device="mock", mode="batch", max_time=None)
        assert refusal.value.code == 1352
        with pytest.raises(BadRequest, match="open plan"):
            await h.submit(ann, job_body(start_session=True))
        await h.service.sessions.open(boss, device="mock", mode="batch", max_time=None)
        await h.ended(ann, (await h.submit(ann, job_body())).id)

    run_service(body, profile="ibm2026")


def test_r50_over_its_allocation_a_project_is_told_and_waits_until_usage_leaves_the_window(
    run_service: RunService,
) -> None:
    async def body(h: ServiceHarness) -> None:
        ann, bob = await h.user("ann"), await h.user("bob")
        await h.service.projects.change(bob, "anns", ProjectChange(allocation=100.0))
        first = await h.submit(ann, job_body("slow"))
        assert first.warnings == ()
        await h.running(ann, first.id)
        h.clock.advance(100)
        await h.service.jobs.cancel(ann, first.id)
        await h.settled()
        used = h.service.usage.window(ann)
        assert (used.consumed_seconds, used.limit_seconds, used.limit_reached) == (100.0, 100.0, True)
        waiting = await h.submit(ann, job_body("mock"))
        assert "allocation of 100 s" in " ".join(waiting.warnings)
        session = await h.service.sessions.open(ann, device="mock", mode="batch", max_time=None)
        assert "allocation of 100 s" in " ".join(session.warnings)
        assert (await h.service.jobs.get(ann, waiting.id)).warnings == waiting.warnings
        await h.ended(bob, (await h.submit(bob, job_body("mock"))).id)
        assert (await h.service.jobs.get(ann, waiting.id)).state == "queued"
        why = await h.service.jobs.why(ann, waiting.id)
        assert "allocation" in " ".join(reason.sentence for reason in why.reasons)
        h.clock.advance(28 * DAY - 100)
        assert (await h.service.jobs.get(ann, waiting.id)).state == "queued"
        h.clock.advance(100 + 3600)  # D18: it leaves at the full hour
        assert (await h.ended(ann, waiting.id)).state == "completed"

    run_service(body)


def test_r50_an_operator_who_grants_more_lets_the_waiting_job_go(run_service: RunService) -> None:
    async def body(h: ServiceHarness) -> None:
        ann, boss = await h.user("ann"), await h.user("boss")
        await h.service.projects.change(boss, "anns", ProjectChange(allocation=0.0))
        waiting = await h.submit(ann, job_body("mock"))
        assert waiting.warnings
        await h.settled()
        assert (await h.service.jobs.get(ann, waiting.id)).state == "queued"
        await h.service.projects.change(boss, "anns", ProjectChange(unlimited=True))
        assert (await h.ended(ann, waiting.id)).state == "completed"

    run_service(body)


def test_r50_a_caller_over_the_rate_is_slowed_down_and_refused_only_after_that(
    run_service: RunService,
) -> None:
    async def body(h: ServiceHarness) -> None:
        ann, bob = await h.user("ann"), await h.user("bob")
        now = 0.0
        parts = h.service.parts
        limits = Limits(h.service.settings.limits, parts.accounts, parts.records, parts.crashes, lambda: now)
        assert [limits.pace(ann) for _ in range(4)] == [0, 0, 0, 0]
        assert limits.pace(ann) == pytest.approx(0.5)
        assert limits.pace(ann) == pytest.approx(1.0)
        assert limits.pace(bob) == 0
        for _ in range(8):
            limits.pace(ann)
        with pytest.raises(TooMany, match="2 requests per second") as refusal:
            limits.pace(ann)
        assert status_of(refusal.value) == 429
        assert refusal.value.retry_after is not None
        now += refusal.value.retry_after
        assert limits.pace(ann) <= 5.0
        now += 60
        assert [limits.pace(ann, 0.1) for _ in range(39)] == [0] * 39  # status polls count for little

    run_service(body, sections={"limits": {"request_rate": 2, "request_burst": 4}})
