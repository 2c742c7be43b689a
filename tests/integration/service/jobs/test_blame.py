"""A fault of a job's content costs that job only: the submit gets a 4xx with the place, the device stays
ready and the session lives; a device that cannot look at an accepted job for a while ends neither (R40)."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from qiskit import QuantumCircuit
from qiskit.circuit import Duration, Gate, Instruction, Parameter
from qiskit.circuit.classical import expr

from sojourn.api.http.statuses import status_of
from sojourn.config import DeviceSettings
from sojourn.execution.engine import DeviceUnavailable, WorkerPhase
from sojourn.service.errors import BadRequest
from tests.harness.programs import job_body, sampler_params
from tests.harness.service import ServiceHarness

RunService = Callable[..., None]
MANILA = DeviceSettings(name="manila", driver="fake", options={"backend": "FakeManilaV2"})
wait = Parameter("wait")


def delayed(duration: Any, unit: str | None = None, *, beside: bool = False) -> QuantumCircuit:
    circuit = QuantumCircuit(2, 1)
    circuit.x(0)
    circuit.delay(duration, 0, unit)
    if beside:
        circuit.delay(circuit.add_stretch("s"), 1)
    circuit.measure(0, 0)
    return circuit


def named(operation: Instruction) -> QuantumCircuit:
    circuit = QuantumCircuit(1, 1)
    circuit.append(operation, [0], range(operation.num_clbits))
    return circuit


AT_FAULT: dict[str, tuple[Any, ...]] = {
    "a negative delay": (delayed(wait, "dt"), np.array([[-1.0]])),
    "a delay without a unit": (delayed(2.5, "us"),),
    "a duration divided by zero": (delayed(expr.div(Duration.dt(1), 0.0)),),
    "a stretch beside a swept delay": (delayed(wait, beside=True), np.array([[1.0]])),
    "a panic of the reader": (named(Instruction("x", 1, 0, [QuantumCircuit(1)])),),
    "control flow in name only": (named(Instruction("switch_case", 1, 0, [])),),
    "a gate of another device": (named(Gate("cphase", 1, [])),),
}


def submit(h: ServiceHarness, who: Any, *pubs: tuple[Any, ...], **more: Any) -> Any:
    return h.submit(who, job_body("manila", params=sampler_params(*pubs), **more))


def test_the_faults_of_jobs_leave_the_device_ready_and_the_session_alive(run_service: RunService) -> None:
    async def body(h: ServiceHarness) -> None:
        ann = await h.user("ann")
        session = await h.service.sessions.open(ann, device="manila", mode="dedicated", max_time=None)
        good = (delayed(100, "dt"), None, 10)
        root = await submit(h, ann, good, session_id=session.id)
        assert (await h.ended(ann, root.id)).state == "completed"
        (preparers,) = [pool.pids for pool in h.engine._pools.values()]
        for what, (circuit, *values) in AT_FAULT.items():
            pub = (circuit, values[0] if values else None, 10)
            with pytest.raises(BadRequest, match=r"pubs\[1\]") as refused:
                await submit(h, ann, good, pub, session_id=session.id)
            assert status_of(refused.value) == 400, what
            assert "cannot take jobs" not in refused.value.message
            state = h.service.parts.engine.state("manila")
            assert (state.phase, state.reason) == (WorkerPhase.READY, None), what
            assert (await h.service.sessions.get(ann, session.id)).state == "active", what
        (after,) = [pool.pids for pool in h.engine._pools.values()]
        assert after == preparers, "no preparer died of them"
        again = await submit(h, ann, good, session_id=session.id)
        assert (await h.ended(ann, again.id)).state == "completed"

    run_service(body, devices=(MANILA,))


def test_swept_delays_and_stretches_run(run_service: RunService) -> None:
    async def body(h: ServiceHarness) -> None:
        ann = await h.user("ann")
        stretched = delayed(100, "dt", beside=True)
        sweep = (delayed(wait, "dt"), np.array([[0.0], [20_000.0]]), 10)
        job = await submit(h, ann, sweep, (stretched, None, 10))
        assert (await h.ended(ann, job.id)).state == "completed"

    run_service(body, devices=(MANILA,))


def test_r40_a_device_that_cannot_look_at_the_first_job_does_not_end_its_session(
    run_service: RunService, tmp_path: Path
) -> None:
    """Its interpreter is gone when the service starts again, and comes back later."""
    python = tmp_path / "python"

    def install() -> None:
        python.write_text(f'#!/bin/sh\nexec "{sys.executable}" "$@"\n')
        python.chmod(0o755)

    install()
    made: dict[str, Any] = {}

    async def before(h: ServiceHarness) -> None:
        made["ann"] = ann = await h.user("ann")
        made["session"] = await h.service.sessions.open(ann, device="away", mode="batch", max_time=None)
        made["root"] = await h.submit(ann, job_body("away", session_id=made["session"].id))
        assert (await h.service.jobs.get(ann, made["root"].id)).state == "accepted"
        python.unlink()

    async def after(h: ServiceHarness) -> None:
        ann, root = made["ann"], made["root"].id
        with pytest.raises(DeviceUnavailable):  # refused together with the session's job, or after it
            await h.service.parts.engine.prepare("away", "sampler", b"{}")
        await h.settled()
        assert (await h.service.jobs.get(ann, root)).state == "accepted"
        install()
        assert (await h.ended(ann, root)).state == "completed"
        second = await h.submit(ann, job_body("away", session_id=made["session"].id))
        assert (await h.ended(ann, second.id)).state == "completed"

    away = DeviceSettings(name="away", driver="mock", options={"qubits": 5}, python=str(python))
    run_service(before, after, devices=(away,), admission_hold=0.0)
