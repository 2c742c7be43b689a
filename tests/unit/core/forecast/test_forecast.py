"""What a forecast says is what the lane then does, as far as it is known; and what is not known is a band."""

from __future__ import annotations

from dataclasses import replace
from math import hypot
from random import Random

import pytest

from sojourn.core import Job, JobKind, JobState, Mode
from sojourn.core import events as ev
from sojourn.core.calendar import ReservationMode
from sojourn.core.explanation.reasons import AllocationUsed, DeviceDown, DeviceStopped
from sojourn.core.fair_share.shares import ProjectShare
from sojourn.core.forecast.ahead import HORIZON
from sojourn.core.forecast.forecast import (
    DEPTH,
    NEAR,
    RUNS,
    Band,
    Ends,
    Forecast,
    OutOfSight,
    hypothetical,
)
from sojourn.core.forecast.habits import Next
from sojourn.core.forecast.learned import Learned
from sojourn.core.forecast.snapshot import take
from sojourn.core.model import DeviceMode
from tests.harness.lane import LaneHarness

EXACT = 10.0
"""Seconds that every job takes where all is known."""


def exact(seconds: float = EXACT, *users: str) -> Learned:
    """A device on which all jobs have taken as long."""
    known = Learned()
    for user in users or ("ann", "bob", "cid", "system"):
        for program in ("sampler", "calibrate"):
            for _ in range(10):
                known.durations.note(user, program, None, seconds)
    return known


def habit(known: Learned, what: Next, after: float, mode: str = "dedicated", user: str = "ann") -> Learned:
    for _ in range(40):
        known.habits.note(mode, user, what, after)
    return known


def forecast(
    world: LaneHarness, known: Learned, seed: int = 0, calibrations: tuple[float, ...] = ()
) -> Forecast:
    return Forecast(take(world.lane, world.now, calibrations), known, seed)


def start(made: Forecast, name: str) -> Band:
    found = made.of(name)
    assert found is not None, name
    assert found.start is not None, found.unknown
    return found.start


def begins(world: LaneHarness, seconds: float = EXACT) -> dict[str, float]:
    """When each job starts if all that comes is in the lane already."""
    found: dict[str, float] = {}
    while world.lane.depth and len(found) < 1000:
        if world.running is None:
            before, world.now = world.now, world.lane.next_deadline() or world.now
            world.do(ev.Tick())
            if world.running is None and world.now == before:
                break
            continue
        found[world.running] = world.now
        world.run_for(seconds)
    if world.running is not None:
        found[world.running] = world.now
    return found


# what is known comes true


@pytest.mark.parametrize("seed", range(25))
def test_with_known_lengths_the_forecast_is_what_happens(seed: int) -> None:
    r, world = Random(seed), LaneHarness()
    world.submit("first", "ann")
    for number in range(r.randint(1, 6)):
        world.used(float(r.randint(1, 50)), r.choice(("ann", "bob", "cid")))
        if r.random() < 0.3:
            batch = f"s{number}"
            user = r.choice(("ann", "bob", "cid"))
            world.open(batch, user, mode=Mode.BATCH)
            for each in range(3):
                world.submit(f"{batch}.{each}", user, batch, limit=60.0)
            world.drain(batch)
        for each in range(r.randint(0, 4)):
            user = r.choice(("ann", "bob", "cid"))
            world.submit(f"j{number}.{each}", user, limit=float(r.choice((20, 60, 600))))
    if r.random() < 0.7:
        mode = r.choice(list(ReservationMode))
        world.reserve("w", r.choice(("ann", "bob")), r.uniform(20.0, 100.0), 900.0, mode=mode)
    if r.random() < 0.5:
        world.submit("calibration", "system", kind=JobKind.SYSTEM)
    made = forecast(world, exact())
    waiting = [job.id for job in world.lane.jobs.values() if job.state is JobState.QUEUED]
    begun = begins(world)
    order = [name for name in begun if name in waiting]
    for position, name in enumerate(order, 1):
        found = made.of(name)
        assert found is not None
        assert found.start is not None
        assert found.start.expected == pytest.approx(begun[name], abs=1e-6), name
        assert found.position == position
        assert found.end is not None
        assert found.end.expected == pytest.approx(begun[name] + EXACT, abs=1e-6)
        told = sum(seconds for _, seconds in found.waits)
        assert told == pytest.approx(begun[name] - made.at, abs=0.3)
    assert order


