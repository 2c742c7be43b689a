"""Hostile clients of every kind beside honest ones, and helpers that die or hang: nobody takes the service.

`SOJOURN_SOAK` is for how many seconds; `make proofs` does it for an hour, and only then is the time of a
submit asserted.
"""

from __future__ import annotations

import asyncio
import dataclasses
import json
import os
import random
import signal
import sys
import time
from collections import Counter
from pathlib import Path

import httpx
import psutil
import pytest
from bench.common import quantile

from sojourn.embedded import Embedded, Key
from tests.proofs.soak.attack import Target
from tests.proofs.soak.honest import Honest, Record
from tests.proofs.soak.hostile import KINDS, qasm

SECONDS = float(os.environ.get("SOJOURN_SOAK", "20"))
LONG = 600.0
SUBMIT_P99 = 0.1
FAULTS, SOON = (30.0, 120.0), (3.0, 8.0)
"""Seconds between two faults, at least and at most. What waits for a stopped helper waits for seconds."""
SERVER = {"max_body_mb": 12, "memory_mb": 64, "memory_user_mb": 32, "incoming_mb": 16, "unread_mb": 16}
HURRY = {"head_seconds": 3, "body_seconds": 3, "reply_seconds": 3, "hung_seconds": 3}
"""In a short run, so that each kind comes to its end."""
BOUND_MB = 150 + 32 + 1.25 * 64 + 16 + 16 + 0.1 * 200 + 3 * 22
"""By docs/configuration.md: the most connections are 200, the largest result has 22 MB."""
DEVICES = [
    {"name": "mock", "driver": "mock", "options": {"qubits": 127, "seconds": 0.002}},
    {"name": "other", "driver": "mock", "options": {"qubits": 127, "seconds": 0.002}},
    {"name": "aer", "driver": "aer", "options": {"qubits": 5}},
]
HONEST = (("ann", "mock", True), ("bob", "mock", False), ("cem", "mock", False), ("dan", "aer", False))


@pytest.mark.timeout(SECONDS + 160)
def test_honest_users_are_served_beside_hostile_ones_and_faults(tmp_path: Path) -> None:
    server_settings = SERVER if SECONDS >= LONG else SERVER | HURRY
    with Embedded(tmp_path, devices=DEVICES, server=server_settings) as server:
        honest = {name: server.user(name, f"{name}s") for name, _, _ in HONEST}
        eve = server.user("eve", "eves")
        record = Record()
        memory: list[float] = []
        seen, faults = asyncio.run(soak(server, honest, eve, record, memory))
        log = server.log.read_text()
    print("\n" + report(record, seen, memory))
    assert not faults, faults
    assert not record.wrong, record.wrong[:5]
    assert len(record.ends) > SECONDS / 2
    assert set(seen) == set(KINDS)
    for kind, outcomes in seen.items():
        assert not {o for o in outcomes if o.startswith("5") and o != "503"}, (kind, outcomes)
        assert not outcomes.get("kept"), (kind, outcomes)
    assert "Traceback" not in log
    assert max(memory) < BOUND_MB
    assert set(seen["anonymous body"]) | set(seen["wrong key"]) <= {"401", "429", "cut"}
    assert "201" not in seen["long reservation"]
    assert set(seen["foreign"]) <= {"404", "429"}
    if SECONDS >= LONG:
        assert quantile(record.submits, 0.99) < SUBMIT_P99


async def soak(
    server: Embedded, honest: dict[str, Key], eve: Key, record: Record, memory: list[float]
) -> tuple[dict[str, Counter[str]], list[str]]:
    until = time.monotonic() + SECONDS
    host, port = server.url.removeprefix("http://").split(":")
    target = Target(
        host,
        int(port),
        eve.api_key,
        large_job(server, eve),
        [foreign_job(server, honest["bob"])],
        100.0 if SECONDS >= LONG else 6.0,
    )
    attackers = await asyncio.create_subprocess_exec(
        *(
            sys.executable,
            "-m",
            "tests.proofs.soak.hostile",
            str(SECONDS),
            json.dumps(dataclasses.asdict(target)),
        ),
        stdout=asyncio.subprocess.PIPE,
    )
    around = [
        asyncio.ensure_future(watch(server, until, memory)),
        asyncio.ensure_future(disturb(server, until)),
    ]
    try:
        await asyncio.gather(
            *(
                Honest(
                    server.url, honest[name].api_key, honest[name].instance, device, record, session=session
                ).run(until)
                for name, device, session in HONEST
            ),
            *around,
        )
        output, _ = await attackers.communicate()
    finally:
        if attackers.returncode is None:
            attackers.kill()
            await attackers.wait()
    told = json.loads(output)
    return {kind: Counter(outcomes) for kind, outcomes in told["seen"].items()}, told["faults"]


async def watch(server: Embedded, until: float, memory: list[float]) -> None:
    process = psutil.Process(server.pid)
    while time.monotonic() < until:
        memory.append(process.memory_info().rss / 1e6)
        await asyncio.sleep(0.5)


async def disturb(server: Embedded, until: float) -> None:
    """Kill or stop one of the server's helpers every now and then."""
    chance = random.Random(3)
    while (left := until - time.monotonic()) > 10:
        await asyncio.sleep(min(left - 10, chance.uniform(*(FAULTS if SECONDS >= LONG else SOON))))
        helpers = psutil.Process(server.pid).children(recursive=True)
        if helpers:
            chance.choice(helpers).send_signal(chance.choice((signal.SIGKILL, signal.SIGSTOP)))


def large_job(server: Embedded, eve: Key) -> str:
    """A job of the attacker with a result of 16 MB."""
    text = "OPENQASM 3.0; qubit[127] q; bit[127] c; c = measure q;"
    with httpx.Client(base_url=server.url, headers=authorization(eve), trust_env=False, timeout=60) as client:
        job = client.post("/api/v1/jobs", content=qasm(text, "other", 1_000_000)).json()["id"]
        while client.get(f"/api/v1/jobs/{job}").json()["state"]["status"] != "Completed":
            pass  # held by the server while there is nothing new
    return str(job)


def foreign_job(server: Embedded, owner: Key) -> str:
    reply = httpx.post(
        f"{server.url}/api/v1/jobs",
        content=qasm("OPENQASM 3.0; qubit q; bit c; c = measure q;", "mock"),
        headers=authorization(owner),
        trust_env=False,
    )
    return str(reply.json()["id"])


def authorization(key: Key) -> dict[str, str]:
    return {"Authorization": f"apikey {key.api_key}", "Service-CRN": key.instance}


def report(record: Record, seen: dict[str, Counter[str]], memory: list[float]) -> str:
    times = [
        f"{name}: p50 {1e3 * quantile(values, 0.5):.1f} ms, p99 {1e3 * quantile(values, 0.99):.1f} ms, "
        f"longest {1e3 * max(values):.0f} ms"
        for name, values in (("submit", record.submits), ("submit to result", record.ends))
        if values
    ]
    lines = [
        f"{SECONDS:g} s: {len(record.ends)} honest jobs, {len(record.wrong)} wrong answers",
        *times,
        f"memory of the server: {memory[0]:.0f} MB at first, {max(memory):.0f} MB at most, "
        f"{memory[-1]:.0f} MB at last",
    ]
    lines += [
        f"{kind}: {', '.join(f'{count} {outcome}' for outcome, count in sorted(outcomes.items()))}"
        for kind, outcomes in sorted(seen.items())
    ]
    return "\n".join(lines)
