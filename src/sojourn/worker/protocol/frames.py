"""Frames between the server and a worker: where one message ends and the next begins, and its size limits.

Owns bytes on a socket, nothing else: it may not know what a header means. A frame is two lengths (4 bytes
each, network order), a small header and a payload that is passed through without a second encoding.
"""

from __future__ import annotations

import os
import socket
import struct
from collections.abc import Iterator
from typing import NamedTuple

PREFIX = struct.Struct("!II")
COUNT = struct.Struct("!Q")
"""The number of frames that a worker has read, in the file that it shares with the server."""
MAX_HEADER = 1 << 20
MAX_PAYLOAD = 256 << 20
_JOIN_BELOW = 1 << 16


class FrameError(Exception):
    """The other side sent something that is not a frame, or a frame over the limit."""


class Frame(NamedTuple):
    header: bytes
    payload: bytes


def check_sizes(header: int, payload: int) -> None:
    """Raise `FrameError` when a frame of these sizes (bytes) may not pass."""
    if header > MAX_HEADER:
        raise FrameError(f"frame header of {header} bytes; the limit is {MAX_HEADER}")
    if payload > MAX_PAYLOAD:
        raise FrameError(f"frame payload of {payload} bytes; the limit is {MAX_PAYLOAD}")


def pieces(header: bytes, payload: bytes) -> tuple[bytes, ...]:
    """The byte strings to write for one frame; small ones are joined, large payloads are not copied."""
    check_sizes(len(header), len(payload))
    head = PREFIX.pack(len(header), len(payload)) + header
    if len(payload) < _JOIN_BELOW:
        return (head + payload,)
    return (head, payload)


class Assembler:
    """Turns chunks as they arrive into frames. No I/O: `feed` it and take what has become whole."""

    __slots__ = ("_chunks", "_have", "_need")

    def __init__(self) -> None:
        self._chunks: list[bytes] = []
        self._have = 0
        self._need = PREFIX.size

    @property
    def mid_frame(self) -> bool:
        """Whether part of a frame has arrived and the rest has not."""
        return self._have > 0

    def feed(self, chunk: bytes) -> Iterator[Frame]:
        """Yield every frame that `chunk` completes. Raises `FrameError` on sizes over the limit."""
        self._chunks.append(chunk)
        self._have += len(chunk)
        if self._have < self._need:  # a large payload on its way: do not join what is not whole
            return
        buffer = memoryview(self._chunks[0] if len(self._chunks) == 1 else b"".join(self._chunks))
        self._chunks.clear()  # or a large payload would be in memory once more while it is copied
        at = 0
        while self._have - at >= PREFIX.size:
            header, payload = PREFIX.unpack_from(buffer, at)
            check_sizes(header, payload)
            self._need = PREFIX.size + header + payload
            if self._have - at < self._need:
                break
            start = at + PREFIX.size
            at += self._need
            self._need = PREFIX.size
            yield Frame(bytes(buffer[start : start + header]), bytes(buffer[start + header : at]))
        if at < self._have:
            self._chunks = [bytes(buffer[at:])]
        self._have -= at


class Channel:
    """A worker's blocking end of the socket.

    `count` is a file that the server has as well, in memory: before a frame is looked at, the number of those
    that were read so far is written there. A message instead would cost the server a turn for each job.
    """

    def __init__(self, sock: socket.socket, count: int | None = None) -> None:
        sock.setblocking(True)
        self._socket = sock
        self._count = count
        self._read = 0

    def fileno(self) -> int:
        """The descriptor of the socket. Nothing is read ahead: what can be read from it is a frame that was
        not received yet."""
        return self._socket.fileno()

    def send(self, header: bytes, payload: bytes = b"") -> None:
        """Write one frame. Raises `FrameError` when it is too large, `OSError` when the server is gone."""
        for piece in pieces(header, payload):
            self._socket.sendall(piece)

    def receive(self) -> Frame | None:
        """Wait for one frame; None when the server has closed the connection between two frames."""
        prefix = self._exactly(PREFIX.size, at_start=True)
        if prefix is None:
            return None
        header, payload = PREFIX.unpack(prefix)
        check_sizes(header, payload)
        frame = Frame(self._exactly(header) or b"", self._exactly(payload) or b"")
        self._read += 1
        if self._count is not None:
            os.pwrite(self._count, COUNT.pack(self._read), 0)
        return frame

    def _exactly(self, size: int, at_start: bool = False) -> bytes | None:
        buffer = bytearray(size)
        view, have = memoryview(buffer), 0
        while have < size:
            count = self._socket.recv_into(view[have:])
            if not count:
                if at_start and not have:
                    return None
                raise FrameError(f"the connection ended {size - have} bytes before the end of a frame")
            have += count
        return bytes(buffer)
