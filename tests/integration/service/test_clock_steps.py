"""D24 in the whole service: the machine's clock is set under it. Real store and workers, virtual time."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from sojourn.api.ibm.submit import submit
from sojourn.config import DeviceSettings
from sojourn.service.projects.usage import UsageQuery
from sojourn.service.requests.exchange import Call, Exchange
from sojourn.service.retention import EVERY
from sojourn.service.timing.clock import VirtualClock
from sojourn.service.views import Principal
from tests.harness.programs import job_body
from tests.harness.service import SLOW, ServiceHarness
from tests.integration.service.operations import book, calibrated, operator

RunService = Callable[..., None]
HOUR, DAY = 3600.0, 86_400.0
STEPS = [4 * HOUR, 400 * DAY, -HOUR, -400 * DAY]
NOON = DeviceSettings(name="mock", driver="mock", options={"qubits": 5}, calibrate="0 12 * * *")


def person(h: ServiceHarness, name: str) -> Principal:
    accounts = h.service.accounts
    return accounts.principal(accounts.user_id(name), None)


@pytest.mark.parametrize("by", STEPS)
def test_d24_a_running_job_and_its_session_do_not_notice(run_service: RunService, by: float) -> None:
    async def body(h: ServiceHarness) -> None:
        ann = await h.user("ann")
        session = await h.service.sessions.open(ann, device="slow", mode="dedicated", max_time=3000.0)
        job = await h.submit(ann, job_body(backend="slow", session_id=session.id))
        await h.running(ann, job.id)
        h.clock.advance(100)
        h.clock.step(by)
        # read before the step is committed, too
        for _ in range(2):
            seen = await h.service.sessions.get(ann, session.id)
            assert (seen.state, seen.elapsed, seen.active_ttl) == ("active", 100.0, 2900.0)
            await h.settled()
        running = await h.service.jobs.get(ann, job.id)
        assert running.state == "running"
        assert running.started == h.clock.now() - 100
        h.clock.advance(2899)
        assert (await h.service.sessions.get(ann, session.id)).state == "active"
        h.clock.advance(1)
        await h.settled()
        assert (await h.service.sessions.get(ann, session.id)).state == "pending_closed"
        await h.service.jobs.cancel(ann, job.id)
        ended = await h.service.jobs.get(ann, job.id)
        assert ended.quantum_seconds == 3000.0
        assert (ended.started, ended.finished) == (h.clock.now() - 3000.0, h.clock.now())
        report = await h.service.usage.report(ann, UsageQuery(start=0.0, by=("kind",)))
        assert [(row.keys, row.seconds) for row in report.rows] == [(("job",), 3000.0)]

    run_service(body, devices=(SLOW,))


@pytest.mark.parametrize("by", STEPS)
def test_d24_usage_is_as_old_after_a_restart_as_the_time_that_has_passed(
    run_service: RunService, by: float
) -> None:
    used: list[float] = []

    async def run(h: ServiceHarness) -> None:
        ann = await h.user("ann")
        job = await h.submit(ann, job_body(backend="slow"))
        await h.running(ann, job.id)
        h.clock.advance(100)
        await h.service.jobs.cancel(ann, job.id)
        h.clock.advance(20 * DAY)
        h.clock.step(by)
        used.append(h.service.usage.window(ann).consumed_seconds)

    async def later(h: ServiceHarness) -> None:
        assert h.service.usage.window(person(h, "ann")).consumed_seconds == used[0] == 100.0
        for desk in h.service.parts.lanes.dispatchers.values():
            assert desk.lane.used(person(h, "ann").project_id) == 100.0
        h.clock.advance(8 * DAY - 200)
        assert h.service.usage.window(person(h, "ann")).consumed_seconds == 100.0
        h.clock.advance(2 * HOUR)
        assert h.service.usage.window(person(h, "ann")).consumed_seconds == 0.0

    run_service(run, later, devices=(SLOW,))


def test_d24_time_does_not_go_back_when_the_clock_was_set_back_while_the_server_was_down(
    run_service: RunService,
) -> None:
    last: list[float] = []
    clocks: list[VirtualClock] = []

    async def before(h: ServiceHarness) -> None:
        clocks.append(h.clock)
        ann = await h.user("ann")
        job = await h.submit(ann, job_body())
        ended = await h.ended(ann, job.id)
        await book(h, operator(h), project="anns", start=h.clock.date() + HOUR)
        last.append(ended.finished or 0.0)
        await h.service.stop()
        h.clock.step(-2 * HOUR)

    async def after(h: ServiceHarness) -> None:
        ann = person(h, "ann")
        assert h.service.clock.lead == 2 * HOUR
        job = await h.submit(ann, job_body())
        ended = await h.ended(ann, job.id)
        assert last[0] <= job.created <= (ended.started or 0.0) <= (ended.finished or 0.0)
        h.clock.advance(3 * HOUR - 1)  # the reservation begins by the clock
        (window,) = await h.service.reservations.calendar(ann, "mock")
        assert window.state == "booked"
        h.clock.advance(1)
        await h.settled()
        (window,) = await h.service.reservations.calendar(ann, "mock")
        assert (window.state, window.start) == ("open", h.clock.date())

    run_service(before, after)


def test_d24_now_is_what_the_clock_shows_and_a_booking_from_now_on_is_open(run_service: RunService) -> None:
    async def body(h: ServiceHarness) -> None:
        await h.user("ann")
        h.clock.step(-HOUR)
        h.clock.advance(0.123_456_7)
        made = await book(h, operator(h), project="anns", device="slow")
        assert made.state == "open"
        assert made.start == pytest.approx(h.clock.date(), abs=1e-5)
        h.clock.advance(600)
        h.clock.step(4 * HOUR)
        await h.settled()
        (seen,) = await h.service.reservations.calendar(operator(h), "slow")
        assert seen.end == pytest.approx(h.clock.date() + HOUR - 600, abs=1e-5)
        await h.service.control.halt(operator(h), "slow", "paused", until=h.clock.date() + 1)

    run_service(body, devices=(SLOW,))


def test_d24_a_clock_that_is_put_right_within_the_hour_has_deleted_nothing(run_service: RunService) -> None:
    async def body(h: ServiceHarness) -> None:
        ann = await h.user("ann")
        job = await h.submit(ann, job_body())
        await h.ended(ann, job.id)
        h.clock.advance(EVERY - 1)
        h.clock.step(400 * DAY)
        h.clock.advance(EVERY - 1)  # a round would have been due
        await h.settled()
        h.clock.step(-400 * DAY)
        h.clock.advance(EVERY)
        assert h.service.parts.retention._round is not None
        await h.service.parts.retention._round
        assert await h.service.jobs.result(ann, job.id)
        h.clock.advance(3 * DAY)
        await h.service.parts.retention.run()
        assert not await h.service.parts.store.read(
            lambda c: c.exec_driver_sql("SELECT count(result_hash) FROM jobs").scalar()
        )

    run_service(body, sections={"retention": {"results_days": 2}})


def test_d24_a_schedule_follows_the_clock(run_service: RunService) -> None:
    async def body(h: ServiceHarness) -> None:
        await calibrated(h, "mock")
        due = h.service.devices.get("mock").next_calibration
        assert due is not None
        h.clock.step(-DAY)
        assert h.service.devices.get("mock").next_calibration == due - DAY
        h.clock.step(2 * DAY)
        await h.settled()
        jobs = h.service.parts.lanes.dispatchers["mock"].lane.jobs
        assert [job.program for job in jobs.values()] == ["calibrate"]

    run_service(body, devices=(NOON,))


@pytest.mark.parametrize("by", STEPS)
def test_r54_a_lost_reply_is_remembered_as_long_as_ever(run_service: RunService, by: float) -> None:
    lost: list[str] = []

    async def send(h: ServiceHarness, exchange: Exchange) -> str:
        return (await submit(h.service, person(h, "ann"), job_body(), call=Call(exchange=exchange))).id

    async def before(h: ServiceHarness) -> None:
        await h.user("ann")
        lost.append(await send(h, Exchange(h.clock.monotonic())))
        h.clock.advance(100)
        h.clock.step(by)

    async def after(h: ServiceHarness) -> None:
        assert await send(h, Exchange(h.clock.monotonic())) == lost[0]

    run_service(before, after)
