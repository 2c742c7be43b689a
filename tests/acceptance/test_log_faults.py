"""The service goes on when its log cannot be written: jobs end, it says what is wrong, and it obeys SIGTERM.

The kind: whatever can happen to the place to which a server's standard error goes.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

import httpx
import pytest

from tests.harness.programs import job_body

T = TypeVar("T")
CONFIGURATION = """
[server]
port = 0
data = "{data}"

[[devices]]
name = "mock"
driver = "mock"
options = {{ seconds = 0.0, qubits = 5 }}
"""
PATIENCE = 60.0
FAULTS = ("the reader has gone", "the disk is full", "nobody reads")


@contextmanager
def sink(fault: str) -> Iterator[int]:
    """A descriptor for the log that has the fault."""
    if fault == "the disk is full":
        opened = [os.open("/dev/full", os.O_WRONLY)]
    else:
        read, write = os.pipe()
        opened = [write]
        if fault == "the reader has gone":
            os.close(read)
        else:
            opened.append(read)
            os.set_blocking(write, False)
            for size in (4096, 1):
                while True:
                    try:
                        os.write(write, b"x" * size)
                    except BlockingIOError:
                        break
            os.set_blocking(write, True)
    yield opened[0]
    for descriptor in opened:
        os.close(descriptor)


def until(found: Callable[[], T | None]) -> T:
    deadline = time.monotonic() + PATIENCE
    while not (answer := found()):
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.02)
    return answer


@pytest.mark.parametrize("fault", FAULTS)
def test_jobs_run_and_sigterm_is_obeyed_when_the_log_cannot_be_written(fault: str, tmp_path: Path) -> None:
    data = tmp_path / "data"
    configuration = tmp_path / "sojourn.toml"
    configuration.write_text(CONFIGURATION.format(data=data))
    with sink(fault) as log:
        server = subprocess.Popen(
            [sys.executable, "-m", "sojourn", "serve", "--config", str(configuration)],
            stdout=log,
            stderr=log,
        )
        try:
            noted = data / "server.json"
            until(lambda: noted.exists() or server.poll() is not None)
            key = {"Authorization": f"apikey {(data / 'local.key').read_text().strip()}"}
            url = json.loads(noted.read_text())["url"]
            with httpx.Client(base_url=url, headers=key, trust_env=False, timeout=PATIENCE) as client:
                until(lambda: client.get("/readyz").status_code == 200)
                jobs = [
                    client.post("/api/v1/jobs", content=job_body(tags=[str(n)])).json()["id"]
                    for n in range(20)
                ]

                def ended() -> bool:
                    states = [client.get(f"/sojourn/v1/jobs/{job}").json()["state"] for job in jobs]
                    return states == ["completed"] * len(jobs)

                until(ended)
                if fault != "nobody reads":  # there the bound is not reached yet
                    told = until(lambda: (found := client.get("/readyz").json()["log"])["lost"] and found)
                    assert told["reason"] in ("Broken pipe", "No space left on device")
            server.send_signal(signal.SIGTERM)
            assert server.wait(PATIENCE) == 0
        finally:
            server.kill()
            server.wait()


@pytest.mark.parametrize("closed", ["0", "1", "2", "012"])
def test_a_server_that_is_started_without_standard_streams_runs(closed: str, tmp_path: Path) -> None:
    """As some supervisors start one. No file of the server may take the number of such a stream: what is
    written to the log would go into it."""
    data = tmp_path / "data"
    configuration = tmp_path / "sojourn.toml"
    configuration.write_text(CONFIGURATION.format(data=data))
    redirections = " ".join(f"{stream}>&-" for stream in closed)
    command = f'exec "$0" -m sojourn serve --config "$1" {redirections}'
    server = subprocess.Popen(
        ["/bin/sh", "-c", command, sys.executable, str(configuration)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        noted = data / "server.json"
        until(lambda: noted.exists() or server.poll() is not None)
        url = json.loads(noted.read_text())["url"]
        until(lambda: httpx.get(f"{url}/readyz", trust_env=False).status_code == 200)
        for stream in closed:
            assert Path(f"/proc/{server.pid}/fd/{stream}").readlink() == Path(os.devnull)
        server.send_signal(signal.SIGTERM)
        assert server.wait(PATIENCE) == 0
    finally:
        server.kill()
        server.wait()
