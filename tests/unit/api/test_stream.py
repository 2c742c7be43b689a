"""A large text is written piece by piece, and stops when nobody is there to read it or it is gone."""

from __future__ import annotations

import asyncio
from typing import Any

from sojourn.api.http.replies import Reply
from sojourn.api.http.streams import SLICE, write, write_large
from sojourn.service.jobs.texts import Large
from sojourn.service.requests.rooms import PIECE

TEXT = bytes(range(256)) * 40_000


class Sink:
    """The messages of a reply, and the most that one had."""

    def __init__(self) -> None:
        self.messages: list[Any] = []

    async def send(self, message: Any) -> None:
        self.messages.append(message)

    @property
    def body(self) -> bytes:
        return b"".join(message["body"] for message in self.messages[1:])

    @property
    def complete(self) -> bool:
        return not self.messages[-1].get("more_body", False)


def reply(text: bytes, asked: list[tuple[int, int]], told: int | None = None) -> Reply:
    async def read(at: int, size: int) -> bytes:
        asked.append((at, size))
        return text[at : at + size]

    return Reply(b"<", text=Large(told or len(text), read), tail=b">")


def test_it_is_asked_for_and_sent_a_piece_at_a_time() -> None:
    sink = Sink()
    asked: list[tuple[int, int]] = []
    asyncio.run(write_large(sink.send, reply(TEXT, asked), lambda: False))
    assert sink.body == b"<" + TEXT + b">"
    assert dict(sink.messages[0]["headers"])[b"content-length"] == str(len(TEXT) + 2).encode()
    assert max(len(message["body"]) for message in sink.messages[1:]) <= SLICE
    assert max(size for _, size in asked) <= PIECE
    assert sink.complete


def test_it_is_not_read_on_for_a_connection_that_has_ended() -> None:
    sink = Sink()
    asked: list[tuple[int, int]] = []
    asyncio.run(write_large(sink.send, reply(TEXT, asked), lambda: len(sink.messages) > 3))
    assert len(asked) == 1
    assert not sink.complete


def test_it_never_looks_whole_when_it_was_deleted_meanwhile() -> None:
    sink = Sink()
    asked: list[tuple[int, int]] = []
    asyncio.run(write_large(sink.send, reply(TEXT[:PIECE], asked, told=len(TEXT)), lambda: False))
    assert sink.body == b"<" + TEXT[:PIECE]
    assert not sink.complete


def test_a_head_has_the_length_and_reads_nothing() -> None:
    sink = Sink()
    asked: list[tuple[int, int]] = []
    asyncio.run(write(sink.send, reply(TEXT, asked), head=True))
    assert (sink.body, asked, sink.complete) == (b"", [], True)
    assert dict(sink.messages[0]["headers"])[b"content-length"] == str(len(TEXT) + 2).encode()
