"""Says whether jobs can be taken and run, and what is missing. Changes nothing."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import structlog

from sojourn.execution.engine import Engine
from sojourn.service.data.disk import Disk
from sojourn.service.lanes.dispatcher import OPERATIONAL
from sojourn.service.lanes.registry import Lanes
from sojourn.store import Database
from sojourn.store.database.integrity import damage

log = structlog.get_logger("sojourn.service")


class Readiness:
    """`database` is the file that is looked at for damage."""

    def __init__(self, database: Path, store: Database, engine: Engine, lanes: Lanes, disk: Disk) -> None:
        self._database = database
        self._store = store
        self._engine = engine
        self._lanes = lanes
        self._disk = disk
        self._damage: list[str] | None = None  # None until it has been looked for

    async def check_store(self) -> None:
        """Look for damage in the database file beside everything else; `report` says what was found."""
        self._damage = await damage(self._database)
        if self._damage:
            log.critical("store.damaged", database=str(self._database), faults=self._damage)

    async def report(self) -> dict[str, Any]:
        """Whether jobs can be taken and run: the store answers and no damage was found in it, its disk has
        room, every device's worker is up or asleep, and there is a preparer, or the first ones are on their
        way."""
        try:
            await self._store.ping()
            store = f"damaged: {self._damage[0]}" if self._damage else "ok"
        except Exception as error:
            store = f"not reachable: {error}"
        states = {name: self._engine.state(name) for name in self._lanes.specs}
        preparers, served = self._engine.preparers(), self._engine.preparations()
        up = all(state.phase in OPERATIONAL for state in states.values()) and not preparers["missing"]
        disk = self._disk.view()
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


def not_running(why: str) -> dict[str, Any]:
    """The report of a service that is closed or broken."""
    return {"ready": False, "store": why, "devices": {}}
