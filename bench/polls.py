"""Held polls: what they cost the server, and what they do to those who wait.

Requests per second of many waiting clients (plain HTTP, with the pauses of the real client), and with the
real client: when `result(timeout=...)` gives up, how many looks a progress loop gets, and how long after the
end of a job its program knows. Beside each figure stands what a server would give that holds no poll.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import sys
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent.parent))
warnings.filterwarnings("ignore", category=DeprecationWarning)

from qiskit import QuantumCircuit
from qiskit_ibm_runtime import SamplerV2, Session
from qiskit_ibm_runtime.exceptions import RuntimeJobTimeoutError
from tests.harness.programs import job_body

from bench.common import Http, report, token
from sojourn.embedded import Embedded

API = "/api/v1"
PAUSE = {"job": 0.5, "session": 0.1}
"""Seconds between an answer and the next poll of the real client."""
LENGTHS = (0.3, 0.7, 1.5, 3.0)


async def waiting(server: Embedded, mode: str, clients: int, seconds: float) -> dict[str, Any]:
    """Requests per second of `clients` that wait for a job each: at first, and later."""
    name = f"{mode}{clients}"
    key = server.user(name, name)
    authorization = await token(server.url, key.api_key)
    first = await Http.open(server.url, authorization, key.instance)
    session: dict[str, Any] = {}
    if mode == "session":
        asked = json.dumps({"mode": "batch", "backend": "slow"}).encode()
        session = {"session_id": json.loads((await first.request("POST", f"{API}/sessions", asked))[1])["id"]}
    began, stop, polls = time.perf_counter(), asyncio.Event(), 0

    async def wait_for_job(job: str, http: Http) -> None:
        nonlocal polls
        while not stop.is_set():
            await http.request("GET", f"{API}/jobs/{job}?exclude_params=true")
            polls += 1
            await asyncio.sleep(PAUSE[mode])
        http.close()

    tasks = []
    for _ in range(clients):
        body = json.loads(job_body("slow")) | session
        _, reply = await first.request("POST", f"{API}/jobs", json.dumps(body).encode())
        http = await Http.open(server.url, authorization, key.instance)
        tasks.append(asyncio.ensure_future(wait_for_job(json.loads(reply)["id"], http)))
    began, polls = time.perf_counter(), 0
    await asyncio.sleep(3)
    early = polls / (time.perf_counter() - began)
    await asyncio.sleep(seconds)
    began, polls = time.perf_counter(), 0
    await asyncio.sleep(seconds)
    late = polls / (time.perf_counter() - began)
    stop.set()
    await asyncio.gather(*tasks)
    if session:
        await first.request("DELETE", f"{API}/sessions/{session['session_id']}/close")
    first.close()
    what = f"{clients} waiting, {mode} mode, requests/s"
    return {"what": what, "first 3 s": early, "later": late, "not held": clients / PAUSE[mode]}


def circuit() -> QuantumCircuit:
    made = QuantumCircuit(2)
    made.measure_all()
    return made


@contextmanager
def sampler(backend: Any, mode: str) -> Iterator[SamplerV2]:
    if mode == "job":
        yield SamplerV2(mode=backend)
        return
    session = Session(backend)
    try:
        yield SamplerV2(mode=session)
    finally:
        session.cancel()


def given_up(service: Any, mode: str, timeout: float, state: str) -> dict[str, Any]:
    """Seconds until `result(timeout)` of a job that does not end raises."""
    with sampler(service.backend("slow"), mode) as made:
        jobs = [made.run([circuit()]) for _ in range(1 if state == "running" else 3)]
        began = time.perf_counter()
        try:
            jobs[-1].result(timeout=timeout)
        except RuntimeJobTimeoutError:
            took = time.perf_counter() - began
        for job in jobs[::-1]:
            job.cancel()
    pause = PAUSE[mode]
    alone = -(-timeout // pause) * pause
    return {"what": f"result(timeout={timeout}), {mode} mode, {state}: s", "held": took, "not held": alone}


def looks(service: Any, mode: str, pause: float, seconds: float) -> dict[str, Any]:
    """Answers that a loop with such a pause gets from a running job within that time."""
    with sampler(service.backend("slow"), mode) as made:
        job = made.run([circuit()])
        count, began = 0, time.perf_counter()
        while time.perf_counter() - began < seconds:
            assert not job.in_final_state()
            count += 1
            time.sleep(pause)
        job.cancel()
    what = f"looks in {seconds:g} s of a {pause} s loop, {mode} mode"
    return {"what": what, "held": count, "not held": seconds / pause}


def noticed(service: Any, mode: str, length: float, repeats: int) -> dict[str, Any]:
    """Seconds from the submit's answer until result() returns, over the length of the job."""
    taken = []
    with sampler(service.backend(f"takes{int(1000 * length)}"), mode) as made:
        for _ in range(repeats):
            job = made.run([circuit()])
            began = time.perf_counter()
            job.result()
            taken.append(time.perf_counter() - began - length)
    what = f"end of a {length} s job known after, {mode} mode: s"
    return {"what": what, "held": statistics.median(taken), "not held": PAUSE[mode] / 2}


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--quick", action="store_true")
    quick = arguments.parse_args().quick
    devices = [{"name": "slow", "driver": "mock", "options": {"seconds": 3600.0, "qubits": 5}}]
    for length in LENGTHS:
        options = {"seconds": length, "qubits": 5}
        devices.append({"name": f"takes{int(1000 * length)}", "driver": "mock", "options": options})
    rows: list[dict[str, Any]] = []
    with Embedded(devices=devices) as server:
        service = server.service(server.local_key)
        for mode in PAUSE:
            rows += [
                given_up(service, mode, timeout, state)
                for timeout in (0.3, 0.6, 1.0, 5.0, *(() if quick else (30.0,)))
                for state in ("running", "queued")
            ]
            rows += [looks(service, mode, pause, 4 if quick else 10) for pause in (0.1, 0.2, 0.5, 1.0)]
            rows += [noticed(service, mode, length, 3 if quick else 10) for length in LENGTHS]
        for mode in PAUSE:
            for clients in (1, 100) if quick else (1, 100, 1000):
                rows.append(asyncio.run(waiting(server, mode, clients, 3 if quick else 10)))
    report("polls", rows)


if __name__ == "__main__":
    main()
