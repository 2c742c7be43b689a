"""What is counted of jobs and devices, with the real store and real workers, in virtual time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from sojourn.api.app import create_app
from sojourn.execution.engine import WorkerPhase
from sojourn.service.errors import BadRequest
from sojourn.service.lanes.device_time import Doing
from sojourn.service.metrics.exposition import Exposition, Sheet
from sojourn.service.metrics.measures import Measures
from sojourn.service.views import JobView, Principal
from sojourn.store.history import Wanted
from tests.harness.programs import job_body
from tests.harness.service import ServiceHarness
from tests.integration.service.operations import operator

RunService = Callable[..., None]


def value(h: ServiceHarness, name: str, **labels: str) -> float:
    found = h.service.measures.registry.get_sample_value(name, labels)
    assert found is not None, f"there is no {name} {labels}"
    return found


async def doing(h: ServiceHarness, device: str, what: Doing) -> None:
    """Wait until the device does this: a worker has to end, or to come up."""
    while h.service.parts.lanes.dispatchers[device].time.doing is not what:  # noqa: ASYNC110 - nobody is told
        await asyncio.sleep(0.01)


async def scraped(h: ServiceHarness, who: str | None = None) -> httpx.Response:
    app = create_app(h.service, h.service.settings)
    headers = {"authorization": f"Bearer {who}"} if who else {}
    transport = httpx.ASGITransport(app=app)
    async with httpx.AsyncClient(transport=transport, base_url="http://sojourn", timeout=60) as http:
        return await http.get("/metrics", headers=headers)


async def samples(h: ServiceHarness) -> dict[tuple[str, ...], float]:
    """Every sample of a scrape: its name and the values of its labels."""
    reply = await scraped(h)
    assert reply.status_code == 200, reply.text
    return {
        (sample.name, *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(reply.text)
        for sample in family.samples
    }


OPEN = {"metrics": "open"}


def test_jobs_are_counted_by_mode_and_outcome_and_their_waits_are_measured(run_service: RunService) -> None:
    async def body(h: ServiceHarness) -> None:
        ann, op = await h.user("ann"), operator(h)
        assert value(h, "sojourn_jobs_accepted_total", device="slow", mode="job") == 0
        first = await h.submit(ann, job_body("slow"))
        await h.running(ann, first.id)
        second = await h.submit(ann, job_body("slow"))
        h.clock.advance(40.0)
        await h.service.jobs.cancel(ann, first.id)
        await h.running(ann, second.id)
        await h.service.jobs.cancel(ann, second.id)
        await h.ended(op, (await h.service.control.calibrate(op, "mock")).id)
        await in_sessions(h, ann)
        await h.settled()
        accepted = "sojourn_jobs_accepted_total"
        assert value(h, accepted, device="slow", mode="job") == 2
        assert [value(h, accepted, device="mock", mode=m) for m in ("session", "batch", "job")] == [1, 1, 0]
        assert value(h, accepted, device="mock", mode="system") == 1
        ended = "sojourn_jobs_ended_total"
        assert value(h, ended, device="slow", mode="job", outcome="cancelled") == 2
        assert value(h, ended, device="mock", mode="batch", outcome="completed") == 1
        assert value(h, ended, device="mock", mode="system", outcome="completed") == 1
        assert value(h, ended, device="mock", mode="job", outcome="failed") == 0
        wait = {"device": "slow", "mode": "job"}
        assert value(h, "sojourn_job_wait_seconds_count", **wait) == 2
        assert value(h, "sojourn_job_wait_seconds_sum", **wait) == 40.0
        assert value(h, "sojourn_job_wait_seconds_bucket", **wait, le="15.0") == 1
        assert value(h, "sojourn_job_run_seconds_sum", **wait) == 40.0
        assert value(h, "sojourn_charged_seconds_total", device="slow", kind="job") == 40.0

    run_service(body)


def test_every_preparation_is_measured_that_of_a_refused_job_as_well(run_service: RunService) -> None:
    async def body(h: ServiceHarness) -> None:
        ann = await h.user("ann")
        await h.ended(ann, (await h.submit(ann, job_body("mock"))).id)
        with pytest.raises(BadRequest):
            await h.submit(ann, job_body("mock", params={"pubs": [], "version": 2}))
        assert value(h, "sojourn_preparation_seconds_count", device="mock") == 2
        assert h.service.measures.registry.get_sample_value(
            "sojourn_preparation_seconds_count", {"device": "slow"}
        ) in (None, 0.0)

    run_service(body)


async def in_sessions(h: ServiceHarness, who: Principal) -> list[JobView]:
    made = []
    for mode in ("dedicated", "batch"):
        session = await h.service.sessions.open(who, device="mock", mode=mode, max_time=None)
        job = await h.submit(who, job_body(session_id=session.id))
        made.append(await h.ended(who, job.id))
        await h.service.sessions.close(who, session.id)
    return made


def test_a_run_that_is_lost_with_its_worker_is_counted_and_waits_only_once(run_service: RunService) -> None:
    async def before(h: ServiceHarness) -> None:
        ann = await h.user("ann")
        job = await h.submit(ann, job_body("slow"))
        await h.running(ann, job.id)

    async def after(h: ServiceHarness) -> None:
        assert value(h, "sojourn_jobs_requeued_total", device="slow") == 1
        await doing(h, "slow", Doing.BUSY)
        await h.settled()
        assert value(h, "sojourn_jobs_accepted_total", device="slow", mode="job") == 0
        assert h.service.measures.registry.get_sample_value(
            "sojourn_job_wait_seconds_count", {"device": "slow", "mode": "job"}
        ) in (None, 0.0), "its first start was before the restart"

    run_service(before, after)


def test_what_a_device_does_adds_up_to_the_time_that_has_passed(run_service: RunService) -> None:
    async def body(h: ServiceHarness) -> None:
        ann, op = await h.user("ann"), operator(h)
        running = await h.submit(ann, job_body("slow"))
        await h.running(ann, running.id)
        await doing(h, "mock", Doing.IDLE)
        h.clock.advance(5.0)
        session = await h.service.sessions.open(ann, device="mock", mode="batch", max_time=None)
        job = await h.submit(ann, job_body(session_id=session.id))
        await h.ended(ann, job.id)
        await doing(h, "mock", Doing.HELD)
        h.clock.advance(7.0)
        await h.service.control.halt(op, "mock", "maintenance")
        h.clock.advance(11.0)
        await h.service.control.resume(op, "mock")
        h.clock.advance(1000.0)  # the ttl of the batch is over after a part of it
        found = await samples(h)
        slow, mock = (
            {doing: found["sojourn_device_seconds_total", device, doing] for doing in Doing}
            for device in ("slow", "mock")
        )
        assert mock[Doing.STOPPED] == 11.0
        assert mock[Doing.HELD] == 300.0 - 11.0, "the ttl of a session goes on in maintenance"
        assert mock[Doing.BUSY] == mock[Doing.RESERVED] == 0
        assert mock[Doing.DOWN] == 0, "no time passes while a worker comes up"
        assert slow[Doing.BUSY] == sum(slow.values()) == sum(mock.values()) == 1023.0
        present = {doing for doing in Doing if found["sojourn_device_state", "mock", doing]}
        assert present == {Doing.IDLE}

    run_service(body, server=OPEN, batch_ttl=300.0)


def test_a_scrape_has_the_queue_with_its_age_the_sessions_and_the_workers(run_service: RunService) -> None:
    async def body(h: ServiceHarness) -> None:
        ann = await h.user("ann")
        running = await h.submit(ann, job_body("slow"))
        await h.running(ann, running.id)
        h.clock.advance(3.0)
        for _ in range(2):
            await h.submit(ann, job_body("slow"))
        await h.service.sessions.open(ann, device="slow", mode="batch", max_time=None)
        h.clock.advance(60.0)
        while h.engine.state("slow").phase is not WorkerPhase.BUSY:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        found = await samples(h)
        assert found["sojourn_queue_jobs", "slow"] == 2
        assert found["sojourn_queue_oldest_seconds", "slow"] == 60.0
        assert found["sojourn_queue_oldest_seconds", "mock"] == 0
        assert found["sojourn_sessions", "slow", "batch", "open"] == 1
        assert found["sojourn_sessions", "slow", "session", "open"] == 0
        assert found["sojourn_worker_phase", "slow", "busy"] == 1
        assert found["sojourn_worker_starts_total", "slow"] == 1
        assert found["sojourn_preparers_wanted",] == 2
        assert 1 <= found["sojourn_preparers_up",] <= 2
        assert found["sojourn_store_commit_transactions_count",] > 0
        assert found["sojourn_store_size_bytes",] > 0
        assert found["sojourn_store_full",] == 0

    run_service(body, server=OPEN)


def test_a_scrape_has_the_streams_with_what_they_were_told_and_the_forecasts(run_service: RunService) -> None:
    async def body(h: ServiceHarness) -> None:
        ann = await h.user("ann")
        stream = await h.service.streams.open(ann, Wanted(), None)
        assert await stream.next() == [], "it is in the present"
        job = await h.submit(ann, job_body("slow"))
        await h.running(ann, job.id)
        told = len(await stream.next())
        await h.service.jobs.why(ann, job.id)
        found = await samples(h)
        assert found["sojourn_event_streams",] == 1
        assert found["sojourn_event_streams_limit",] == h.service.settings.server.streams
        assert found["sojourn_events_told_total",] == told > 0
        assert found["sojourn_event_streams_cut_total",] == 0
        assert found["sojourn_forecasts_total", "slow"] == 1
        assert found["sojourn_forecast_cpu_seconds_total", "slow"] > 0
        assert found["sojourn_forecasts_total", "mock"] == 0
        stream.close()

    run_service(body, server=OPEN)


def test_who_is_no_operator_reads_no_metrics_unless_they_are_open(run_service: RunService) -> None:
    keys: dict[str, str] = {}

    async def closed(h: ServiceHarness) -> None:
        keys["ann"] = (await h.service.users.add("ann", "lab")).api_key
        keys["op"] = (await h.service.users.add("op", "ops", True)).api_key
        nobody, ann, op = [await scraped(h, who) for who in (None, keys["ann"], keys["op"])]
        assert [reply.status_code for reply in (nobody, ann, op)] == [401, 403, 200]
        assert "server.metrics" in ann.json()["error"]["message"]
        assert op.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"

    run_service(closed)

    async def opened(h: ServiceHarness) -> None:
        replies = [await scraped(h, who) for who in (None, keys["ann"], "wrong")]
        assert [reply.status_code for reply in replies] == [200, 200, 200]

    run_service(opened, server=OPEN)


def test_however_many_ask_at_once_the_text_is_made_once() -> None:
    taken = 0

    async def take(sheet: Sheet) -> None:
        nonlocal taken
        taken += 1
        await asyncio.sleep(0)

    async def body() -> None:
        exposition = Exposition(Measures().registry, take)
        texts = await asyncio.gather(*(exposition.text() for _ in range(100)))
        assert len(set(texts)) == 1
        assert await exposition.text() == texts[0]
        assert taken == 1

    asyncio.run(body())
