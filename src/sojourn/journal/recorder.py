"""Records what a lane is fed, as rows for the transaction of its effects. Decides and writes nothing.

Without the record (`[server] journal = false`) there is no Journal at all.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import msgspec

from sojourn.core import Lane
from sojourn.core import events as ev
from sojourn.core.calendar import Reservation
from sojourn.core.effects import Effect
from sojourn.core.model import DeviceStatus, Job, Session
from sojourn.journal import encoding
from sojourn.store.journal import JournalRow, read_journal


class Journal:
    """The record of one device."""

    def __init__(self, device: str) -> None:
        self._device = device

    def event(self, event: ev.Event, now: float, effects: Sequence[Effect]) -> JournalRow:
        """One event that the lane was given at `now`, and all that it answered."""
        return {
            "device": self._device,
            "at": now,
            "kind": type(event).__name__,
            "body": encoding.encode_event(event),
            "did": msgspec.json.encode(encoding.decisions(effects)),
            "digest": encoding.digest(effects),
        }

    def restored(
        self,
        lane: Lane,
        now: float,
        jobs: Iterable[Job],
        sessions: Iterable[Session],
        windows: Iterable[Reservation],
        halt: DeviceStatus | None,
        charges: Iterable[tuple[str, str, float, float]],
        lead: float = 0.0,
    ) -> JournalRow:
        """How the lane begins; to be asked before it is restored, which changes what it is given."""
        state = encoding.Restored(
            profile=lane.profile,
            shares=encoding.SharesText.of(lane.shares),
            jobs=list(jobs),
            sessions=list(sessions),
            windows=list(windows),
            halt=halt,
            charges=list(charges),
            lead=lead,
        )
        return {
            "device": self._device,
            "at": now,
            "kind": "Restored",
            "body": encoding.encode_restored(state),
            "did": b"[]",
            "digest": "",
        }


def export(database: Path) -> Iterator[bytes]:
    """The journal as the lines of a file, oldest first, each with its newline.

    A device's lines begin with a start of its lane: of a life that is being deleted because of its age
    (`journal_days`) the rest is left out, as it could not be replayed.
    """
    begun: set[str] = set()
    for row in read_journal(database):
        if row.kind == "Restored":
            begun.add(row.device)
        if row.device not in begun:
            continue
        did = msgspec.json.decode(row.did, type=list[str])
        line = encoding.Line(row.device, row.at, row.kind, msgspec.Raw(row.body), did, row.digest)
        yield encoding.encode_line(line) + b"\n"
