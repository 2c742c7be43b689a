"""Writes an event stream as Server-Sent Events, for as long as the caller may read it and does."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import structlog
from starlette.responses import Response

from sojourn.api.http.replies import encode, iso
from sojourn.service.errors import Refusal
from sojourn.service.events.events import Event
from sojourn.service.events.streams import End, Ended, Stream
from sojourn.service.views import Principal
from sojourn.store.history import Kind

if TYPE_CHECKING:
    from starlette.types import Receive, Scope, Send

MEDIA = "text/event-stream"
RETRY = 2000
"""Milliseconds after which a browser connects again."""

log = structlog.get_logger("sojourn.events")


def event_table(event: Event) -> dict[str, Any]:
    """The fields of an `Event` of docs/events.md."""
    entry = event.entry
    return {
        "id": entry.id,
        "at": iso(entry.at),
        "kind": entry.kind,
        "subject": entry.entity,
        "device": entry.device,
        "session": entry.session_id,
        "user": event.user,
        "project": event.project,
        "cause": entry.cause,
        "before": entry.before,
        "after": entry.after,
        "reason": entry.reason,
    }


def written(event: Event) -> bytes:
    """The same for all streams: made once. JSON has no line ends outside of its strings, and none in them."""
    if not event.wire:
        head = f"id: {event.entry.id}\nevent: {Kind(event.entry.kind).value}\ndata: "
        event.wire = head.encode() + encode(event_table(event)) + b"\n\n"
    return event.wire


def _beat(cursor: int) -> bytes:
    """A sign of life. Its id costs the reader no event, and lets it resume from there."""
    return b": %d\nid: %d\n\n" % (cursor, cursor)


def _end(why: Ended, cursor: int) -> bytes:
    table = {"reason": str(why.reason), "message": why.message, "last_event_id": cursor}
    return b"event: end\ndata: " + encode(table) + b"\n\n"


class EventStream(Response):
    """The answer. `again` finds out who calls once more, and raises a Refusal when the credentials that have
    opened the stream do not hold any more: nothing is written without that."""

    media_type = MEDIA

    def __init__(self, stream: Stream, again: Callable[[], Principal]) -> None:
        super().__init__(headers={"cache-control": "no-store", "x-accel-buffering": "no"})
        self.raw_headers = [(name, value) for name, value in self.raw_headers if name != b"content-length"]
        self._stream = stream
        self._again = again

    async def __call__(self, _: Scope, receive: Receive, send: Send) -> None:
        writing = asyncio.ensure_future(self._write(send))
        gone = asyncio.ensure_future(_gone(receive))
        try:
            await asyncio.wait((writing, gone), return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._stream.close()
            writing.cancel()
            gone.cancel()
            await asyncio.gather(gone, return_exceptions=True)
            with suppress(asyncio.CancelledError):
                await writing

    async def _write(self, send: Send) -> None:
        stream = self._stream
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        await _part(send, b"retry: %d\n\n" % RETRY)
        while stream.ended is None:
            try:
                events = await stream.next()
            except Exception as error:
                log.error("events.failed", exc_info=error)
                stream.end(Ended(End.FAILED, "The server made a mistake; its log has the details."))
                break
            if not self._may():
                break
            if events:
                await _part(send, b"".join(map(written, events)))
            elif stream.ended is None:
                await _part(send, _beat(stream.cursor))
        assert stream.ended is not None
        await _part(send, _end(stream.ended, stream.cursor))
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    def _may(self) -> bool:
        """Whether the caller is still who it was."""
        stream = self._stream
        try:
            who = self._again()
        except Refusal as refusal:
            stream.end_for(refusal.message)
            return False
        if (who.user_id, who.project_id) != stream.key:
            stream.end_for(f"The credentials are for project {who.project} by now. Connect again.")
            return False
        stream.who = who
        return True


async def _part(send: Send, data: bytes) -> None:
    await send({"type": "http.response.body", "body": data, "more_body": True})


async def _gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
