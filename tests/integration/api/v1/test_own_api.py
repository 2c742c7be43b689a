"""Our own API against a real server: what docs/api.md promises."""

from __future__ import annotations

import re
import socket

import httpx
import pytest

import sojourn
from tests.harness.api import Live, User, complaint, submit, wait


def test_version_needs_no_key(live: Live) -> None:
    found = httpx.get(f"{live.url}/sojourn/v1/version").json()
    assert (found["name"], found["version"]) == ("sojourn", sojourn.__version__)


def test_me_and_my_instances(live: Live, ada: User) -> None:
    with ada.http("/sojourn/v1") as http:
        me = http.get("/me").json()
        assert me == {"user": "ada", "project": "chem", "instance": ada.crn, "operator": False}
        assert [i["crn"] for i in http.get("/instances").json()["instances"]] == [ada.crn]
    for scheme in ("Bearer", "apikey"):
        headers = {"authorization": f"{scheme} {ada.key}"}
        assert httpx.get(f"{live.url}/sojourn/v1/me", headers=headers).json()["user"] == "ada"
    complaint(httpx.get(f"{live.url}/sojourn/v1/me"), 401)


def test_only_an_operator_manages_users(live: Live, ada: User) -> None:
    with ada.http("/sojourn/v1") as http:
        complaint(http.get("/users"), 403)
        complaint(http.post("/users", json={"name": "x", "project": "y"}), 403)
        complaint(http.post("/users/ada/revoke"), 403)
    with live.operator() as operator:
        users = {user["name"]: user for user in operator.get("/users").json()["users"]}
        assert users["ada"]["projects"] == ["chem"]
        complaint(operator.post("/users/nobody-of-that-name/revoke"), 404)


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"", "The body is missing"),
        (b"{", "not valid JSON"),
        (b"[]", r"The body is \[\]: send a JSON object"),
        (b'"name"', "The body is 'name': send a JSON object"),
        (b"{}", "'name' is missing.*'project' is missing"),
        (b'{"name": 3, "project": "p"}', "'name' is 3"),
        (b'{"name": "", "project": "p"}', "'name' is ''"),
        (b"[" * 100_000, "nested too deeply"),
        (b'{"a":' * 5000 + b"1" + b"}" * 5000, "nested too deeply"),
    ],
    ids=range(9),
)
def test_a_bad_new_user_is_a_400(live: Live, body: bytes, said: str) -> None:
    with live.operator() as operator:
        reply = operator.post("/users", content=body, headers={"content-type": "application/json"})
    assert re.search(said, complaint(reply, 400))


def test_a_large_body_is_a_413(live: Live) -> None:
    with live.operator() as operator:
        said = complaint(operator.post("/users", content=b"x" * 1_100_000), 413)
        assert "0.1 MB" in said
        assert "max_body_mb" not in said  # which would not help


@pytest.mark.parametrize("credentials", ["", "authorization: apikey sjn_wrong\r\n"])
@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
def test_nothing_is_read_before_the_caller_is_known(live: Live, method: str, credentials: str) -> None:
    """The kind: work that a stranger can have done. The answer comes although the body never does."""
    host, port = live.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=30) as line:
        head = (
            f"{method} /sojourn/v1/users HTTP/1.1\r\nhost: x\r\n{credentials}content-length: 999999\r\n\r\n"
        )
        line.sendall(head.encode())
        assert line.recv(4096).startswith(b"HTTP/1.1 401 ")


def test_devices(ada: User) -> None:
    with ada.http("/sojourn/v1") as http:
        devices = {device["name"]: device for device in http.get("/devices").json()["devices"]}
        assert {"bench", "slow"} <= set(devices)
        assert http.get("/devices/bench").json()["driver"] == "mock"
        complaint(http.get("/devices/nope"), 404)


