"""The stream of the dashboard for real: over a kill its pages miss nothing and hear nothing twice."""

from __future__ import annotations

import asyncio
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from sojourn.client import Client
from sojourn.dashboard.following import Following, Listener
from sojourn.dashboard.upstream import Upstream
from tests.harness.labs import Lab, http
from tests.harness.programs import job_body

DEVICES = [{"name": "mock", "driver": "mock", "options": {"qubits": 5, "seconds": 0.002}}]
PATIENCE = 90.0


@pytest.mark.timeout(300)
def test_pages_are_live_again_after_a_kill_and_have_missed_nothing(tmp_path: Path) -> None:
    with Lab(tmp_path, DEVICES) as server:
        heard, states = asyncio.run(_followed(server))
    with sqlite3.connect(tmp_path / "sojourn.db") as database:
        rows = database.execute("SELECT id FROM story WHERE kind = 'job' ORDER BY id").fetchall()
    assert [(event["id"],) for event in heard] == rows
    assert states[-1] is None
    assert None in states[:-1], "it was live before the kill as well"
    assert any("does not answer" in (state or "") for state in states)


async def _followed(server: Lab) -> tuple[list[dict[str, Any]], list[str | None]]:
    """The events of jobs of the user `local`, and what was said of the stream."""
    heard: list[dict[str, Any]] = []
    states: list[str | None] = []
    news = asyncio.Event()

    def hear(event: Any) -> None:
        if event["kind"] == "job":
            heard.append(event)
        news.set()

    def said(cut: str | None) -> None:
        states.append(cut)
        news.set()

    async def until(jobs: int) -> None:
        """So many have completed, and the stream is live."""
        async with asyncio.timeout(PATIENCE):
            while states[-1] or sum(event["after"] == "completed" for event in heard) < jobs:
                news.clear()
                await news.wait()

    upstream = Upstream(server.address)
    following = Following(upstream)
    leave = following.join(server.local_key, Listener(hear, said))
    await until(0)
    await asyncio.to_thread(_submit, server, 3)
    await until(3)
    await asyncio.to_thread(server.kill)
    await asyncio.to_thread(server.start)
    await asyncio.to_thread(_submit, server, 2)
    await until(5)
    leave()
    await following.close()
    await upstream.close()
    return heard, states


def _submit(server: Lab, jobs: int) -> None:
    with http(server) as client:
        for _ in range(jobs):
            assert client.post("/jobs", content=job_body()).status_code == 200
    assert Client(server.url, server.local_key).get("/jobs")["count"] >= jobs
