"""Hostile clients of every kind, until a time is over; prints what each has seen as JSON.

A process of its own, so that an honest client's figures do not contain the attackers' work. It runs with
a lower priority than the server: in reality its work is done on other machines.
"""

from __future__ import annotations

import asyncio
import json
import os
import secrets
import sys
import time
from collections.abc import Awaitable, Callable

from tests.harness.programs import job_body
from tests.proofs.soak.attack import PATIENCE, Attack, Target, ended, status_of

MB = 1 << 20
Round = Callable[[Attack], Awaitable[str]]


def qasm(text: str, device: str = "aer", shots: int = 1) -> bytes:
    params = {"pubs": [[text, None, shots]], "version": 2}
    return json.dumps({"program_id": "sampler", "backend": device, "params": params}).encode()


# what needs no key


async def endless_head(attack: Attack) -> str:
    piece = b"".join(b"x%d: y\r\n" % n for n in range(10_000))
    async with attack.connection() as (reader, writer):
        writer.write(b"GET /healthz HTTP/1.1\r\nHost: x\r\n")
        try:
            for _ in range(200):
                writer.write(piece)
                await writer.drain()
        except ConnectionError:
            return "cut"
        return (await status_of(reader))[0]


async def silent(attack: Attack) -> str:
    async with attack.connection() as (reader, _):
        return await ended(reader)


async def slow_head(attack: Attack) -> str:
    async with attack.connection() as (reader, writer):
        end = asyncio.ensure_future(ended(reader))
        for byte in attack.head("GET", "/healthz", *(f"x-{n}: 1" for n in range(150)), key=False):
            writer.write(bytes([byte]))
            done, _ = await asyncio.wait({end}, timeout=0.5)
            if done:
                break
        return await end


async def anonymous_body(attack: Attack) -> str:
    body = b'{"name": "' + b"a" * MB + b'"}'
    return (await attack.ask("POST", "/sojourn/v1/users", body, key=False))[0]


async def anonymous_half_body(attack: Attack) -> str:
    async with attack.connection() as (reader, writer):
        writer.write(attack.head("POST", "/api/v1/jobs", length=8 * MB, key=False) + b"a" * 1000)
        return await ended(reader)


async def wrong_key(attack: Attack) -> str:
    authorization = f"Authorization: apikey sjn_{secrets.token_urlsafe(32)}"
    return (await attack.ask("GET", "/api/v1/jobs", None, authorization, key=False))[0]


async def odd_request(attack: Attack) -> str:
    job = attack.target.large_job
    method, path = attack.chance.choice(
        (
            ("HEAD", f"/api/v1/jobs/{job}/results"),
            ("OPTIONS", "/api/v1/jobs"),
            ("TRACE", "/api/v1/jobs"),
            ("PATCH", f"/api/v1/jobs/{job}"),
            ("GET", "/api/v1/jobs?limit=-1&offset=99999999999999999999"),
            ("GET", "/sojourn/v1/jobs?limit=1e9"),
            ("GET", "/api/v1/jobs/%00/../../etc/passwd"),
        )
    )
    return (await attack.ask(method, path))[0]


# what needs one ordinary user's key


async def half_body(attack: Attack) -> str:
    async with attack.connection() as (reader, writer):
        writer.write(attack.head("POST", "/api/v1/jobs", length=8 * MB))
        try:
            for _ in range(6):
                writer.write(b" " * MB)
                await writer.drain()
        except ConnectionError:
            return (await status_of(reader))[0]
        return await ended(reader)


async def slow_reader(attack: Attack) -> str:
    """Asks for a large result and reads nothing of it."""
    async with attack.connection(receive=4096) as (reader, writer):
        transport = writer.transport
        assert isinstance(transport, asyncio.Transport)  # of both directions: the reader has the same one
        transport.pause_reading()
        path = f"/api/v1/jobs/{attack.target.large_job}/results"
        writer.write(attack.head("GET", path, "Connection: close"))
        await asyncio.sleep(attack.target.unread)
        transport.resume_reading()
        start = b""
        try:
            while True:  # by and by: what counts is that something comes, or the end
                async with asyncio.timeout(PATIENCE):
                    piece = await reader.read(1 << 16)
                start = start or piece[:12]
                if not piece:
                    break
        except TimeoutError:
            return "kept"
        except ConnectionError:
            pass
        return "503" if start.endswith(b"503") else "cut"


BOMBS = (
    "OPENQASM 3.0; qubit q; bit c; for int i in [0:1000000000000] { } c = measure q;",
    "OPENQASM 3.0; qubit q; bit c; for int i in [0:99999] { for int j in [0:99999] { } } c = measure q;",
    'OPENQASM 3.0; include "stdgates.inc"; qubit q; bit c; pow(1000000000) @ x q; c = measure q;',
    'OPENQASM 3.0; include "stdgates.inc"; qubit[1000000000] q; bit c; c = measure q[0];',
    'OPENQASM 3.0; include "stdgates.inc"; qubit q; bit c; '
    + "".join(f"gate g{n} a {{ {'x a;' if not n else f'g{n - 1} a; ' * 20} }} " for n in range(8))
    + "g7 q; c = measure q;",
    "OPENQASM 3.0; qubit q; bit c; c = " + "(" * 20_000 + "c" + ")" * 20_000 + ";",
)


async def dear_preparation(attack: Attack) -> str:
    return (await attack.ask("POST", "/api/v1/jobs", qasm(attack.chance.choice(BOMBS))))[0]


async def dear_and_cancelled(attack: Attack) -> str:
    status, job = await attack.json("POST", "/api/v1/jobs", json.loads(qasm(BOMBS[1])))
    if status == "200":
        await attack.ask("POST", f"/api/v1/jobs/{job['id']}/cancel", b"{}")
    return status


