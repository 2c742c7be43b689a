"""`sojourn database …` beside a running server; what a start says of a damaged database."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from sojourn.embedded import Embedded
from tests.harness.programs import job_body

MOCK = {"name": "mock", "driver": "mock", "options": {"seconds": 0.0, "qubits": 5}}


@pytest.fixture(scope="module")
def server() -> Iterator[Embedded]:
    with Embedded(devices=[MOCK]) as running:
        yield running


def sojourn(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    clean = {k: v for k, v in os.environ.items() if not k.startswith("SOJOURN_")}
    command = [sys.executable, "-m", "sojourn", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, env=clean, check=False, timeout=60)


def test_a_backup_of_a_running_server_is_a_server_again(server: Embedded, tmp_path: Path) -> None:
    key = {"Authorization": f"apikey {server.local_key}"}
    with httpx.Client(base_url=server.url, headers=key, trust_env=False) as client:
        job = client.post("/api/v1/jobs", content=job_body()).json()["id"]
    folder = tmp_path / "restored"
    folder.mkdir()
    made = sojourn("database", "backup", folder / "sojourn.db", "--data", server.data)
    assert made.returncode == 0, made.stderr
    for name in ("local", "operator"):
        shutil.copy(server.data / f"{name}.key", folder)
    with (
        Embedded(devices=[MOCK], data=folder) as restored,
        httpx.Client(base_url=restored.url, headers=key, trust_env=False) as client,
    ):
        assert client.get(f"/api/v1/jobs/{job}").status_code == 200
    again = sojourn("database", "backup", folder / "sojourn.db", "--data", server.data)
    assert again.returncode == 1
    assert "exists already" in again.stderr


def test_check_says_that_a_running_servers_database_is_sound(server: Embedded) -> None:
    done = sojourn("database", "check", "--data", server.data, "--full")
    assert (done.returncode, done.stderr) == (0, "")
    assert "is sound" in done.stdout
    found = json.loads(sojourn("database", "check", "--data", server.data, "--json").stdout)
    assert found == {"database": str(server.data / "sojourn.db"), "sound": True, "faults": []}


def test_an_empty_database_is_neither_sound_nor_backed_up(tmp_path: Path) -> None:
    (tmp_path / "sojourn.db").touch()
    checked = sojourn("database", "check", "--data", tmp_path)
    assert (checked.returncode, checked.stdout) == (1, "")
    assert "it is empty" in checked.stderr
    copied = sojourn("database", "backup", tmp_path / "copy.db", "--data", tmp_path)
    assert copied.returncode == 1
    assert not (tmp_path / "copy.db").exists()


def test_a_running_server_says_in_readyz_whether_it_has_looked_for_damage(server: Embedded) -> None:
    with httpx.Client(base_url=server.url, trust_env=False) as client:
        while not (found := client.get("/readyz").json())["store_checked"]:
            pass
    assert found["store"] == "ok"


def test_damage_ends_a_check_and_a_start_with_a_sentence(tmp_path: Path) -> None:
    """The kind: any damage of the file. It is told in words, by whatever touches it first."""
    data = tmp_path / "data"
    with Embedded(devices=[MOCK], data=data):
        pass
    assert sojourn("database", "backup", tmp_path / "good.db", "--data", data).returncode == 0
    good = (tmp_path / "good.db").read_bytes()
    configuration = tmp_path / "sojourn.toml"
    configuration.write_text(
        f'[server]\nport = 0\ndata = "{data}"\n[[devices]]\nname = "mock"\ndriver = "mock"\n',
        encoding="utf-8",
    )
    for page in (1, 5, 11):
        for left in data.glob("sojourn.db*"):
            left.unlink()
        (data / "sojourn.db").write_bytes(good[: page * 4096] + os.urandom(4096) + good[(page + 1) * 4096 :])
        checked = sojourn("database", "check", "--data", data)
        assert checked.returncode == 1
        assert "is damaged" in checked.stderr
        with subprocess.Popen(
            [sys.executable, "-m", "sojourn", "serve", "--config", str(configuration), "--stop-with-stdin"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        ) as started:
            assert started.stdout is not None
            if line := started.stdout.readline():  # it found out only by looking
                url = line.split()[-1]
                while not (ready := httpx.get(f"{url}/readyz", trust_env=False).json())["store_checked"]:
                    pass
                assert ready["ready"] is False
                assert ready["store"].startswith("damaged: ")
            _, said = started.communicate(timeout=60)
            assert line or started.returncode == 1
            assert line or said.strip().splitlines()[-1].startswith("sojourn: the database")
            assert line or "Traceback" not in said
