"""A worker runs in an environment that has its own requirements only, and none of the server's libraries."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from qiskit import QuantumCircuit
from qiskit_ibm_runtime.options_models.executor import ExecutorOptions
from qiskit_ibm_runtime.quantum_program import QuantumProgram
from qiskit_ibm_runtime.quantum_program.params_converters import QUANTUM_PROGRAM_PARAMS_CONVERTERS
from samplomatic import Twirl, build

from sojourn.cli.drivers.wheel import AER, QISKIT
from sojourn.embedded import Embedded
from tests import worker_environment
from tests.harness.programs import bell, sampler_params
from tests.worker_environment import ROOT, declared, needed

FINAL = ("Completed", "Failed", "Cancelled")
SERVERS_OWN = ("alembic", "fastapi", "httptools", "rich", "sqlalchemy", "structlog", "typer", "uvicorn")
FIND = """
import importlib.util, sys
print([name for name in sys.argv[1:] if importlib.util.find_spec(name) is not None])
"""


@pytest.fixture(scope="module")
def pythons(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The interpreter of the worker alone, and the one that has the devices of `fake` as well."""
    return {
        driver: worker_environment.make(tmp_path_factory.mktemp("environment") / driver, *extras)
        for driver, extras in {"aer": ("programs",), "fake": ("programs", "fake")}.items()
    }


@pytest.fixture(scope="module")
def server(pythons: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Embedded]:
    devices = [
        {"name": "alone", "driver": "aer", "options": {"qubits": 5}, "python": str(pythons["aer"])},
        {
            "name": "manila",
            "driver": "fake",
            "options": {"backend": "FakeManilaV2"},
            "python": str(pythons["fake"]),
        },
    ]
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("PYTHONPATH", raising=False)  # the workers would find this environment by it
        with Embedded(tmp_path_factory.mktemp("server"), devices=devices) as running:
            yield running


def execute(python: Path, code: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [str(python), "-P", "-c", code, *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True, env={})


def find(python: Path, *modules: str) -> str:
    """The list of those modules that this interpreter can import."""
    return execute(python, FIND, *modules).stdout.strip()


def test_the_environment_has_none_of_the_servers_libraries(pythons: dict[str, Path]) -> None:
    assert find(pythons["aer"], *SERVERS_OWN, "pydantic", "qiskit_ibm_runtime") == "[]"
    assert find(pythons["fake"], *SERVERS_OWN) == "[]"
    assert (
        find(pythons["aer"], "msgspec", "sojourn.worker", "sojourn.service")
        == "['msgspec', 'sojourn.worker']"
    )


def test_everything_that_a_worker_loads_at_its_start_is_there(pythons: dict[str, Path]) -> None:
    code = "from sojourn.worker.forkserver import PRELOAD, preload; preload(PRELOAD)"
    ran = subprocess.run(
        [pythons["aer"], "-P", "-c", code], check=True, capture_output=True, text=True, env={}
    )
    assert "not preloaded" not in ran.stderr


@pytest.mark.parametrize(
    ("program", "device", "word"),
    [
        ("sampler", "alone", "BitArray"),
        ("sampler", "manila", "BitArray"),
        ("executor", "alone", "measurement_flips"),
    ],
)
def test_a_job_of_a_device_with_this_interpreter_completes(
    server: Embedded, program: str, device: str, word: str
) -> None:
    if program == "executor":
        params = twirled_params()
    else:
        params = sampler_params((bell(), None, 32)) if device == "alone" else qasm_params()
    headers = {"Authorization": f"apikey {server.local_key}"}
    base = f"{server.url}/api/v1"
    with httpx.Client(base_url=base, headers=headers, trust_env=False, timeout=60) as http:
        body = {"program_id": program, "backend": device, "params": params}
        submitted = http.post("/jobs", json=body)
        assert submitted.status_code == 200, submitted.text
        job = submitted.json()["id"]
        state = {"status": ""}
        for _ in range(200):  # the server holds the polls
            state = http.get(f"/jobs/{job}").json()["state"]
            if state["status"] in FINAL:
                break
        assert state["status"] == "Completed", state
        result = http.get(f"/jobs/{job}/results").text
    assert word in result


def twirled_params() -> dict[str, Any]:
    """A template and its samplex, which a library of its own reads."""
    circuit = QuantumCircuit(1, 1)
    with circuit.box([Twirl()]):
        circuit.measure([0], [0])
    template, samplex = build(circuit)
    program = QuantumProgram(shots=10)
    program.append_samplex_item(template, samplex, shape=(4,))
    made = QUANTUM_PROGRAM_PARAMS_CONVERTERS["v2.0"].encoder(program, ExecutorOptions())
    found: dict[str, Any] = made.model_dump(mode="json")
    return found


def qasm_params() -> dict[str, Any]:
    """A job whose circuit comes as text: reading it takes a library of its own."""
    text = 'OPENQASM 3.0; include "stdgates.inc"; bit[1] c; sx $0; c[0] = measure $0;'
    return {"pubs": [[text, None, 32]], "options": {}, "version": 2}


def test_what_the_worker_requires_the_server_requires_in_the_same_versions() -> None:
    project = declared()["project"]
    server = declared(ROOT)["project"]
    extras = [text for texts in project["optional-dependencies"].values() for text in texts]
    own = {*project["dependencies"], *extras} - set(server["dependencies"])
    assert own == {QISKIT, AER}  # earlier ones will do
    for key in ("requires-python", "license"):
        assert project[key] == server[key]
    for group, entries in project["entry-points"].items():
        assert entries == server["entry-points"][group]


def test_the_build_would_notice_a_requirement_that_is_not_declared() -> None:
    """The closure is of what is declared: a library of the server is in that of the server only."""
    assert "fastapi" in needed(declared(ROOT)["project"]["dependencies"])
    assert "fastapi" not in needed(declared()["project"]["dependencies"])
