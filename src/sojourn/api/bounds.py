"""Bounds what a connection may take of the server before anybody is known to be behind it.

Without bounds, one connection that sends headers without end fills the memory, and connections that send
nothing, or half a request, or do not read their answer, stay until no file descriptor is left. Every bound
has a setting in `[server]`; a connection that exceeds one is answered if that is possible, closed, and
counted in the log.
"""

from __future__ import annotations

import asyncio
import errno
import resource
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import structlog
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from sojourn.api.request_ids import new_id
from sojourn.api.wire import encode, error_body

if TYPE_CHECKING:
    from sojourn.config import ServerSettings

WHOLE_BODY = 900.0
"""Seconds for all of a body, however steadily it comes: the client itself gives a submit no more."""
RESERVED_FILES = 64
"""File descriptors that connections leave to the database, the log and the server itself, beside those of the
workers: 5 connections to the database of 3 files each, the check of the database, the answered file, the
event loop, the listener, the lock and the standard streams are some 35."""
LEAST_CONNECTIONS = 32
"""Connections that a server must be able to take, or there is no use in starting it."""
_TOLD_EVERY = 10.0
_LINES = {
    400: "Bad Request",
    408: "Request Timeout",
    431: "Request Header Fields Too Large",
    503: "Service Unavailable",
}

log = structlog.get_logger("sojourn.api")


@dataclass(frozen=True, slots=True)
class Bounds:
    """The settings of `[server]` that bound a connection. Times are in seconds."""

    head_kb: float
    head_fields: int
    head_seconds: float
    body_seconds: float
    reply_seconds: float
    connections: int
    connections_per_address: int

    @classmethod
    def of(cls, settings: ServerSettings, helpers: int = 0) -> Bounds:
        """`helpers`: the files that the workers need. Raises OSError when too few are left for
        connections."""
        files = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
        most = files - RESERVED_FILES - helpers
        if most < LEAST_CONNECTIONS:
            need = RESERVED_FILES + helpers + LEAST_CONNECTIONS
            raise OSError(
                errno.EMFILE,
                f"the server may open {files} files and needs {need}: {helpers} for its workers and "
                f"preparers, {RESERVED_FILES} for itself and the database, {LEAST_CONNECTIONS} for "
                f"connections. Raise the limit (ulimit -n {need}; LimitNOFILE={need} in a unit of systemd)",
            )
        return cls(
            head_kb=settings.head_kb,
            head_fields=settings.head_fields,
            head_seconds=settings.head_seconds,
            body_seconds=settings.body_seconds,
            reply_seconds=settings.reply_seconds,
            connections=min(settings.connections or most, most),
            connections_per_address=settings.connections_per_address,
        )


class Connections:
    """The open connections of one server, and what was cut off."""

    def __init__(self, bounds: Bounds, clock: Callable[[], float]) -> None:
        self.bounds = bounds
        self._clock = clock
        self._of: Counter[str] = Counter()
        self._open = 0
        self._cut: Counter[str] = Counter()
        self._told: dict[str, float] = {}

    def enter(self, address: str) -> str | None:
        """Count a new connection; the reason why it is one too many, else None."""
        self._open += 1
        self._of[address] += 1
        bounds = self.bounds
        if self._open > bounds.connections:
            return f"The server has {bounds.connections} connections, the most that it takes."
        if bounds.connections_per_address and self._of[address] > bounds.connections_per_address:
            return (
                f"There are {bounds.connections_per_address} connections from {address}, the most that the "
                "server takes from one address (connections_per_address)."
            )
        return None

    def leave(self, address: str) -> None:
        self._open -= 1
        self._of[address] -= 1
        if not self._of[address]:
            del self._of[address]

    def cut(self, why: str, address: str) -> None:
        """Tell the operator, of each kind at most once in a while."""
        self._cut[why] += 1
        now = self._clock()
        if now - self._told.get(why, -_TOLD_EVERY) >= _TOLD_EVERY:
            self._told[why] = now
            log.warning("connection.cut", why=why, address=address, times=self._cut.pop(why))


