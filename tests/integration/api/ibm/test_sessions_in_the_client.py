"""What a user of the real client sees of sessions at their edges, on a server with short times."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from sojourn.embedded import Embedded


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Embedded]:
    devices: list[dict[str, Any]] = [
        {"name": "quick", "driver": "mock", "options": {"qubits": 5}, "interactive_ttl": 0.5},
        {"name": "busy", "driver": "mock", "options": {"qubits": 5, "seconds": 2.0}},
        {"name": "stuck", "driver": "mock", "options": {"qubits": 5, "seconds": 3600.0}},
    ]
    with Embedded(tmp_path_factory.mktemp("server"), devices=devices, wait="ready") as running:
        yield running


@pytest.fixture(scope="module")
def service(server: Embedded) -> Any:
    return server.service()


def circuit() -> Any:
    from qiskit import QuantumCircuit

    made = QuantumCircuit(2)
    made.measure_all()
    return made


def test_the_client_shows_a_closing_session_as_in_progress(service: Any) -> None:
    from qiskit_ibm_runtime import SamplerV2, Session

    session = Session(service.backend("busy"))
    assert session.status() == "Pending"
    one = SamplerV2(session).run([circuit()])
    two = SamplerV2(session).run([circuit()])
    while one.status() != "RUNNING":
        pass
    assert session.status() == "In progress, accepting new jobs"
    session.cancel()
    assert session.status() == "In progress, not accepting new jobs"
    assert session.details()["state"] == "pending_closed"
    assert two.status() == "ERROR"
    assert session.session_id in two.error_message()
    assert one.result() is not None  # R36
    assert session.status() == "Closed"
    assert session.usage() == pytest.approx(one.usage(), abs=0.01)


def test_r40_the_client_is_told_which_job_ended_the_session(service: Any) -> None:
    from qiskit_ibm_runtime import SamplerV2, Session
    from qiskit_ibm_runtime.exceptions import IBMRuntimeError, RuntimeJobFailureError

    session = Session(service.backend("stuck"))
    root = SamplerV2(session).run([circuit()])
    other = SamplerV2(session).run([circuit()])
    root.cancel()
    with pytest.raises(RuntimeJobFailureError, match=f"first job {root.job_id()} was cancelled"):
        other.result(timeout=30)
    with pytest.raises(IBMRuntimeError, match=root.job_id()):
        SamplerV2(session).run([circuit()])


def test_r23_the_client_sees_a_deactivated_session_as_pending_and_its_next_job_resumes_it(
    service: Any,
) -> None:
    from qiskit_ibm_runtime import SamplerV2, Session

    with Session(service.backend("quick"), max_time=600) as session:
        SamplerV2(session).run([circuit()]).result()
        while session.status() != "Pending":
            pass
        assert session.details()["state"] == "inactive"
        SamplerV2(session).run([circuit()]).result()
        assert session.status() == "In progress, accepting new jobs"
    assert session.status() == "Closed"
    details = session.details()
    assert details["usage_time"] == session.usage()


def test_usage_on_the_wire_is_the_ledgers(server: Embedded, service: Any) -> None:
    from qiskit_ibm_runtime import Batch, SamplerV2

    with Batch(service.backend("quick")) as batch:
        jobs = [SamplerV2(batch).run([circuit()]) for _ in range(3)]
        assert [job.result() is not None for job in jobs] == [True] * 3
    own = server.get(f"/sessions/{batch.session_id}")
    assert own["state"] == "closed"
    assert own["elapsed"] == pytest.approx(batch.usage())
    assert batch.usage() >= sum(job.usage() for job in jobs) - 1e-6
    assert json.dumps(own)
