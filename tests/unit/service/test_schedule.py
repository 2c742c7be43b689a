"""Calibrations by the clock, in virtual time."""

from __future__ import annotations

from sojourn.service.clock import VirtualClock
from sojourn.service.schedule import Schedule, after

DAY = 86400.0
MIDNIGHT = 1_750_032_000.0  # 2025-06-16 00:00 UTC


def schedule(clock: VirtualClock, last: dict[str, float]) -> list[float]:
    """The times at which the device's calibration was queued, as they come."""
    queued: list[float] = []
    Schedule(clock, {"a": "0 4 * * *"}, lambda _: queued.append(clock.now())).start(last)
    return queued


def test_a_cron_expression_is_in_utc() -> None:
    assert after("0 4 * * *", MIDNIGHT) == MIDNIGHT + 4 * 3600
    assert after("0 4 * * *", MIDNIGHT + 4 * 3600) == MIDNIGHT + DAY + 4 * 3600


def test_a_schedule_queues_at_each_of_its_times_and_never_early() -> None:
    clock = VirtualClock(MIDNIGHT)
    queued = schedule(clock, {})
    clock.advance(4 * 3600 - 1)
    assert queued == []
    clock.advance(1)
    clock.advance(2 * DAY)
    assert queued == [MIDNIGHT + 4 * 3600 + day * DAY for day in range(3)]


def test_what_was_missed_while_the_server_was_down_runs_once() -> None:
    assert schedule(VirtualClock(MIDNIGHT), {"a": MIDNIGHT - 5 * DAY}) == [MIDNIGHT]


def test_nothing_is_made_up_for_when_nothing_was_missed() -> None:
    assert schedule(VirtualClock(MIDNIGHT), {"a": MIDNIGHT - 3600}) == []
    assert schedule(VirtualClock(MIDNIGHT), {}) == []
