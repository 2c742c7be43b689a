"""Plays recorded answers back at once: what is left of an iteration is the client's own time.

A process of its own, as our server is, and as little as HTTP allows: `python bench/speed/echo.py` reads the
answers as one line of JSON from its standard input, prints its port, and ends with its input. An answer
belongs to a method and a path with its query. Standard library only.
"""

from __future__ import annotations

import asyncio
import base64
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

_UNKNOWN = b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"


@dataclass(frozen=True)
class Answer:
    status: int
    kind: str
    """Its content type."""
    body: bytes


Answers = Mapping[tuple[str, str], Answer]
"""By method and path, with the query."""


@contextmanager
def playing(answers: Answers) -> Iterator[str]:
    """The address of a server that gives these answers, in a process of its own."""
    told = [
        [method, path, answer.status, answer.kind, base64.b64encode(answer.body).decode()]
        for (method, path), answer in answers.items()
    ]
    process = subprocess.Popen(
        [sys.executable, __file__], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdin is not None
    assert process.stdout is not None
    with process:
        process.stdin.write(json.dumps(told) + "\n")
        process.stdin.flush()
        yield f"http://127.0.0.1:{int(process.stdout.readline())}"
        process.stdin.close()


class _Playback(asyncio.Protocol):
    def __init__(self, answers: Mapping[bytes, bytes]) -> None:
        self._answers = answers
        self._come = bytearray()
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        assert self._transport is not None
        self._come += data
        while (end := self._come.find(b"\r\n\r\n")) >= 0:
            head = bytes(self._come[:end])
            whole = end + 4 + _length(head)
            if len(self._come) < whole:
                return
            del self._come[:whole]
            self._transport.write(self._answers.get(b" ".join(head.split(b" ", 2)[:2]), _UNKNOWN))


def _length(head: bytes) -> int:
    for line in head.lower().split(b"\r\n"):
        if line.startswith(b"content-length:"):
            return int(line[15:])
    return 0


def _written(status: int, kind: str, body: bytes) -> bytes:
    head = f"HTTP/1.1 {status} OK\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


async def _serve(answers: Mapping[bytes, bytes]) -> None:
    server = await asyncio.get_running_loop().create_server(lambda: _Playback(answers), "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


def _end_with_input() -> None:
    sys.stdin.read()
    os._exit(0)


def main() -> None:
    answers = {
        f"{method} {path}".encode(): _written(status, kind, base64.b64decode(body))
        for method, path, status, kind, body in json.loads(sys.stdin.readline())
    }
    threading.Thread(target=_end_with_input, daemon=True).start()
    asyncio.run(_serve(answers))


if __name__ == "__main__":
    main()
