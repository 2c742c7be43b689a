"""R43-R47 and D11-D14, D16: reservations and the states of a device. Virtual time."""

from __future__ import annotations

import pytest

from sojourn import codes
from sojourn.core import JobKind
from sojourn.core import events as ev
from sojourn.core.calendar import AfterReservation, Calendar, Reservation, ReservationMode
from sojourn.core.model import DeviceMode
from tests.harness.lane import START, LaneHarness
from tests.unit.core.rules.reserved import held_by_ann, rows

HOUR = 3600.0


# R43, R44: sessions and windows


def test_r43_a_session_may_be_used_inside_a_reservation(world: LaneHarness) -> None:
    world.reserve("R", "ann", 0, HOUR)
    world.submit("b1", "bob")
    world.open("A", "ann")
    world.submit("a1", "ann", "A")
    assert world.running == "a1"
    assert world.sessions["A"].window == "R"


def test_r43_a_reservation_needs_no_session(world: LaneHarness) -> None:
    world.reserve("R", "ann", 0, HOUR)
    world.submit("a1", "ann")
    assert world.running == "a1"


def in_window(after: AfterReservation) -> LaneHarness:
    """A session that became active in a window, with one job running over its end and one queued."""
    world = LaneHarness()
    world.reserve("R", "ann", 0, HOUR, after_window=after)
    world.open("A", "ann")
    world.submit("a1", "ann", "A")
    world.submit("a2", "ann", "A")
    world.sleep(HOUR)
    return world


def test_r44_at_the_windows_end_the_running_job_finishes_and_queued_ones_fail() -> None:
    world = in_window(AfterReservation.FAIL)
    assert world.is_("a1", "running")
    assert world.is_("a2", "failed")
    assert world.jobs["a2"].reason_code == codes.RESERVATION_OVER
    assert "Reservation R ended" in (world.jobs["a2"].reason or "")
    assert world.reservations["R"] == [
        "booked",
        "open",
        "open",
        "open",
        "ended",
    ]  # its idle time began and ended
    world.finish("a1")
    assert world.is_("a1", "completed")


def test_r44_queued_jobs_are_requeued_when_the_reservation_says_so() -> None:
    world = in_window(AfterReservation.REQUEUE)
    world.submit("b1", "bob")
    assert world.is_("a2", "queued")
    world.finish("a1")
    assert world.running == "b1"  # ann has used an hour
    world.finish("b1")
    assert world.running == "a2"
    assert world.is_("A", "active")


def test_r44_a_session_that_was_active_before_the_window_keeps_its_jobs(world: LaneHarness) -> None:
    world.open("A", "ann")
    world.submit("a1", "ann", "A")
    world.submit("a2", "ann", "A")
    world.reserve("R", "ann", 10, HOUR)
    world.sleep(10 + HOUR)
    assert world.is_("a2", "queued")
    world.finish("a1")
    assert world.running == "a2"


def test_r44_cancelling_an_open_window_ends_it(world: LaneHarness) -> None:
    world.reserve("R", "ann", 0, HOUR)
    world.open("A", "ann")
    world.submit("a1", "ann", "A")
    world.submit("a2", "ann", "A")
    world.sleep(60)
    world.do(ev.ReservationCancelled("R"))
    assert world.is_("a2", "failed")
    assert world.reservations["R"][-1] == "cancelled"


def test_r44_cancelling_at_the_very_end_of_a_window_ends_it_alike(world: LaneHarness) -> None:
    world.reserve("R", "ann", 0, HOUR)
    world.open("A", "ann")
    world.submit("a1", "ann", "A")
    world.submit("a2", "ann", "A")
    world.now += HOUR
    world.do(ev.ReservationCancelled("R"))
    assert world.is_("a2", "failed")
    assert world.is_("A", "pending_inactive")


def test_r44_a_drained_session_ends_with_its_window(world: LaneHarness) -> None:
    world.reserve("R", "ann", 0, HOUR)
    world.open("A", "ann")
    world.submit("a1", "ann", "A")
    world.finish("a1")
    world.submit("a2", "ann", "A")
    world.submit("a3", "ann", "A")
    world.finish("a2")
    world.finish("a3")
    world.halt(DeviceMode.PAUSED)
    world.submit("a4", "ann", "A")
    world.drain("A")
    world.sleep(HOUR)
    assert world.is_("a4", "failed")
    assert world.is_("A", "closed")


