"""R55 for real: the server process is killed with SIGKILL under load, and nothing acknowledged is lost.

`SOJOURN_KILLS` is how often; `make proofs` does it a hundred times. Kills are simulated by the
thousand in tests/proofs/crash; this is the check that the simulation is true to life.
"""

from __future__ import annotations

import itertools
import os
import queue
import random
import select
import socket
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
from qiskit_ibm_runtime import SamplerV2, Session

from sojourn.embedded import Embedded
from tests.harness.processes import parents
from tests.harness.programs import bell, job_body

KILLS = int(os.environ.get("SOJOURN_KILLS", "5"))
DEVICES = [
    {"name": "mock", "driver": "mock", "options": {"qubits": 5, "seconds": 0.005}},
    {"name": "other", "driver": "mock", "options": {"qubits": 5, "seconds": 0.05}},
]
PLAIN = (("mock", True), ("mock", False), ("other", False))  # device, in a session
PATIENCE = 30.0

Acknowledged = queue.SimpleQueue[tuple[str, str]]  # (job, its own tag)


class Tags:
    """A name for every submit, so that a job that was made twice shows."""

    def __init__(self) -> None:
        self._count = itertools.count()
        self.used: list[str] = []

    def new(self) -> str:
        self.used.append(f"submit-{next(self._count)}")
        return self.used[-1]


def headers(server: Embedded) -> dict[str, str]:
    return {"Authorization": f"apikey {server.local_key}"}


def submit_until_killed(
    url: str, key: dict[str, str], device: str, answers: Acknowledged, session: str | None, tags: Tags
) -> None:
    with httpx.Client(base_url=url, headers=key, trust_env=False, timeout=PATIENCE) as client:
        while True:
            tag = tags.new()
            body = job_body(device, session_id=session, tags=[tag])
            try:
                reply = client.post("/api/v1/jobs", content=body)
            except httpx.HTTPError:
                return
            assert reply.status_code == 200, reply.text
            answers.put((reply.json()["id"], tag))


def real_client_until_killed(
    server: Embedded, answers: Acknowledged, tags: Tags, first: threading.Event, by_program: list[str]
) -> None:
    """An ordinary program; what it meets when its server is gone is its own affair."""
    try:
        session = Session(backend=server.service().backend("mock"))
        sampler = SamplerV2(mode=session)
        while True:
            tag = tags.new()
            sampler.options.environment.job_tags = [tag]
            job = sampler.run([bell()], shots=16)
            answers.put((job.job_id(), tag))
            by_program.append(job.job_id())
            first.set()
    except Exception:
        first.set()


def processes_of(server: Embedded) -> list[int]:
    """Handles of the server's process and of all its descendants; they name nobody else, ever."""
    parent_of = parents()
    found, new = {server.pid}, {server.pid}
    while new:
        new = {pid for pid, parent in parent_of.items() if parent in new} - found
        found |= new
    handles = []
    for pid in found - {server.pid}:  # its own end is waited for by `kill`
        try:
            handles.append(os.pidfd_open(pid))
        except ProcessLookupError:
            continue
    return handles


def await_the_end(handles: list[int]) -> None:
    for handle in handles:
        ended, _, _ = select.select([handle], [], [], PATIENCE)
        os.close(handle)
        assert ended, f"a process of a killed server still lives after {PATIENCE:g} s"


