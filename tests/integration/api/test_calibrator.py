"""The client's `Calibrator`: a system job for operators, refused with the reason for others."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Any

import httpx
import pytest
from qiskit_ibm_runtime import Calibrator, QiskitRuntimeService, Session
from qiskit_ibm_runtime.exceptions import IBMRuntimeError

from sojourn.embedded import Embedded
from tests.harness.api import complaint, wait

DEVICES: list[dict[str, Any]] = [
    {"name": "bench", "driver": "mock", "options": {"qubits": 5}},
    {"name": "other", "driver": "mock", "options": {"qubits": 5}},
    {"name": "ibm_slow", "driver": "mock", "options": {"qubits": 5, "seconds": 2.0}},
]
PARAMS = {"schema_version": "v0.1", "options": {"experimental": {}}}


@pytest.fixture(scope="module")
def server() -> Iterator[Embedded]:
    with Embedded(devices=DEVICES) as running:
        yield running


def key_of(server: Embedded, name: str) -> str:
    return (server.data / f"{name}.key").read_text().strip()


def api(server: Embedded, name: str, prefix: str = "/api/v1") -> httpx.Client:
    headers = {"authorization": f"Bearer {key_of(server, name)}", "ibm-api-version": "2026-04-15"}
    return httpx.Client(base_url=f"{server.url}{prefix}", headers=headers, timeout=60)


@pytest.fixture
def operator(server: Embedded) -> Iterator[httpx.Client]:
    with api(server, "operator") as http:
        yield http


@pytest.fixture
def user(server: Embedded) -> Iterator[httpx.Client]:
    with api(server, "local") as http:
        yield http


def order(http: httpx.Client, **more: Any) -> httpx.Response:
    body = {"program_id": "calibrate", "params": PARAMS, "backend": "bench", **more}
    return http.post("/jobs", json={k: v for k, v in body.items() if v is not None})


def in_force(server: Embedded, device: str) -> str:
    with api(server, "operator", "/sojourn/v1") as http:
        return str(http.get(f"/devices/{device}").json()["calibration"])


def test_an_operator_calibrates_with_the_client(server: Embedded, monkeypatch: pytest.MonkeyPatch) -> None:
    with api(server, "operator", "/sojourn/v1") as http:
        instance = http.get("/instances").json()["instances"][0]["crn"]
    for name, value in {
        "QISKIT_IBM_TOKEN": key_of(server, "operator"),
        "QISKIT_IBM_URL": f"{server.url}/experimental/api/v1",
        "QISKIT_IBM_INSTANCE": instance,
        "IAM_URL": server.url,
        "QISKIT_FUNCTIONS_EXPERIMENTAL": "1",
    }.items():
        monkeypatch.setenv(name, value)
    service = QiskitRuntimeService()
    before = in_force(server, "bench")
    with Session(backend=service.backend("bench")) as session:
        job = Calibrator(session).run()
        found = job.result(timeout=60)
        assert session.status() == "In progress, accepting new jobs" or session.details() is not None
    assert isinstance(found.start, datetime)
    assert found.start <= found.stop
    assert found.start.utcoffset() is not None
    assert in_force(server, "bench") != before
    assert job.status() == "DONE"
    assert service.job(job.job_id()).inputs is not None


def test_a_user_is_refused_with_the_reason(server: Embedded, user: httpx.Client) -> None:
    before = in_force(server, "bench")
    message = complaint(order(user), 403)
    assert "is for operators" in message
    assert in_force(server, "bench") == before
    service = server.service()
    with pytest.raises(IBMRuntimeError, match="is for operators"):
        Calibrator(service.backend("bench")).run()


def test_it_is_a_system_job_that_only_operators_see(operator: httpx.Client, user: httpx.Client) -> None:
    job_id = order(operator, tags=["weekly"]).json()["id"]
    job = wait(operator, job_id)
    assert job["state"]["status"] == "Completed"
    assert job["program"] == {"id": "calibrate"}
    assert job["user_id"] == "system"
    assert job["tags"] == ["weekly"]
    assert operator.get(f"/jobs/{job_id}").json()["params"] == PARAMS
    assert set(operator.get(f"/jobs/{job_id}/results").json()) == {"schema_version", "start", "stop"}
    for path in (f"/jobs/{job_id}", f"/jobs/{job_id}/results"):
        complaint(user.get(path), 404)


def test_a_second_one_while_one_waits_is_a_conflict_that_names_it(operator: httpx.Client) -> None:
    first = order(operator, backend="ibm_slow").json()["id"]
    assert first in complaint(order(operator, backend="ibm_slow"), 409)
    assert wait(operator, first)["state"]["status"] == "Completed"


@pytest.mark.parametrize(
    ("more", "status", "words"),
    [
        ({"backend": "nowhere"}, 404, "nowhere"),
        ({"backend": None}, 400, "names no backend"),
        ({"params": {"schema_version": "v9"}}, 400, "schema_version"),
        ({"params": {"schema_version": "v0.1", "options": {"level": 3}}}, 400, "level"),
        ({"params": {"options": {"experimental": {"fast": 1}}}}, 400, "options.experimental has fast"),
        ({"params": {"schema_version": "v0.1" + " " * 20_000}}, 400, "the limit is 10000"),
        ({"start_session": True}, 400, "start_session"),
        ({"cost": 300}, 400, "max_execution_time"),
        ({"private": True}, 400, "private"),
        ({"calibration_id": "cal-0"}, 400, "calibration_id"),
        ({"session_id": "s-none"}, 404, "s-none"),
        ({"instance": "another"}, 400, "instance"),
    ],
)
def test_what_a_calibration_cannot_have_is_refused_by_name(
    operator: httpx.Client, more: dict[str, Any], status: int, words: str
) -> None:
    assert words in complaint(order(operator, **more), status)


def test_a_session_names_the_device_and_must_be_open(operator: httpx.Client) -> None:
    made = operator.post("/sessions", json={"mode": "dedicated", "backend": "other"}).json()["id"]
    assert "(R5)" in complaint(order(operator, session_id=made), 400)
    job_id = order(operator, session_id=made, backend=None).json()["id"]
    assert wait(operator, job_id)["backend"] == "other"
    assert operator.get(f"/sessions/{made}").json()["accepting_jobs"] is True
    assert operator.delete(f"/sessions/{made}/close").status_code == 204
    assert "takes no more jobs" in complaint(order(operator, session_id=made, backend=None), 400)
