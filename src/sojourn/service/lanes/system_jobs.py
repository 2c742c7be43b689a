"""What a dispatcher asks of the service's own jobs on a device, whatever they are for."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

from sojourn.store.database import Work


@dataclass(frozen=True, slots=True)
class SystemOutcome:
    """What a system job has found. `write` is committed with the end of the job, after the large ones of the
    `blobs` (by hash) were stored; `take_effect` is called after the commit, before the next job starts.
    `report` is the result that those are given who ask for it, and `said` the reason of the job's end."""

    write: Work[None] | None
    blobs: dict[str, bytes]
    take_effect: Callable[[], None]
    report: bytes
    said: str | None = None


class SystemProgram(Protocol):
    """One kind of system jobs."""

    def inputs(self, device: str) -> bytes:
        """The inputs of a system job that starts now."""
        ...

    def outcome(self, device: str, job_id: str, result: bytes, seconds: float) -> SystemOutcome:
        """What the result of one says that took so many seconds and has ended now. Raises ProtocolError, with
        a sentence, when it cannot be read."""
        ...


class SystemJobs:
    """All kinds, by the programs of their jobs."""

    def __init__(self, programs: Mapping[str, SystemProgram]) -> None:
        self._programs = programs

    def inputs(self, device: str, program: str) -> bytes:
        return self._programs[program].inputs(device)

    def outcome(self, device: str, program: str, job_id: str, result: bytes, seconds: float) -> SystemOutcome:
        return self._programs[program].outcome(device, job_id, result, seconds)
