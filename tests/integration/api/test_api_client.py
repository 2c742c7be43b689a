"""The real client against a real server: ways A and D, a wrong key, and every call of docs/api.md."""

from __future__ import annotations

import time
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

import pytest
from qiskit import QuantumCircuit
from qiskit_ibm_runtime import Batch, QiskitRuntimeService, SamplerV2, Session
from qiskit_ibm_runtime.accounts import InvalidAccountError
from qiskit_ibm_runtime.exceptions import (
    IBMInputValueError,
    IBMNotAuthorizedError,
    IBMRuntimeError,
    RuntimeInvalidStateError,
    RuntimeJobMaxTimeoutError,
    RuntimeJobNotFound,
    RuntimeJobTimeoutError,
)

from tests.harness.api import Live, User

AT_ONCE = 5.0
"""Seconds; a client that was made to wait for its token manager waits 60."""


@pytest.fixture(autouse=True)
def clean(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    """No account and no setting of the machine has a part in this."""
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("CHANNEL", "INSTANCE", "TOKEN", "URL"):
        monkeypatch.delenv(f"QISKIT_IBM_{name}", raising=False)
    monkeypatch.delenv("QISKIT_FUNCTIONS_EXPERIMENTAL", raising=False)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")


def connect(
    monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], **more: Any
) -> QiskitRuntimeService:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    return QiskitRuntimeService(**more)


def circuit() -> QuantumCircuit:
    made = QuantumCircuit(2)
    made.x(0)
    made.measure_all()
    return made


def test_way_a_connects_with_five_variables(monkeypatch: pytest.MonkeyPatch, ada: User) -> None:
    service = connect(monkeypatch, ada.way_a())
    assert {backend.name for backend in service.backends()} == {"bench", "slow"}


def test_way_d_finds_instances_by_name(monkeypatch: pytest.MonkeyPatch, live: Live) -> None:
    user = live.user("dora", "left")
    live.user("dora", "right")
    service = connect(monkeypatch, user.way_d())
    assert [instance["name"] for instance in service.instances()] == ["left", "right"]
    assert QiskitRuntimeService(instance="right").active_instance() != user.crn
    assert QiskitRuntimeService(instance=user.crn).active_instance() == user.crn
    with pytest.raises(IBMInputValueError):
        QiskitRuntimeService(instance="neither")


def test_a_wrong_key_ends_in_not_authorized_at_once_in_way_a(
    monkeypatch: pytest.MonkeyPatch, ada: User
) -> None:
    start = time.monotonic()
    service = connect(monkeypatch, ada.way_a() | {"QISKIT_IBM_TOKEN": "wrong"})
    for call in (service.jobs, service.usage, lambda: service.job("x")):
        with pytest.raises(IBMNotAuthorizedError, match="API key"):
            call()
    assert service.backends() == []
    assert time.monotonic() - start < AT_ONCE


def test_a_wrong_key_stops_the_constructor_at_once_in_way_d(
    monkeypatch: pytest.MonkeyPatch, ada: User
) -> None:
    start = time.monotonic()
    with pytest.raises(InvalidAccountError, match="valid API token"):
        connect(monkeypatch, ada.way_d() | {"QISKIT_IBM_TOKEN": "wrong"})
    assert time.monotonic() - start < AT_ONCE


def test_a_revoked_key_ends_in_not_authorized_at_once(monkeypatch: pytest.MonkeyPatch, live: Live) -> None:
    user = live.user()
    service = connect(monkeypatch, user.way_a())
    backend = service.backend("bench")
    with live.operator() as operator:
        operator.post(f"/users/{user.name}/revoke")
    start = time.monotonic()
    with pytest.raises(IBMNotAuthorizedError):
        SamplerV2(backend).run([circuit()])
    assert time.monotonic() - start < AT_ONCE


def test_a_device_as_the_client_sees_it(monkeypatch: pytest.MonkeyPatch, ada: User) -> None:
    service = connect(monkeypatch, ada.way_a())
    backend = service.backend("bench")
    assert backend.num_qubits == backend.target.num_qubits == 5
    status = backend.status()
    assert status.operational
    assert status.status_msg == "active"
    assert service.least_busy().name in ("bench", "slow")
    backend.properties(datetime=datetime(2025, 1, 2, 3, 4, 5, tzinfo=UTC))
    assert service.backend("bench", calibration_id="cal-1").name == "bench"


