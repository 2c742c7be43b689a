"""The states of a device (D16), and restarts and reservations (R55)."""

from __future__ import annotations

import pytest

from sojourn import codes
from sojourn.core import JobKind, Mode
from sojourn.core import events as ev
from sojourn.core.model import DeviceMode
from tests.harness.lane import LaneHarness
from tests.unit.core.rules.reserved import held_by_ann, rows

HOUR = 3600.0


@pytest.mark.parametrize("mode", [DeviceMode.PAUSED, DeviceMode.MAINTENANCE])
def test_d16_a_paused_device_accepts_everything_and_starts_nothing(
    world: LaneHarness, mode: DeviceMode
) -> None:
    world.submit("a1")
    world.halt(mode)
    assert world.submit("a2") is None
    assert world.open("A") is None
    world.submit("calibration", "system", kind=JobKind.SYSTEM)
    world.finish("a1")  # what runs may finish
    assert world.running is None
    world.resume()
    assert world.running == "calibration"
    world.resume()  # again is no error


def test_d16_a_draining_device_runs_what_is_there_and_takes_nothing_new(world: LaneHarness) -> None:
    world.open("A")
    world.submit("a1", "ann", "A")
    world.submit("b1", "bob")
    world.halt(DeviceMode.DRAINING)
    for refused in (world.submit("b2", "bob"), world.open("B", "bob")):
        assert refused is not None
        assert refused.code == codes.DEVICE_DRAINING
        assert "the fridge is warm" in refused.message
    assert world.submit("a2", "ann", "A") is None  # the session is open
    assert world.submit("calibration", "system", kind=JobKind.SYSTEM) is None
    world.finish("a1")
    world.finish("calibration")
    world.finish("a2")
    world.sleep(300)
    assert world.running == "b1"


def test_d16_a_halt_without_a_message_says_so(world: LaneHarness) -> None:
    world.halt(DeviceMode.DRAINING, "")
    refused = world.submit("a1")
    assert refused is not None
    assert "no reason was given" in refused.message


def test_r49_nobody_pays_for_a_hold_of_a_device_that_cannot_run(world: LaneHarness) -> None:
    held_by_ann(world)
    world.sleep(100)
    world.halt(DeviceMode.PAUSED)
    world.submit("a2", "ann", "A")
    world.sleep(1000)
    world.resume()
    assert world.running == "a2"
    world.run_for(10, "a2")
    world.do(ev.DeviceLost("the worker died"))
    world.sleep(50)
    world.do(ev.DeviceReady())
    world.sleep(250)
    assert world.is_("A", "inactive")
    assert rows(world) == [
        ("job", "ann", 1.0),
        ("held", "ann", 100.0),
        ("job", "ann", 10.0),
        ("held", "ann", 250.0),
    ]


def test_r55_windows_and_halts_survive_a_restart(world: LaneHarness) -> None:
    world.reserve("R", "ann", 100, HOUR)
    world.halt(DeviceMode.PAUSED)
    again = LaneHarness()
    again.lane.restore([], [], list(world.lane.calendar), world.lane.status)
    again.submit("b1", "bob")
    assert again.running is None
    again.resume()
    assert again.running is None  # it does not fit before the window
    again.sleep(100 + HOUR)
    assert again.running == "b1"
    assert again.reservations["R"][-1] == "ended"


def test_r13_a_batch_promises_the_set_of_results_not_their_order(world: LaneHarness) -> None:
    world.open("A", "ann", mode=Mode.BATCH)
    for name in ("a1", "a2", "a3"):
        world.submit(name, "ann", "A", prepared=False)
    for name in ("a3", "a1", "a2"):  # preparation ends in any order
        world.prepare(name)
    for _ in range(3):
        world.finish()
    assert {name for name, state, _ in world.steps if state == "completed"} == {"a1", "a2", "a3"}
    assert world.started[0] == "a3"


def test_r28_a_session_resumes_when_its_job_starts(world: LaneHarness) -> None:
    held_by_ann(world)
    world.sleep(300)
    world.submit("b1", "bob")
    world.submit("a2", "ann", "A")
    assert world.is_("A", "inactive")
    world.finish("b1")
    assert world.running == "a2"
    assert world.is_("A", "active")


def test_r55_a_restart_inside_a_window_forgets_no_idle_time(world: LaneHarness) -> None:
    world.do(ev.DeviceLost("the worker died"))
    world.reserve("R", "ann", 100, HOUR)
    world.sleep(200)
    world.do(ev.DeviceReady())
    world.sleep(50)
    world.restart(down=70)
    world.sleep(10)
    assert rows(world) == [("reservation", "ann", 50.0)]  # D19
    world.do(ev.DeviceReady())
    world.sleep(30)
    world.submit("a1", "ann")
    assert rows(world)[1:] == [("reservation", "ann", 30.0)]


def test_r55_a_window_opens_also_when_the_service_was_restarted_before_it(world: LaneHarness) -> None:
    world.reserve("R", "ann", 100, HOUR)
    world.restart(down=50)
    assert world.reservations["R"] == ["booked"]
    world.sleep(50)
    assert world.reservations["R"] == ["booked", "open"]


def test_r47_idle_time_of_a_window_counts_for_who_booked_it(world: LaneHarness) -> None:
    world.reserve("R", "ann", 0, HOUR)
    world.sleep(HOUR)
    assert world.lane.fair.used("ann", "ann-admin") == HOUR


def test_r55_a_restart_inside_a_window_forgets_no_held_time(world: LaneHarness) -> None:
    world.reserve("R", "ann", 100, HOUR)
    world.open("A", "ann")
    world.sleep(200)
    world.submit("a1", "ann", "A")
    world.run_for(10, "a1")
    world.sleep(50)
    world.restart()
    assert rows(world)[-2:] == [("job", "ann", 10.0), ("held", "ann", 50.0)]


def test_r49_nobody_pays_for_the_time_in_which_the_service_is_down(world: LaneHarness) -> None:
    held_by_ann(world)
    world.sleep(20)
    world.restart(down=100)
    world.do(ev.DeviceReady())
    world.sleep(30)
    world.submit("a2", "ann", "A")
    assert rows(world)[-2:] == [("held", "ann", 20.0), ("held", "ann", 30.0)]


def test_r55_a_clock_that_ran_out_while_the_service_was_down_ends_the_hold_then(world: LaneHarness) -> None:
    held_by_ann(world)
    world.submit("b1", "bob")
    world.sleep(20)
    world.restart(down=1000)
    assert world.is_("A", "inactive")
    assert rows(world)[-1] == ("held", "ann", 20.0)
    assert ("A", "inactive", world.now - 720) in world.steps  # its ttl was absolute


def test_r55_deadlines_that_passed_before_the_last_sign_of_life_fire_first(world: LaneHarness) -> None:
    held_by_ann(world)
    world.now += 400  # the service was late with its timer
    world.restart()
    assert world.is_("A", "inactive")
    assert ("A", "inactive", world.now - 100) in world.steps
