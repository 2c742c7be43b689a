"""Event streams: what 500 of them cost the path of a job, and how late an event comes.

The same jobs, from submit to result, without a stream, beside 500 streams of other users that are told
nothing of them, and beside 500 of operators that are told everything; in turns, in one run. The
readers are a process of their own, which takes time from the same cores as every client does.
"""

from __future__ import annotations

import argparse
import asyncio
import functools
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent.parent))

from bench.common import Http, quantile, report, summary, token
from sojourn.embedded import Embedded

CONFIG = """
[limits]
streams_per_user = 0
request_rate = 0

[[devices]]
name = "bench"
driver = "mock"
options = { seconds = 0.0, qubits = 5 }
"""
STREAMS = 500


class Reader(asyncio.Protocol):
    """Reads a stream and throws it away; of the one that is `timed` it notes how late each event comes."""

    def __init__(self, request: bytes, begun: asyncio.Semaphore, late: list[float] | None) -> None:
        self._request, self._begun, self._late = request, begun, late
        self._rest: bytes | None = b""
        self._line = b""  # the beginning of one that has not come whole

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        if self._rest is not None:
            self._rest += data
            if b"\nid: " not in self._rest:
                return
            assert self._rest.startswith(b"HTTP/1.1 200"), self._rest
            self._rest = None
            self._begun.release()
        if self._late is not None:
            now = time.time()
            *lines, self._line = (self._line + data).split(b"\n")
            for line in lines:
                if line.startswith(b"data: {"):
                    at = datetime.fromisoformat(json.loads(line[6:])["at"]).timestamp()
                    self._late.append(now - at)


def _same(reader: Reader) -> Reader:
    return reader


async def read(url: str, keys: list[str], count: int) -> None:
    """Open the streams, say so, and read until standard input ends; then print how late the events came."""
    host, _, port = url.removeprefix("http://").partition(":")
    loop, begun, late = asyncio.get_running_loop(), asyncio.Semaphore(0), list[float]()
    for number in range(count):
        key = keys[number % len(keys)]
        request = (
            f"GET /sojourn/v1/events?kind=job HTTP/1.1\r\nHost: x\r\nAuthorization: apikey {key}\r\n\r\n"
        )
        reader = Reader(request.encode(), begun, late if number == 0 else None)
        await loop.create_connection(functools.partial(_same, reader), host, int(port))
        await begun.acquire()
    print("ready", flush=True)
    await loop.run_in_executor(None, sys.stdin.read)
    print(json.dumps(late), flush=True)


@contextmanager
def reading(server: Embedded, keys: list[str], count: int, late: list[float]) -> Iterator[None]:
    if not count:
        yield
        return
    command = [sys.executable, __file__, "--read", server.url, "--count", str(count), *keys]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdin is not None
        assert process.stdout.readline() == "ready\n"
        try:
            yield
        finally:
            process.stdin.close()
            late += json.loads(process.stdout.readline())


async def jobs(server: Embedded, key: Any, seconds: float, clients: int) -> tuple[list[float], float]:
    """Seconds of each job, and jobs per second."""
    from tests.harness.programs import job_body  # imports Qiskit, which the readers' process does not need

    from bench.throughput import one_job

    authorization, body = await token(server.url, key.api_key), job_body("bench")
    began = time.perf_counter()

    async def client() -> list[float]:
        http = await Http.open(server.url, authorization, key.instance)
        taken = []
        while time.perf_counter() < began + seconds:
            taken.append(await one_job(http, body))
        http.close()
        return taken

    found = [each for taken in await asyncio.gather(*(client() for _ in range(clients))) for each in taken]
    return found, len(found) / (time.perf_counter() - began)


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--quick", action="store_true")
    arguments.add_argument("--read")
    arguments.add_argument("--count", type=int, default=STREAMS)
    arguments.add_argument("keys", nargs="*")
    said = arguments.parse_args()
    if said.read:
        asyncio.run(read(said.read, said.keys, said.count))
        return
    rounds, seconds = (2, 2.0) if said.quick else (6, 5.0)
    rows: list[dict[str, Any]] = []
    notes: list[str] = []
    with tempfile.TemporaryDirectory() as folder:
        config = Path(folder) / "sojourn.toml"
        config.write_text(CONFIG)
        with Embedded(config=config) as server:
            key = server.user("worker", "work")
            others = [server.user(f"other{n}", "elsewhere").api_key for n in range(10)]
            cases = {
                "no streams": (0, others),
                f"{STREAMS} that are told nothing": (STREAMS, others),
                f"{STREAMS} that are told everything": (STREAMS, [server.operator_key]),
            }
            asyncio.run(jobs(server, key, 2.0, 2))  # warm
            for clients in (1, 4):
                taken: dict[str, list[float]] = {name: [] for name in cases}
                rates: dict[str, list[float]] = {name: [] for name in cases}
                late: dict[str, list[float]] = {name: [] for name in cases}
                for _ in range(rounds):
                    for name, (count, keys) in cases.items():
                        with reading(server, keys, count, late[name]):
                            found, rate = asyncio.run(jobs(server, key, seconds, clients))
                        taken[name] += found
                        rates[name].append(rate)
                base = summary(taken["no streams"])["p50_ms"]
                for name, found in taken.items():
                    row: dict[str, Any] = {"what": f"{clients} clients, {name}", **summary(found)}
                    row["jobs_per_s"] = sum(rates[name]) / rounds
                    row["p50 / no streams"] = row["p50_ms"] / base
                    if late[name]:
                        row["event after, p50 ms"] = 1e3 * quantile(late[name], 0.5)
                        row["event after, p99 ms"] = 1e3 * quantile(late[name], 0.99)
                    rows.append(row)
    notes.append("the readers' process shares the cores with the server and with the client that is measured")
    report("streams", rows, notes)


if __name__ == "__main__":
    main()
