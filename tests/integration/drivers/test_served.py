"""Bad drivers in the service: what a user is answered, what an operator sees, and what is charged."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
from qiskit import QuantumCircuit
from qiskit_ibm_runtime import RuntimeEncoder

from sojourn import codes
from sojourn.config import DeviceSettings
from sojourn.service.errors import Conflict
from tests.harness.programs import job_body
from tests.harness.service import QUICK, ServiceHarness
from tests.integration.service.operations import operator

RunService = Callable[..., None]

BAD = DeviceSettings(name="bad", driver="bad")
MUTE = DeviceSettings(name="mute", driver="bad", options={"fault": "describe nan"})


def named(name: str) -> bytes:
    """The submit of a job on `bad` whose circuit has this name."""
    circuit = QuantumCircuit(2, name=name)
    circuit.x(0)
    circuit.measure_all()
    params = json.dumps({"pubs": [(circuit, None, 7)], "version": 2, "options": {}}, cls=RuntimeEncoder)
    return job_body("bad", params=json.loads(params))


def test_a_device_that_cannot_be_described_is_failed_with_the_place_and_takes_no_jobs(
    run_service: RunService,
) -> None:
    async def body(h: ServiceHarness) -> None:
        ann = await h.user("ann")
        why = r"configuration\.quantum_volume is nan, which is not a number of JSON"
        with pytest.raises(Conflict, match=why) as refusal:
            await h.submit(ann, job_body("mute"))
        assert refusal.value.code == codes.SYSTEM_FAILURE
        device = h.service.devices.get("mute", operator(h))
        assert (device.phase, device.operational) == ("failed", False)
        assert "quantum_volume is nan" in (device.reason or "")
        job = await h.submit(ann, job_body())
        assert (await h.ended(ann, job.id)).state == "completed"

    run_service(body, devices=(QUICK, MUTE))


def test_a_driver_that_ends_its_process_costs_its_job_two_runs_and_nobody_else_anything(
    run_service: RunService,
) -> None:
    async def body(h: ServiceHarness) -> None:
        ann, bob = await h.user("ann"), await h.user("bob")
        bad = await h.submit(ann, named("execute end"))
        after = await h.submit(bob, named("plain"))
        other = await h.submit(bob, job_body())
        ended = await h.ended(ann, bad.id)
        assert (ended.state, ended.reason_code, ended.attempt) == ("failed", codes.WORKER_KILLED, 2)
        assert "exit 3: the program ended it" in (ended.reason or "")
        for job in (after, other):
            found = await h.ended(bob, job.id)
            assert (found.state, found.attempt) == ("completed", 1)

    run_service(body, devices=(QUICK, BAD))


def test_a_driver_that_hangs_holds_its_own_device_until_the_job_is_cancelled(
    run_service: RunService,
) -> None:
    async def body(h: ServiceHarness) -> None:
        ann, bob = await h.user("ann"), await h.user("bob")
        stuck = await h.submit(ann, named("execute hang"))
        await h.running(ann, stuck.id)
        waiting = await h.submit(bob, named("plain"))
        other = await h.submit(bob, job_body())
        assert (await h.ended(bob, other.id)).state == "completed"
        assert (await h.service.jobs.get(bob, waiting.id)).state == "queued"
        await h.service.jobs.cancel(ann, stuck.id)
        assert (await h.ended(bob, waiting.id)).state == "completed"

    run_service(body, devices=(QUICK, BAD))
