"""Describes a request to the service: its client, and what became of its reply (R54).

Plain data: no HTTP and no I/O. The server's protocol and middleware record into an `Exchange`, and
`sojourn.service.jobs.repeats` reads it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from sojourn.service.requests.rooms import Held


class Exchange:
    """One request and the fate of its reply: open, then either answered or lost, once and for all.

    *Answered* is a reply below 500 that is handed to an open connection. *Lost* is a reply that the client
    cannot have received: the connection ended before it was handed over, or it was a 5xx, after which the
    client repeats the request. `received` and `lost_at` are seconds of the monotonic clock.
    """

    __slots__ = ("answered", "lost_at", "on_end", "received")

    def __init__(self, received: float) -> None:
        self.received = received
        self.answered = False
        self.lost_at: float | None = None
        self.on_end: Callable[[], None] | None = None
        """Called when the exchange ends. One caller at most; it is not called for an end in the past."""

    @property
    def ended(self) -> bool:
        return self.answered or self.lost_at is not None

    def answer(self) -> None:
        """The last byte of the reply is about to be handed to the connection. Ignored after the end."""
        if not self.ended:
            self.answered = True
            self._end()

    def lose(self, at: float) -> None:
        """The reply did not reach the client, and never will. Ignored after the end."""
        if not self.ended:
            self.lost_at = at
            self._end()

    def _end(self) -> None:
        on_end, self.on_end = self.on_end, None
        if on_end is not None:
            on_end()


@dataclass(frozen=True, slots=True)
class Call:
    """One authenticated request, as the service needs it.

    `application` is the client's own description of itself (shown as the caller of a job). Without an
    `exchange` nothing is known of the reply: then no submit is taken for a repetition of this one. `held` is
    the memory of its body, which work that goes on after the reply keeps.
    """

    application: str | None = None
    exchange: Exchange | None = None
    held: Held | None = None
