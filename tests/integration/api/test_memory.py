"""What requests and replies take of the server's memory is bounded, and nobody takes it from the others.

The kind: bytes that a caller makes the server hold, before or after anybody knows who it is. Halves of heads
and of bodies, bodies that wait, JSON that unfolds, results that nobody reads, requests that wait in a
connection.
"""

from __future__ import annotations

import functools
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from typing import Any

import httpx
import psutil
import pytest

from sojourn.embedded import Embedded
from tests.harness.api import submit, wait

MOCK = {"name": "mock", "driver": "mock", "options": {"qubits": 127}}
BODY, USER, ALL, INCOMING, UNREAD = 8, 16, 32, 4, 4
BOUNDS = {
    "max_body_mb": BODY,
    "memory_user_mb": USER,
    "memory_mb": ALL,
    "incoming_mb": INCOMING,
    "unread_mb": UNREAD,
    "spool_user_mb": 200,
    "spool_mb": 400,
    "room_seconds": 2.0,
    "body_seconds": 20.0,
    "reply_seconds": 20.0,
}
CACHES = 64 + 32
"""Megabytes that fill by and by: SQLite's pages, the latest texts."""
PATIENCE = 60.0


@pytest.fixture(scope="module")
def server() -> Iterator[Embedded]:
    with Embedded(devices=[MOCK], server=BOUNDS) as running:
        yield running


class Caller:
    """A user, with plain HTTP in that user's name and sockets that do what no client does."""

    def __init__(self, server: Embedded, name: str) -> None:
        self.key = server.user(name, f"{name}s").api_key
        host, port = server.url.removeprefix("http://").split(":")
        self.address = host, int(port)
        headers = {"authorization": f"apikey {self.key}"}
        self.http = httpx.Client(
            base_url=f"{server.url}/api/v1", headers=headers, timeout=PATIENCE, trust_env=False
        )

    def line(self, head: str, body: bytes = b"", more: str = "") -> socket.socket:
        """A connection on which this request has been sent, or as much of it as the server takes."""
        made = socket.create_connection(self.address, timeout=PATIENCE)
        with suppress(OSError):
            made.sendall(
                f"{head} HTTP/1.1\r\nhost: x\r\nauthorization: apikey {self.key}\r\n{more}\r\n".encode()
            )
            made.sendall(body)
        return made


@pytest.fixture(scope="module")
def callers(server: Embedded) -> Callable[[str], Caller]:
    return functools.cache(functools.partial(Caller, server))


@pytest.fixture(scope="module")
def large(callers: Callable[[str], Caller]) -> tuple[str, bytes]:
    """A job of ann with a result of 40 MB, more than the server keeps in memory, and the text."""
    ann = callers("ann")
    job = submit(ann.http, shots(2), device="mock")
    assert wait(ann.http, job)["status"] == "Completed"
    text = ann.http.get(f"/jobs/{job}/results").content
    assert len(text) > 33_000_000
    assert json.loads(text)["__type__"] == "PrimitiveResult"
    return job, text


def shots(pubs: int, each: int = 1_000_000) -> str:
    """Inputs of some kB whose result has 21 bytes for each shot of each pub."""
    from qiskit import QuantumCircuit
    from qiskit_ibm_runtime import RuntimeEncoder

    circuit = QuantumCircuit(127)
    circuit.x(0)
    circuit.measure_all()
    params = {"pubs": [[circuit, None, each]] * pubs, "options": {}, "version": 2}
    return json.dumps(params, cls=RuntimeEncoder)


def spaces(size: int, backend: str = "mock") -> bytes:
    """A body of a submit that is refused for what it says, once it has been read."""
    start, end = b'{"program_id":"sampler","backend":"%b","params":{"pubs":[],' % backend.encode(), b'"a":1}}'
    return start + b" " * (size - len(start) - len(end)) + end


def state(server: Embedded) -> dict[str, Any]:
    found: dict[str, Any] = httpx.get(f"{server.url}/readyz", timeout=PATIENCE, trust_env=False).json()
    return found


