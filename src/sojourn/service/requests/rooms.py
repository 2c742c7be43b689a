"""Bounds what requests in work take of a resource: in all, and each user of it, with fair turns for the rest.

The amount is bytes of memory, bytes of disk or files; a `Room` only counts. It belongs to one event loop.
"""

from __future__ import annotations

import asyncio
from collections import Counter, OrderedDict, deque
from collections.abc import Callable
from typing import Any

from sojourn.config import ServerSettings
from sojourn.service.errors import Busy

RETRY_AFTER = 5.0
"""Seconds after which a request that found no room may be sent again."""


class Held:
    """A part of a room, from when it is taken until all that use it have released it."""

    __slots__ = ("_free", "_users", "size")

    def __init__(self, size: int, free: Callable[[], None]) -> None:
        self.size = size
        self._free = free
        self._users = 1

    def release(self) -> None:
        """One of its users is done with it."""
        self._users -= 1
        if self._users == 0:
            self._free()

    def until(self, work: asyncio.Future[Any]) -> None:
        """`work` uses it as well, until it is done."""
        self._users += 1
        work.add_done_callback(lambda _: self.release())


class _Waiter:
    __slots__ = ("got", "size")

    def __init__(self, size: int) -> None:
        self.size = size
        self.got: asyncio.Future[Held] = asyncio.get_running_loop().create_future()


class Room:
    """`total` of something, of which one owner has at most `own`.

    `busy` and `over_own` are the answers to those who find no room within their time: the whole is in use, or
    the owner's part is. Who needs more than `own` gets all of `own`.
    """

    def __init__(self, total: int, own: int, *, busy: str, over_own: str) -> None:
        self.total = total
        self.own = min(own, total)
        self._messages = busy, over_own
        self._of: Counter[str] = Counter()
        self._waiting: OrderedDict[str, deque[_Waiter]] = OrderedDict()  # whose turn it is comes first
        self._full = False  # somebody waits although the own part has room
        self.held = 0
        self.peak = 0
        self.refused = 0

    def try_take(self, owner: str, size: int) -> Held | None:
        """A part of the room, if there is one at once and nobody has waited longer for it."""
        size = min(size, self.own)
        if owner in self._waiting or self._full or not self._fits(owner, size):
            return None
        return self._take(owner, size)

    async def take(self, owner: str, size: int, within: float | None) -> Held:
        """A part of the room. The owners that wait have turns; of one owner, first come is first served.

        Raises Busy when there is none `within` seconds; None waits as long as it takes.
        """
        held = self.try_take(owner, size)
        if held is not None:
            return held
        waiter = _Waiter(min(size, self.own))
        self._waiting.setdefault(owner, deque()).append(waiter)
        self._serve()
        try:
            await asyncio.wait({waiter.got}, timeout=within)
        except asyncio.CancelledError:
            if waiter.got.done():
                waiter.got.result().release()
            self._leave(owner, waiter)
            raise
        if waiter.got.done():
            return waiter.got.result()
        message = self._messages[self._of[owner] + waiter.size > self.own]
        self._leave(owner, waiter)
        self.refused += 1
        raise Busy(message, retry_after=RETRY_AFTER)

    def _leave(self, owner: str, waiter: _Waiter) -> None:
        queue = self._waiting.get(owner)
        if queue is not None and waiter in queue:
            queue.remove(waiter)
            if not queue:
                del self._waiting[owner]
            self._serve()

    def _fits(self, owner: str, size: int) -> bool:
        return self._of[owner] + size <= self.own and self.held + size <= self.total

    def _take(self, owner: str, size: int) -> Held:
        self.held += size
        self._of[owner] += size
        self.peak = max(self.peak, self.held)
        return Held(size, lambda: self._free(owner, size))

    def _free(self, owner: str, size: int) -> None:
        self.held -= size
        self._of[owner] -= size
        if not self._of[owner]:
            del self._of[owner]
        self._serve()

    def _serve(self) -> None:
        """Give parts to those who wait, an owner a turn.

        An owner whose own part is in use is passed over. The first one for whom there is too little in all
        keeps its turn, and the others wait behind it: else large requests would wait for ever.
        """
        self._full = False
        passed = 0
        while passed < len(self._waiting):
            owner, queue = next(iter(self._waiting.items()))
            waiter = queue[0]
            if self._of[owner] + waiter.size > self.own:
                self._waiting.move_to_end(owner)
                passed += 1
                continue
            if self.held + waiter.size > self.total:
                self._full = True
                return
            queue.popleft()
            if queue:
                self._waiting.move_to_end(owner)
            else:
                del self._waiting[owner]
            passed = 0
            waiter.got.set_result(self._take(owner, waiter.size))


