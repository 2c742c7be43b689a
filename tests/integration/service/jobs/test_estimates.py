"""D22 in the running service: limits from real estimates, what is said to a job that does not fit before a
reservation, and what of it survives a restart. Real store, preparers and workers, virtual time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from qiskit import QuantumCircuit

from sojourn.config import DeviceSettings
from sojourn.service.projects.projects import ProjectChange
from sojourn.service.reservations.views import NewReservation
from sojourn.service.views import JobView, Principal
from tests.harness.programs import job_body, sampler_params
from tests.harness.service import ServiceHarness

RunService = Callable[..., None]
HOUR = 3600.0
LIKE = (DeviceSettings(name="mock", driver="mock", options={"like": "FakeManilaV2"}),)
"""It knows how long its gates take, and takes no time."""
PLAIN = (DeviceSettings(name="mock", driver="mock", options={"qubits": 5}),)
"""It does not."""


def flip(**more: Any) -> bytes:
    """A submit of a circuit that every device has the gates for."""
    circuit = QuantumCircuit(1, 1)
    circuit.x(0)
    circuit.measure(0, 0)
    return job_body(params=sampler_params((circuit, None, 64)), **more)


async def booked(h: ServiceHarness, after: float, device: str = "mock") -> float:
    """Somebody else has the device for an hour, `after` seconds from now; returns the end."""
    accounts = h.service.accounts
    boss = accounts.principal(accounts.user_id("operator"), None)
    start = h.clock.now() + after
    made = await h.service.reservations.make(boss, NewReservation(device, None, start, length=HOUR))
    assert made.start == pytest.approx(start, abs=1e-3)
    return made.end


async def queued(h: ServiceHarness, who: Principal, job_id: str) -> JobView:
    """The job once it has been prepared."""
    record = await h.service.lookup.job(who, job_id)
    while record.job.state == "accepted":
        waiter = asyncio.get_running_loop().create_future()
        record.waiters.add(waiter)
        await waiter
    await h.settled()
    return await h.service.jobs.get(who, job_id)


async def said(h: ServiceHarness, who: Principal, job_id: str) -> str:
    """Why the job waits, the same for its owner's `job.metrics()` as for `sojourn jobs why`."""
    waiting = await h.service.jobs.waiting(who, job_id)
    why = await h.service.jobs.why(who, job_id)
    assert waiting.waiting_reasons == tuple(reason.sentence for reason in why.reasons)
    assert waiting.estimated_start == why.estimated_start
    return " ".join(waiting.waiting_reasons)


def test_d22_a_job_with_its_programs_limit_waits_and_is_told_what_would_let_it_start(
    run_service: RunService,
) -> None:
    """The setting is off. At the submit, in the metrics, and with the same numbers; what it says is true."""

    async def body(h: ServiceHarness) -> None:
        ann = await h.user("ann")
        await h.ended(ann, (await h.submit(ann, flip(cost=10))).id)  # the device is up
        end = await booked(h, 100.5)
        job = await h.submit(ann, flip())
        (warning,) = job.warnings
        for part in ("limit of 10000 s (the default of its program", "100.5 s before", "at most 100 s"):
            assert part in warning
        assert (await queued(h, ann, job.id)).state == "queued"
        sentence = await said(h, ann, job.id)
        for part in ("limit of 10000 s", "the 100.5 s before", "its estimate is 0.016 s:", "at most 100 s"):
            assert part in sentence
        view = await h.service.jobs.waiting(ann, job.id)
        assert view.estimated_start == end
        (reason,) = (await h.service.jobs.why(ann, job.id)).reasons
        assert reason.kind == "DoesNotFit"
        assert reason.facts["would_fit"] == 100
        assert reason.facts["source"] == "program"
        h.clock.advance(40.0)  # nothing happens on the lane meanwhile
        assert "at most 60 s" in await said(h, ann, job.id)
        again = await h.submit(ann, flip(cost=60))
        assert again.warnings == ()
        assert (await h.ended(ann, again.id)).state == "completed"
        h.clock.advance(60.5)
        assert "has the device until" in await said(h, ann, job.id)
        assert (await h.service.jobs.waiting(ann, job.id)).estimated_start == end
        h.clock.advance(HOUR)
        assert (await h.ended(ann, job.id)).state == "completed"
        after = await h.service.jobs.waiting(ann, job.id)
        assert (after.waiting_reasons, after.estimated_start) == ((), None)

    run_service(body, devices=LIKE)


