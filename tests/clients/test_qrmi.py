"""QRMI, the library under the plugins of batch systems: it reads strictly typed JSON and sends OpenQASM 3."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from sojourn.embedded import Embedded, Key
from tests.clients.environments import ROOT, run


def documented(server: Embedded, key: Key) -> dict[str, str]:
    """The environment of a job as docs/clients.md has it, with this server, key and project."""
    page = (ROOT / "docs" / "clients.md").read_text(encoding="utf-8")
    found = dict(re.findall(r"(?m)^export (\w*QRMI_\w+)=(.*)$", page))
    assert len(found) == 7
    replaced = {"KEY": key.api_key, "CRN": key.instance}
    return {
        name: replaced.get(value, value.replace("http://quantum.example.org:8420", server.url))
        for name, value in found.items()
    }


def former(environment: dict[str, str]) -> dict[str, str]:
    """The same for the type of resource that came before."""
    renamed = {name.replace("IBM_QCS", "IBM_QRS"): value for name, value in environment.items()}
    return renamed | {"QRMI_JOB_QPU_TYPES": "qiskit-runtime-service"}


@pytest.mark.parametrize("kind", ["ibm-quantum-compute-service", "qiskit-runtime-service"])
def test_a_job_of_a_batch_system_runs_both_primitives(
    server: Embedded, key: Key, tmp_path: Path, kind: str
) -> None:
    variables = documented(server, key)
    if kind != variables["QRMI_JOB_QPU_TYPES"]:
        variables = former(variables)
    assert variables["QRMI_JOB_QPU_TYPES"] == kind
    said = run("qrmi", "through_qrmi.py", variables, tmp_path)
    assert said["accessible"] == "True"
    assert json.loads(said["status"])["status"] == "online"
    assert said["described"] == "ibm_torino ibm_torino"
    assert said["qubits"] == "133 133"
    assert float(said["sampled"]) > 0.75
    assert float(said["estimated"]) > 0.5
    session = server.get(f"/sessions/{said['session']}")
    assert session["mode"] == "dedicated"
    assert session["state"] == "closed"
    for name in ("sampler", "estimator"):
        identity, status = said[name].split()
        assert status == "JobStatus.DONE"
        job = server.get(f"/jobs/{identity}")
        assert (job["program"], job["session"], job["state"]) == (name, session["id"], "completed")
    assert int(said["logged"]) > 0
    assert said["before"] == "JobStatus.QUEUED"
    assert said["after"] == "JobStatus.CANCELLED"
    assert server.get(f"/jobs/{said['cancelled']}")["state"] == "cancelled"


def test_a_tool_finds_the_devices(server: Embedded, key: Key, tmp_path: Path) -> None:
    """Here QRMI asks for the list of devices as objects, by a version header, and for each configuration."""
    variables = {
        name.removeprefix("ibm_torino_"): value
        for name, value in documented(server, key).items()
        if name.startswith("ibm_torino_")
    }
    said = run("qrmi", "discovers.py", variables, tmp_path)
    assert said["all"] == "ibm_manila ibm_torino"
    assert said["wide"] == "ibm_torino"
    assert said["named"] == "ibm_manila"
    assert said["least_busy"] in ("ibm_manila", "ibm_torino")
