"""The event stream for real: the server is killed in mid-stream, again and again, and no event is lost or
comes twice."""

from __future__ import annotations

import sqlite3
import threading
from pathlib import Path
from typing import Any

import httpx
import pytest

from sojourn.client import Client, ClientError
from sojourn.embedded import Embedded
from tests.harness.programs import job_body

DEVICES = [{"name": "mock", "driver": "mock", "options": {"qubits": 5, "seconds": 0.002}}]
KILLS = 4
PATIENCE = 30.0


class Lost(Exception):
    """The stream was cut: the server has been killed."""


def lost(why: str) -> None:
    raise Lost(why)


def submit_until_killed(url: str, key: str) -> None:
    headers = {"Authorization": f"apikey {key}"}
    with httpx.Client(base_url=url, headers=headers, trust_env=False, timeout=PATIENCE) as client:
        while True:
            try:
                client.post("/api/v1/jobs", content=job_body())
            except httpx.HTTPError:
                return


def read_until_lost(client: Client, told: list[dict[str, Any]], enough: threading.Event, wanted: int) -> None:
    last = told[-1]["id"] if told else 0
    try:
        for event in client.events(last_event_id=last, on_lost=lost):
            told.append(event)
            wanted -= 1
            if not wanted:
                enough.set()
    except (Lost, ClientError):
        enough.set()


@pytest.mark.timeout(240)
def test_no_event_is_lost_or_doubled_when_the_server_is_killed_in_mid_stream(tmp_path: Path) -> None:
    told: list[dict[str, Any]] = []
    server = Embedded(tmp_path, devices=DEVICES)
    for life in range(KILLS):
        server.start()
        client = Client(server.url, server.operator_key)
        enough, begin = threading.Event(), len(told)
        threads = [
            threading.Thread(target=read_until_lost, args=(client, told, enough, 60 + 7 * life)),
            threading.Thread(target=submit_until_killed, args=(server.url, server.local_key)),
        ]
        for thread in threads:
            thread.start()
        assert enough.wait(PATIENCE)
        server.kill()
        for thread in threads:
            thread.join(PATIENCE)
            assert not thread.is_alive()
        assert len(told) - begin >= 60
    server.start()
    try:
        client = Client(server.url, server.operator_key)
        while client.get("/jobs", pending="true")["count"]:  # what was accepted runs to its end
            pass
        told += client.events(last_event_id=told[-1]["id"], follow="false")
    finally:
        server.stop()
    with sqlite3.connect(tmp_path / "sojourn.db") as database:
        rows = database.execute("SELECT id, entity, before, after FROM story ORDER BY id").fetchall()
    assert [(e["id"], e["subject"], e["before"], e["after"]) for e in told] == rows