def test_a_job_in_job_mode(monkeypatch: pytest.MonkeyPatch, ada: User) -> None:
    service = connect(monkeypatch, ada.way_a())
    sampler = SamplerV2(service.backend("bench"))
    sampler.options.environment.job_tags = ["one"]
    job = sampler.run([circuit()], shots=20)
    assert job.result()[0].data.meas.num_shots == 20
    assert job.status() == "DONE"
    assert job.logs() is not None
    assert job.metrics()["timestamps"]["finished"]
    assert job.usage() >= 0
    assert job.usage_estimation["quantum_seconds"] is not None
    assert job.inputs["pubs"][0][0].num_qubits == 2
    assert job.creation_date is not None
    job.update_tags(["two"])
    again = service.job(job.job_id())
    assert again.tags == ["two"]
    assert [found.job_id() for found in service.jobs(job_tags=["two"], limit=None)] == [job.job_id()]
    with pytest.raises(RuntimeInvalidStateError):
        job.cancel()
    service.delete_job(job.job_id())
    with pytest.raises(RuntimeJobNotFound):
        service.job(job.job_id())


def test_the_log_of_a_job_tells_its_steps_at_the_level_that_was_asked_for(
    monkeypatch: pytest.MonkeyPatch, ada: User
) -> None:
    service = connect(monkeypatch, ada.way_a())
    sampler = SamplerV2(service.backend("bench"))
    said = {}
    for level in ("DEBUG", "INFO", "WARNING"):
        sampler.options.environment.log_level = level
        job = sampler.run([circuit()], shots=7)
        job.result()
        said[level] = job.logs().splitlines()
    steps = [line.split(" INFO ")[1].split(":")[0] for line in said["INFO"] if " INFO " in line]
    assert steps == ["accepted", "queued", "running on bench", "completed"]
    assert [line for line in said["DEBUG"] if "prepared: 1 circuit, 2 qubits, 7 executions" in line]
    assert [line for line in said["INFO"] if line.startswith("INFO time: reading and checking ")]
    assert said["WARNING"] == []


def test_r53_a_cancelled_job(monkeypatch: pytest.MonkeyPatch, ada: User) -> None:
    service = connect(monkeypatch, ada.way_a())
    job = SamplerV2(service.backend("slow")).run([circuit()])
    job.cancel()
    assert job.wait_for_final_state(timeout=20) is None
    assert job.status() == "CANCELLED"


@pytest.mark.parametrize("mode", [Session, Batch])
def test_a_session_and_a_batch(monkeypatch: pytest.MonkeyPatch, ada: User, mode: Any) -> None:
    service = connect(monkeypatch, ada.way_a())
    backend = service.backend("bench")
    with mode(backend, max_time="10m") as session:
        assert session.status() == "Pending"
        for _ in range(3):
            SamplerV2(session).run([circuit()], shots=5).result()
        assert session.status() == "In progress, accepting new jobs"
        details = session.details()
        assert details["max_time"] == 600
        assert details["mode"] == ("batch" if mode is Batch else "dedicated")
        assert mode.from_id(session.session_id, service).session_id == session.session_id
    assert session.status() == "Closed"
    assert session.usage() >= 0
    assert len(service.jobs(session_id=session.session_id)) == 3


def test_r35_a_session_that_was_ended_elsewhere_takes_no_job(
    monkeypatch: pytest.MonkeyPatch, live: Live, ada: User
) -> None:
    service = connect(monkeypatch, ada.way_a())
    session = Session(service.backend("bench"))
    with live.operator() as operator:
        assert operator.post(f"/sessions/{session.session_id}/close").json()["state"] == "closed"
    with pytest.raises(IBMRuntimeError, match="1217"):
        SamplerV2(session).run([circuit()])


def test_r52_a_job_over_its_time_raises_the_clients_own_error(
    monkeypatch: pytest.MonkeyPatch, ada: User
) -> None:
    service = connect(monkeypatch, ada.way_a())
    sampler = SamplerV2(service.backend("slow"))
    sampler.options.max_execution_time = 1
    job = sampler.run([circuit()])
    with pytest.raises(RuntimeJobMaxTimeoutError):
        job.result(timeout=60)
    assert job.status() == "ERROR"


def test_a_wrong_circuit_shows_the_reason_to_the_user(monkeypatch: pytest.MonkeyPatch, ada: User) -> None:
    service = connect(monkeypatch, ada.way_a())
    with pytest.raises(IBMRuntimeError, match="no_such_option"):
        SamplerV2(service.backend("bench"), options={"experimental": {"no_such_option": 1}}).run([circuit()])


