"""Reservations, with the real store and real workers, in virtual time."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from sojourn.config import ReservationSettings
from sojourn.service.accounts.directory import Membership
from sojourn.service.errors import BadRequest, Conflict, Forbidden, NotFound
from sojourn.service.reservations.plans import Plan
from sojourn.service.reservations.views import NewReservation, ReservationView
from sojourn.service.views import JobView, Principal
from tests.harness.programs import job_body
from tests.harness.service import QUICK, SLOW, ServiceHarness
from tests.integration.service.operations import AT_ONCE, HOUR, book, operator, state

RunService = Callable[..., None]


async def members(h: ServiceHarness) -> tuple[Principal, Principal, Principal]:
    """An admin of the project `lab`, a member of it, and somebody else."""
    service = h.service
    found = []
    for name, project in (("ada", "lab"), ("ben", "lab"), ("cyd", "other")):
        await service.users.add(name, project)
        found.append(service.accounts.principal(service.accounts.user_id(name), None))
    ada = found[0]
    await service.accounts.put(members={(ada.project_id, ada.user_id): Membership(admin=True)})
    return found[0], found[1], found[2]


def test_r47_operators_and_project_admins_book_and_others_see_only_busy_times(
    run_service: RunService,
) -> None:
    async def body(h: ServiceHarness) -> None:
        ada, ben, cyd = await members(h)
        made = await book(h, ada, start=h.clock.now() + HOUR)
        assert (made.project, made.user, made.state) == ("lab", "ada", "booked")
        for who in (ben, cyd):
            with pytest.raises(Forbidden, match="admins"):
                await book(h, who, start=h.clock.now() + 5 * HOUR)
        with pytest.raises(Forbidden, match="not in a project 'other'"):
            await book(h, ada, project="other", start=h.clock.now() + 5 * HOUR)
        by_operator = await book(h, operator(h), project="other", start=h.clock.now() + 5 * HOUR)
        assert by_operator.project == "other"
        assert await h.service.reservations.calendar(ben) == await h.service.reservations.calendar(ada)
        busy, own = await h.service.reservations.calendar(cyd)
        assert (busy.id, busy.project, busy.user, busy.after_window) == (None, None, None, None)
        assert (busy.start, busy.end) == (made.start, made.end)
        assert own.id == by_operator.id
        with pytest.raises(NotFound):
            await h.service.reservations.cancel(cyd, made.id or "")
        with pytest.raises(Forbidden):
            await h.service.reservations.cancel(ben, made.id or "")
        assert (await h.service.reservations.cancel(ada, made.id or "")).state == "cancelled"
        with pytest.raises(Conflict, match="cancelled"):
            await h.service.reservations.cancel(ada, made.id or "")
        assert [r.id for r in await h.service.reservations.calendar(cyd, ended=True)] == [own.id]
        assert [r.state for r in await h.service.reservations.calendar(ada, ended=True)] == [
            "cancelled",
            "booked",
        ]

    run_service(body)


def test_r47_what_cannot_be_booked_is_refused_with_1223_and_the_limit(run_service: RunService) -> None:
    async def body(h: ServiceHarness) -> None:
        op = operator(h)
        now = h.clock.now()
        await book(h, op, start=now + HOUR)
        for more, why in (
            ({"start": now - 1}, "past"),
            ({"start": now + 1.5 * HOUR}, "cannot overlap"),
            ({"start": now + 9 * HOUR, "length": 599.0}, "at least 600 s"),
            ({"start": now + 9 * HOUR, "length": 7.5 * HOUR}, "28800"),
        ):
            with pytest.raises(BadRequest, match=why) as refusal:
                await book(h, op, **more)
            assert refusal.value.code == 1223
        with pytest.raises(BadRequest, match="one of the two"):
            await book(h, op, end=now + HOUR)
        with pytest.raises(NotFound, match="nowhere"):
            await book(h, op, device="nowhere")
        with pytest.raises(NotFound, match="no project 'x'"):
            await book(h, op, project="x")

    run_service(body, reservation_minimum=600.0, reservation_allowance=8 * HOUR)


async def plan(h: ServiceHarness, who: Principal, **more: Any) -> Plan:
    wanted: dict[str, Any] = {"device": "mock", "project": None, "start": None, "length": HOUR}
    return await h.service.reservations.plan(who, NewReservation(**(wanted | more)))


def left(found: Plan) -> list[tuple[str, str | None, float, float, float | None]]:
    return [(each.name, each.device, each.used, each.then, each.left) for each in found.allowances]


def test_a_plan_says_what_is_in_the_way_and_what_is_left_and_reserves_nothing(
    run_service: RunService,
) -> None:
    async def body(h: ServiceHarness) -> None:
        ada, ben, cyd = await members(h)
        now = h.clock.now()
        first = await plan(h, ada, start=now + HOUR)
        assert (first.refused, first.conflicts) == (None, ())
        assert (first.project, first.end - first.start, first.mode) == ("lab", HOUR, "dedicated")
        assert left(first) == [
            ("lab", None, 0.0, HOUR, 2 * HOUR),
            ("ada", None, 0.0, HOUR, 2 * HOUR),
            ("lab", "mock", 0.0, HOUR, HOUR),
        ]
        assert await h.service.reservations.calendar(ada) == []
        made = await book(h, ada, start=now + HOUR)
        theirs = await book(h, operator(h), project="other", start=now + 3 * HOUR)
        second = await plan(h, ada, start=now + 1.5 * HOUR, length=2.5 * HOUR)
        assert [each.id for each in second.conflicts] == [made.id, None], "another project's has no id"
        assert (second.conflicts[1].start, second.conflicts[1].end) == (theirs.start, theirs.end)
        assert "User ada would have" not in (second.refused or "")
        assert left(second) == [
            ("lab", None, HOUR, 3.5 * HOUR, 0.0),
            ("ada", None, HOUR, 3.5 * HOUR, 0.0),
            ("lab", "mock", HOUR, 3.5 * HOUR, 0.0),
        ]
        for who in (ben, cyd):
            with pytest.raises(Forbidden):
                await plan(h, who, start=now + 8 * HOUR)
        with pytest.raises(NotFound):
            await plan(h, ada, device="nowhere")

    bounds = ReservationSettings(notice=0, allowance=3 * HOUR)
    run_service(body, reservation_allowance=2 * HOUR, sections={"reservations": bounds})


def test_a_plan_is_refused_with_the_words_of_the_reservation(run_service: RunService) -> None:
    async def body(h: ServiceHarness) -> None:
        ada, _, _ = await members(h)
        now = h.clock.now()
        for who, more in (
            (ada, {"start": now + 600}),  # the notice
            (ada, {"start": now + 2 * HOUR, "length": 9 * HOUR}),
            (ada, {"start": now + 2 * HOUR, "length": 1.0}),
            (ada, {"start": now + 9 * 24 * HOUR, "length": None, "end": now + HOUR}),
            (operator(h), {"start": now - 1}),
            (operator(h), {"start": now + HOUR, "length": 1.0}),
        ):
            with pytest.raises(BadRequest) as refusal:
                await book(h, who, **more)
            assert (await plan(h, who, **more)).refused == refusal.value.message
        open_ended = await plan(h, operator(h), length=100 * HOUR)
        assert open_ended.refused is None
        assert [each.binds for each in open_ended.allowances] == [False, False, True]

    run_service(body, reservation_minimum=600.0)


def test_a_restart_in_the_middle_of_a_window_keeps_everything(run_service: RunService) -> None:
    waiting: list[JobView] = []
    windows: list[ReservationView] = []

    async def before(h: ServiceHarness) -> None:
        ada, _, cyd = await members(h)
        await h.service.devices.description("mock")  # the device is there: from now on it can stand idle
        windows.append(await book(h, ada))
        windows.append(await book(h, ada, device="slow", start=h.clock.now() + HOUR, mode="priority"))
        h.clock.advance(600)
        assert (await h.ended(ada, (await h.submit(ada, job_body())).id)).state == "completed"
        waiting.append(await h.submit(cyd, job_body()))
        assert await state(h, cyd, waiting[0]) == "queued"

    async def after(h: ServiceHarness) -> None:
        ada, cyd = (
            h.service.accounts.principal(h.service.accounts.user_id(name), None) for name in ("ada", "cyd")
        )
        found = await h.service.reservations.calendar(ada)
        assert [r.id for r in found] == [w.id for w in windows]
        assert [r.state for r in found] == ["open", "booked"]
        assert await state(h, cyd, waiting[0]) == "queued"
        assert (await h.ended(ada, (await h.submit(ada, job_body())).id)).state == "completed"
        h.clock.advance(HOUR - 600 - 1)
        assert await state(h, cyd, waiting[0]) == "queued"
        h.clock.advance(1)
        assert (await h.ended(cyd, waiting[0].id)).state == "completed"
        assert [r.state for r in await h.service.reservations.calendar(ada, "mock", ended=True)] == ["ended"]
        assert h.service.usage.window(ada).consumed_seconds == pytest.approx(HOUR)  # D13: idle time counts

    run_service(before, after, sections=AT_ONCE)


def test_cancelling_an_open_window_frees_the_device_at_once(run_service: RunService) -> None:
    async def body(h: ServiceHarness) -> None:
        ada, _, cyd = await members(h)
        made = await book(h, ada)
        job = await h.submit(cyd, job_body())
        assert await state(h, cyd, job) == "queued"
        await h.service.reservations.cancel(operator(h), made.id or "")
        assert (await h.ended(cyd, job.id)).state == "completed"

    run_service(body, sections=AT_ONCE)


def test_the_calendar_of_a_device_has_only_its_own(run_service: RunService) -> None:
    async def body(h: ServiceHarness) -> None:
        op = operator(h)
        await book(h, op)
        other = await book(h, op, device="slow")
        assert [r.id for r in await h.service.reservations.calendar(op, "slow")] == [other.id]
        with pytest.raises(NotFound):
            await h.service.reservations.calendar(op, "nowhere")

    run_service(body, devices=(QUICK, SLOW))
