"""Projects, limits and usage over HTTP, and as the real client meets them."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest
from qiskit import QuantumCircuit
from qiskit_ibm_runtime import Batch, QiskitRuntimeService, SamplerV2
from qiskit_ibm_runtime.exceptions import IBMRuntimeError

from tests.harness.api import Live, User, complaint, submit, wait


@pytest.fixture(autouse=True)
def clean(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No account and no setting of the machine has a part in this."""
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("CHANNEL", "INSTANCE", "TOKEN", "URL"):
        monkeypatch.delenv(f"QISKIT_IBM_{name}", raising=False)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")


def change(live: Live, project: str, **what: Any) -> dict[str, Any]:
    with live.operator() as operator:
        reply = operator.patch(f"/projects/{project}", json=what)
    assert reply.status_code == 200, reply.text
    made: dict[str, Any] = reply.json()
    return made


def circuit() -> QuantumCircuit:
    made = QuantumCircuit(2)
    made.measure_all()
    return made


def test_r50_the_real_client_is_told_3458_and_the_number(monkeypatch: pytest.MonkeyPatch, live: Live) -> None:
    user = live.user()
    change(live, user.project, limits={"pending_per_user": 2})
    for name, value in user.way_a().items():
        monkeypatch.setenv(name, value)
    sampler = SamplerV2(QiskitRuntimeService().backend("slow"))
    jobs = [sampler.run([circuit()]) for _ in range(2)]
    with pytest.raises(IBMRuntimeError, match=r"limit is 2 \(pending_per_user\)") as refusal:
        sampler.run([circuit()])
    assert "3458" in str(refusal.value)
    for job in jobs:
        job.cancel()
    sampler.run([circuit()]).cancel()


def test_r50_the_real_client_is_refused_a_session_too_many(
    monkeypatch: pytest.MonkeyPatch, live: Live
) -> None:
    user = live.user()
    change(live, user.project, limits={"sessions_per_user": 1})
    for name, value in user.way_a().items():
        monkeypatch.setenv(name, value)
    backend = QiskitRuntimeService().backend("bench")
    with Batch(backend=backend), pytest.raises(Exception, match="sessions_per_user"):
        Batch(backend=backend)


def test_r50_the_real_client_sees_its_allocation(monkeypatch: pytest.MonkeyPatch, live: Live) -> None:
    user = live.user()
    for name, value in user.way_a().items():
        monkeypatch.setenv(name, value)
    service = QiskitRuntimeService()
    assert "usage_limit_seconds" not in service.usage()
    change(live, user.project, allocation=50)
    found = service.usage()
    assert found["usage_limit_seconds"] == found["usage_allocation_seconds"] == 50
    assert found["usage_remaining_seconds"] == 50
    assert found["usage_limit_reached"] is False
    change(live, user.project, allocation=0)
    with user.http() as http:
        assert http.get("/instances/usage").json()["usage_limit_reached"] is True


def test_r50_a_job_over_the_allocation_is_accepted_with_a_warning_and_waits(
    live: Live, sampler_params: str
) -> None:
    user = live.user()
    change(live, user.project, allocation=0)
    with user.http() as http:
        reply = http.post(
            "/jobs", content=f'{{"program_id":"sampler","backend":"bench","params":{sampler_params}}}'
        )
        assert "allocation" in reply.json()["warnings"][0]
        job_id = reply.json()["id"]
        assert http.get(f"/jobs/{job_id}").json()["state"]["status"] == "Queued"
        session = http.post("/sessions", json={"mode": "batch", "backend": "bench"}).json()
        assert "allocation" in session["warnings"][0]
        change(live, user.project, allocation=None)
        assert wait(http, job_id)["state"]["status"] == "Completed"


def test_r50_over_the_rate_a_get_says_when_to_come_back(live: Live) -> None:
    user = live.user()
    change(live, user.project, limits={"request_rate": 0.5, "request_burst": 2})
    with user.http() as http:
        assert [http.get("/backends").status_code for _ in range(2)] == [200, 200]
        start = time.monotonic()
        assert http.get("/backends").status_code == 200  # held back
        assert time.monotonic() - start > 0.2
        change(live, user.project, limits={"request_rate": 0.05})
        refused = http.get("/backends")
        assert "0.05 requests per second" in complaint(refused, 429)
        assert int(refused.headers["retry-after"]) >= 1
        change(live, user.project, limits={"request_rate": 1e-310})  # next to never
        assert int(http.get("/backends").headers["retry-after"]) > 1_000_000
    with user.http("/sojourn/v1") as http:
        complaint(http.get("/devices"), 429)
    change(live, user.project, limits={"request_rate": None})
    with user.http() as http:
        assert http.get("/backends").status_code == 200


