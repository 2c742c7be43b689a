"""D24: a step of the machine's clock changes no length, and dates follow the clock. Virtual time."""

from __future__ import annotations

import pytest

from sojourn.core import JobKind, JobState, Mode
from sojourn.core import events as ev
from sojourn.core.calendar import ReservationMode
from sojourn.core.effects import ChargeKind, JobChanged, Rejected
from sojourn.core.explanation.explain import explain
from sojourn.core.explanation.reasons import DoesNotFit
from sojourn.core.fair_share.queue import FairShareQueue
from sojourn.core.fair_share.shares import ProjectShare
from tests.harness.lane import START, LaneHarness

HOUR, DAY = 3600.0, 86_400.0
STEPS = [1.0, 4 * HOUR, 400 * DAY, -1.0, -HOUR, -400 * DAY]


def step(world: LaneHarness, by: float) -> None:
    """As the service follows a clock that is set by `by`."""
    lead = world.lane.calendar.lead - by
    jumped = max(0.0, -lead)
    world.now += jumped
    world.do(ev.ClockStepped(jumped, max(0.0, lead)))


def date(world: LaneHarness) -> float:
    return world.lane.calendar.date(world.now)


# what lasts


@pytest.mark.parametrize("by", STEPS)
def test_r52_a_job_runs_up_to_its_limit_whatever_the_clock_does(world: LaneHarness, by: float) -> None:
    world.submit("a", limit=100.0)
    world.sleep(60)
    step(world, by)
    world.sleep(39)
    assert world.running == "a"
    world.sleep(1)
    assert world.is_("a", "cancelled")
    assert [row.seconds for row in world.charges] == [100.0]


@pytest.mark.parametrize("by", STEPS)
def test_r49_a_job_is_charged_for_what_it_ran_and_its_times_say_the_same(
    world: LaneHarness, by: float
) -> None:
    world.submit("a")
    world.sleep(3)
    step(world, by)
    world.sleep(5)
    world.finish("a")
    job, (row,) = world.jobs["a"], world.charges
    assert job.started_at is not None
    assert job.ended_at is not None
    assert job.charged == row.seconds == job.ended_at - job.started_at == 8.0
    assert (row.start, row.end) == (job.started_at, job.ended_at)
    assert job.accepted_at <= job.started_at


@pytest.mark.parametrize("by", STEPS)
def test_r49_rows_of_a_device_do_not_overlap_over_a_step(world: LaneHarness, by: float) -> None:
    for name in ("a", "b", "c"):
        world.submit(name)
        world.sleep(2)
        step(world, by)
        world.run_for(3, name)
        step(world, -by)
    ends = [START, *(row.end for row in world.charges)]
    assert [row.seconds for row in world.charges] == [5.0] * 3
    assert all(row.start >= end for row, end in zip(world.charges, ends, strict=False))


@pytest.mark.parametrize("by", STEPS)
def test_r22_an_idle_hold_ends_when_its_ttl_has_passed(world: LaneHarness, by: float) -> None:
    world.open("A")
    world.submit("a1", session="A")
    world.finish("a1")
    world.sleep(100)
    step(world, by)
    world.sleep(199)
    assert world.is_("A", "active")
    world.sleep(1)
    assert world.is_("A", "inactive")
    assert [row.seconds for row in world.charges if row.kind is ChargeKind.HELD] == [300.0]
    assert world.sessions["A"].held_seconds == 300.0


@pytest.mark.parametrize("by", STEPS)
def test_d1_a_suspended_ttl_clock_has_left_what_it_had(world: LaneHarness, by: float) -> None:
    world.open("A")
    world.submit("a1", session="A")
    world.finish("a1")
    world.sleep(100)
    world.submit("s", "system", kind=JobKind.SYSTEM)
    step(world, by)
    world.run_for(50, "s")
    world.sleep(199)
    assert world.is_("A", "active")
    world.sleep(1)
    assert world.is_("A", "inactive")


