"""Device states, with the real store and real workers, in virtual time."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from sojourn.core.wording.formatting import at_time
from sojourn.service.errors import BadRequest, Forbidden, NotFound
from sojourn.service.views import JobView
from tests.harness.programs import job_body
from tests.harness.service import ServiceHarness
from tests.integration.service.operations import HOUR, operator, state

RunService = Callable[..., None]


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
