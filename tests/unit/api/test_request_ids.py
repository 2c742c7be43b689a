"""Each request has an id of its own, and what is logged while it is served carries it.

The kind: every reply, whoever writes it and whatever came in, has one id; what comes in is taken over only
where it can do no harm; and lines that are written after the request or outside of it do not carry its id.
"""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from starlette.types import Message
from structlog.testing import capture_logs

from sojourn.api.http.endpoint import Endpoint
from sojourn.api.http.request_ids import REQUEST_ID, RequestIds, current_id, in_events, new_id

Header = tuple[bytes, bytes]


async def nothing() -> Message:
    raise AssertionError("nobody reads the body")


class Answer:
    """An application that answers every request with this status, and notes the ids that it sees."""

    def __init__(self, status: int = 200) -> None:
        self.status = status
        self.seen: list[str] = []

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        assert scope[REQUEST_ID] == current_id()
        self.seen.append(current_id())
        headers = [(b"content-length", b"0")]
        await send({"type": "http.response.start", "status": self.status, "headers": headers})
        await send({"type": "http.response.body", "body": b""})


async def ask(app: Any, *headers: Header, path: str = "/x") -> str:
    """The id in the reply's header; there is exactly one, and the other headers are as they were."""
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {"type": "http", "method": "GET", "path": path, "headers": list(headers)}
    await RequestIds(app)(scope, nothing, send)
    assert sent[0]["headers"][0] == (b"content-length", b"0")
    (found,) = [value for name, value in sent[0]["headers"] if name == b"uber-trace-id"]
    return str(found.decode())


def test_each_request_has_another_id() -> None:
    app = Answer()
    ids = [asyncio.run(ask(app)) for _ in range(100)]
    assert app.seen == ids
    assert len(set(ids)) == 100


@pytest.mark.parametrize("given", ["4bf92f3577b34da6a3ce929d0e0e4736", "req.1-2_3x", "A" * 64])
def test_the_id_of_a_proxy_is_taken_over(given: str) -> None:
    assert asyncio.run(ask(Answer(), (b"x-request-id", given.encode()))) == given


@pytest.mark.parametrize(
    "given",
    [
        b"",
        b"short",
        b"A" * 65,
        b"A" * 100_000,
        b"with space in it",
        b"12345678\r\nset-cookie: a=b",
        b"12345678\n",
        b"\x1b[31m12345678",
        b"\xff\xfe12345678",
        b"<script>alert(1)</script>",
        b"1234:5678:0:1",
    ],
)
def test_what_could_do_harm_is_not_taken_over(given: bytes) -> None:
    found = asyncio.run(ask(Answer(), (b"x-request-id", given)))
    assert len(found) == 16
    assert int(found, 16) >= 0


@pytest.mark.parametrize("name", [b"uber-trace-id", b"traceparent"])
def test_the_id_of_a_trace_is_not_taken_over_as_many_requests_share_it(name: bytes) -> None:
    given = b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
    assert asyncio.run(ask(Answer(), (name, given))) != given.decode()


def test_lines_of_a_request_carry_its_id_and_others_none() -> None:
    lines: list[str] = []

    def note() -> None:
        event = dict(in_events(None, "info", {"event": "said"}))
        lines.append(str(event.get("request", "")))

    class Busy(Answer):
        done: asyncio.Event

        async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
            note()
            self.later = asyncio.get_running_loop().create_task(self.after())
            await super().__call__(scope, receive, send)
            await self.inner()

        async def inner(self) -> None:
            note()

        async def after(self) -> None:
            await asyncio.sleep(0)
            await self.done.wait()
            note()

    async def body() -> str:
        app = Busy()
        app.done = asyncio.Event()
        note()
        found = await ask(app)
        note()
        app.done.set()
        await app.later
        return found

    found = asyncio.run(body())
    assert lines == ["", found, found, "", ""]


def test_a_mistake_of_the_servers_own_is_told_and_logged_under_the_requests_id(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def broken(request: Any) -> Any:
        raise RuntimeError("oh")

    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {
        "type": "http",
        "method": "GET",
        "path": "/x\ny",
        "headers": [(b"x-request-id", b"the-proxys-own")],
    }
    # nothing is asked of the service for a caller who need not be known
    app = RequestIds(Endpoint(None, {"GET": broken}, authenticated=False))  # type: ignore[arg-type]
    asyncio.run(app(scope, nothing, send))
    assert sent[0]["status"] == 500
    assert (b"uber-trace-id", b"the-proxys-own") in sent[0]["headers"]
    assert json.loads(sent[1]["body"])["trace"] == "the-proxys-own"
    (record,) = caplog.records
    assert "the-proxys-own" in record.getMessage()
    assert "\n" not in record.getMessage()
    assert record.exc_info is not None


@pytest.mark.parametrize(
    ("path", "status", "lines"),
    [("/x", 200, 0), ("/x", 400, 1), ("/x", 404, 1), ("/x", 500, 1), ("/x", 503, 1), ("/readyz", 503, 0)],
)
def test_each_refusal_is_logged_and_no_probe_of_a_server_that_is_not_ready(
    path: str, status: int, lines: int
) -> None:
    with capture_logs() as logged:
        asyncio.run(ask(Answer(status), path=path))
    assert [entry["status"] for entry in logged if entry["event"] == "request.refused"] == [status] * lines


def test_requests_that_are_served_at_once_keep_their_ids_apart() -> None:
    class Slow(Answer):
        async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
            before = current_id()
            await asyncio.sleep(0)
            assert current_id() == before
            await super().__call__(scope, receive, send)

    async def body() -> list[str]:
        app = Slow()
        return await asyncio.gather(*(ask(app) for _ in range(20)))

    assert len(set(asyncio.run(body()))) == 20


def test_an_id_is_sixteen_hexadecimal_digits() -> None:
    assert len(new_id()) == 16
    assert int(new_id(), 16) >= 0
