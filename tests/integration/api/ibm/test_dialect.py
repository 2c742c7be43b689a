"""The client's dialect over plain HTTP, against a real server: shapes, bad input, and who sees what."""

from __future__ import annotations

import json
import socket
import time
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest

from tests.harness.api import Live, User, complaint, submit, wait

# Routes and bodies


@pytest.mark.parametrize(
    "path", ["/nothing", "/api/v1/nothing", "/api/v2/jobs", "/sojourn/v1/nothing", "/api/v1/jobs/"]
)
def test_an_unknown_path_is_a_404_in_the_clients_shape(live: Live, ada: User, path: str) -> None:
    with ada.http("") as http:
        complaint(http.get(path), 404)
        complaint(http.post(path), 404)


def test_a_wrong_method_is_a_405_that_names_the_right_ones(ada: User) -> None:
    with ada.http() as http:
        reply = http.put("/jobs")
        complaint(reply, 405)
        assert reply.headers["allow"] == "GET, HEAD, POST"


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"\xff\xfe\x00",
        b'{"program_id": "sampler", "params": {"a": "\xff"}}',
        b"[]",
        b'"text"',
        b"{}",
        b'{"program_id": 3}',
        b'{"program_id":"sampler","params":' + b"[" * 200_000,
        b"x" * 10_000_000,
    ],
    ids=["empty", "cut", "binary", "not-utf8", "array", "string", "no-program", "number", "deep", "10MB"],
)
def test_a_body_that_is_no_job_is_a_400(ada: User, body: bytes) -> None:
    with ada.http() as http:
        message = complaint(http.post("/jobs", content=body), 400)
        assert len(message) < 1000
        assert http.get("/backends").status_code == 200


def raw(url: str, request: bytes, *, more: bytes = b"") -> bytes:
    """What the server answers to bytes on a fresh connection, up to the end of its first reply's head."""
    at = urlsplit(url)
    with socket.create_connection((at.hostname, at.port), timeout=20) as connection:
        connection.sendall(request)
        answer = b""
        while b"\r\n\r\n" not in answer:
            if more:
                connection.sendall(more)
            piece = connection.recv(65536)
            if not piece:
                break
            answer += piece
    return answer


def test_a_body_over_the_limit_is_refused_before_it_is_sent(live: Live, ada: User) -> None:
    head = f"POST /api/v1/jobs HTTP/1.1\r\nhost: x\r\nauthorization: apikey {ada.key}\r\n"
    answer = raw(live.url, f"{head}content-length: 900000000000\r\n\r\n".encode())
    assert answer.startswith(b"HTTP/1.1 413 ")
    assert b"connection: close" in answer


def test_a_body_over_the_limit_whose_length_is_not_known_is_refused_at_the_limit(
    live: Live, ada: User
) -> None:
    head = f"POST /api/v1/jobs HTTP/1.1\r\nhost: x\r\nauthorization: apikey {ada.key}\r\n"
    chunk = b"100000\r\n" + b"x" * 0x100000 + b"\r\n"
    answer = raw(live.url, f"{head}transfer-encoding: chunked\r\n\r\n".encode() + chunk * 11, more=chunk)
    assert answer.startswith(b"HTTP/1.1 413 ")


def test_the_reason_reaches_a_client_that_sends_a_body_over_the_limit(ada: User) -> None:
    with ada.http() as http:
        assert "12 MB" in complaint(http.post("/jobs", content=b"x" * 13_000_000), 413)
        assert http.get("/backends").status_code == 200


def test_a_compressed_body_is_refused(ada: User) -> None:
    with ada.http() as http:
        reply = http.post("/jobs", content=b"\x1f\x8b", headers={"content-encoding": "gzip"})
        assert "compression" in complaint(reply, 400)


def test_an_absolute_request_line_is_understood(live: Live, ada: User) -> None:
    line = "GET http://qpu.test/api/v1/backends HTTP/1.1"
    request = f"{line}\r\nhost: qpu.test\r\nauthorization: apikey {ada.key}\r\n\r\n"
    assert raw(live.url, request.encode()).startswith(b"HTTP/1.1 200 ")


# Backends


