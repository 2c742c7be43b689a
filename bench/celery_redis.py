"""Durable jobs per second beside a plain task queue: a `mock` device at 0 s, and Celery with Redis.

In turns, 16 clients each, which submit a job, wait for its end and fetch the result; one job runs at a time.
Redis is run twice: as it comes, where a crash loses seconds of acknowledged jobs, and with every write on
disk before it is acknowledged (`appendfsync always`), as Sojourn has it.

Needs what the other benchmarks do not: an interpreter with `celery[redis]` (`--celery-python`) and a
`redis-server` (`--redis-server`). Without them it says that it is skipped, and measures nothing.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))

from bench.common import report
from bench.throughput import flood
from sojourn.embedded import Embedded

APP = Path(__file__).parent / "speed" / "celery_app.py"
FIGURES = ROOT / "docs" / "diagrams" / "performance.json"
CLIENTS = 16
LEAST = 2.0
"""How many times as many jobs per second it should be."""


def lacking(python: str, redis: str | None) -> str | None:
    """What is missing, None where nothing is."""
    if redis is None or shutil.which(redis) is None:
        return "there is no redis-server; install one, or name it with --redis-server"
    if subprocess.run([python, "-c", "import celery, redis"], capture_output=True, check=False).returncode:
        return f"{python} has no celery[redis]; name an interpreter that has it with --celery-python"
    return None


def free_port() -> int:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        port: int = held.getsockname()[1]
        return port


@contextmanager
def celery(python: str, redis: str, durable: bool) -> Iterator[dict[str, str]]:
    """Redis and one worker with one process, as one device; gives the environment for the clients."""
    port = free_port()
    kept = ["--appendonly", "yes", "--appendfsync", "always"] if durable else []
    with tempfile.TemporaryDirectory(prefix="celery-") as folder:
        environment = {**os.environ, "REDIS_URL": f"redis://127.0.0.1:{port}/0"}
        broker = subprocess.Popen(
            [redis, "--port", str(port), "--bind", "127.0.0.1", "--dir", folder, *kept],
            stdout=subprocess.DEVNULL,
        )
        try:
            _answers(port)
            arguments = ["worker", "--concurrency", "1", "--loglevel", "ERROR", "--without-gossip"]
            worker = subprocess.Popen(
                [python, "-m", "celery", "-A", APP.stem, *arguments, "--without-mingle"],
                cwd=APP.parent,
                env=environment,
                stdout=subprocess.DEVNULL,
            )
            try:
                yield environment
            finally:
                worker.terminate()
                worker.wait()
        finally:
            broker.terminate()
            broker.wait()


def _answers(port: int) -> None:
    for _ in range(200):
        with socket.socket() as trying:
            if trying.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    raise RuntimeError("redis-server does not answer")


def flooded(python: str, environment: dict[str, str], seconds: float) -> float:
    """Tasks per second."""
    done = subprocess.run(
        [python, str(APP), str(CLIENTS), str(seconds)],
        cwd=APP.parent,
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    return float(done.stdout)


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--quick", action="store_true")
    arguments.add_argument("--celery-python", default=sys.executable, metavar="PYTHON")
    arguments.add_argument("--redis-server", default="redis-server", metavar="PROGRAM")
    arguments.add_argument("--page", action="store_true", help="keep the figures for the page")
    given = arguments.parse_args()
    missing = lacking(given.celery_python, given.redis_server)
    if missing is not None:
        print(f"*** SKIPPED, nothing was measured: {missing} ***")
        return
    turns, seconds = (2, 2.0) if given.quick else (5, 10.0)
    rates: dict[str, list[float]] = {"Sojourn": [], "Redis as it comes": [], "Redis, appendfsync always": []}
    device = {"name": "bench", "driver": "mock", "options": {"seconds": 0.0, "qubits": 127}}
    python, redis = given.celery_python, given.redis_server
    with (
        Embedded(devices=[device]) as server,
        celery(python, redis, False) as plain,
        celery(python, redis, True) as durable,
    ):
        keys = [server.user(f"flood{number}", f"flood{number}") for number in range(CLIENTS)]
        for environment in (plain, durable):
            flooded(python, environment, 1.0)  # warm
        asyncio.run(flood(server, keys, CLIENTS, 1.0))
        for _ in range(turns):
            rates["Sojourn"].append(asyncio.run(flood(server, keys, CLIENTS, seconds))["jobs_per_s"])
            rates["Redis as it comes"].append(flooded(python, plain, seconds))
            rates["Redis, appendfsync always"].append(flooded(python, durable, seconds))
    rows: list[dict[str, Any]] = [
        {"what": f"{name}, {CLIENTS} clients", "jobs_per_s": median(found), "turns": len(found)}
        for name, found in rates.items()
    ]
    aims = []
    for name in list(rates)[1:]:
        ratio = median(a / b for a, b in zip(rates["Sojourn"], rates[name], strict=True))
        what = f"Celery with {name}, {CLIENTS} clients: jobs per second of Sojourn to those"
        aims.append({"what": what, "aim": f"≥ {LEAST:g}x", "found": f"{ratio:.2g}x", "met": ratio >= LEAST})
    report("celery_redis", rows, [f"{aim['what']}: {aim['found']} (aim {aim['aim']})" for aim in aims])
    if given.page:
        figures = json.loads(FIGURES.read_text(encoding="utf-8"))
        figures["celery"] = {"rows": rows, "aims": aims}
        FIGURES.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
