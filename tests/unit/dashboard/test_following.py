"""One stream for each key, from its first page to its last, which goes on where it was cut."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, Self

from sojourn.dashboard.following import Following, Listener
from sojourn.dashboard.upstream import Upstream

PATIENCE = 30.0


class Connection:
    """One request for a stream, to be answered by the test."""

    def __init__(self, head: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        pairs = (line.partition(":") for line in head.splitlines()[1:])
        headers = {name.lower(): value.strip() for name, _, value in pairs}
        self.key = headers["authorization"].removeprefix("Bearer ")
        self.last = headers.get("last-event-id")
        self._reader = reader
        self._writer = writer

    def begin(self) -> None:
        """As the server does: a stream that has reached the present tells its place."""
        self._writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\nretry: 2000\n\n")
        self.write(f": {self.last or 7}\nid: {self.last or 7}\n\n")

    def event(self, number: int) -> None:
        self.write(f'id: {number}\nevent: job\ndata: {{"id": {number}}}\n\n')

    def write(self, text: str) -> None:
        self._writer.write(text.encode())

    def cut(self) -> None:
        self._writer.close()

    def refuse(self, status: int, message: str) -> None:
        body = json.dumps({"error": {"message": message}})
        self.write(f"HTTP/1.1 {status} No\r\ncontent-length: {len(body)}\r\n\r\n{body}")
        self.cut()

    async def over(self) -> None:
        """When the other side has closed it."""
        async with asyncio.timeout(PATIENCE):
            assert await self._reader.read() == b""


class Server:
    def __init__(self) -> None:
        self._asked: asyncio.Queue[Connection] = asyncio.Queue()
        self.url = ""

    async def connection(self) -> Connection:
        async with asyncio.timeout(PATIENCE):
            return await self._asked.get()

    @property
    def idle(self) -> bool:
        return self._asked.empty()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        self._asked.put_nowait(Connection(head, reader, writer))


class Page:
    def __init__(self) -> None:
        self._told: asyncio.Queue[Any] = asyncio.Queue()
        self.listener = Listener(lambda event: self._told.put_nowait(event["id"]), self._told.put_nowait)

    @classmethod
    async def live(cls, following: Following, server: Server, key: str = "k") -> tuple[Self, Connection]:
        """The first page of a key, and its stream."""
        page = cls()
        following.join(key, page.listener)
        stream = await server.connection()
        stream.begin()
        assert await page.told() is not None
        assert await page.told() is None
        return page, stream

    async def told(self) -> Any:
        """The id of an event, a sentence, or None for a stream that is live."""
        async with asyncio.timeout(PATIENCE):
            return await self._told.get()

    @property
    def silent(self) -> bool:
        return self._told.empty()


@asynccontextmanager
async def followed(url: str) -> AsyncIterator[Following]:
    upstream = Upstream(url)
    made = Following(upstream, pause=0.0)
    yield made
    await made.close()
    await upstream.close()


def running(body: Callable[[Following, Server], Awaitable[None]]) -> Callable[[], None]:
    async def inside() -> None:
        server = Server()
        listening = await asyncio.start_server(server.serve, "127.0.0.1", 0)
        server.url = f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}"
        async with followed(server.url) as following:
            await body(following, server)
        listening.close()

    def made() -> None:
        asyncio.run(inside())

    made.__name__ = body.__name__
    return made


@running
async def test_all_pages_of_a_key_have_one_stream_and_those_of_another_key_another(
    following: Following, server: Server
) -> None:
    first, stream = await Page.live(following, server, "k")
    second = Page()
    following.join("k", second.listener)
    assert await second.told() is None
    other, others = await Page.live(following, server, "other")
    stream.event(8)
    assert [await first.told(), await second.told()] == [8, 8]
    assert (stream.key, others.key) == ("k", "other")
    assert other.silent
    assert server.idle
    assert following.streams == 2


@running
async def test_a_stream_ends_with_its_last_page(following: Following, server: Server) -> None:
    first, second = Page(), Page()
    leave = [following.join("k", page.listener) for page in (first, second)]
    stream = await server.connection()
    stream.begin()
    leave[0]()
    stream.event(8)
    assert [await second.told() for _ in range(3)][1:] == [None, 8]
    leave[1]()
    await stream.over()
    assert following.streams == 0
    following.join("k", first.listener)
    assert (await server.connection()).last is None, "a page that comes later looks at the present anyhow"


@running
async def test_a_stream_that_is_cut_goes_on_behind_its_last_event(
    following: Following, server: Server
) -> None:
    page, stream = await Page.live(following, server)
    stream.event(8)
    stream.cut()
    assert await page.told() == 8
    assert isinstance(await page.told(), str)
    again = await server.connection()
    assert again.last == "8"
    again.begin()
    again.event(9)
    assert [await page.told(), await page.told()] == [None, 9]


@running
async def test_the_server_says_why_it_has_ended_a_stream(following: Following, server: Server) -> None:
    page, stream = await Page.live(following, server)
    stream.write('event: end\ndata: {"reason": "stopping", "message": "It stops.", "last_event_id": 7}\n\n')
    assert await page.told() == "It stops."
    assert (await server.connection()).last == "7"


@running
async def test_a_server_without_these_events_is_followed_from_now_on(
    following: Following, server: Server
) -> None:
    page, stream = await Page.live(following, server)
    stream.cut()
    await page.told()
    (await server.connection()).refuse(410, "deleted")
    assert await page.told() == "deleted"
    again = await server.connection()
    assert again.last is None
    again.begin()
    assert await page.told() is None


@running
async def test_a_wrong_key_is_not_sent_again_before_another_page_is_opened(
    following: Following, server: Server
) -> None:
    page = Page()
    following.join("k", page.listener)
    (await server.connection()).refuse(401, "Unknown key.")
    assert [await page.told(), await page.told()][1] == "Unknown key."
    other, _ = await Page.live(following, server, "other")  # long enough for another attempt
    assert server.idle
    assert other.silent
    following.join("k", Page().listener)
    assert (await server.connection()).key == "k"


@running
async def test_a_stream_that_is_doubted_is_opened_again(following: Following, server: Server) -> None:
    page, stream = await Page.live(following, server)
    following.doubt("nobody's")
    following.doubt("k")
    assert isinstance(await page.told(), str)
    await stream.over()
    again = await server.connection()
    again.begin()
    assert (again.last, await page.told()) == ("7", None)


@running
async def test_what_is_no_server_of_ours_is_said(following: Following, server: Server) -> None:
    page = Page()
    following.join("k", page.listener)
    (await server.connection()).write("HTTP/1.1 200 OK\r\n\r\nid: seven\n\n")
    assert [await page.told(), await page.told()][1] == "What answers is not a Sojourn server."


def test_nobody_there_is_said_and_tried_again() -> None:
    async def inside() -> None:
        server = Server()
        listening = await asyncio.start_server(server.serve, "127.0.0.1", 0)
        address = listening.sockets[0].getsockname()
        listening.close()
        await listening.wait_closed()
        async with followed(f"http://127.0.0.1:{address[1]}") as following:
            page = Page()
            following.join("k", page.listener)
            assert "does not answer" in [await page.told(), await page.told()][1]
            listening = await asyncio.start_server(server.serve, *address)
            (await server.connection()).begin()
            assert await page.told() is None
            listening.close()

    asyncio.run(inside())
