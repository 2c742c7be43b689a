"""A device in an environment with an older Qiskit runs the jobs of today's client.

`make older` builds the environment, which takes a network; without it these tests are skipped.
"""

from __future__ import annotations

import json
import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from qiskit import QuantumCircuit
from qiskit.circuit import Parameter
from qiskit_ibm_runtime import RuntimeDecoder, RuntimeEncoder

from sojourn.execution.engine import RunRequest
from sojourn.execution.local.engine import LocalEngine
from sojourn.worker.protocol.types import Completed, DeviceSpec, JobRefused

PYTHON = Path(os.environ.get("OLDER_PYTHON", ".venv/older/bin/python")).absolute()

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.skipif(not PYTHON.exists(), reason="`make older` has not been called"),
]


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="module")
async def engine() -> AsyncIterator[LocalEngine]:
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("PYTHONPATH", raising=False)
        engine = LocalEngine([DeviceSpec("older", "aer", {"qubits": 3}, python=str(PYTHON))])
        await engine.start()
        await engine.description("older")
        yield engine
        await engine.stop()


def params(*pub: Any, **options: Any) -> bytes:
    return json.dumps({"pubs": [pub], "version": 2, "options": options}, cls=RuntimeEncoder).encode()


async def result(engine: LocalEngine, program: str, body: bytes) -> Any:
    await engine.prepare("older", program, body)
    outcome = await engine.run("older", RunRequest(program, program, body))
    assert isinstance(outcome, Completed), outcome
    return json.loads(outcome.result, cls=RuntimeDecoder)[0].data


async def test_it_is_older_than_the_servers(engine: LocalEngine) -> None:
    environment = engine.state("older").environment
    assert environment is not None
    assert environment.qiskit.startswith("1.")
    assert environment.qpy == 13


async def test_a_sampler_job_with_a_condition_and_a_loop_runs(engine: LocalEngine) -> None:
    circuit = QuantumCircuit(2, 2)
    circuit.x(0)
    circuit.measure(0, 0)
    with circuit.if_test((circuit.clbits[0], 1)):
        circuit.x(1)
    with circuit.for_loop(range(2)):
        circuit.x(1)
    circuit.delay(100, 1, "dt")
    circuit.measure(1, 1)
    assert (await result(engine, "sampler", params(circuit, None, 20))).c.get_counts() == {"11": 20}


async def test_an_estimator_job_with_parameters_runs(engine: LocalEngine) -> None:
    circuit = QuantumCircuit(2)
    circuit.rx(2 * Parameter("t"), 0)
    found = await result(
        engine, "estimator", params(circuit, {"IZ": 1.0}, [[0.0], [1.5707963267948966]], 0.1)
    )
    assert found.evs.tolist() == [1.0, -1.0]


async def test_openqasm_runs(engine: LocalEngine) -> None:
    text = 'OPENQASM 3.0; include "stdgates.inc"; bit[1] c; x $0; c[0] = measure $0;'
    assert (await result(engine, "sampler", params(text, None, 5))).c.get_counts() == {"1": 5}


async def test_what_needs_later_libraries_is_refused_by_name(engine: LocalEngine) -> None:
    circuit = QuantumCircuit(1)
    circuit.measure_all()
    with pytest.raises(JobRefused, match="samplomatic"):
        await engine.prepare("older", "sampler", params(circuit, None, 5, twirling={"enable_measure": True}))


async def test_the_drivers_of_the_environment_pass_the_test_kit(engine: LocalEngine) -> None:
    from sojourn.cli.drivers.conduct import _examine

    spec = DeviceSpec("checked", "aer", {"qubits": 3}, python=str(PYTHON), lazy=True)
    report = await _examine(spec, (), 60.0, lambda _: None)
    assert [each for each in report.findings if each.verdict == "fail"] == []
