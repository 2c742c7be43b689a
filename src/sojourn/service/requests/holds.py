"""Counts the polls that are held, and takes the time for which they are out of what their requests took."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass

SHORTEST = 0.001
"""Seconds. A poll that was answered sooner was not held."""


@dataclass(slots=True)
class Held:
    """For how many seconds a request has been held."""

    seconds: float = 0.0


HELD: ContextVar[Held | None] = ContextVar("HELD", default=None)
"""Where that of the present request is noted, if it is."""


class Holds:
    """`observe` is called with the seconds of each hold that is over."""

    def __init__(self, observe: Callable[[float], None]) -> None:
        self._observe = observe
        self.count = 0
        """Polls that are held now."""

    @contextmanager
    def hold(self) -> Iterator[None]:
        """While a poll may have to wait for news."""
        begun = time.monotonic()
        self.count += 1
        try:
            yield
        finally:
            self.count -= 1
            seconds = time.monotonic() - begun
            if (held := HELD.get()) is not None:
                held.seconds += seconds
            if seconds >= SHORTEST:
                self._observe(seconds)
