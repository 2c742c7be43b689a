"""What the drivers for devices of other services have in common: they know the device by what its service
says, keep circuits as text, and run tasks as sampler jobs there."""

from __future__ import annotations

import time
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any

from qiskit import qpy
from qiskit.circuit import QuantumCircuit
from qiskit.transpiler import Target

from sojourn.devices.driver import CompiledCircuit, Driver, DriverError, Facts, OptionReader, Outcome, Task
from sojourn.devices.remote import payload
from sojourn.devices.remote.described import Described, described
from sojourn.devices.remote.place import read_seconds


class FailedThere(DriverError):
    """A job has ended without a result there. `code` is that of the job here, `said` the number there."""

    def __init__(self, message: str, code: int, said: int | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.said = said


class ServiceDriver(Driver):
    """A device of another service. A driver of this kind calls `look` at the end of its constructor."""

    check_at_load = False  # each circuit of the check would wait in a queue there

    def __init__(self, name: str, options: Mapping[str, Any]) -> None:
        super().__init__(name, options)
        self._texts = b"", b""
        self._asked = 0.0
        self._known: Described | None = None
        self._changed = False  # since `refresh` has said so
        self._version = payload.NEWEST_QPY

    def read_shared(self, reader: OptionReader) -> None:
        """The options `refresh` and `qpy`."""
        self.refresh_seconds = read_seconds(reader, "refresh", 60.0, 1.0, 86_400.0)
        version = reader.integer("qpy", payload.NEWEST_QPY, 13, qpy.QPY_VERSION)
        assert version is not None
        self._version = version

    @abstractmethod
    def ask(self) -> tuple[bytes, bytes]:
        """Configuration and properties as JSON text. Raises `DriverError`."""

    @abstractmethod
    def run(self, pieces: Sequence[payload.Piece], seed: int | None) -> list[list[Outcome]]:
        """Run one job there. Raises `DriverError`."""

    def look(self) -> None:
        """Ask what the device is. Raises `DriverError`."""
        self._asked = time.monotonic()
        texts = self.ask()
        if texts != self._texts:
            self._changed = self._known is not None
            self._known, self._texts = described(self.name, *texts), texts

    @property
    def _described(self) -> Described:
        assert self._known is not None, "it was asked for when the driver was made"
        return self._known

    @property
    def target(self) -> Target:
        return self._described.target

    def facts(self) -> Facts:
        return self._described.facts

    def refresh(self) -> bool:
        if time.monotonic() >= self._asked + self.refresh_seconds:
            self.look()
        changed, self._changed = self._changed, False
        return changed

    def calibrate(self, at: str, number: int) -> Facts:
        """The other service calibrates its device itself; what it says of it now is what was found."""
        del at, number
        self.look()
        return self.facts()

    def compile(self, circuit: QuantumCircuit) -> CompiledCircuit:
        return payload.SentCircuit(circuit, self._version, self.target.dt)

    def execute(self, tasks: Sequence[Task], *, seed: int | None, memory: bool) -> list[list[Outcome]]:
        del memory  # shots come with their order
        found: list[list[Outcome]] = [
            [] if getattr(task.circuit, "fields", ()) else payload.empty(len(task.values), task.shots)
            for task in tasks
        ]
        for number, pieces in enumerate(payload.jobs_of(tasks, self._bounds())):
            own = None if seed is None else (seed + number) % 2**31
            for piece, points in zip(pieces, self.run(pieces, own), strict=True):
                found[piece.task].extend(points)
        return found

    def _bounds(self) -> payload.Bounds:
        most = self._described.max_pubs
        usual = payload.Bounds()
        return payload.Bounds(usual.pubs if most is None else min(usual.pubs, most))
