"""A program that another package installs runs end to end: the example of docs/programs.md."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from sojourn import codes, programs
from sojourn.config import ConfigError, load
from sojourn.embedded import Embedded

PAGE = Path(__file__).parents[3] / "docs" / "programs.md"
FINAL = ("Completed", "Failed", "Cancelled")
POINTS = """
[sojourn.programs]
coin = coin_program:COIN
lost = nowhere:PROGRAM
sampler = coin_program:COIN
calibrate = coin_program:COIN
Not A Name = coin_program:COIN
"""


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder with the page's example as an installed package, on the path of the server and its workers."""
    found = re.search(
        r"<!-- example: coin_program.py -->\n```python\n(.*?)```", PAGE.read_text("utf-8"), re.S
    )
    assert found is not None
    folder = tmp_path_factory.mktemp("package")
    (folder / "coin_program.py").write_text(found[1])
    info = folder / "coin-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: coin\nVersion: 1\n")
    (info / "entry_points.txt").write_text(POINTS)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(
            "PYTHONPATH", os.pathsep.join([str(folder), os.environ.get("PYTHONPATH", "")]).rstrip(":")
        )
        patch.syspath_prepend(str(folder))
        programs.installed.cache_clear()
        yield folder
    programs.installed.cache_clear()


@pytest.fixture(scope="module")
def http(package: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    devices = [{"name": "aer", "driver": "aer", "options": {"qubits": 5, "seed": 1}}]
    with Embedded(tmp_path_factory.mktemp("server"), devices=devices) as server:
        headers = {"Authorization": f"apikey {server.local_key}"}
        base = f"{server.url}/api/v1"
        with httpx.Client(base_url=base, headers=headers, trust_env=False, timeout=60) as client:
            yield client


def submit(http: httpx.Client, program: str, params: dict[str, Any], **more: Any) -> httpx.Response:
    return http.post("/jobs", json={"program_id": program, "backend": "aer", "params": params, **more})


def complaint(reply: httpx.Response) -> tuple[int, str]:
    assert 400 <= reply.status_code < 500, reply.text
    error = reply.json()["error"]
    return error["code"], error["message"]


def test_an_installed_program_runs_from_the_body_to_the_result(http: httpx.Client) -> None:
    submitted = submit(http, "coin", {"angle": 3.141592653589793, "shots": 50})
    assert submitted.status_code == 200, submitted.text
    job = submitted.json()["id"]
    found: dict[str, Any] = {}
    for _ in range(200):  # the server holds the polls
        found = http.get(f"/jobs/{job}").json()
        if found["state"]["status"] in FINAL:
            break
    assert found["state"]["status"] == "Completed", found
    assert found["program"] == {"id": "coin"}
    assert json.loads(http.get(f"/jobs/{job}/results").text) == {"heads": 1.0}


def test_what_it_refuses_is_refused_at_the_submit(http: httpx.Client) -> None:
    assert complaint(submit(http, "coin", {"angle": "flat"})) == (
        codes.JOB_UNFIT,
        "params.angle is 'flat'; it must be a number",
    )


def test_r6_a_program_that_is_no_primitive_cannot_run_in_a_session(http: httpx.Client) -> None:
    session = http.post("/sessions", json={"mode": "dedicated", "backend": "aer"}).json()["id"]
    _, message = complaint(submit(http, "coin", {}, session_id=session))
    assert "Program 'coin' cannot run in a session" in message


def test_a_program_that_is_not_installed_is_refused_with_those_that_are(http: httpx.Client) -> None:
    code, message = complaint(submit(http, "hello-world", {}))
    assert code == codes.UNKNOWN_PROGRAM
    assert "it runs sampler, estimator, executor" in message
    assert ", coin and lost (" in message


def test_a_program_that_cannot_be_loaded_is_refused_with_the_reason(http: httpx.Client) -> None:
    code, message = complaint(submit(http, "lost", {}))
    assert code == codes.UNKNOWN_PROGRAM
    assert "'lost' (nowhere:PROGRAM) cannot be loaded on this device: ModuleNotFoundError" in message


@pytest.mark.usefixtures("package")
def test_no_package_takes_the_name_of_a_program_of_sojourn() -> None:
    assert list(programs.installed()) == ["coin", "lost"]
    assert not programs.runs("calibrate")


@pytest.mark.usefixtures("package")
def test_a_profile_may_have_a_limit_for_it(tmp_path: Path) -> None:
    config = tmp_path / "sojourn.toml"
    config.write_text("[profiles.lab]\nprogram_limits = { coin = 60 }\n")
    assert load(config).profiles["lab"].program_limits == {"coin": 60.0}
    config.write_text("[profiles.lab]\nprogram_limits = { coins = 60 }\n")
    with pytest.raises(ConfigError, match=r"program_limits .*unknown program 'coins'; did you mean 'coin'"):
        load(config)
