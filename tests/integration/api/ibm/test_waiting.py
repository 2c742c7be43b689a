"""What the real client shows of a job that waits: `job.metrics()` has the reasons and what would help.

The whole kind: a job that is queued for a reason which its owner could not see, nor how to get around it.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from datetime import datetime
from typing import Any

import pytest
from qiskit import QuantumCircuit
from qiskit_ibm_runtime import QiskitRuntimeService, SamplerV2

from tests.harness.api import Live, User


@pytest.fixture
def service(monkeypatch: pytest.MonkeyPatch, tmp_path: Any, live: Live) -> QiskitRuntimeService:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    user = live.user()
    for name, value in user.way_a().items():
        monkeypatch.setenv(name, value)
    return QiskitRuntimeService()


@pytest.fixture
def window(live: Live, bob: User) -> Iterator[dict[str, Any]]:
    """Somebody else's reservation, in an hour."""
    with live.operator() as http:
        wanted = {"device": "bench", "project": bob.project, "start": "+1h", "duration": "1h"}
        made: dict[str, Any] = http.post("/reservations", json=wanted).json()
        try:
            yield made
        finally:
            http.post(f"/reservations/{made['id']}/cancel")


def circuit() -> QuantumCircuit:
    made = QuantumCircuit(1)
    made.x(0)
    made.measure_all()
    return made


def test_r46_a_job_that_waits_for_a_reservation_shows_its_owner_why_and_what_would_let_it_start(
    service: QiskitRuntimeService, window: dict[str, Any], live: Live
) -> None:
    sampler = SamplerV2(service.backend("bench"))
    waiting = sampler.run([circuit()], shots=10)
    metrics = waiting.metrics()
    (reason,) = metrics["waiting_reasons"]
    assert "limit of 10000 s (the default of its program, as it states no max_execution_time)" in reason
    (warning,) = metrics["warnings"]
    assert window["id"] in reason
    assert window["id"] in warning
    longest = int(reason.rpartition("at most ")[2].split()[0])
    assert 3500 < longest <= 3600
    assert metrics["position_in_queue"] == 0
    start = datetime.fromisoformat(metrics["estimated_start_time"])
    assert start == datetime.fromisoformat(window["end"])

    with live.operator() as http:
        found = http.get(f"/jobs/{waiting.job_id()}/why").json()
    (told,) = found["reasons"]
    facts = told["facts"]
    assert (told["kind"], facts["limit"], facts["source"]) == ("DoesNotFit", 10_000, "program")
    assert (facts["would_fit"], facts["estimate"]) == (int(facts["room"]), None)
    assert found["estimated_start"] == window["end"]
    command = [sys.executable, "-m", "sojourn", "jobs", "why", waiting.job_id(), "--data", str(live.data)]
    shown = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert "- with its limit of 10000 s (the default of its program, as it states no" in shown
    assert f"if nothing else happens it starts at {window['end']}" in shown

    sampler.options.max_execution_time = longest - 100
    short = sampler.run([circuit()], shots=10)
    short.result()
    done = short.metrics()
    assert (done["waiting_reasons"], done["warnings"], done["estimated_start_time"]) == ([], [], None)
    waiting.cancel()
    assert waiting.metrics()["waiting_reasons"] == []


def test_every_reason_to_wait_is_in_the_metrics(service: QiskitRuntimeService, live: Live) -> None:
    """As in `sojourn jobs why`, whatever the reason; when it starts is not known then."""
    with live.operator() as http:
        http.post("/devices/bench/pause", json={"message": "new helium"})
        try:
            job = SamplerV2(service.backend("bench")).run([circuit()], shots=10)
            metrics = job.metrics()
            assert metrics["waiting_reasons"] == ["the device is paused by operator: new helium"]
            assert metrics["estimated_start_time"] is None
        finally:
            http.post("/devices/bench/resume")
    job.result()