def test_the_running_job_has_an_end_and_no_start() -> None:
    world = LaneHarness()
    world.submit("a", "ann")
    world.sleep(4.0)
    found = forecast(world, exact()).of("a")
    assert found is not None
    assert (found.start, found.position) == (None, None)
    assert found.end == Band(world.now + 6.0, world.now + 6.0, world.now + 6.0)


def test_a_run_that_has_outlasted_all_others_goes_on_for_a_while() -> None:
    world = LaneHarness()
    world.submit("a", "ann")
    world.sleep(100.0)
    found = forecast(world, exact()).of("a")
    assert found is not None
    assert found.end is not None
    assert 10.0 < found.end.expected - world.now < 100.0


def test_no_run_is_longer_than_its_limit() -> None:
    world = LaneHarness()
    world.submit("a", "ann", limit=4.0)
    world.submit("b", "bob", limit=4.0)
    world.submit("c", "bob", limit=100.0)
    made = forecast(world, exact())
    assert start(made, "b").expected == world.now + 4.0
    assert start(made, "c").expected == world.now + 8.0


@pytest.mark.parametrize("count", [DEPTH - 1, NEAR, 700])
def test_those_far_back_follow_in_order(count: int) -> None:
    world = LaneHarness()
    for number in range(count + 1):
        world.submit(f"j{number}", ("ann", "bob", "cid")[number % 3])
    made = forecast(world, exact())
    begun = begins(world)
    for name, at in begun.items():
        if name != "j0":
            assert start(made, name).expected == pytest.approx(at, rel=1e-9), name


def test_what_passes_before_those_far_back_is_the_whole_wait_and_the_longest_part_comes_first() -> None:
    world = LaneHarness()
    held(world)
    for number in range(NEAR + 50):
        world.submit(f"j{number}", "bob")
    made = forecast(world, habit(exact(), Next.CLOSE, 60.0))
    for name, ahead in (("j3", 4), (f"j{NEAR + 40}", NEAR + 41)):
        found = made.of(name)
        assert found is not None
        assert found.waits == (
            (("session holds", 60.0), ("jobs", 10.0 * ahead))
            if ahead < 6
            else (("jobs", pytest.approx(10.0 * ahead)), ("session holds", pytest.approx(60.0)))
        )


def test_reservations_lie_between_those_far_back() -> None:
    world = LaneHarness()
    for number in range(201):
        world.submit(f"j{number}", ("ann", "bob", "cid")[number % 3], limit=10.0)
    world.reserve("soon", "ann", 100.0, 900.0, mode=ReservationMode.PRIORITY)
    world.reserve("w", "dan", 1500.0, 900.0)
    made = forecast(world, exact())
    begun = begins(world)
    assert max(begun.values()) > world.now - 100.0
    last = max(begun, key=begun.__getitem__)
    assert start(made, last).expected == pytest.approx(begun[last], abs=EXACT)
    places = [
        (found.position or 0, found.start.expected) for found in map(made.of, begun) if found and found.start
    ]
    assert [at for _, at in sorted(places)] == sorted(at for _, at in places)


def test_a_reservation_that_is_over_by_then_takes_no_time_of_those_far_back() -> None:
    world = LaneHarness()
    for number in range(201):
        world.submit(f"j{number}", ("ann", "bob", "cid")[number % 3], limit=10.0)
    world.reserve("early", "dan", 60.0, 900.0)
    made = forecast(world, exact())
    begun = begins(world)
    last = max(begun, key=begun.__getitem__)
    assert start(made, last).expected == pytest.approx(begun[last], abs=EXACT)


def test_a_calibration_of_the_schedule_is_expected() -> None:
    world = LaneHarness()
    for name in ("a", "b", "c"):
        world.submit(name, "ann")
    made = forecast(world, exact(), calibrations=(world.now + 5.0,))
    assert start(made, "b").expected == world.now + 20.0
    found = made.of("b")
    assert found is not None
    assert dict(found.waits) == pytest.approx({"jobs": 10.0, "system jobs": 10.0})