def test_pages_of_jobs_join_up_also_above_the_largest_page(
    monkeypatch: pytest.MonkeyPatch, live: Live
) -> None:
    service = connect(monkeypatch, live.user().way_a())
    sampler = SamplerV2(service.backend("bench"))
    ids = [sampler.run([circuit()], shots=1).job_id() for _ in range(23)]
    assert [job.job_id() for job in service.jobs(limit=None)] == ids[::-1]
    assert len(service.jobs(limit=1000)) == 23
    assert [job.job_id() for job in service.jobs(limit=5, skip=20, descending=False)] == ids[20:]


def asked(service: QiskitRuntimeService) -> list[str]:
    """Method and path of each request from now on, as the client sends them."""
    seen: list[str] = []

    def note(response: Any, *_: Any, **__: Any) -> None:
        seen.append(f"{response.request.method} {response.request.path_url.partition('/api/v1')[2]}")

    for client in service._get_api_clients().values():
        client._session.hooks["response"].append(note)
    return seen


@pytest.mark.parametrize("in_session", [False, True])
def test_a_short_job_costs_one_poll(monkeypatch: pytest.MonkeyPatch, ada: User, in_session: bool) -> None:
    service = connect(monkeypatch, ada.way_a())
    backend = service.backend("bench")
    seen = asked(service)
    session = Session(backend) if in_session else None
    sampler = SamplerV2(session or backend)
    for _ in range(3):
        sampler.run([circuit()], shots=5).result()
    if session is not None:
        session.close()
    polls = [request for request in seen if "exclude_params=true" in request]
    assert len(polls) == 3


@pytest.mark.parametrize("in_session", [False, True])
@pytest.mark.parametrize("waits_behind", [0, 2])
def test_a_time_out_does_not_wait_for_a_held_poll(
    monkeypatch: pytest.MonkeyPatch, live: Live, in_session: bool, waits_behind: int
) -> None:
    """The rule is tested in virtual time; here it is that the client's polls are taken for what they are."""
    service = connect(monkeypatch, live.user().way_a())
    backend = service.backend("slow")
    session = Session(backend) if in_session else None
    jobs = [SamplerV2(session or backend).run([circuit()]) for _ in range(waits_behind + 1)]
    seen = asked(service)
    for ask in (jobs[-1].result, jobs[-1].wait_for_final_state):
        start = time.monotonic()
        with pytest.raises(RuntimeJobTimeoutError):
            ask(timeout=0.6)
        assert time.monotonic() - start < 2.0  # with a poll held for two seconds it was 2.5
    assert len(seen) >= 4
    for job in jobs[::-1]:
        job.cancel()
    if session is not None:
        session.cancel()


@pytest.mark.parametrize("in_session", [False, True])
def test_a_progress_loop_gets_its_looks(
    monkeypatch: pytest.MonkeyPatch, live: Live, in_session: bool
) -> None:
    service = connect(monkeypatch, live.user().way_a())
    backend = service.backend("slow")
    session = Session(backend) if in_session else None
    job = SamplerV2(session or backend).run([circuit()])
    start = time.monotonic()
    for _ in range(5):
        assert not job.in_final_state()
        assert job.status() in ("QUEUED", "RUNNING")
        time.sleep(0.2)
    assert time.monotonic() - start < 4.0  # with every second poll held for two seconds it was 10
    job.cancel()
    if session is not None:
        session.cancel()


@pytest.mark.parametrize("shown", ["metrics", "logs"])
def test_a_loop_that_shows_more_than_the_state_is_not_held(
    monkeypatch: pytest.MonkeyPatch, live: Live, shown: str
) -> None:
    """Whatever it shows, and though its pause is the client's own."""
    service = connect(monkeypatch, live.user().way_a())
    job = SamplerV2(service.backend("slow")).run([circuit()])
    took = []
    for _ in range(8):
        start = time.monotonic()
        job.status()
        took.append(time.monotonic() - start)
        getattr(job, shown)()
        time.sleep(0.45)
    assert sorted(took[3:])[2] < 0.2  # held, each takes from a quarter of a second to half of one
    job.cancel()


def test_a_look_at_each_of_100_waiting_jobs_is_not_slowed(
    monkeypatch: pytest.MonkeyPatch, live: Live
) -> None:
    service = connect(monkeypatch, live.user().way_a())
    sampler = SamplerV2(service.backend("slow"))
    jobs = [sampler.run([circuit()], shots=1) for _ in range(100)]
    start = time.monotonic()
    states = [job.status() for job in jobs]
    took = time.monotonic() - start
    assert states.count("RUNNING") <= 1
    assert states.count("QUEUED") >= 99 - states.count("DONE")
    # Only the running job and the next one may be held, for a second each.
    assert took < 10
    for job in jobs[::-1]:
        with suppress(RuntimeInvalidStateError):  # it may have run
            job.cancel()
