"""What goes over the wire in the client's dialect."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from sojourn.api.http.replies import begun, iso
from sojourn.api.ibm.backends import device_object, wants_objects
from sojourn.api.ibm.shapes import job_bytes, job_metrics, job_object, session_object
from sojourn.service.views import DeviceView, JobView, QueueFacts, SessionView, Span

AT = 1735787045.25


def job(**changes: Any) -> JobView:
    plain = JobView(
        id="j1",
        device="ibm_torino",
        user="ada",
        project="chem",
        program_id="sampler",
        state="queued",
        created=AT,
        limit=9999.5,
    )
    return replace(plain, **changes)


@pytest.mark.parametrize(
    ("state", "word"),
    [
        ("accepted", "Queued"),
        ("queued", "Queued"),
        ("running", "Running"),
        ("completed", "Completed"),
        ("failed", "Failed"),
        ("cancelled", "Cancelled"),
    ],
)
def test_r51_the_state_has_the_word_that_clients_know(state: str, word: str) -> None:
    found = job_object(job(state=state))
    assert found["state"]["status"] == word
    assert found["status"] == word


@pytest.mark.parametrize("state", ["failed", "cancelled"])
def test_r52_ran_too_long_is_cancelled_with_code_1305(state: str) -> None:
    found = job_object(job(state=state, reason="Ran 11 s; the limit was 10 s.", reason_code=1305))
    assert found["state"] == {
        "status": "Cancelled",
        "reason": "Ran 11 s; the limit was 10 s.",
        "reason_code": 1305,
    }
    assert found["status"] == "Cancelled - Ran too long"


def test_a_job_has_every_field_that_a_strict_client_insists_on() -> None:
    found = json.loads(job_bytes(job()))
    assert found["program"] == {"id": "sampler"}
    assert found["created"] == "2025-01-02T03:04:05.250000Z"
    assert found["cost"] == 10_000
    assert "reason" not in found["state"]
    assert json.loads(job_bytes(job(cost=300)))["cost"] == 300


def test_params_come_back_byte_for_byte() -> None:
    params = '{ "b":1.0e0,  "a":[NaN0x], "ü":"\\u00fc" }'.replace("NaN0x", "1E5").encode()
    text = job_bytes(job(), params)
    assert params in text
    assert json.loads(text)["params"] == json.loads(params)


def test_usage_is_pending_until_the_job_is_final() -> None:
    running = job_metrics(job(state="running", started=AT))
    assert running["usage"]["status"] == "pending"
    done = job_metrics(job(state="completed", started=AT, finished=AT + 2, quantum_seconds=1.5))
    assert done["usage"]["status"] != "pending"
    assert done["usage"]["qpu_charge_time_seconds"] == done["usage"]["quantum_seconds"] == 1.5
    assert done["timestamps"]["running"] == iso(AT)


def session(**changes: Any) -> SessionView:
    plain = SessionView(
        id="s1",
        device="ibm_torino",
        mode="batch",
        user="ada",
        project="chem",
        state="open",
        accepting_jobs=True,
        created=AT,
        max_time=600.0,
        interactive_ttl=300.0,
        active_ttl=599.9,
        timestamps=(("open", AT),),
    )
    return replace(plain, **changes)


def test_the_times_of_a_session_are_integers_as_strict_clients_want_them() -> None:
    text = json.dumps(session_object(session()))
    found = json.loads(text)
    assert (found["max_ttl"], found["interactive_ttl"], found["active_ttl"]) == (600, 300, 599)
    assert all(isinstance(found[name], int) for name in ("max_ttl", "interactive_ttl", "active_ttl"))
    assert found["timestamps"] == [{"status": "open", "timestamp": "2025-01-02T03:04:05.250000Z"}]
    assert found["started_at"] is None
    assert found["backend_name"] == "ibm_torino"


@pytest.mark.parametrize(
    ("version", "objects"),
    [(None, False), ("2024-01-01", False), ("2025-01-01", True), ("2025-05-01", True), ("2026-04-15", True)],
)
def test_the_list_of_devices_has_the_shape_that_the_client_can_read(
    version: str | None, objects: bool
) -> None:
    assert wants_objects(version) is objects


def test_a_mock_device_is_marked_so_that_the_client_hides_it() -> None:
    view = DeviceView(
        "mock_torino", "mock", 127, True, "active", 3, False, None, False, None, True, "1", "ready"
    )
    found = device_object(view)
    assert found["class"] == "mock"
    assert found["status"]["name"] == "online"
    assert found["queue_length"] == 3


def test_the_limits_of_a_session_are_integers_also_where_the_settings_are_not() -> None:
    found = session_object(session(max_time=2.5, interactive_ttl=0.5, active_ttl=1.9))
    assert (found["max_ttl"], found["interactive_ttl"], found["active_ttl"]) == (3, 1, 1)
    assert all(isinstance(found[name], int) for name in ("max_ttl", "interactive_ttl", "active_ttl"))


@pytest.mark.parametrize(
    ("seconds", "whole"),
    [(0, 0), (1e-9, 0), (0.001, 1), (1, 1), (1.000001, 2), (0.1 + 0.2 + 0.7, 1), (9.5, 10)],
)
def test_a_second_that_has_begun_counts_and_the_dust_of_a_sum_does_not(seconds: float, whole: int) -> None:
    assert begun(seconds) == whole
    assert isinstance(begun(seconds), int)


@pytest.mark.parametrize(
    ("caller", "version"),
    [
        ("qiskit-version-2/qiskit_ibm_runtime-0.51.0,qiskit-2.6.2*,qiskit_aer-0.18.2/qiskit", "2.6.2"),
        ("qiskit-version-2/qiskit_ibm_runtime-0.51.0,qiskit_aer-0.18.2*,qiskit-1.4.0rc1/x/mine", "1.4.0rc1"),
        ("qiskit-version-2/qiskit_ibm_runtime-0.12.2,qiskit_terra-0.45.3*/qiskit", "0.45.3"),
        ("qiskit-version-2/qiskit_ibm_runtime-0.51.0,qiskit-2.6.0.dev0+ab12/qiskit", "2.6.0.dev0+ab12"),
        ("qiskit-version-2/qiskit_ibm_runtime-0.51.0,qiskit_aer-0.18.2/qiskit", None),
        ("/qiskit", None),  # of a user who has opted out
        ("qrmi/0.26.4", None),
        ("", None),
        (None, None),
    ],
)
def test_the_metrics_have_the_version_of_qiskit_that_the_client_says_it_has(
    caller: str | None, version: str | None
) -> None:
    assert job_metrics(job(caller=caller))["qiskit_version"] == version


def test_the_metrics_have_the_numbers_of_one_forecast() -> None:
    span = Span(AT + 60.0, AT + 30.0, AT + 90.0)
    queue = QueueFacts(AT, 2, span, Span(AT + 70.0, AT + 40.0, None))
    found = job_metrics(job(position=5, queue=queue))
    assert (found["position_in_queue"], found["position_in_provider"]) == (2, 2)
    assert found["estimated_start_time"] == iso(AT + 60.0)
    assert found["estimated_completion_time"] == iso(AT + 70.0)
    exact = job_metrics(job(position=5, queue=queue, estimated_start=AT + 61.0))
    assert exact["estimated_start_time"] == iso(AT + 61.0)


def test_what_nobody_knows_is_null_in_the_metrics() -> None:
    for queue in (None, QueueFacts(AT, unknown="the device is paused by olga")):
        found = job_metrics(job(position=5, queue=queue))
        assert found["position_in_queue"] == 5
        assert (found["estimated_start_time"], found["estimated_completion_time"]) == (None, None)
