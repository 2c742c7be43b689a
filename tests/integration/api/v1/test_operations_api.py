"""Device states, calibrations and reservations over HTTP, and as the real client sees them."""

from __future__ import annotations

import time
import warnings
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from qiskit import QuantumCircuit
from qiskit_ibm_runtime import QiskitRuntimeService, SamplerV2
from qiskit_ibm_runtime.exceptions import IBMRuntimeError

from sojourn.embedded import Embedded
from tests.harness.api import complaint

DEVICES = [
    {"name": "bench", "driver": "mock", "options": {"qubits": 5}},
    {
        "name": "ibm_manila",
        "driver": "fake",
        "options": {"backend": "FakeManilaV2", "drift": 0.5, "seed": 3},
        "calibrate": "0 4 1 1 *",
    },
]


@pytest.fixture(scope="module")
def server() -> Iterator[Embedded]:
    with Embedded(devices=DEVICES) as running:
        yield running


@pytest.fixture
def operator(server: Embedded) -> Iterator[httpx.Client]:
    key = (server.data / "operator.key").read_text().strip()
    headers = {"authorization": f"Bearer {key}"}
    with httpx.Client(base_url=f"{server.url}/sojourn/v1", headers=headers, timeout=60) as http:
        yield http


@pytest.fixture
def user(server: Embedded, operator: httpx.Client) -> Iterator[httpx.Client]:
    key = (server.data / "local.key").read_text().strip()
    headers = {"authorization": f"Bearer {key}"}
    with httpx.Client(base_url=f"{server.url}/sojourn/v1", headers=headers, timeout=60) as http:
        yield http


@pytest.fixture
def service(server: Embedded) -> QiskitRuntimeService:
    return server.service()


def calibrate(http: httpx.Client, device: str) -> str:
    """Calibrate and wait; the id of the calibration that holds then."""
    before = http.get(f"/devices/{device}").json()["calibration"]
    made = http.post(f"/devices/{device}/calibrate", json={"message": "a test"})
    assert made.status_code == 201, made.text
    for _ in range(2000):
        job = http.get(f"/jobs/{made.json()['id']}").json()
        if job["state"] in ("completed", "failed", "cancelled"):
            break
    assert job["state"] == "completed", job
    after = http.get(f"/devices/{device}").json()["calibration"]
    assert after != before
    return str(after)


def circuit() -> QuantumCircuit:
    made = QuantumCircuit(1)
    made.x(0)
    made.measure_all()
    return made


def test_a_devices_state_goes_to_the_own_api_and_comes_back(
    operator: httpx.Client, user: httpx.Client
) -> None:
    for verb, name in (("pause", "paused"), ("drain", "draining"), ("maintain", "maintenance")):
        body = {"message": "warm-up", "until": "+2h"}
        found = operator.post(f"/devices/bench/{verb}", json=body).json()
        assert (found["state"], found["state_message"], found["state_by"]) == (name, "warm-up", "operator")
        until = datetime.fromisoformat(found["state_until"]) - datetime.fromisoformat(found["state_since"])
        assert timedelta(hours=1, minutes=59) < until <= timedelta(hours=2)
        assert user.get("/devices/bench").json() == found | {"environment": None}  # operators' to see
    assert operator.post("/devices/bench/resume").json()["state"] == "online"
    assert "operator" in complaint(user.post("/devices/bench/pause"), 403)
    assert "until is 'soon'" in complaint(operator.post("/devices/bench/pause", json={"until": "soon"}), 400)
    complaint(operator.post("/devices/nope/pause"), 404)


def test_the_client_sees_a_paused_device_as_not_operational_and_its_jobs_wait(
    operator: httpx.Client, service: QiskitRuntimeService
) -> None:
    backend = service.backend("bench")
    operator.post("/devices/bench/maintain", json={"message": "new pump"})
    try:
        status = backend.status()
        assert (status.operational, status.status_msg) == (False, "maintenance: new pump")
        assert service.least_busy().name == "ibm_manila"
        with warnings.catch_warnings():
            warnings.simplefilter("error", UserWarning)
            job = SamplerV2(backend).run([circuit()], shots=10)
        assert job.status() == "QUEUED"
    finally:
        operator.post("/devices/bench/resume")
    assert job.result()[0].data.meas.num_shots == 10
    assert backend.status().operational
    assert backend.status().status_msg == "active"


