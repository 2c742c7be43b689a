"""R54 on real sockets: what the server's protocol and middleware record of each reply."""

from __future__ import annotations

import asyncio
import functools
import socket
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
import uvicorn
from starlette.types import Message

from sojourn.api.http.bounds import Bounds, Connections
from sojourn.api.http.connections import Recorder, RecordingProtocol
from sojourn.api.http.endpoint import EXCHANGE
from sojourn.config import ServerSettings
from sojourn.service.requests.exchange import Exchange


class Echo:
    """An application that answers when it is told to, and hands out the exchanges of its requests."""

    def __init__(self) -> None:
        self.asked: asyncio.Queue[Exchange] = asyncio.Queue()
        self.sent: asyncio.Queue[Exchange] = asyncio.Queue()
        self.go = asyncio.Event()
        self.go.set()
        self.status = 200
        self.fails: Exception | None = None

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        exchange = scope[EXCHANGE]
        while (await receive()).get("more_body", False):
            pass
        await self.asked.put(exchange)
        await self.go.wait()
        if self.fails is not None:
            raise self.fails
        headers = [(b"content-length", b"2")]
        await send({"type": "http.response.start", "status": self.status, "headers": headers})
        await send({"type": "http.response.body", "body": b"o", "more_body": True})
        assert not exchange.answered
        await send({"type": "http.response.body", "body": b"k"})
        await self.sent.put(exchange)


@asynccontextmanager
async def serving() -> AsyncIterator[tuple[int, Echo]]:
    app = Echo()
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    connections = Connections(Bounds.of(ServerSettings()), time.monotonic)
    protocol: Any = functools.partial(RecordingProtocol, connections=connections)
    config = uvicorn.Config(
        Recorder(app), http=protocol, ws="none", lifespan="off", log_config=None, access_log=False
    )
    server = uvicorn.Server(config)
    config.load()
    server.lifespan = config.lifespan_class(config)
    await server.startup(sockets=[listener])
    try:
        yield listener.getsockname()[1], app
    finally:
        app.go.set()
        server.force_exit = True
        await server.shutdown(sockets=[listener])


REQUEST = b"GET /x HTTP/1.1\r\nhost: x\r\n\r\n"
Scenario = Callable[[int, Echo], Awaitable[None]]


def served(scenario: Scenario) -> None:
    async def inside() -> None:
        async with serving() as (port, app):
            await scenario(port, app)

    asyncio.run(inside())


async def answered(reader: asyncio.StreamReader) -> None:
    await reader.readuntil(b"\r\n\r\n")
    await reader.readexactly(2)


async def lost(exchange: Exchange) -> None:
    """Returns when it is; a test that waits for ever has found a mistake."""
    ended = asyncio.Event()
    exchange.on_end = ended.set
    if not exchange.ended:
        await ended.wait()
    assert exchange.lost_at is not None
    assert not exchange.answered


def test_r54_each_request_on_a_connection_has_an_exchange_that_is_answered() -> None:
    async def scenario(port: int, app: Echo) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        seen = []
        for _ in range(3):
            writer.write(REQUEST)
            await answered(reader)
            seen.append(await app.asked.get())
            assert seen[-1].answered
        assert len(set(map(id, seen))) == 3
        writer.transport.abort()
        await asyncio.sleep(0)
        assert all(exchange.lost_at is None for exchange in seen)

    served(scenario)


@pytest.mark.parametrize("end", ["close", "reset", "half-close"])
@pytest.mark.parametrize("size", [0, 1000, 70_000, 1_000_000])
def test_r54_a_connection_that_ends_before_the_reply_has_lost_it(end: str, size: int) -> None:
    """Also after a body of a size at which the server stops reading for a while."""

    async def scenario(port: int, app: Echo) -> None:
        app.go.clear()
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"POST /x HTTP/1.1\r\nhost: x\r\ncontent-length: %d\r\n\r\n" % size + b"x" * size)
        exchange = await app.asked.get()
        {"close": writer.close, "reset": writer.transport.abort, "half-close": writer.write_eof}[end]()
        await lost(exchange)
        app.go.set()
        await app.sent.get()  # nobody reads it
        assert not exchange.answered

    served(scenario)


@pytest.mark.parametrize("status", [500, 502, 503, 504])
def test_r54_a_reply_with_5xx_is_lost_on_an_open_connection(status: int) -> None:
    async def scenario(port: int, app: Echo) -> None:
        app.status = status
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(REQUEST)
        await answered(reader)
        await lost(await app.asked.get())
        app.status = 409
        writer.write(REQUEST)
        await answered(reader)
        assert (await app.asked.get()).answered
        writer.close()

    served(scenario)


def test_r54_an_application_that_fails_has_lost_the_reply() -> None:
    async def scenario(port: int, app: Echo) -> None:
        app.fails = RuntimeError("a bug")
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(REQUEST)
        assert b"500" in await reader.readline()
        await lost(await app.asked.get())
        writer.close()

    served(scenario)


def test_r54_without_our_protocol_a_request_still_has_an_exchange() -> None:
    """Under another server only 5xx replies are seen."""

    async def scenario() -> None:
        app = Echo()
        sent: list[Any] = []

        async def send(message: Any) -> None:
            sent.append(message)

        async def receive() -> Message:
            return {"type": "http.request"}

        await Recorder(app)({"type": "http"}, receive, send)
        assert (await app.asked.get()).answered
        assert len(sent) == 3

    asyncio.run(scenario())
