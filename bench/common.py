"""What the benchmarks share: figures, tables, a plain HTTP client. Imports nothing heavy."""

from __future__ import annotations

import asyncio
import json
import math
import os
import platform
import statistics
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parent / "results"


def quantile(values: Sequence[float], q: float) -> float:
    """The smallest value that at least a share `q` of the values does not exceed."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(q * len(ordered)) - 1)]


def summary(values: Sequence[float]) -> dict[str, float]:
    """p50, p99 and mean of seconds, in milliseconds."""
    return {
        "p50_ms": 1e3 * statistics.median(values),
        "p99_ms": 1e3 * quantile(values, 0.99),
        "mean_ms": 1e3 * statistics.fmean(values),
        "n": len(values),
    }


def report(name: str, rows: Sequence[dict[str, Any]], notes: Sequence[str] = (), **more: Any) -> None:
    """Print the rows as a table and write everything to bench/results/NAME.json."""
    columns = list(dict.fromkeys(key for row in rows for key in row))
    cells = [[_cell(row.get(column, "")) for column in columns] for row in rows]
    widths = [max(len(c), *(len(line[i]) for line in cells)) for i, c in enumerate(columns)]
    print("  ".join(c.ljust(w) for c, w in zip(columns, widths, strict=True)))
    for line in cells:
        print(
            "  ".join(
                c.rjust(w) if i else c.ljust(w) for i, (c, w) in enumerate(zip(line, widths, strict=True))
            )
        )
    for note in notes:
        print(note)
    machine = {"python": platform.python_version(), "cores": os.cpu_count(), "system": platform.platform()}
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"{name}.json"
    table = {
        "command": " ".join(sys.argv),
        "machine": machine,
        "rows": list(rows),
        "notes": list(notes),
        **more,
    }
    path.write_text(json.dumps(table, indent=1) + "\n")
    print(f"-> {path}")


def _cell(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.0f}" if abs(value) >= 1000 else f"{value:.3g}" if abs(value) < 10 else f"{value:.1f}"
    return str(value)


class Http:
    """One kept-alive HTTP/1.1 connection, with as little between us and the socket as possible.

    A benchmark's client takes time from the same two cores as the server, so it must be small.
    """

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, head: str) -> None:
        self._reader, self._writer, self._head = reader, writer, head

    @classmethod
    async def open(cls, url: str, authorization: str, crn: str) -> Http:
        host, _, port = url.removeprefix("http://").partition(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        head = f"Host: {host}\r\nAuthorization: {authorization}\r\nService-CRN: {crn}\r\n"
        return cls(reader, writer, f"{head}IBM-API-Version: 2026-04-15\r\n")

    async def request(self, method: str, path: str, body: bytes = b"") -> tuple[int, bytes]:
        self._writer.write(
            f"{method} {path} HTTP/1.1\r\n{self._head}Content-Length: {len(body)}\r\n\r\n".encode() + body
        )
        head = await self._reader.readuntil(b"\r\n\r\n")
        status = int(head[9:12])
        length = 0
        for line in head.lower().split(b"\r\n"):
            if line.startswith(b"content-length:"):
                length = int(line[15:])
        return status, await self._reader.readexactly(length) if length else b""

    def close(self) -> None:
        self._writer.close()


async def token(url: str, api_key: str) -> str:
    """Exchange an API key as the real client does."""
    import httpx

    form = {"grant_type": "urn:ibm:params:oauth:grant-type:apikey", "apikey": api_key}
    async with httpx.AsyncClient(trust_env=False) as client:
        reply = await client.post(f"{url}/identity/token", data=form)
    return f"Bearer {reply.json()['access_token']}"


def memory_mb(pid: int) -> float:
    """Proportional set size: memory shared with other processes counts in part."""
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) / 1024
    return 0.0


def tree(pid: int) -> list[int]:
    """The process and everything under it."""
    found = [pid]
    for task in Path(f"/proc/{pid}/task").iterdir():
        for child in (task / "children").read_text().split():
            found += tree(int(child))
    return found


def stopwatch() -> float:
    return time.perf_counter()