# what is not known is a band


def test_a_spread_of_lengths_is_a_spread_of_starts() -> None:
    known = Learned()
    for number in range(60):
        known.durations.note("ann", "sampler", None, float(5 + number % 11))
    world = LaneHarness()
    for number in range(12):
        world.submit(f"j{number}", "ann")
    made = forecast(world, known)
    for number in range(1, 12):
        band = start(made, f"j{number}")
        assert band.latest is not None
        assert band.earliest < band.expected < band.latest
        assert band.expected - world.now == pytest.approx(10.0 * number, rel=0.35)
    assert start(made, "j11").expected > start(made, "j2").expected


def test_the_end_is_as_uncertain_as_the_start_and_the_length_together() -> None:
    known = exact(10.0, "ann")
    for number in range(61):
        known.durations.note("bob", "sampler", None, 20.0 + number)
    world = LaneHarness()
    world.submit("a", "ann")
    world.submit("b1", "bob")
    world.submit("b2", "bob")
    made = forecast(world, known)
    length = known.durations.length("bob", "sampler", None)
    low, middle, high = (length.at(share) for share in (0.1, 0.5, 0.9))
    assert start(made, "b1") == Band(*[world.now + 10.0] * 3)
    ends = [found.end for name in ("b1", "b2") if (found := made.of(name)) is not None]
    assert ends[0] is not None
    assert ends[1] is not None
    first = [ends[0].expected, ends[0].earliest, ends[0].latest]
    assert first == pytest.approx([world.now + 10.0 + each for each in (middle, low, high)])
    second = start(made, "b2")
    assert ends[1].expected == pytest.approx(second.expected + middle)
    assert ends[1].latest == pytest.approx(
        ends[1].expected + hypot((second.latest or 0.0) - second.expected, high - middle)
    )
    early = hypot(second.expected - second.earliest, middle - low)
    assert ends[1].earliest == pytest.approx(max(second.earliest, ends[1].expected - early))


def test_the_same_seed_is_the_same_forecast_and_another_one_is_not() -> None:
    world = LaneHarness()
    for number in range(6):
        world.submit(f"j{number}", "ann", estimate=5.0)
    bands = [start(forecast(world, Learned(), seed), "j5") for seed in (3, 3, 4)]
    assert bands[0] == bands[1]
    assert bands[0] != bands[2]


def test_who_shares_the_processor_may_rest_after_every_run() -> None:
    world = LaneHarness()
    for number in range(20):
        world.submit(f"j{number}", "ann")
    rests: list[int] = []
    made = Forecast(take(world.lane, world.now), exact(), rest=lambda: rests.append(len(rests)))
    assert len(rests) == dict(RUNS)[64]
    for name in ("j1", "j19"):
        assert made.of(name) == forecast(world, exact()).of(name)


def test_all_jobs_of_a_user_who_is_not_known_are_off_in_the_same_way() -> None:
    """So the start of the tenth is as uncertain as that of the second, and no more certain."""
    world = LaneHarness()
    for number in range(11):
        world.submit(f"j{number}", "ann", estimate=10.0)
    made = forecast(world, Learned())
    second, tenth = start(made, "j2"), start(made, "j10")
    assert second.latest is not None
    assert tenth.latest is not None
    spread = [(band.latest - band.earliest) / (band.expected - world.now) for band in (second, tenth)]  # type: ignore[operator]
    assert spread[1] > 0.5 * spread[0]


def test_what_was_off_before_is_corrected() -> None:
    world = LaneHarness()
    for name in ("a", "b", "c"):
        world.submit(name, "ann")
    known = exact()
    for number in range(100):
        known.corrections.said(f"j{number}", 0.0, (10.0, 10.0, 10.0), 0)
        known.corrections.came(f"j{number}", 30.0)
    made = forecast(world, known)
    assert start(made, "b").expected - world.now == pytest.approx(30.0, rel=0.1)
    assert made.waits("b") == pytest.approx((10.0, 10.0, 10.0))  # what is compared is not corrected


