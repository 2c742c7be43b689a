"""Who is calling and over which connection; owns the evidence for R54. Plain data: no HTTP, no I/O.

A client that lost the reply to a submit sends the same bytes again, and that must not make a second job
(R54). Two equal submits may just as well be meant: a program may run the same circuit twice. The two cases
differ in whether the client has *received* the first reply, and TCP connections tell: whoever goes on using
a connection has read the reply on it, and whoever lost a reply has dropped the connection.

The `ConnectionBook` records that, a `Call` carries it to the service, and `Call.shows_receipt_of` judges it.
"""

from __future__ import annotations

import secrets
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field

_USERS_PER_CONNECTION = 8
_LOST_PER_CONNECTION = 16


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a request came in; the service stores this with a job (three columns).

    `connection` is unique for ever (also over restarts and reused ports), "" when it is not known.
    `number` counts the requests on that connection from 1. `received` is seconds since the epoch.
    """

    connection: str
    number: int
    received: float


@dataclass(slots=True)
class _Connection:
    peer: str
    opened: float
    closed: float | None = None
    clean: bool = True  # closed without a socket error
    started: int = 0  # number of the newest request
    replied: int = 0  # number of the newest request whose reply was written whole
    lost: dict[int, float] = field(default_factory=dict)  # request -> when it was answered with a 5xx
    seen: dict[str, tuple[int, float]] = field(default_factory=dict)  # user -> newest request, when


class ConnectionBook:
    """What happened on each TCP connection. One event loop writes and reads it; memory is bounded.

    Open connections are kept as long as they are open (the operating system bounds them), of the closed ones
    the latest `keep_closed`. A connection that is no longer in the book gives no evidence either way.
    `clock` is seconds since the epoch.
    """

    def __init__(self, *, keep_closed: int = 8192, clock: Callable[[], float] = time.time) -> None:
        self._boot = secrets.token_hex(6)
        self._count = 0
        self._open: dict[str, _Connection] = {}
        self._closed: OrderedDict[str, _Connection] = OrderedDict()
        self._keep_closed = keep_closed
        self._clock = clock

    # What the server tells

    def opened(self, peer: str) -> str:
        """A connection from `peer` ("host:port") was accepted; answers its id."""
        self._count += 1
        connection = f"{self._boot}-{self._count:x}"
        self._open[connection] = _Connection(peer, self._clock())
        return connection

    def request_started(self, connection: str) -> int:
        """A request begins on it; answers the request's number, 0 for an unknown connection."""
        entry = self._open.get(connection)
        if entry is None:
            return 0
        entry.started += 1
        return entry.started

    def request_of(self, connection: str, number: int, user_id: str) -> float | None:
        """Request `number` was authenticated as `user_id`.

        Answers when the same user's previous request came on this connection, None if this is the first.
        """
        entry = self._open.get(connection)
        if entry is None:
            return None
        before = entry.seen.get(user_id)
        if before is None and len(entry.seen) >= _USERS_PER_CONNECTION:
            del entry.seen[next(iter(entry.seen))]
        if before is None or before[0] < number:
            entry.seen[user_id] = (number, self._clock())
        return None if before is None else before[1]

    def reply_done(self, connection: str, number: int, status: int) -> None:
        """The whole reply was handed to the socket. After `closed` this says nothing and is ignored."""
        entry = self._open.get(connection)
        if entry is None:
            return
        entry.replied = max(entry.replied, number)
        if status >= 500:
            entry.lost[number] = self._clock()
            if len(entry.lost) > _LOST_PER_CONNECTION:
                del entry.lost[next(iter(entry.lost))]

    def closed(self, connection: str, *, clean: bool = True) -> None:
        """It is gone; `clean` is False after a socket error (a reset). Closing twice is no error."""
        entry = self._open.pop(connection, None)
        if entry is None:
            return
        entry.closed = self._clock()
        entry.clean = clean
        entry.seen.clear()
        self._closed[connection] = entry
        while len(self._closed) > self._keep_closed:
            self._closed.popitem(last=False)

    # What the service asks

    def is_open(self, connection: str) -> bool:
        return connection in self._open

    def knows(self, connection: str) -> bool:
        return connection in self._open or connection in self._closed

    def closed_at(self, connection: str) -> float | None:
        """When it was closed; None while it is open, and for a connection that is not in the book."""
        entry = self._closed.get(connection)
        return None if entry is None else entry.closed

    def closed_cleanly(self, connection: str) -> bool:
        """Whether it ended without a socket error. Not proof of receipt: a proxy that cuts closes cleanly."""
        entry = self._closed.get(connection)
        return entry is not None and entry.clean

    def replied(self, connection: str, number: int) -> bool:
        """Whether the reply to `number` was written whole before the connection was closed."""
        entry = self._find(connection)
        return entry is not None and entry.replied >= number > 0

    def answered_with_error(self, connection: str, number: int) -> float | None:
        """When request `number` was answered with a 5xx, which the client repeats by itself; else None."""
        entry = self._find(connection)
        return None if entry is None else entry.lost.get(number)

    def used_after(self, connection: str, number: int) -> bool:
        """Whether a later request came on it after the reply to `number` was written."""
        entry = self._find(connection)
        return entry is not None and entry.replied >= number > 0 and entry.started > number

    def __len__(self) -> int:
        return len(self._open) + len(self._closed)

    def _find(self, connection: str) -> _Connection | None:
        return self._open.get(connection) or self._closed.get(connection)


@dataclass(frozen=True, slots=True)
class Call:
    """One authenticated request, as the service needs it to recognise a repeated submit.

    `previous` is when the same user's previous request came on the same connection. `proxied` says that the
    request was forwarded: then the connection is the proxy's and is no evidence about the client.
    `application` is the client's own description of itself (shown as the caller of a job).
    """

    connection: str = ""
    user_agent: str | None = None
    application: str | None = None
    number: int = 0
    received: float = 0.0
    previous: float | None = None
    proxied: bool = False
    book: ConnectionBook | None = field(default=None, repr=False, compare=False)

    @property
    def origin(self) -> Origin:
        return Origin("" if self.proxied else self.connection, self.number, self.received)

    def shows_receipt_of(self, earlier: Origin) -> bool:
        """Whether the connections show that the client has received the reply to `earlier` (R54).

        True when
        - the earlier connection is still open: a client that lost the reply would have dropped it; or
        - a later request came on the earlier connection after the reply; or
        - this call's connection carried another request of the same user after the earlier reply was lost:
          a client's retry comes at once, a program that runs the same thing again looks around first.

        A reply with a 5xx counts as lost: the client repeats the request then. False means "not known",
        not "lost". The caller adds the evidence that lies in the data: a later request that names the job.
        """
        if self.book is None or self.proxied:
            return False
        since = earlier.received
        if earlier.connection:
            error_at = self.book.answered_with_error(earlier.connection, earlier.number)
            if error_at is None:
                if self.book.is_open(earlier.connection):
                    return True
                if self.book.used_after(earlier.connection, earlier.number):
                    return True
            since = error_at or self.book.closed_at(earlier.connection) or since
        return self.previous is not None and self.previous > since