@pytest.mark.parametrize("by", STEPS)
@pytest.mark.parametrize("lost", [False, True], ids=["active", "inactive"])
def test_r17_a_session_lasts_its_max_time(world: LaneHarness, by: float, lost: bool) -> None:
    world.open("A", max_time=1000.0)
    world.submit("a1", session="A")
    world.finish("a1")
    if lost:
        world.sleep(300)
        assert world.is_("A", "inactive")
    left = 999.0 - 300.0 * lost
    step(world, by)
    for _ in range(3):  # it goes on being used
        world.sleep(left / 3)
        if not lost:
            world.submit(f"more{_}", session="A")
            world.finish()
    assert not world.is_("A", "closed")
    session = world.lane.state.sessions["A"]
    assert session.started_at is not None
    assert session.ends_at == session.started_at + 1000.0
    world.sleep(1)
    assert world.is_("A", "closed")


@pytest.mark.parametrize("by", STEPS)
def test_r26_a_session_that_is_not_used_ends_when_that_time_has_passed(world: LaneHarness, by: float) -> None:
    world.open("A")
    expiry = world.lane.profile.unused_expiry
    world.sleep(expiry - 10)
    step(world, by)
    world.sleep(9)
    assert world.is_("A", "open")
    world.sleep(1)
    assert world.is_("A", "closed")


@pytest.mark.parametrize(("more", "ends"), [(-1.0, "running"), (1.0, "failed")])
@pytest.mark.parametrize("by", STEPS)
def test_r34_cached_data_is_kept_for_its_time(world: LaneHarness, by: float, more: float, ends: str) -> None:
    world.open("A", max_time=600.0)
    world.submit("a1", session="A")
    world.submit("a2", session="A", prepared=False)
    world.finish("a1")
    world.submit("x", "xav", limit=9000.0)
    world.close("A")
    job = world.jobs["a2"]
    assert job.detached
    assert job.cache_expires_at is not None
    left = job.cache_expires_at - world.now
    world.prepare("a2")
    step(world, by)
    world.sleep(left + more)
    world.finish("x")
    assert world.is_("a2", ends)


@pytest.mark.parametrize("by", STEPS)
def test_what_was_overdue_before_the_step_happens_at_its_own_time(world: LaneHarness, by: float) -> None:
    world.submit("a", limit=100.0)
    world.now += 100.0  # nobody has told the lane
    due = world.now
    step(world, by)
    assert world.is_("a", "cancelled")
    assert world.jobs["a"].ended_at == due


@pytest.mark.parametrize("by", STEPS)
@pytest.mark.parametrize("restarts", [False, True], ids=["goes on", "restarts"])
def test_d23_runs_that_killed_their_workers_are_usage_of_the_time_that_has_passed(
    world: LaneHarness, by: float, restarts: bool
) -> None:
    def dies() -> None:
        world.do(ev.RunEnded("a", world.jobs["a"].attempt, ev.Outcome.CRASHED, "SIGKILL"))

    world.submit("a", limit=100.0)
    world.sleep(30)
    first = (START, world.now)
    dies()
    step(world, by)
    if restarts:
        world.restart(lead=world.lane.calendar.lead)
        world.do(ev.DeviceReady())
    world.sleep(12)
    dies()
    assert world.is_("a", "failed")
    assert [(row.start, row.end) for row in world.charges] == [first, (world.now - 12, world.now)]
    assert world.lane.fair.used("ann") == 42.0


def test_d24_a_session_that_has_ended_while_its_job_runs_keeps_its_times(world: LaneHarness) -> None:
    world.open("A", max_time=1000.0)
    world.submit("a1", session="A")
    world.sleep(1000)
    assert world.is_("A", "pending_closed")
    session = world.lane.state.sessions["A"]
    before = (session.started_at, session.ends_at)
    step(world, HOUR)
    assert (session.started_at, session.ends_at) == before
    world.run_for(1, "a1")
    assert world.is_("A", "closed")


def test_d24_the_sessions_behind_one_that_has_ended_keep_their_lengths(world: LaneHarness) -> None:
    world.open("A", max_time=1000.0)
    world.submit("a1", session="A")
    world.open("B", "bob")
    world.sleep(1000)
    assert world.is_("A", "pending_closed")
    unused_at = world.lane.state.sessions["B"].unused_at
    assert unused_at is not None
    step(world, HOUR)
    assert world.sessions["B"].unused_at == unused_at + HOUR


