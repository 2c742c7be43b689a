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
import socket
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import structlog
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from sojourn import codes
from sojourn.api.http.endpoint import COUNTED, RECOUNT
from sojourn.api.http.replies import encode, error_body
from sojourn.api.http.request_ids import new_id

if TYPE_CHECKING:
    from sojourn.config import ServerSettings

WHOLE_BODY = 900.0
"""Seconds for all of a body, however steadily it comes: the client itself gives a submit no more."""
LEAST_READ = 16_000
"""Bytes that a reader has to take in `reply_seconds`, or it counts as one that does not read."""
PIPELINED = 1000
"""Requests that may wait in a connection for the answers to those before them."""
_PIPELINED_BYTES = 4000  # what one of them takes
_QUICKACK: int | None = getattr(socket, "TCP_QUICKACK", None)  # of Linux
_LONGEST_ADDRESS = 65_535  # what the parser of addresses counts with
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
    414: "URI Too Long",
    431: "Request Header Fields Too Large",
    503: "Service Unavailable",
    505: "HTTP Version Not Supported",
}

C = TypeVar("C")
_CODES = {414: codes.ADDRESS_TOO_LONG, 503: codes.BUSY}

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
    incoming: int  # bytes
    unread: int

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
            incoming=int(settings.incoming_mb * 1_000_000),
            unread=int(settings.unread_mb * 1_000_000),
        )


class Holdings(Generic[C]):
    """What connections hold in memory of one kind, in bytes. Beyond `most` in all the one goes that has held
    something for longest: an honest client holds it for moments only."""

    def __init__(self, most: int) -> None:
        self.most = most
        self.total = 0
        self._of: dict[C, int] = {}  # the oldest first

    def hold(self, connection: C, size: int) -> C | None:
        """From now on `connection` holds so much; the one that has to go for it, if one has to."""
        before = self._of.get(connection, 0)
        if size == before:
            return None
        self.total += size - before
        if size:
            self._of[connection] = size
        else:
            del self._of[connection]
        return next(iter(self._of)) if self.total > self.most else None


