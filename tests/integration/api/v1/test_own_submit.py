"""Our own submit: POST /sojourn/v1/jobs, from the body to the result."""

from __future__ import annotations

import json
import re
import socket
from typing import Any

import httpx
import pytest

from tests.harness.api import Live, User, complaint, wait


def body(params: str, **more: Any) -> bytes:
    """`params` as JSON text; None leaves a field out."""
    fields = {"program": "sampler", "device": "bench", **more}
    head = json.dumps({name: value for name, value in fields.items() if value is not None})
    return f'{head[:-1]},"params":{params}}}'.encode()


def post(user: User, content: bytes, key: str | None = None) -> httpx.Response:
    with user.http("/sojourn/v1") as http:
        return http.post("/jobs", content=content, headers={} if key is None else {"idempotency-key": key})


def test_a_job_from_the_body_to_the_result(ada: User, sampler_params: str) -> None:
    reply = post(ada, body(sampler_params, tags=["a", "b", "a"], max_execution_time=60, log_level="INFO"))
    assert reply.status_code == 201, reply.text
    made = reply.json()
    assert reply.headers["location"] == f"/sojourn/v1/jobs/{made['id']}"
    assert (made["device"], made["program"], made["user"]) == ("bench", "sampler", "ada")
    assert (made["tags"], made["limit_seconds"], made["private"]) == (["a", "b"], 60, False)
    with ada.http() as client:
        assert wait(client, made["id"])["status"] == "Completed"
        assert "pub_results" in client.get(f"/jobs/{made['id']}/results").text
        assert json.dumps(client.get(f"/jobs/{made['id']}").json()["params"]) == json.dumps(
            json.loads(sampler_params)
        )
    shown = httpx.get(
        f"{ada.url}{reply.headers['location']}", headers={"authorization": f"apikey {ada.key}"}
    ).json()
    assert set(shown) == set(made)
    assert (shown["state"], shown["created"]) == ("completed", made["created"])


def test_a_queued_job_is_answered_with_its_position(ada: User, sampler_params: str) -> None:
    made = [post(ada, body(sampler_params, device="slow")).json() for _ in range(3)]
    with ada.http("/sojourn/v1") as http:
        for job in made:
            http.post(f"/jobs/{job['id']}/cancel")
    assert [job["state"] for job in made[1:]] == ["queued", "queued"]
    assert 0 < made[1]["position"] < made[2]["position"]


def test_an_idempotency_key_makes_one_job_of_equal_submits(ada: User, sampler_params: str) -> None:
    content = body(sampler_params, tags=["once"])
    first, again = post(ada, content, "key-1"), post(ada, content, "key-1")
    assert (first.status_code, again.status_code) == (201, 201)
    assert first.json()["id"] == again.json()["id"]
    assert "another body" in complaint(post(ada, body(sampler_params, tags=["other"]), "key-1"), 409)
    assert "1 to 200 characters" in complaint(post(ada, content, "k" * 201), 400)
    without = {post(ada, content).json()["id"] for _ in range(2)}
    assert len(without | {first.json()["id"]}) == 3


def test_params_may_be_as_large_as_in_the_clients_dialect(ada: User, sampler_params: str) -> None:
    blanks = f"{sampler_params[:-1]}{' ' * 5_000_000}}}"
    reply = post(ada, body(blanks))
    assert reply.status_code == 201, reply.text
    with ada.http() as client:
        assert wait(client, reply.json()["id"])["status"] == "Completed"
    said = complaint(post(ada, body(f"{sampler_params[:-1]}{' ' * 12_000_000}}}")), 413)
    assert "the limit here is 12 MB" in said
    assert "server.max_body_mb" in said
    assert "most of them in 'tags'" in complaint(post(ada, body(sampler_params, tags=["x" * 200_000])), 400)


@pytest.mark.parametrize(
    ("content", "code", "said"),
    [
        (b"", 1201, "not valid JSON"),
        (b"{", 1201, "not valid JSON"),
        (b"[]", 1200, "Expected `object`"),
        (b'{"params": {}, "device": "bench"}', 1200, "missing required field `program`"),
        (b'{"program": "sampler", "device": "bench"}', 1200, "'params' is missing"),
        (b'{"program": "sampler", "params": {}}', 1200, "'device' is missing.*devices lists"),
        (body("[]"), 1200, "params must be a JSON object"),
        (body('{"precision": NaN}'), 1201, "NaN and Infinity are not JSON"),
        (body("{}", program="nope"), 1202, "There is no program 'nope'"),
        (body("{}", device="nope"), 1205, "Backends: bench"),
        (body("{}", private=3), 1200, r"Expected `bool`, got `int` - at `\$\.private`"),
        (body("{}", max_execution_time=0), 1219, "max_execution_time is 0 s; it must be 1 s to 604800 s"),
        (body("{}", max_execution_time=1.5), 1200, "max_execution_time"),
        (body("{}", tags=["x"] * 9 + [str(n) for n in range(9)]), 1200, "at most 8 tags"),
        (body("{}", tags=[""]), 1200, "1 to 86 characters"),
        (body("{}", session="nope"), 1216, "Session nope was not found"),
        (body("{}", log_level="x" * 21), 1200, "the limit is 20"),
        (body("{}", calibration="cal-99"), 1200, "no calibration 'cal-99'"),
    ],
    ids=range(18),
)
def test_a_bad_job_is_refused_with_what_is_wrong(ada: User, content: bytes, code: int, said: str) -> None:
    reply = post(ada, content)
    message = complaint(reply, 404 if code in (1205, 1216) else 400)
    assert re.search(said, message), message
    assert reply.json()["error"]["code"] == code


