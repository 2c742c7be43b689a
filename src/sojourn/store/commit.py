"""A unit of work: what one event changed, written in one transaction or not at all."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from sqlalchemy import Connection

from sojourn.core.effects import Effect
from sojourn.store import devices, history, jobs, ledger, reservations, sessions
from sojourn.store.blobs import put_blobs
from sojourn.store.database import Work
from sojourn.store.journal import JournalRow, put_journal


@dataclass(slots=True)
class Unit:
    """The facts of one step of one device, and the bytes that belong to them.

    `meta` holds the rest of the row for every job that is new or whose rest changed; `also` writes what else
    belongs to the step, in the same transaction.
    """

    device: str
    effects: Sequence[Effect]
    meta: Mapping[str, jobs.JobMeta] = field(default_factory=dict)
    blobs: Mapping[str, bytes] = field(default_factory=dict)
    also: Work[object] | None = None
    journal: Sequence[JournalRow] = ()

    def write(self, connection: Connection) -> None:
        put_blobs(connection, self.blobs)
        sessions.write(connection, self.device, self.effects)
        jobs.write(connection, self.device, self.effects, self.meta)
        reservations.write(connection, self.device, self.effects)
        devices.write(connection, self.device, self.effects)
        ledger.write(connection, self.device, self.effects)
        history.write(connection, self.device, self.effects)
        if self.also is not None:
            self.also(connection)
        put_journal(connection, self.journal)