class BoundedProtocol(HttpToolsProtocol):
    """uvicorn's protocol with bounds. `connections` is shared by all connections of a server."""

    def __init__(self, *arguments: Any, connections: Connections, **more: Any) -> None:
        super().__init__(*arguments, **more)
        self._all = connections
        self._bounds = connections.bounds
        self._address = ""
        self._cut_off = False
        self._head = 0  # bytes of the head that is coming in
        self._in_head = False
        self._body_ends = 0.0
        self._deadline: asyncio.TimerHandle | None = None
        self._reading: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._address = self.client[0] if self.client else ""
        refusal = self._all.enter(self._address)
        if refusal is not None:
            self._end("too many connections", 503, f"{refusal} Try again in a moment.")
        else:
            self._expect(self._bounds.head_seconds, self._head_late)

    def connection_lost(self, exc: Exception | None) -> None:
        self._all.leave(self._address)
        self._expect(None)
        self._watch_reader(False)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._cut_off:
            return
        if self._in_head:
            self._head += len(data)
            if self._head > self._most:
                self._too_much()
                return
        elif self._body_ends:
            self._expect_body()
        super().data_received(data)

    @property
    def _most(self) -> int:
        return int(self._bounds.head_kb * 1000)

    # the head of a request

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._in_head, self._head = True, 0
        self._expect(self._bounds.head_seconds, self._head_late)

    def on_headers_complete(self) -> None:
        self._in_head = False
        size = len(self.url) + sum(len(name) + len(value) + 4 for name, value in self.headers)
        if size > self._most or len(self.headers) > self._bounds.head_fields:
            self._too_much()
        if self._cut_off:
            return
        self._body_ends = self.loop.time() + WHOLE_BODY
        self._expect_body()
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        if not self._cut_off:
            super().on_body(body)

    def on_message_complete(self) -> None:
        self._body_ends = 0.0
        self._expect(None)
        if not self._cut_off:
            super().on_message_complete()

    def _too_much(self) -> None:
        self._end(
            "headers too large",
            431,
            f"The address and headers of a request may have {self._bounds.head_kb:g} kB (head_kb) and "
            f"{self._bounds.head_fields} fields (head_fields) here; this one has more.",
        )

    # time

    def _expect(self, within: float | None, else_: Callable[[], None] | None = None) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None
        if within is not None and else_ is not None:
            self._deadline = self.loop.call_later(within, else_)

    def _expect_body(self) -> None:
        left = min(self._bounds.body_seconds, max(0.0, self._body_ends - self.loop.time()))
        self._expect(left, self._body_late)

    def _head_late(self) -> None:
        if not self._in_head and not self._head and self.cycle is None:
            self._end("nothing was sent", None, "")
            return
        self._end(
            "head too slow",
            408,
            f"The headers of a request must be whole within {self._bounds.head_seconds:g} s (head_seconds).",
        )

    def _body_late(self) -> None:
        self._end(
            "body too slow",
            408,
            f"A body may pause for {self._bounds.body_seconds:g} s (body_seconds) and must be whole within "
            f"{WHOLE_BODY:g} s.",
        )

    # the reader of an answer

    def pause_writing(self) -> None:
        super().pause_writing()
        self._watch_reader(True)

    def resume_writing(self) -> None:
        super().resume_writing()
        self._watch_reader(False)

    def _watch_reader(self, on: bool) -> None:
        if self._reading is not None:
            self._reading.cancel()
            self._reading = None
        if on:
            left = self.transport.get_write_buffer_size()
            self._reading = self.loop.call_later(self._bounds.reply_seconds, self._reader_late, left)

    def _reader_late(self, before: int) -> None:
        self._reading = None
        if self.transport.get_write_buffer_size() < before:
            self._watch_reader(True)
            return
        self._all.cut("answer not read", self._address)
        self._cut_off = True
        self.transport.abort()

    def _end(self, why: str, status: int | None, message: str) -> None:
        """Close the connection, with an answer unless one is under way."""
        if self._cut_off or self.transport.is_closing():
            return
        self._cut_off = True
        self._expect(None)
        self._all.cut(why, self._address)
        answering = (
            self.cycle is not None and self.cycle.response_started and not self.cycle.response_complete
        )
        if status is not None and not answering:
            self._say(status, 1503 if status == 503 else 1200, message, new_id())
        self.transport.close()

    def _say(self, status: int, code: int, message: str, request_id: str) -> None:
        """An error reply for a request that no application sees, the last one on its connection."""
        body = encode(error_body(code, message))
        head = (
            f"HTTP/1.1 {status} {_LINES[status]}\r\ncontent-type: application/json\r\n"
            f"content-length: {len(body)}\r\nconnection: close\r\nuber-trace-id: {request_id}\r\n"
            + ("retry-after: 1\r\n" if status == 503 else "")
            + "\r\n"
        )
        self.transport.write(head.encode() + body)