def test_d24_who_follows_the_jobs_is_told_of_those_whose_times_have_moved_and_of_no_other(
    world: LaneHarness,
) -> None:
    world.submit("runs")
    world.submit("waits", "bob")
    world.sleep(10)
    world.now += HOUR
    told = [e for e in world.do(ev.ClockStepped(HOUR, 0.0)) if isinstance(e, JobChanged)]
    assert [(e.job.id, e.job.started_at, e.before) for e in told] == [
        ("runs", START + HOUR, JobState.RUNNING),
    ]


# usage


@pytest.mark.parametrize("by", STEPS)
@pytest.mark.parametrize("half_life", [None, DAY])
def test_r48_usage_counts_as_long_as_without_the_step(by: float, half_life: float | None) -> None:
    stepped, plain = (LaneHarness(fair_share_window=7 * DAY, half_life=half_life) for _ in range(2))
    for world in (stepped, plain):
        world.used(50.0, "ann")
        world.sleep(HOUR)
        world.used(20.0, "bob")
    step(stepped, by)
    for _ in range(9):
        for world in (stepped, plain):
            world.sleep(DAY)
            world.do(ev.Tick())
        for user in ("ann", "bob"):
            assert stepped.lane.fair.used(user) == pytest.approx(plain.lane.fair.used(user), rel=1e-6)


@pytest.mark.parametrize("half_life", [None, DAY])
def test_r50_an_allocation_is_free_again_when_it_would_have_been(half_life: float | None) -> None:
    free = []
    for by in (0.0, 30 * DAY):
        world = LaneHarness(fair_share_window=7 * DAY, half_life=half_life)
        world.shares(projects={"ann": ProjectShare(allocation=10.0)})
        world.used(15.0, "ann")
        world.submit("a", "ann")
        world.sleep(HOUR)
        step(world, by)
        world.shares(projects={"ann": ProjectShare(allocation=10.0, weight=2.0)})
        assert world.is_("a", "queued")
        began = world.now
        while not world.is_("a", "running"):
            world.sleep(60.0)
        free.append(world.now - began)
    assert free[0] == free[1] > HOUR


def test_r48_usage_fades_by_half_in_a_half_life_today() -> None:
    fair, today = FairShareQueue(7 * DAY, DAY), 20_784 * DAY
    fair.charge("p", "u", 8.0, today)
    fair.charge("q", "u", 1.0, today + DAY)
    assert fair.used("p") == pytest.approx(4.0)


def test_usage_that_nobody_has_yet_can_jump_as_well() -> None:
    fair = FairShareQueue(7 * DAY, DAY)
    fair.jump(HOUR)
    fair.charge("p", "u", 5.0, 2 * HOUR)
    assert fair.used("p") == 5.0


def test_r48_usage_is_the_same_right_after_a_step() -> None:
    fair = FairShareQueue(7 * DAY, DAY)
    fair.charge("p", "u", 1.0, HOUR)
    fair.charge("p", "u", 4.0, 2 * HOUR)
    used = fair.used("p")
    fair.jump(DAY)
    assert fair.used("p") == used


def test_r48_usage_is_left_after_the_time_that_has_passed_between_many_steps() -> None:
    world = LaneHarness(fair_share_window=7 * DAY)
    world.used(5.0, "ann")
    for _ in range(3):
        step(world, 30 * DAY)
        world.sleep(2 * DAY)
    world.do(ev.Tick())
    assert world.lane.fair.used("ann") == 5.0
    world.used(3.0, "ann")
    world.sleep(2 * DAY)
    world.do(ev.Tick())
    assert world.lane.fair.used("ann") == 3.0
    world.sleep(6 * DAY)
    world.do(ev.Tick())
    assert world.lane.fair.used("ann") == 0.0


# dates


@pytest.mark.parametrize("by", [1.0, HOUR, -HOUR, -400 * DAY])
def test_r43_a_reservation_begins_and_ends_at_its_dates(world: LaneHarness, by: float) -> None:
    begin = world.now + 2 * HOUR
    world.reserve("R", "ann", 2 * HOUR, HOUR)
    step(world, by)
    world.sleep(2 * HOUR - by - 1)
    assert world.reservations["R"] == ["booked"]
    world.sleep(1)
    assert date(world) == begin
    assert world.reservations["R"][-1] == "open"
    world.sleep(HOUR)
    assert world.reservations["R"][-1] == "ended"
    assert [row.seconds for row in world.charges] == [HOUR]