def test_corrections_of_places_keep_the_order_of_jobs() -> None:
    """The next ones were forecast far too early, those behind them were not."""
    world = LaneHarness()
    for number in range(40):
        world.submit(f"j{number}", "ann")
    known = exact()
    for number in range(100):
        for place, came in ((0, 90.0), (10, 10.0), (30, 10.0)):
            known.corrections.said(f"j{number}.{place}", 0.0, (10.0, 10.0, 10.0), place)
            known.corrections.came(f"j{number}.{place}", came)
    made = forecast(world, known)
    starts = [start(made, f"j{number}").expected for number in range(1, 40)]
    assert starts == sorted(starts)
    assert starts[4] - world.now > 400.0
    assert starts[-1] - world.now == pytest.approx(starts[4] - world.now)


def test_what_is_compared_is_of_jobs_that_wait() -> None:
    world = LaneHarness()
    for number in range(9):
        world.submit(f"j{number}", "ann")
    made = forecast(world, exact())
    told = list(made.some(5, Random(1)))
    assert len({name for name, _, _ in told}) == 5
    assert all(made.waits(name) == waits for name, waits, _ in told)
    assert len(list(made.some(50, Random(1)))) == 8
    assert made.waits("nobody") is None


# sessions


def held(world: LaneHarness) -> None:
    """ann's session has had one job, and bob waits."""
    world.open("s", "ann")
    world.submit("root", "ann", "s")
    world.run_for(10.0)
    world.submit("b", "bob")


def test_a_session_that_will_be_closed_is_not_waited_out() -> None:
    world = LaneHarness()
    held(world)
    made = forecast(world, habit(exact(), Next.CLOSE, 2.0))
    assert start(made, "b") == Band(world.now + 2.0, world.now + 2.0, world.now + 2.0)
    found = made.of("b")
    assert found is not None
    assert found.waits == (("session holds", 2.0),)


def test_a_session_that_is_left_alone_is_waited_out() -> None:
    world = LaneHarness()
    held(world)
    world.sleep(50.0)
    made = forecast(world, habit(exact(), Next.LAPSE, float("inf")))
    assert start(made, "b").expected == world.now + 250.0


def test_a_session_that_goes_on_keeps_the_device() -> None:
    world = LaneHarness()
    held(world)
    known = habit(exact(), Next.CLOSE, 1.0)
    for _ in range(3):
        known = habit(known, Next.JOB, 4.0)
    for _ in range(8):
        known.habits.note("dedicated", "ann", Next.CLOSE, 1.0)
    band = start(forecast(world, known), "b")
    assert band.earliest - world.now >= 1.0
    assert band.expected - world.now > 14.0  # a job and a pause at least
    assert band.latest is not None
    assert band.latest > band.expected
    found = forecast(world, known).of("b")
    assert found is not None
    assert {what for what, _ in found.waits} == {"jobs", "session holds"}


def test_a_session_without_end_ends_with_its_max_time() -> None:
    world = LaneHarness()
    world.open("s", "ann", max_time=3600.0)
    world.submit("root", "ann", "s", limit=60.0)
    world.submit("b", "bob")
    begun = world.now
    known = exact()
    for _ in range(64):
        known.habits.note("dedicated", "ann", Next.JOB, 4.0)
    band = start(forecast(world, known), "b")
    assert band.latest is not None
    assert begun + 600.0 < band.latest <= begun + 3600.0 + 60.0


def test_a_session_that_takes_no_more_jobs_ends_with_its_last_one() -> None:
    world = LaneHarness()
    world.open("s", "ann")
    world.submit("root", "ann", "s")
    world.submit("b", "bob")
    world.drain("s")
    assert start(forecast(world, Learned()), "b").expected < world.now + 300.0
    assert start(forecast(world, exact()), "b").expected == world.now + 10.0


def strangers(known: Learned, what: Next, after: float) -> Learned:
    """What the sessions of all others have done lately."""
    for _ in range(64):
        known.habits.note("dedicated", "zoe", what, after)
    return known


def test_a_session_is_believed_to_do_what_its_own_user_does() -> None:
    world = LaneHarness()
    held(world)
    ends = strangers(habit(exact(), Next.CLOSE, 2.0), Next.LAPSE, float("inf"))
    assert start(forecast(world, ends), "b").expected == world.now + 2.0
    lapses = strangers(habit(exact(), Next.LAPSE, float("inf")), Next.CLOSE, 2.0)
    assert start(forecast(world, lapses), "b").expected == world.now + 300.0
    goes_on = strangers(habit(exact(), Next.JOB, 4.0), Next.CLOSE, 2.0)
    assert start(forecast(world, goes_on), "b").expected > world.now + 14.0