def test_projects_are_shown_to_their_users_and_changed_by_operators(live: Live, ada: User) -> None:
    with ada.http("/sojourn/v1") as http:
        (mine,) = http.get("/projects").json()["projects"]
        assert (mine["name"], mine["weight"], mine["account"]) == ("chem", 1, "default")
        assert [member["name"] for member in mine["members"]] == ["ada"]
        complaint(http.patch("/projects/chem", json={"weight": 2}), 403)
        complaint(http.post("/projects", json={"name": "x"}), 403)
        complaint(http.get("/accounts"), 403)
        complaint(http.put("/accounts/a", json={"weight": 2}), 403)
        complaint(http.get("/projects/physics"), 404)
    made = change(live, "chem", weight=2, members={"ada": {"weight": 3, "admin": True}})
    assert (made["weight"], made["members"][0]["weight"], made["members"][0]["admin"]) == (2, 3, True)
    with live.operator() as operator:
        assert {"chem", "operators"} <= {p["name"] for p in operator.get("/projects").json()["projects"]}
        new = operator.post("/projects", json={"name": "ahead", "account": "uni", "allocation": 10.5})
        assert (new.status_code, new.json()["allocation"]) == (201, 10.5)
        assert operator.put("/accounts/uni", json={"weight": 4}).json() == {"name": "uni", "weight": 4}
        accounts = {a["name"]: a["weight"] for a in operator.get("/accounts").json()["accounts"]}
        assert (accounts["uni"], accounts["default"]) == (4, 1)
        complaint(operator.post("/projects", json={"name": "ahead"}), 409)
        for bad in (
            {"weight": -1},
            {"weight": "2"},
            {"colour": 1},
            {"limits": {"circuit": 3}},
            {"plan": "gold"},
            {"members": {"ada": 1}},
        ):
            complaint(operator.patch("/projects/chem", json=bad), 400)
        complaint(operator.patch("/projects/nowhere", json={"weight": 1}), 404)
        complaint(operator.patch("/projects/chem", json={"members": {"eve": {"weight": 1}}}), 404)


@pytest.mark.parametrize("at", ["9999-12-31T23:59:59-14:00", "0001-01-01T00:00:00+14:00"])
def test_a_time_that_does_not_exist_in_utc_is_a_400_wherever_a_time_is_taken(live: Live, at: str) -> None:
    with live.operator() as operator:
        for path, name in (
            ("/sojourn/v1/usage", "from"),
            ("/sojourn/v1/usage", "to"),
            ("/sojourn/v1/jobs", "created_after"),
            ("/sojourn/v1/jobs", "created_before"),
            ("/api/v1/jobs", "created_after"),
            ("/api/v1/workloads", "created_before"),
            ("/api/v1/backends/bench/properties", "updated_before"),
        ):
            refused = operator.get(live.url + path, params={name: at})
            complaint(refused, 400)
            assert f"Query parameter {name} is {at}" in refused.text
        for path, body in (
            ("/reservations", {"device": "bench", "start": at, "duration": "1h"}),
            ("/reservations", {"device": "bench", "end": at}),
            ("/devices/bench/maintain", {"until": at}),
        ):
            refused = operator.post(path, json=body)
            complaint(refused, 400)
            assert "years 1 to 9999" in refused.text


def test_r49_a_report_goes_back_to_the_first_day_that_can_be_written(live: Live) -> None:
    with live.operator() as operator:
        found = operator.get("/usage", params={"to": "0001-01-05"}).json()
        assert (found["from"], found["rows"]) == ("0001-01-01T00:00:00.000000Z", [])
        same = operator.get("/usage", params={"from": "2026-01-01", "to": "2026-01-01"})
        complaint(same, 400)
        assert "the end must lie after the begin" in same.text


def test_r49_usage_is_reported_from_the_ledger(live: Live, sampler_params: str) -> None:
    user = live.user()
    with user.http() as http:
        job_id = submit(http, sampler_params)
        wait(http, job_id)
        spent = http.get(f"/jobs/{job_id}/metrics").json()["usage"]["quantum_seconds"]
    with user.http("/sojourn/v1") as http:
        found = http.get("/usage").json()
        assert found["rows"] == [{"keys": {"user": user.name}, "seconds": pytest.approx(spent), "entries": 1}]
        assert found["total_seconds"] == pytest.approx(found["consumed_seconds"])
        today = datetime.now(UTC).strftime("%Y-%m-%d")
        by = http.get("/usage", params={"by": ["day", "device", "kind"], "from": "2026-01-01"}).json()
        assert by["from"].startswith("2026-01-01")
        assert by["rows"][-1]["keys"] == {"day": today, "device": "bench", "kind": "job"}
        complaint(http.get("/usage?by=colour"), 400)
        complaint(http.get("/usage?from=yesterday"), 400)
        complaint(http.get("/usage?from=2026-02-01&to=2026-01-01"), 400)
        complaint(http.get("/usage?project=operators"), 403)
        complaint(http.get("/usage?user=operator"), 403)
    with live.operator() as operator:
        mine = operator.get("/usage", params={"user": user.name, "by": "project"}).json()
        assert [row["keys"] for row in mine["rows"]] == [{"project": user.project}]
    complaint(httpx.get(f"{live.url}/sojourn/v1/usage"), 401)
