"""The files in examples/ run unchanged, over HTTP, in a process of their own.

`EXAMPLES_PYTHON` names the interpreter: `make examples` gives one of an environment without Sojourn.
"""

from __future__ import annotations

import math
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from sojourn.embedded import Embedded

EXAMPLES = Path(__file__).parents[2] / "examples"
PYTHON = os.environ.get("EXAMPLES_PYTHON", sys.executable)


@pytest.fixture(scope="module")
def server() -> Iterator[Embedded]:
    device = {"name": "ibm_torino", "driver": "fake", "options": {"backend": "FakeTorino"}}
    with Embedded(devices=[device]) as running:
        yield running


def run(server: Embedded, name: str, tmp_path: Path) -> str:
    """What the program printed; it must end well and warn of nothing."""
    clean = {
        k: v for k, v in os.environ.items() if not k.startswith(("QISKIT_", "SOJOURN_", "IAM_", "GLOBAL_"))
    }
    done = subprocess.run(
        [PYTHON, str(EXAMPLES / name)],
        capture_output=True,
        text=True,
        # A home of its own: no saved account of whoever runs the tests.
        # The client announces its next primitives as a deprecation; nothing else may be warned of.
        env={**clean, **server.env(), "HOME": str(tmp_path), "PYTHONWARNINGS": "ignore::DeprecationWarning"},
        cwd=tmp_path,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "Warning" not in done.stderr
    return done.stdout


def jobs_of(server: Embedded, session: str) -> list[str]:
    return [job["state"] for job in server.get("/jobs", session=session, limit=200)["jobs"]]


def found(pattern: str, text: str) -> str:
    match = re.search(pattern, text, flags=re.MULTILINE)
    assert match, f"no {pattern!r} in\n{text}"
    return match[1]


def test_every_example_is_tested_and_imports_nothing_of_sojourn() -> None:
    files = {path.name for path in EXAMPLES.glob("*.py")}
    assert files == {
        "job_mode.py",
        "session.py",
        "batch.py",
        "from_id_after_lost_kernel.py",
        "twirled_sampler.py",
        "mitigation.py",
        "learnt_noise.py",
        "quantum_program.py",
        "circuit_items.py",
        "estimator_sweep.py",
    }
    for name in files:
        assert "sojourn" not in (EXAMPLES / name).read_text(encoding="utf-8").lower()


def test_job_mode(server: Embedded, tmp_path: Path) -> None:
    text = run(server, "job_mode.py", tmp_path)
    assert float(found(r"agree in ([\d.]+)%", text)) > 80
    job = found(r"^job (\S+)", text)
    assert server.get(f"/jobs/{job}")["session"] is None


def test_session(server: Embedded, tmp_path: Path) -> None:
    text = run(server, "session.py", tmp_path)
    assert len(re.findall(r"^energy ", text, flags=re.MULTILINE)) >= 20
    assert float(found(r"^found ([-+.\d]+)", text)) < -1.6
    session = found(r"^session (\S+)", text)
    assert set(jobs_of(server, session)) == {"completed"}
    assert server.get(f"/sessions/{session}")["state"] == "closed"


def test_batch(server: Embedded, tmp_path: Path) -> None:
    text = run(server, "batch.py", tmp_path)
    assert len(re.findall(r"all equal", text)) == 5
    batch = found(r"^batch (\S+)", text)
    assert jobs_of(server, batch) == ["completed"] * 5
    assert server.get(f"/sessions/{batch}")["mode"] == "batch"


def test_from_id_after_a_lost_kernel(server: Embedded, tmp_path: Path) -> None:
    text = run(server, "from_id_after_lost_kernel.py", tmp_path)
    session = found(r"^session (\S+)", text)
    assert jobs_of(server, session) == ["completed"] * 2
    assert "closed: Closed" in text


def test_twirled_sampler(server: Embedded, tmp_path: Path) -> None:
    text = run(server, "twirled_sampler.py", tmp_path)
    assert float(found(r"agree in ([\d.]+)%", text)) > 70
    assert int(found(r"^circuits (\d+)", text)) == 16
    job = found(r"^job (\S+)", text)
    assert server.get(f"/jobs/{job}")["program"] == "executor"


def test_mitigation(server: Embedded, tmp_path: Path) -> None:
    text = run(server, "mitigation.py", tmp_path)
    values = [float(found(rf"^level {level}: ([-+.\d]+)", text)) for level in (0, 1, 2)]
    assert abs(values[2] - 1) < abs(values[0] - 1)
    batch = found(r"^batch (\S+)", text)
    assert jobs_of(server, batch) == ["completed"] * 3


def test_learnt_noise(server: Embedded, tmp_path: Path) -> None:
    text = run(server, "learnt_noise.py", tmp_path)
    sums = [
        float(total) for total in re.findall(r"^layer on qubits .* rates, sum ([.\d]+)$", text, re.MULTILINE)
    ]
    assert len(sums) == 2
    assert all(0.001 < total < 0.2 for total in sums)
    rates = [float(rate) for rate in re.findall(r"^  [XYZ]\d+.*: ([.\d]+)$", text, flags=re.MULTILINE)]
    assert len(rates) == 2 * 5
    assert 0 < min(rates) <= max(rates) < max(sums)
    without, mitigated = (float(found(rf"^{name}: ([-+.\d]+)", text)) for name in ("level 1", "PEA"))
    assert without < 0.95
    assert abs(mitigated - 1) < 0.8 * abs(without - 1)
    session = found(r"^session (\S+)", text)
    assert jobs_of(server, session) == ["completed"] * 3
    assert server.get(f"/jobs/{found(r'^learning (.*)', text)}")["program"] == "noise-learner"


def test_quantum_program(server: Embedded, tmp_path: Path) -> None:
    text = run(server, "quantum_program.py", tmp_path)
    lines = re.findall(r"^angle .*: ([.\d]+) of .* noise ([.\d]+)$", text, flags=re.MULTILINE)
    assert len(lines) == 9
    assert all(abs(float(share) - float(ideal)) < 0.1 for share, ideal in lines)


def test_circuit_items(server: Embedded, tmp_path: Path) -> None:
    text = run(server, "circuit_items.py", tmp_path)
    assert float(found(r"agree in ([\d.]+)%", text)) > 70
    lines = re.findall(r"^angles ([.\d]+) ([.\d]+): ([.\d]+) ([.\d]+) of", text, flags=re.MULTILINE)
    assert len(lines) == 9
    for line in lines:
        one, two, first, second = map(float, line)
        assert abs(first - math.sin(one / 2) ** 2) < 0.12
        assert abs(second - math.sin(two / 2) ** 2) < 0.12
    assert server.get(f"/jobs/{found(r'^job (.*)', text)}")["program"] == "executor"


def test_estimator_sweep(server: Embedded, tmp_path: Path) -> None:
    text = run(server, "estimator_sweep.py", tmp_path)
    lines = re.findall(r"^<.*: ([-+.\d]+) ± [.\d]+, without noise ([-+.\d]+)$", text, flags=re.MULTILINE)
    assert len(lines) == 15
    assert all(abs(float(value) - float(exact)) < 0.25 for value, exact in lines)