def test_d22_a_job_that_states_nothing_starts_before_a_reservation_if_its_estimate_is_short(
    run_service: RunService,
) -> None:
    async def body(h: ServiceHarness) -> None:
        ann = await h.user("ann")
        await booked(h, 100.0)
        job = await h.submit(ann, flip())
        assert job.warnings == ()
        ended = await h.ended(ann, job.id)
        assert (ended.state, ended.limit) == ("completed", 60.0)
        assert ended.estimated_seconds is not None
        assert 0 < ended.estimated_seconds < 20

    run_service(body, devices=LIKE, estimate_factor=3.0, estimate_floor=60.0)


@pytest.mark.parametrize("hold", [0.0, 60.0])
def test_d22_the_warning_is_of_the_limit_that_holds_also_when_it_comes_after_the_answer(
    run_service: RunService, hold: float
) -> None:
    """The limit is known when the job is prepared, which may be after the submit was answered. It, the
    estimate and the warning are the same after a restart, also if the configuration says something else."""
    waiting: list[JobView] = []

    async def before(h: ServiceHarness) -> None:
        ann = await h.user("ann")
        await booked(h, 30.0)
        job = await h.submit(ann, flip())
        waiting.append(await queued(h, ann, job.id))
        (warning,) = waiting[0].warnings
        assert "limit of 60 s (from its estimate of 0.016 s" in warning
        assert "at most 30 s" in warning
        assert waiting[0].limit == 60.0
        assert "limit of 60 s (from its estimate of 0.016 s" in await said(h, ann, job.id)

    async def after(h: ServiceHarness) -> None:
        ann = h.service.accounts.principal(h.service.accounts.user_id("ann"), None)
        again = await h.service.jobs.get(ann, waiting[0].id)
        assert again == waiting[0]
        assert "at most 30 s" in await said(h, ann, again.id)
        h.clock.advance(30.0 + HOUR)
        assert (await h.ended(ann, again.id)).state == "completed"

    run_service(before, after, devices=LIKE, estimate_factor=3.0, estimate_floor=60.0, admission_hold=hold)


def test_d22_a_limit_outlives_a_change_of_the_configuration_and_nothing_untrue_is_said_of_it(
    run_service: RunService,
) -> None:
    ids: list[str] = []

    async def before(h: ServiceHarness) -> None:
        ann = await h.user("ann")
        await booked(h, 30.0)
        ids.append((await h.submit(ann, flip())).id)

    async def after(h: ServiceHarness) -> None:
        ann = h.service.accounts.principal(h.service.accounts.user_id("ann"), None)
        assert (await h.service.jobs.get(ann, ids[0])).limit == 60.0
        assert "with its limit of 60 s it does not fit" in await said(h, ann, ids[0])

    run_service(before, devices=LIKE, estimate_factor=3.0, estimate_floor=60.0)
    run_service(after, devices=LIKE)


def test_d22_a_projects_execution_seconds_bound_what_follows_from_an_estimate(
    run_service: RunService,
) -> None:
    """They are no limit that the job states; one that it states holds."""

    async def body(h: ServiceHarness) -> None:
        ann, boss = await h.user("ann"), await h.user("boss")
        for most, limit in ((30, 30.0), (90, 60.0)):
            await h.service.projects.change(boss, "anns", ProjectChange(limits={"execution_seconds": most}))
            for more, expected in (({}, limit), ({"cost": 25}, 25.0), ({"start_session": True}, limit)):
                job = await h.submit(ann, flip(**more))
                assert (await h.ended(ann, job.id)).limit == expected
                if job.session_id is not None:
                    await h.service.sessions.close(ann, job.session_id)
        await booked(h, 20.0)
        for most, because in ((30, "its project or session"), (90, "from its estimate")):
            await h.service.projects.change(boss, "anns", ProjectChange(limits={"execution_seconds": most}))
            job = await h.submit(ann, flip())
            assert because in await said(h, ann, job.id)

    run_service(body, devices=LIKE, estimate_factor=3.0, estimate_floor=60.0)


def test_d22_a_device_that_does_not_know_its_durations_makes_no_limits(run_service: RunService) -> None:
    """Its estimate is 0 whatever the job, and a simulation may take long."""

    async def body(h: ServiceHarness) -> None:
        ann = await h.user("ann")
        await booked(h, 100.0)
        job = await h.submit(ann, flip())
        assert (await queued(h, ann, job.id)).limit == 10_000.0
        sentence = await said(h, ann, job.id)
        assert "limit of 10000 s (the default of its program" in sentence
        assert "estimate" not in sentence
        assert "at most 100 s" in sentence

    run_service(body, devices=PLAIN, estimate_factor=3.0, estimate_floor=60.0)
