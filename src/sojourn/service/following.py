"""Follows the machine's clock when somebody sets it: tells all whom it concerns, in one moment.

What lasts goes on by its length, dates follow the clock (D24, docs/decisions/0019). Decides nothing.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING

import structlog

from sojourn.service.clock import Handle, Step
from sojourn.service.retention import Retention
from sojourn.service.schedule import Schedule
from sojourn.store import clock as stored
from sojourn.store.database import Need, bound, run_all

if TYPE_CHECKING:
    from sojourn.service.hub import Hub

log = structlog.get_logger("sojourn.clock")


class Following:
    """`on_fatal` is called with what keeps a step from being committed."""

    def __init__(
        self,
        hub: Hub,
        schedule: Schedule,
        retention: Retention,
        on_fatal: Callable[[BaseException], None],
    ) -> None:
        self._hub = hub
        self._schedule = schedule
        self._retention = retention
        self._on_fatal = on_fatal
        self._watch: Handle | None = None

    def start(self) -> None:
        self._watch = self._hub.clock.watch(self._stepped)

    def stop(self) -> None:
        if self._watch is not None:
            self._watch.cancel()

    def tell_the_lanes(self, jumped: float, lead: float) -> asyncio.Future[None]:
        """All in one transaction: after a crash every lane, and every time on record, is of before the step
        or of after it. Nothing may look at the time between the jump and this."""
        hub = self._hub
        step = stored.StoredStep(hub.clock.now(), jumped, lead)
        hub.steps.take(step)
        told = [desk.step_clock(jumped, lead) for desk in hub.dispatchers.values()]

        step_and_units = bound(run_all, bound(stored.add, step), *(unit.write for unit, _ in told))

        def landed(_: None) -> None:
            for _unit, land in told:
                land()

        done = hub.store.submit(step_and_units, landed, need=Need.MUST)
        done.add_done_callback(self._check)
        return done

    def _stepped(self, step: Step) -> None:
        self._hub.usage.jump(step.jumped)
        self.tell_the_lanes(step.jumped, step.lead)
        self._schedule.step_clock()
        self._retention.step_clock()
        log.warning("clock.stepped", seconds=step.by, jumped=step.jumped, ahead_of_clock=step.lead)

    def _check(self, done: asyncio.Future[None]) -> None:
        if not done.cancelled() and (error := done.exception()) is not None:
            self._on_fatal(error)
