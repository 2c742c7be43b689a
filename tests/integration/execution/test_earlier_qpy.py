"""A device whose interpreter reads an earlier QPY than clients write is given circuits that it reads."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from qiskit import QuantumCircuit, qpy
from qiskit_ibm_runtime import RuntimeDecoder, RuntimeEncoder

from sojourn.execution.engine import RunRequest
from sojourn.execution.local.engine import LocalEngine
from sojourn.worker.protocol.types import Completed, DeviceSpec, Failed, JobRefused

pytestmark = pytest.mark.anyio

READS = 14
EARLIER = "import qiskit.qpy\nqiskit.qpy.QPY_VERSION = {version}\n"


def interpreter(folder: Path, version: int) -> str:
    """One that says of itself, and checks, that it reads QPY up to `version`."""
    folder.mkdir()
    (folder / "sitecustomize.py").write_text(EARLIER.format(version=version), "utf-8")
    python = folder / "python"
    path = os.pathsep.join(filter(None, (str(folder), os.environ.get("PYTHONPATH"))))
    python.write_text(f'#!/bin/sh\nPYTHONPATH="{path}" exec {sys.executable} "$@"\n')
    python.chmod(0o755)
    return str(python)


@pytest.fixture(scope="module")
async def engine(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[LocalEngine]:
    folder = tmp_path_factory.mktemp("interpreters")
    oldest = qpy.QPY_COMPATIBILITY_VERSION
    engine = LocalEngine(
        [
            DeviceSpec("earlier", "aer", {"qubits": 2}, python=interpreter(folder / "earlier", READS)),
            DeviceSpec("ancient", "aer", {"qubits": 2}, python=interpreter(folder / "ancient", oldest - 1)),
        ]
    )
    await engine.start()
    yield engine
    await engine.stop()


def params() -> bytes:
    circuit = QuantumCircuit(2)
    circuit.x(0)
    circuit.measure_all()
    text = json.dumps({"pubs": [(circuit, None, 20)], "version": 2, "options": {}}, cls=RuntimeEncoder)
    return text.encode()


async def test_a_job_of_todays_client_runs_there(engine: LocalEngine) -> None:
    await engine.description("earlier")
    environment = engine.state("earlier").environment
    assert environment is not None
    assert environment.qpy == READS
    prepared = await engine.prepare("earlier", "sampler", params())
    assert prepared.executions == 20
    outcome = await engine.run("earlier", RunRequest("1", "sampler", params()))
    assert isinstance(outcome, Completed), outcome
    counts = json.loads(outcome.result, cls=RuntimeDecoder)[0].data.meas.get_counts()
    assert counts == {"01": 20}


async def test_a_job_that_cannot_be_rewritten_is_refused_with_both_versions(engine: LocalEngine) -> None:
    words = r"The job's circuits are QPY 17; ancient runs Qiskit [\d.]+, which reads QPY up to 12\. Send"
    with pytest.raises(JobRefused, match=words):
        await engine.prepare("ancient", "sampler", params())
    outcome = await engine.run("ancient", RunRequest("2", "sampler", params()))
    assert isinstance(outcome, Failed)
    assert "writes QPY 13 and later, and not 12" in outcome.reason


async def test_text_needs_no_rewriting(engine: LocalEngine) -> None:
    text = 'OPENQASM 3.0; include "stdgates.inc"; bit[1] c; x $0; c[0] = measure $0;'
    body = json.dumps({"pubs": [[text, None, 5]], "version": 2, "options": {}}).encode()
    assert (await engine.prepare("ancient", "sampler", body)).executions == 5
