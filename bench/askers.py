"""What one user asks, and how long another one's submit takes meanwhile.

One user has many jobs in the queue and a long history, and asks one thing on 16 connections without a pause;
another user submits to another device. Beside each route stand what one request takes alone (on the clock and
of the server's processors, which other work on the machine does not change), how many are answered, and how
long `/healthz` had to wait: its maximum is the longest stall of the event loop.

    python bench/askers.py [--queued 50000] [--finished 200000] [--askers 16] [--seconds 10] [--only why jobs]

With `--askers 0` only the cost of one request is measured, of each route.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import multiprocessing
import sqlite3
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent.parent))

from tests.harness.programs import job_body

from bench.common import Http, memory_mb, quantile, report, summary, token
from sojourn.core.model import Job, JobState
from sojourn.embedded import Embedded, Key
from sojourn.store import JobMeta
from sojourn.store.jobs import job_row

DEVICES = [
    {"name": "busy", "driver": "mock", "options": {"seconds": 86_400.0, "qubits": 5}},
    {"name": "free", "driver": "mock", "options": {"qubits": 5}},
]
LIMITS = """
[server]
metrics = "open"
[limits]
pending_per_user = 0
pending_per_project = 0
pending_per_device = 0
"""
ALONE = 20
"""Requests of each route, one after the other, for what one takes."""
ROUTES = {
    "nothing": None,
    "me": "/sojourn/v1/me",
    "poll": "/api/v1/jobs/{last}?exclude_params=true",
    "why": "/sojourn/v1/jobs/{last}/why",
    "metrics": "/api/v1/jobs/{last}/metrics",
    "job": "/sojourn/v1/jobs/{last}",
    "jobs": "/sojourn/v1/jobs",
    "jobs, 200": "/sojourn/v1/jobs?limit=200",
    "jobs, pending": "/sojourn/v1/jobs?pending=true",
    "jobs, by tag": "/sojourn/v1/jobs?tag=all",
    "jobs, by program": "/sojourn/v1/jobs?program=estimator",
    "jobs, far": "/sojourn/v1/jobs?offset=200000",
    "client's jobs, 200": "/api/v1/jobs?limit=200",
    "workloads": "/api/v1/workloads?limit=200",
    "sessions": "/sojourn/v1/sessions?limit=200",
    "devices": "/sojourn/v1/devices",
    "status": "/api/v1/backends/busy/status",
    "usage": "/sojourn/v1/usage",
    "usage, by job": "/sojourn/v1/usage?by=job&from=2026-01-01T00:00:00",
    "usage, by day": "/sojourn/v1/usage?by=day&from=2026-01-01T00:00:00",
    "results": "/api/v1/jobs/{last}/results",
    "logs": "/api/v1/jobs/{last}/logs",
    "story": "/sojourn/v1/jobs/{last}/story",
    "projects": "/sojourn/v1/projects",
    "reservations": "/sojourn/v1/reservations?ended=true",
    "scrape": "/metrics",
}


def fill(data: Path, user: str, queued: int, finished: int) -> None:
    """Rows of jobs that have ended and of jobs that wait, written as the service would."""
    connection = sqlite3.connect(data / "sojourn.db")
    (user_id,) = connection.execute("SELECT id FROM users WHERE name = ?", (user,)).fetchone()
    (project,) = connection.execute(
        "SELECT project_id FROM memberships WHERE user_id = ?", (user_id,)
    ).fetchone()
    (first,) = connection.execute("SELECT coalesce(max(seq), 0) + 1 FROM jobs").fetchone()
    params = json.dumps(json.loads(job_body())["params"]).encode()
    connection.execute("INSERT OR IGNORE INTO blobs VALUES ('params', ?)", (params,))
    now = time.time()
    jobs, tags, ledger, story = [], [], [], []
    for n in range(finished + queued):
        ended = n < finished
        at = now - (finished + queued - n) * 0.5
        job = Job(f"dask{n:08}", first + n, user_id, project, "sampler", at, 90_000.0, queued_at=at)
        job.state = JobState.COMPLETED if ended else JobState.QUEUED
        if ended:
            job.started_at, job.ended_at, job.charged, job.attempt = at, at + 0.1, 0.1, 1
            ledger.append(("job", "busy", user_id, project, job.id, None, at, at + 0.1, 0.1))
        meta = JobMeta(params_hash="params", tags=("all",))
        jobs.append(job_row(job) | meta.row() | {"device": "busy"})
        tags.append((job.id, "all"))
        story.append((at, "busy", job.id, "accepted", None, "accepted"))
    columns = list(jobs[0])
    statement = f"INSERT INTO jobs ({', '.join(columns)}) VALUES ({', '.join('?' * len(columns))})"
    connection.executemany(statement, [[row[c] for c in columns] for row in jobs])
    connection.executemany("INSERT INTO job_tags VALUES (?, ?)", tags)
    connection.executemany(
        "INSERT INTO ledger (kind, device, user_id, project_id, job_id, session_id, started_at, ended_at, "
        "seconds) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
        ledger,
    )
    connection.executemany(
        "INSERT INTO story (at, device, entity, cause, before, after) VALUES (?, ?, ?, ?, ?, ?)", story
    )
    connection.commit()
    connection.close()


def ask(
    url: str, authorization: str, crn: str, path: str, askers: int, seconds: float, answered: Any
) -> None:
    """A process that asks on so many connections at once."""

    async def one(until: float) -> None:
        http = await Http.open(url, authorization, crn)
        while time.perf_counter() < until:
            await http.request("GET", path)
            answered.value += 1
        http.close()

    async def every() -> None:
        until = time.perf_counter() + seconds
        await asyncio.gather(*(one(until) for _ in range(askers)))

    asyncio.run(every())


def cpu_seconds(pid: int) -> float:
    """Of all threads of the process; the scheduler's own count, as the usual one goes in steps of 10 ms."""
    tasks = Path(f"/proc/{pid}/task").iterdir()
    return sum(int((task / "schedstat").read_text().split()[0]) for task in tasks) / 1e9


