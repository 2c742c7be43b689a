"""A server on a disk that is full: it goes on, says so, starts again on it, and recovers by itself.

Two disks: a small one of its own, which needs the right to mount (else that case is skipped), and a limit on
the size of the server's files, which needs none.
"""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.acceptance.test_log_faults import PATIENCE, until
from tests.harness.programs import job_body
from tests.integration.service.test_full_disk import large

CONFIGURATION = """
[server]
port = 0
data = "{data}"

[[devices]]
name = "mock"
driver = "mock"
options = {{ seconds = 0.0, qubits = 5 }}
"""
MB = 2**20


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 12 MB."""
    path = tmp_path / "disk"
    path.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=12m", "tmpfs", path], capture_output=True)
    if mounted.returncode:
        pytest.skip(f"SKIPPED: a full disk needs the right to mount one: {mounted.stderr.decode().strip()}")
    try:
        yield path
    finally:
        subprocess.run(["umount", "-l", path], check=True)


@contextmanager
def server(data: Path, log: Path, before: Callable[[], None] | None = None) -> Iterator[httpx.Client]:
    """It ends in order at the end, with 0."""
    configuration = log.with_suffix(".toml")
    configuration.write_text(CONFIGURATION.format(data=data))
    with log.open("ab") as stream:
        process = subprocess.Popen(
            [sys.executable, "-m", "sojourn", "serve", "--config", str(configuration)],
            stdout=stream,
            stderr=stream,
            preexec_fn=before,
        )
    try:
        noted = data / "server.json"
        until(lambda: noted.exists() or process.poll() is not None)
        assert process.poll() is None, log.read_text()
        key = {"Authorization": f"apikey {(data / 'local.key').read_text().strip()}"}
        url = json.loads(noted.read_text())["url"]
        with httpx.Client(base_url=url, headers=key, trust_env=False, timeout=PATIENCE) as client:
            yield client
    finally:
        process.send_signal(signal.SIGTERM)
        code = process.wait(PATIENCE)
    assert code == 0, log.read_text()
    assert "Traceback" not in log.read_text()


def ready(client: httpx.Client) -> dict[str, Any]:
    found: dict[str, Any] = client.get("/readyz").json()
    return found


def ended(client: httpx.Client, reply: httpx.Response) -> dict[str, Any]:
    assert reply.status_code == 200, reply.text
    path = f"/api/v1/jobs/{reply.json()['id']}"

    def final() -> dict[str, Any] | None:
        found: dict[str, Any] = client.get(path).json()
        return found if found["state"]["status"] in ("Completed", "Failed") else None

    return until(final)


def test_a_server_lives_through_a_full_disk_and_starts_on_one(disk: Path, tmp_path: Path) -> None:
    data, fill, log = disk / "data", disk / "fill", tmp_path / "log"

    def fill_up() -> None:
        with fill.open("ab", buffering=0) as file:
            try:
                while file.write(bytes(4096)):
                    pass
            except OSError:
                pass

    with server(data, log) as client:
        until(lambda: ready(client)["ready"])
        first = ended(client, client.post("/api/v1/jobs", content=job_body()))
        fill_up()
        until(lambda: ready(client)["disk"]["reason"])
        assert client.get("/readyz").status_code == 503
        refused = client.post("/api/v1/jobs", content=job_body())
        assert (refused.status_code, int(refused.headers["retry-after"])) == (507, 60)
        assert "disk_reserve_mb" in refused.json()["error"]["message"]
        made = client.post("/api/v1/sessions", json={"mode": "batch", "backend": "mock"})
        assert client.delete(f"/api/v1/sessions/{made.json()['id']}/close").status_code == 204
        assert client.delete(f"/api/v1/jobs/{first['id']}").status_code == 204
        assert client.get(f"/api/v1/jobs/{first['id']}").status_code == 404
    fill_up()
    with server(data, log) as client:  # the reserve of the last life lets it start
        assert "left" in ready(client)["disk"]["reason"]
        assert client.get("/api/v1/jobs").json()["count"] == 0
        fill.unlink()
        until(lambda: ready(client)["ready"])
        again = ended(client, client.post("/api/v1/jobs", content=job_body()))
        assert again["state"]["status"] == "Completed"
    said = log.read_text()
    assert said.count("disk.full") == 2
    assert "disk.recovered" in said


def test_a_server_that_cannot_even_open_its_database_says_so_in_one_sentence(
    disk: Path, tmp_path: Path
) -> None:
    data, log = disk / "data", tmp_path / "log"
    with server(data, log) as client:
        until(lambda: ready(client)["ready"])
    (data / "disk.reserve").unlink()
    os.posix_fallocate(handle := os.open(disk / "fill", os.O_CREAT | os.O_WRONLY), 0, free(disk))
    os.close(handle)
    assert free(disk) == 0
    configuration = log.with_suffix(".toml")
    found = subprocess.run(
        [sys.executable, "-m", "sojourn", "serve", "--config", str(configuration)],
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )
    assert found.returncode == 1
    assert "Traceback" not in found.stderr
    assert "Make some room" in found.stderr or "No space left" in found.stderr, found.stderr


def free(disk: Path) -> int:
    found = os.statvfs(disk)
    return found.f_bavail * found.f_frsize


def test_a_file_that_may_not_grow_costs_the_job_that_needs_it_and_nobody_else(tmp_path: Path) -> None:
    """As a quota of the server's user would: a failed write that is not ENOSPC."""
    log = tmp_path / "log"

    def small_files() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (2 * MB, 2 * MB))

    with server(tmp_path / "data", log, small_files) as client:
        until(lambda: ready(client)["ready"])
        failed = ended(client, client.post("/api/v1/jobs", content=large()))
        assert failed["state"]["status"] == "Failed"
        assert failed["state"]["reason_code"] == 8100
        assert failed["usage"]["quantum_seconds"] == 0
        until(lambda: ready(client)["ready"])
        done = ended(client, client.post("/api/v1/jobs", content=job_body()))
        assert done["state"]["status"] == "Completed"
    assert "result.unstored" in log.read_text()
