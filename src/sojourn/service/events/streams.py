"""Event streams: who listens, from where on, and what each is told.

A stream reads the past from the history, page by page, until it has reached the present; then it is *live*
and is handed what the one pump reads for all of them. Both follow the same ids, which grow in the order of
the commits (`sojourn.store.history`), so nothing is lost or told twice where one ends and the other begins.

The streams leave the event loop to the jobs: the pump rests after each round, the longer the more it has done
(`PER_ROUND`, `PER_STREAM`, `PER_LOOK`), and tells more at a time then. A stream whose reader does not keep up
is ended.
"""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

import structlog

from sojourn.service.accounts.directory import Directory
from sojourn.service.accounts.permissions import may
from sojourn.service.errors import BadRequest, Busy, Expired, TooMany
from sojourn.service.events.events import ACTIONS, OWNED, Event, event_of, sees
from sojourn.service.lanes.feed import Feed
from sojourn.service.projects.limits import Limits
from sojourn.service.requests.turns import Turns
from sojourn.service.views import Principal
from sojourn.store import history
from sojourn.store.database import Database
from sojourn.store.history import Entry, Kind, Wanted

log = structlog.get_logger("sojourn.events")

PAGE = 500
"""Entries that are read at a time."""
MOST_WAITING = 2000
"""Events that wait for one reader; with more it is ended, and may come back for them."""
PER_ROUND = 0.02
"""Seconds that the pump rests after each round: a reading costs as much as some transitions of a job."""
PER_STREAM = 0.0005
"""The same for each stream that it has told something: some 2000 a second, whose writing
takes a tenth of a processor."""
PER_LOOK = 0.00002
"""The same for each time that it has asked whether a stream takes an entry."""
LOOKS = 2000
"""So many of them without a break for the rest of the server."""
RETRY_AFTER = 30.0


class End(StrEnum):
    """Why a stream has ended."""

    SLOW = "slow"
    RIGHTS = "rights"
    STOPPING = "stopping"
    FAILED = "failed"
    COMPLETE = "complete"


@dataclass(frozen=True, slots=True)
class Ended:
    reason: End
    message: str


_STOPPING = Ended(End.STOPPING, "The server is stopping. Connect again with the id of the last event.")
_COMPLETE = Ended(End.COMPLETE, "These were all events up to the time of the request.")
_FAILED = Ended(
    End.FAILED, "The server could not read its history. Connect again with the id of the last event."
)
_SLOW = Ended(
    End.SLOW,
    f"More than {MOST_WAITING} events wait to be read. Connect again with the id of the last event, and read "
    "faster or filter.",
)


class Stream:
    """One caller's. `cursor`: everything up to this id that the caller is to have was handed out by `next`.

    `who` is for the API to renew, and `close` to be called when nobody reads any more.
    """

    def __init__(
        self, streams: Streams, who: Principal, wanted: Wanted, cursor: int, upto: int | None
    ) -> None:
        self.who = who
        self.key = (who.user_id, who.project_id)
        self.wanted = wanted
        self.cursor = cursor
        self.ended: Ended | None = None
        self._streams = streams
        self._upto = upto  # the last id of a stream that ends with the past
        self._live = False
        self._waiting: deque[Event] = deque()
        self._handed = cursor
        self._woken: asyncio.Future[None] | None = None

    def sees(self, entry: Entry, accounts: Directory) -> bool:
        """Whether the caller may know of it."""
        return sees(self.who, entry, accounts)

    @property
    def many_owners(self) -> bool:
        """Whether it may be told of what belongs to others than the caller."""
        return all(may(self.who, ACTIONS[kind]) for kind in OWNED)

    async def next(self) -> list[Event]:
        """What comes next, oldest first.

        Empty when the stream has `ended`, when a while has passed without events (`heartbeat_seconds`), after
        a page of the past without any, and once when the present is reached.
        """
        found = await self._next()
        self._streams.told += len(found)
        return found

    async def _next(self) -> list[Event]:
        if self.ended is None and not self._live:
            return await self._past()
        if self.ended is None and not self._waiting:
            await self._wait(self._streams.heartbeat)
        if self.ended is not None:
            return []
        found = list(self._waiting)
        self._waiting.clear()
        self.cursor = self._handed
        return found

    async def _past(self) -> list[Event]:
        target = self._upto if self._upto is not None else await self._streams.present()
        if self.cursor < target:
            entries, self.cursor = await self._streams.page(self, target)
            return self._streams.events(self, entries)
        if self._upto is not None:
            self.end(_COMPLETE)
        elif self.ended is None:  # nothing was awaited since the present was known
            self._live, self._handed = True, self.cursor
            self._streams.join(self)
        return []

    async def _wait(self, within: float) -> None:
        loop = asyncio.get_running_loop()
        self._woken = loop.create_future()
        timer = loop.call_later(within, self.wake)
        try:
            await self._woken
        finally:
            timer.cancel()
            self._woken = None

    def wake(self) -> None:
        """Give a sign of life, before which the API finds out whether the caller may still listen."""
        if self._woken is not None and not self._woken.done():
            self._woken.set_result(None)

    def hand(self, events: Iterable[Event], upto: int) -> None:
        """For the pump: `events` are its, of all up to the id `upto`. It may have had some of them: a row can
        be read before the pump is told of its commit."""
        if self.ended is not None or upto <= self._handed:
            return
        self._waiting.extend(event for event in events if event.entry.id > self._handed)
        self._handed = upto
        if len(self._waiting) > MOST_WAITING:
            self._waiting.clear()
            self._streams.cut += 1
            log.info("stream.cut", user=self.who.user, project=self.who.project, why=str(End.SLOW))
            self.end(_SLOW)
        elif self._waiting:
            self.wake()

    def end(self, why: Ended) -> None:
        """Nothing more comes; what was not handed out is left to the next stream."""
        if self.ended is None:
            self.ended = why
            self._streams.leave(self)
            self.wake()

    def end_for(self, message: str) -> None:
        """The caller may not listen any more."""
        self.end(Ended(End.RIGHTS, message))

    def close(self) -> None:
        """Nobody reads it any more."""
        self.end(_STOPPING)
        self._streams.free(self)


