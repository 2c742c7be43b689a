"""`POST /sojourn/v1/forecast`, and the queue facts of jobs, over HTTP."""

from __future__ import annotations

from datetime import datetime

import pytest

from tests.harness.api import User, complaint, submit


def test_a_waiting_job_has_its_forecast_and_a_list_has_the_same(ada: User, sampler_params: str) -> None:
    with ada.http() as client, ada.http("/sojourn/v1") as http:
        made = [submit(client, sampler_params, "slow") for _ in range(2)]
        try:
            shown = http.get(f"/jobs/{made[1]}").json()["queue"]
            listed = {job["id"]: job for job in http.get("/jobs?device=slow&pending=true").json()["jobs"]}
            metrics = client.get(f"/jobs/{made[1]}/metrics").json()
        finally:
            for job in made:
                http.post(f"/jobs/{job}/cancel")
    start, end = shown["start"], shown["end"]
    times = [datetime.fromisoformat(start[name]) for name in ("earliest", "expected", "latest")]
    assert times == sorted(times)
    assert datetime.fromisoformat(end["expected"]) > times[1]
    assert shown["unknown"] is None
    assert shown["waits"][0]["what"] == "jobs"
    assert set(listed[made[1]]["queue"]) == set(shown)
    assert metrics["position_in_queue"] == shown["position"] == 1
    for name in ("estimated_start_time", "estimated_completion_time"):
        assert datetime.fromisoformat(metrics[name]) > datetime.fromisoformat(
            metrics["timestamps"]["created"]
        )


def test_what_a_job_would_meet_is_answered_for_each_device(ada: User) -> None:
    with ada.http("/sojourn/v1") as http:
        found = http.post("/forecast", json={"duration": "30s"}).json()["offers"]
        assert {offer["device"] for offer in found} >= {"bench", "slow"}
        (one,) = http.post("/forecast", json={"duration": "2m", "device": "bench"}).json()["offers"]
    assert one["refused"] is None
    assert one["limit_seconds"] == 10_000
    assert (
        one["device_seconds"]["least"] <= one["device_seconds"]["expected"] <= one["device_seconds"]["most"]
    )
    assert one["queue"]["position"] is not None


@pytest.mark.parametrize(
    ("body", "status", "said"),
    [
        ({}, 400, "duration"),
        ({"duration": "soon"}, 400, "duration is 'soon'"),
        ({"duration": "30s", "program": "nonsense"}, 400, "nonsense"),
        ({"duration": "30s", "max_execution_time": 0}, 400, "max_execution_time is 0"),
        ({"duration": "30s", "device": "nowhere"}, 404, "nowhere"),
        ({"duration": "30s", "shots": 3}, 400, "shots"),
    ],
    ids=range(6),
)
def test_a_wrong_question_is_refused_by_name(
    ada: User, body: dict[str, object], status: int, said: str
) -> None:
    with ada.http("/sojourn/v1") as http:
        assert said in complaint(http.post("/forecast", json=body), status)
