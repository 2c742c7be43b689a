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
from sojourn.client import Client, ClientError, Refused, TooSlow, Unreachable


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
