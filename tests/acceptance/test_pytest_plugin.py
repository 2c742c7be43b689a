"""The plugin as somebody else's project has it: pytest finds it by its entry point; the network is shut.

The project is `examples/pytest`, copied to a folder of its own.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "examples" / "pytest"
SHUT = """
import os, sys

def watch(event, arguments):
    place = None
    if event in ("socket.connect", "socket.sendto") and isinstance(arguments[1], tuple):
        place = arguments[1][0]
    elif event in ("socket.getaddrinfo", "socket.gethostbyname"):
        place = arguments[0]
    if isinstance(place, bytes):
        place = place.decode()
    if place not in (None, "127.0.0.1", "::1", "localhost", ""):
        with open(os.environ["WENT_OUT"], "a") as log:
            log.write(f"{event} {place}\\n")
        raise OSError(f"the network is shut: {place}")

sys.addaudithook(watch)
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """The example, the plugin's entry point as an installation writes it, and a network that is shut."""
    folder = tmp_path / "project"
    shutil.copytree(EXAMPLE, folder, ignore=shutil.ignore_patterns("__pycache__", ".pytest_cache"))
    installed = tmp_path / "installed"
    metadata = installed / "sojourn_plugin-0.dist-info"
    metadata.mkdir(parents=True)
    points = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["entry-points"]["pytest11"]
    lines = "".join(f"{name} = {place}\n" for name, place in points.items())
    (metadata / "entry_points.txt").write_text(f"[pytest11]\n{lines}")
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: sojourn-plugin\nVersion: 0\n")
    (installed / "sitecustomize.py").write_text(SHUT)
    return folder


def run(project: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    home = project.parent / "home"
    home.mkdir(exist_ok=True)
    clean = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("QISKIT_", "SOJOURN_", "IAM_", "GLOBAL_", "PYTEST_", "COV_"))
    }
    variables = {
        "HOME": str(home),
        "PYTHONPATH": str(project.parent / "installed"),
        "WENT_OUT": str(project.parent / "went-out"),
        # Nobody is there: a request that an environment's proxy would take out fails.
        "HTTPS_PROXY": "http://127.0.0.1:9",
        "QISKIT_IBM_TOKEN": "a-key-for-ibm",
    }
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *arguments],
        cwd=project,
        env=clean | variables,
        capture_output=True,
        text=True,
        timeout=170,
        check=False,
    )


def went_out(project: Path) -> str:
    log = project.parent / "went-out"
    return log.read_text() if log.exists() else ""


def test_the_example_passes_and_no_request_leaves_the_machine(project: Path) -> None:
    done = run(project)
    assert done.returncode == 0, done.stdout + done.stderr
    tests = (EXAMPLE / "test_survey.py").read_text().count("\ndef test_")
    assert f"{tests} passed" in done.stdout
    assert went_out(project) == ""
    assert not (project.parent / "home" / ".qiskit").exists()


def test_the_network_of_these_tests_is_shut(project: Path) -> None:
    (project / "test_survey.py").write_text(
        "import socket, pytest\n\n\n"
        "def test_out():\n"
        "    with pytest.raises(OSError, match='shut'):\n"
        "        socket.create_connection(('iam.cloud.ibm.com', 443), 1)\n"
        "    with pytest.raises(OSError, match='shut'):\n"
        "        socket.create_connection(('192.0.2.1', 443), 1)\n"
    )
    done = run(project)
    assert done.returncode == 0, done.stdout + done.stderr
    assert went_out(project).split() == [
        "socket.getaddrinfo",
        "iam.cloud.ibm.com",
        "socket.getaddrinfo",
        "192.0.2.1",
    ]


WITHOUT = """
import os
import sys


def test_it():
    loaded = [name for name in sys.modules if name.split(".")[0] in ("sojourn", "qiskit", "httpx")]
    assert sorted(loaded) == ["sojourn", "sojourn.pytest_plugin"]
    assert "IAM_URL" not in os.environ
"""


def test_a_run_that_does_not_use_it_loads_nothing_of_it_and_starts_nothing(project: Path) -> None:
    (project / "survey.py").unlink()
    (project / "test_survey.py").write_text(WITHOUT)
    done = run(project, "--strict-markers")
    assert done.returncode == 0, done.stdout + done.stderr


MARKED = """
import os
import pytest
from qiskit_ibm_runtime import Session

before = dict(os.environ)


@pytest.mark.sojourn(ttl="50ms", max_time=1.5, devices=[{"name": "tiny", "driver": "mock"}])
def test_settings(sojourn, sojourn_service):
    assert sojourn.devices == ["tiny"]
    session = Session(backend=sojourn_service.backend("tiny")).session_id
    assert sojourn.get(f"/sessions/{session}")["interactive_ttl"] == 0.05
    assert {k: v for k, v in os.environ.items() if k != "PYTEST_CURRENT_TEST"} == {
        k: v for k, v in before.items() if k != "PYTEST_CURRENT_TEST"
    }


@pytest.mark.sojourn(tll="50ms")
def test_slip(sojourn):
    pass


@pytest.mark.sojourn(ttl="soon")
def test_no_duration(sojourn):
    pass
"""


def test_the_marker_has_settings_and_a_slip_in_it_is_refused(project: Path) -> None:
    (project / "test_survey.py").write_text(MARKED)
    done = run(project, "--strict-markers")
    assert "1 passed" in done.stdout, done.stdout
    assert "2 errors" in done.stdout
    assert "the marker sojourn has no tll; it takes ttl, max_time, devices, policy, server" in done.stdout
    assert "the marker sojourn: ttl is 'soon'" in done.stdout
    listed = run(project, "--markers").stdout
    assert "@pytest.mark.sojourn(ttl=" in listed