def until(happens: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + PATIENCE
    while not happens():
        assert time.monotonic() < deadline, f"it does not come true that {what}"


@contextmanager
def peak(server: Embedded) -> Iterator[Callable[[], float]]:
    """How much more memory the server has had than at the start, in megabytes."""
    process = psutil.Process(server.pid)
    before = process.memory_info().rss
    most = [before]
    over = threading.Event()

    def look() -> None:
        while not over.wait(0.02):
            most[0] = max(most[0], process.memory_info().rss)

    thread = threading.Thread(target=look)
    thread.start()
    try:
        yield lambda: (most[0] - before) / 1e6
    finally:
        over.set()
        thread.join()


def test_large_texts_come_as_they_are_stored(
    server: Embedded, callers: Callable[[str], Caller], large: tuple[str, bytes]
) -> None:
    ann, (job, text) = callers("ann"), large
    with peak(server) as more:
        assert ann.http.get(f"/jobs/{job}/results").content == text
        # Never a copy of it. The cache of the reader's connection may fill for the first time.
        assert more() < 0.9 * len(text) / 1e6
    head = ann.http.head(f"/jobs/{job}/results")
    assert (head.headers["content-length"], head.content) == (str(len(text)), b"")


def test_large_inputs_are_given_back_byte_for_byte(callers: Callable[[str], Caller]) -> None:
    ann = callers("ann")
    params = "{" + "\n  " * 1_500_000 + shots(1, 10)[1:]
    job = submit(ann.http, params, device="mock")
    reply = ann.http.get(f"/jobs/{job}")
    assert reply.text.endswith(f',"params":{params}}}')
    assert reply.json()["id"] == job
    wait(ann.http, job)


def test_a_large_private_result_is_given_once(callers: Callable[[str], Caller]) -> None:
    ann = callers("ann")
    job = submit(ann.http, shots(1, 300_000), device="mock", private=True)
    assert wait(ann.http, job)["status"] == "Completed"
    with ThreadPoolExecutor(3) as pool:
        found = list(pool.map(lambda _: ann.http.get(f"/jobs/{job}/results"), range(3)))
    assert sorted(len(reply.content) > 5_000_000 for reply in found) == [False, False, True]
    assert [reply.status_code for reply in found] == [200] * 3
    warnings = ann.http.get(f"/jobs/{job}?exclude_params=true").json()["warnings"]
    assert sum("was read" in warning for warning in warnings) == 1


def test_readers_that_do_not_read_hold_a_piece_each(
    server: Embedded, callers: Callable[[str], Caller], large: tuple[str, bytes]
) -> None:
    ann, bob, (job, text) = callers("ann"), callers("bob"), large
    with ExitStack() as lines, peak(server) as more:
        for _ in range(12):
            lines.enter_context(ann.line(f"GET /api/v1/jobs/{job}/results"))
        until(lambda: state(server)["rooms"]["memory"]["held"] == USER * 1_000_000, "her part is in use")
        reply = ann.http.get(f"/jobs/{job}/results")
        assert (reply.status_code, int(reply.headers["retry-after"]) > 0) == (503, True)
        assert "memory_user_mb" in reply.json()["error"]["message"]
        assert bob.http.post("/jobs", content=spaces(BODY * 1_000_000)).status_code == 400, "others have room"
        assert more() < USER + 2 * BODY + 40  # the readers' connections fill their caches as well
    until(lambda: state(server)["rooms"]["memory"]["held"] == 0, "it is given back")
    assert ann.http.get(f"/jobs/{job}/results").content == text


def test_halves_of_large_bodies_are_on_disk(server: Embedded, callers: Callable[[str], Caller]) -> None:
    ann, bob = callers("ann"), callers("bob")
    size = BODY * 1_000_000
    with ExitStack() as lines, peak(server) as more:
        for _ in range(16):
            half = spaces(size)[: size - 1000]
            lines.enter_context(ann.line("POST /api/v1/jobs", half, f"content-length: {size}\r\n"))
        until(lambda: state(server)["rooms"]["files"]["held"] == 16, "all are on their way")
        late = ann.http.post("/jobs", content=spaces(size))
        assert late.status_code == 503
        assert bob.http.post("/jobs", content=spaces(size)).status_code == 400, "others have room"
        assert more() < 2 * BODY + 20
        assert list(server.data.glob("tmp*")) == [], "they have no names"
    until(lambda: state(server)["rooms"]["spool"]["held"] == 0, "it is given back")


@pytest.mark.parametrize(
    "fields",
    ['"tags":[' + ",".join(['"a"'] * 1_900_000) + "]", '"backend":"' + "a" * 7_000_000 + '😀"'],
    ids=["many tags", "a long name"],
)
def test_json_that_unfolds_is_refused_before_it_does(
    server: Embedded, callers: Callable[[str], Caller], fields: str
) -> None:
    ann = callers("ann")
    body = f'{{"program_id":"sampler",{fields},"params":{{}}}}'.encode()
    with peak(server) as more:
        reply = ann.http.post("/jobs", content=body)
        assert reply.status_code == 400
        assert "the limit is 100000" in reply.json()["error"]["message"]
        assert more() < 2 * BODY + 10


def test_the_memory_stays_below_its_bound_under_all_of_it_at_once(
    server: Embedded, callers: Callable[[str], Caller], large: tuple[str, bytes]
) -> None:
    """The formula of docs/configuration.md, and another user's submits meanwhile."""
    ann, eve, bob, (job, _) = callers("ann"), callers("eve"), callers("bob"), large
    size = BODY * 1_000_000
    honest = shots(1, 10)
    bound = 1.25 * ALL + INCOMING + UNREAD + CACHES + 3 * BODY
    with ExitStack() as lines, peak(server) as more:
        attacks: list[Callable[[], socket.socket]] = [
            lambda: ann.line(f"GET /api/v1/jobs/{job}/results"),
            lambda: eve.line("POST /api/v1/jobs", spaces(size)[:-9], f"content-length: {size}\r\n"),
            lambda: eve.line("POST /api/v1/jobs", spaces(size)),
            lambda: eve.line("POST /api/v1/jobs", b"a" * 900_000, "content-length: 999999\r\n"),
            lambda: eve.line("POST /identity/token", b"a" * 90_000, "content-length: 99999\r\n"),
            lambda: eve.line("GET /healthz", more="x: " + "y" * 50_000),
            lambda: eve.line(
                "GET /sojourn/v1/openapi.json\x20HTTP/1.1\r\nhost: x\r\n\r\nGET /healthz", b"", ""
            ),
            lambda: eve.line("GET /sojourn/v1/openapi.json", OPENAPI * 900),
            lambda: eve.line("POST /sojourn/v1/users", b"[" * 99_000, "content-length: 99000\r\n"),
        ]
        times: list[float] = []
        with ThreadPoolExecutor(20) as pool:
            made = [pool.submit(attack) for _ in range(20) for attack in attacks]
            for _ in range(20):
                begun = time.monotonic()
                submit(bob.http, honest, device="mock")
                times.append(time.monotonic() - begun)
            for each in made:
                lines.enter_context(each.result())
        assert more() < bound, f"{more():.0f} MB more; the bound is {bound:.0f}"
        assert sorted(times)[len(times) // 2] < 2.0
    found = state(server)
    assert found["connections"]["incoming"]["held"] <= INCOMING * 1_000_000
    until(lambda: state(server)["rooms"]["memory"]["held"] == 0, "it is given back")
    until(lambda: psutil.Process(server.pid).memory_info().rss < 300_000_000, "the system has it back")


OPENAPI = b"GET /sojourn/v1/openapi.json HTTP/1.1\r\nhost: x\r\n\r\n"
