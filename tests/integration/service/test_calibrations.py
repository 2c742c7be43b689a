"""Calibrations, with the real store and real workers, in virtual time."""

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
from sojourn.config import DeviceSettings
from sojourn.service.errors import BadRequest, Conflict, NotFound
from sojourn.service.views import JobFilter, JobView, Principal
from sojourn.store import ledger
from tests.harness.programs import job_body, sampler_params
from tests.harness.service import ServiceHarness
from tests.integration.service.operations import DRIFTING, HOUR, NIGHTLY, calibrated, operator, state

RunService = Callable[..., None]


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
