"""Jobs on a device with `timing = "realistic"`, with the real store and real workers, in virtual time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from sojourn.config import DeviceSettings
from tests.harness.programs import job_body
from tests.harness.service import ServiceHarness
from tests.integration.service.operations import operator

RunService = Callable[..., None]


def chip(**options: Any) -> DeviceSettings:
    return DeviceSettings(name="chip", driver="aer", options={"qubits": 2, "timing": "realistic", **options})


LONG = chip(job_overhead=3600.0)


def test_a_job_has_the_device_until_its_time_is_over_and_can_be_cancelled_meanwhile(
    run_service: RunService,
) -> None:
    async def body(h: ServiceHarness) -> None:
        ann = await h.user("ann")
        one = await h.submit(ann, job_body("chip"))
        two = await h.submit(ann, job_body("chip"))
        await h.running(ann, one.id)
        assert (await h.service.jobs.get(ann, two.id)).state == "queued"
        await h.service.jobs.cancel(ann, one.id)
        async with asyncio.timeout(60):
            await h.running(ann, two.id)
        assert (await h.service.jobs.get(ann, one.id)).state == "cancelled"

    run_service(body, devices=(LONG,))


def test_r52_a_limit_shorter_than_the_devices_time_ends_the_job_and_is_charged(
    run_service: RunService,
) -> None:
    async def body(h: ServiceHarness) -> None:
        ann = await h.user("ann")
        job = await h.submit(ann, job_body("chip", cost=60))
        await h.running(ann, job.id)
        h.clock.advance(60)
        done = await h.ended(ann, job.id)
        assert (done.state, done.reason_code, done.quantum_seconds) == ("cancelled", 1305, 60.0)
        assert done.estimated_seconds == pytest.approx(3600.0 + 64 * 250e-6)

    run_service(body, devices=(LONG,))


def test_d22_limits_that_follow_from_estimates_know_the_overhead(run_service: RunService) -> None:
    async def body(h: ServiceHarness) -> None:
        ann = await h.user("ann")
        job = await h.submit(ann, job_body("chip"))
        await h.running(ann, job.id)
        view = await h.service.jobs.get(ann, job.id)
        assert view.limit == pytest.approx(2 * (3600.0 + 64 * 250e-6))

    run_service(body, devices=(LONG,), estimate_factor=2.0, estimate_floor=1.0)


def test_a_result_and_a_calibration_come_when_the_time_is_over(run_service: RunService) -> None:
    async def body(h: ServiceHarness) -> None:
        ann = await h.user("ann")
        job = await h.submit(ann, job_body("chip"))
        done = await h.ended(ann, job.id)
        assert done.state == "completed"
        assert await h.result(ann, job.id)
        asked = await h.service.control.calibrate(operator(h), "chip")
        assert (await h.ended(operator(h), asked.id)).state == "completed"

    run_service(body, devices=(chip(job_overhead=0.3, calibration_seconds=0.1),))
