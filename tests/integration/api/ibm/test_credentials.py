"""Who a request comes from: tokens, keys, instances."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from tests.harness.api import GRANT, Live, User, complaint, submit


@pytest.mark.parametrize("path", ["/backends", "/jobs", "/instances/usage", "/sessions/x", "/jobs/x/results"])
def test_no_token_is_a_401(live: Live, path: str) -> None:
    reply = httpx.get(f"{live.url}/api/v1{path}")
    assert "Authorization" in complaint(reply, 401)
    assert reply.headers["www-authenticate"].startswith("Bearer")


@pytest.mark.parametrize(
    "credentials", ["Bearer nonsense", "Bearer a.b.c", "apikey nonsense", "Basic eDp5", "Bearer"]
)
def test_wrong_credentials_are_a_401(live: Live, credentials: str) -> None:
    complaint(httpx.get(f"{live.url}/api/v1/backends", headers={"authorization": credentials}), 401)


def test_a_wrong_key_gets_a_token_that_grants_nothing(live: Live, ada: User) -> None:
    form = {"grant_type": GRANT, "apikey": "wrong"}
    answer = httpx.post(f"{live.url}/identity/token", data=form)
    assert answer.status_code == 200
    assert answer.json()["expires_in"] > 360
    headers = {"authorization": f"Bearer {answer.json()['access_token']}", "service-crn": ada.crn}
    assert "API key" in complaint(httpx.get(f"{live.url}/api/v1/backends", headers=headers), 401)
    complaint(httpx.post(f"{live.url}/v3/resources/search", headers=headers, json={}), 401)
    complaint(httpx.get(f"{live.url}/catalog/sojourn-plan", headers=headers), 401)


@pytest.mark.parametrize("form", [{}, {"grant_type": GRANT}, {"grant_type": "password", "apikey": "x"}])
def test_a_token_request_that_is_malformed_is_a_400(live: Live, form: dict[str, str]) -> None:
    complaint(httpx.post(f"{live.url}/identity/token", data=form), 400)


def test_old_clients_may_send_the_key_itself(live: Live, ada: User) -> None:
    headers = {"authorization": f"apikey {ada.key}", "service-crn": ada.crn.replace(":", "%3A")}
    assert httpx.get(f"{live.url}/api/v1/backends", headers=headers).json() == {"devices": ["bench", "slow"]}


def test_an_unknown_instance_is_a_403_that_names_ones_own(ada: User, bob: User) -> None:
    with ada.http() as http:
        assert ada.crn in complaint(http.get("/backends", headers={"service-crn": bob.crn}), 403)
        complaint(http.get("/backends", headers={"service-crn": "chem"}), 400)


def test_a_revoked_user_is_out_at_the_next_request(live: Live) -> None:
    user = live.user()
    with user.http() as http, live.operator() as operator:
        assert http.get("/backends").status_code == 200
        nothing = {"count": 0, "oldest": []}
        assert operator.post(f"/users/{user.name}/revoke").json() == {
            "name": user.name,
            "revoked": True,
            **dict.fromkeys(("sessions", "jobs", "reservations"), nothing),
            "closed_sessions": 0,
            "cancelled_jobs": 0,
        }
        complaint(http.get("/backends"), 401)
        assert operator.delete(f"/users/{user.name}").status_code == 200


def test_another_users_job_and_session_are_not_found(ada: User, bob: User, sampler_params: str) -> None:
    with ada.http() as mine, bob.http() as other:
        job_id = submit(mine, sampler_params)
        session_id = mine.post("/sessions", json={"mode": "batch", "backend": "bench"}).json()["id"]
        for path in ("", "/results", "/logs", "/metrics"):
            complaint(other.get(f"/jobs/{job_id}{path}"), 404)
        complaint(other.post(f"/jobs/{job_id}/cancel"), 404)
        complaint(other.delete(f"/jobs/{job_id}"), 404)
        complaint(other.put(f"/jobs/{job_id}/tags", json={"tags": []}), 404)
        complaint(other.get(f"/sessions/{session_id}"), 404)
        complaint(other.patch(f"/sessions/{session_id}", json={"accepting_jobs": False}), 404)
        complaint(other.delete(f"/sessions/{session_id}/close"), 404)
        assert other.get("/jobs").json()["count"] == 0


def test_instances_come_in_pages(live: Live) -> None:
    user = live.user("carol", "one")
    for project in ("two", "three"):
        live.user("carol", project)
    names: list[str] = []
    with user.http("") as http:
        body: dict[str, Any] = {"query": "service_name:quantum-computing", "fields": ["crn"]}
        while True:
            page = http.post("/v3/resources/search?limit=2", json=body).json()
            names += [item["name"] for item in page["items"]]
            if "search_cursor" not in page:
                break
            body["search_cursor"] = page["search_cursor"]
        assert names == ["one", "two", "three"]
        plan = http.get(f"/catalog/{page['items'][0]['service_plan_unique_id']}").json()
        assert plan["metadata"]["pricing"]["type"] in ("free", "trial", "paygo", "paid", "subscription")
        complaint(http.get("/catalog/other"), 404)
        complaint(http.post("/v3/resources/search", json={"search_cursor": "x"}), 400)
        found = http.get("/v2/resource_instances", params={"name": "two"}).json()["resources"]
        assert [resource["name"] for resource in found] == ["two"]