def test_a_session_that_has_been_idle_waits_for_what_is_left_of_a_pause() -> None:
    world = LaneHarness()
    held(world)
    world.sleep(3.0)
    ends = habit(exact(), Next.CLOSE, 5.0)
    assert start(forecast(world, ends), "b").expected == world.now + 2.0


def test_further_jobs_of_a_session_are_as_long_as_its_users_jobs_of_that_program_and_estimate() -> None:
    """Its jobs so far tell the program and the estimate; what others run, or it runs else, does not count."""
    known = Learned()
    for number in range(10):
        known.durations.note("ann", "estimator", 2.0**number, 50.0 * 2.0**number)
        known.durations.note("ann", "sampler", 2.0**number, 2.0**number)
        known.durations.note("zoe", "estimator", 2.0**number, 2.0**number)
    for _ in range(16):
        for what in (Next.JOB, Next.JOB, Next.JOB, Next.CLOSE):
            known.habits.note("dedicated", "ann", what, 0.0)
    world = LaneHarness()
    world.open("s", "ann")
    world.submit("root", "ann", "s", program="estimator", limit=900.0, estimate=2.0)
    world.submit("b", "bob", estimate=1.0)
    assert start(forecast(world, known), "b").expected >= world.now + 200.0


# what is not known at all


def test_a_paused_device_has_a_reason_and_no_time() -> None:
    world = LaneHarness()
    world.submit("a", "ann")
    world.submit("b", "bob")
    world.halt(DeviceMode.PAUSED)
    made = forecast(world, exact())
    found = made.of("b")
    assert found is not None
    assert (found.start, found.end, found.position) == (None, None, 1)
    assert isinstance(found.unknown, DeviceStopped)
    running = made.of("a")
    assert running is not None
    assert running.end is None
    assert made.waits("b") is None
    assert list(made.some(5, Random(1))) == []


def test_a_device_that_is_drained_goes_on() -> None:
    world = LaneHarness()
    world.submit("a", "ann")
    world.submit("b", "bob")
    world.halt(DeviceMode.DRAINING)
    assert start(forecast(world, exact()), "b").expected == world.now + 10.0


def test_a_lost_device_has_a_reason_and_no_time() -> None:
    world = LaneHarness()
    world.submit("a", "ann")
    world.submit("b", "bob")
    world.do(ev.DeviceLost("the fridge is warm"))
    found = forecast(world, exact()).of("b")
    assert found is not None
    assert found.unknown == DeviceDown("the fridge is warm")


@pytest.mark.parametrize("used", [0.0, 15.0])
def test_a_used_up_allocation_has_no_end_in_sight(used: float) -> None:
    """Now, or by the jobs that come before it."""
    world = LaneHarness()
    world.shares(projects={"bob": ProjectShare(allocation=15.0)})
    world.submit("a", "ann")
    world.used(used, "bob")
    for name in ("b1", "b2", "b3"):
        world.submit(name, "bob")
    made = forecast(world, exact())
    found = made.of("b3")
    assert found is not None
    assert isinstance(found.unknown, AllocationUsed)
    assert found.unknown.allocation == 15.0
    assert found.unknown.used == used
    assert "b3" in made


def test_a_job_whose_session_ends_before_its_turn_is_said_to_end() -> None:
    world = LaneHarness(batch_ttl=1.0)
    world.open("s", "ann", mode=Mode.BATCH, max_time=30.0)
    world.submit("root", "ann", "s")
    world.run_for(10.0)
    world.sleep(5.0)
    assert world.is_("s", "inactive")
    for number in range(5):
        world.submit(f"b{number}", "bob", limit=100.0)
    world.used(1000.0, "ann")
    world.submit("late", "ann", "s")
    found = forecast(world, exact()).of("late")
    assert found is not None
    assert isinstance(found.unknown, Ends)
    assert "ends before it can start" in found.unknown.sentence(str)


