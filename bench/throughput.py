"""Durable jobs per second from submit to result, and submits while a thousand clients wait.

`mock` device at 0 s, clients that speak plain HTTP: submit, poll until the end, fetch the result.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent.parent))

from tests.harness.programs import job_body

from bench.common import Http, report, summary, token
from sojourn.embedded import Embedded, Key

API = "/api/v1"


async def one_job(http: Http, body: bytes) -> float:
    """Seconds from submit to result."""
    began = time.perf_counter()
    status, reply = await http.request("POST", f"{API}/jobs", body)
    assert status == 200, reply
    job = json.loads(reply)["id"]
    while True:
        _, reply = await http.request("GET", f"{API}/jobs/{job}?exclude_params=true")
        state = json.loads(reply)["state"]["status"]
        if state == "Completed":
            break
        assert state in ("Queued", "Running"), reply
    status, result = await http.request("GET", f"{API}/jobs/{job}/results")
    assert status == 200
    assert b"PrimitiveResult" in result
    return time.perf_counter() - began


async def flood(server: Embedded, keys: Sequence[Key], clients: int, seconds: float) -> dict[str, float]:
    """The clients are those of the users with these keys, in turn."""
    authorizations = [await token(server.url, key.api_key) for key in keys]
    body = job_body("bench")
    until = time.perf_counter() + seconds

    async def client(number: int) -> list[float]:
        user = number % len(keys)
        http = await Http.open(server.url, authorizations[user], keys[user].instance)
        taken = []
        while time.perf_counter() < until:
            taken.append(await one_job(http, body))
        http.close()
        return taken

    began = time.perf_counter()
    taken = [t for each in await asyncio.gather(*map(client, range(clients))) for t in each]
    rate = len(taken) / (time.perf_counter() - began)
    return {"clients": clients, "jobs_per_s": rate, **summary(taken)}


async def waiting(server: Embedded, waiters: int, submits: int) -> dict[str, float]:
    """Submit latency while `waiters` clients wait for a job each, with held polls."""
    key = server.user("waiters", "waiters")
    authorization = await token(server.url, key.api_key)
    polls = 0
    stop = asyncio.Event()

    async def wait_for_job() -> None:
        nonlocal polls
        http = await Http.open(server.url, authorization, key.instance)
        _, reply = await http.request("POST", f"{API}/jobs", job_body("slow"))
        job = json.loads(reply)["id"]
        ready.release()
        while not stop.is_set():
            await http.request("GET", f"{API}/jobs/{job}?exclude_params=true")
            polls += 1
            await asyncio.sleep(0.1)  # as the client does in a session
        http.close()

    ready = asyncio.Semaphore(0)
    tasks = []
    for _ in range(waiters):
        tasks.append(asyncio.ensure_future(wait_for_job()))
        await ready.acquire()
    await asyncio.sleep(3)
    other = server.user("other", "other")
    http = await Http.open(server.url, await token(server.url, other.api_key), other.instance)
    body = job_body("bench")
    taken, began, before = [], time.perf_counter(), polls
    for _ in range(submits):
        start = time.perf_counter()
        status, reply = await http.request("POST", f"{API}/jobs", body)
        taken.append(time.perf_counter() - start)
        assert status == 200, reply
        await asyncio.sleep(0.02)
    rate = (polls - before) / (time.perf_counter() - began)
    stop.set()
    await asyncio.gather(*tasks)
    return {"clients": waiters, "polls_per_s": rate, **summary(taken)}


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--quick", action="store_true")
    quick = arguments.parse_args().quick
    devices = [
        {"name": "bench", "driver": "mock", "options": {"seconds": 0.0, "qubits": 127}},
        {"name": "slow", "driver": "mock", "options": {"seconds": 3600.0, "qubits": 127}},
    ]
    rows: list[dict[str, Any]] = []
    with Embedded(devices=devices) as server:
        keys = [server.user(f"flood{number}", f"flood{number}") for number in range(16)]
        asyncio.run(flood(server, keys[:1], 2, 2.0))  # warm
        # Of one user first: who is not alone leaves a preparer to the others (decision 0014).
        for users, clients in ((1, 1), (1, 4), (1, 16), (16, 16)):
            row = asyncio.run(flood(server, keys[:users], clients, 3.0 if quick else 15.0))
            rows.append({"what": f"{clients} clients of {users} users, submit to result", **row})
        row = asyncio.run(waiting(server, 100 if quick else 1000, 100 if quick else 500))
        rows.append({"what": "submit while others wait", **row})
    best = max(r.get("jobs_per_s", 0.0) for r in rows)
    report(
        "throughput",
        rows,
        [
            f"16 clients / 1 client: {rows[2]['jobs_per_s'] / rows[0]['jobs_per_s']:.2f} (aim: 300 jobs/s, "
            f"here {best:.0f})",
            f"submit p99 with {rows[-1]['clients']} waiting clients: {rows[-1]['p99_ms']:.1f} ms (aim: 100)",
        ],
    )


if __name__ == "__main__":
    main()
