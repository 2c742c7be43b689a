"""The client of our own API returns what the server answered, or says exactly what went wrong."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from sojourn.cli.refusals import sentence
from sojourn.client import Blocks, Client, ClientError, Refused, TooSlow, Unreachable


@contextmanager
def answering(status: int, body: str) -> Iterator[tuple[str, list[tuple[str, str, str | None, str]]]]:
    """The address of a server that always answers so, and the requests that it has received."""
    received: list[tuple[str, str, str | None, str]] = []

    class Handler(BaseHTTPRequestHandler):
        def answer(self) -> None:
            content = self.rfile.read(int(self.headers.get("content-length", 0))).decode()
            received.append((self.command, self.path, self.headers.get("authorization"), content))
            data = body.encode()
            self.send_response(status)
            self.send_header("content-length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        do_GET = do_POST = do_PUT = do_PATCH = answer  # noqa: N815  named by the base class

        def log_message(self, format: str, *args: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}", received
        finally:
            server.shutdown()
            thread.join()


def test_a_call_carries_the_key_the_query_and_the_body() -> None:
    with answering(200, '{"a": 1}') as (url, received):
        client = Client(url, "sjn_k")
        assert client.get("/jobs", limit=2, device=None) == {"a": 1}
        client.post("/users", {"name": "ada"})
        client.post("/jobs/x/cancel")
        client.put("/accounts/a", {"weight": 2})
        client.patch("/projects/p", {})
    assert [(method, path, key) for method, path, key, _ in received] == [
        ("GET", "/sojourn/v1/jobs?limit=2", "Bearer sjn_k"),
        ("POST", "/sojourn/v1/users", "Bearer sjn_k"),
        ("POST", "/sojourn/v1/jobs/x/cancel", "Bearer sjn_k"),
        ("PUT", "/sojourn/v1/accounts/a", "Bearer sjn_k"),
        ("PATCH", "/sojourn/v1/projects/p", "Bearer sjn_k"),
    ]
    assert json.loads(received[1][3]) == {"name": "ada"}
    assert received[2][3] == ""


def test_a_refusal_has_the_sentence_and_the_status_of_the_server() -> None:
    body = json.dumps({"error": {"code": 1004, "message": "There is no user 'x'."}})
    with answering(404, body) as (url, _), pytest.raises(Refused) as refused:
        Client(url, "k").get("/users/x")
    assert (refused.value.status, refused.value.message) == (404, "There is no user 'x'.")
    assert sentence(refused.value) == f"There is no user 'x' ({url} answered 404)"


@pytest.mark.parametrize(
    ("status", "path", "words"),
    [
        (401, "/jobs", "The key is wrong, was revoked, or belongs to another server"),
        (403, "/usage", "An operator's key shows the usage of everybody"),
        (403, "/reservations/r", "The key of an admin of the project or of an operator is needed"),
        (403, "/users", "An operator's key is needed"),
    ],
)
def test_a_refused_key_is_answered_with_the_one_that_helps(status: int, path: str, words: str) -> None:
    assert words in sentence(Refused("http://h:1", "GET", path, status, "{}"))


def test_control_characters_of_a_foreign_server_do_not_reach_the_terminal() -> None:
    assert "\x1b" not in sentence(Refused("http://h:1", "GET", "/jobs", 500, "\x1b[2J"))
    assert "no message" in sentence(Refused("http://h:1", "GET", "/jobs", 500, ""))


def test_an_answer_that_is_not_json_is_not_that_of_a_sojourn_server() -> None:
    with answering(200, "<html>") as (url, _), pytest.raises(ClientError, match="not a Sojourn server"):
        Client(url, "k").get("/devices")


def test_where_nothing_listens_the_message_says_how_to_start_a_server() -> None:
    with pytest.raises(Unreachable) as error:
        Client("http://127.0.0.1:1", "k").get("/devices")
    assert "http://127.0.0.1:1" in str(error.value)
    assert "`sojourn serve`" in sentence(error.value)


def test_a_server_that_does_not_answer_in_time_is_not_said_to_be_absent() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        with pytest.raises(TooSlow) as error:
            Client(url, "k", timeout=0.05).get("/devices")
    assert sentence(error.value) == f"the server at {url} did not answer within 0.05 s"


def test_events_are_read_whole_whatever_the_pieces_in_which_they_come() -> None:
    """A reason may have characters that end a line elsewhere."""
    data = {"id": 7, "reason": "a\u2028b\u0085c\x0b: d"}
    text = f"retry: 2000\n\n: 3\nid: 3\n\nid: 7\nevent: job\ndata: {json.dumps(data, ensure_ascii=False)}\n\n"
    whole = text.encode()
    for size in (1, 2, 7, len(whole)):
        pieces = [whole[at : at + size] for at in range(0, len(whole), size)]
        blocks = Blocks()
        retry, beat, event = [fields for piece in pieces for fields in blocks.feed(piece)]
        assert (retry, beat) == ({"retry": "2000"}, {"id": "3"})
        assert (event["id"], event["event"]) == ("7", "job")
        assert json.loads(event["data"]) == data


def _stream(*events: tuple[int | None, str, str]) -> str:
    return "".join(
        (f"id: {number}\n" if number is not None else "") + f"event: {name}\ndata: {data}\n\n"
        for number, name, data in events
    )


def test_a_stream_that_is_cut_is_followed_again_and_ends_when_it_is_complete() -> None:
    cut = _stream((4, "job", '{"id": 4}'))
    ended = _stream((None, "end", '{"reason": "complete", "message": "", "last_event_id": 5}'))
    replies = [cut, ended]
    with streaming(replies) as (url, received):
        assert list(Client(url, "k").events(last_event_id=3, pause=0.0, kind=["job", "device"])) == [
            {"id": 4}
        ]
    path = "/sojourn/v1/events?kind=job&kind=device"
    assert received == [(path, "3"), (path, "4")]


def test_a_stream_says_why_it_was_cut_and_goes_on() -> None:
    slow = _stream((None, "end", '{"reason": "slow", "message": "too slow", "last_event_id": 9}'))
    ended = _stream((None, "end", '{"reason": "complete", "message": "", "last_event_id": 9}'))
    said: list[str] = []
    with streaming([slow, ended]) as (url, _):
        assert list(Client(url, "k").events(on_lost=said.append, pause=0.0)) == []
    assert said == ["too slow"]


def test_a_stream_that_is_refused_or_not_there_is_an_error_at_once() -> None:
    with answering(401, '{"error": {"code": 1001, "message": "no"}}') as (url, _):
        with pytest.raises(Refused) as refused:
            next(Client(url, "k").events())
        assert (refused.value.path, refused.value.message) == ("/events", "no")
    with pytest.raises(Unreachable):
        next(Client(url, "k").events())
    with answering(200, "hello") as (url, _), pytest.raises(ClientError, match="not a Sojourn server"):
        next(Client(url, "k").events())


@contextmanager
def streaming(replies: list[str]) -> Iterator[tuple[str, list[tuple[str, str | None]]]]:
    """The address of a server that answers with one of these after the other, and what it was asked."""
    received: list[tuple[str, str | None]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            received.append((self.path, self.headers.get("last-event-id")))
            self.send_response(200)
            self.send_header("content-type", "text/event-stream; charset=utf-8")
            self.end_headers()
            self.wfile.write(replies[len(received) - 1].encode())

        def log_message(self, format: str, *args: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}", received
        finally:
            server.shutdown()
            thread.join()