def test_the_status_on_the_wire_says_why_and_until_when(
    operator: httpx.Client, service: QiskitRuntimeService
) -> None:
    backend = service.backend("bench")
    body = {"message": "new pump", "until": "2034-11-24T18:00"}
    for verb, name in (("pause", "paused"), ("drain", "draining"), ("maintain", "maintenance")):
        operator.post(f"/devices/bench/{verb}", json=body)
        said = f"{name}: new pump (expected until 2034-11-24 18:00:00 UTC)"
        assert backend.status().status_msg == said
        assert operator.get("/devices/bench").json()["message"] == said
    operator.post("/devices/bench/resume")
    assert backend.status().status_msg == "active"


def test_r56_a_private_result_that_was_read_is_none_and_the_job_says_why(
    service: QiskitRuntimeService,
) -> None:
    sampler = SamplerV2(service.backend("bench"))
    sampler.options.environment.private = True
    job = sampler.run([circuit()], shots=10)
    assert job.result()[0].data.meas.num_shots == 10
    assert job.result() is None
    assert service.job(job.job_id()).result() is None
    (why,) = job.metrics()["warnings"]
    assert "read at" in why
    assert "given once (R56)" in why
    assert job.status() == "DONE"
    assert job.error_message() is None


@pytest.mark.parametrize("length", ["1h", "900.3s", "905.7s", "1234.567s"])
def test_a_reservation_can_begin_where_another_is_said_to_end(operator: httpx.Client, length: str) -> None:
    made = []
    start = (datetime.now(UTC) + timedelta(hours=1, microseconds=123457)).isoformat()
    for _ in range(5):
        booking = {"device": "bench", "start": start, "duration": length}
        reply = operator.post("/reservations", json=booking)
        assert reply.status_code == 201, reply.text
        made.append(reply.json())
        start = made[-1]["end"]
    before = {"device": "bench", "start": "+10m", "end": made[0]["start"]}
    made.append(operator.post("/reservations", json=before).json())
    assert made[-1]["end"] == made[0]["start"]
    for booked in made:
        operator.post(f"/reservations/{booked['id']}/cancel")


@pytest.mark.parametrize("mode", ["dedicated", "priority"])
def test_a_reservation_from_now_on_is_open_when_it_is_answered(operator: httpx.Client, mode: str) -> None:
    made = operator.post("/reservations", json={"device": "bench", "duration": "1h", "mode": mode}).json()
    assert made["state"] == "open"
    operator.post(f"/reservations/{made['id']}/cancel")


def test_a_body_of_another_type_is_told_what_to_send(operator: httpx.Client) -> None:
    reply = operator.post("/devices/bench/pause", content='{"message": "x"}')
    assert "Content-Type: application/json" in complaint(reply, 400)


def test_the_client_warns_and_is_refused_while_a_device_is_drained(
    operator: httpx.Client, service: QiskitRuntimeService
) -> None:
    backend = service.backend("bench")
    operator.post("/devices/bench/drain", json={"message": "moving out"})
    try:
        with (
            pytest.warns(UserWarning, match="draining: moving out"),
            pytest.raises(IBMRuntimeError, match="moving out"),
        ):
            SamplerV2(backend).run([circuit()], shots=10)
        assert service.least_busy().name == "ibm_manila"
    finally:
        operator.post("/devices/bench/resume")


def test_the_client_asks_for_properties_at_a_time_and_for_a_calibration(
    operator: httpx.Client, service: QiskitRuntimeService
) -> None:
    backend = service.backend("ibm_manila")
    first = backend.properties()
    before = datetime.now(UTC)
    name = calibrate(operator, "ibm_manila")
    present = backend.properties(refresh=True)
    assert present.t1(0) != first.t1(0)
    assert present.last_update_date >= before - timedelta(seconds=2)
    for at in (before, datetime(2020, 1, 1, tzinfo=UTC)):
        assert backend.properties(datetime=at).to_dict() == first.to_dict()
    assert backend.properties(datetime=datetime.now(UTC)).to_dict() == present.to_dict()
    old = service.backend("ibm_manila", calibration_id="cal-1")
    assert old.properties().t1(0) == first.t1(0)
    new = service.backend("ibm_manila", calibration_id=name)
    assert new.properties().t1(0) == present.t1(0)
    with pytest.raises(IBMRuntimeError, match=f"present one, .*{name}"):
        SamplerV2(old).run([circuit()], shots=10)
    assert SamplerV2(new).run([circuit()], shots=10).result()[0].data.meas.num_shots == 10
    listed = operator.get("/devices/ibm_manila/calibrations").json()["calibrations"]
    assert [c["present"] for c in listed] == [True] + [False] * (len(listed) - 1)
    assert listed[-1]["id"] == "cal-1"
    assert listed[-1]["job"] is None


