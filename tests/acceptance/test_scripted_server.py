"""The server for tests, as a program with Qiskit's client meets it: time that is moved on, and every fault.

The whole kind: each argument of `faults`, alone and where two meet; jobs by themselves and in sessions; a
fault that is lifted, and one that is left over; what one test leaves, and another must not find.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
import requests
from qiskit import QuantumCircuit
from qiskit_ibm_runtime import Batch, QiskitRuntimeService, SamplerV2, Session
from qiskit_ibm_runtime.exceptions import (
    IBMNotAuthorizedError,
    IBMRuntimeError,
    RuntimeInvalidStateError,
    RuntimeJobFailureError,
    RuntimeJobMaxTimeoutError,
)

from sojourn.embedded import Embedded
from sojourn.pytest_plugin import DEVICES
from sojourn.testing import ScriptedServer, ScriptError, Sojourn


@pytest.fixture(scope="module")
def server() -> Iterator[ScriptedServer]:
    with ScriptedServer(devices=DEVICES) as running:
        yield running


@pytest.fixture
def sojourn(server: ScriptedServer) -> Iterator[Sojourn]:
    found = Sojourn(server)
    yield found
    found.reset()


@pytest.fixture
def service(sojourn: Sojourn) -> QiskitRuntimeService:
    return sojourn.service()


CIRCUIT = QuantumCircuit(1)
CIRCUIT.measure_all()


def submit(mode: Any) -> Any:
    return SamplerV2(mode=mode).run([CIRCUIT], shots=7)


def shots(job: Any) -> int:
    found: int = job.result()[0].data.meas.num_shots
    return found


def state(sojourn: Sojourn, job: Any) -> str:
    return str(sojourn.get(f"/jobs/{job.job_id()}")["state"])


def mine(sojourn: Sojourn) -> int:
    """How many jobs the test's user has."""
    assert sojourn.key is not None
    return [job["user"] for job in sojourn.get("/jobs", limit=200)["jobs"]].count(sojourn.key.name)


# time


@pytest.mark.parametrize("mode", [Session, Batch])
def test_a_session_times_out_now(sojourn: Sojourn, service: QiskitRuntimeService, mode: type) -> None:
    session = mode(backend=service.backend("mock"))
    assert shots(submit(session)) == 7
    assert session.status() == "In progress, accepting new jobs"
    sojourn.advance("4min")
    assert session.status() == "In progress, accepting new jobs"
    sojourn.advance(timedelta(minutes=1))
    assert session.status() == "Pending"
    assert shots(submit(session)) == 7  # it has the device again
    assert session.status() == "In progress, accepting new jobs"
    sojourn.advance("8h")
    assert session.status() == "Closed"
    with pytest.raises(IBMRuntimeError, match="1217"):
        submit(session)


def test_the_time_is_the_servers_in_every_answer(sojourn: Sojourn, service: QiskitRuntimeService) -> None:
    first = submit(service.backend("mock"))
    assert shots(first) == 7
    before = sojourn.now
    after = sojourn.advance("1h")
    assert 0 <= (after - before).total_seconds() - 3600 < 60
    second = submit(service.backend("mock"))
    assert shots(second) == 7
    assert (second.creation_date - first.creation_date).total_seconds() >= 3600
    assert second.metrics()["usage"]["quantum_seconds"] < 60


def test_a_month_passes_at_once_and_more_is_refused(sojourn: Sojourn, service: QiskitRuntimeService) -> None:
    sojourn.advance("30d")
    assert shots(submit(service.backend("mock"))) == 7  # the client's token has not aged
    with pytest.raises(ScriptError, match="at most 30 days at once"):
        sojourn.advance("31d")
    with pytest.raises(ValueError, match="the time to pass is 'tomorrow'"):
        sojourn.advance("tomorrow")


def test_a_ttl_may_be_milliseconds() -> None:
    with ScriptedServer(devices=DEVICES[:1], policy={"interactive_ttl": 0.05, "max_time": 3}) as server:
        session = Session(backend=Sojourn(server).service().backend("mock"))
        assert shots(submit(session)) == 7
        seen = {session.status()}
        while "Closed" not in seen:  # by itself
            seen.add(session.status())
        assert "Pending" in seen


