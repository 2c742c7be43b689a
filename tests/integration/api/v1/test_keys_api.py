"""Keys, memberships, wrong credentials and the audit trail over HTTP, and with the real client."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from qiskit import QuantumCircuit
from qiskit_ibm_runtime import QiskitRuntimeService, SamplerV2

from tests.harness.api import GRANT, Live, User, complaint, submit


def bearer(key: str) -> dict[str, str]:
    return {"authorization": f"Bearer {key}"}


def exchanged(url: str, key: str) -> httpx.Response:
    return httpx.post(f"{url}/identity/token", data={"grant_type": GRANT, "apikey": key})


def test_a_user_makes_lists_rotates_and_revokes_keys_and_no_list_has_a_secret(live: Live) -> None:
    user = live.user()
    with user.http("/sojourn/v1") as http:
        made = http.post(f"/users/{user.name}/keys", json={"name": "ci", "expires": "+90d"})
        assert made.status_code == 201, made.text
        ci = made.json()
        assert (ci["key"]["name"], ci["key"]["project"], ci["old"]) == ("ci", None, None)
        assert ci["key"]["expires"] > ci["key"]["created"]
        listed = http.get(f"/users/{user.name}/keys")
        assert [k["name"] for k in listed.json()["keys"]] == ["key-1", "ci"]
        assert [k["present"] for k in listed.json()["keys"]] == [True, False]
        assert "sjn_" not in listed.text
        rotated = http.post(f"/users/{user.name}/keys/ci/rotate", json={"keep": "1h"}).json()
        assert (rotated["key"]["name"], rotated["old"]["name"]) == ("ci", "ci-old")
        assert rotated["key"]["expires"] == ci["key"]["expires"]
        for key in (ci["api_key"], rotated["api_key"]):
            assert httpx.get(f"{live.url}/sojourn/v1/me", headers=bearer(key)).json()["user"] == user.name
        assert http.delete(f"/users/{user.name}/keys/ci-old").json()["name"] == "ci-old"
        complaint(httpx.get(f"{live.url}/sojourn/v1/me", headers=bearer(ci["api_key"])), 401)
        for zero in ("0", "0s", "0h"):  # the old key ends now
            ended = http.post(f"/users/{user.name}/keys/ci/rotate", json={"keep": zero}).json()
            assert ended["old"] is None
        for path, body in (
            ("keys", {"name": "ci"}),
            ("keys", {"name": "a b"}),
            ("keys", {"expires": "yesterday"}),
            ("keys", {"expires": "2020-01-01"}),
            ("keys", {"unknown": 1}),
            ("keys/ci/rotate", {"keep": "soon"}),
            ("keys/ci/rotate", {"keep": "40d"}),
            ("keys/none/rotate", {}),
        ):
            reply = http.post(f"/users/{user.name}/{path}", json=body)
            assert reply.status_code in (400, 404, 409), (path, body, reply.text)
            complaint(reply, reply.status_code)


def test_another_users_keys_are_neither_seen_nor_changed(live: Live, ada: User, bob: User) -> None:
    with bob.http("/sojourn/v1") as http:
        for name in (ada.name, "nobody-of-that-name"):
            complaint(http.get(f"/users/{name}/keys"), 403)
            complaint(http.post(f"/users/{name}/keys"), 403)
            complaint(http.post(f"/users/{name}/keys/key-1/rotate"), 403)
            complaint(http.delete(f"/users/{name}/keys/key-1"), 403)
        complaint(http.get("/audit"), 403)
        complaint(http.post(f"/users/{ada.name}/restore"), 403)
        complaint(http.delete(f"/projects/{ada.project}/members/{ada.name}"), 403)
    with live.operator() as operator:
        assert [k["name"] for k in operator.get(f"/users/{ada.name}/keys").json()["keys"]] == ["key-1"]


def test_an_access_token_ends_with_the_key_that_it_was_made_from(live: Live) -> None:
    user = live.user()
    with user.http("/sojourn/v1") as http:
        spare = http.post(f"/users/{user.name}/keys", json={"name": "spare"}).json()["api_key"]
        short = http.post(f"/users/{user.name}/keys", json={"name": "short", "expires": "+3s"}).json()
        answer = exchanged(live.url, short["api_key"]).json()
        assert answer["expires_in"] <= 3
        token = exchanged(live.url, spare).json()["access_token"]
        jobs = f"{live.url}/api/v1/jobs"
        assert httpx.get(jobs, headers=bearer(token)).status_code == 200
        http.delete(f"/users/{user.name}/keys/spare")
        for path in ("/api/v1/jobs", "/sojourn/v1/me", "/v2/resource_instances"):
            said = complaint(httpx.get(live.url + path, headers=bearer(token)), 401)
            assert "API key of this access token" in said
        assert http.get(f"/users/{user.name}/keys").status_code == 200  # the others go on
        ends = time.time() + 10
        while httpx.get(jobs, headers=bearer(answer["access_token"])).status_code == 200:
            assert time.time() < ends


def bell() -> QuantumCircuit:
    circuit = QuantumCircuit(2)
    circuit.x(0)
    circuit.measure_all()
    return circuit


def client(user: User, monkeypatch: pytest.MonkeyPatch) -> QiskitRuntimeService:
    for name, value in user.way_d().items():
        monkeypatch.setenv(name, value)
    return QiskitRuntimeService()


def test_the_real_client_works_with_each_of_several_keys_and_in_the_project_of_the_key(
    live: Live, monkeypatch: pytest.MonkeyPatch
) -> None:
    chem = live.user("lea", "chem-of-lea")
    phys = live.user("lea", "phys-of-lea")
    for user in (chem, phys):
        service = client(user, monkeypatch)
        job = SamplerV2(service.least_busy(name="bench")).run([bell()], shots=10)
        job.result()
        with live.operator() as operator:
            assert operator.get(f"/jobs/{job.job_id()}").json()["project"] == user.project


def test_a_program_of_the_real_client_goes_on_through_a_rotation(
    live: Live, monkeypatch: pytest.MonkeyPatch
) -> None:
    user = live.user()
    backend = client(user, monkeypatch).backend("bench")
    SamplerV2(backend).run([bell()], shots=10).result()
    with user.http("/sojourn/v1") as http:
        assert http.post(f"/users/{user.name}/keys/key-1/rotate").status_code == 201
    SamplerV2(backend).run([bell()], shots=10).result()


def test_who_leaves_a_project_is_told_what_is_left_and_may_end_it(live: Live, sampler_params: str) -> None:
    user = live.user()
    with live.operator() as operator, user.http() as http:
        job = submit(http, sampler_params, "slow")
        path = f"/projects/{user.project}/members/{user.name}"
        left = operator.delete(path).json()
        assert (left["removed"], left["revoked"], left["project"]) == (True, False, user.project)
        assert [each["id"] for each in left["jobs"]["oldest"]] == [job]
        assert "does not belong to a project" in complaint(
            httpx.get(f"{live.url}/api/v1/jobs", headers=bearer(user.key)), 403
        )
        complaint(httpx.get(f"{live.url}/v2/resource_instances", headers=bearer(user.key)), 401)
        ended = operator.post(f"{path}/remove", json={"cancel_jobs": True}).json()
        assert (ended["cancelled_jobs"], ended["jobs"]["count"]) == (1, 0)
        complaint(operator.post(f"{path}/remove", json={"cancel_job": True}), 400)
        complaint(operator.delete(f"/projects/{user.project}/members/nobody-of-that-name"), 404)


def test_a_revoked_user_is_restored_or_the_name_is_given_anew(live: Live) -> None:
    user = live.user()
    with live.operator() as operator:
        operator.post(f"/users/{user.name}/revoke")
        said = complaint(operator.post("/users", json={"name": user.name, "project": user.project}), 409)
        assert f"sojourn users restore {user.name}" in said
        made = operator.post(f"/users/{user.name}/restore").json()
        assert made["name"] == user.name
        complaint(httpx.get(f"{live.url}/sojourn/v1/me", headers=bearer(user.key)), 401)
        assert httpx.get(f"{live.url}/sojourn/v1/me", headers=bearer(made["api_key"])).status_code == 200
        operator.post(f"/users/{user.name}/revoke")
        body = {"name": user.name, "project": user.project, "anew": True}
        assert operator.post("/users", json=body).status_code == 201
        names = [u["name"] for u in operator.get("/users").json()["users"]]
        assert {user.name, f"{user.name}.revoked-1"} <= set(names)


def test_the_audit_trail_tells_operators_who_did_what(live: Live) -> None:
    user = live.user()
    with live.operator() as operator:
        operator.post(f"/users/{user.name}/revoke")
        found = operator.get("/audit", params={"subject": f"user {user.name}"}).json()["entries"]
        assert [(e["by"], e["action"]) for e in found] == [
            ("operator", "user.revoked"),
            ("operator", "user.added"),
        ]
        assert found[1]["detail"]["project"] == user.project
        page = operator.get(
            "/audit", params={"limit": 1, "before_id": found[0]["id"], "action": "user"}
        ).json()
        assert len(page["entries"]) == 1
        for wrong in ({"limit": 0}, {"limit": 1001}, {"after": "yesterday"}):
            complaint(operator.get("/audit", params=wrong), 400)


# A server of its own, with few wrong keys


@pytest.fixture
def strict(tmp_path: Path) -> Iterator[tuple[str, Path, Path]]:
    """(url, data folder, log) of a server that answers five wrong keys at once."""
    data, log = tmp_path / "data", tmp_path / "log.txt"
    device = {"name": "bench", "driver": "mock", "options": {"qubits": 5}}
    environment = {k: v for k, v in os.environ.items() if not k.startswith("SOJOURN_")}
    environment |= {"SOJOURN_ACCESS__WRONG_KEYS": "5", "SOJOURN_DEVICES": json.dumps([device])}
    command = [sys.executable, "-m", "sojourn", "serve", "--port", "0", "--data", str(data)]
    with log.open("w") as stderr:
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=stderr, text=True, env=environment)
        try:
            assert process.stdout is not None
            yield process.stdout.readline().split()[-1], data, log
        finally:
            process.terminate()
            process.wait(30)


def test_wrong_keys_are_slowed_down_and_whoever_has_a_right_one_is_not(
    strict: tuple[str, Path, Path],
) -> None:
    """From one address, as behind a proxy; by each way in which credentials come."""
    url, data, log = strict
    key = (data / "operator.key").read_text().strip()
    jobs = f"{url}/api/v1/jobs"
    token = exchanged(url, key).json()["access_token"]
    tried: list[Any] = [
        httpx.get(f"{url}/sojourn/v1/me", headers=bearer("sjn_wrong")),
        exchanged(url, "sjn_wrong"),
        httpx.get(jobs, headers=bearer("sjn_wrong")),
        httpx.get(jobs, headers=bearer("a.b.c")),
        httpx.get(jobs, headers={"authorization": "Basic eDp5"}),
    ]
    assert [reply.status_code for reply in tried] == [401, 200, 401, 401, 401]
    for late in (
        exchanged(url, "sjn_wrong"),
        httpx.get(jobs, headers=bearer("sjn_wrong")),
        httpx.get(f"{url}/v2/resource_instances", headers=bearer("sjn_wrong")),
        httpx.post(f"{url}/sojourn/v1/users", headers=bearer("sjn_wrong"), json={}),
        httpx.get(f"{url}/sojourn/v1/me", headers=bearer("sjn_wrong")),
    ):
        assert "wrong credentials came from 127.0.0.1" in complaint(late, 429)
        assert int(late.headers["retry-after"]) >= 1
    complaint(httpx.get(jobs), 401)  # no key is not a wrong one
    assert exchanged(url, key).json()["scope"] == "sojourn"
    for credentials in (key, token):
        assert httpx.get(jobs, headers=bearer(credentials)).status_code == 200
    said = log.read_text()
    assert "login.failed" in said
    assert "unknown" not in said
    assert "sjn_" not in said
