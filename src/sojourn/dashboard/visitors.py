"""Who has signed in: a random token in a cookie stands for an API key, which stays in this process's memory.

A token ends by signing out, an hour after its last use, twelve hours after the sign-in, or with the process.
Only its hash is kept, so that no picture of the memory's tables is a way in.
"""

from __future__ import annotations

import hashlib
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass

COOKIE = "sojourn_dashboard"
IDLE = 3600.0
LONGEST = 12 * 3600.0
MOST = 1000
"""Visitors at a time; beyond, the one who has been away for longest signs in again."""


@dataclass(slots=True)
class Visitor:
    key: str
    user: str
    project: str
    operator: bool
    since: float
    seen: float


class Visitors:
    """`link` signs in as the owner of `link_key`, once."""

    def __init__(
        self, link: str = "", link_key: str = "", clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._of: dict[str, Visitor] = {}
        self._link = link
        self._link_key = link_key
        self._clock = clock

    def enter(self, key: str, user: str, project: str, operator: bool) -> str:
        """The token of a new visitor."""
        while len(self._of) >= MOST:
            del self._of[min(self._of, key=lambda name: self._of[name].seen)]
        token, now = secrets.token_urlsafe(32), self._clock()
        self._of[_hashed(token)] = Visitor(key, user, project, operator, now, now)
        return token

    def of(self, token: str | None) -> Visitor | None:
        """The visitor, who is seen by this."""
        if not token:
            return None
        name, now = _hashed(token), self._clock()
        visitor = self._of.get(name)
        if visitor is None:
            return None
        if now - visitor.seen > IDLE or now - visitor.since > LONGEST:
            del self._of[name]
            return None
        visitor.seen = now
        return visitor

    def leave(self, token: str | None) -> None:
        if token:
            self._of.pop(_hashed(token), None)

    def redeem(self, link: str) -> str | None:
        """The key that a one-time link stands for; None for every other text, and the second time."""
        if not self._link or not secrets.compare_digest(link.encode(), self._link.encode()):
            return None
        self._link = ""
        return self._link_key


def _hashed(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()
