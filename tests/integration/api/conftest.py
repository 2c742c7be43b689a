"""A real server in a process of its own, with devices that need no simulator."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from tests.harness.api import Live, User

CONFIG = """
[server]
port = 0
max_body_mb = 12

[policy]
poll_hold = 2.0
admission_hold = 60.0

[[devices]]
name = "bench"
driver = "mock"
options = { seconds = 0.0, qubits = 5 }

[[devices]]
name = "slow"
driver = "mock"
options = { seconds = 30.0, qubits = 5 }
"""


@pytest.fixture(scope="package")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    folder = tmp_path_factory.mktemp("server")
    config = folder / "sojourn.toml"
    config.write_text(CONFIG)
    data = folder / "data"
    log = (folder / "stderr.txt").open("w")
    process = subprocess.Popen(
        [sys.executable, "-m", "sojourn", "serve", "--config", str(config), "--data", str(data)],
        stdout=subprocess.PIPE,
        stderr=log,
        text=True,
    )
    assert process.stdout is not None
    line = process.stdout.readline()
    assert line.startswith("Sojourn is listening on http://"), (folder / "stderr.txt").read_text()
    url = line.split()[-1]
    assert json.loads((data / "server.json").read_text()) == {"url": url, "pid": process.pid}
    try:
        yield Live(url, data)
    finally:
        process.terminate()
        process.wait(30)
        log.close()
    assert not (data / "server.json").exists()


@pytest.fixture(scope="package")
def ada(live: Live) -> User:
    return live.user("ada", "chem")


@pytest.fixture(scope="package")
def bob(live: Live) -> User:
    return live.user("bob", "physics")


@pytest.fixture(scope="package")
def sampler_params() -> str:
    """The JSON text of the params of a small sampler job, as the client writes it."""
    from qiskit import QuantumCircuit
    from qiskit_ibm_runtime import RuntimeEncoder

    circuit = QuantumCircuit(2, 2)
    circuit.x(0)
    circuit.measure([0, 1], [0, 1])
    params: dict[str, Any] = {
        "pubs": [[circuit, None, 10]],
        "options": {},
        "version": 2,
        "support_qiskit": True,
    }
    return json.dumps(params, cls=RuntimeEncoder)
