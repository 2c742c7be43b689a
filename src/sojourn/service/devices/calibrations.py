"""Each device's calibrations: which one holds, which held when, and what each of them said.

The history is in memory and in the store; who may calibrate and when is decided elsewhere.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import msgspec
import structlog

from sojourn.core.wording.formatting import at_time
from sojourn.service.errors import BadRequest, Expired, NotFound
from sojourn.service.ids import sha256
from sojourn.service.lanes.feed import Feed
from sojourn.service.lanes.system_jobs import SystemOutcome
from sojourn.store import calibrations as stored
from sojourn.store.blobs import read_blob
from sojourn.store.calibrations import Calibration
from sojourn.store.database import Database, Work, bound
from sojourn.worker.protocol import messages
from sojourn.worker.protocol import types as execution
from sojourn.worker.protocol.types import Description

__all__ = ["FIRST", "Calibration", "Calibrations"]

log = structlog.get_logger("sojourn.calibrations")

FIRST = "cal-1"
"""What a device's calibration is called before anything is known of it."""

_canonical = msgspec.json.Encoder(order="deterministic")


@dataclass(frozen=True, slots=True)
class _New:
    """A new calibration that is not committed yet."""

    calibration: Calibration
    description: Description
    blobs: dict[str, bytes]

    @property
    def write(self) -> Work[None]:
        return bound(stored.add, self.calibration, self.blobs)


