"""R55 for real: the server process is killed with SIGKILL under load, and nothing acknowledged is lost."""

from __future__ import annotations

import queue
import random
import threading
from pathlib import Path
from typing import Any

import httpx

from sojourn.embedded import Embedded
from tests.programs import job_body

ROUNDS = 5
DEVICES = [
    {"name": "mock", "driver": "mock", "options": {"qubits": 5, "seconds": 0.005}},
    {"name": "other", "driver": "mock", "options": {"qubits": 5, "seconds": 0.05}},
]


def headers(server: Embedded) -> dict[str, str]:
    return {"Authorization": f"apikey {server.local_key}"}


def submit_until_killed(
    server: Embedded, device: str, acknowledged: queue.SimpleQueue[str], session: str | None
) -> None:
    with httpx.Client(base_url=server.url, headers=headers(server), trust_env=False, timeout=30) as client:
        while True:
            try:
                reply = client.post("/api/v1/jobs", content=job_body(device, session_id=session))
            except httpx.HTTPError:
                return
            assert reply.status_code == 200, reply.text
            acknowledged.put(reply.json()["id"])


def all_jobs(client: httpx.Client, **query: Any) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    while True:
        query_now = {**query, "limit": 200, "offset": len(found), "exclude_params": "true"}
        page = client.get("/api/v1/jobs", params=query_now).json()
        found += page["jobs"]
        if len(found) >= page["count"]:
            return found


def test_r55_nothing_acknowledged_is_lost_when_the_server_is_killed(tmp_path: Path) -> None:
    acknowledged: list[str] = []
    chance = random.Random(5)
    server = Embedded(tmp_path, devices=DEVICES)
    for _ in range(ROUNDS):
        server.start()
        with httpx.Client(base_url=server.url, headers=headers(server), trust_env=False) as client:
            made = client.post("/api/v1/sessions", json={"mode": "dedicated", "backend": "mock"})
            assert made.status_code == 200, made.text
        answers: queue.SimpleQueue[str] = queue.SimpleQueue()
        threads = [
            threading.Thread(target=submit_until_killed, args=(server, device, answers, session))
            for device, session in (("mock", made.json()["id"]), ("mock", None), ("other", None))
        ]
        for thread in threads:
            thread.start()
        acknowledged += [answers.get() for _ in range(chance.randint(3, 40))]
        server.kill()
        for thread in threads:
            thread.join()
        while not answers.empty():
            acknowledged.append(answers.get())
    server.start()
    try:
        with httpx.Client(base_url=server.url, headers=headers(server), trust_env=False) as client:
            for session in server.get("/sessions")["sessions"]:  # their holds would keep plain jobs waiting
                client.patch(f"/api/v1/sessions/{session['id']}", json={"accepting_jobs": False})
            while pending := all_jobs(client, pending="true"):
                client.get(f"/api/v1/jobs/{pending[0]['id']}")  # held while there is no news
            jobs = {job["id"]: job for job in all_jobs(client)}
            assert set(acknowledged) <= set(jobs)
            assert {job["state"]["status"] for job in jobs.values()} == {"Completed"}
            # a submit that was under way at a kill may have been committed without an answer: one a thread
            assert len(jobs) <= len(acknowledged) + ROUNDS * 3
            for job in acknowledged:
                result = client.get(f"/api/v1/jobs/{job}/results")
                assert "PrimitiveResult" in result.text
    finally:
        server.stop()
