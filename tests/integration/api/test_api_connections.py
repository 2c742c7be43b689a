"""R54 on real sockets: what the server's protocol writes into the book."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import uvicorn

from sojourn.api.connections import Recorder, recording_protocol
from sojourn.api.endpoint import CONNECTION, REQUEST_NUMBER
from sojourn.service.calls import ConnectionBook


class WatchedBook(ConnectionBook):
    """Says when a connection has ended."""

    def __init__(self) -> None:
        super().__init__()
        self.ended: asyncio.Queue[str] = asyncio.Queue()

    def closed(self, connection: str, *, clean: bool = True) -> None:
        super().closed(connection, clean=clean)
        self.ended.put_nowait(connection)


class Echo:
    """An application that answers when it is told to, and remembers who asked."""

    def __init__(self) -> None:
        self.asked: asyncio.Queue[tuple[str, int]] = asyncio.Queue()
        self.answered: asyncio.Queue[int] = asyncio.Queue()
        self.go = asyncio.Event()
        self.go.set()
        self.status = 200

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        await self.asked.put((scope[CONNECTION], scope[REQUEST_NUMBER]))
        await self.go.wait()
        headers = [(b"content-length", b"2")]
        await send({"type": "http.response.start", "status": self.status, "headers": headers})
        await send({"type": "http.response.body", "body": b"ok"})
        await self.answered.put(scope[REQUEST_NUMBER])


@asynccontextmanager
async def serving() -> AsyncIterator[tuple[int, Echo, WatchedBook]]:
    book, app = WatchedBook(), Echo()
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    config = uvicorn.Config(
        Recorder(app, book), http=recording_protocol(book), ws="none", lifespan="off", log_config=None
    )
    server = uvicorn.Server(config)
    config.load()
    server.lifespan = config.lifespan_class(config)
    await server.startup(sockets=[listener])
    try:
        yield listener.getsockname()[1], app, book
    finally:
        app.go.set()
        server.force_exit = True
        await server.shutdown(sockets=[listener])


REQUEST = b"GET /x HTTP/1.1\r\nhost: x\r\n\r\n"


async def answered(reader: asyncio.StreamReader) -> None:
    await reader.readuntil(b"\r\n\r\n")
    await reader.readexactly(2)


def test_r54_each_connection_has_its_own_name_and_counts_its_requests() -> None:
    async def scenario() -> None:
        async with serving() as (port, app, book):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            for number in (1, 2, 3):
                writer.write(REQUEST)
                await answered(reader)
                connection, got = await app.asked.get()
                assert got == number
                assert book.replied(connection, number)
            assert book.used_after(connection, 1)
            assert not book.used_after(connection, 3)
            other_reader, other = await asyncio.open_connection("127.0.0.1", port)
            other.write(REQUEST)
            await answered(other_reader)
            assert (await app.asked.get())[0] != connection
            assert book.is_open(connection)
            writer.close()
            assert await book.ended.get() == connection
            other.close()
            assert book.closed_cleanly(connection)

    asyncio.run(scenario())


def test_r54_a_client_that_hangs_up_before_the_reply_is_noticed() -> None:
    async def scenario() -> None:
        async with serving() as (port, app, book):
            app.go.clear()
            _, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(REQUEST)
            connection, number = await app.asked.get()
            writer.transport.abort()
            assert await book.ended.get() == connection
            app.go.set()
            assert await app.answered.get() == number
            assert not book.replied(connection, number)
            assert book.closed_at(connection) is not None

    asyncio.run(scenario())


def test_r54_a_reply_with_5xx_is_noted_as_one_that_the_client_repeats() -> None:
    async def scenario() -> None:
        async with serving() as (port, app, book):
            app.status = 503
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(REQUEST)
            await answered(reader)
            connection, number = await app.asked.get()
            assert book.answered_with_error(connection, number) is not None
            writer.close()

    asyncio.run(scenario())
