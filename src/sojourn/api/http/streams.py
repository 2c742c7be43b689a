"""Writes replies: whole ones at once, large texts piece by piece as the client reads them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING

import structlog

from sojourn.service.requests.rooms import PIECE

if TYPE_CHECKING:
    from starlette.types import Send

    from sojourn.api.http.replies import Reply

SLICE = 256_000
"""Bytes that are handed to the connection at a time; it takes the next ones when most of them have gone."""

log = structlog.get_logger("sojourn.api")


async def write(send: Send, reply: Reply, *, head: bool = False) -> None:
    """A reply without a large text, or with `head` only the start of any."""
    await _start(send, reply)
    await send({"type": "http.response.body", "body": b"" if head else reply.body})


async def write_large(send: Send, reply: Reply, lost: Callable[[], bool]) -> None:
    """A reply with a large text, of which one piece is in memory at a time.

    `lost` says whether the connection has ended. A text that is deleted meanwhile ends before its declared
    length, which a client takes for the error that it is.
    """
    text = reply.text
    assert text is not None, "a whole reply is written by `write`"
    await _start(send, reply)
    await send({"type": "http.response.body", "body": reply.body, "more_body": True})
    at = 0
    while at < text.size:
        piece = await text.read(at, min(PIECE, text.size - at))
        if not piece:
            log.warning("reply.cut", why="the text was deleted while it was sent", at=at, size=text.size)
            return
        for begin in range(0, len(piece), SLICE):
            if lost():
                return
            part = piece[begin : begin + SLICE]
            await send({"type": "http.response.body", "body": part, "more_body": True})
            # a fast reader takes one slice after the other: `send` does not wait then
            await asyncio.sleep(0)
        at += len(piece)
    await send({"type": "http.response.body", "body": reply.tail})


async def _start(send: Send, reply: Reply) -> None:
    headers = list(reply.headers)
    if reply.status != 204:
        headers.append((b"content-type", reply.media))
        headers.append((b"content-length", str(reply.size).encode()))
    await send({"type": "http.response.start", "status": reply.status, "headers": headers})