def test_the_time_may_begin_in_the_past_and_is_moved_on_to_now() -> None:
    server = ScriptedServer(devices=DEVICES[:1])
    server.ago = 86_400.0
    with server:
        sojourn = Sojourn(server)
        assert timedelta(hours=23) < datetime.now(UTC) - sojourn.now < timedelta(hours=25)
        job = submit(sojourn.service().backend("mock"))
        assert shots(job) == 7
        sojourn.advance("1d")
        assert abs(datetime.now(UTC) - sojourn.now) < timedelta(minutes=10)
        created = datetime.fromisoformat(sojourn.get(f"/jobs/{job.job_id()}")["created"])
        assert datetime.now(UTC) - created > timedelta(hours=23)


# jobs


def test_the_next_jobs_end_as_they_are_told_to(sojourn: Sojourn, service: QiskitRuntimeService) -> None:
    backend = service.backend("mock")
    warm = {"status": "failed", "reason": "the fridge is warm", "code": 8100}
    faults = sojourn.faults(next_jobs=["failed", None, warm, "cancelled", "completed"])
    assert faults.left["next_jobs"] == 5
    failed = submit(backend)
    with pytest.raises(RuntimeJobFailureError, match="The test asked for this failure"):
        failed.result()
    assert failed.status() == "ERROR"
    assert shots(submit(backend)) == 7
    with pytest.raises(RuntimeJobFailureError, match="the fridge is warm"):
        submit(backend).result()
    cancelled = submit(backend)
    with pytest.raises(RuntimeInvalidStateError):
        cancelled.result()
    assert cancelled.status() == "CANCELLED"
    assert shots(submit(backend)) == 7
    assert shots(submit(backend)) == 7  # the script is over
    assert faults.left["next_jobs"] == 0


def test_a_job_runs_too_long_at_its_own_limit(sojourn: Sojourn, service: QiskitRuntimeService) -> None:
    sojourn.faults(next_jobs=["ran_too_long"])
    sampler = SamplerV2(mode=service.backend("mock"))
    sampler.options.max_execution_time = 120
    before = sojourn.now
    job = sampler.run([CIRCUIT], shots=7)
    with pytest.raises(RuntimeJobMaxTimeoutError):
        job.result()
    seen = sojourn.get(f"/jobs/{job.job_id()}")
    assert (seen["state"], seen["reason_code"]) == ("cancelled", 1305)
    assert 120 <= seen["quantum_seconds"] < 130  # and it is charged
    assert (sojourn.now - before).total_seconds() >= 120


def test_a_job_whose_worker_dies_is_run_again_and_fails(
    sojourn: Sojourn, service: QiskitRuntimeService
) -> None:
    sojourn.faults(next_jobs=["crashed"])
    job = submit(service.backend("mock"))
    with pytest.raises(RuntimeJobFailureError, match="worker"):
        job.result()
    seen = sojourn.get(f"/jobs/{job.job_id()}")
    assert (seen["reason_code"], seen["attempt"]) == (9702, 2)
    assert shots(submit(service.backend("mock"))) == 7


def test_a_job_runs_for_as_long_as_the_test_wants(sojourn: Sojourn, service: QiskitRuntimeService) -> None:
    sojourn.faults(next_jobs=[{"seconds": "10min", "device": "mock"}])
    assert shots(submit(service.backend("noisy"))) == 7  # it is not for this device
    job, behind = submit(service.backend("mock")), submit(service.backend("mock"))
    while state(sojourn, job) != "running":
        pass
    sojourn.advance("9min")
    assert job.status() == "RUNNING"
    assert behind.status() == "QUEUED"
    sojourn.advance("1min")
    assert shots(job) == shots(behind) == 7
    assert 600 <= sojourn.get(f"/jobs/{job.job_id()}")["quantum_seconds"] < 660


def test_a_job_that_was_to_run_long_can_be_cancelled(sojourn: Sojourn, service: QiskitRuntimeService) -> None:
    sojourn.faults(next_jobs=[{"seconds": "10min"}])
    job = submit(service.backend("mock"))
    while state(sojourn, job) != "running":
        pass
    job.cancel()
    assert job.status() == "CANCELLED"
    assert shots(submit(service.backend("mock"))) == 7


# queue, device, usage, keys