def test_r44_what_does_not_fit_is_said_at_once(world: LaneHarness) -> None:
    world.reserve("R", "ann", 0, HOUR)
    world.reserve("S", "bob", 2 * HOUR, HOUR)
    world.submit("x", "ann", limit=60.0)
    world.submit("a1", "ann", limit=2 * HOUR)
    (own,) = world.lane.job_warnings("a1")
    assert "your reservation R ends" in own
    assert "fail" in own
    ours, ahead = world.lane.session_warnings(None, "cid")
    assert "Reservation R has the device until" in ours
    assert "does not fit before it" in ahead
    assert world.lane.job_warnings("x") == ()


def test_r44_a_warning_says_that_jobs_are_requeued(world: LaneHarness) -> None:
    world.reserve("R", "ann", 0, HOUR, after_window=AfterReservation.REQUEUE)
    world.submit("a1", "ann", limit=2 * HOUR)
    (said,) = world.lane.job_warnings("a1")
    assert "wait in the queue" in said


def test_r45_a_dedicated_window_outranks_anothers_active_session(world: LaneHarness) -> None:
    held_by_ann(world)
    world.reserve("R", "bob", 100, HOUR)
    world.sleep(100)
    world.submit("a2", "ann", "A")
    assert world.running is None
    world.submit("b1", "bob")
    assert world.running == "b1"
    assert world.is_("A", "active")


def test_r45_the_ttl_is_suspended_and_max_time_runs_on(world: LaneHarness) -> None:
    held_by_ann(world)
    world.reserve("R", "bob", 100, HOUR)
    world.sleep(100 + HOUR + 199)
    assert world.is_("A", "active")
    world.sleep(1)
    assert world.is_("A", "inactive")
    assert world.sessions["A"].ends_at == START + 3 * HOUR
    assert ("held", "ann", 100.0) in rows(world)
    assert ("held", "ann", 200.0) in rows(world)


def test_r45_max_time_may_run_out_inside_the_window(world: LaneHarness) -> None:
    held_by_ann(world)
    world.reserve("R", "bob", 100, 4 * HOUR)
    world.sleep(3 * HOUR)
    assert world.is_("A", "closed")


def test_d11_a_session_of_the_holder_deactivates_the_one_it_overtakes(world: LaneHarness) -> None:
    held_by_ann(world)
    world.reserve("R", "bob", 100, HOUR)
    world.sleep(100)
    world.submit("a2", "ann", "A")
    world.open("B", "bob")
    world.submit("b1", "bob", "B")
    assert (world.state("A"), world.state("B")) == ("inactive", "active")
    assert world.is_("a2", "queued")
    world.finish("b1")
    world.close("B")
    assert world.running is None  # the window is still bob's
    world.sleep(HOUR)
    assert world.running == "a2"


def test_d12_a_session_of_the_window_loses_the_device_when_its_job_ends() -> None:
    world = in_window(AfterReservation.REQUEUE)
    assert world.is_("A", "pending_inactive")
    world.finish("a1")
    world.submit("b1", "bob")
    assert [s for e, s, _ in world.steps if e == "A"][:4] == [
        "open",
        "active",
        "pending_inactive",
        "inactive",
    ]


def test_d12_or_at_once_when_none_runs(world: LaneHarness) -> None:
    world.reserve("R", "ann", 0, HOUR)
    world.sleep(HOUR - 10)
    world.open("A", "ann")
    world.submit("a1", "ann", "A")
    world.run_for(5, "a1")
    world.submit("b1", "bob")
    world.sleep(5)
    assert world.is_("A", "inactive")
    assert world.running == "b1"


def test_d12_a_lost_run_of_such_a_session_waits_in_the_queue() -> None:
    world = in_window(AfterReservation.FAIL)
    world.used(1.0, "ann")
    world.submit("b1", "bob")
    world.finish("a1", ev.Outcome.LOST)
    assert world.is_("A", "inactive")
    assert world.running == "b1"


# R46


def test_r46_only_what_fits_starts_before_a_dedicated_window(world: LaneHarness) -> None:
    world.reserve("R", "ann", 1000, HOUR)
    world.submit("long", "bob", limit=1001.0)
    world.submit("fits", "bob", limit=1000.0)
    assert world.running == "fits"
    world.finish("fits")
    assert world.running is None
    world.sleep(1000 + HOUR)
    assert world.running == "long"


def test_r46_a_shorter_one_goes_ahead_and_delays_none_that_fits(world: LaneHarness) -> None:
    world.submit("x", "xav", limit=60.0)
    world.reserve("R", "ann", 1000, HOUR)
    world.submit("long", "bob", limit=5000.0)
    world.submit("first", "cid", limit=900.0)
    world.submit("second", "dot", limit=10.0)
    world.finish("x")
    assert world.running == "first"  # both fit: order decides, not length


