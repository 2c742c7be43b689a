"""`GET /events` of a real server: the wire, who is told, what is refused, and how a stream ends."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from sojourn.client import Client, Refused
from sojourn.embedded import Embedded, Key
from tests.harness.api import complaint
from tests.harness.programs import job_body

MOCK = {"name": "mock", "driver": "mock", "options": {"qubits": 5, "seconds": 0.0}}
PATIENCE = 60.0


@pytest.fixture(scope="module")
def server() -> Iterator[Embedded]:
    with Embedded(devices=[MOCK], server={"heartbeat_seconds": 1.0, "streams": 6}) as running:
        yield running


@pytest.fixture(scope="module")
def ann(server: Embedded) -> Key:
    return server.user("ann", "chem")


@pytest.fixture(scope="module")
def bob(server: Embedded) -> Key:
    return server.user("bob", "physics")


def http(server: Embedded, key: Key | str) -> httpx.Client:
    secret = key if isinstance(key, str) else key.api_key
    return httpx.Client(
        base_url=f"{server.url}/sojourn/v1",
        headers={"authorization": f"apikey {secret}"},
        timeout=PATIENCE,
        trust_env=False,
    )


def submitted(server: Embedded, key: Key) -> str:
    with http(server, key) as client:
        reply = client.post(f"{server.url}/api/v1/jobs", content=job_body())
        assert reply.status_code == 200, reply.text
        return str(reply.json()["id"])


def blocks(reply: httpx.Response) -> Iterator[dict[str, str]]:
    """Each block of a stream as its fields; a comment is the field with the empty name."""
    assert reply.status_code == 200, reply.read()
    rest = ""
    for chunk in reply.iter_text():
        *whole, rest = (rest + chunk).split("\n\n")
        for block in whole:
            fields = (line.partition(":") for line in block.split("\n"))
            yield {name: value.removeprefix(" ") for name, _, value in fields}


def past(server: Embedded, key: Key, **query: Any) -> list[dict[str, Any]]:
    client = Client(server.url, key.api_key)
    return list(client.events(last_event_id=query.pop("last", 0), follow="false", **query))


def test_a_stream_is_server_sent_events_and_begins_with_where_it_is(server: Embedded, ann: Key) -> None:
    with http(server, ann) as client, client.stream("GET", "/events", params={"kind": "job"}) as reply:
        assert reply.headers["content-type"] == "text/event-stream; charset=utf-8"
        assert reply.headers["cache-control"] == "no-store"
        assert reply.headers["x-accel-buffering"] == "no"
        assert "content-length" not in reply.headers
        found = blocks(reply)
        assert next(found) == {"retry": "2000"}
        begin = next(found)
        assert set(begin) == {"", "id"}
        job = submitted(server, ann)
        events: list[dict[str, Any]] = []
        while not events or events[-1]["after"] != "completed":
            block = next(found)
            if "data" in block:
                assert block["event"] == "job"
                events.append(json.loads(block["data"]))
                assert block["id"] == str(events[-1]["id"])
    assert [(e["before"], e["after"]) for e in events] == [
        (None, "accepted"),
        ("accepted", "queued"),
        ("queued", "running"),
        ("running", "completed"),
    ]
    assert {(e["subject"], e["user"], e["project"], e["device"], e["session"]) for e in events} == {
        (job, "ann", "chem", "mock", None)
    }
    assert all(e["id"] > int(begin["id"]) for e in events)
    history = Client(server.url, ann.api_key).get(f"/jobs/{job}/history")["history"]
    same = ("id", "at", "cause", "before", "after", "reason")
    assert [{name: e[name] for name in same} for e in events] == history


def test_an_idle_stream_is_kept_by_signs_of_life_with_the_place_to_resume_from(
    server: Embedded, ann: Key, bob: Key
) -> None:
    with http(server, ann) as client, client.stream("GET", "/events", params={"kind": "job"}) as reply:
        found = blocks(reply)
        next(found)
        begin = int(next(found)["id"])
        submitted(server, bob)
        resume = begin
        while resume == begin:
            block = next(found)
            assert set(block) == {"", "id"}, "bob's job is none of ann's"
            resume = int(block["id"])
    assert past(server, ann, last=resume, kind="job") == []


def test_two_users_follow_the_same_device_and_each_is_told_of_their_own(
    server: Embedded, ann: Key, bob: Key
) -> None:
    jobs = {key.name: submitted(server, key) for key in (ann, bob)}
    with http(server, ann) as client:
        for key, other in ((ann, bob), (bob, ann)):
            seen: set[str] = set()
            for event in Client(server.url, key.api_key).events(last_event_id=0, device="mock", kind="job"):
                seen.add(event["subject"])
                assert event["user"] == key.name
                if event["subject"] == jobs[key.name] and event["after"] == "completed":
                    break
            assert jobs[other.name] not in seen
        assert client.get("/me").json()["user"] == "ann"


def test_the_header_counts_before_the_query_and_both_resume_behind_the_event(
    server: Embedded, ann: Key
) -> None:
    submitted(server, ann)
    ids = [event["id"] for event in past(server, ann)]
    assert [event["id"] for event in past(server, ann, last=ids[1])][: len(ids) - 2] == ids[2:]
    with http(server, ann) as client:
        how: dict[str, Any] = {
            "params": {"last_event_id": ids[-1], "follow": "false"},
            "headers": {"Last-Event-ID": str(ids[0])},
        }
        with client.stream("GET", "/events", **how) as reply:
            told = [int(block["id"]) for block in blocks(reply) if block.get("event", "end") != "end"]
    assert told[: len(ids) - 1] == ids[1:]


@pytest.mark.parametrize(
    ("query", "status", "said"),
    [
        ("?kind=jobs", 400, "'kind.0' is 'jobs': Input should be 'job', 'session'"),
        ("?devise=mock", 400, "no query parameter 'devise' here. Possible: device, job"),
        ("?device=mock&device=mock", 400, "'device' was sent more than once"),
        ("?device=", 400, "Query parameter 'device' is ''"),
        ("?device=fez", 404, "fez"),
        ("?job=j1", 404, "Job j1 was not found"),
        ("?session=s1", 404, "Session s1 was not found"),
        ("?project=physics", 404, "You are in no project 'physics'. Yours: chem."),
        ("?last_event_id=-1", 400, "greater than or equal to 0"),
        ("?last_event_id=x", 400, "'last_event_id' is 'x'"),
        ("?last_event_id=9007199254740992", 400, "no event 9007199254740992 yet"),
        ("?last_event_id=9007199254740993", 400, "less than or equal to"),
        ("?follow=perhaps", 400, "'follow' is 'perhaps'"),
    ],
)
def test_what_cannot_be_followed_is_refused_with_a_reason(
    server: Embedded, ann: Key, bob: Key, query: str, status: int, said: str
) -> None:
    with http(server, ann) as client:
        assert said in complaint(client.get(f"/events{query}"), status)


@pytest.mark.parametrize("text", ["x", "-1", "1.5", "9" * 30, "١"])
def test_a_header_that_is_no_id_is_refused(server: Embedded, ann: Key, text: str) -> None:
    with http(server, ann) as client:
        reply = client.get("/events", headers={b"Last-Event-ID": text.encode()})
        assert "Header Last-Event-ID is" in complaint(reply, 400)


def test_somebody_elses_job_and_session_cannot_be_followed(server: Embedded, ann: Key, bob: Key) -> None:
    job = submitted(server, bob)
    with http(server, ann) as client:
        complaint(client.get(f"/events?job={job}"), 404)
    assert {e["subject"] for e in past(server, bob, job=job)} == {job}
    with http(server, "nobody's key") as client:
        complaint(client.get("/events"), 401)


def test_a_stream_ends_with_the_key_that_opened_it_and_is_told_why(server: Embedded) -> None:
    operator = Client(server.url, server.operator_key)
    eve = server.user("eve", "chem")
    with http(server, eve) as client, client.stream("GET", "/events") as reply:
        found = blocks(reply)
        next(found), next(found)
        operator.post("/users/eve/keys/key-1/revoke")
        submitted_after = Client(server.url, server.operator_key).post("/devices/mock/pause")
        assert submitted_after["state"] == "paused"
        (last,) = [block for block in found if "data" in block]
    operator.post("/devices/mock/resume")
    assert last["event"] == "end"
    end = json.loads(last["data"])
    assert end["reason"] == "rights"
    assert "revoked" in end["message"]


def test_a_stream_ends_when_its_user_leaves_the_project(server: Embedded) -> None:
    operator = Client(server.url, server.operator_key)
    dan = server.user("dan", "chem")
    server.user("dan", "physics")
    with http(server, dan) as client, client.stream("GET", "/events") as reply:
        found = blocks(reply)
        next(found), next(found)
        operator.post("/projects/chem/members/dan/remove")
        (last,) = [block for block in found if "data" in block]
    assert json.loads(last["data"])["reason"] == "rights"


def test_it_ends_at_once_also_where_nothing_else_would_be_written_for_long() -> None:
    with Embedded(devices=[MOCK], server={"heartbeat_seconds": PATIENCE}) as quiet:
        operator = Client(quiet.url, quiet.operator_key)
        for name, end in {"eve": "/users/eve/revoke", "dan": "/projects/chem/members/dan/remove"}.items():
            key = quiet.user(name, "chem")
            quiet.user(name, "physics")
            with http(quiet, key) as client, client.stream("GET", "/events?project=chem") as reply:
                found = blocks(reply)
                next(found), next(found)
                operator.post(end)
                ended = time.monotonic()
                (last,) = [block for block in found if "data" in block]
            assert json.loads(last["data"])["reason"] == "rights"
            assert time.monotonic() - ended < PATIENCE / 2


def test_one_stream_too_many_is_answered_503_and_a_closed_one_makes_room(server: Embedded, ann: Key) -> None:
    with http(server, ann) as client:
        streams: list[Any] = []
        while len(streams) < 6:  # those of earlier tests may still be there for a moment
            one = client.stream("GET", "/events")
            if one.__enter__().status_code == 200:
                streams.append(one)
            else:
                one.__exit__(None, None, None)
        refused = client.get("/events")
        assert "6 event streams open" in complaint(refused, 503)
        assert refused.headers["retry-after"] == "30"
        for each in streams:
            each.__exit__(None, None, None)
    while not _let_in(server, ann):  # until the server has noticed
        pass


def _let_in(server: Embedded, key: Key) -> bool:
    try:
        return past(server, key) != []
    except Refused as error:
        if error.status != 503:
            raise
        return False


def test_a_stream_is_in_the_schema(server: Embedded, ann: Key) -> None:
    schema = Client(server.url, ann.api_key).get("/openapi.json")
    answer = schema["paths"]["/events"]["get"]["responses"]["200"]["content"]
    assert set(answer) == {"text/event-stream"}