def test_a_job_waits_behind_those_of_others(sojourn: Sojourn, service: QiskitRuntimeService) -> None:
    sojourn.faults(queue_delay="1h")
    jobs = [submit(service.backend(name)) for name in ("mock", "noisy")]
    sojourn.advance("59min")
    assert [job.status() for job in jobs] == ["QUEUED", "QUEUED"]
    assert all(job.metrics()["position_in_queue"] >= 1 for job in jobs)
    sojourn.advance("1min")
    assert [shots(job) for job in jobs] == [7, 7]


def test_a_session_that_has_the_device_knows_no_delay(
    sojourn: Sojourn, service: QiskitRuntimeService
) -> None:
    session = Session(backend=service.backend("mock"))
    assert shots(submit(session)) == 7
    with pytest.raises(ScriptError, match=r"queue_delay is not possible on mock now: .*session"):
        sojourn.faults(queue_delay="1h")
    assert shots(submit(session)) == 7


def test_a_device_is_what_the_test_says(sojourn: Sojourn, service: QiskitRuntimeService) -> None:
    backend = service.backend("mock")
    with sojourn.faults(device="offline"):
        assert not backend.status().operational
        assert service.backends(operational=True) == []
        job = submit(backend)
        assert job.status() == "QUEUED"
    assert backend.status().operational
    assert shots(job) == 7
    sojourn.faults(device={"mock": "draining"})
    with pytest.raises(IBMRuntimeError, match="1224"):
        submit(backend)
    assert shots(submit(service.backend("noisy"))) == 7


def test_a_project_has_used_up_what_it_may(sojourn: Sojourn, service: QiskitRuntimeService) -> None:
    with sojourn.faults(usage_limit=0):
        assert service.usage()["usage_limit_reached"] is True
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            job = submit(service.backend("mock"))
        assert job.status() == "QUEUED"
    assert service.usage()["usage_limit_reached"] is False
    assert shots(job) == 7


def test_a_key_is_revoked_and_a_new_client_has_a_new_one(
    sojourn: Sojourn, service: QiskitRuntimeService
) -> None:
    backend = service.backend("mock")
    sojourn.faults(reject_tokens=True)
    with pytest.raises(IBMNotAuthorizedError):
        backend.status()
    assert shots(submit(sojourn.service().backend("mock"))) == 7


# HTTP


def test_the_client_repeats_what_a_busy_server_refuses(
    sojourn: Sojourn, service: QiskitRuntimeService
) -> None:
    backend = service.backend("mock")
    faults = sojourn.faults(http=[503, {"status": 503, "method": "POST", "path": "/jobs"}])
    job = submit(backend)
    assert shots(job) == 7
    assert faults.left["http"] == 0
    assert mine(sojourn) == 1


def test_a_refusal_reaches_the_program_in_the_words_of_the_test(
    sojourn: Sojourn, service: QiskitRuntimeService
) -> None:
    backend = service.backend("mock")
    sojourn.faults(
        http={"status": 422, "method": "POST", "path": "/jobs", "message": "No more qubits today."}
    )
    with pytest.raises(IBMRuntimeError, match="No more qubits today"):
        submit(backend)
    assert mine(sojourn) == 0
    assert shots(submit(backend)) == 7


def test_a_submit_whose_connection_is_cut_made_no_job(
    sojourn: Sojourn, service: QiskitRuntimeService
) -> None:
    backend = service.backend("mock")
    sojourn.faults(http={"cut": "cut", "method": "POST", "path": "/jobs"})
    with pytest.raises((IBMRuntimeError, requests.exceptions.ConnectionError)):
        submit(backend)
    assert mine(sojourn) == 0
    assert shots(submit(backend)) == 7


def test_a_submit_whose_reply_is_lost_made_one_job_and_its_repetition_is_that_one(
    sojourn: Sojourn, service: QiskitRuntimeService
) -> None:
    backend = service.backend("mock")
    sojourn.faults(http={"cut": "cut_reply", "method": "POST", "path": "/jobs"})
    with pytest.raises((IBMRuntimeError, requests.exceptions.ConnectionError)):
        submit(backend)
    assert mine(sojourn) == 1
    job = submit(backend)
    assert shots(job) == 7
    assert mine(sojourn) == 1