def test_unknown_calibrations_are_refused_naming_those_that_exist(
    server: Embedded, user: httpx.Client
) -> None:
    assert user.get("/devices/bench").json()["calibration"] == "cal-1"
    for what in ("configuration", "properties"):
        reply = user.get(f"{server.url}/api/v1/backends/bench/{what}?calibration_id=cal-77")
        assert "'cal-1'" in complaint(reply, 404)


def test_a_device_with_a_schedule_says_when_it_is_calibrated_next(user: httpx.Client) -> None:
    found = datetime.fromisoformat(user.get("/devices/ibm_manila").json()["next_calibration"])
    assert (found.month, found.day, found.hour, found.minute) == (1, 1, 4, 0)
    assert found > datetime.now(UTC)
    assert user.get("/devices/bench").json()["next_calibration"] is None


def test_system_jobs_are_for_operators_to_see(operator: httpx.Client, user: httpx.Client) -> None:
    calibrate(operator, "bench")
    assert "calibrate" in {job["program"] for job in operator.get("/jobs").json()["jobs"]}
    assert "calibrate" not in {job["program"] for job in user.get("/jobs").json()["jobs"]}


def test_a_check_is_queued_and_its_report_is_listed(operator: httpx.Client, user: httpx.Client) -> None:
    complaint(user.post("/devices/bench/check"), 403)
    complaint(user.get("/devices/bench/checks"), 403)
    complaint(operator.post("/devices/nope/check"), 404)
    assert operator.get("/devices/bench/checks").json() == {"device": "bench", "checks": []}
    made = operator.post("/devices/bench/check", json={"message": "a test"})
    assert made.status_code == 201, made.text
    job = made.json()["id"]
    while operator.get(f"/jobs/{job}").json()["state"] not in ("completed", "failed"):
        time.sleep(0.05)
    (found,) = operator.get("/devices/bench/checks").json()["checks"]
    assert (found["job"], found["state"], found["passed"]) == (job, "completed", True)
    assert found["summary"].startswith("conforms (")
    names = {check["name"]: check["passed"] for check in found["checks"]}
    assert names["X"] is True
    assert names["seeds"] is None, "its results are made up"
    assert user.get("/devices/bench").json()["check_summary"] == found["summary"]


def test_a_reservation_is_booked_shown_and_cancelled(operator: httpx.Client, user: httpx.Client) -> None:
    wanted: dict[str, Any] = {"device": "bench", "project": "operators", "start": "+1h", "duration": "2h"}
    made = operator.post("/reservations", json=wanted)
    assert made.status_code == 201, made.text
    found = made.json()
    length = datetime.fromisoformat(found["end"]) - datetime.fromisoformat(found["start"])
    assert length == timedelta(hours=2)
    assert found["start"].endswith("Z")
    assert operator.get(f"/reservations/{found['id']}").json() == found
    assert operator.get("/reservations?device=bench").json()["reservations"] == [found]
    (busy,) = user.get("/reservations").json()["reservations"]
    assert busy == found | {"id": None, "project": None, "user": None, "after_window": None}
    complaint(user.get(f"/reservations/{found['id']}"), 404)
    reply = operator.post("/reservations", json=wanted)
    assert "cannot overlap" in complaint(reply, 400)
    assert reply.json()["error"]["code"] == 1223
    dry = operator.post("/reservations?dry_run=true", json=wanted)
    assert dry.status_code == 200, dry.text
    plan = dry.json()
    assert plan["conflicts"] == [found]
    assert "cannot overlap" in plan["refused"]
    assert [(each["of"], each["device"], each["binds"]) for each in plan["allowances"]] == [
        ("project", None, False),
        ("user", None, False),
        ("project", "bench", True),
    ]
    assert [each["left"] is None for each in plan["allowances"]] == [False, False, True]
    complaint(user.post("/reservations?dry_run=true", json=wanted), 403)
    complaint(operator.post("/reservations?dry_run=true", json={"device": "bench"}), 400)
    complaint(operator.post("/reservations?dry_run=perhaps", json=wanted), 400)
    later = wanted | {"start": "+9h"}
    assert "'dryrun'" in complaint(operator.post("/reservations?dryrun=true", json=later), 400)
    complaint(user.post("/reservations", json=wanted), 403)
    assert "end" in complaint(operator.post("/reservations", json={"device": "bench"}), 400)
    complaint(operator.post("/reservations", json=wanted | {"mode": "mine"}), 400)
    complaint(operator.post("/reservations", json=wanted | {"start": "yesterday"}), 400)
    assert operator.post(f"/reservations/{found['id']}/cancel").json()["state"] == "cancelled"
    complaint(operator.post(f"/reservations/{found['id']}/cancel"), 409)
    assert user.get("/reservations").json()["reservations"] == []
    assert operator.get("/reservations?ended=true").json()["reservations"][0]["state"] == "cancelled"