def test_the_list_of_devices_has_two_shapes_and_hides_mocks(ada: User) -> None:
    with ada.http() as http:
        devices = http.get("/backends").json()["devices"]
        assert [device["name"] for device in devices] == ["bench", "slow"]
        assert all(isinstance(device["queue_length"], int) for device in devices)
        names = http.get("/backends", headers={"ibm-api-version": "2024-01-01"}).json()["devices"]
        assert names == ["bench", "slow"]


def test_configuration_properties_and_status(ada: User) -> None:
    with ada.http() as http:
        found = http.get("/backends/bench/configuration").json()
        assert found["backend_name"] == "bench"
        assert found["n_qubits"] == 5
        assert found["simulator"] is False
        for query in ("", "?updated_before=2025-01-02T03:04:05%2B00:00", "?calibration_id=cal-1"):
            assert http.get(f"/backends/bench/properties{query}").status_code == 200
        status = http.get("/backends/bench/status").json()
        assert status["state"] is True
        assert status["status"] == "active"
        assert isinstance(status["length_queue"], int)
        assert isinstance(status["backend_version"], str)


def test_unknown_devices_calibrations_and_dates_are_refused(ada: User) -> None:
    with ada.http() as http:
        assert "bench" in complaint(http.get("/backends/nope/configuration"), 404)
        assert "cal-1" in complaint(http.get("/backends/bench/properties?calibration_id=cal-7"), 404)
        assert "cal-1" in complaint(http.get("/backends/bench/configuration?calibration_id=x"), 404)
        complaint(http.get("/backends/bench/properties?updated_before=yesterday"), 400)
        assert "bench" in complaint(http.get("/backends/nope/defaults"), 404)


# Jobs


def test_a_job_from_submit_to_delete(ada: User, sampler_params: str) -> None:
    with ada.http() as http:
        job_id = submit(http, sampler_params, tags=["a", "b"])
        job = wait(http, job_id)
        assert job["status"] == job["state"]["status"] == "Completed"
        assert job["program"] == {"id": "sampler"}
        assert job["tags"] == ["a", "b"]
        assert isinstance(job["cost"], int)
        assert "params" not in job
        assert f'"params":{sampler_params}' in http.get(f"/jobs/{job_id}").text
        result = http.get(f"/jobs/{job_id}/results")
        assert result.headers["content-type"].startswith("text/plain")
        assert "PrimitiveResult" in result.text
        assert http.get(f"/jobs/{job_id}/logs").headers["content-type"].startswith("text/plain")
        metrics = http.get(f"/jobs/{job_id}/metrics").json()
        assert metrics["timestamps"]["created"] <= metrics["timestamps"]["running"]
        assert metrics["usage"]["status"] != "pending"
        put = http.put(f"/jobs/{job_id}/tags", json={"tags": ["c"]})
        assert (put.status_code, put.content) == (204, b"")
        assert http.get(f"/jobs/{job_id}").json()["tags"] == ["c"]
        complaint(http.put(f"/jobs/{job_id}/tags", json={"tags": "c"}), 400)
        complaint(http.put(f"/jobs/{job_id}/tags", json={}), 400)
        complaint(http.post(f"/jobs/{job_id}/cancel"), 409)
        assert http.delete(f"/jobs/{job_id}").status_code == 204
        complaint(http.get(f"/jobs/{job_id}"), 404)


def test_there_are_no_interim_results_and_nobody_elses_either(
    ada: User, bob: User, sampler_params: str
) -> None:
    with ada.http() as http, bob.http() as other:
        job_id = submit(http, sampler_params)
        for _ in range(2):
            reply = http.get(f"/jobs/{job_id}/interim_results")
            assert (reply.status_code, reply.text) == (200, "")
            assert reply.headers["content-type"].startswith("text/plain")
            wait(http, job_id)
        complaint(other.get(f"/jobs/{job_id}/interim_results"), 404)
        complaint(http.get("/jobs/d000/interim_results"), 404)


def test_r53_a_running_job_is_cancelled_and_then_it_is_final(live: Live, sampler_params: str) -> None:
    with live.user().http() as http:
        job_id = submit(http, sampler_params, "slow")
        assert http.post(f"/jobs/{job_id}/cancel").status_code == 204
        assert wait(http, job_id)["state"]["status"] == "Cancelled"
        complaint(http.post(f"/jobs/{job_id}/cancel"), 409)