def test_r46_the_holders_own_job_may_run_into_the_window(world: LaneHarness) -> None:
    world.reserve("R", "ann", 1000, HOUR)
    world.submit("a1", "ann", limit=5000.0)
    assert world.running == "a1"


def test_r46_inside_an_active_session_a_job_that_fits_goes_first(world: LaneHarness) -> None:
    held_by_ann(world)
    world.reserve("R", "bob", 1000, HOUR)
    world.submit("long", "ann", "A", limit=2000.0)
    world.submit("short", "ann", "A", limit=100.0)
    assert world.running == "short"


def test_r46_a_priority_window_needs_no_gap(world: LaneHarness) -> None:
    world.reserve("R", "ann", 1000, HOUR, mode=ReservationMode.PRIORITY)
    world.submit("long", "bob", limit=5000.0)
    assert world.running == "long"


# R47


def test_r47_a_dedicated_window_keeps_others_out_even_when_its_holder_sends_nothing(
    world: LaneHarness,
) -> None:
    world.reserve("R", "ann", 100, HOUR)
    world.sleep(100)
    world.submit("b1", "bob", limit=1.0)
    world.sleep(HOUR - 1)
    assert world.running is None
    world.sleep(1)
    assert world.running == "b1"


def test_r47_between_two_windows_that_meet_nothing_slips_in(world: LaneHarness) -> None:
    world.reserve("R", "ann", 100, HOUR)
    world.reserve("S", "ann", 100 + HOUR, HOUR)
    world.submit("b1", "bob", prepared=False)
    world.sleep(200)
    world.now = START + 100 + HOUR  # before anybody has told the lane the time
    world.prepare("b1")
    assert world.running is None


def test_r47_in_a_priority_window_the_holders_new_jobs_go_first(world: LaneHarness) -> None:
    world.submit("x", "xav")
    world.submit("b1", "bob")
    world.submit("old", "ann")
    world.reserve("R", "ann", 100, HOUR, mode=ReservationMode.PRIORITY)
    world.sleep(100)
    world.submit("new", "ann")
    for expected in ("x", "new", "b1", "old"):
        world.finish(expected)
        world.submit(f"after-{expected}", "zoe")


def test_r47_the_holders_job_goes_ahead_of_anothers_session_in_a_priority_window(world: LaneHarness) -> None:
    held_by_ann(world)
    world.reserve("R", "bob", 10, HOUR, mode=ReservationMode.PRIORITY)
    world.sleep(10)
    world.submit("b1", "bob")
    assert world.running == "b1"
    world.submit("a2", "ann", "A")
    world.finish("b1")
    assert world.running == "a2"


def test_r47_overlapping_bookings_are_refused_and_named(world: LaneHarness) -> None:
    assert world.reserve("R", "ann", 100, HOUR) is None
    refused = world.reserve("S", "bob", 200, HOUR)
    assert refused is not None
    assert refused.code == codes.RESERVATION_REFUSED
    assert "Reservation R has the device" in refused.message
    assert world.reserve("T", "bob", 100 + HOUR, HOUR) is None  # they may meet


def test_r47_a_calendar_never_holds_two_at_once() -> None:
    calendar = Calendar()
    calendar.add(Reservation("R", "ann", "ann", 0.0, 10.0))
    with pytest.raises(ValueError, match="overlaps"):
        calendar.add(Reservation("S", "ann", "ann", 9.0, 20.0))
    assert len(calendar) == 1
    assert [w.id for w in calendar] == ["R"]


def test_r47_a_window_has_a_least_length_and_a_future(world: LaneHarness) -> None:
    short = world.reserve("R", "ann", 0, 899)
    assert short is not None
    assert "at least 900 s" in short.message
    past = world.reserve("R", "ann", -1, HOUR)
    assert past is not None
    assert "in the past" in past.message
    assert world.reserve("R", "ann", 0, 900) is None


def test_r47_a_project_has_an_allowance_of_seconds_booked_ahead() -> None:
    world = LaneHarness(reservation_allowance=2 * HOUR)
    assert world.reserve("R", "ann", 0, HOUR) is None
    refused = world.reserve("S", "ann", HOUR, HOUR + 1)
    assert refused is not None
    assert "7200 s" in refused.message
    assert "3600 s" in refused.message
    assert world.reserve("S", "ann", HOUR, HOUR) is None
    assert world.reserve("T", "bob", 2 * HOUR, HOUR) is None


