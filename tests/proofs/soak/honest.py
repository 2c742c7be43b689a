"""Honest clients, as ordinary programs are: submit, wait, fetch. Answers are checked, submits timed."""

from __future__ import annotations

import asyncio
import json
import time
from dataclasses import dataclass, field
from typing import Any

from bench.common import Http

from tests.harness.programs import job_body

API = "/api/v1"
THINK = 0.3
"""Seconds between two jobs of one program."""
FINAL = ("Completed", "Failed", "Cancelled")


@dataclass
class Record:
    """What honest clients met."""

    submits: list[float] = field(default_factory=list)  # seconds
    ends: list[float] = field(default_factory=list)  # seconds from submit to result
    wrong: list[str] = field(default_factory=list)


class Honest:
    def __init__(self, url: str, key: str, crn: str, device: str, record: Record, *, session: bool) -> None:
        self._url, self._key, self._crn, self._device = url, key, crn, device
        self._record = record
        self._in_session = session
        self._http: Http | None = None

    async def run(self, until: float) -> None:
        while time.monotonic() < until:
            session = await self._open() if self._in_session else None
            for _ in range(10):
                if time.monotonic() >= until:
                    break
                await self._job(session)
                await asyncio.sleep(THINK)
            if session is not None:
                await self._expect("DELETE", f"{API}/sessions/{session}/close", (200, 204))
        if self._http is not None:
            self._http.close()

    async def _expect(
        self, method: str, path: str, wanted: tuple[int, ...] = (200,), body: bytes = b""
    ) -> bytes:
        if self._http is None:
            self._http = await Http.open(self._url, f"apikey {self._key}", self._crn)
        status, data = await self._http.request(method, path, body)
        if status not in wanted:
            self._record.wrong.append(f"{method} {path}: {status} {data[:300].decode(errors='replace')}")
        return data

    async def _open(self) -> str | None:
        body = json.dumps({"mode": "dedicated", "backend": self._device, "max_ttl": 120}).encode()
        made: dict[str, Any] = json.loads(await self._expect("POST", f"{API}/sessions", body=body))
        return made.get("id")

    async def _job(self, session: str | None) -> None:
        began = time.perf_counter()
        made = json.loads(
            await self._expect("POST", f"{API}/jobs", body=job_body(self._device, session_id=session))
        )
        if (job := made.get("id")) is None:
            return
        self._record.submits.append(time.perf_counter() - began)
        while True:
            seen = json.loads(await self._expect("GET", f"{API}/jobs/{job}?exclude_params=true"))
            state = seen.get("state", {}).get("status")
            if state in FINAL or state is None:
                break
            await asyncio.sleep(0.05)
        if state != "Completed":
            self._record.wrong.append(f"{job} is {state}: {seen}")
            return
        result = await self._expect("GET", f"{API}/jobs/{job}/results")
        if b"PrimitiveResult" not in result:
            self._record.wrong.append(f"{job} has the result {result[:100]!r}")
        self._record.ends.append(time.perf_counter() - began)