@pytest.mark.parametrize("cut", ["cut", "cut_reply"])
def test_the_client_repeats_a_question_whose_connection_is_cut(
    sojourn: Sojourn, service: QiskitRuntimeService, cut: str
) -> None:
    job = submit(service.backend("mock"))
    faults = sojourn.faults(http=[{"cut": cut, "path": "/jobs/*", "times": 2}])
    assert shots(job) == 7
    assert faults.left["http"] == 0


def test_only_the_clients_dialect_is_answered_by_the_script(sojourn: Sojourn) -> None:
    faults = sojourn.faults(http=[503])
    service = sojourn.service()
    assert faults.left["http"] == 0  # the list of devices, which the client has repeated
    sojourn.faults(http=[503])
    assert httpx.get(f"{sojourn.url}/readyz").status_code == 200
    assert sojourn.devices == ["mock", "noisy"]
    assert sojourn.left()["http"] == 1
    assert service.backend("mock").name == "mock"


# calibrations


def test_a_device_is_calibrated_between_two_jobs_of_a_session(
    sojourn: Sojourn, service: QiskitRuntimeService
) -> None:
    faults = sojourn.faults(calibration_during_session=True)
    assert shots(submit(service.backend("noisy"))) == 7  # no job of a session
    before = sojourn.get("/devices/noisy")["calibration"]
    session = Session(backend=service.backend("noisy"))
    assert shots(submit(session)) == 7
    assert shots(submit(session)) == 7
    assert session.status() == "In progress, accepting new jobs"
    assert sojourn.get("/devices/noisy")["calibration"] != before
    assert faults.left["calibration_during_session"] == 0


# one test after another


def test_what_a_test_leaves_is_gone_in_the_next_one(server: ScriptedServer) -> None:
    first = Sojourn(server)
    service = first.service()
    first.faults(next_jobs=[{"seconds": "1h"}] + ["failed"] * 3, http=[{"status": 500, "path": "/jobs/x"}])
    session = Session(backend=service.backend("mock"))
    job = submit(session)
    waits = submit(service.backend("mock"))
    first.faults(device={"noisy": "paused"}, usage_limit=0)
    first.reset()
    assert {state(first, each) for each in (job, waits)} <= {"cancelled", "failed"}
    assert session.status() == "Closed"
    second = Sojourn(server)
    assert second.left() == {"next_jobs": 0, "http": 0, "calibration_during_session": 0}
    assert shots(submit(second.service().backend("mock"))) == 7
    assert shots(submit(second.service().backend("noisy"))) == 7
    assert second.key is not None
    assert second.key.project != first._project
    second.reset()


def test_a_fault_that_cannot_be_changes_nothing(sojourn: Sojourn, service: QiskitRuntimeService) -> None:
    with pytest.raises(ValueError, match=r"http\[0\]: status is 200"):
        sojourn.faults(device="offline", usage_limit=0, next_jobs="failed", http=200, reject_tokens=True)
    assert shots(submit(service.backend("mock"))) == 7


# and elsewhere


def test_a_server_in_production_has_nothing_of_it() -> None:
    """No module of it is loaded there, no path answers, and no option of `sojourn serve` changes that."""
    with Embedded(devices=[DEVICES[0]]) as server, httpx.Client(base_url=server.url) as http:
        operator = {"authorization": f"Bearer {server.operator_key}"}
        paths = http.get("/sojourn/v1/openapi.json", headers=operator).json()["paths"]
        assert not [path for path in paths if "fault" in path or "clock" in path or "advance" in path]
        for path in ("/sojourn/v1/faults", "/sojourn/v1/advance", "/sojourn/testing", "/faults"):
            assert http.post(path, headers=operator, json={}).status_code == 404


def test_the_server_for_tests_takes_no_order_over_http(sojourn: Sojourn, server: ScriptedServer) -> None:
    operator = {"authorization": f"Bearer {server.operator_key}"}
    paths = httpx.get(f"{sojourn.url}/sojourn/v1/openapi.json", headers=operator).json()["paths"]
    with Embedded(devices=[DEVICES[0]]) as plain:
        same = httpx.get(f"{plain.url}/sojourn/v1/openapi.json").json()["paths"]
    assert paths == same


def test_a_server_that_has_stopped_takes_no_orders() -> None:
    server = ScriptedServer(devices=DEVICES[:1])
    with pytest.raises(ScriptError, match="not running"):
        server.order("now")
    with server:
        server.order("now")
    with pytest.raises(ScriptError, match="not running"):
        server.order("now")
