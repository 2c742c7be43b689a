"""Follows the machine's clock when somebody sets it: hands the step to all parts that it concerns, at once.

What lasts goes on by its length, dates follow the clock (D24, docs/decisions/0019). Decides nothing.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

import structlog

from sojourn.core.fair_share.usage import UsageMeter
from sojourn.service.lanes.registry import Lanes
from sojourn.service.timing.clock import Clock, Handle, Step
from sojourn.service.timing.steps import Steps
from sojourn.store import clock as stored
from sojourn.store.database import Database, Need, bound, run_all

log = structlog.get_logger("sojourn.clock")


class Following:
    """`on_step` are called after each step, in this order; `on_fatal` with what keeps a step from being
    committed."""

    def __init__(
        self,
        *,
        store: Database,
        clock: Clock,
        steps: Steps,
        lanes: Lanes,
        meter: UsageMeter,
        on_step: Sequence[Callable[[], None]],
        on_fatal: Callable[[BaseException], None],
    ) -> None:
        self._store = store
        self._clock = clock
        self._steps = steps
        self._lanes = lanes
        self._meter = meter
        self._on_step = on_step
        self._on_fatal = on_fatal
        self._watch: Handle | None = None

    def start(self) -> None:
        self._watch = self._clock.watch(self._stepped)

    def stop(self) -> None:
        if self._watch is not None:
            self._watch.cancel()

    def step_lanes(self, jumped: float, lead: float) -> asyncio.Future[None]:
        """All in one transaction: after a crash every lane, and every time on record, is of before the step
        or of after it. Nothing may look at the time between the jump and this."""
        step = stored.StoredStep(self._clock.now(), jumped, lead)
        self._steps.take(step)
        stepped = [dispatcher.step_clock(jumped, lead) for dispatcher in self._lanes.dispatchers.values()]

        step_and_units = bound(run_all, bound(stored.add, step), *(unit.write for unit, _ in stepped))

        def landed(_: None) -> None:
            for _unit, land in stepped:
                land()

        done = self._store.submit(step_and_units, landed, need=Need.MUST)
        done.add_done_callback(self._check)
        return done

    def _stepped(self, step: Step) -> None:
        self._meter.jump(step.jumped)
        self.step_lanes(step.jumped, step.lead)
        for react in self._on_step:
            react()
        log.warning("clock.stepped", seconds=step.by, jumped=step.jumped, ahead_of_clock=step.lead)

    def _check(self, done: asyncio.Future[None]) -> None:
        if not done.cancelled() and (error := done.exception()) is not None:
            self._on_fatal(error)