async def asker(attack: Attack) -> str:
    job = attack.target.large_job
    path = attack.chance.choice(
        (
            f"/sojourn/v1/jobs/{job}/why",
            f"/api/v1/jobs/{job}/metrics",
            "/sojourn/v1/jobs?limit=200",
            "/api/v1/jobs?limit=200",
            "/sojourn/v1/usage?by=job",
            "/sojourn/v1/devices",
        )
    )
    return (await attack.ask("GET", path))[0]


async def equal_submits(attack: Attack) -> str:
    return (await attack.ask("POST", "/api/v1/jobs", job_body("mock")))[0]


async def garbage(attack: Attack) -> str:
    body = bytearray(job_body("mock"))
    for _ in range(attack.chance.randint(1, 20)):
        body[attack.chance.randrange(len(body))] = attack.chance.randrange(256)
    if attack.chance.random() < 0.2:
        del body[attack.chance.randrange(len(body)) :]
    return (await attack.ask("POST", "/api/v1/jobs", bytes(body)))[0]


async def large_result(attack: Attack) -> str:
    """A request of some hundred bytes with a result of 16 MB; deleted, so that the test's disk lasts."""
    text = "OPENQASM 3.0; qubit[127] q; bit[127] c; c = measure q;"
    status, job = await attack.json("POST", "/api/v1/jobs", json.loads(qasm(text, "other", 1_000_000)))
    if status == "200":
        await attack.ask("GET", f"/api/v1/jobs/{job['id']}")
        await attack.ask("DELETE", f"/api/v1/jobs/{job['id']}")
    return status


async def tags_and_deletion(attack: Attack) -> str:
    status, job = await attack.json("POST", "/api/v1/jobs", json.loads(job_body("other")))
    if status != "200":
        return status
    path = f"/api/v1/jobs/{job['id']}"
    await attack.ask("POST", f"{path}/cancel", b"{}")
    answers = await asyncio.gather(
        attack.ask("PUT", f"{path}/tags", b'{"tags": ["a"]}'),
        attack.ask("DELETE", path),
        attack.ask("PUT", f"{path}/tags", b'{"tags": ["b"]}'),
    )
    return max(status for status, _ in answers)


async def long_reservation(attack: Attack) -> str:
    now = time.time()
    body = {"device": "mock", "starts_at": now + 60, "ends_at": now + 1000 * 86400, "mode": "dedicated"}
    return (await attack.json("POST", "/sojourn/v1/reservations", body))[0]


async def foreign(attack: Attack) -> str:
    job = attack.chance.choice(attack.target.foreign)
    method, path = attack.chance.choice(
        (
            ("POST", f"/api/v1/jobs/{job}/cancel"),
            ("DELETE", f"/api/v1/jobs/{job}"),
            ("GET", f"/api/v1/jobs/{job}/results"),
            ("GET", f"/sojourn/v1/jobs/{job}/why"),
            ("DELETE", f"/api/v1/sessions/{job}/close"),
        )
    )
    return (await attack.ask(method, path, b"{}" if method == "POST" else None))[0]


async def idle_sessions(attack: Attack) -> str:
    """Sessions on the attacker's own device that nobody uses."""
    body = {"mode": "dedicated", "backend": "other"}
    return (await attack.json("POST", "/api/v1/sessions", body))[0]


KINDS: dict[str, tuple[Round, int, float]] = {
    # the round, how many do it at once, and the pause after each round in seconds
    "endless head": (endless_head, 2, 1.0),
    "silent": (silent, 40, 0.1),
    "slow head": (slow_head, 20, 0.1),
    "anonymous body": (anonymous_body, 3, 0.3),
    "anonymous half body": (anonymous_half_body, 10, 0.2),
    "wrong key": (wrong_key, 2, 0.2),
    "odd request": (odd_request, 1, 0.3),
    "half body": (half_body, 10, 0.5),
    "slow reader": (slow_reader, 10, 0.1),
    "dear preparation": (dear_preparation, 3, 0.5),
    "dear and cancelled": (dear_and_cancelled, 2, 0.5),
    "asker": (asker, 8, 0.1),
    "equal submits": (equal_submits, 1, 0.5),
    "garbage": (garbage, 2, 0.3),
    "large result": (large_result, 1, 10.0),
    "tags and deletion": (tags_and_deletion, 1, 0.5),
    "long reservation": (long_reservation, 1, 2.0),
    "foreign": (foreign, 1, 0.3),
    "idle sessions": (idle_sessions, 1, 5.0),
}


async def repeat(attack: Attack, kind: str, round_: Round, pause: float) -> None:
    await asyncio.sleep(attack.chance.random() * 2)
    while not attack.over:
        try:
            outcome = await round_(attack)
        except (OSError, asyncio.IncompleteReadError):
            outcome = "cut"
        attack.seen[kind][outcome] += 1
        await asyncio.sleep(pause)


async def main(seconds: float, target: Target) -> None:
    attack = Attack(target, time.monotonic() + seconds)
    tasks = [
        asyncio.ensure_future(repeat(attack, kind, round_, pause))
        for kind, (round_, copies, pause) in KINDS.items()
        for _ in range(copies)
    ]
    # what is still open at the end has been seen enough
    _, open_ = await asyncio.wait(tasks, timeout=seconds)
    for task in open_:
        task.cancel()
    faults = [t.exception() for t in tasks if t.done() and not t.cancelled() and t.exception()]
    print(json.dumps({"seen": attack.seen, "faults": [repr(f) for f in faults]}))


if __name__ == "__main__":
    os.nice(10)
    asyncio.run(main(float(sys.argv[1]), Target(**json.loads(sys.argv[2]))))