def test_r43_a_clock_that_is_set_back_and_forward_again_opens_a_window_once(world: LaneHarness) -> None:
    world.reserve("R", "ann", 2 * HOUR, HOUR)
    step(world, -HOUR)
    step(world, HOUR)
    world.sleep(2 * HOUR)
    assert world.reservations["R"].count("open") == 2  # it opens, and the device idles for its holder
    world.sleep(HOUR)
    assert [row.seconds for row in world.charges] == [HOUR]


def test_d24_a_window_in_the_skipped_time_ends_unopened_and_free(world: LaneHarness) -> None:
    world.reserve("R", "ann", HOUR, HOUR)
    world.reserve("S", "bob", 5 * HOUR, HOUR)
    step(world, 4 * HOUR)
    assert world.reservations == {"R": ["booked", "ended"], "S": ["booked"]}
    world.submit("x", "xav", limit=1000.0)
    assert world.running == "x"
    assert world.charges == []


def test_d24_a_window_that_ends_where_the_step_ends_does_not_open(world: LaneHarness) -> None:
    world.reserve("R", "ann", HOUR, HOUR)
    step(world, 2 * HOUR)
    assert world.reservations == {"R": ["booked", "ended"]}


@pytest.mark.parametrize("by", STEPS)
def test_d24_an_open_window_began_when_it_began(world: LaneHarness, by: float) -> None:
    world.reserve("R", "ann", 0, HOUR)
    world.do(ev.Tick())
    window = next(iter(world.lane.calendar))
    world.sleep(10)
    before = world.lane.calendar.instant(window.start)
    step(world, by)
    assert world.lane.calendar.instant(window.start) == before == START


def test_d24_a_window_that_has_begun_in_the_skipped_time_opens_now_and_ends_at_its_date(
    world: LaneHarness,
) -> None:
    world.reserve("R", "ann", HOUR, 2 * HOUR)
    step(world, 2 * HOUR)
    assert world.reservations["R"][-1] == "open"
    world.submit("x", "xav", limit=10.0)
    assert world.running is None
    world.sleep(HOUR)
    assert world.reservations["R"][-1] == "ended"
    assert world.running == "x"
    assert [row.seconds for row in world.charges] == [HOUR]


@pytest.mark.parametrize("by", [*STEPS, 0.5 * HOUR])
def test_d24_an_open_window_lasts_as_long_as_it_would_have(world: LaneHarness, by: float) -> None:
    world.reserve("R", "ann", 0, HOUR)
    world.do(ev.Tick())
    world.sleep(600)
    step(world, by)
    world.sleep(3000 - 1)
    assert world.lane.calendar.open_at(world.now) is not None
    world.sleep(1)
    assert world.reservations["R"][-1] == "ended"
    assert sum(row.seconds for row in world.charges) == HOUR


@pytest.mark.parametrize(("by", "left"), [(0.5 * HOUR, 0.5 * HOUR), (1.5 * HOUR, 0.0)])
def test_d24_an_open_window_lasts_into_no_other(world: LaneHarness, by: float, left: float) -> None:
    world.reserve("R", "ann", 0, HOUR)
    world.reserve("S", "bob", HOUR, HOUR)
    world.do(ev.Tick())
    step(world, by)
    world.sleep(left)
    assert world.reservations["R"][-1] == "ended"
    assert world.reservations["S"][-1] == "open"
    rest = 2 * HOUR - max(by, HOUR)
    world.sleep(rest)
    assert world.reservations["S"][-1] == "ended"
    charged = [(row.project, row.seconds) for row in world.charges]
    assert charged == [("ann", left)] * (left > 0) + [("bob", rest)]


