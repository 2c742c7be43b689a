"""Who had a device when, as it is drawn. The real store and workers, virtual time."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from sojourn.service.errors import BadRequest, NotFound
from sojourn.service.reservations.timeline import LONGEST, Bar, TimelineView, merged
from sojourn.service.views import Principal
from tests.harness.programs import job_body
from tests.harness.service import ServiceHarness
from tests.integration.service.operations import AT_ONCE, HOUR, book, calibrated, operator

RunService = Callable[..., None]


async def drawn(h: ServiceHarness, who: Principal, device: str = "slow", most: int = 100) -> TimelineView:
    now = h.clock.now()
    return await h.service.timeline.of(who, device, now - 10 * HOUR, now + 10 * HOUR, most=most)


def test_a_session_is_a_band_and_the_time_between_its_jobs_is_a_bar(run_service: RunService) -> None:
    async def body(h: ServiceHarness) -> None:
        ann, begin = await h.user("ann"), h.clock.now()
        session = await h.service.sessions.open(ann, device="mock", mode="dedicated", max_time=None)
        job = await h.submit(ann, job_body("mock", session_id=session.id))
        await h.ended(ann, job.id)  # in no time at all, as time is virtual
        h.clock.advance(10)
        (held,) = (await drawn(h, ann, "mock")).bars
        assert (held.kind, held.start, held.end, held.session) == ("held", begin, None, session.id)
        await h.service.sessions.close(ann, session.id)
        view = await drawn(h, ann, "mock")
        assert [(b.kind, b.start, b.end) for b in view.bars] == [("held", begin, begin + 10)]
        (band,) = view.sessions
        assert (band.id, band.mode, band.end) == (session.id, "dedicated", begin + 10)
        assert [state for state, _ in band.steps] == ["open", "active", "closed"]

    run_service(body)


def test_a_running_job_is_a_bar_without_an_end(run_service: RunService) -> None:
    async def body(h: ServiceHarness) -> None:
        ann, begin = await h.user("ann"), h.clock.now()
        job = await h.submit(ann, job_body("slow"))
        await h.running(ann, job.id)
        (bar,) = (await drawn(h, ann)).bars
        assert (bar.kind, bar.job, bar.start, bar.end) == ("job", job.id, begin, None)
        h.clock.advance(100)
        await h.service.jobs.cancel(ann, job.id)
        await h.ended(ann, job.id)
        (bar,) = (await drawn(h, ann)).bars
        assert (bar.start, bar.end, bar.state) == (begin, begin + 100, "cancelled")

    run_service(body)


def test_others_see_that_the_device_was_busy_and_nothing_more(run_service: RunService) -> None:
    async def body(h: ServiceHarness) -> None:
        ann, bob = await h.user("ann"), await h.user("bob")
        session = await h.service.sessions.open(ann, device="slow", mode="dedicated", max_time=None)
        job = await h.submit(ann, job_body("slow", session_id=session.id))
        await h.running(ann, job.id)
        h.clock.advance(50)
        await h.service.sessions.close(ann, session.id)
        await h.service.jobs.cancel(ann, job.id)
        await h.ended(ann, job.id)
        mine, seen, all_ = [await drawn(h, who) for who in (ann, bob, operator(h))]
        assert [bar.job for bar in mine.bars if bar.kind == "job"] == [job.id]
        assert all(bar.mine for bar in mine.bars)
        assert [bar.user for bar in all_.bars if bar.kind == "job"] == ["ann"]
        assert not any(bar.mine for bar in all_.bars)
        assert [(b.kind, b.start, b.end) for b in seen.bars] == [(b.kind, b.start, b.end) for b in mine.bars]
        for bar in seen.bars:
            assert (bar.job, bar.session, bar.user, bar.project, bar.program) == (None,) * 5
        (band,) = seen.sessions
        assert (band.id, band.user, band.project, band.ends) == (None,) * 4

    run_service(body)


def test_reservations_and_calibrations_are_there_too(run_service: RunService) -> None:
    async def body(h: ServiceHarness) -> None:
        ann = await h.user("ann")
        await h.service.devices.description("mock")
        made = await book(h, operator(h), start=h.clock.now() + HOUR)
        await calibrated(h, "mock")
        view = await drawn(h, operator(h), "mock")
        assert [each.id for each in view.reservations] == [made.id]
        assert [name for name, _ in view.calibrations] == ["cal-1", "cal-2"]
        (others,) = (await drawn(h, ann, "mock")).reservations
        assert (others.id, others.start, others.end) == (None, made.start, made.end)

    run_service(body, sections=AT_ONCE)


def test_what_cannot_be_drawn_is_refused(run_service: RunService) -> None:
    async def body(h: ServiceHarness) -> None:
        ann, now = await h.user("ann"), h.clock.now()
        for start, end in ((now, now), (now, now - 1), (now, now + LONGEST + 1)):
            with pytest.raises(BadRequest, match="400 days"):
                await h.service.timeline.of(ann, "mock", start, end)
        with pytest.raises(NotFound, match="nowhere"):
            await h.service.timeline.of(ann, "nowhere", now - 1, now)

    run_service(body)


def bars(*spans: tuple[float, float, str]) -> list[Bar]:
    return [Bar("job", start, end, end - start, project=project) for start, end, project in spans]


def test_few_bars_are_drawn_as_they_are() -> None:
    few = bars((0, 1, "a"), (1, 2, "b"))
    assert merged(few, 10.0, 2) == few


def test_many_short_bars_are_one_with_what_they_have_in_common() -> None:
    many = bars((0, 1, "a"), (2, 3, "a"), (4, 5, "a"), (10, 30, "b"), (31, 32, "a"), (33, 34, "b"))
    first, long, last = merged(many, 10.0, 2)
    assert (first.start, first.end, first.seconds, first.count, first.project) == (0, 5, 3, 3, "a")
    assert long == many[3]
    assert (last.start, last.end, last.count, last.project, last.job) == (31, 34, 2, None, None)


def test_at_most_two_bars_are_drawn_for_each_of_the_least_lengths() -> None:
    many = bars(*((i / 10, i / 10 + 0.05, "ab"[i % 2]) for i in range(10_000)))
    found = merged(many, 1000 / 100, 100)
    assert len(found) <= 200
    assert sum(bar.count for bar in found) == 10_000
    assert sum(bar.seconds for bar in found) == pytest.approx(500)
