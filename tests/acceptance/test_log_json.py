"""With `log_format = "json"` a server writes nothing but objects, and all that it says of a job names it."""

from __future__ import annotations

import json
import socket
from pathlib import Path
from typing import Any

import httpx

from sojourn.embedded import Embedded
from tests.harness.programs import job_body

DEVICES = [
    {"name": "quick", "driver": "mock", "options": {"seconds": 0.0, "qubits": 5}},
    {"name": "slow", "driver": "mock", "options": {"seconds": 3600.0, "qubits": 5}},
]


def test_every_line_is_an_object_and_every_line_of_a_job_has_its_id(tmp_path: Path) -> None:
    with Embedded(data=tmp_path, devices=DEVICES, server={"log_format": "json"}) as server:
        headers = {"authorization": f"Bearer {server.local_key}", "x-request-id": "the-submit-1"}
        with httpx.Client(base_url=f"{server.url}/api/v1", headers=headers, timeout=60) as http:
            quick = http.post("/jobs", content=job_body("quick")).json()["id"]
            while http.get(f"/jobs/{quick}").json()["state"]["status"] != "Completed":
                pass
            slow = http.post("/jobs", content=job_body("slow")).json()["id"]
            while http.get(f"/jobs/{slow}").json()["state"]["status"] != "Running":
                pass
            http.post(f"/jobs/{slow}/cancel")  # its worker ends with it
            assert http.get("/jobs/nothing").status_code == 404
            while not lines(server, "worker ended"):
                pass
        host, _, port = server.url.removeprefix("http://").partition(":")
        with socket.create_connection((host, int(port))) as raw:
            raw.sendall(b"this is no HTTP\r\n\r\n")  # uvicorn logs it by the standard library
            assert raw.recv(4096)
    told = lines(server)
    assert [line["job"] for line in told if line["event"] == "job.accepted"] == [quick, slow]
    assert [line["job"] for line in told if line["event"] == "job.ended"] == [quick, slow]
    assert next(line["job"] for line in told if line["event"] == "worker ended") == slow
    assert {line["request"] for line in told if line["event"] == "job.accepted"} == {"the-submit-1"}
    assert any(line.get("logger", "").startswith("uvicorn") for line in told)
    of_jobs = [line for line in told if line["event"].startswith("job.")]
    assert all("job" in line for line in of_jobs)


def lines(server: Embedded, event: str | None = None) -> list[dict[str, Any]]:
    """What standard error has; the line that says where the server listens is standard output's."""
    text = server.log.read_text(encoding="utf-8")
    found = [
        json.loads(line)
        for line in text.splitlines(keepends=True)
        if line.endswith("\n") and not line.startswith("Sojourn is listening on ")
    ]
    return [line for line in found if event is None or line["event"] == event]
