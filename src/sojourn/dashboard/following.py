"""Follows what happens on the server, for the pages that are open: one event stream for each key.

A stream begins with the first page of its key and ends with the last one. One that is cut is opened again
behind its last event, so nothing is missed over a restart of the server; the pages hear of that as well, as
there are things that raise no event for them.
"""

from __future__ import annotations

import asyncio
import json
import logging
import random
from collections.abc import Callable, Mapping
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any

from sojourn.client import SILENCE
from sojourn.dashboard.upstream import NO_KEY, Upstream, UpstreamError

FIRST_PAUSE, LONGEST_PAUSE = 0.5, 10.0
"""Seconds until a stream is opened again; twice as long after each attempt that fails."""
NOT_THERE = (400, 410)
"""The server has not got the events that were asked for: it is another one, or has deleted them."""

log = logging.getLogger("sojourn.dashboard")

Event = Mapping[str, Any]
Heard = Callable[[Event], None]
Said = Callable[[str | None], None]


@dataclass(frozen=True, slots=True, eq=False)
class Listener:
    """A page. `heard` is called with each event, and `said` with None when the stream is live and with a
    sentence when it is cut; the present state first. Neither may wait."""

    heard: Heard
    said: Said


class Following:
    """`pause` are the seconds until a stream that was live is opened again, at most."""

    def __init__(self, upstream: Upstream, pause: float = FIRST_PAUSE) -> None:
        self._upstream = upstream
        self._pause = pause
        self._streams: dict[str, _Stream] = {}

    @property
    def streams(self) -> int:
        return len(self._streams)

    def join(self, key: str, listener: Listener) -> Callable[[], None]:
        """Follow for the owner of the key; what is returned ends that."""
        stream = self._streams.get(key)
        if stream is None:
            stream = self._streams[key] = _Stream(self._upstream, key, self._pause)
        stream.join(listener)

        def leave() -> None:
            if stream.leave(listener) and self._streams.get(key) is stream:
                del self._streams[key]

        return leave

    def doubt(self, key: str) -> None:
        """The server has not answered another request with this key: its stream may be dead as well."""
        if (stream := self._streams.get(key)) is not None:
            stream.doubt()

    async def close(self) -> None:
        tasks = [stream.end() for stream in self._streams.values()]
        self._streams.clear()
        await asyncio.gather(*tasks, return_exceptions=True)


class _Stream:
    def __init__(self, upstream: Upstream, key: str, pause: float) -> None:
        self._upstream = upstream
        self._key = key
        self._first_pause = self._pause = pause
        self._listeners: set[Listener] = set()
        self._last: int | None = None
        self._cut: str | None = "The stream of events is being opened."
        self._silence: asyncio.Timeout | None = None
        self._task: asyncio.Task[None] | None = None

    def join(self, listener: Listener) -> None:
        self._listeners.add(listener)
        listener.said(self._cut)
        if self._task is None or self._task.done():
            self._task = asyncio.get_running_loop().create_task(self._run(), name="event stream")

    def leave(self, listener: Listener) -> bool:
        """Whether that was the last one."""
        self._listeners.discard(listener)
        if not self._listeners:
            self.end()
        return not self._listeners

    def end(self) -> asyncio.Task[None]:
        assert self._task is not None, "it has had a page"
        self._task.cancel()
        return self._task

    def doubt(self) -> None:
        if self._silence is not None and not self._silence.expired():
            self._silence.reschedule(asyncio.get_running_loop().time())

    async def _run(self) -> None:
        while True:
            try:
                self._say(await self._follow())
            except TimeoutError:
                self._say("The server has said nothing for too long.")
            except UpstreamError as error:
                if error.status in NOT_THERE:
                    self._last = None
                self._say(str(error))
                if error.status == NO_KEY:
                    return  # a wrong key may be sent only so often, by all who are at this address
            except Exception:
                log.exception("an event stream could not be followed")
                self._say("The dashboard has made a mistake; the server's log has the details.")
            # Not all at once: after a restart there are as many as there are people.
            await asyncio.sleep(self._pause * random.uniform(0.5, 1.0))
            self._pause = min(2 * self._pause, LONGEST_PAUSE)

    async def _follow(self) -> str:
        """One connection, until it ends; the sentence in which the server says why."""
        loop = asyncio.get_running_loop()
        try:
            async with (
                asyncio.timeout(SILENCE) as silence,
                aclosing(self._upstream.events(self._key, self._last)) as blocks,
            ):
                self._silence = silence
                async for fields in blocks:
                    silence.reschedule(loop.time() + SILENCE)
                    last, data = _read(fields)
                    if last is not None:
                        self._last = last
                        self._live()
                    if fields.get("event") == "end":
                        return str(data["message"])
                    if data:
                        self._tell(data)
        finally:
            self._silence = None
        return "The server has ended the stream of events."

    def _live(self) -> None:
        if self._cut is not None:
            self._cut, self._pause = None, self._first_pause
            for listener in [*self._listeners]:
                listener.said(None)

    def _say(self, why: str) -> None:
        if why != self._cut:
            self._cut = why
            for listener in [*self._listeners]:
                listener.said(why)

    def _tell(self, event: Event) -> None:
        for listener in [*self._listeners]:
            listener.heard(event)


def _read(fields: Mapping[str, str]) -> tuple[int | None, Event]:
    """The id and the data of a block, where it has them."""
    try:
        number = int(fields["id"]) if "id" in fields else None
        return number, dict(json.loads(fields.get("data", "{}")))
    except (ValueError, TypeError):
        raise UpstreamError("What answers is not a Sojourn server.") from None