def test_a_device_that_is_taken_for_weeks_is_out_of_sight() -> None:
    world = LaneHarness()
    world.submit("a", "ann")
    world.submit("b", "bob", limit=100.0)
    world.reserve("w", "dan", 50.0, 20 * 86400.0)
    found = forecast(world, exact()).of("b")
    assert found is not None
    assert found.unknown == OutOfSight(HORIZON)
    assert "14 days" in found.unknown.sentence(str)
    assert forecast(world, exact()).waits("b") is None


def test_a_job_that_may_come_too_late_has_no_latest_start_and_no_latest_end() -> None:
    """It fits before the reservation only if the job before it is short, as two of three were."""
    world = LaneHarness()
    world.submit("a", "ann", limit=48.0)
    world.submit("b", "bob", limit=10.0)
    world.reserve("w", "dan", 50.0, 20 * 86400.0)
    known = exact(EXACT, "bob")
    for number in range(60):
        known.durations.note("ann", "sampler", None, 45.0 if number % 3 == 0 else 10.0)
    found = forecast(world, known).of("b")
    assert found is not None
    assert found.start is not None
    assert found.end is not None
    assert found.start.expected == pytest.approx(world.now + 10.0)
    assert found.start.latest is None
    assert found.end.latest is None


def test_what_is_not_there_has_no_forecast() -> None:
    world = LaneHarness()
    world.submit("a", "ann")
    made = forecast(world, exact())
    assert made.of("nobody") is None
    assert "nobody" not in made
    assert "a" in made


def test_an_idle_device_starts_a_job_that_is_being_prepared_at_once() -> None:
    world = LaneHarness()
    world.submit("a", "ann", prepared=False)
    assert start(forecast(world, exact()), "a").expected == world.now


# a job that is not submitted


def test_a_job_that_is_not_submitted_is_the_last_of_its_user_and_changes_nothing() -> None:
    world = LaneHarness()
    for name in ("a", "b", "c"):
        world.submit(name, "ann")
    snapshot = take(world.lane, world.now)
    job = Job("what-if", 0, "ann", "ann", "sampler", 0.0, 100.0)
    made = Forecast(hypothetical(snapshot, job), exact())
    assert start(made, "what-if").expected == world.now + 30.0
    assert start(made, "c").expected == world.now + 20.0
    assert len(snapshot.waiting) == 2
    assert "what-if" not in world.lane.jobs
    empty = LaneHarness()
    alone = Forecast(hypothetical(take(empty.lane, empty.now), replace(job, user="dan")), exact())
    assert start(alone, "what-if").expected == empty.now


# the copy


def test_a_forecast_leaves_the_lane_as_it_is() -> None:
    world = LaneHarness()
    held(world)
    world.submit("c", "cid")
    before = repr((world.lane.state.jobs, world.lane.state.sessions, world.lane.order()))
    forecast(world, Learned())
    assert repr((world.lane.state.jobs, world.lane.state.sessions, world.lane.order())) == before


def test_a_run_whose_job_has_ended_is_no_running_job() -> None:
    world = LaneHarness()
    world.submit("a", "ann")
    world.submit("b", "bob")
    world.cancel("a")
    assert start(forecast(world, exact()), "b").expected == world.now


def test_projects_of_other_accounts_and_users_who_do_not_wait_count_in_their_sums() -> None:
    """bob's project has used more than ann's by a user who does not wait, and so has cid's account."""
    world = LaneHarness()
    world.shares(
        accounts={"x": 1.0, "y": 1.0},
        projects={
            "p": ProjectShare("x"),
            "q": ProjectShare("x"),
            "r": ProjectShare("y"),
            "t": ProjectShare("y"),
            "o": ProjectShare("z"),
        },
    )
    world.submit("now", "ann", project="p")
    world.used(100.0, "zoe", "q")
    world.used(10.0, "ann", "p")
    world.used(50.0, "yan", "t")
    world.used(5.0, "nobody", "o")
    world.submit("c", "cid", project="r")
    world.submit("b", "bob", project="q")
    world.submit("a", "ann", project="p")
    made = forecast(world, exact())
    begun = begins(world)
    for name in ("a", "b", "c"):
        assert start(made, name).expected == begun[name]
