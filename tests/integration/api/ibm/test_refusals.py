"""How a refusal reaches the user: once, with an id that is in the server's log.

The kind: whatever is refused and wherever the reply is written (the client's routes, our own, those of the
account, the router, the limits, bytes that are no HTTP), the reply names the request; and the client shows
the message of a refusal once, on every route that it uses.
"""

from __future__ import annotations

import json
import re
import socket
import time
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from qiskit import QuantumCircuit
from qiskit_ibm_runtime import QiskitRuntimeService, SamplerV2, Session
from qiskit_ibm_runtime.exceptions import IBMError

from tests.harness.api import Live, User, submit, wait

ID = re.compile(r"[0-9a-f]{16}")


def log(live: Live) -> str:
    return (live.data.parent / "stderr.txt").read_text()


def logged(live: Live, request_id: str) -> list[str]:
    """The lines of the log with this id, once there are any: they are written beside the replies."""
    deadline = time.monotonic() + 20
    while not (found := [line for line in log(live).splitlines() if request_id in line]):
        assert time.monotonic() < deadline, f"nothing is logged under {request_id}"
    return found


@pytest.mark.parametrize(
    ("method", "path", "status", "body"),
    [
        ("GET", "/api/v1/backends", 401, b""),
        ("HEAD", "/api/v1/backends", 401, b""),
        ("GET", "/experimental/api/v1/jobs/x", 401, b""),
        ("PUT", "/api/v1/backends", 405, b""),
        ("GET", "/nothing/here", 404, b""),
        ("HEAD", "/nothing/here", 404, b""),
        ("GET", "/" + "a" * 3000, 414, b""),
        ("POST", "/identity/token", 400, b"grant_type=password"),
        ("POST", "/v3/resources/search", 401, b"{}"),
        ("GET", "/v2/resource_instances", 401, b""),
        ("GET", "/catalog/none", 401, b""),
        ("GET", "/sojourn/v1/jobs", 401, b""),
        ("GET", "/sojourn/v1/nothing", 404, b""),
        ("PATCH", "/sojourn/v1/jobs", 401, b""),
        ("POST", "/sojourn/v1/users", 401, b"x" * 1_100_000),
        ("POST", "/healthz", 405, b""),
    ],
)
def test_every_refusal_names_its_request_and_is_in_the_log(
    live: Live, method: str, path: str, status: int, body: bytes
) -> None:
    reply = httpx.request(method, live.url + path, content=body)
    assert reply.status_code == status, reply.text
    (request_id,) = reply.headers.get_list("uber-trace-id")
    assert ID.fullmatch(request_id)
    (line,) = logged(live, request_id)
    assert "request.refused" in line
    assert f"status={status}" in line
    assert f"method={method}" in line
    if method != "HEAD":
        assert f"code={reply.json()['error']['code']}" in line


def test_answers_that_refuse_nothing_name_their_request_too(ada: User, sampler_params: str) -> None:
    seen = set()
    for path in ("/healthz", "/readyz", "/sojourn/v1/version", "/sojourn/v1/openapi.json"):
        seen.add(httpx.get(ada.url + path).headers["uber-trace-id"])
    with ada.http() as http:
        job_id = submit(http, sampler_params)
        wait(http, job_id)
        for path in ("/backends", f"/jobs/{job_id}", f"/jobs/{job_id}/results", f"/jobs/{job_id}/logs"):
            seen.add(http.get(path).headers["uber-trace-id"])
        seen.add(http.delete(f"/jobs/{job_id}").headers["uber-trace-id"])
    assert len(seen) == 9


def test_bytes_that_are_no_http_get_an_id_that_is_in_the_log(live: Live) -> None:
    with socket.create_connection((httpx.URL(live.url).host, httpx.URL(live.url).port or 80)) as raw:
        raw.sendall(b"\x16\x03\x01\x02\x00\r\n\r\n")
        answer = raw.makefile("rb").read()
    found = re.search(rb"\r\nuber-trace-id: ([0-9a-f]{16})\r\n", answer)
    assert found is not None, answer
    assert logged(live, found[1].decode())