async def http_pause() -> None:
    await asyncio.sleep(0.05)


async def measure(
    server: Embedded, asker: Key, victim: Key, path: str | None, askers: int, seconds: float
) -> dict[str, Any]:
    mine = await Http.open(server.url, await token(server.url, victim.api_key), victim.instance)
    probe = await Http.open(server.url, "none", "none")
    its = await token(server.url, asker.api_key)
    alone: list[float] = []
    cpu = 0.0
    if path is not None:
        http = await Http.open(server.url, its, asker.instance)
        await http.request("GET", path)
        cpu = cpu_seconds(server.pid)
        for _ in range(ALONE):
            began = time.perf_counter()
            status, reply = await http.request("GET", path)
            alone.append(time.perf_counter() - began)
            assert status in (200, 400), reply
        cpu = (cpu_seconds(server.pid) - cpu) / ALONE
        http.close()
    one = {"alone_ms": 1e3 * quantile(alone, 0.5), "cpu_ms": 1e3 * cpu} if alone else {}
    if not askers:
        return one
    spawn = multiprocessing.get_context("spawn")
    answered, work = spawn.Value("L", 0), None
    if path is not None:
        arguments = (server.url, its, asker.instance, path, askers, seconds + 2.0, answered)
        work = spawn.Process(target=ask, args=arguments)
        work.start()
        while answered.value < askers:
            await http_pause()
    for _ in range(10):
        await mine.request("POST", "/api/v1/jobs", job_body("free"))
    stalls: list[float] = []
    taken: list[float] = []
    before, until = answered.value, time.perf_counter() + seconds

    async def watch() -> None:
        while time.perf_counter() < until:
            began = time.perf_counter()
            await probe.request("GET", "/healthz")
            stalls.append(time.perf_counter() - began)
            await asyncio.sleep(0.005)

    watching = asyncio.ensure_future(watch())
    while time.perf_counter() < until:
        began = time.perf_counter()
        status, reply = await mine.request("POST", "/api/v1/jobs", job_body("free"))
        assert status == 200, reply
        taken.append(time.perf_counter() - began)
        await asyncio.sleep(0.02)
    rate = (answered.value - before) / seconds
    await watching
    if work is not None:
        work.join()
    figures = summary(taken)
    return {
        **one,
        "asks_per_s": rate,
        "submit_p50_ms": figures["p50_ms"],
        "submit_p99_ms": figures["p99_ms"],
        "submit_max_ms": 1e3 * max(taken),
        "healthz_p99_ms": 1e3 * quantile(stalls, 0.99),
        "stall_ms": 1e3 * max(stalls),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--queued", type=int, default=50_000)
    parser.add_argument("--finished", type=int, default=200_000)
    parser.add_argument("--askers", type=int, default=16)
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--only", nargs="*", choices=[*ROUTES], help="some of the routes")
    parser.add_argument("--quick", action="store_true")
    arguments = parser.parse_args()
    if arguments.quick:
        arguments.queued, arguments.finished, arguments.seconds = 5000, 5000, 3.0
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        data, config = Path(folder) / "data", Path(folder) / "sojourn.toml"
        config.write_text(LIMITS)
        with Embedded(data=data, config=config, devices=DEVICES) as server:
            asker, victim = server.user("asker", "askers"), server.user("victim", "victims")
        fill(data, "asker", arguments.queued, arguments.finished)
        with Embedded(data=data, config=config, devices=DEVICES, patience=600) as server:
            memory = memory_mb(server.pid)
            last = f"dask{arguments.queued + arguments.finished - 1:08}"
            for name in arguments.only or ROUTES:
                path = ROUTES[name]
                asked = path.format(last=last) if path is not None else None
                figures = asyncio.run(
                    measure(server, asker, victim, asked, arguments.askers, arguments.seconds)
                )
                rows.append({"asked": name, **figures})
                print(rows[-1], file=sys.stderr)
    report(
        "askers",
        rows,
        notes=[
            f"{arguments.queued:,} queued and {arguments.finished:,} finished jobs of the asker, "
            f"{arguments.askers} connections; the server has {memory:.0f} MB after its start"
        ],
    )


if __name__ == "__main__":
    main()
