"""Watches the room on the disk: below the reserve, new bodies are refused and devices start nothing.

Full and recovered are logged, each once. What is small goes on, from the reserve.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

import structlog

from sojourn.service.errors import NoRoom
from sojourn.store.blobs import try_room
from sojourn.store.database import Database, StoreFull

log = structlog.get_logger("sojourn.disk")

EVERY = 1.0
"""Seconds between two looks, by the event loop's time."""
SLACK = 1.1
"""Room has come back when there is this many times the reserve: at the edge itself it would come and go."""


@dataclass(frozen=True, slots=True)
class DiskView:
    """`usable_mb` is what can still be stored, None while nothing is watched; `reason` is None when all is
    well."""

    usable_mb: float | None
    reserve_mb: float
    reason: str | None


class Disk:
    """`on_change` is called with the reason when room runs short, and with None when it has come back."""

    def __init__(self, store: Database, on_change: Callable[[str | None], None]) -> None:
        self._store = store
        self._on_change = on_change
        self._usable: int | None = None
        self._failed: str | None = None  # what the database said when it last found no room
        self._timer: asyncio.TimerHandle | None = None
        self._look: asyncio.Task[None] | None = None
        self._stopped = False
        self.reason: str | None = None
        store.when_full(self.full)

    async def start(self) -> None:
        """The first look is taken before anything runs."""
        await self._look_once()
        self._arm()

    async def stop(self) -> None:
        self._stopped = True
        if self._timer is not None:
            self._timer.cancel()
        if self._look is not None:
            self._look.cancel()
            await asyncio.gather(self._look, return_exceptions=True)

    def view(self) -> DiskView:
        usable = None if self._usable is None else self._usable / 1e6
        return DiskView(usable, self._reserve / 1e6, self.reason)

    def check(self) -> None:
        """Raises NoRoom while there is no room for new bodies."""
        if self.reason is not None:
            raise NoRoom(
                f"This service takes no new jobs now: {self.reason}. Jobs that wait are kept and run when "
                "there is room again. Submit again later; deleting jobs that you do not need any more makes "
                "room, and so can the operator."
            )

    def check_result(self, size: int) -> None:
        """Raises NoRoom for a job whose result, of up to `size` bytes, would find no room now."""
        if self._usable is not None and self._usable - size < self._reserve // 2:
            raise NoRoom(
                f"The job's result can take up to {size / 1e6:.3g} MB, and the service's disk has room for "
                f"{max(0, self._usable - self._reserve // 2) / 1e6:.3g} MB. Ask for fewer shots or points, "
                "or submit it again later; deleting jobs that you do not need any more makes room."
            )

    def full(self, said: str) -> None:
        """A transaction has found no room, whatever the disk says: there may be a quota."""
        if self._stopped:
            return
        self._failed = said
        self._decide()
        self._arm()

    @property
    def _reserve(self) -> int:
        return self._store.disk.reserve if self._store.disk is not None else 0

    def _arm(self) -> None:
        if not self._stopped and self._timer is None and (self._reserve or self._failed):
            self._timer = asyncio.get_running_loop().call_later(EVERY, self._due)

    def _due(self) -> None:
        self._timer = None
        self._look = asyncio.get_running_loop().create_task(self._safely())

    async def _safely(self) -> None:
        try:
            await self._look_once()
        except Exception as error:  # the next look tries again
            log.error("disk.unknown", error=str(error))
        self._arm()

    async def _look_once(self) -> None:
        store = self._store
        if store.disk is not None and self._reserve:
            self._usable = await store.usable()
        if self._failed is not None and not self._short():
            try:
                await try_room(store)
            except StoreFull as error:
                self._failed = str(error)
            else:
                self._failed = None
        self._decide()
        if self.reason is None and store.disk is not None:
            store.disk.fill()

    def _short(self) -> bool:
        if self._usable is None:
            return False
        return self._usable < self._reserve * (SLACK if self.reason is not None else 1.0)

    def _decide(self) -> None:
        was, self.reason = self.reason, self._why()
        if (was is None) == (self.reason is None):
            return
        room = {"usable_mb": round((self._usable or 0) / 1e6, 1), "reserve_mb": round(self._reserve / 1e6, 1)}
        if self.reason is not None:
            log.error("disk.full", why=self.reason, **room)
        else:
            log.warning("disk.recovered", **room)
        self._on_change(self.reason)

    def _why(self) -> str | None:
        if self._short():
            return (
                f"its disk has {(self._usable or 0) / 1e6:.0f} MB left, and the last "
                f"{self._reserve / 1e6:.0f} MB are kept in reserve (server.disk_reserve_mb)"
            )
        if self._failed is not None:
            return f"its disk has no room ({self._failed})"
        return None
