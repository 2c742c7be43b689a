"""R54 over the wire: equal submits on every kind of connection, with and without a loss of the reply.

The whole kind: whatever lies between a client and the server (nothing, a reverse or a forward proxy, one
connection a request or one for all, HTTP/1.0, several threads), a submit whose reply was handed to an open
connection is never repeated, and one whose connection ended before that is. docs/decisions/0002 has the
table. Real nginx is in tests/acceptance/test_nginx.py.
"""

from __future__ import annotations

import json
import socket
import struct
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TypedDict, Unpack
from urllib.parse import urlsplit

import pytest

from tests.harness.api import Live, User

RESET = struct.pack("ii", 1, 0)
FORWARDED = {
    "plain": b"",
    "X-Forwarded-For": b"x-forwarded-for: 10.0.0.7\r\n",
    "Forwarded": b"forwarded: for=10.0.0.7\r\n",
    "Via": b"via: 1.1 proxy\r\n",
}


class How(TypedDict, total=False):
    """In which words a submit is sent."""

    more: bytes
    version: bytes
    absolute: bool


class Wire:
    """Sends one and the same submit, as bytes."""

    def __init__(self, user: User, params: str) -> None:
        at = urlsplit(user.url)
        self._address = (at.hostname, at.port)
        self._authority = f"http://{at.netloc}".encode()
        self._key = user.key.encode()
        self.user = user
        self._body = f'{{"program_id":"sampler","backend":"bench","params":{params}}}'.encode()

    def connect(self) -> socket.socket:
        return socket.create_connection(self._address, timeout=60)

    def request(self, more: bytes = b"", version: bytes = b"1.1", absolute: bool = False) -> bytes:
        target = (self._authority if absolute else b"") + b"/api/v1/jobs"
        return b"POST %b HTTP/%b\r\nhost: x\r\nauthorization: apikey %b\r\n%bcontent-length: %d\r\n\r\n%b" % (
            target,
            version,
            self._key,
            more,
            len(self._body),
            self._body,
        )

    def count(self) -> int:
        with self.user.http() as http:
            return int(http.get("/jobs").json()["count"])


def reply(connection: socket.socket) -> str:
    """The id of the job in the next reply."""
    text = b""
    while b"\r\n\r\n" not in text:
        text += received(connection)
    head, _, body = text.partition(b"\r\n\r\n")
    assert b" 200 " in head.split(b"\r\n")[0], text
    lines = head.lower().split(b"\r\n")
    (length,) = (int(line[15:]) for line in lines if line.startswith(b"content-length:"))
    while len(body) < length:
        body += received(connection)
    assert len(body) == length
    return str(json.loads(body)["id"])


def received(connection: socket.socket) -> bytes:
    found = connection.recv(1)  # not more than this reply
    assert found, "the connection ended before the reply"
    return found


def reset(connection: socket.socket) -> None:
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
    connection.close()


@pytest.fixture
def wire(live: Live, sampler_params: str) -> Wire:
    return Wire(live.user(), sampler_params)


def one_for_all(wire: Wire, **how: Unpack[How]) -> list[str]:
    with wire.connect() as connection:
        found = []
        for _ in range(5):
            connection.sendall(wire.request(**how))
            found.append(reply(connection))
        return found


def one_each(
    wire: Wire, *, end: Callable[[socket.socket], None] = socket.socket.close, **how: Unpack[How]
) -> list[str]:
    found = []
    for _ in range(5):
        connection = wire.connect()
        connection.sendall(wire.request(**how))
        found.append(reply(connection))
        end(connection)
    return found


def pipelined(wire: Wire) -> list[str]:
    with wire.connect() as connection:
        connection.sendall(wire.request() * 5)
        return [reply(connection) for _ in range(5)]


def in_threads(wire: Wire) -> list[str]:
    def one(_: int) -> str:
        with wire.connect() as connection:
            connection.sendall(wire.request())
            return reply(connection)

    with ThreadPoolExecutor(5) as pool:
        return list(pool.map(one, range(5)))


WAYS: dict[str, Callable[[Wire], list[str]]] = {
    **{f"keep-alive, {name}": partial(one_for_all, more=head) for name, head in FORWARDED.items()},
    **{f"one each, {name}": partial(one_each, more=head) for name, head in FORWARDED.items()},
    "one each, closed by the server": lambda w: one_each(w, more=b"connection: close\r\n"),
    "one each, HTTP/1.0": lambda w: one_each(w, version=b"1.0"),
    # as HAProxy ends its connections to a server, every one of them, after the whole reply
    "one each, reset after the reply": lambda w: one_each(w, end=reset),
    "absolute form, as to a forward proxy": lambda w: one_for_all(w, absolute=True),
    "pipelined": pipelined,
    "threads": in_threads,
}


@pytest.mark.parametrize("way", WAYS)
def test_r54_equal_submits_whose_replies_were_sent_are_jobs_of_their_own(wire: Wire, way: str) -> None:
    assert len(set(WAYS[way](wire))) == 5
    assert wire.count() == 5


@pytest.mark.parametrize("end", [socket.socket.close, reset], ids=["closed", "reset"])
@pytest.mark.parametrize("version", [b"1.1", b"1.0"])
@pytest.mark.parametrize("head", FORWARDED.values(), ids=FORWARDED)
def test_r54_a_connection_that_ended_before_the_reply_is_made_good(
    wire: Wire, head: bytes, version: bytes, end: Callable[[socket.socket], None]
) -> None:
    """As a proxy does that gives up with 504, or whose client has gone."""
    connection = wire.connect()
    connection.sendall(wire.request(head, version))
    end(connection)
    found = one_each(wire, more=head, version=version)
    assert len(set(found)) == 5  # the first of them is the lost one's
    assert wire.count() == 5


def test_r54_several_connections_that_ended_are_made_good_once_each(wire: Wire) -> None:
    lost = [wire.connect() for _ in range(3)]
    for connection in lost:
        connection.sendall(wire.request())
    for connection in lost:
        connection.close()
    assert len(set(one_each(wire))) == 5
    assert wire.count() == 5
