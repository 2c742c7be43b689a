"""Forecasts of a running service: made when somebody asks, the same numbers everywhere, and learned again."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from sojourn.service.forecasts import forecasts
from sojourn.service.forecasts.offers import Wanted
from sojourn.service.views import JobFilter
from tests.harness.programs import job_body
from tests.harness.service import ServiceHarness
from tests.integration.service.operations import operator

RunService = Callable[..., None]


def test_a_waiting_job_has_one_forecast_in_every_view(run_service: RunService) -> None:
    async def body(h: ServiceHarness) -> None:
        ann, bob = await h.user("ann"), await h.user("bob")
        first = await h.submit(ann, job_body("slow"))
        await h.running(ann, first.id)
        waiting = [await h.submit(bob, job_body("slow")) for _ in range(2)]
        jobs = h.service.jobs
        shown = [(await jobs.why(bob, job.id)).queue for job in waiting]
        for job, queue in zip(waiting, shown, strict=True):
            assert queue is not None
            assert (await jobs.look(bob, job.id)).queue == queue
            assert (await jobs.waiting(bob, job.id)).queue == queue
        listed = {job.id: job.queue for job in (await jobs.find(bob, JobFilter(positions=True))).jobs}
        assert [listed[job.id] for job in waiting] == shown
        one, two = shown
        assert one is not None
        assert two is not None
        assert (one.position, two.position) == (1, 2)
        assert one.start is not None
        assert two.start is not None
        assert h.clock.now() < one.start.expected < two.start.expected
        assert one.unknown is None
        running = (await jobs.look(ann, first.id)).queue
        assert running is not None
        assert (running.start, running.position) == (None, None)
        assert running.end is not None
        assert running.end.expected == one.start.expected

    run_service(body)


def test_nobody_asks_and_nothing_is_forecast(run_service: RunService) -> None:
    async def body(h: ServiceHarness) -> None:
        ann = await h.user("ann")
        await h.ended(ann, (await h.submit(ann, job_body())).id)
        job = await h.submit(ann, job_body("slow"))
        await h.running(ann, job.id)
        await h.service.jobs.get(ann, job.id)
        await h.service.jobs.find(ann, JobFilter())
        assert not h.service.parts.forecasts._devices

    run_service(body)


def test_however_many_ask_there_is_one_forecast_a_second(run_service: RunService) -> None:
    async def body(h: ServiceHarness) -> None:
        ann = await h.user("ann")
        first = await h.submit(ann, job_body("slow"))
        await h.running(ann, first.id)
        job = await h.submit(ann, job_body("slow"))
        loop = asyncio.get_running_loop()
        begun = loop.time()
        found = await asyncio.gather(*(h.service.jobs.why(ann, job.id) for _ in range(50)))
        assert len({each.queue for each in found}) == 1
        for _ in range(20):
            await h.service.jobs.look(ann, job.id)
        made = h.service.parts.forecasts._devices["slow"].made
        assert 1 <= made <= 1 + (loop.time() - begun) / forecasts.EVERY

    run_service(body)


def test_a_job_that_has_come_since_waits_for_the_next_forecast(run_service: RunService) -> None:
    async def body(h: ServiceHarness) -> None:
        ann = await h.user("ann")
        first = await h.submit(ann, job_body("slow"))
        await h.running(ann, first.id)
        one = await h.submit(ann, job_body("slow"))
        assert (await h.service.jobs.why(ann, one.id)).queue is not None
        two = await h.submit(ann, job_body("slow"))
        queue = (await h.service.jobs.why(ann, two.id)).queue
        assert queue is not None
        assert queue.position == 2

    run_service(body)


def test_a_paused_device_gives_the_reason_and_no_time(run_service: RunService) -> None:
    async def body(h: ServiceHarness) -> None:
        ann = await h.user("ann")
        first = await h.submit(ann, job_body("slow"))
        await h.running(ann, first.id)
        job = await h.submit(ann, job_body("slow"))
        before = (await h.service.jobs.why(ann, job.id)).queue
        assert before is not None
        assert before.start is not None
        await h.service.control.halt(operator(h), "slow", "paused", "new fridge", None)
        found = (await h.service.jobs.why(ann, job.id)).queue
        assert found is not None
        assert (found.start, found.end) == (None, None)
        assert found.unknown == "the device is paused by operator: new fridge"
        assert (await h.service.jobs.waiting(ann, job.id)).queue == found
        await h.service.control.resume(operator(h), "slow")
        found = (await h.service.jobs.why(ann, job.id)).queue
        assert found is not None
        assert found.start is not None

    run_service(body)


def test_what_was_learned_is_there_after_a_restart(run_service: RunService) -> None:
    """A device of which nothing is known is believed to take its estimate."""

    async def seconds(h: ServiceHarness) -> float:
        ann = h.service.accounts.principal(h.service.accounts.user_id("ann"), None)
        (offer,) = await h.service.offers.of(ann, Wanted(1000.0, "sampler", device="slow"))
        return offer.seconds[1]

    async def before(h: ServiceHarness) -> None:
        ann = await h.user("ann")
        assert await seconds(h) == 1000.0
        for _ in range(8):
            job = await h.submit(ann, job_body("slow"))
            await h.running(ann, job.id)
            h.clock.advance(7.0)
            await h.service.jobs.cancel(ann, job.id)
        await h.settled()
        assert await seconds(h) == 7.0

    async def after(h: ServiceHarness) -> None:
        assert await seconds(h) == 7.0

    run_service(before, after)


def test_an_offer_says_when_at_what_cost_and_changes_nothing(run_service: RunService) -> None:
    async def body(h: ServiceHarness) -> None:
        ann = await h.user("ann")
        first = await h.submit(ann, job_body("slow"))
        await h.running(ann, first.id)
        await h.ended(ann, (await h.submit(ann, job_body())).id)  # mock is up
        mock, slow = await h.service.offers.of(ann, Wanted(30.0, "sampler", 60))
        assert (mock.device, slow.device) == ("mock", "slow")
        assert (mock.refused, slow.refused, slow.limit, slow.left) == (None, None, 60.0, None)
        assert mock.queue is not None
        assert mock.queue.start is not None
        assert mock.queue.start.expected == h.clock.now()
        assert slow.queue is not None
        assert slow.queue.start is not None
        assert slow.queue.start.expected > h.clock.now()
        assert h.service.parts.lanes.dispatchers["slow"].lane.depth == 0
        records = h.service.parts.records
        assert records.open_jobs.count((ann.project_id, ann.user_id)) == 1

    run_service(body)


def test_an_offer_names_what_would_refuse_the_job(run_service: RunService) -> None:
    async def body(h: ServiceHarness) -> None:
        ann = await h.user("ann")
        await h.service.control.halt(operator(h), "mock", "draining", "moving out")
        await h.submit(ann, job_body("slow"))
        offers = {offer.device: offer for offer in await h.service.offers.of(ann, Wanted(30.0, "sampler"))}
        assert "moving out" in (offers["mock"].refused or "")
        assert "pending_per_user" in (offers["slow"].refused or "")
        assert (offers["mock"].queue, offers["slow"].queue) == (None, None)

    run_service(body, sections={"limits": {"pending_per_user": 1}})


def test_an_offer_knows_the_allocation(run_service: RunService) -> None:
    async def body(h: ServiceHarness) -> None:
        ann, bob = await h.user("ann"), await h.user("bob")
        await h.ended(bob, (await h.submit(bob, job_body())).id)  # the device is up
        (offer,) = await h.service.offers.of(ann, Wanted(30.0, "sampler", device="mock"))
        assert offer.left == 0.0
        assert offer.queue is not None
        assert "allocation of 0 s" in (offer.queue.unknown or "")

    run_service(body, sections={"projects": [{"name": "anns", "allocation": 0}]})
