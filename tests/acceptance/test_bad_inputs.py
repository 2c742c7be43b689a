"""Bad inputs over HTTP to a real server: each gets the right 4xx and a message that helps, and the server and
its workers go on (the same processes, and a good job still runs)."""

from __future__ import annotations

import base64
import io
import json
import struct
import time
import zlib
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from qiskit import QuantumCircuit, qpy

from sojourn.embedded import Embedded
from tests.harness.programs import bell, job_body, sampler_params

DEVICES = [
    {"name": "aer", "driver": "aer", "options": {"qubits": 5}},
    {"name": "slow", "driver": "mock", "options": {"qubits": 5, "seconds": 3600.0}},
]
FIRST = 20  # bytes of QPY before the table of offsets or the circuit
HUGE = 10**400
INFINITE = float("inf")


class House:
    """The server, and a client in the name of its local user."""

    def __init__(self, server: Embedded) -> None:
        self.server = server
        self.http = self.client(server.local_key)

    def client(self, key: str | None) -> httpx.Client:
        headers = {} if key is None else {"authorization": f"apikey {key}"}
        base = f"{self.server.url}/api/v1"
        return httpx.Client(base_url=base, headers=headers, trust_env=False, timeout=90)


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    # However busy the machine is, a submit waits for the check of its job.
    policy = {"admission_hold": 60.0}
    with Embedded(tmp_path_factory.mktemp("house"), devices=DEVICES, policy=policy) as server:
        yield House(server)


def complaint(reply: httpx.Response, status: int, *words: str) -> None:
    """The status, and a message in the client's shape that contains the words."""
    assert reply.status_code == status, f"{reply.status_code} {reply.text[:400]}"
    error = reply.json()["error"]
    assert isinstance(error["code"], int)
    assert len(error["message"]) < 2_000, f"{len(error['message'])} characters are not a message"
    for word in words:
        assert word in error["message"], error["message"]


def goes_on(house: House) -> None:
    """A good job runs from submit to result."""
    made = house.http.post("/jobs", content=job_body("aer", tags=[]))
    assert made.status_code == 200, made.text
    job = f"/jobs/{made.json()['id']}"
    while (state := house.http.get(job).json()["state"]["status"]) in ("Queued", "Running"):
        pass  # held by the server
    assert state == "Completed"
    assert "PrimitiveResult" in house.http.get(f"{job}/results").text


@pytest.fixture(autouse=True)
def unharmed(house: House) -> Iterator[None]:
    """After every test here."""
    yield
    assert house.http.get(f"{house.server.url}/healthz").status_code == 200
    goes_on(house)


def packed(content: bytes) -> dict[str, Any]:
    text = base64.b64encode(zlib.compress(content)).decode()
    return {"__type__": "QuantumCircuit", "__value__": text}


def qpy_of(circuit: QuantumCircuit) -> bytes:
    stream = io.BytesIO()
    qpy.dump(circuit, stream, version=15)
    return stream.getvalue()


def submit(house: House, circuit: Any, values: Any = None, shots: Any = 10, **more: Any) -> httpx.Response:
    params = {"pubs": [[circuit, values, shots]], "options": {}, "version": 2}
    body = {"program_id": "sampler", "backend": "aer", "params": params, **more}
    return house.http.post("/jobs", content=json.dumps(body))


def good() -> QuantumCircuit:
    circuit = QuantumCircuit(2, 2)
    circuit.h(0)
    circuit.measure([0, 1], [0, 1])
    return circuit


# who


@pytest.mark.parametrize("path", ["/jobs", "/backends", "/instances/usage", "/sessions/x", "/jobs/x/results"])
def test_no_token(house: House, path: str) -> None:
    with house.client(None) as http:
        complaint(http.get(path), 401, "Authorization", "/identity/token")


@pytest.mark.parametrize(
    "credentials",
    [
        "apikey wrong",
        "apikey",
        "Bearer",
        "Bearer a.b.c",
        "Bearer ..",
        "Basic dXNlcjpwYXNz",
        "Bearer eyJhbGciOiJub25lIn0.eyJzdWIiOiJsb2NhbCJ9.",
        "apikey " + "x" * 20_000,
    ],
)
def test_a_wrong_token(house: House, credentials: str) -> None:
    reply = httpx.get(f"{house.server.url}/api/v1/jobs", headers={"authorization": credentials})
    complaint(reply, 401)