class Connections:
    """The open connections of one server, and what was cut off."""

    def __init__(self, bounds: Bounds, clock: Callable[[], float]) -> None:
        self.bounds = bounds
        self._clock = clock
        self._of: Counter[str] = Counter()
        self._open = 0
        self.incoming: Holdings[BoundedProtocol] = Holdings(bounds.incoming)
        self.unread: Holdings[BoundedProtocol] = Holdings(bounds.unread)
        self.cuts: Counter[str] = Counter()  # since the start
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

    def state(self) -> dict[str, Any]:
        """For operators: what there is now, what it is bounded by, and how often a bound was met."""
        return {
            "open": {"held": self._open, "of": self.bounds.connections},
            "incoming": {"held": self.incoming.total, "of": self.incoming.most},
            "unread": {"held": self.unread.total, "of": self.unread.most},
            "cut": dict(self.cuts),
        }

    def cut(self, why: str, address: str) -> None:
        """Log it for the operator, each kind at most once in a while."""
        self.cuts[why] += 1
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
        self._head = 0  # bytes of the head that is coming in, after those that it began in
        self._begun_in = 0
        self._in_head = False
        self._body = 0  # bytes of the body of the present request
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
        self._all.incoming.hold(self, 0)
        self._all.unread.hold(self, 0)
        if self.scope is not None:  # else the two would keep each other
            self.scope.pop(RECOUNT, None)  # type: ignore[misc]
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._cut_off:
            return
        if self._in_head:
            self._head += len(data)
            if self._head > self._most:
                if len(self.url) > self._most:
                    self._address_too_long()
                else:
                    self._too_much()
                return
        elif self._body_ends:
            self._expect_body()
        super().data_received(data)
        if self._in_head and not self._head:
            self._begun_in = len(data)
        if self._body_ends and not self._body:
            self._acknowledge()
        self._count()

    def _acknowledge(self) -> None:
        """Tell the client at once that the head is there; the kernel may take 40 ms for it.

        A client may send the body only then: urllib3 does for a request through a proxy, as it leaves
        Nagle's algorithm on for those.
        """
        connection = self.transport.get_extra_info("socket")
        if _QUICKACK is not None and connection is not None:
            connection.setsockopt(socket.IPPROTO_TCP, _QUICKACK, 1)

    def _count(self) -> None:
        """What this connection holds of requests that are not whole, or that nobody has begun to answer.

        The body of a request whose user is known is counted in the rooms of that user once it is read.
        """
        held = self._head + self._begun_in if self._in_head else 0
        if self.cycle is not None and not self.cycle.response_complete and not self._cut_off:
            if self.pipeline:
                held += sum(_PIPELINED_BYTES + len(cycle.body) for cycle, _ in self.pipeline)
            held += len(self.cycle.body) if COUNTED in self.cycle.scope else self._body
        if (victim := self._all.incoming.hold(self, held)) is not None:
            victim.make_room()

    def make_room(self) -> None:
        """It is this connection whose part of the memory others need."""
        self._all.incoming.hold(self, 0)
        self._end(
            "too much at once",
            503,
            f"The server holds {self._bounds.incoming / 1e6:g} MB of requests that are not whole "
            "(incoming_mb), and this one has been coming in for longest.",
        )

    @property
    def _most(self) -> int:
        return int(self._bounds.head_kb * 1000)

    # the head of a request

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._in_head, self._head, self._begun_in, self._body = True, 0, 0, 0
        self.scope[RECOUNT] = self._count  # type: ignore[literal-required]
        self._expect(self._bounds.head_seconds, self._head_late)

    def on_headers_complete(self) -> None:
        self._in_head = False
        if len(self.url) > min(self._most, _LONGEST_ADDRESS):
            self._address_too_long()
        if self._cut_off or not self._well_formed():
            return
        size = len(self.url) + sum(len(name) + len(value) + 4 for name, value in self.headers)
        if size > self._most or len(self.headers) > self._bounds.head_fields:
            self._too_much()
        if self._cut_off:
            return
        self._body_ends = self.loop.time() + WHOLE_BODY
        self._expect_body()
        super().on_headers_complete()
        if len(self.pipeline) > PIPELINED:
            self._end(
                "too many requests at once",
                503,
                f"{PIPELINED} requests wait in this connection. Wait for answers before sending more.",
            )

    def _well_formed(self) -> bool:
        """Whether the head is one that no two readers could understand differently."""
        version = self.parser.get_http_version()
        if version not in ("1.0", "1.1"):
            self._end("wrong version", 505, f"HTTP/{version} is not spoken here. Send HTTP/1.1.")
            return False
        names = [name for name, _ in self.headers]
        hosts = names.count(b"host")
        if hosts > 1 or (not hosts and version == "1.1"):
            said = f"The request has {hosts} Host headers" if hosts else "The request has no Host header"
            self._end("malformed head", 400, f"{said}; it must have one.")
            return False
        if names.count(b"authorization") > 1:
            self._end(
                "malformed head", 400, "The request has several Authorization headers; it may have one."
            )
            return False
        return True

    def on_body(self, body: bytes) -> None:
        if not self._cut_off:
            if not self.cycle.response_complete:
                self._body += len(body)
            super().on_body(body)

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if not self.transport.is_closing():
            self._count()

    def on_message_complete(self) -> None:
        self._body_ends = 0.0
        self._expect(None)
        if not self._cut_off:
            super().on_message_complete()

    def _address_too_long(self) -> None:
        self._end(
            "address too long",
            414,
            f"The address has {len(self.url)} bytes or more; the limit is "
            f"{min(self._most, _LONGEST_ADDRESS)} (head_kb). Send what is long in the body.",
        )

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
        unread = self.transport.get_write_buffer_size()
        if (victim := self._all.unread.hold(self, unread)) is not None:
            victim.not_read("too much unread")

    def resume_writing(self) -> None:
        super().resume_writing()
        self._watch_reader(False)
        self._all.unread.hold(self, 0)

    def _watch_reader(self, on: bool) -> None:
        if self._reading is not None:
            self._reading.cancel()
            self._reading = None
        if on:
            left = self.transport.get_write_buffer_size()
            self._reading = self.loop.call_later(self._bounds.reply_seconds, self._reader_late, left)

    def _reader_late(self, before: int) -> None:
        self._reading = None
        if self.transport.get_write_buffer_size() <= before - LEAST_READ:
            self._watch_reader(True)
            return
        self.not_read("answer not read")

    def not_read(self, why: str) -> None:
        """Whatever is left of the answer is thrown away with the connection."""
        self._all.unread.hold(self, 0)
        self._all.cut(why, self._address)
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
            self._say(status, _CODES.get(status, codes.BAD_REQUEST), message, new_id())
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