def test_the_list_filters_and_counts_all_that_match(live: Live, sampler_params: str) -> None:
    with live.user().http() as http:
        ids = [submit(http, sampler_params, tags=["all", f"t{n % 2}"]) for n in range(5)]
        for job_id in ids:
            wait(http, job_id)
        page = http.get("/jobs?limit=2&offset=1&tags=all&exclude_params=true").json()
        assert (page["count"], page["limit"], page["offset"]) == (5, 2, 1)
        assert [job["id"] for job in page["jobs"]] == [ids[3], ids[2]]
        both = http.get("/jobs?tags=all&tags=t1&sort=ASC").json()
        assert [job["id"] for job in both["jobs"]] == [ids[1], ids[3]]
        assert http.get("/jobs?pending=true").json()["count"] == 0
        assert http.get("/jobs?backend=bench&program=sampler&pending=false").json()["count"] == 5
        assert http.get("/jobs?backend=slow").json() == {"jobs": [], "count": 0, "limit": 10, "offset": 0}
        assert http.get("/jobs?created_before=2025-01-01").json()["count"] == 0
        assert "limit=0" in complaint(http.get("/jobs?limit=0"), 400)
        complaint(http.get("/jobs?tags=%ff"), 400)


def test_a_failing_circuit_is_refused_with_a_400(ada: User, sampler_params: str) -> None:
    with ada.http() as http:
        broken = sampler_params.replace('"__value__": "', '"__value__": "AAAA', 1)
        reply = http.post("/jobs", content=f'{{"program_id":"sampler","backend":"bench","params":{broken}}}')
        complaint(reply, 400)


def test_r54_an_idempotency_key_marks_a_repetition(ada: User, sampler_params: str) -> None:
    body = f'{{"program_id":"sampler","backend":"bench","params":{sampler_params}}}'
    with ada.http() as http:
        first, second, third = (
            http.post("/jobs", content=body, headers={"idempotency-key": key}).json()["id"]
            for key in ("k1", "k1", "k2")
        )
        assert first == second != third


def test_r54_the_same_submit_twice_on_one_connection_is_two_jobs(ada: User, sampler_params: str) -> None:
    with ada.http() as http:
        assert submit(http, sampler_params) != submit(http, sampler_params)


def test_r54_a_submit_whose_reply_was_lost_makes_no_second_job(live: Live, sampler_params: str) -> None:
    user = live.user()
    body = f'{{"program_id":"sampler","backend":"slow","params":{sampler_params}}}'.encode()
    at = urlsplit(live.url)
    head = f"POST /api/v1/jobs HTTP/1.1\r\nhost: x\r\nauthorization: apikey {user.key}\r\n"
    request = f"{head}content-length: {len(body)}\r\n\r\n".encode() + body
    with socket.create_connection((at.hostname, at.port)) as lost:
        lost.sendall(request)
    with socket.create_connection((at.hostname, at.port), timeout=30) as retry:
        retry.sendall(request)
        answer = b""
        while b"}" not in answer:
            answer += retry.recv(65536)
    assert b"200" in answer.split(b"\r\n")[0]
    with user.http() as http:
        page = http.get("/jobs").json()
        assert page["count"] == 1
        assert page["jobs"][0]["id"].encode() in answer
        http.post(f"/jobs/{page['jobs'][0]['id']}/cancel")


def test_held_polls_answer_a_short_job_at_its_end(ada: User, sampler_params: str) -> None:
    with ada.http() as http:
        submit(http, sampler_params)
        job_id = submit(http, sampler_params)
        job = http.get(f"/jobs/{job_id}", params={"exclude_params": "true"}).json()
        assert job["state"]["status"] == "Completed"


# Sessions