class Calibrations:
    """`models` names the device that a dry-run companion looks like; it has no calibrations of its own.

    `on_effect` is called with what a device's workers are to use: the properties (JSON text) of the
    calibration that holds, empty when the driver finds them by itself.
    """

    def __init__(
        self,
        store: Database,
        now: Callable[[], float],
        models: Mapping[str, str],
        on_effect: Callable[[str, bytes], None],
        feed: Feed,
    ) -> None:
        self._store = store
        self._now = now
        self._models = models
        self._on_effect = on_effect
        self._feed = feed
        self._history: dict[str, list[Calibration]] = {}
        self._numbers: dict[str, int] = {}
        self._held: set[str] = set()  # devices whose workers were given a calibration
        self.descriptions: dict[str, Description] = {}
        """What each device is now, once its worker has come up."""

    async def load(self) -> None:
        """Read the history; workers that start from now on hold what held before the restart."""
        for calibration in await self._store.read(stored.every):
            self._history.setdefault(calibration.device, []).append(calibration)
            self._numbers[calibration.device] = calibration.number
        for device, found in self._history.items():
            if found[-1].job_id is not None and found[-1].properties_hash is not None:
                properties = await self._store.read(read_blob, found[-1].properties_hash)
                self._held.add(device)
                self._on_effect(device, properties or b"")

    # questions

    def history(self, device: str) -> list[Calibration]:
        """Oldest first; empty until the device's first worker has described it."""
        return self._history.get(self._models.get(device, device), [])

    def present(self, device: str) -> Calibration | None:
        found = self.history(device)
        return found[-1] if found else None

    def named(self, device: str, calibration_id: str) -> Calibration:
        """Raises NotFound with those that there are."""
        for calibration in self.history(device):
            if calibration.id == calibration_id:
                return calibration
        raise NotFound(
            f"Device {device!r} has no calibration {calibration_id[:100]!r}. It has: {self._ids(device)}. "
            "Leave calibration_id out for the one in force."
        )

    def in_force(self, device: str, at: float) -> Calibration | None:
        """The newest one at or before `at`. The first one holds for all time before it, too.

        A calibration's time is compared as it is shown, so that who asks with a time of ours gets that one.
        """
        found = self.history(device)
        return next((c for c in reversed(found) if _as_shown(c.at) <= at), found[0] if found else None)

    def check_current(self, device: str, calibration_id: str) -> None:
        """A job can only run under the present calibration. Raises BadRequest naming it."""
        present = self.present(device)
        current = present.id if present is not None else FIRST
        if calibration_id == current:
            return
        if any(c.id == calibration_id for c in self.history(device)):
            raise BadRequest(
                f"Calibration {calibration_id!r} of {device} is not in force any more; a job can only run "
                f"under the present one, {current!r}. Name that one, or leave calibration_id out."
            )
        raise BadRequest(
            f"There is no calibration {calibration_id[:100]!r} of {device}. It has: {self._ids(device)}; "
            f"jobs run under {current!r}."
        )

    def _ids(self, device: str) -> str:
        ids = [c.id for c in self.history(device)] or [FIRST]
        if len(ids) > 10:
            ids = [*ids[:2], "…", *ids[-6:]]
        return ", ".join(repr(i) if i != "…" else i for i in ids)

    async def description(self, calibration: Calibration) -> Description:
        """What its device was under that calibration. Expired when that has been deleted."""
        known = self.descriptions.get(calibration.device)
        if known is None or calibration != self.present(calibration.device):
            configuration = await self._table(calibration, calibration.configuration_hash)
            known = Description(
                int(configuration.get("n_qubits", 0)),
                configuration,
                await self._table(calibration, calibration.properties_hash)
                if calibration.properties_hash
                else None,
                str(configuration.get("backend_version", "")),
            )
        return known

    async def _table(self, calibration: Calibration, digest: str) -> dict[str, Any]:
        text = await self._store.read(read_blob, digest)
        if text is None:
            present = self.present(calibration.device)
            assert present is not None, "it has this one"
            raise Expired(
                f"What was measured by calibration {calibration.id!r} of {calibration.device} "
                f"(in force from {at_time(calibration.at)}) has been deleted: this service keeps it for a "
                "limited time after the next calibration (calibrations_days of [retention]). Ask for the "
                f"present one, {present.id!r}, or for the first, {FIRST!r}."
            )
        return msgspec.json.decode(text, type=dict[str, Any])

    # descriptions of workers

    async def on_description(self, device: str, description: Description) -> None:
        """A worker has come up and says what its device is: as known, or a new calibration."""
        if device in self._models:
            self.descriptions[device] = description
            return
        found = self.history(device)
        described = _hashes(description)[0]
        if found and described == (found[-1].configuration_hash, found[-1].properties_hash):
            self.descriptions[device] = description
            return
        if len(found) > 1 and found[-1].job_id is not None:
            earlier = (found[-2].configuration_hash, found[-2].properties_hash)
            # it started while the present one was measured, and is given it before it runs a job
            if described == earlier:
                if device not in self.descriptions:
                    self.descriptions[device] = await self.description(found[-1])
                return
        new = self._new(device, None, description)
        # in memory at once: the number is taken, and the next question comes before the commit
        self._take(new)
        log.info("calibration.found", device=device, calibration=new.calibration.id)
        await self._store.must_write(new.write)
        self._feed.publish()

    # as system jobs

    def inputs(self, device: str) -> bytes:
        """The inputs of a calibration that starts now."""
        at = datetime.fromtimestamp(self._now(), UTC).isoformat(timespec="seconds")
        return msgspec.json.encode(execution.Calibration(at, self._numbers.get(device, 0) + 1))

    def outcome(self, device: str, job_id: str, result: bytes, seconds: float) -> SystemOutcome:
        """What a calibration has measured. Raises ProtocolError when it cannot be read."""
        try:
            description = messages.decode_description(result)
        except messages.ProtocolError as error:
            raise messages.ProtocolError(f"The calibration cannot be read: {error}") from None
        new = self._new(device, job_id, description)
        report = _report(new.calibration.at - seconds, new.calibration.at)
        return SystemOutcome(new.write, new.blobs, lambda: self._take_effect(new), report)

    def _take_effect(self, new: _New) -> None:
        """Every job that starts from now on runs under it."""
        self._take(new)
        log.info("calibration.measured", device=new.calibration.device, calibration=new.calibration.id)

    def _new(self, device: str, job_id: str | None, description: Description) -> _New:
        hashes, blobs = _hashes(description)
        number = self._numbers[device] = self._numbers.get(device, 0) + 1
        calibration = Calibration(device, number, self._now(), job_id, *hashes)
        return _New(calibration, description, blobs)

    def _take(self, new: _New) -> None:
        calibration = new.calibration
        self._history.setdefault(calibration.device, []).append(calibration)
        self.descriptions[calibration.device] = new.description
        held = b""
        if calibration.job_id is not None and calibration.properties_hash is not None:
            held = new.blobs[calibration.properties_hash]
        if held or calibration.device in self._held:
            self._held.add(calibration.device)
            self._on_effect(calibration.device, held)


def _report(start: float, stop: float) -> bytes:
    """The result of a calibration as the client's `Calibrator` reads it."""
    moments = (datetime.fromtimestamp(at, UTC).isoformat() for at in (start, stop))
    return msgspec.json.encode(
        dict(zip(("schema_version", "start", "stop"), ("v0.1", *moments), strict=True))
    )


def _hashes(description: Description) -> tuple[tuple[str, str | None], dict[str, bytes]]:
    """The same device says the same bytes, whoever encodes them."""
    blobs: dict[str, bytes] = {}
    found: list[str | None] = []
    for table in (description.configuration, description.properties):
        if table is None:
            found.append(None)
            continue
        text = _canonical.encode(table)
        digest = sha256(text)
        blobs[digest] = text
        found.append(digest)
    configuration, properties = found
    assert configuration is not None, "a device has a configuration"
    return (configuration, properties), blobs


def _as_shown(at: float) -> float:
    return datetime.fromtimestamp(at, UTC).timestamp()
