"""Who has signed in: a random token in a cookie stands for an API key.

A visit ends by signing out, an hour after its last page was closed, twelve hours after the sign-in, and when
the server does not know the key any more. Its open pages are told. Visits outlast the process: they are kept
in a file, in which only the hash of the token stands, and the key sealed with the token itself. Who reads the
file has neither.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import secrets
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from sojourn import private_file

COOKIE = "sojourn_dashboard"
IDLE = 3600.0
LONGEST = 12 * 3600.0
MOST = 1000
"""Visitors at a time; beyond, the one who has been away for longest signs in again."""
NOTED = 60.0
"""Seconds after which it is written down that a visitor was seen again."""
SWEPT = 5.0
"""Seconds between two looks for visits that are over."""
_KEPT = ("user", "project", "operator", "since", "seen", "sealed")
"""Fields of a visitor that are written down."""


@dataclass(slots=True, eq=False)
class Visitor:
    """`key` is empty after a restart until the visitor comes back: it needs the token to be opened. `pages`
    are those that are open, each by what is called when the visit is over."""

    key: str
    user: str
    project: str
    operator: bool
    since: float
    seen: float
    sealed: str = ""
    pages: set[Callable[[], None]] = field(default_factory=set)

    def opened(self, gone: Callable[[], None]) -> Callable[[], None]:
        """A page is open until what is returned is called, or `gone` is, as the visit is over."""
        self.pages.add(gone)

        def closed() -> None:
            self.pages.discard(gone)

        return closed


class Visitors:
    """`link` signs in as the owner of `link_key`, once. Without a `file` visits end with the process.
    `clock` is a date in seconds."""

    def __init__(
        self,
        link: str = "",
        link_key: str = "",
        file: Path | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._link = link
        self._link_key = link_key
        self._file = file
        self._clock = clock
        self._of = _read(file) if file is not None else {}
        self._noted = 0.0

    def enter(self, key: str, user: str, project: str, operator: bool) -> str:
        """The token of a new visitor."""
        while len(self._of) >= MOST:
            self._end(min(self._of, key=lambda name: self._of[name].seen))
        token, now = secrets.token_urlsafe(32), self._clock()
        sealed = _crossed(key.encode(), token).hex()
        self._of[_hashed(token)] = Visitor(key, user, project, operator, now, now, sealed)
        self._note()
        return token

    def of(self, token: str | None) -> Visitor | None:
        """The visitor, who is seen by this."""
        if not token:
            return None
        name, now = _hashed(token), self._clock()
        visitor = self._of.get(name)
        if visitor is None:
            return None
        if _over(visitor, now):
            self._end(name)
            self._note()
            return None
        if not visitor.key:
            visitor.key = _crossed(bytes.fromhex(visitor.sealed), token).decode()
        visitor.seen = now
        if abs(now - self._noted) > NOTED:
            self._note()
        return visitor

    def leave(self, token: str | None) -> None:
        if token and self._end(_hashed(token)):
            self._note()

    def refused(self, key: str) -> None:
        """The server does not know this key any more."""
        ended = [self._end(name) for name, visitor in [*self._of.items()] if visitor.key == key]
        if ended:
            self._note()

    def sweep(self) -> None:
        """End the visits that are over; who has a page open is there."""
        now = self._clock()
        for visitor in self._of.values():
            if visitor.pages:
                visitor.seen = now
        ended = [self._end(name) for name, visitor in [*self._of.items()] if _over(visitor, now)]
        if ended or (abs(now - self._noted) > NOTED and any(each.pages for each in self._of.values())):
            self._note()

    async def watch(self) -> None:
        """Sweep now and then, until it is cancelled."""
        while True:
            await asyncio.sleep(SWEPT)
            self.sweep()

    def _end(self, name: str) -> bool:
        """Whether there was such a visit."""
        visitor = self._of.pop(name, None)
        if visitor is None:
            return False
        pages = [*visitor.pages]
        visitor.pages.clear()
        for gone in pages:
            gone()
        return True

    def redeem(self, link: str) -> str | None:
        """The key that a one-time link stands for; None for every other text, and the second time."""
        if not self._link or not secrets.compare_digest(link.encode(), self._link.encode()):
            return None
        self._link = ""
        return self._link_key

    def _note(self) -> None:
        """A disk that is full signs nobody out before the next restart."""
        self._noted = now = self._clock()
        if self._file is None:
            return
        visits = {
            name: {each: getattr(visitor, each) for each in _KEPT}
            for name, visitor in self._of.items()
            if not _over(visitor, now)
        }
        with suppress(OSError):
            private_file.write(self._file, json.dumps(visits))


def _over(visitor: Visitor, now: float) -> bool:
    return (now - visitor.seen > IDLE and not visitor.pages) or now - visitor.since > LONGEST


def _read(file: Path) -> dict[str, Visitor]:
    """What cannot be read is nobody's visit."""
    try:
        visits = json.loads(file.read_text("utf-8"))
        return {name: Visitor("", **{each: visit[each] for each in _KEPT}) for name, visit in visits.items()}
    except (OSError, ValueError, TypeError, AttributeError, LookupError):
        return {}


def _hashed(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()


def _crossed(text: bytes, token: str) -> bytes:
    """Sealed or opened with a stream that the token gives. Each token seals one text only, and has 256 bits
    that nobody chose, so the stream is as good as a key that is used once."""
    stream = hashlib.shake_256(b"sojourn dashboard\0" + token.encode()).digest(len(text))
    return bytes(a ^ b for a, b in zip(text, stream, strict=True))
