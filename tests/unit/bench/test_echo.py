"""Recorded answers are played back to the client as they came, by another process."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
import requests
from bench.speed.echo import Answer, playing
from bench.speed.wire import Wire


class Counting(BaseHTTPRequestHandler):
    """Answers with the number of the request."""

    protocol_version = "HTTP/1.1"
    count = 0

    def _answer(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        type(self).count += 1
        body = b'{"id": "job-%d"}' % self.count
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_GET = do_POST = _answer  # noqa: N815

    def log_message(self, format: str, *args: Any) -> None:
        pass


@pytest.fixture
def url() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Counting) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def test_an_answer_belongs_to_its_method_and_path_and_what_has_none_is_not_found() -> None:
    with playing({("GET", "/a?b=1"): Answer(202, "text/plain", b"there")}) as at, requests.Session() as http:
        http.trust_env = False
        reply = http.get(f"{at}/a?b=1")
        assert (reply.status_code, reply.headers["Content-Type"], reply.text) == (202, "text/plain", "there")
        assert http.post(f"{at}/a?b=1", data=b"x" * 100_000).status_code == 404
        assert http.get(f"{at}/a?b=1").text == "there", "the connection goes on"


def test_a_step_against_the_echo_is_answered_as_it_was_and_does_not_reach_the_server(url: str) -> None:
    said: list[str] = []
    with Wire(url) as wire, requests.Session() as http:
        http.trust_env = False

        def step() -> None:
            said.append(http.post(f"{url}/jobs", data=b"body").json()["id"])

        with wire.echo(step) as again:
            before = Counting.count
            again()
            again()
            assert Counting.count == before
        step()
    assert said[0] == said[1] == said[2] != said[3]
    assert [(trip.method, trip.path, trip.job) for trip in wire.trips] == [
        ("POST", "/jobs", said[0]),
        ("POST", "/jobs", said[3]),
    ]
