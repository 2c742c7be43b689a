"""D24 over HTTP: the clock of a server's machine is set while a job runs, and while the server is down.

What the clock shows is read from a file by a module that Python imports at its start: nothing of ours is
replaced.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

from tests.acceptance.test_log_faults import PATIENCE, until
from tests.harness.programs import job_body

SECONDS = 2.0
CONFIGURATION = f"""
[server]
port = 0
data = "DATA"

[[devices]]
name = "mock"
driver = "mock"
options = {{ seconds = {SECONDS}, qubits = 5 }}
"""
SETTABLE = """
import os, time
_real, _path = time.time, os.environ["CLOCK_OFF_BY"]
def _set():
    with open(_path, encoding="ascii") as file:
        return _real() + float(file.read())
time.time = _set
"""
HOUR = 3600.0


class Machine:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.data = folder / "data"
        (folder / "python").mkdir()
        (folder / "python" / "sitecustomize.py").write_text(SETTABLE)
        (folder / "sojourn.toml").write_text(CONFIGURATION.replace("DATA", str(self.data)))
        self.log = folder / "log"
        self.set(0.0)

    def set(self, off_by: float) -> None:
        """The clock shows so much more than the right time from now on."""
        partial = self.folder / "partial"
        partial.write_text(str(off_by))
        partial.replace(self.folder / "off")

    def said(self, event: str) -> int:
        return self.log.read_text().count(event)

    @contextmanager
    def server(self) -> Iterator[httpx.Client]:
        more = {"PYTHONPATH": str(self.folder / "python"), "CLOCK_OFF_BY": str(self.folder / "off")}
        noted = self.data / "server.json"
        noted.unlink(missing_ok=True)
        with self.log.open("ab") as log:
            server = subprocess.Popen(
                [sys.executable, "-m", "sojourn", "serve", "--config", str(self.folder / "sojourn.toml")],
                stdout=log,
                stderr=log,
                env={**os.environ, **more},
            )
        try:
            until(lambda: noted.exists() or server.poll() is not None)
            key = {"Authorization": f"apikey {(self.data / 'local.key').read_text().strip()}"}
            url = json.loads(noted.read_text())["url"]
            with httpx.Client(base_url=url, headers=key, trust_env=False, timeout=PATIENCE) as client:
                until(lambda: client.get("/readyz").status_code == 200)
                yield client
            server.send_signal(signal.SIGTERM)
            assert server.wait(PATIENCE) == 0
        finally:
            server.kill()
            server.wait()


def ended(client: httpx.Client, job: str) -> dict[str, Any]:
    def look() -> dict[str, Any] | None:
        seen: dict[str, Any] = client.get(f"/sojourn/v1/jobs/{job}").json()
        return seen if seen["state"] not in ("accepted", "queued", "running") else None

    found: dict[str, Any] = until(look)
    return found


def seconds(text: str) -> float:
    return time.mktime(time.strptime(text[:19], "%Y-%m-%dT%H:%M:%S")) + float("0" + text[19:].rstrip("Z"))


def test_d24_a_clock_that_is_set_stops_no_job_ends_no_session_and_changes_no_charge(tmp_path: Path) -> None:
    machine, off_by, last = Machine(tmp_path), 0.0, 0.0
    with machine.server() as client:
        opened = client.post(
            "/api/v1/sessions", json={"backend": "mock", "mode": "dedicated", "max_ttl": 600}
        ).json()
        for count, by in enumerate((4 * HOUR, -HOUR, 400 * 24 * HOUR), 1):
            body = job_body(session_id=opened["id"], tags=[str(by)])
            job = client.post("/api/v1/jobs", content=body).json()["id"]
            until(lambda: client.get(f"/sojourn/v1/jobs/{job}").json()["state"] == "running")  # noqa: B023
            off_by += by
            machine.set(off_by)
            until(lambda: machine.said("clock.stepped") == count)  # noqa: B023
            found = ended(client, job)
            assert found["state"] == "completed", found
            assert SECONDS <= found["quantum_seconds"] < SECONDS + 30, found
            started, finished = seconds(found["started"]), seconds(found["finished"])
            assert abs(finished - started - found["quantum_seconds"]) < 1e-3
            assert last <= started
            last = finished
            session = client.get(f"/api/v1/sessions/{opened['id']}").json()
            assert session["state"] == "active"
        client.delete(f"/api/v1/sessions/{opened['id']}/close").raise_for_status()
    machine.set(off_by - 48 * HOUR)
    with machine.server() as client:
        assert machine.said("clock.behind") == 1
        job = client.post("/api/v1/jobs", content=job_body()).json()["id"]
        found = ended(client, job)
        assert SECONDS <= found["quantum_seconds"] < SECONDS + 30
        assert seconds(found["started"]) >= last
        wanted = {"name": "ci", "expires": "+1h"}  # by the clock, as every date
        made = client.post("/sojourn/v1/users/local/keys", json=wanted).json()["key"]
        assert abs(seconds(made["expires"]) - seconds(made["created"]) - HOUR) < 30