def all_jobs(client: httpx.Client, **query: Any) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    while True:
        query_now = {**query, "limit": 200, "offset": len(found), "exclude_params": "true"}
        page = client.get("/api/v1/jobs", params=query_now).json()
        found += page["jobs"]
        if len(found) >= page["count"]:
            return found


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks for processes in /proc")
@pytest.mark.timeout(120 + 15 * KILLS)
def test_r55_nothing_acknowledged_is_lost_when_the_server_is_killed(tmp_path: Path) -> None:
    acknowledged: dict[str, str] = {}
    chance = random.Random(5)
    answers: Acknowledged = queue.SimpleQueue()
    tags = Tags()
    programs: list[threading.Thread] = []
    by_program: list[str] = []
    server = Embedded(tmp_path, devices=DEVICES, policy={"interactive_ttl": 1.0}, server={"journal": True})

    def begin(what: Any, *arguments: Any) -> threading.Thread:
        thread = threading.Thread(target=what, args=arguments, daemon=True)
        thread.start()
        return thread

    def take(count: int) -> None:
        for _ in range(count):
            job, tag = answers.get(timeout=PATIENCE)
            assert job not in acknowledged, (
                f"{job} was acknowledged for {acknowledged.get(job)} and for {tag}"
            )
            acknowledged[job] = tag

    for number in range(KILLS):
        server.start()
        with httpx.Client(base_url=server.url, headers=headers(server), trust_env=False) as client:
            made = client.post("/api/v1/sessions", json={"mode": "dedicated", "backend": "mock"})
            assert made.status_code == 200, made.text
        if number % 3 == 0:
            first = threading.Event()
            programs.append(begin(real_client_until_killed, server, answers, tags, first, by_program))
            first.wait(PATIENCE)
        threads = [
            begin(
                submit_until_killed,
                server.url,
                headers(server),
                device,
                answers,
                made.json()["id"] if inside else None,
                tags,
            )
            for device, inside in PLAIN
        ]
        take(chance.randint(3, 40))
        handles = processes_of(server)
        server.kill()
        await_the_end(handles)
        for thread in threads:
            thread.join(PATIENCE)
    server.start()
    try:
        for program in programs:
            program.join(4 * PATIENCE)
        take(answers.qsize())
        with httpx.Client(base_url=server.url, headers=headers(server), trust_env=False) as client:
            for session in server.get("/sessions", limit=200)["sessions"]:
                client.patch(f"/api/v1/sessions/{session['id']}", json={"accepting_jobs": False})
            while pending := all_jobs(client, pending="true"):
                client.get(f"/api/v1/jobs/{pending[0]['id']}")  # held while there is no news
            jobs = {job["id"]: job for job in all_jobs(client)}
            assert set(acknowledged) <= set(jobs)
            assert {job["state"]["status"] for job in jobs.values()} == {"Completed"}
            for job, tag in acknowledged.items():
                assert jobs[job]["tags"] == [tag]
                result = client.get(f"/api/v1/jobs/{job}/results")
                assert "PrimitiveResult" in result.text
            # R54: a submit that was under way at a kill may have been committed; none was committed twice
            made_of = [job["tags"][0] for job in jobs.values()]
            assert len(made_of) == len(set(made_of))
            assert set(made_of) <= set(tags.used)
        assert len(by_program) >= (KILLS + 2) // 3
        for job in chance.sample(by_program, 2):
            assert server.service().job(job).result()[0].data.c.num_shots == 16
        processes = processes_of(server)
    finally:
        server.stop()
    await_the_end(processes)
    replayed(tmp_path)


def test_r54_after_a_kill_only_a_submit_without_a_reply_is_repeated(tmp_path: Path) -> None:
    """A loop of equal submits goes on after the kill with new jobs; one whose client had gone is repeated."""
    server = Embedded(tmp_path, devices=DEVICES)
    answered, unanswered = job_body("mock"), job_body("other")

    def send(body: bytes) -> str:
        reply = httpx.post(
            f"{server.url}/api/v1/jobs", content=body, headers=headers(server), timeout=PATIENCE
        )
        assert reply.status_code == 200, reply.text
        return str(reply.json()["id"])

    server.start()
    before = [send(answered) for _ in range(3)]
    at = urlsplit(server.url)
    with socket.create_connection((at.hostname, at.port)) as gone:
        head = f"POST /api/v1/jobs HTTP/1.1\r\nhost: x\r\nauthorization: apikey {server.local_key}\r\n"
        gone.sendall(f"{head}content-length: {len(unanswered)}\r\n\r\n".encode() + unanswered)
    while not (made := server.get("/jobs", device="other")["jobs"]):
        pass  # an operator's look, which tells the owner nothing
    server.kill()
    server.start()
    try:
        assert send(answered) not in before
        assert send(unanswered) == made[0]["id"]
        assert send(unanswered) != made[0]["id"]
    finally:
        server.stop()


def replayed(data: Path) -> None:
    """The core takes the same decisions again, over all the lives of the server."""
    sojourn = [sys.executable, "-m", "sojourn"]
    log = data / "journal.jsonl"
    subprocess.run([*sojourn, "journal", "export", str(log), "--data", str(data)], check=True)
    done = subprocess.run(
        [*sojourn, "journal", "replay", str(log)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"in {(KILLS + 1) * len(DEVICES)} lives" in done.stdout