def test_a_session_from_open_to_closed(live: Live, sampler_params: str) -> None:
    with live.user().http() as http:
        made = http.post("/sessions", json={"mode": "dedicated", "backend": "bench", "max_ttl": 600})
        assert made.status_code == 200
        session_id = made.json()["id"]
        details = http.get(f"/sessions/{session_id}").json()
        expected = {"backend_name": "bench", "mode": "dedicated", "state": "open", "accepting_jobs": True}
        assert expected.items() <= details.items()
        assert (details["max_ttl"], details["active_ttl"], details["interactive_ttl"]) == (600, 600, 300)
        assert [step["status"] for step in details["timestamps"]] == ["open"]
        wait(http, submit(http, sampler_params, session_id=session_id))
        details = http.get(f"/sessions/{session_id}").json()
        assert details["state"] == "active"
        assert details["last_job_completed"] >= details["last_job_started"] >= details["started_at"]
        for _ in range(2):
            assert http.patch(f"/sessions/{session_id}", json={"accepting_jobs": False}).status_code == 204
        assert http.get(f"/sessions/{session_id}").json()["state"] == "closed"
        assert "reopened" in complaint(
            http.patch(f"/sessions/{session_id}", json={"accepting_jobs": True}), 409
        )
        head = {"program_id": "sampler", "backend": "bench", "session_id": session_id, "params": {}}
        refused = http.post("/jobs", json=head | {"params": json.loads(sampler_params)})
        complaint(refused, 400)
        assert refused.json()["error"]["code"] == 1217
        for _ in range(2):
            assert http.delete(f"/sessions/{session_id}/close").status_code == 204
        assert http.get("/sessions").json()["sessions"][0]["id"] == session_id


def test_r18_a_batch_may_say_its_time_in_words(ada: User) -> None:
    with ada.http() as http:
        body = {"mode": "batch", "backend_name": "bench", "max_ttl": "1h 30m"}
        made = http.post("/sessions", json=body).json()
        assert (made["mode"], made["max_ttl"]) == ("batch", 5400)
        assert http.delete(f"/sessions/{made['id']}/close").status_code == 204


@pytest.mark.parametrize(
    ("change", "part"),
    [
        ({"mode": "fast"}, "dedicated"),
        ({"mode": 3}, "dedicated"),
        ({"max_ttl": 0}, "28800"),
        ({"max_ttl": -5}, "28800"),
        ({"max_ttl": "soon"}, "28800"),
        ({"max_ttl": 28801}, "28800"),
        ({"max_ttl": True}, "28800"),
        ({"backend": None}, "backend"),
        ({"backend": 5}, "backend"),
        ({"backend_name": "slow"}, "one device"),
    ],
)
def test_r20_bad_values_of_a_session_are_a_400_with_the_limits(
    ada: User, change: dict[str, Any], part: str
) -> None:
    with ada.http() as http:
        reply = http.post("/sessions", json={"mode": "dedicated", "backend": "bench"} | change)
        assert part in complaint(reply, 400)


def test_fields_of_a_session_that_do_not_exist_are_refused_not_dropped(ada: User) -> None:
    with ada.http() as http:
        wanted = {"mode": "dedicated", "backend": "bench"}
        reply = http.post("/sessions", json=wanted | {"interactive_ttl": 9})
        assert "'interactive_ttl'" in complaint(reply, 400)
        session_id = http.post("/sessions", json=wanted).json()["id"]
        for accepting in (True, False):
            change = {"accepting_jobs": accepting, "max_ttl": 5}
            assert "'max_ttl'" in complaint(http.patch(f"/sessions/{session_id}", json=change), 400)
        assert http.get(f"/sessions/{session_id}").json()["accepting_jobs"] is True
        http.delete(f"/sessions/{session_id}/close")


def test_a_body_that_names_another_instance_than_its_header_is_refused(
    ada: User, bob: User, sampler_params: str
) -> None:
    session = {"mode": "dedicated", "backend": "bench"}
    with ada.http() as http:
        assert ada.crn in complaint(http.post("/sessions", json=session | {"instance": bob.crn}), 400)
        session_id = http.post("/sessions", json=session | {"instance": ada.crn}).json()["id"]
        http.delete(f"/sessions/{session_id}/close")
        job = f'{{"program_id": "sampler", "backend": "bench", "params": {sampler_params}, "instance": "%s"}}'
        assert ada.crn in complaint(http.post("/jobs", content=job % bob.crn), 400)
        assert http.post("/jobs", content=job % ada.crn).status_code in (200, 201)


def test_a_session_on_an_unknown_device_is_refused(ada: User) -> None:
    with ada.http() as http:
        reply = http.post("/sessions", json={"mode": "dedicated", "backend": "nope"})
        assert 400 <= reply.status_code < 500
        assert "bench" in complaint(reply, reply.status_code)


