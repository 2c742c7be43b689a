"""Calibrations by the clock: when a device's schedule says so, its calibration is queued.

Has the timers, and does not know what a calibration is.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime

import structlog
from cronsim import CronSim

from sojourn.service.timing.clock import Clock, Handle

log = structlog.get_logger("sojourn.schedule")


def after(schedule: str, at: float) -> float:
    """The first time of the cron expression later than `at`; in UTC, seconds since the epoch."""
    return next(CronSim(schedule, datetime.fromtimestamp(at, UTC))).timestamp()


class Schedule:
    """`schedules` are cron expressions by device. `queue` queues a calibration; it may do nothing when one
    is pending already."""

    def __init__(self, clock: Clock, schedules: Mapping[str, str], queue: Callable[[str], None]) -> None:
        self._clock = clock
        self._schedules = dict(schedules)
        self._queue = queue
        self._timers: dict[str, Handle] = {}
        self.next: dict[str, float] = {}

    def start(self, last: Mapping[str, float]) -> None:
        """`last`: when each device was last calibrated, or tried. What was missed since then runs once."""
        now = self._clock.date()
        for device, schedule in self._schedules.items():
            if device in last and after(schedule, last[device]) <= now:
                log.info("calibration.missed", device=device, schedule=schedule)
                self._queue(device)
            self._arm(device)

    def step_clock(self) -> None:
        """The machine's clock was set: a time that it has leapt over is made up for once, one that it shows
        again counts again."""
        self.stop()
        now = self._clock.date()
        for device, due in list(self.next.items()):
            if due <= now:
                log.info("calibration.missed", device=device, schedule=self._schedules[device])
                self._queue(device)
            self._arm(device)

    def stop(self) -> None:
        for timer in self._timers.values():
            timer.cancel()
        self._timers.clear()

    def _arm(self, device: str) -> None:
        self.next[device] = after(self._schedules[device], self._clock.date())
        self._wait(device)

    def _wait(self, device: str) -> None:
        self._timers[device] = self._clock.call_at(
            self._clock.instant(self.next[device]), lambda: self._due(device)
        )

    def _due(self, device: str) -> None:
        if self._clock.date() < self.next[device]:  # a clock may call early
            self._wait(device)
            return
        self._queue(device)
        self._arm(device)
