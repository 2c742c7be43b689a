"""Measures how late the event loop is: everybody who is served waits so long at the least."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

EVERY = 1.0
"""Seconds."""


class Lag:
    """`observe` is called with seconds, once in EVERY."""

    def __init__(self, observe: Callable[[float], None]) -> None:
        self._observe = observe
        self._timer: asyncio.TimerHandle | None = None

    def start(self) -> None:
        loop = asyncio.get_running_loop()
        due = loop.time() + EVERY
        self._timer = loop.call_at(due, self._look, due)

    def stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()

    def _look(self, due: float) -> None:
        self._observe(asyncio.get_running_loop().time() - due)
        self.start()
