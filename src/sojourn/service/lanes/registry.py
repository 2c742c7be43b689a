"""The lanes of all devices: finds a device's dispatcher, the place of a job in its queue, the next number."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress

from sojourn import codes
from sojourn.core import events as ev
from sojourn.core.model import JobState
from sojourn.service.companions import is_mock
from sojourn.service.errors import Conflict, NotFound
from sojourn.service.lanes.dispatcher import Dispatcher
from sojourn.service.lanes.records import JobRecord, SessionRecord
from sojourn.worker.protocol.types import DeviceSpec

SLICE = 0.001
"""Seconds that one part of a long answer may take about twice, before others are served."""


class Lanes:
    """`specs` are the configured devices with their companions for dry runs, by name; `models` names the
    device that each companion looks like.

    `dispatchers` also has the devices that are not configured any more and have something left.
    """

    def __init__(self, specs: Mapping[str, DeviceSpec], models: Mapping[str, str]) -> None:
        self.specs = specs
        self.models = models
        self.dispatchers: dict[str, Dispatcher] = {}
        self.next_seq = 1

    def take_seq(self) -> int:
        """The next number in the order of acceptance."""
        seq = self.next_seq
        self.next_seq += 1
        return seq

    def dispatcher(self, device: str | None) -> Dispatcher:
        """The dispatcher of a configured device. Raises NotFound with the names that there are."""
        found = self.dispatchers.get(device or "")
        if found is None or found.device not in self.specs:
            names = ", ".join(name for name, spec in self.specs.items() if not is_mock(spec))
            raise NotFound(
                f"There is no backend {(device or '')[:100]!r}. Backends: {names}.", code=codes.UNKNOWN_DEVICE
            )
        return found

    def hold(self, reason: str | None) -> None:
        """No configured device starts anything for this reason, until it is None; what runs goes on."""
        for name in self.specs:
            if name in self.dispatchers:
                self.dispatchers[name].hold(reason)

    # what is ended for others

    async def close_sessions(self, sessions: Iterable[SessionRecord], by: str) -> int:
        """Close them (R33); how many."""
        closed = 0
        for record in sessions:
            await self.dispatchers[record.device].feed(ev.SessionClosed(record.session.id, by))
            closed += 1
        return closed

    async def cancel_jobs(self, jobs: Iterable[JobRecord], by: str) -> int:
        """Cancel those that have not ended meanwhile, for example with the root of their session; how
        many."""
        cancelled = 0
        for record in jobs:
            with suppress(Conflict):
                await self.dispatchers[record.device].feed(ev.JobCancelled(record.job.id, by))
                cancelled += 1
        return cancelled

    # queues

    def position(self, record: JobRecord) -> int | None:
        """How many jobs are before it on its device; None unless it is queued."""
        return self.positions([record]).get(record.job.id)

    def positions(self, records: Iterable[JobRecord]) -> dict[str, int]:
        """The same of those of `records` that are queued, as the queues are now."""
        waiting: dict[str, list[str]] = {}
        for record in records:
            if record.job.state is JobState.QUEUED:
                waiting.setdefault(record.device, []).append(record.job.id)
        found: dict[str, int] = {}
        for device, wanted in waiting.items():
            # one that the lane does not have has just started or ended: the commit is under way
            found |= dict.fromkeys(wanted, 0) | self.dispatchers[device].lane.positions(wanted)
        return found

    async def many_positions(self, records: Sequence[JobRecord]) -> dict[str, int]:
        """As `positions`, a few at a time. Where many users with equal shares wait each takes a while, and
        the event loop goes on between them."""
        found: dict[str, int] = {}
        size, done = 1, 0
        while done < len(records):
            begin = time.perf_counter()
            found |= self.positions(records[done : done + size])
            done += size
            size = 2 * size if time.perf_counter() - begin < SLICE else max(1, size // 2)
            await asyncio.sleep(0)
        return found
