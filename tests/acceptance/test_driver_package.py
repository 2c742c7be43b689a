"""A driver as a package of its own: installed by pip into an environment that `make-env` builds, checked
there by the test-kit, and served. Without a network: what the packages require is linked."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from sojourn.cli.drivers.wheel import AER, EXTRAS, PARTS, QISKIT, REQUIRED, wheel, worker_wheel
from sojourn.embedded import Embedded
from tests import worker_environment
from tests.harness.programs import bell, sampler_params
from tests.worker_environment import ROOT, declared

EXAMPLE = ROOT / "examples" / "driver-package"
FINAL = ("Completed", "Failed", "Cancelled")
OFFLINE = {"PIP_NO_INDEX": "1", "PIP_NO_DEPS": "1", "PIP_NO_CACHE_DIR": "1"}


def sojourn(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    clean = {k: v for k, v in os.environ.items() if not k.startswith("SOJOURN_") and k != "PYTHONPATH"}
    return subprocess.run(
        [sys.executable, "-m", "sojourn", *arguments],
        capture_output=True,
        text=True,
        env={**clean, **variables},
        check=False,
    )


def example_wheel(folder: Path) -> Path:
    """What `pip wheel` makes of the example."""
    project = declared(EXAMPLE)["project"]
    source = EXAMPLE / "src"
    files = {str(path.relative_to(source)): path.read_bytes() for path in sorted(source.rglob("*.py"))}
    points = project["entry-points"]
    name, content = wheel(project["name"], project["version"], files, project["dependencies"], points)
    (folder / name).write_bytes(content)
    return folder / name


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return example_wheel(tmp_path_factory.mktemp("wheels"))


@pytest.fixture(scope="module")
def python(package: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The interpreter of the environment."""
    folder = tmp_path_factory.mktemp("environments") / "lab"
    made = sojourn(
        "drivers", "make-env", "lab", "--with", str(package), "--to", str(folder), "--json", **OFFLINE
    )
    assert made.returncode == 0, made.stderr
    told = json.loads(made.stdout)
    assert [each["name"] for each in told["drivers"]] == [
        "aer",
        "backend",
        "fake",
        "line",
        "mock",
        "qrmi",
        "sojourn",
    ]
    (site,) = folder.glob("lib/python*/site-packages")
    worker_environment.link(declared()["project"]["dependencies"], site)
    python: str = told["python"]
    return python


@pytest.fixture(scope="module")
def server(python: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Embedded]:
    device = {"name": "lab", "driver": "line", "options": {"qubits": 3}, "python": python}
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("PYTHONPATH", raising=False)
        with Embedded(tmp_path_factory.mktemp("server"), devices=[device]) as running:
            yield running


def test_the_environment_is_as_wanted_the_second_time(python: str, package: Path) -> None:
    folder = Path(python).parents[1]
    before = (folder / "bin" / "python").lstat().st_mtime_ns
    again = sojourn("drivers", "make-env", "lab", "--with", str(package), "--to", str(folder), **OFFLINE)
    assert again.returncode == 0, again.stderr
    assert "is as wanted" in again.stderr
    assert (folder / "bin" / "python").lstat().st_mtime_ns == before
    assert f'[[devices]]\nname = "lab"\ndriver = "line"\npython = "{python}"\n' == again.stdout


def test_after_an_update_the_environment_gets_the_worker_and_keeps_the_packages(
    package: Path, tmp_path: Path
) -> None:
    def make() -> str:
        command = ("drivers", "make-env", "lab", "--with", str(package), "--to", str(folder))
        done = sojourn(*command, **OFFLINE)
        assert done.returncode == 0, done.stderr
        return done.stderr

    folder = tmp_path / "lab"
    make()
    marker = folder / "sojourn-environment.json"
    wanted = json.loads(marker.read_text(encoding="utf-8"))
    marker.write_text(json.dumps({**wanted, "sojourn": "0.0.1", "worker": "another"}), encoding="utf-8")
    (site,) = folder.glob("lib/python*/site-packages")
    (site / "sojourn" / "codes.py").write_text("# of another release", encoding="utf-8")
    (site / "line_driver" / "note").touch()
    assert "gets the worker of this release" in make()
    assert (site / "sojourn" / "codes.py").read_bytes() == (ROOT / "src/sojourn/codes.py").read_bytes()
    assert (site / "line_driver" / "note").exists()
    assert json.loads(marker.read_text(encoding="utf-8")) == wanted
    assert "is as wanted" in make()


def test_a_folder_that_is_somebody_elses_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("draft", encoding="utf-8")
    made = sojourn("drivers", "make-env", "lab", "--to", str(tmp_path), **OFFLINE)
    assert made.returncode == 1
    assert "was not made by this command" in made.stderr
    assert (tmp_path / "thesis.tex").exists()


def test_the_driver_passes_the_test_kit_in_its_environment(python: str) -> None:
    options = ("--option", "qubits=3", "--option", "readout_error=0.02", "--timeout", "150")
    ran = sojourn("drivers", "check", "line", *options, "--python", python, "--json")
    told = json.loads(ran.stdout)
    assert {each["check"] for each in told["findings"] if each["verdict"] in ("fail", "skip")} == set(), told
    assert ran.returncode == 0
    assert told["driver"]["package"] == "line-driver"


def test_the_server_says_what_the_device_runs_with_to_operators(server: Embedded) -> None:
    environment = server.get("/devices/lab")["environment"]
    assert environment["python"].startswith(f"{sys.version_info.major}.{sys.version_info.minor}.")
    assert environment["qpy"] >= 17
    headers = {"Authorization": f"Bearer {server.local_key}"}
    url = f"{server.url}/sojourn/v1/devices/lab"
    seen = httpx.get(url, headers=headers, trust_env=False, timeout=60)
    assert seen.status_code == 200, seen.text
    assert seen.json()["environment"] is None


def test_a_job_of_the_device_completes(server: Embedded) -> None:
    headers = {"Authorization": f"apikey {server.local_key}"}
    with httpx.Client(base_url=f"{server.url}/api/v1", headers=headers, trust_env=False, timeout=60) as http:
        body = {"program_id": "sampler", "backend": "lab", "params": sampler_params((bell(), None, 32))}
        submitted = http.post("/jobs", json=body)
        assert submitted.status_code == 200, submitted.text
        job = submitted.json()["id"]
        state: dict[str, Any] = {}
        for _ in range(200):  # the server holds the polls
            state = http.get(f"/jobs/{job}").json()["state"]
            if state["status"] in FINAL:
                break
        assert state["status"] == "Completed", state
        assert "BitArray" in http.get(f"/jobs/{job}/results").text


def test_the_examples_own_tests_pass() -> None:
    """In this environment, whose pytest it is; the driver is found by its path."""
    ran = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(EXAMPLE / "tests")],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(EXAMPLE / "src")},
        check=False,
    )
    assert ran.returncode == 0, ran.stdout


def test_the_wheel_of_the_worker_is_what_packaging_builds() -> None:
    table = declared()
    listed = table["tool"]["hatch"]["build"]["only-include"]
    assert {Path(place).relative_to("src/sojourn").as_posix() for place in listed} == set(PARTS)
    project = table["project"]
    assert {text.split(">")[0] for text in project["dependencies"]} == REQUIRED
    assert {QISKIT, AER} <= set(project["dependencies"])
    for extra, names in EXTRAS.items():
        assert {text.split(">")[0] for text in project["optional-dependencies"][extra]} == names
    assert worker_wheel() == worker_wheel()