def test_another_users_job_and_session(house: House) -> None:
    key = house.server.user("eve", "elsewhere").api_key
    job = house.http.post("/jobs", content=job_body("slow")).json()["id"]
    session = house.http.post("/sessions", json={"backend": "slow"}).json()["id"]
    with house.client(key) as eve:
        for path in ("", "/results", "/logs", "/metrics"):
            complaint(eve.get(f"/jobs/{job}{path}"), 404, job)
        complaint(eve.post(f"/jobs/{job}/cancel"), 404, job)
        complaint(eve.delete(f"/jobs/{job}"), 404, job)
        complaint(eve.put(f"/jobs/{job}/tags", json={"tags": ["mine"]}), 404, job)
        complaint(eve.get(f"/sessions/{session}"), 404, session)
        complaint(eve.patch(f"/sessions/{session}", json={"accepting_jobs": False}), 404, session)
        complaint(eve.delete(f"/sessions/{session}/close"), 404, session)
        complaint(eve.post("/jobs", content=job_body("slow", session_id=session)), 404, session)
        assert eve.get("/jobs", params={"session_id": session}).json()["count"] == 0
    assert house.http.post(f"/jobs/{job}/cancel").status_code == 204
    assert house.http.delete(f"/sessions/{session}/close").status_code == 204


# what


@pytest.mark.parametrize("name", ["nosuch", "", "../aer", "ibm_torino\0", "ä" * 50, "x" * 5_000])
def test_an_unknown_backend(house: House, name: str) -> None:
    complaint(house.http.post("/jobs", content=job_body(name)), 404, "aer", "slow")
    if name:
        complaint(house.http.post("/sessions", json={"backend": name}), 404, "aer", "slow")


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"", ["JSON"]),
        (b"{", ["JSON"]),
        (b"not json", ["JSON"]),
        (b"\xff\xfe", ["JSON"]),
        (b"null", ["object"]),
        (b"[" * 100_000, ["object"]),
        (b'{"a":' * 100_000, []),
        (b'{"program_id":"sampler","backend":"aer","params":{"pubs":' + b"[" * 100_000, []),
        (b'{"program_id":"sampler","backend":"aer"}', ["pubs"]),
        (b'{"backend":"aer","params":{}}', ["program_id"]),
        (b'{"program_id":"sampler","params":{}}', ["backend"]),
        (b'{"program_id":"nosuch","backend":"aer","params":{}}', ["nosuch", "sampler"]),
        (b'{"program_id":"sampler","backend":"aer","params":[]}', ["params"]),
        (b'{"program_id":"sampler","backend":"aer","params":{"pubs":[],"options":{}}}', ["pubs"]),
        (b'{"program_id":"sampler","backend":"aer","params":{"pubs":NaN}}', ["JSON"]),
        (b'{"program_id":"sampler","backend":7,"params":{}}', ["backend"]),
        (b'{"program_id":"sampler","backend":"aer","params":{},"surprise":1}', ["surprise"]),
        (b'{"program_id":"sampler\xc3\x28","backend":"aer","params":{}}', []),
        (b"\0" * 10_000_000, ["JSON"]),
        (b'"' + b"x" * 10_000_000 + b'"', ["object"]),
    ],
)
def test_malformed_json_and_missing_fields(house: House, body: bytes, words: list[str]) -> None:
    complaint(house.http.post("/jobs", content=body), 400, *words)


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", "image/png", ""])
def test_the_content_type_of_a_submit_does_not_matter(house: House, kind: str) -> None:
    """The body is JSON or it is not; what it is called is not a reason to fail."""
    headers = {"content-type": kind}
    reply = house.http.post("/jobs", content=b"a=b&c=d", headers=headers)
    complaint(reply, 400, "JSON")


@pytest.mark.parametrize(
    "field",
    [
        {"cost": -1},
        {"cost": 0},
        {"cost": 1.5},
        {"cost": "1"},
        {"cost": HUGE},
        {"cost": 10**18},
        {"tags": "text"},
        {"tags": [1]},
        {"tags": ["x" * 1000]},
        {"tags": [str(n) for n in range(100)]},
        {"tags": [""]},
        {"session_id": 5},
        {"private": "yes"},
        {"calibration_id": "nosuch"},
        {"runtime": "image"},
        {"start_session": True, "session_id": "x"},
        {"start_session": True, "session_time": -5},
        {"start_session": True, "session_time": 10**30},
        {"session_time": 600},
        {"start_session": False, "session_time": 600},
    ],
)
def test_bad_fields_of_a_job(house: House, field: dict[str, Any]) -> None:
    complaint(house.http.post("/jobs", content=job_body("aer", **field)), 400)