def test_a_job_its_story_and_who_sees_it(live: Live, ada: User, bob: User, sampler_params: str) -> None:
    with ada.http() as http:
        job_id = submit(http, sampler_params, tags=["story"])
        wait(http, job_id)
    with ada.http("/sojourn/v1") as http:
        assert http.get(f"/jobs/{job_id}").json()["state"] == "completed"
        lines = http.get(f"/jobs/{job_id}/story").json()["story"]
        assert lines[-1]["after"] == "completed"
        assert [line["at"] for line in lines] == sorted(line["at"] for line in lines)
        complaint(http.post(f"/jobs/{job_id}/cancel"), 409)
        found = http.get("/jobs", params={"tag": "story", "pending": False, "device": "bench"}).json()
        assert (found["count"], found["jobs"][0]["id"]) == (1, job_id)
        assert "limit" in complaint(http.get("/jobs?limit=1000"), 400)
        for what in ("jobs", "usage"):
            assert "Backends: bench" in complaint(http.get(f"/{what}?device=nope"), 404)
            assert "no session 'nope'" in complaint(http.get(f"/{what}?session=nope"), 404)
        complaint(http.get("/jobs?pending=maybe"), 400)
    with bob.http("/sojourn/v1") as http:
        complaint(http.get(f"/jobs/{job_id}"), 404)
    with live.operator() as operator:
        assert operator.get(f"/jobs/{job_id}").json()["user"] == "ada"


def test_sessions(ada: User) -> None:
    with ada.http() as http:
        session_id = http.post("/sessions", json={"mode": "batch", "backend": "bench"}).json()["id"]
    with ada.http("/sojourn/v1") as http:
        assert http.get(f"/sessions/{session_id}").json()["state"] == "open"
        assert http.get("/sessions?limit=1").json()["sessions"][0]["id"] == session_id
        assert http.post(f"/sessions/{session_id}/close").json()["state"] == "closed"
        complaint(http.get("/sessions/nope"), 404)
        assert http.get("/usage").json()["limit_reached"] is False


def test_wrong_methods_and_the_schema(ada: User) -> None:
    with ada.http("/sojourn/v1") as http:
        complaint(http.put("/devices"), 405)
        schema = http.get("/openapi.json").json()
        assert "/jobs/{job_id}/story" in schema["paths"]


def test_the_list_of_jobs_gives_the_position_of_those_that_wait(ada: User, sampler_params: str) -> None:
    with ada.http() as http:
        made = [submit(http, sampler_params, "slow") for _ in range(3)]
    with ada.http("/sojourn/v1") as http:
        listed = {j["id"]: j["position"] for j in http.get("/jobs?device=slow&pending=true").json()["jobs"]}
        assert 0 < listed[made[1]] < listed[made[2]]
        for job in made:
            http.post(f"/jobs/{job}/cancel")


def test_whose_job_and_session_have_a_device_only_they_and_operators_are_told(
    live: Live, ada: User, bob: User, sampler_params: str
) -> None:
    with ada.http() as http:
        body = {"mode": "dedicated", "backend": "slow", "max_ttl": 600}
        session = http.post("/sessions", json=body).json()["id"]
        job = submit(http, sampler_params, "slow", session_id=session)
        while http.get(f"/jobs/{job}?exclude_params=true").json()["status"] != "Running":
            pass  # held by the server
    ids = {"busy": True, "running": job, "held": True, "active_session": session}
    try:
        for http, expected in (
            (ada.http("/sojourn/v1"), ids),
            (live.operator(), ids),
            (bob.http("/sojourn/v1"), {**ids, "running": None, "active_session": None}),
        ):
            with http:
                device = http.get("/devices/slow").json()
                assert {key: device[key] for key in ids} == expected
                listed = {d["name"]: d for d in http.get("/devices").json()["devices"]}
                assert listed["slow"] == device
        with bob.http() as http:
            waits = submit(http, sampler_params, "slow")
            told = http.get(f"/jobs/{waits}/metrics").json()["waiting_reasons"]
            assert f"a job of project {ada.project} is running" in told
            assert not any(job in sentence or session in sentence for sentence in told)
            http.delete(f"/jobs/{waits}")
    finally:
        with ada.http() as http:
            http.delete(f"/sessions/{session}/close")
            http.post(f"/jobs/{job}/cancel")


@pytest.mark.parametrize("path", ["/jobs?session={}", "/usage?session={}", "/sessions/{}"])
def test_anothers_session_is_answered_like_one_that_never_was(
    live: Live, ada: User, bob: User, path: str
) -> None:
    with ada.http() as http:
        session = http.post("/sessions", json={"mode": "batch", "backend": "bench"}).json()["id"]
    with bob.http("/sojourn/v1") as http:
        foreign = complaint(http.get(path.format(session)), 404)
        assert foreign.replace(session, "s-none") == complaint(http.get(path.format("s-none")), 404)
    for own in (ada.http("/sojourn/v1"), live.operator()):
        with own as http:
            assert http.get(path.format(session)).status_code == 200
    with ada.http() as http:
        http.delete(f"/sessions/{session}/close")
