"""Frames over a real socket pair: whole in any slicing, refused over the limit, honest about a cut."""

from __future__ import annotations

import os
import socket

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sojourn.execution.local.liveness import ReadCount
from sojourn.execution.local.process import ending
from sojourn.worker.protocol import messages
from sojourn.worker.protocol.frames import (
    MAX_HEADER,
    MAX_PAYLOAD,
    PREFIX,
    Assembler,
    Channel,
    Frame,
    FrameError,
    pieces,
)


@given(
    frames=st.lists(st.tuples(st.binary(max_size=50), st.binary(max_size=200)), max_size=6),
    cuts=st.lists(st.integers(1, 40), min_size=1, max_size=20),
)
def test_frames_come_out_whole_however_they_are_sliced(
    frames: list[tuple[bytes, bytes]], cuts: list[int]
) -> None:
    stream = b"".join(b"".join(pieces(*frame)) for frame in frames)
    assembler, found, at, turn = Assembler(), [], 0, 0
    while at < len(stream):
        size = cuts[turn % len(cuts)]
        found += list(assembler.feed(stream[at : at + size]))
        at, turn = at + size, turn + 1
    assert found == [Frame(*frame) for frame in frames]
    assert not assembler.mid_frame


@pytest.mark.parametrize(("header", "payload"), [(MAX_HEADER + 1, 0), (0, MAX_PAYLOAD + 1)])
def test_a_frame_over_the_limit_is_refused_from_its_prefix_alone(header: int, payload: int) -> None:
    with pytest.raises(FrameError, match="the limit is"):
        list(Assembler().feed(PREFIX.pack(header, payload)))


def test_a_channel_tells_an_orderly_end_from_a_cut() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.sendall(b"".join(pieces(b"h", b"payload")) + PREFIX.pack(1, 10) + b"h")
        ours.close()
        channel = Channel(theirs)
        assert channel.receive() == Frame(b"h", b"payload")
        with pytest.raises(FrameError, match="10 bytes before the end"):
            channel.receive()
    ours, theirs = socket.socketpair()
    with theirs:
        ours.close()
        assert Channel(theirs).receive() is None


def test_an_unknown_message_is_an_error_and_not_an_exception_of_the_decoder() -> None:
    for header in (b"", b"\xff\xff", b"\x81\xa4type\xa5dance"):
        with pytest.raises(messages.ProtocolError):
            messages.from_worker(header)


def test_long_texts_keep_their_beginning_and_end() -> None:
    text = "a" * 1000 + "b" * 1000
    short = messages.shorten(text, 100)
    assert short.startswith("a" * 50)
    assert short.endswith("b" * 50)
    assert "1900 characters left out" in short
    assert messages.shorten("short \udc80", 100) == "short ?"


def test_longest_texts_fit_into_a_header() -> None:
    text = messages.shorten("\U0001f600" * (1 << 20))
    reply = messages.FailedReply(1, messages.shorten("\U0001f600" * 9000, 8000), 1, text, text)
    pieces(messages.encode(reply), b"")


def test_endings_are_words() -> None:
    assert [ending(code) for code in (0, 3, -9, -11, -63)] == [
        "exit 0",
        "exit 3",
        "SIGKILL",
        "SIGSEGV",
        "signal 63",
    ]


def test_what_a_worker_has_read_is_known_without_a_word_of_it_and_after_its_end() -> None:
    count = ReadCount()
    ours, theirs = socket.socketpair()
    shared = os.dup(count.fileno())
    with ours, theirs:
        channel = Channel(theirs, shared)
        assert count.frames == 0
        ours.sendall(b"".join(pieces(b"one", b"")) + b"".join(pieces(b"two", b"x" * 10))[:-1])
        assert channel.receive() == Frame(b"one", b"")
        assert count.frames == 1  # the second is not whole
        ours.sendall(b"x")
        assert channel.receive() == Frame(b"two", b"x" * 10)
        assert count.frames == 2
        ours.setblocking(False)
        with pytest.raises(BlockingIOError):
            ours.recv(1)
    os.close(shared)
    count.close()
    count.close()
    assert count.frames == 2