def test_r47_a_window_cancelled_before_its_start_never_was(world: LaneHarness) -> None:
    world.reserve("R", "ann", 100, HOUR)
    world.do(ev.ReservationCancelled("R"))
    world.submit("b1", "bob")
    assert world.running == "b1"
    refused = [e for e in world.do(ev.ReservationCancelled("R")) if hasattr(e, "code")]
    assert refused[0].code == codes.NOT_FOUND


def test_r47_time_used_in_a_window_counts_as_usage(world: LaneHarness) -> None:
    world.reserve("R", "ann", 0, HOUR)
    world.submit("a1", "ann")
    world.run_for(100, "a1")
    assert rows(world) == [("job", "ann", 100.0)]


def test_d13_the_idle_time_of_a_dedicated_window_is_charged(world: LaneHarness) -> None:
    world.reserve("R", "ann", 0, HOUR)
    world.sleep(600)
    world.submit("a1", "ann")
    world.run_for(100, "a1")
    world.sleep(HOUR)
    assert rows(world) == [
        ("reservation", "ann", 600.0),
        ("job", "ann", 100.0),
        ("reservation", "ann", 2900.0),
    ]
    assert world.lane.fair.used("ann") == HOUR


def test_d13_a_hold_of_the_holders_own_session_has_its_own_rows(world: LaneHarness) -> None:
    world.reserve("R", "ann", 0, HOUR)
    world.open("A", "ann")
    world.submit("a1", "ann", "A")
    world.run_for(100, "a1")
    world.sleep(HOUR - 100)
    assert rows(world) == [("job", "ann", 100.0), ("held", "ann", 300.0), ("reservation", "ann", 3200.0)]


def test_d13_idle_time_is_not_charged_while_the_device_could_not_run(world: LaneHarness) -> None:
    world.reserve("R", "ann", 0, HOUR)
    world.sleep(100)
    world.halt(DeviceMode.MAINTENANCE)
    world.sleep(1000)
    world.resume()
    world.sleep(HOUR)
    assert rows(world) == [("reservation", "ann", 100.0), ("reservation", "ann", 2500.0)]


def test_d13_a_priority_windows_idle_time_is_free(world: LaneHarness) -> None:
    world.reserve("R", "ann", 0, HOUR, mode=ReservationMode.PRIORITY)
    world.sleep(HOUR)
    assert rows(world) == []


def test_d14_no_job_runs_longer_than_the_cap(world: LaneHarness) -> None:
    refused = world.submit("a1", limit=3 * HOUR + 1)
    assert refused is not None
    assert refused.code == codes.OVER_LIMIT
    assert "10800 s" in refused.message
    assert world.submit("a2", program="estimator") is None
    assert world.jobs["a2"].limit == 3 * HOUR  # its program would allow 18 000 s


def test_r9_a_system_job_goes_before_the_windows_holder(world: LaneHarness) -> None:
    world.reserve("R", "ann", 0, HOUR)
    world.submit("a1", "ann")
    world.submit("a2", "ann")
    world.submit("calibration", "system", kind=JobKind.SYSTEM)
    world.finish("a1")
    assert world.running == "calibration"


def test_r45_a_job_that_a_later_booking_has_caught_finishes_and_then_the_clock_stands_still(
    world: LaneHarness,
) -> None:
    world.open("A", "ann", max_time=3 * HOUR)
    world.submit("a1", "ann", "A")
    world.reserve("R", "bob", 100, HOUR)
    world.sleep(200)
    assert world.running == "a1"
    world.finish("a1")
    world.sleep(HOUR - 100 + 299)
    assert world.is_("A", "active")
    world.sleep(1)
    assert world.is_("A", "inactive")
    assert rows(world)[-1] == ("held", "ann", 300.0)


def test_r47_a_window_may_end_where_another_begins(world: LaneHarness) -> None:
    world.reserve("R", "ann", 2 * HOUR, HOUR)
    assert world.reserve("S", "bob", HOUR, HOUR) is None


def test_r47_in_a_priority_window_the_order_shows_the_holders_new_jobs_first(world: LaneHarness) -> None:
    world.submit("x", "xav")
    world.submit("old", "ann")
    world.submit("b1", "bob")
    world.reserve("R", "ann", 100, HOUR, mode=ReservationMode.PRIORITY)
    world.used(50.0, "ann")
    world.sleep(100)
    world.submit("new", "ann")
    assert world.lane.order() == ["new", "b1", "old"]