@pytest.mark.parametrize("shots", [-1, 0, 1.5, "many", [], {}, True, 10**9, HUGE, -HUGE])
def test_bad_shots(house: House, shots: Any) -> None:
    complaint(submit(house, packed(qpy_of(good())), shots=shots), 400, "shots")


@pytest.mark.parametrize(
    "options",
    [
        {"default_shots": -1},
        {"default_shots": HUGE},
        {"default_shots": 1e300},
        {"simulator": {"seed_simulator": -1}},
        {"simulator": {"seed_simulator": HUGE}},
        {"simulator": "yes"},
        {"twirling": {"enable_gates": "on"}},
        {"nosuch": 1},
        {"ä\0": {"b": [1] * 1000}},
        [],
        "text",
    ],
)
def test_bad_options(house: House, options: Any) -> None:
    params = {**sampler_params((bell(), None, None)), "options": options}
    reply = house.http.post("/jobs", content=job_body("aer", params=params))
    complaint(reply, 400, "shots" if options == {"default_shots": HUGE} else "options")


# circuits


def test_truncated_qpy(house: House) -> None:
    content = qpy_of(good())
    for length in (0, 1, 10, 19, 20, 40, len(content) // 2, len(content) - 1):
        complaint(submit(house, packed(content[:length])), 400, "pubs[0]")


def test_compressed_data_that_are_cut_off_or_no_data_at_all(house: House) -> None:
    text = packed(qpy_of(good()))["__value__"]
    for wrong in (text[: len(text) // 8 * 4], "!!!", "", "AAAA", None, 5, [text]):
        complaint(submit(house, {"__type__": "QuantumCircuit", "__value__": wrong}), 400, "pubs[0]")


def test_ten_megabytes_of_garbage(house: House) -> None:
    noise = bytes(range(256)) * 40_000
    text = base64.b64encode(noise).decode()
    complaint(submit(house, {"__type__": "QuantumCircuit", "__value__": text}), 400, "pubs[0]")
    complaint(submit(house, packed(b"QISKIT" + noise)), 400, "pubs[0]")


def test_a_zip_bomb(house: House) -> None:
    complaint(submit(house, packed(b"QISKIT" + bytes(600 * 2**20))), 400, "inflate", "512 MB")


def nested() -> QuantumCircuit:
    circuit = good()
    with circuit.if_test((circuit.clbits[0], 1)):
        circuit.x(1)
    return circuit


def test_qpy_whose_numbers_claim_more_than_it_holds(house: House) -> None:
    """Every count in QPY is the sender's word, and none may cost the server its memory.

    The inner circuit's classical bits stand in the middle of the data; the header check sees the outer ones.
    """
    content = qpy_of(nested())
    inner = content.rindex(struct.pack("!II", 1, 1))
    for claimed in (0x000F_FFFF, 0x3FFF_FFFF, 0xFFFF_FFFF):
        forged = bytearray(content)
        struct.pack_into("!I", forged, inner + 4, claimed)
        started = time.monotonic()
        complaint(submit(house, packed(bytes(forged))), 400)
        assert time.monotonic() - started < 60
    for at in range(FIRST, len(content) - 4, 13):
        forged = bytearray(content)
        struct.pack_into("!H", forged, at, 0xFFFF)
        reply = submit(house, packed(bytes(forged)))
        assert reply.status_code in (200, 400), f"offset {at}: {reply.status_code} {reply.text[:300]}"


def test_a_circuit_that_is_too_wide(house: House) -> None:
    complaint(submit(house, packed(qpy_of(QuantumCircuit(6, 1)))), 400, "6", "5", "aer")
    complaint(submit(house, packed(qpy_of(QuantumCircuit(5000, 1)))), 400, "5000", "5", "aer")


@pytest.mark.parametrize(
    "values",
    [
        "text",
        [[1, 2], [3]],
        [[INFINITE]],
        {"a": [1]},
        {"__type__": "ndarray", "__value__": "AAAA"},
        {"__type__": "ndarray", "__value__": [[None]]},
        {"__type__": "settings", "__value__": {}},
        {"__type__": "os.system", "__value__": "true"},
        [1, 2, 3],
    ],
)
def test_bad_parameter_values(house: House, values: Any) -> None:
    word = "JSON" if values == [[INFINITE]] else "pubs[0]"
    complaint(submit(house, packed(qpy_of(good())), values), 400, word)


# sessions


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("max_ttl", "-1"),
        ("max_ttl", "0"),
        ("max_ttl", "1e308"),
        ("max_ttl", "1e999"),
        ("max_ttl", "1" + "0" * 400),
        ("max_ttl", "1" + "0" * 5000),
        ("max_ttl", '"' + "9" * 400 + '"'),
        ("max_ttl", '"forever"'),
        ("max_ttl", '"2h ' + "1" * 5000 + 'h"'),
        ("max_ttl", "[1]"),
        ("max_ttl", "true"),
        ("mode", '"nosuch"'),
        ("mode", "1"),
        ("backend", "null"),
        ("backend", '["aer"]'),
    ],
)
def test_bad_sessions(house: House, name: str, value: str) -> None:
    backend = "" if name == "backend" else '"backend": "aer", '
    reply = house.http.post("/sessions", content=f'{{{backend}"{name}": {value}}}')
    complaint(reply, 400)
    assert any(word in reply.text for word in (name, "max_time", "JSON")), reply.text


def test_a_closed_session(house: House) -> None:
    session = house.http.post("/sessions", json={"backend": "aer"}).json()["id"]
    assert house.http.delete(f"/sessions/{session}/close").status_code == 204
    reply = house.http.post("/jobs", content=job_body("aer", session_id=session))
    complaint(reply, 400, session, "open a new one")
    assert reply.json()["error"]["code"] == 1217
    complaint(house.http.patch(f"/sessions/{session}", json={"accepting_jobs": True}), 409, "new session")
    for body in (b"", b"[]", b"{}", b'{"accepting_jobs": "no"}', b"\xff"):
        complaint(house.http.patch(f"/sessions/{session}", content=body), 400)


# the rest of a request


@pytest.mark.parametrize(
    "query",
    [
        "limit=-1",
        "limit=0",
        "limit=x",
        "limit=99999999999999999999999",
        "offset=-1",
        "offset=9999999999999999999999",
        "offset=999999999999999999",
        "pending=perhaps",
        "sort=UP",
        "created_after=yesterday",
        "created_after=999999-01-01",
        "created_after=%FF",
        "tags=%ff%fe",
        "created_after=2026-01-02&created_before=2026-01-01",
        "&".join(f"tags={n}" for n in range(500)),
    ],
)
def test_bad_filters_of_the_list(house: House, query: str) -> None:
    reply = house.http.get(f"/jobs?{query}")
    if query == "offset=999999999999999999":
        assert reply.json()["jobs"] == []
    else:
        complaint(reply, 400)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"x",
        b"[]",
        b"{}",
        b'{"tags": "a"}',
        b'{"tags": [1]}',
        b'{"tags": {}}',
        b'{"tags": [""]}',
        b'{"tags": ["' + b"x" * 200 + b'"]}',
        b'{"tags": ["\\ud800"]}',
        b'{"tags": ["a\\u0000b"]}',
        b'{"tags": ["\\u001b[31mred"]}',
        b'{"tags": ["a\\nb"]}',
        b'{"tags": ' + b"[" * 50_000,
        b"x" * 1_100_000,
    ],
)
def test_bad_tags(house: House, body: bytes) -> None:
    made = house.http.post("/jobs", content=job_body("aer")).json()["id"]
    reply = house.http.put(f"/jobs/{made}/tags", content=body)
    complaint(reply, 413 if len(body) > 1_000_000 else 400)


@pytest.mark.parametrize(
    "job_id", ["nosuch", "%00", "..%2F..", "d" * 1000, "%F0%9F%92%A3", "'; drop table jobs"]
)
def test_ids_of_no_job(house: House, job_id: str) -> None:
    for path in (f"/jobs/{job_id}", f"/jobs/{job_id}/results", f"/sessions/{job_id}"):
        complaint(house.http.get(path), 404)


def test_huge_headers(house: House) -> None:
    complaint(house.http.get("/jobs", headers={"service-crn": "crn:" + "x" * 5000}), 400, "Service-CRN")
    key = {"idempotency-key": "k" * 5000}
    complaint(house.http.post("/jobs", content=job_body("aer"), headers=key), 400, "Idempotency-Key")
    application = {"x-qx-client-application": "x" * 50_000}
    assert house.http.get("/jobs", headers=application).status_code in (200, 400, 431)
    assert house.http.get("/jobs", headers={f"x-{n}": "y" * 100 for n in range(1000)}).status_code < 500
