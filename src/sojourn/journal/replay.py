"""Feeds a recorded log to the core and compares what it decides now with what it decided then.

Pure but for the clock that measures its own speed. The first difference ends the replay: what comes after it
would differ as well.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass, field

from sojourn.core import Lane
from sojourn.journal.encoding import Happened, Restored, decisions, decode, digest


@dataclass(frozen=True, slots=True)
class Difference:
    """Line `number` of the log (from 1) is answered differently. `then` and `now` are lines for people."""

    number: int
    device: str
    at: float
    event: str
    then: tuple[str, ...]
    now: tuple[str, ...]


@dataclass(slots=True)
class Report:
    """`lives` counts starts of a lane, `seconds` is what the replay took."""

    events: int = 0
    decisions: int = 0
    lives: int = 0
    devices: set[str] = field(default_factory=set)
    seconds: float = 0.0
    difference: Difference | None = None

    @property
    def rate(self) -> float:
        return self.events / self.seconds if self.seconds else 0.0


def replay(lines: Iterable[bytes]) -> Report:
    """Raises ValueError, with the line's number, for something that is no log."""
    report = Report()
    lanes: dict[str, Lane] = {}
    began = time.perf_counter()
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            happened = decode(line)
        except ValueError as error:
            raise ValueError(f"line {number}: {error}") from None
        report.devices.add(happened.device)
        if isinstance(happened.what, Restored):
            report.lives += 1
            report.difference = _begin(number, happened, happened.what, lanes)
        elif happened.device not in lanes:
            raise ValueError(f"line {number}: the log does not say how the lane of {happened.device} began")
        else:
            report.events += 1
            report.difference = _feed(number, happened, lanes[happened.device], report)
        if report.difference is not None:
            break
    report.seconds = time.perf_counter() - began
    return report


def _begin(number: int, happened: Happened, restored: Restored, lanes: dict[str, Lane]) -> Difference | None:
    """A restart: what was read back must be what the events led to (R55)."""
    before = lanes.get(happened.device)
    if before is not None:
        _fill(before, restored)
        then, now = _state(restored), _state(before)
        if then != now:
            only_then = tuple(sorted(then - now)) or ("nothing more",)
            only_now = tuple(sorted(now - then)) or ("nothing more",)
            return Difference(number, happened.device, happened.at, "Restored", only_then, only_now)
    lane = lanes[happened.device] = Lane(happened.device, restored.profile, restored.shares.shares())
    lane.restore(
        restored.jobs, restored.sessions, restored.windows, restored.halt, restored.lead, restored.charges
    )
    return None


def _fill(lane: Lane, restored: Restored) -> None:
    """The events of early versions do not contain a job's estimate; it is taken from the job's row, so that a
    log replays across an upgrade."""
    for job in restored.jobs:
        known = lane.jobs.get(job.id)
        if known is not None and known.estimate is None:
            known.estimate = job.estimate


def _state(of: Restored | Lane) -> set[str]:
    """Everything that survives a restart, a line for each entity."""
    if isinstance(of, Lane):
        jobs, sessions = list(of.jobs.values()), list(of.sessions.values())
        windows, halt = list(of.reservations), of.status
    else:
        jobs, sessions, windows, halt = of.jobs, of.sessions, of.windows, of.halt
    return {repr(entity) for entity in (*jobs, *sessions, *windows, halt) if entity is not None}


def _feed(number: int, happened: Happened, lane: Lane, report: Report) -> Difference | None:
    effects = lane.handle(happened.what, happened.at)
    report.decisions += len(effects)
    if digest(effects) == happened.digest:
        return None
    then, now = tuple(happened.did), tuple(decisions(effects))
    if then == now:
        now = (*now, "the same decisions, with other numbers in them")
    return Difference(number, happened.device, happened.at, repr(happened.what), then, now)