@pytest.mark.parametrize("by", STEPS)
def test_r47_jobs_of_a_priority_window_keep_their_precedence(world: LaneHarness, by: float) -> None:
    world.submit("x", "xav")
    world.reserve("R", "ann", 10, HOUR, mode=ReservationMode.PRIORITY)
    world.sleep(20)
    world.submit("before", "bob")
    world.submit("a", "ann")
    step(world, by)
    assert world.lane.order()[0] == "a"


def test_r44_a_job_is_told_the_room_that_it_has_on_the_clock_that_was_set_back(world: LaneHarness) -> None:
    world.reserve("R", "ann", HOUR, HOUR)
    step(world, -HOUR)
    world.submit("x", "xav", limit=3 * HOUR)
    (told,) = world.lane.job_warnings("x")
    assert "left" not in told
    found = explain(world.lane, "x")
    assert found is not None
    (reason,) = found.reasons
    assert isinstance(reason, DoesNotFit)
    assert reason.room == 2 * HOUR
    assert found.starts_at == world.now + 3 * HOUR
    assert world.lane.session_warnings(3 * HOUR, "xav")
    assert world.lane.session_warnings(2 * HOUR, "xav") == ()


def test_r44_whose_window_has_the_device_ends_by_the_clock(world: LaneHarness) -> None:
    world.reserve("R", "ann", 0, HOUR)
    world.do(ev.Tick())
    step(world, -HOUR)
    world.open("A", "ann", max_time=2 * HOUR)
    world.submit("a1", "ann", "A", limit=10.0)
    world.finish("a1")
    world.sleep(HOUR - 100)
    world.submit("a2", "ann", "A", limit=10.0)
    world.finish("a2")
    world.submit("x", "xav", limit=10.0)
    found = explain(world.lane, "x")
    assert found is not None
    (reason,) = [r for r in found.reasons if hasattr(r, "held_until")]
    assert reason.held_until == world.now + 100.0
    world.sleep(100)
    assert world.reservations["R"][-1] == "ended"


def test_r47_now_is_what_the_clock_shows(world: LaneHarness) -> None:
    step(world, -HOUR)
    past = ev.ReservationBooked("P", "ann", "admin", date(world) - 1, date(world) + HOUR)
    refused = world.do(past)[0]
    assert isinstance(refused, Rejected)
    assert refused.code == 1223
    world.do(ev.ReservationBooked("R", "ann", "admin", date(world), date(world) + HOUR))
    world.do(ev.Tick())
    assert world.reservations["R"][-1] == "open"
    world.do(ev.ReservationCancelled("R"))
    assert world.reservations["R"][-1] == "cancelled"


# restarts


@pytest.mark.parametrize("lead", [0.0, 10.0, 3 * HOUR])
def test_r55_a_lane_is_told_at_a_start_how_far_the_clock_is_behind(world: LaneHarness, lead: float) -> None:
    """An open window goes on by its length, one that is booked by its date."""
    step(world, -HOUR)
    world.reserve("R", "ann", -HOUR, HOUR)
    world.reserve("S", "bob", 0, HOUR)
    world.do(ev.Tick())
    old = world.lane
    assert world.reservations["R"][-1] == "open"
    world.restart(lead=old.calendar.lead)
    world.do(ev.ClockStepped(0.0, lead))
    begun = date(world)
    assert world.reservations["R"][-1] == ("open" if lead else "ended")
    assert lead == world.now - begun
    if lead:
        world.sleep(HOUR if lead > HOUR else 10.0)
        assert world.reservations["R"][-1] == "ended"


def test_batches_are_sessions_too(world: LaneHarness) -> None:
    world.open("B", mode=Mode.BATCH)
    world.submit("b1", session="B")
    step(world, 4 * HOUR)
    world.finish("b1")
    assert world.is_("B", "active")


def test_r17_the_times_of_a_session_that_has_ended_stay_as_they_were(world: LaneHarness) -> None:
    """Its end is on record at the time of then, also while its last job still runs."""
    world.open("A", max_time=1000.0)
    world.submit("a1", session="A")
    world.sleep(10)
    world.close("A")
    assert world.is_("A", "pending_closed")
    step(world, HOUR)
    world.finish("a1")
    assert world.is_("A", "closed")
    assert world.sessions["A"].started_at == START
    assert [row.seconds for row in world.charges] == [10.0]
