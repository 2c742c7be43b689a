"""What a device does is one of six things at any time, and their seconds add up to the time passed."""

from __future__ import annotations

import random

import pytest

from sojourn.core import Mode
from sojourn.core import events as ev
from sojourn.core.calendar import ReservationMode
from sojourn.core.model import DeviceMode
from sojourn.service.lanes.device_time import DeviceTime, Doing, doing
from tests.harness.lane import LaneHarness


@pytest.fixture
def h() -> LaneHarness:
    return LaneHarness()


def test_a_device_with_nothing_to_do_is_idle_and_one_that_runs_a_job_is_busy(h: LaneHarness) -> None:
    assert doing(h.lane) is Doing.IDLE
    h.submit("a")
    assert doing(h.lane) is Doing.BUSY
    h.finish("a")
    assert doing(h.lane) is Doing.IDLE


def test_a_job_that_was_cancelled_keeps_the_device_until_its_run_is_cleared_away(h: LaneHarness) -> None:
    h.submit("a")
    h.cancel("a")
    assert doing(h.lane) is Doing.BUSY
    h.do(ev.RunEnded("a", 1, ev.Outcome.STOPPED))
    assert doing(h.lane) is Doing.IDLE


@pytest.mark.parametrize("mode", list(Mode))
def test_between_the_jobs_of_a_session_the_device_is_held_until_the_ttl_is_over(
    h: LaneHarness, mode: Mode
) -> None:
    h.open("s", mode=mode)
    assert doing(h.lane) is Doing.IDLE, "it has not started"
    h.submit("a", session="s")
    h.finish("a")
    assert doing(h.lane) is Doing.HELD
    h.sleep(h.lane.profile.interactive_ttl + h.lane.profile.batch_ttl)
    assert doing(h.lane) is Doing.IDLE


@pytest.mark.parametrize(
    ("mode", "expected"),
    [(ReservationMode.DEDICATED, Doing.RESERVED), (ReservationMode.PRIORITY, Doing.IDLE)],
)
def test_a_dedicated_reservation_without_a_job_keeps_the_device_free(
    h: LaneHarness, mode: ReservationMode, expected: Doing
) -> None:
    assert h.reserve("r", "chem", 100.0, 7200.0, mode=mode) is None
    assert doing(h.lane) is Doing.IDLE
    h.sleep(100.0)
    assert doing(h.lane) is expected
    h.submit("a", "cara", project="chem")
    assert doing(h.lane) is Doing.BUSY
    h.finish("a")
    h.sleep(7200.0)
    assert doing(h.lane) is Doing.IDLE


def test_a_session_of_the_reservations_holder_holds_the_device_and_one_of_another_does_not(
    h: LaneHarness,
) -> None:
    h.open("s", "bob")
    h.submit("a", "bob", session="s")
    h.finish("a")
    assert doing(h.lane) is Doing.HELD
    h.reserve("r", "chem", 10.0, 7200.0)
    h.sleep(10.0)
    assert doing(h.lane) is Doing.RESERVED
    h.open("t", "cara", project="chem")
    h.submit("b", "cara", session="t", project="chem")
    h.finish("b")
    assert doing(h.lane) is Doing.HELD


@pytest.mark.parametrize("mode", list(DeviceMode))
def test_a_device_that_operators_stop_is_stopped_when_its_job_has_ended(
    h: LaneHarness, mode: DeviceMode
) -> None:
    h.submit("a")
    h.halt(mode)
    assert doing(h.lane) is Doing.BUSY
    h.finish("a")
    assert doing(h.lane) is (Doing.IDLE if mode is DeviceMode.DRAINING else Doing.STOPPED)
    h.resume()
    assert doing(h.lane) is Doing.IDLE


def test_a_device_without_a_worker_is_down_whatever_else_holds(h: LaneHarness) -> None:
    h.open("s")
    h.submit("a", session="s")
    h.do(ev.DeviceLost("its worker ended"))
    assert doing(h.lane) is Doing.BUSY, "what becomes of its job is not known yet"
    h.do(ev.RunEnded("a", 1, ev.Outcome.LOST))
    assert doing(h.lane) is Doing.DOWN
    h.halt(DeviceMode.PAUSED)
    assert doing(h.lane) is Doing.DOWN


def test_the_seconds_of_all_states_are_the_time_since_the_beginning() -> None:
    choose = random.Random(7)
    time = DeviceTime(1000.0)
    now = 1000.0
    expected = dict.fromkeys(Doing, 0.0)
    for _ in range(1000):
        passed, then = choose.choice([0.0, 0.125, 30.5]), choose.choice(list(Doing))
        expected[time.doing] += passed
        now += passed
        time.note(then, now)
    assert time.until(now) == expected
    assert sum(time.until(now + 5.0).values()) == now + 5.0 - 1000.0
    assert time.until(now + 5.0)[time.doing] == expected[time.doing] + 5.0


def test_a_clock_that_seems_to_go_back_takes_nothing_away() -> None:
    time = DeviceTime(10.0)
    time.note(Doing.BUSY, 20.0)
    time.note(Doing.IDLE, 15.0)
    time.note(Doing.IDLE, 25.0)
    assert sum(time.until(25.0).values()) == 15.0
