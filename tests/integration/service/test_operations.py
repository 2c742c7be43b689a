"""Device states, calibrations and reservations, with the real store and real workers, in virtual time."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable
from datetime import datetime
from typing import Any

import pytest
from qiskit import QuantumCircuit

from sojourn.api.http.replies import iso
from sojourn.config import DeviceSettings, ReservationSettings
from sojourn.core.wording.formatting import at_time
from sojourn.service.accounts.directory import Membership
from sojourn.service.errors import BadRequest, Conflict, Forbidden, NotFound
from sojourn.service.reservations.reservations import ReservationView
from sojourn.service.views import JobFilter, JobView, Principal
from sojourn.store import ledger
from tests.harness.programs import job_body, sampler_params
from tests.harness.service import QUICK, SLOW, ServiceHarness

RunService = Callable[..., None]
HOUR = 3600.0
AT_ONCE = {"reservations": ReservationSettings(notice=0)}
DRIFTING = DeviceSettings(
    name="manila", driver="fake", options={"backend": "FakeManilaV2", "drift": 0.5, "seed": 3}
)
NIGHTLY = DeviceSettings(name="mock", driver="mock", options={"qubits": 5}, calibrate="0 4 * * *")


def operator(h: ServiceHarness) -> Principal:
    accounts = h.service.accounts
    return accounts.principal(accounts.user_id("operator"), None)


async def state(h: ServiceHarness, who: Principal, job: JobView) -> str:
    await h.settled()
    return (await h.service.jobs.get(who, job.id)).state


async def calibrated(h: ServiceHarness, device: str) -> JobView:
    return await h.ended(operator(h), (await h.service.control.calibrate(operator(h), device)).id)


async def book(h: ServiceHarness, who: Principal, **more: Any) -> ReservationView:
    wanted: dict[str, Any] = {"device": "mock", "project": None, "start": None, "length": HOUR}
    return await h.service.reservations.make(who, **(wanted | more))


# Device states


@pytest.mark.parametrize("mode", ["paused", "maintenance"])
def test_a_paused_device_accepts_and_starts_nothing_also_after_a_restart(
    run_service: RunService, mode: str
) -> None:
    waiting: list[JobView] = []

    async def before(h: ServiceHarness) -> None:
        ann = await h.user("ann")
        until = h.clock.now() + HOUR
        await h.service.control.halt(operator(h), "mock", mode, "new  fridge", until)
        waiting.append(await h.submit(ann, job_body()))
        assert await state(h, ann, waiting[0]) == "queued"

    async def after(h: ServiceHarness) -> None:
        ann = h.service.accounts.principal(h.service.accounts.user_id("ann"), None)
        assert await state(h, ann, waiting[0]) == "queued"
        device = h.service.devices.get("mock")
        assert not device.operational
        assert device.message == f"{mode}: new fridge (expected until {at_time(h.clock.now() + HOUR)})"
        assert (device.state.name, device.state.by) == (mode, "operator")
        assert device.state.until == h.clock.now() + HOUR
        h.clock.advance(2 * HOUR)  # the expected end is only expected
        assert await state(h, ann, waiting[0]) == "queued"
        await h.service.control.resume(operator(h), "mock")
        await h.service.control.resume(operator(h), "mock")
        assert (await h.ended(ann, waiting[0].id)).state == "completed"
        assert h.service.devices.get("mock").message == "active"

    run_service(before, after)


def test_d16_a_draining_device_refuses_new_work_and_runs_what_it_has(run_service: RunService) -> None:
    async def body(h: ServiceHarness) -> None:
        ann = await h.user("ann")
        session = await h.service.sessions.open(ann, device="mock", mode="dedicated", max_time=None)
        await h.service.control.halt(operator(h), "mock", "draining", "moving out")
        with pytest.raises(BadRequest, match="moving out") as refusal:
            await h.submit(ann, job_body())
        assert refusal.value.code == 1224
        with pytest.raises(BadRequest, match="moving out"):
            await h.service.sessions.open(ann, device="mock", mode="batch", max_time=None)
        job = await h.submit(ann, job_body(session_id=session.id))
        assert (await h.ended(ann, job.id)).state == "completed"
        device = h.service.devices.get("mock")
        assert (device.operational, device.message) == (True, "draining: moving out")
        await h.service.devices.described()
        assert (await h.service.ready())["ready"] is True

    run_service(body)


def test_only_operators_change_a_devices_state_or_calibrate(run_service: RunService) -> None:
    async def body(h: ServiceHarness) -> None:
        ann = await h.user("ann")
        for call in (
            h.service.control.halt(ann, "mock", "paused"),
            h.service.control.resume(ann, "mock"),
            h.service.control.calibrate(ann, "mock"),
        ):
            with pytest.raises(Forbidden, match="operator"):
                await call
        with pytest.raises(NotFound, match="nowhere"):
            await h.service.control.halt(operator(h), "nowhere", "paused")
        with pytest.raises(BadRequest, match="past"):
            await h.service.control.halt(operator(h), "mock", "paused", until=h.clock.now() - 1)
        with pytest.raises(BadRequest, match="300"):
            await h.service.control.halt(operator(h), "mock", "paused", "x" * 301)

    run_service(body)


# Calibrations


def test_a_calibration_is_a_system_job_that_nobody_pays_and_users_do_not_see(run_service: RunService) -> None:
    async def body(h: ServiceHarness) -> None:
        ann = await h.user("ann")
        job = await h.service.control.calibrate(operator(h), "mock", "weekly")
        done = await h.ended(operator(h), job.id)
        assert (done.state, done.program_id, done.user, done.project, done.session_id) == (
            "completed",
            "calibrate",
            "system",
            "system",
            None,
        )
        assert done.caller == "operator: weekly"
        assert (await h.service.jobs.find(ann, JobFilter())).count == 0
        assert [v.id for v in (await h.service.jobs.find(operator(h), JobFilter())).jobs] == [job.id]
        for call in (
            h.service.jobs.get,
            h.service.jobs.cancel,
            h.service.jobs.delete,
            h.service.jobs.history,
        ):
            with pytest.raises(NotFound):
                await call(ann, job.id)
        assert "system" not in {user.name for user in h.service.users.all()}
        kinds = await h.service.parts.store.read(ledger.charged, 0.0, 3600.0)
        assert kinds == [], "a system job counts for nobody's share"
        assert [c.id for c in h.service.devices.calibrations("mock")] == ["cal-2", "cal-1"]

    run_service(body)


def test_a_calibration_that_waits_is_answered_with_its_place(run_service: RunService) -> None:
    async def body(h: ServiceHarness) -> None:
        ann = await h.user("ann")
        job = await h.submit(ann, job_body("slow"))
        await h.running(ann, job.id)
        asked = await h.service.control.calibrate(operator(h), "slow")
        assert (asked.state, asked.position) == ("queued", 1)  # behind the one that runs (R11)
        assert (await h.service.jobs.why(operator(h), asked.id)).position == 1
        assert (await h.service.jobs.get(operator(h), asked.id)).position == 1

    run_service(body)


def test_there_are_never_two_pending_calibrations_of_a_device(run_service: RunService) -> None:
    async def body(h: ServiceHarness) -> None:
        await h.service.control.halt(operator(h), "mock", "paused")
        first = await h.service.control.calibrate(operator(h), "mock")
        with pytest.raises(Conflict, match=first.id):
            await h.service.control.calibrate(operator(h), "mock")
        await h.service.jobs.cancel(operator(h), first.id)
        await h.service.control.calibrate(operator(h), "mock")

    run_service(body)


def test_r11_d1_a_calibration_in_a_hold_does_not_end_the_session(run_service: RunService) -> None:
    async def body(h: ServiceHarness) -> None:
        ann, bob = await h.user("ann"), await h.user("bob")
        session = await h.service.sessions.open(ann, device="mock", mode="dedicated", max_time=None)
        await h.ended(ann, (await h.submit(ann, job_body(session_id=session.id))).id)
        other = await h.submit(bob, job_body())
        assert (await calibrated(h, "mock")).state == "completed"
        assert (await h.service.sessions.get(ann, session.id)).state == "active"
        assert await state(h, bob, other) == "queued"
        await h.ended(ann, (await h.submit(ann, job_body(session_id=session.id))).id)
        assert await state(h, bob, other) == "queued"

    run_service(body)


def test_a_calibration_refreshes_the_properties_and_the_old_ones_stay_to_be_asked_for(
    run_service: RunService,
) -> None:
    start: list[float] = []
    kept: list[Any] = []

    async def before(h: ServiceHarness) -> None:
        first = await h.service.devices.description("manila")
        start.append(h.clock.now())
        h.clock.advance(HOUR)
        assert (await calibrated(h, "manila")).state == "completed"
        present = await h.service.devices.description("manila")
        kept.extend([first.properties, present.properties])
        assert first.properties != present.properties
        assert present.properties is not None
        assert present.configuration == first.configuration
        h.clock.advance(HOUR)
        await asked(h)

    async def asked(h: ServiceHarness) -> None:
        ask = h.service.devices.calibrated
        for wanted, found in (
            ({}, "cal-2"),
            ({"at": start[0] - 9e8}, "cal-1"),
            ({"at": start[0] + HOUR - 1}, "cal-1"),
            ({"at": start[0] + HOUR}, "cal-2"),
            ({"at": start[0] + 9e8}, "cal-2"),
            ({"calibration_id": "cal-1"}, "cal-1"),
            ({"calibration_id": "cal-2"}, "cal-2"),
            ({"calibration_id": "cal-1"}, "cal-1"),
        ):
            name, described = await ask("manila", **wanted)
            assert name == found
            assert described.properties == kept[int(found[-1]) - 1]
        name, described = await ask(
            "mock_manila" if "mock_manila" in h.service.parts.lanes.specs else "manila"
        )
        assert name == "cal-2"
        with pytest.raises(NotFound, match="'cal-1', 'cal-2'"):
            await ask("manila", calibration_id="cal-3")

    async def after(h: ServiceHarness) -> None:
        await h.service.devices.description("manila")
        await asked(h)
        assert [c.id for c in h.service.devices.calibrations("manila")] == ["cal-2", "cal-1"]
        await calibrated(h, "manila")
        assert h.service.devices.get("manila").calibration == "cal-3"

    run_service(before, after, devices=(DRIFTING,))


def test_a_calibration_is_in_force_from_the_time_on_that_is_told_of_it(run_service: RunService) -> None:
    """Times are told to the microsecond, which may lie before the time itself."""

    async def body(h: ServiceHarness) -> None:
        await h.service.devices.description("mock")
        for _ in range(8):
            h.clock.advance(1.0 + 1e-7 * 3)
            await calibrated(h, "mock")
        for calibration in h.service.devices.calibrations("mock"):
            told = datetime.fromisoformat(iso(calibration.at) or "").timestamp()
            assert (await h.service.devices.calibrated("mock", at=told))[0] == calibration.id

    run_service(body)


def counts(result: bytes) -> Any:
    return json.loads(result)["__value__"]["pub_results"]


def test_jobs_run_under_the_present_calibration_also_in_a_new_worker_and_after_a_restart(
    run_service: RunService,
) -> None:
    seen: list[Any] = []

    async def run(h: ServiceHarness, who: Principal) -> None:
        circuit = QuantumCircuit(1, 1)
        circuit.x(0)
        circuit.measure(0, 0)
        params = sampler_params((circuit, None, 4000))
        done = await h.ended(who, (await h.submit(who, job_body("manila", params=params))).id)
        assert done.state == "completed"
        seen.append(counts(await h.result(who, done.id)))

    async def before(h: ServiceHarness) -> None:
        ann = await h.user("ann")
        await run(h, ann)
        await run(h, ann)
        assert seen[0] == seen[1], "the device has a seed"
        await calibrated(h, "manila")
        await run(h, ann)
        assert seen[2] != seen[1]
        pid = h.service.parts.engine.state("manila").pid
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
        await run(h, ann)

    async def after(h: ServiceHarness) -> None:
        await run(h, h.service.accounts.principal(h.service.accounts.user_id("ann"), None))
        assert seen[2] == seen[3] == seen[4]
        assert h.service.devices.get("manila").calibration == "cal-2"

    run_service(before, after, devices=(DRIFTING,))


def test_a_job_that_names_an_old_calibration_is_refused_with_the_present_one(run_service: RunService) -> None:
    async def body(h: ServiceHarness) -> None:
        ann = await h.user("ann")
        await h.service.devices.description("mock")
        await h.submit(ann, job_body(calibration_id="cal-1"))
        await calibrated(h, "mock")
        with pytest.raises(BadRequest, match="'cal-2'"):
            await h.submit(ann, job_body(calibration_id="cal-1"))
        with pytest.raises(BadRequest, match=r"no calibration 'cal-9'.*'cal-1', 'cal-2'"):
            await h.submit(ann, job_body(calibration_id="cal-9"))
        await h.submit(ann, job_body(calibration_id="cal-2"))

    run_service(body)


def test_another_device_behind_the_same_name_begins_a_new_calibration(run_service: RunService) -> None:
    async def before(h: ServiceHarness) -> None:
        await h.service.devices.description("manila")
        await calibrated(h, "manila")

    async def after(h: ServiceHarness) -> None:
        found = await h.service.devices.description("manila")
        assert found.num_qubits == 2
        assert h.service.devices.get("manila").calibration == "cal-3"
        assert (await h.service.devices.calibrated("manila", calibration_id="cal-2"))[1].num_qubits == 5

    run_service(before, devices=(DRIFTING,))
    run_service(after, devices=(DeviceSettings(name="manila", driver="aer", options={"qubits": 2}),))


def test_a_schedule_calibrates_and_a_missed_one_runs_once_at_the_start(run_service: RunService) -> None:
    async def before(h: ServiceHarness) -> None:
        await h.service.devices.description("mock")
        due = h.service.devices.get("mock").next_calibration
        assert due is not None
        h.clock.advance(due - h.clock.now() - 1)
        assert (await h.service.jobs.find(operator(h), JobFilter())).count == 0
        h.clock.advance(1)
        await tried(h, 1)
        h.clock.advance(5)
        h.clock.advance(24 * HOUR - 5)
        await tried(h, 2)
        await h.service.stop()
        h.clock.advance(5 * 24 * HOUR)
        await h.service.start()

    async def after(h: ServiceHarness) -> None:
        await tried(h, 3)
        assert [c.number for c in h.service.devices.calibrations("mock")] == [4, 3, 2, 1]
        page = await h.service.jobs.find(operator(h), JobFilter())
        assert {view.caller for view in page.jobs} == {"the schedule"}

    async def tried(h: ServiceHarness, count: int) -> None:
        await h.settled()
        await h.settled()
        page = await h.service.jobs.find(operator(h), JobFilter())
        for view in page.jobs:
            await h.ended(operator(h), view.id)
        assert page.count == count

    run_service(before, after, devices=(NIGHTLY,))


def test_a_calibration_that_is_cancelled_never_held_and_one_that_was_lost_is_run_again(
    run_service: RunService,
) -> None:
    lost: list[JobView] = []

    async def before(h: ServiceHarness) -> None:
        await h.service.devices.description("slow")
        for _ in range(2):
            job = await h.service.control.calibrate(operator(h), "slow")
            await h.running(operator(h), job.id)
            if not lost:
                await h.service.jobs.cancel(operator(h), job.id)
            lost.append(job)
        assert [c.id for c in h.service.devices.calibrations("slow")] == ["cal-1"]

    async def after(h: ServiceHarness) -> None:
        states = [(await h.service.jobs.get(operator(h), job.id)).state for job in lost]
        assert states == ["cancelled", "queued"] or states == ["cancelled", "running"]
        await h.running(operator(h), lost[1].id)
        assert (await h.service.jobs.get(operator(h), lost[1].id)).attempt == 2
        await h.service.jobs.cancel(operator(h), lost[1].id)

    run_service(before, after)


# Reservations


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
