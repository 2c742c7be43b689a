"""A job whose simulation cannot end within its limit is refused when it is submitted. Real preparers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from qiskit.circuit import Parameter, QuantumCircuit

from sojourn import codes
from sojourn.config import DeviceSettings
from sojourn.service.errors import BadRequest
from tests.harness.programs import job_body, sampler_params
from tests.harness.service import ServiceHarness

RunService = Callable[..., None]
WIDE = DeviceSettings(name="mock", driver="aer", options={"qubits": 30})
POINTS = 10_000


def layered(layers: int) -> QuantumCircuit:
    """A matrix product state of 30 qubits, with so many layers of gates between neighbours."""
    circuit = QuantumCircuit(30, 30)
    for layer in range(layers):
        for qubit in range(30):
            circuit.rz(0.3, qubit)
            circuit.sx(qubit)
        for qubit in range(layer % 2, 29, 2):
            circuit.cz(qubit, qubit + 1)
    circuit.measure(range(30), range(30))
    return circuit


def long(points: int, **more: Any) -> bytes:
    """At each of so many points not below 0.1 s on one core."""
    circuit = QuantumCircuit(30, 30)
    circuit.rz(Parameter("a"), 0)
    circuit.compose(layered(60), inplace=True)
    pub = (circuit, np.linspace(0, 1, points)[:, None], 1)
    return job_body(params=sampler_params(pub), **more)


@pytest.mark.parametrize("hold", [60.0, 0.0])
def test_a_simulation_that_cannot_end_in_time_is_refused_with_both_times(
    run_service: RunService, hold: float
) -> None:
    """With an answer to the submit, or when the job has been acknowledged before it was looked at."""

    async def body(h: ServiceHarness) -> None:
        ada = await h.user("ada")
        if hold:
            with pytest.raises(
                BadRequest, match=r"takes \d+ s or more by estimate; it may run 1 s"
            ) as refused:
                await h.submit(ada, long(POINTS, cost=1))
            assert refused.value.code == codes.OVER_LIMIT
            assert "max_execution_time" in str(refused.value)
        else:
            job = await h.submit(ada, long(POINTS, cost=1))
            ended = await h.ended(ada, job.id)
            assert ended.state == "failed"
            assert "s or more by estimate" in (ended.reason or "")

    run_service(body, devices=(WIDE,), admission_hold=hold)


def test_a_wide_circuit_runs_if_it_is_shallow_and_is_refused_if_it_is_deep(run_service: RunService) -> None:
    """One shot at one point: what grows is the bond dimension."""

    async def body(h: ServiceHarness) -> None:
        ada = await h.user("ada")
        with pytest.raises(BadRequest, match=r"takes \d+ s or more by estimate; it may run") as refused:
            await h.submit(ada, job_body(params=sampler_params((layered(60), None, 1))))
        assert refused.value.code == codes.OVER_LIMIT
        job = await h.submit(ada, job_body(params=sampler_params((layered(6), None, 1))))
        assert (await h.ended(ada, job.id)).state == "completed"

    run_service(body, devices=(WIDE,), admission_hold=60.0)