class ProjectStream(Stream):
    """What a project's webhook is told: what is the project's, and what is nobody's. It counts for no
    caller's number of streams."""

    def sees(self, entry: Entry, _: Directory) -> bool:
        if entry.project_id is not None:
            return entry.project_id == self.who.project_id
        return Kind(entry.kind) in (Kind.DEVICE, Kind.CALIBRATION)

    @property
    def many_owners(self) -> bool:
        return True


class Streams:
    """`most` is how many streams there may be, and `heartbeat` the seconds after which an idle one is to give
    a sign of life."""

    def __init__(
        self,
        *,
        store: Database,
        feed: Feed,
        accounts: Directory,
        limits: Limits,
        turns: Turns,
        most: int,
        heartbeat: float,
    ) -> None:
        self._store = store
        self._accounts = accounts
        self._limits = limits
        self._turns = turns
        self._most = most
        self.heartbeat = heartbeat
        self._open: set[Stream] = set()
        self._ours: set[Stream] = set()  # of webhooks, not counted
        self._of: Counter[tuple[str, str]] = Counter()
        self._everybodys: set[Stream] = set()  # live ones, of callers who see everybody's
        self._own: dict[tuple[str, str], set[Stream]] = {}  # live ones of the others
        self._cursor = 0  # up to here the pump has told; kept while there are live streams
        self._news = asyncio.Event()
        self._pump: asyncio.Task[None] | None = None
        self._stopping = False
        self.told = 0  # events, to all readers together
        self.cut = 0  # streams of slow readers
        feed.follow(self._tell)
        accounts.keys.follow(self._check)

    # open and close

    async def open(self, who: Principal, wanted: Wanted, last: int | None, *, follow: bool = True) -> Stream:
        """A stream of what comes behind the id `last`, or, when that is None, from now on. Without `follow`
        it ends with what there is now.

        Raises TooMany and Busy for one too many, Expired when some of the past that was asked for has been
        deleted, and BadRequest for an id that there is not yet.
        """
        self._take(who)
        key = (who.user_id, who.project_id)
        try:
            gone, newest = await self._store.read(history.ends)
            if last is not None:
                _check(last, gone, newest)
            stream = Stream(self, who, wanted, newest if last is None else last, None if follow else newest)
        except BaseException:
            self._give(key)
            raise
        self._open.add(stream)
        if self._stopping:
            stream.end(_STOPPING)
        return stream

    async def of_project(self, who: Principal, wanted: Wanted, last: int) -> ProjectStream:
        """For a webhook, which `who` stands for, of what comes behind the id `last`. What retention has
        deleted of that is left out."""
        newest = await self._store.read(history.newest_id)
        stream = ProjectStream(self, who, wanted, min(last, newest), None)
        if self._stopping:
            stream.end(_STOPPING)
        self._ours.add(stream)
        return stream

    def _take(self, who: Principal) -> None:
        key, limit = (who.user_id, who.project_id), self._limits.of(who.project_id).streams_per_user
        if self._stopping:
            raise Busy("The service is stopping. Try again in a moment.", retry_after=5.0)
        if limit and self._of[key] >= limit:
            raise TooMany(
                f"User {who.user} has {self._of[key]} event streams in project {who.project} open; the limit "
                f"is {limit} (streams_per_user). Close some: one stream can follow everything.",
                retry_after=RETRY_AFTER,
            )
        if self._of.total() >= self._most:
            raise Busy(
                f"The server has {self._most} event streams open, the most that it takes (streams). Try "
                "again later.",
                retry_after=RETRY_AFTER,
            )
        self._of[key] += 1

    def _give(self, key: tuple[str, str]) -> None:
        self._of[key] -= 1
        if not self._of[key]:
            del self._of[key]

    def free(self, stream: Stream) -> None:
        """Its place is another's."""
        self._ours.discard(stream)
        if stream in self._open:
            self._open.remove(stream)
            self._give(stream.key)

    def release(self) -> None:
        """End all and open no more: the service is about to stop."""
        self._stopping = True
        for stream in (*self._open, *self._ours):
            stream.end(_STOPPING)

    async def stop(self) -> None:
        self.release()
        if self._pump is not None:
            self._pump.cancel()
            await asyncio.gather(self._pump, return_exceptions=True)

    @property
    def stopping(self) -> bool:
        return self._stopping

    def _check(self, user: str) -> None:
        """The user has less rights than before: a stream that has lost its own ends now, not with its next
        event."""
        for stream in self._open:
            if stream.who.user_id == user:
                stream.wake()

    def state(self) -> dict[str, int]:
        """For operators."""
        return {"held": len(self._open), "of": self._most}

    # the past

    async def present(self) -> int:
        """The id up to which a stream reads by itself. Without an await after it, it may join there."""
        if not self._listened:
            newest = await self._store.read(history.newest_id)
            if not self._listened:
                self._cursor = max(self._cursor, newest)
        return self._cursor

    async def page(self, stream: Stream, upto: int) -> tuple[list[Entry], int]:
        """Some of the past, in the caller's turn: it is paid for as every other look is."""
        reading = await self._turns.take(stream.who)
        try:
            found = await self._store.read(history.page, stream.wanted, stream.cursor, upto, PAGE)
        finally:
            self._turns.give(stream.who, reading)
        await self._store.told()
        return found

    def events(self, stream: Stream, entries: Iterable[Entry]) -> list[Event]:
        """Those that are the stream's to tell."""
        accounts = self._accounts
        return [event_of(entry, accounts) for entry in entries if stream.sees(entry, accounts)]

    # the present

    @property
    def _listened(self) -> bool:
        return bool(self._everybodys or self._own)

    def join(self, stream: Stream) -> None:
        """It has had everything up to the present, and is told the rest by the pump."""
        if stream.many_owners:
            self._everybodys.add(stream)
        else:
            self._own.setdefault(stream.key, set()).add(stream)
        if self._pump is None or self._pump.done():
            self._pump = asyncio.get_running_loop().create_task(self._run())
        self._news.set()

    def leave(self, stream: Stream) -> None:
        self._everybodys.discard(stream)
        if (own := self._own.get(stream.key)) is not None:
            own.discard(stream)
            if not own:
                del self._own[stream.key]

    def _tell(self) -> None:
        if self._listened:
            self._news.set()

    async def _run(self) -> None:
        """The pump."""
        try:
            while True:
                await self._news.wait()
                more = True
                while more and self._listened:
                    self._news.clear()
                    found = await self._store.read(history.after, self._cursor, PAGE)
                    await self._store.told()
                    entries = [each for each in found if each.id > self._cursor]  # it may have moved
                    if entries:
                        await asyncio.sleep(await self._hand_out(entries))
                    more = len(found) == PAGE or self._news.is_set()
                self._news.clear()
        except Exception as error:
            log.error("events.failed", exc_info=error)
            for stream in (*self._open, *self._ours):
                stream.end(_FAILED)

    async def _hand_out(self, entries: list[Entry]) -> float:
        """Tell every live stream what is its; the seconds to rest after that. Streams that join meanwhile
        begin behind these entries."""
        self._cursor = upto = entries[-1].id
        listeners = {
            stream: list[Event]() for own in (self._everybodys, *self._own.values()) for stream in own
        }
        accounts, looks, done = self._accounts, len(listeners), 0
        for entry in entries:
            event = event_of(entry, accounts)
            for stream in self._audience(entry):
                looks += 1
                mine = listeners.get(stream)  # None: it has joined meanwhile
                if mine is not None and stream.wanted.takes(entry) and stream.sees(entry, accounts):
                    mine.append(event)
            if looks - done >= LOOKS:
                done = looks
                await asyncio.sleep(0)
        told = 0
        for stream, mine in listeners.items():
            stream.hand(mine, upto)
            told += bool(mine)
        return PER_ROUND + told * PER_STREAM + looks * PER_LOOK

    def _audience(self, entry: Entry) -> list[Stream]:
        """The live streams that may be told of it, and some that may not."""
        if Kind(entry.kind) in OWNED:
            own = self._own.get((entry.user_id or "", entry.project_id or ""), ())
            return [*self._everybodys, *own]
        return [*self._everybodys, *(stream for own in self._own.values() for stream in own)]


def _check(last: int, gone: int, newest: int) -> None:
    """Whether everything behind the id `last` is there."""
    if last < gone:
        raise Expired(
            f"Events up to the id {gone} have been deleted because of their age (story_days of [retention]). "
            "Read the present state from the lists, and follow from now on (without an id), or from "
            f"{gone} on."
        )
    if last > newest:
        raise BadRequest(
            f"There is no event {last} yet: the newest has the id {newest}. The id is of another server, or "
            "of a database that was replaced by an older one. Read the present state from the lists, and "
            "follow from now on (without an id)."
        )
