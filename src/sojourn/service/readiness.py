"""Says whether jobs can be taken and run, and what is missing. Changes nothing."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import structlog

from sojourn.service.dispatcher import OPERATIONAL
from sojourn.store.database.integrity import damage

if TYPE_CHECKING:
    from sojourn.service.hub import Hub

log = structlog.get_logger("sojourn.service")


class Readiness:
    """`database` is the file that is looked at for damage."""

    def __init__(self, database: Path) -> None:
        self._database = database
        self._damage: list[str] | None = None  # None until it has been looked for

    async def check_store(self) -> None:
        """Look for damage in the database file beside everything else; `of` says what was found."""
        self._damage = await damage(self._database)
        if self._damage:
            log.critical("store.damaged", database=str(self._database), faults=self._damage)

    async def of(self, hub: Hub | None, fatal: BaseException | None) -> dict[str, Any]:
        """Whether jobs can be taken and run: the store answers and no damage was found in it, its disk has
        room, every device's worker is up or asleep, and there is a preparer, or the first ones are on their
        way."""
        if hub is None or fatal is not None:
            why = repr(fatal) if fatal is not None else "closed"
            return {"ready": False, "store": why, "devices": {}}
        try:
            await hub.store.ping()
            store = f"damaged: {self._damage[0]}" if self._damage else "ok"
        except Exception as error:
            store = f"not reachable: {error}"
        states = {name: hub.engine.state(name) for name in hub.specs}
        preparers, served = hub.engine.preparers(), hub.engine.preparations()
        up = all(state.phase in OPERATIONAL for state in states.values()) and not preparers["missing"]
        disk = hub.disk.view()
        return {
            "ready": up and store == "ok" and disk.reason is None,
            "store": store,
            "store_checked": self._damage is not None,
            "disk": asdict(disk),
            "devices": {
                name: {"phase": str(state.phase), "reason": state.reason} for name, state in states.items()
            },
            "preparations": {
                "in_work": sum(found.in_work for found in served),
                "waiting": sum(found.waiting for found in served),
            },
            "preparers": preparers,
        }