@pytest.mark.parametrize(
    "body", [b"", b"{", b"[]", b"{}", b'{"accepting_jobs": "no"}', b'{"accepting_jobs": null}']
)
def test_a_bad_change_of_a_session_is_a_400(ada: User, body: bytes) -> None:
    with ada.http() as http:
        complaint(http.patch("/sessions/any", content=body), 400)


# Usage and health


def test_usage_and_the_paths_of_older_clients(ada: User) -> None:
    with ada.http() as http:
        for path in ("/instances/usage", "/usage"):
            usage = http.get(path).json()
            assert usage["usage_consumed_seconds"] >= 0
            assert isinstance(usage["usage_consumed_seconds"], int)
            assert usage["plan_id"] == "sojourn-premium"
            assert usage["usage_limit_reached"] is False
        assert http.get("/instance").json()["qctrl_enabled"] is False


def test_workloads_are_jobs_and_sessions_newest_first(live: Live, sampler_params: str) -> None:
    with live.user().http() as http:
        job_id = submit(http, sampler_params)
        session_id = http.post("/sessions", json={"mode": "batch", "backend": "bench"}).json()["id"]
        wait(http, submit(http, sampler_params, session_id=session_id))
        http.delete(f"/sessions/{session_id}/close")  # or the device would be held for it
        found = http.get("/workloads").json()["workloads"]
        assert [(line["id"], line["mode"]) for line in found] == [(session_id, "batch"), (job_id, "job")]
        assert [line["id"] for line in http.get("/workloads?mode=job").json()["workloads"]] == [job_id]
        complaint(http.get("/workloads?mode=x"), 400)


def test_health(live: Live) -> None:
    assert httpx.get(f"{live.url}/healthz").json()["alive"] is True
    deadline = time.monotonic() + 60
    while (ready := httpx.get(f"{live.url}/readyz")).status_code == 503 and time.monotonic() < deadline:
        assert ready.json()["ready"] is False
    assert ready.status_code == 200
    assert {"bench", "slow"} <= set(ready.json()["devices"])


@pytest.mark.parametrize(
    "request_bytes",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\x00" * 50 + b"\r\n\r\n",
        b"GET\r\n\r\n",
        b"GET /api/v1/\xff\xfe HTTP/1.1\r\nhost: x\r\n\r\n",
        b"GET http:// HTTP/1.1\r\nhost: x\r\n\r\n",
        b"POST /api/v1/jobs HTTP/1.1\r\nhost: x\r\ncontent-length: -5\r\n\r\n",
        b"POST /api/v1/jobs HTTP/1.1\r\nhost: x\r\ncontent-length: 9999999999999999999999999\r\n\r\n",
        b"POST /api/v1/jobs HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n",
        b"GET /api/v1/backends%00%ff HTTP/1.1\r\nhost: x\r\n\r\n",
        b"GET /" + b"a" * 5000 + b" HTTP/1.1\r\nhost: x\r\n\r\n",
        b"GET /api/v1/backends HTTP/1.1\r\nhost: x\r\nauthorization: Bearer \xff\xfe.\xff.\xff\r\n\r\n",
        b"GET /api/v1/backends HTTP/1.1\r\nhost: x\r\nauthorization: Bearer " + b"a" * 20000 + b"\r\n\r\n",
        b"POST /identity/token HTTP/1.1\r\nhost: x\r\ncontent-length: 4\r\n\r\n\xff\xfe\xfd\xfc",
        b"POST /identity/token HTTP/1.1\r\nhost: x\r\ncontent-length: 1000000\r\n\r\n",
        b"GET /api/v1/backends HTTP/1.1\r\nupgrade: websocket\r\nconnection: upgrade\r\nhost: x\r\n\r\n",
    ],
)
def test_bytes_that_are_no_sane_request_get_a_4xx_in_the_clients_shape(
    live: Live, request_bytes: bytes
) -> None:
    answer = raw(live.url, request_bytes)
    assert answer.startswith(b"HTTP/1.1 4"), answer
    assert b'{"error":{"code":' in answer or b"content-type: application/json" in answer
    assert httpx.get(f"{live.url}/healthz").status_code == 200