def test_a_submits_line_in_the_log_names_job_and_request(live: Live, ada: User, sampler_params: str) -> None:
    with ada.http() as http:
        head = json.dumps({"program_id": "sampler", "backend": "bench"})
        body = f'{head[:-1]},"params":{sampler_params}}}'
        reply = http.post("/jobs", content=body, headers={"x-request-id": "from-the-proxy-1"})
    assert reply.headers["uber-trace-id"] == "from-the-proxy-1"
    (line,) = [line for line in logged(live, reply.json()["id"]) if "job.accepted" in line]
    assert "request=from-the-proxy-1" in line


def test_a_path_cannot_write_lines_into_the_log(live: Live) -> None:
    reply = httpx.get(f"{live.url}/x%0aFAKE%1b[31m%0d")
    assert logged(live, reply.headers["uber-trace-id"])
    assert not [line for line in log(live).splitlines() if line.startswith("FAKE")]
    assert "\x1b[31m" not in log(live)


# With the real client


@pytest.fixture
def service(monkeypatch: pytest.MonkeyPatch, tmp_path: Any, ada: User) -> QiskitRuntimeService:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    for name, value in ada.way_a().items():
        monkeypatch.setenv(name, value)
    return QiskitRuntimeService()


def circuit() -> QuantumCircuit:
    made = QuantumCircuit(1)
    made.measure_all()
    return made


def too_many_shots(service: QiskitRuntimeService) -> None:
    SamplerV2(service.backend("bench")).run([circuit()], shots=10**9)


def program_that_there_is_not(service: QiskitRuntimeService) -> None:
    service._run(program_id="nothing", inputs={}, options={"backend": service.backend("bench")})


def cancel_what_has_ended(service: QiskitRuntimeService) -> None:
    job = SamplerV2(service.backend("bench")).run([circuit()], shots=1)
    job.result()
    job.cancel()


def job_that_there_is_not(service: QiskitRuntimeService) -> None:
    service.job("d000")


def session_of_too_long(service: QiskitRuntimeService) -> None:
    Session(service.backend("bench"), max_time=10**8)


def session_that_there_is_not(service: QiskitRuntimeService) -> None:
    Session.from_id("d000", service)


def job_in_a_closed_session(service: QiskitRuntimeService) -> None:
    session = Session(service.backend("bench"))
    (client,) = service._get_api_clients().values()
    client.close_session(session.session_id)  # the session's own object does not know
    SamplerV2(session).run([circuit()], shots=1)


def tags_that_are_too_long(service: QiskitRuntimeService) -> None:
    job = SamplerV2(service.backend("bench")).run([circuit()], shots=1)
    job.update_tags(["x" * 500])


REFUSED: list[tuple[Callable[[QiskitRuntimeService], None], str]] = [
    (too_many_shots, "asks for"),
    (program_that_there_is_not, "nothing"),
    (cancel_what_has_ended, "completed already"),
    (job_that_there_is_not, "d000"),
    (session_of_too_long, "100000000 s"),
    (session_that_there_is_not, "was not found in this instance"),
    (job_in_a_closed_session, "takes no more jobs"),
    (tags_that_are_too_long, "A tag has"),
]


@pytest.mark.parametrize(("step", "words"), REFUSED, ids=[step.__name__ for step, _ in REFUSED])
def test_the_client_shows_a_refusal_once(
    service: QiskitRuntimeService, step: Callable[[QiskitRuntimeService], None], words: str
) -> None:
    with pytest.raises(IBMError) as refusal:
        step(service)
    said = str(refusal.value)
    assert said.count(words) == 1, said
    assert '"errors"' not in said
    assert '{"' not in said


def test_the_client_shows_a_body_that_is_too_large_once(service: QiskitRuntimeService) -> None:
    (client,) = service._get_api_clients().values()
    with pytest.raises(IBMError) as refusal:
        client._session.post("/jobs", data=b"x" * 13_000_000)
    assert str(refusal.value).count("the limit here is") == 1


def test_a_key_that_grants_nothing_is_shown_once(
    service: QiskitRuntimeService, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("QISKIT_IBM_TOKEN", "wrong")
    with pytest.raises(IBMError) as refusal:
        QiskitRuntimeService().jobs()
    assert str(refusal.value).count("QISKIT_IBM_TOKEN") == 1
