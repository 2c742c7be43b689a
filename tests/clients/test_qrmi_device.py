"""A device behind QRMI: one server drives a device of another one through the library, in its interpreter."""

from __future__ import annotations

import sys
import warnings
from pathlib import Path

import pytest
from qiskit import QuantumCircuit
from qiskit.quantum_info import SparsePauliOp
from qiskit.transpiler import generate_preset_pass_manager
from qiskit_ibm_runtime import EstimatorV2, SamplerV2, Session

from sojourn.embedded import Embedded, Key
from tests.clients.environments import folder, interpreter


@pytest.fixture
def python(tmp_path: Path) -> Path:
    """An interpreter that has a worker's packages and QRMI, and nothing else of QRMI's environment."""
    interpreter("qrmi")
    (package,) = folder("qrmi").glob("lib/python*/site-packages/qrmi")
    only = tmp_path / "only"
    only.mkdir()
    (only / "qrmi").symlink_to(package)
    script = tmp_path / "python"
    script.write_text(
        f'#!/bin/sh\nPYTHONPATH="{only}${{PYTHONPATH:+:$PYTHONPATH}}" exec "{sys.executable}" "$@"\n'
    )
    script.chmod(0o755)
    return script


def test_both_primitives_run_in_a_session_on_a_device_behind_qrmi(
    server: Embedded, key: Key, python: Path, tmp_path: Path
) -> None:
    file = tmp_path / "lab.key"
    file.write_text(key.api_key)
    options = {
        "resource": "ibm_manila",
        "endpoint": f"{server.url}/api/v1",
        "iam_endpoint": server.url,
        "instance": key.instance,
        "key_file": str(file),
    }
    device = {"name": "manila", "driver": "qrmi", "python": str(python), "options": options}
    circuit = QuantumCircuit(2)
    circuit.h(0)
    circuit.cx(0, 1)
    measured = circuit.copy()
    measured.measure_all()
    with Embedded(tmp_path / "outer", devices=[device]) as outer, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        backend = outer.service().backend("manila")
        manager = generate_preset_pass_manager(1, backend=backend, seed_transpiler=3)
        with Session(backend=backend) as session:
            job = SamplerV2(mode=session).run([manager.run(measured)], shots=1000)
            counts = job.result()[0].data.meas.get_counts()
            state = manager.run(circuit)
            observable = SparsePauliOp("ZZ").apply_layout(state.layout)
            found = EstimatorV2(mode=session).run([(state, observable)]).result()[0].data.evs
        assert counts["00"] + counts["11"] > 800
        assert float(found) > 0.7
        mine = [job for job in server.get("/jobs", limit=50)["jobs"] if job["user"] == key.name]
        assert [job["state"] for job in mine] == ["completed", "completed"]
        (there,) = {job["session"] for job in mine}
        assert there is not None
        assert server.get(f"/sessions/{there}")["device"] == "ibm_manila"
        # the next job is in no session, so the resource has been released before it
        SamplerV2(mode=backend).run([manager.run(measured)], shots=10).result()
    assert server.get(f"/sessions/{there}")["state"] == "closed"
