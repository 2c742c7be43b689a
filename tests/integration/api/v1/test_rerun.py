"""POST /sojourn/v1/jobs/{id}/rerun: the same once more, for its owner."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest

from sojourn import connect
from tests.harness.api import Live, User, complaint, wait
from tests.integration.api.v1.test_own_submit import body, post


def rerun(user: User, job: str, key: str | None = None) -> httpx.Response:
    with user.http("/sojourn/v1") as http:
        return http.post(f"/jobs/{job}/rerun", headers={} if key is None else {"idempotency-key": key})


def fields(user: User, job: str) -> dict[str, Any]:
    with user.http("/sojourn/v1") as http:
        return dict(http.get(f"/jobs/{job}").json())


def params(user: User, job: str) -> str:
    with user.http() as http:
        return http.get(f"/jobs/{job}").text.partition('"params":')[2]


def opened(user: User, device: str) -> str:
    with user.http() as http:
        reply = http.post("/sessions", json={"backend": device, "mode": "batch"})
        assert reply.status_code == 200, reply.text
        return str(reply.json()["id"])


def test_a_job_runs_again_with_the_same_inputs_and_options_as_a_new_job(
    ada: User, sampler_params: str
) -> None:
    first = post(ada, body(sampler_params, tags=["a", "b"], max_execution_time=61, log_level="DEBUG")).json()
    reply = rerun(ada, first["id"])
    assert reply.status_code == 201, reply.text
    second = reply.json()
    assert second["id"] != first["id"]
    assert reply.headers["location"] == f"/sojourn/v1/jobs/{second['id']}"
    with ada.http() as http:
        assert wait(http, second["id"])["status"] == "Completed"
        assert "pub_results" in http.get(f"/jobs/{second['id']}/results").text
        assert http.get(f"/jobs/{second['id']}/logs").text, "at the level of the first"
    same = ("device", "program", "tags", "limit_seconds", "private", "user", "project", "session")
    assert [fields(ada, second["id"])[name] for name in same] == [first[name] for name in same]
    assert params(ada, second["id"]) == params(ada, first["id"])


def test_large_inputs_are_those_of_the_first(ada: User, sampler_params: str) -> None:
    blanks = f"{sampler_params[:-1]}{' ' * 5_000_000}}}"
    first = post(ada, body(blanks)).json()
    reply = rerun(ada, first["id"])
    assert reply.status_code == 201, reply.text
    assert params(ada, reply.json()["id"]) == params(ada, first["id"])


def test_an_idempotency_key_makes_one_new_job_of_equal_requests(ada: User, sampler_params: str) -> None:
    first, other = (post(ada, body(sampler_params)).json()["id"] for _ in range(2))
    made = {rerun(ada, first, "again-1").json()["id"] for _ in range(2)}
    assert len(made) == 1
    assert rerun(ada, first, "again-2").json()["id"] not in made
    complaint(rerun(ada, other, "again-1"), 409)


def test_it_joins_the_session_of_the_first_while_that_takes_jobs_and_else_none(
    ada: User, sampler_params: str
) -> None:
    session = opened(ada, "bench")
    first = post(ada, body(sampler_params, session=session)).json()["id"]
    assert rerun(ada, first).json()["session"] == session
    with ada.http() as http:
        http.patch(f"/sessions/{session}", json={"accepting_jobs": False}).raise_for_status()
    reply = rerun(ada, first)
    assert reply.status_code == 201, reply.text
    assert reply.json()["session"] is None


def test_only_the_owner_runs_a_job_again(live: Live, ada: User, bob: User, sampler_params: str) -> None:
    job = post(ada, body(sampler_params)).json()["id"]
    complaint(rerun(bob, job), 404)
    with live.operator() as http:
        assert http.get(f"/jobs/{job}").status_code == 200
        complaint(http.post(f"/jobs/{job}/rerun"), 404)


def test_a_private_job_is_not_run_again(ada: User, sampler_params: str) -> None:
    job = post(ada, body(sampler_params, private=True)).json()["id"]
    assert "is private" in complaint(rerun(ada, job), 404)


def test_the_program_that_the_dashboard_shows_fetches_the_result_and_repeats_the_job(
    ada: User, sampler_params: str
) -> None:
    pytest.importorskip("nicegui", reason="needs the extra `dashboard`")
    from sojourn.dashboard.pages.jobs import code

    first = post(ada, body(sampler_params)).json()
    found: dict[str, Any] = {"connect": lambda: connect(ada.url, ada.key)}
    exec(code(first).replace("QiskitRuntimeService()", "connect()"), found)
    first_data, again = found["result"][0].data, found["again"].result()[0].data
    shots = [{name: bits.num_shots for name, bits in data.items()} for data in (first_data, again)]
    assert shots[0] == shots[1] == {"c": 10}


def test_the_openapi_says_what_it_answers(ada: User) -> None:
    with ada.http("/sojourn/v1") as http:
        route = http.get("/openapi.json").json()["paths"]["/jobs/{job_id}/rerun"]["post"]
    names = [each["name"] for each in route["parameters"]]
    assert sorted(names) == ["Idempotency-Key", "job_id"]
    assert "201" in route["responses"], json.dumps(route)