@pytest.mark.parametrize("field", ["program_id", "backend", "cost", "start_session", "instance", "shots"])
def test_an_unknown_field_is_refused_with_the_list_of_fields(ada: User, field: str) -> None:
    """The kind: whatever is asked for and would be dropped, as the names of the client's dialect."""
    said = complaint(post(ada, body("{}", **{field: 1})), 400)
    assert f"unknown field `{field}`" in said
    assert (
        "The fields of a job are program, params, device, session, tags, max_execution_time, private, "
        "calibration, log_level." in said
    )


def test_a_session_takes_jobs_of_its_owner_only(live: Live, ada: User, sampler_params: str) -> None:
    with ada.http() as client:
        session = client.post("/sessions", json={"mode": "batch", "backend": "bench"}).json()["id"]
    made = post(ada, body(sampler_params, device=None, session=session))
    assert (made.status_code, made.json()["session"], made.json()["device"]) == (201, session, "bench")
    assert "(R5)" in complaint(post(ada, body(sampler_params, device="slow", session=session)), 400)
    with live.operator() as operator:  # who sees it, and is not its owner
        assert operator.get(f"/sessions/{session}").status_code == 200
        complaint(operator.post("/jobs", content=body(sampler_params, session=session)), 404)
    with ada.http("/sojourn/v1") as http:
        http.post(f"/sessions/{session}/close")
    closed = post(ada, body(sampler_params, session=session))
    assert "takes no more jobs" in complaint(closed, 400)
    assert closed.json()["error"]["code"] == 1217


def test_a_private_job_shows_its_inputs_to_nobody(ada: User, sampler_params: str) -> None:
    made = post(ada, body(sampler_params, private=True)).json()
    assert made["private"] is True
    with ada.http() as client:
        wait(client, made["id"])
        assert "params" not in client.get(f"/jobs/{made['id']}").json()
        assert client.get(f"/jobs/{made['id']}/results").text
        assert client.get(f"/jobs/{made['id']}/results").text == ""


@pytest.mark.parametrize("credentials", ["", "authorization: apikey sjn_wrong\r\n"])
def test_no_inputs_are_read_before_the_caller_is_known(live: Live, credentials: str) -> None:
    host, port = live.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=30) as line:
        head = f"POST /sojourn/v1/jobs HTTP/1.1\r\nhost: x\r\n{credentials}content-length: 999999\r\n\r\n"
        line.sendall(head.encode())
        assert line.recv(4096).startswith(b"HTTP/1.1 401 ")


def test_a_wrong_method_names_the_right_ones(ada: User) -> None:
    with ada.http("/sojourn/v1") as http:
        for path, methods in {"/jobs": "GET, POST", "/reservations": "GET, POST", "/devices": "GET"}.items():
            reply = http.put(path)
            assert f"Possible: {methods}." in complaint(reply, 405)
            assert reply.headers["allow"] == methods


def test_the_schema_has_every_field_of_a_submit(ada: User) -> None:
    with ada.http("/sojourn/v1") as http:
        route = http.get("/openapi.json").json()["paths"]["/jobs"]["post"]
    schema = route["requestBody"]["content"]["application/json"]["schema"]
    assert set(schema["properties"]) == {
        *("program", "params", "device", "session", "tags", "max_execution_time", "private", "calibration"),
        "log_level",
    }
    assert schema["required"] == ["program", "params"]
    assert [parameter["name"] for parameter in route["parameters"]] == ["Idempotency-Key"]


def test_the_history_has_ids_that_grow_in_the_order_of_the_commits(ada: User, sampler_params: str) -> None:
    made = [post(ada, body(sampler_params)).json()["id"] for _ in range(2)]
    with ada.http() as client:
        for job in made:
            wait(client, job)
    with ada.http("/sojourn/v1") as http:
        one, two = [http.get(f"/jobs/{job}/history").json()["history"] for job in made]
        old = http.get(f"/jobs/{made[0]}/story").json()["story"]
        schema = http.get("/openapi.json").json()["paths"]
    for entries in (one, two):
        states = [(entry["before"], entry["after"]) for entry in entries]
        assert states[0] == (None, "accepted")
        assert states[-1] == ("running", "completed")
        assert [after for _, after in states[:-1]] == [before for before, _ in states[1:]]
        assert all(entry["cause"] and entry["at"] for entry in entries)
        ids = [entry["id"] for entry in entries]
        assert ids == sorted(set(ids))
    assert one[0]["id"] < two[0]["id"]
    assert not {entry["id"] for entry in one} & {entry["id"] for entry in two}
    assert [line["after"] for line in old] == [entry["after"] for entry in one]
    assert schema["/jobs/{job_id}/story"]["get"]["deprecated"] is True
    assert "deprecated" not in schema["/jobs/{job_id}/history"]["get"]