SMALL = 1_000_000
"""Bytes of a body or a text from which on it is large: it is not held in memory while it is on its way."""
PIECE = 4_000_000
"""Bytes of a large text that are in memory while it is sent."""
COPIES = 2
"""How often a body is in memory while it is in work: as it came, and as the inputs of its job."""
FILES, FILES_OF_ONE = 64, 16
"""Large bodies that may come in at once, each in a file of its own, and those of one user."""

_MB = 1_000_000


class Rooms:
    """All that requests in work may take of the server; the settings are those of `[server]`."""

    def __init__(self, settings: ServerSettings) -> None:
        memory, mine = int(settings.memory_mb * _MB), int(settings.memory_user_mb * _MB)
        disk, own_disk = int(settings.spool_mb * _MB), int(settings.spool_user_mb * _MB)
        self.wait = settings.room_seconds
        self.large = Room(
            memory,
            mine,
            busy=_in_all(f"{memory / _MB:g} MB of requests and replies", "memory_mb"),
            over_own=_of_one(f"{mine / _MB:g} MB of requests and replies", "memory_user_mb"),
        )
        self.small = Room(
            memory // 4,
            mine // 4,
            busy=_in_all(f"{memory / 4 / _MB:g} MB of small requests", "a quarter of memory_mb"),
            over_own=_of_one(f"{mine / 4 / _MB:g} MB of small requests", "a quarter of memory_user_mb"),
        )
        self.disk = Room(
            disk,
            own_disk,
            busy=_in_all(f"{disk / _MB:g} MB of bodies on their way", "spool_mb"),
            over_own=_of_one(f"{own_disk / _MB:g} MB of bodies on their way", "spool_user_mb"),
        )
        self.files = Room(
            FILES,
            FILES_OF_ONE,
            busy=_in_all(f"{FILES} large bodies on their way", "the most that it takes"),
            over_own=_of_one(f"{FILES_OF_ONE} large bodies on their way", "the most that one may have"),
        )

    async def work(self, owner: str, size: int) -> Held:
        """Memory for a body or a piece of a text of `size` bytes. Raises Busy."""
        return await self._for(size).take(owner, size, self.wait)

    async def work_again(self, owner: str, size: int) -> Held:
        """The same for what was accepted before, however long it takes."""
        return await self._for(size).take(owner, size, None)

    def _for(self, size: int) -> Room:
        return self.small if size <= COPIES * SMALL else self.large

    def all(self) -> dict[str, Room]:
        """By the names under which they are shown."""
        return {"memory": self.large, "small": self.small, "spool": self.disk, "files": self.files}

    def state(self) -> dict[str, Any]:
        """For operators: what is held now, the most so far, and how often somebody was turned away."""
        return {
            name: {"held": room.held, "peak": room.peak, "of": room.total, "refused": room.refused}
            for name, room in self.all().items()
        }


def _in_all(what: str, setting: str) -> str:
    return f"The server has {what} in work ({setting}) and no room for more. Try again in a moment."


def _of_one(what: str, setting: str) -> str:
    return (
        f"The user has {what} in work ({setting}). Wait for answers, read them to their end, and send fewer "
        "requests at a time."
    )
