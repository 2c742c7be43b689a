"""Slurm gives the device out: a real Slurm of one node, the scripts of deploy/slurm, the real client."""

from __future__ import annotations

import sys
import textwrap
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from sojourn.client import Client, Refused
from sojourn.embedded import Embedded, Key
from tests.acceptance import slurm as system
from tests.acceptance.slurm import Slurm
from tests.clients.environments import PROGRAMS, interpreter

pytestmark = pytest.mark.skipif(system.missing() is not None, reason=system.missing() or "")

LAB = {
    "name": "lab",
    "driver": "mock",
    "options": {"qubits": 5},
    "external_queue": "Slurm: sbatch --licenses=lab",
}
OPEN = {"name": "open", "driver": "mock", "options": {"qubits": 5}}
PATIENCE = 30.0

PROGRAM = textwrap.dedent(
    """
    import sys, time
    from qiskit import QuantumCircuit
    from qiskit_ibm_runtime import QiskitRuntimeService, SamplerV2, Session

    circuit = QuantumCircuit(1)
    circuit.measure_all()
    session = Session(backend=QiskitRuntimeService().backend("lab"))
    sampler = SamplerV2(mode=session)
    print("counts", sampler.run([circuit], shots=8).result()[0].data.meas.num_shots, flush=True)
    print("session", session.session_id, flush=True)
    if "--die" in sys.argv:
        time.sleep(3600)  # until Slurm kills it: nothing closes the session
    session.close()
    """
)


@pytest.fixture(scope="module")
def server() -> Iterator[Embedded]:
    with Embedded(devices=[LAB, OPEN]) as running:
        yield running


@pytest.fixture(scope="module")
def root(server: Embedded) -> Key:
    """The user of the service who is called as the user of Slurm is."""
    server.user("nobody", "guests")
    return server.user("root", "staff")


@pytest.fixture(scope="module")
def slurm(server: Embedded) -> Iterator[Slurm]:
    settings = {
        "SOJOURN_URL": server.url,
        "SOJOURN_KEY_FILE": str(server.data / "operator.key"),
        "SOJOURN_LICENSES": "lab=lab",
        "SOJOURN_LONGEST": "3600",
        "SOJOURN_WAIT": "30",
    }
    with Slurm("lab:1,other:5", settings) as running:
        yield running


def job_script(server: Embedded, key: Key, folder: Path, *flags: str) -> str:
    program = folder / "program.py"
    program.write_text(PROGRAM, encoding="utf-8")
    return exported(server.env(key)) + f"exec {sys.executable} {program} {' '.join(flags)}"


def exported(variables: Mapping[str, str]) -> str:
    return "".join(f"export {name}='{value}'\n" for name, value in variables.items())


def of(server: Embedded, key: Key) -> Client:
    return Client(server.url, key.api_key)


def leases(server: Embedded) -> list[dict[str, Any]]:
    return list(server.get("/leases", device="lab")["leases"])


def until_ended(server: Embedded, name: str) -> dict[str, Any]:
    """The epilog runs a moment after the job."""
    end = time.monotonic() + PATIENCE
    while True:
        lease = next(found for found in leases(server) if found["name"] == name)
        if lease["state"] == "ended":
            return lease
        assert time.monotonic() < end, lease
        time.sleep(0.1)


def test_a_job_that_dies_takes_its_session_with_it(
    server: Embedded, root: Key, slurm: Slurm, tmp_path: Path
) -> None:
    mine = of(server, root)
    with pytest.raises(Refused, match="sbatch --licenses=lab"):
        mine.post("/jobs", {"program": "sampler", "device": "lab", "params": {}})
    job = slurm.submit(job_script(server, root, tmp_path, "--die"), "--licenses=lab:1", "--time=10")
    slurm.says(job, "session ")
    said = dict(line.split() for line in slurm.output(job).splitlines() if line.count(" ") == 1)
    assert said["counts"] == "8"
    (lease,) = leases(server)
    assert (lease["name"], lease["user"], lease["state"]) == (f"slurm-{job}-0", "root", "held")
    assert lease["until"] is not None
    assert mine.get(f"/sessions/{said['session']}")["state"] in ("active", "inactive")
    slurm.run("scancel", "--signal=KILL", job)
    slurm.wait(job, "CANCELLED", "FAILED")
    ended = until_ended(server, f"slurm-{job}-0")
    assert mine.get(f"/sessions/{said['session']}")["state"] == "closed", ended
    with pytest.raises(Refused, match="does not hold it now"):
        mine.post("/jobs", {"program": "sampler", "device": "lab", "params": {}})


def test_a_session_that_qrmi_has_acquired_ends_with_its_job(
    server: Embedded, root: Key, slurm: Slurm
) -> None:
    name = "lab"
    variables = {
        "QRMI_JOB_QPU_RESOURCES": name,
        "QRMI_JOB_QPU_TYPES": "ibm-quantum-compute-service",
        f"{name}_QRMI_IBM_QCS_ENDPOINT": f"{server.url}/api/v1",
        f"{name}_QRMI_IBM_QCS_IAM_ENDPOINT": server.url,
        f"{name}_QRMI_IBM_QCS_IAM_APIKEY": root.api_key,
        f"{name}_QRMI_IBM_QCS_SERVICE_CRN": root.instance,
        f"{name}_QRMI_IBM_QCS_SESSION_MAX_TTL": "300",
    }
    python = interpreter("qrmi")
    script = exported(variables) + f"exec {python} {PROGRAMS}/acquires.py lab"
    job = slurm.submit(script, "--licenses=lab", "--time=10")
    slurm.says(job, "session ")
    session = slurm.output(job).split()[1]
    mine = of(server, root)
    assert mine.get(f"/sessions/{session}")["state"] != "closed"
    slurm.run("scancel", "--signal=KILL", job)
    until_ended(server, f"slurm-{job}-0")
    assert mine.get(f"/sessions/{session}")["state"] == "closed"


def test_two_jobs_have_the_device_one_after_the_other(
    server: Embedded, root: Key, slurm: Slurm, tmp_path: Path
) -> None:
    """The licence is the only queue: the second user's job waits in Slurm, not here."""
    first = slurm.submit("sleep 3600", "--licenses=lab:1", "--time=10", "--uid=nobody")
    slurm.wait(first, "RUNNING")
    second = slurm.submit(job_script(server, root, tmp_path), "--licenses=lab:1", "--time=10")
    assert slurm.state(second) == "PENDING"
    held = [lease for lease in leases(server) if lease["state"] == "held"]
    assert [(lease["name"], lease["user"]) for lease in held] == [(f"slurm-{first}-0", "nobody")]
    with pytest.raises(Refused, match="does not hold it now"):
        of(server, root).post("/jobs", {"program": "sampler", "device": "lab", "params": {}})
    slurm.run("scancel", first)
    slurm.wait(second, "COMPLETED")
    assert "counts 8" in slurm.output(second)
    until_ended(server, f"slurm-{second}-0")


def test_a_job_without_the_licence_changes_nothing(server: Embedded, slurm: Slurm) -> None:
    before = leases(server)
    job = slurm.submit("true", "--licenses=other:1", "--time=1")
    slurm.wait(job, "COMPLETED")
    assert leases(server) == before
