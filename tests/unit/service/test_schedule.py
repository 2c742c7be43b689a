"""Calibrations by the clock, in virtual time."""

from __future__ import annotations

from sojourn.service.devices.schedule import Schedule, after
from sojourn.service.timing.clock import VirtualClock

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


def test_a_clock_that_is_set_forward_over_a_time_makes_up_for_it_once() -> None:
    clock, queued = VirtualClock(MIDNIGHT), []
    plan = Schedule(clock, {"a": "0 4 * * *"}, lambda _: queued.append(clock.date()))
    plan.start({})
    clock.watch(lambda _: plan.step_clock())
    clock.step(5 * 3600)
    clock.step(3600)
    assert queued == [MIDNIGHT + 5 * 3600]
    clock.step(3 * DAY)
    assert queued[1:] == [MIDNIGHT + 6 * 3600 + 3 * DAY]
    clock.advance(DAY)
    assert queued[2:] == [MIDNIGHT + 4 * DAY + 4 * 3600]


def test_a_schedule_goes_by_the_clock_that_was_set_back() -> None:
    clock, queued = VirtualClock(MIDNIGHT), []
    plan = Schedule(clock, {"a": "0 4 * * *"}, lambda _: queued.append(clock.date()))
    plan.start({})
    clock.watch(lambda _: plan.step_clock())
    clock.advance(3 * 3600)
    clock.step(-3600)
    clock.advance(2 * 3600 - 1)
    assert queued == []
    clock.advance(1)
    assert queued == [MIDNIGHT + 4 * 3600]
    clock.step(-400 * DAY)
    clock.advance(DAY)
    assert queued[1:] == [MIDNIGHT - 399 * DAY + 4 * 3600]
