"""What hostile clients share: raw connections, what was seen of each kind, and the end of the attack."""

from __future__ import annotations

import asyncio
import json
import random
import socket
import time
from collections import Counter, defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

PATIENCE = 150.0
"""Seconds after which a connection that the server should have closed counts as kept for ever."""


@dataclass
class Target:
    """What the attackers know of the server: its address, their own keys, and ids that are not theirs."""

    host: str
    port: int
    key: str
    large_job: str
    foreign: list[str]
    unread: float  # seconds for which a slow reader does not read


@dataclass
class Attack:
    target: Target
    until: float
    seen: defaultdict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    chance: random.Random = field(default_factory=lambda: random.Random(8))

    @property
    def over(self) -> bool:
        return time.monotonic() >= self.until

    @asynccontextmanager
    async def connection(
        self, receive: int | None = None
    ) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
        """A connection of its own; `receive` is the size of its receive buffer in bytes."""
        plain = socket.socket()
        if receive is not None:
            plain.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive)
        plain.setblocking(False)
        try:
            await asyncio.get_running_loop().sock_connect(plain, (self.target.host, self.target.port))
            reader, writer = await asyncio.open_connection(sock=plain)
        except BaseException:
            plain.close()
            raise
        try:
            yield reader, writer
        finally:
            writer.transport.abort()

    def head(
        self, method: str, path: str, *fields: str, length: int | None = None, key: bool = True
    ) -> bytes:
        lines = [f"{method} {path} HTTP/1.1", "Host: x", *fields]
        if key:
            lines.append(f"Authorization: apikey {self.target.key}")
        if length is not None:
            lines.append(f"Content-Length: {length}")
        return "\r\n".join([*lines, "", ""]).encode()

    async def ask(
        self, method: str, path: str, body: bytes | None = None, *fields: str, key: bool = True
    ) -> tuple[str, bytes]:
        """One request on a connection that is closed after it: the status, `cut` or `kept`, and the body."""
        head = self.head(
            method, path, "Connection: close", *fields, length=None if body is None else len(body), key=key
        )
        async with self.connection() as (reader, writer):
            try:
                writer.write(head + (body or b""))
                await writer.drain()
            except ConnectionError:
                pass  # it may have been answered before all was read
            return await status_of(reader)

    async def json(self, method: str, path: str, body: Any = None) -> tuple[str, Any]:
        status, data = await self.ask(method, path, None if body is None else json.dumps(body).encode())
        try:
            return status, json.loads(data or b"null")
        except ValueError:
            return status, None


async def status_of(reader: asyncio.StreamReader) -> tuple[str, bytes]:
    try:
        async with asyncio.timeout(PATIENCE):
            data = await reader.read(1 << 16)
            while more := await reader.read(1 << 16):
                data += more
    except TimeoutError:
        return "kept", b""
    except ConnectionError:
        return "cut", b""
    head, _, body = data.partition(b"\r\n\r\n")
    return (head[9:12].decode("latin-1") if head.startswith(b"HTTP/1.1 ") else "cut"), body


async def ended(reader: asyncio.StreamReader) -> str:
    """How a connection ends on which nothing more is sent: its status, `cut`, or `kept`."""
    return (await status_of(reader))[0]
