"""D22: the limit of a job that states none follows from its estimate. Virtual time.

The whole kind: every way in which a job gets a limit (its own, its project's, its program's, from the
estimate), what is decided by that limit (windows, the stop, a session's clock), and what is said about it.
"""

from __future__ import annotations

import pytest

from sojourn import codes
from sojourn.core import JobKind
from sojourn.core import events as ev
from sojourn.core.calendar import AfterReservation, ReservationMode
from sojourn.core.explanation import explain as ex
from sojourn.core.explanation.reasons import DoesNotFit, Reserved, Running
from sojourn.core.wording.limits import LimitSource, fitting, limit_of, source_of
from tests.harness.lane import START, LaneHarness

HOUR = 3600.0


@pytest.fixture
def world() -> LaneHarness:
    """Three times the estimate, at least 60 s."""
    return LaneHarness(estimate_factor=3.0, estimate_floor=60.0)


def limit(world: LaneHarness, name: str) -> float:
    return world.jobs[name].limit


def source(world: LaneHarness, name: str) -> LimitSource | None:
    return source_of(world.jobs[name], world.lane.profile)


def explained(world: LaneHarness, name: str) -> ex.Explanation:
    found = ex.explain(world.lane, name)
    assert found is not None
    return found


# the limit


@pytest.mark.parametrize(
    ("estimate", "expected", "came_from"),
    [
        (1e-9, 60.0, LimitSource.ESTIMATE),
        (0.3, 60.0, LimitSource.ESTIMATE),
        (20.0, 60.0, LimitSource.ESTIMATE),
        (21.0, 63.0, LimitSource.ESTIMATE),
        (3333.0, 9999.0, LimitSource.ESTIMATE),
        (3334.0, 10_000.0, LimitSource.PROGRAM),  # never more than without the estimate
        (1e300, 10_000.0, LimitSource.PROGRAM),
        (float("inf"), 10_000.0, LimitSource.PROGRAM),
        (None, 10_000.0, LimitSource.PROGRAM),  # nothing is known
        (0.0, 10_000.0, LimitSource.PROGRAM),  # nor here: the device has no durations
    ],
)
def test_d22_the_limit_of_a_job_that_states_none_follows_from_its_estimate(
    world: LaneHarness, estimate: float | None, expected: float, came_from: LimitSource
) -> None:
    world.submit("a1", prepared=False)
    assert limit(world, "a1") == 10_000.0
    world.prepare("a1", estimate)
    assert (limit(world, "a1"), source(world, "a1")) == (expected, came_from)
    assert world.jobs["a1"].estimate == estimate


@pytest.mark.parametrize("stated", [1.0, 30.0, 5000.0, 10_800.0])
def test_d22_a_job_that_states_its_limit_has_that_whatever_its_estimate(
    world: LaneHarness, stated: float
) -> None:
    world.submit("a1", limit=stated, estimate=20.0)
    assert (limit(world, "a1"), source(world, "a1")) == (stated, LimitSource.STATED)
    assert not world.lane.profile.awaits_estimate(world.jobs["a1"])


@pytest.mark.parametrize(
    ("project", "expected", "came_from"),
    [
        (30.0, 30.0, LimitSource.PROJECT),
        (60.0, 60.0, LimitSource.PROJECT),
        (61.0, 60.0, LimitSource.ESTIMATE),
        (9000.0, 60.0, LimitSource.ESTIMATE),
    ],
)
def test_d22_a_limit_of_its_project_is_not_the_jobs_own(
    world: LaneHarness, project: float, expected: float, came_from: LimitSource
) -> None:
    """It bounds what follows from the estimate, as `job_cap` and the program's limit do."""
    world.submit("a1", limit=project, stated=False, estimate=1.0)
    assert (limit(world, "a1"), source(world, "a1")) == (expected, came_from)


def test_d22_estimates_make_no_limits_unless_the_profile_says_so() -> None:
    world = LaneHarness()
    world.submit("a1", estimate=0.3)
    world.submit("a2", limit=500.0, stated=False, estimate=0.3)
    assert (limit(world, "a1"), limit(world, "a2")) == (10_000.0, 500.0)
    assert (source(world, "a1"), source(world, "a2")) == (LimitSource.PROGRAM, LimitSource.PROJECT)
    assert world.jobs["a1"].estimate == 0.3


def test_d22_a_factor_of_one_is_the_least_that_is_not_off() -> None:
    world = LaneHarness(estimate_factor=1.0, estimate_floor=60.0)
    world.submit("a1", estimate=70.0)
    assert limit(world, "a1") == 70.0


def test_d22_a_system_job_keeps_its_limit(world: LaneHarness) -> None:
    world.submit("cal", "system", kind=JobKind.SYSTEM, program="calibrate")
    assert limit(world, "cal") == 10_000.0


def test_d22_a_limit_whose_reason_is_not_known_any_more_is_told_without_one(world: LaneHarness) -> None:
    """The configuration changed while it waited: it keeps its limit, and nothing untrue is said of that."""
    world.submit("x", "xav")
    world.submit("a1", estimate=0.3)
    changed = LaneHarness(estimate_factor=3.0, estimate_floor=90.0)
    assert source_of(world.jobs["a1"], changed.lane.profile) is None
    assert limit_of(world.jobs["a1"], changed.lane.profile) == "limit of 60 s"
    assert source_of(world.jobs["a1"], LaneHarness().lane.profile) is None
    changed.lane.restore([world.jobs["a1"]], [])
    changed.do(ev.Tick())
    assert changed.running == "a1"
    assert changed.jobs["a1"].limit == 60.0


# what follows from it


def test_d22_a_short_job_goes_before_a_window_into_which_its_programs_limit_would_run(
    world: LaneHarness,
) -> None:
    """R46, wherever it waits: in the fair-share queue, also behind a longer one, and in an active session."""
    world.reserve("R", "bob", 60.0, HOUR)
    world.submit("long", estimate=30.0)
    world.submit("short", estimate=0.3)
    assert world.running == "short"
    assert world.is_("long", "queued")
    world.finish("short")
    assert world.running is None

    world = LaneHarness(estimate_factor=3.0, estimate_floor=60.0)
    world.open("A")
    world.submit("a1", "ann", "A")
    world.reserve("R", "bob", 100.0, HOUR)
    world.run_for(10, "a1")
    world.submit("a2", "ann", "A", estimate=40.0)
    assert world.running is None
    world.submit("a3", "ann", "A", estimate=0.3)
    assert world.running == "a3"


def test_d22_a_job_is_stopped_at_the_limit_that_follows_from_its_estimate(world: LaneHarness) -> None:
    world.submit("a1", estimate=0.3)
    world.sleep(59.999)
    assert world.is_("a1", "running")
    world.sleep(0.001)
    assert world.is_("a1", "cancelled")
    assert world.jobs["a1"].reason_code == codes.RAN_TOO_LONG


def test_d22_the_limit_stays_when_a_job_is_run_again_and_after_a_restart(world: LaneHarness) -> None:
    world.submit("a1", estimate=0.3)
    world.sleep(50)
    world.finish("a1", ev.Outcome.CRASHED)
    assert (world.running, limit(world, "a1")) == ("a1", 60.0)
    world.restart(down=5.0)
    world.do(ev.DeviceReady())
    assert (world.running, limit(world, "a1")) == ("a1", 60.0)
    world.sleep(60)
    assert world.is_("a1", "cancelled")


def test_d22_sessions_last_as_long_as_their_roots_program_allows(world: LaneHarness) -> None:
    """R19: the estimate of the first job says nothing of the session; a project's limit does, as before."""
    world.open("A")
    world.submit("a1", "ann", "A", estimate=0.3)
    assert (limit(world, "a1"), world.sessions["A"].max_time) == (60.0, 10_000.0)
    world.finish("a1")
    world.close("A")
    world.open("B")
    world.submit("b1", "ann", "B", limit=500.0, stated=False, estimate=0.3)
    assert (limit(world, "b1"), world.sessions["B"].max_time) == (60.0, 500.0)


def test_d22_a_session_shorter_than_the_limit_is_no_reason_to_refuse_the_job(world: LaneHarness) -> None:
    """R20 is about what somebody asked for."""
    world.open("A", max_time=30.0)
    assert world.submit("a1", "ann", "A", estimate=25.0) is None
    assert limit(world, "a1") == 75.0


# what is said


def test_d22_a_job_is_warned_of_windows_when_its_limit_is_known(world: LaneHarness) -> None:
    """R44: not of its program's limit before, which will not be its own; of an allocation (R50) at once."""
    world.submit("x", "xav", limit=10.0)
    world.reserve("R", "bob", 100.0, HOUR)
    for name, estimate in (("fits", 20.0), ("long", 40.0)):
        world.submit(name, prepared=False)
        assert world.lane.job_warnings(name) == ()
        world.prepare(name, estimate)
    assert world.lane.job_warnings("fits") == ()
    assert world.lane.job_warnings("long") == (
        "Reservation R has the device from 1970-01-12 13:48:20 UTC to 1970-01-12 14:48:20 UTC; the job with "
        "its limit of 120 s (from its estimate of 40 s, as it states no max_execution_time) does not fit "
        "into the 100 s before it; submitted with a max_execution_time of at most 100 s it would fit now.",
    )
    world.submit("stated", limit=500.0, prepared=False)
    assert "does not fit into the 100 s" in world.lane.job_warnings("stated")[0]
    world.submit("off", prepared=False)
    world.cancel("off")
    assert world.lane.job_warnings("off") == ()


def test_d22_a_waiting_job_is_told_the_estimate_that_its_limit_comes_from(world: LaneHarness) -> None:
    world.reserve("R", "bob", 50.0, HOUR)
    world.submit("a1", estimate=0.3)
    (reason,) = explained(world, "a1").reasons
    assert reason.sentence(str) == (
        "with its limit of 60 s (from its estimate of 0.3 s, as it states no max_execution_time) it does not "
        "fit into the 50 s before reservation R, from 1970-01-12 13:47:30 UTC to 1970-01-12 14:47:30 UTC; "
        "submitted with a max_execution_time of at most 50 s it would fit now"
    )


@pytest.mark.parametrize(
    ("estimate", "shown"), [(1e-9, "0.001"), (0.00255, "0.003"), (0.12345, "0.123"), (7.0, "7")]
)
def test_d22_numbers_are_told_as_people_read_them(estimate: float, shown: str) -> None:
    """The estimate to a millisecond and never as nothing, the time that is left to a tenth of a second."""
    world = LaneHarness()
    world.reserve("R", "bob", 55.5224, HOUR)
    world.submit("a1", estimate=estimate)
    said = explained(world, "a1").reasons[0].sentence(str)
    assert f"its estimate is {shown} s: " in said
    assert "into the 55.5 s before" in said


def test_r46_a_job_that_fits_before_a_window_is_not_told_of_it(world: LaneHarness) -> None:
    world.submit("x", "xav", limit=10.0)
    world.reserve("R", "bob", 100.0, HOUR)
    world.submit("a1", limit=100.0)
    assert [type(reason) for reason in explained(world, "a1").reasons] == [Running]


@pytest.mark.parametrize(
    ("room", "estimate", "most", "said"),
    [
        (100.0, None, 100, "; submitted with a max_execution_time of at most 100 s it would fit now"),
        (100.0, 0.0, 100, "; submitted with a max_execution_time of at most 100 s it would fit now"),
        (
            99.9,
            99.0,
            99,
            "; its estimate is 99 s: submitted with a max_execution_time of at most 99 s it would fit now",
        ),
        (99.9, 99.5, None, ""),  # a max_execution_time is a whole number
        (99.9, 100.0, None, ", and its estimate of 100 s does not either"),
        (
            1.0,
            0.3,
            1,
            "; its estimate is 0.3 s: submitted with a max_execution_time of at most 1 s it would fit now",
        ),
        (0.9, 0.3, None, ""),
        (0.9, None, None, ""),
        (0.5, 0.5, None, ""),
    ],
)
def test_d22_a_job_that_does_not_fit_is_told_what_would(
    room: float, estimate: float | None, most: int | None, said: str
) -> None:
    """And only what is true: what it says to state does fit, and is not shorter than the estimate."""
    world = LaneHarness()
    world.reserve("R", "bob", room, HOUR)
    world.submit("a1", limit=500.0, estimate=estimate)
    (reason,) = explained(world, "a1").reasons
    assert isinstance(reason, DoesNotFit)
    assert (reason.source, reason.estimate) == (LimitSource.STATED, estimate or None)
    assert reason.room == pytest.approx(room)
    assert reason.would_fit == fitting(reason.room, estimate or None) == most
    assert reason.sentence(str).endswith(f"UTC{said}")
    if most is not None:
        world.submit("a2", limit=float(most), estimate=estimate)
        assert world.running == "a2"


def test_d22_what_is_left_before_a_window_is_counted_from_the_moment_of_the_question() -> None:
    """The lane may have heard nothing for long; what would have fitted then may not fit now."""
    world = LaneHarness()
    world.reserve("R", "bob", 1000.0, HOUR)
    world.submit("a1", limit=5000.0)
    for at, room in ((START, 1000.0), (START - 50, 1000.0), (START + 400, 600.0), (START + 999.5, 0.5)):
        found = ex.explain(world.lane, "a1", at)
        assert found is not None
        (reason,) = found.reasons
        assert isinstance(reason, DoesNotFit)
        assert (reason.room, reason.would_fit) == (room, int(room) or None)
    found = ex.explain(world.lane, "a1", START + 1000)
    assert found is not None
    assert found.reasons == (Reserved("R", "bob", ReservationMode.DEDICATED, START + 1000 + HOUR),)
    assert found.starts_at == START + 1000 + HOUR


# when it starts


def test_d22_a_job_that_only_windows_keep_is_told_when_it_starts() -> None:
    """Between two windows it may not fit either; its own project's and priority windows do not keep it."""
    world = LaneHarness()
    world.reserve("R", "bob", 1000.0, 1000.0)
    world.reserve("own", "ann", 2500.0, 1000.0)
    world.reserve("S", "cid", 4500.0, 1000.0)
    world.reserve("first", "bob", 6000.0, 1000.0, mode=ReservationMode.PRIORITY)
    for name, length, at in (("a1", 2501.0, 5500.0), ("a2", 2500.0, 2000.0), ("a3", 1001.0, 2000.0)):
        world.submit(name, limit=length)
        assert explained(world, name).starts_at == (START + at if name == "a1" else None), "a job is ahead"
        if name != "a1":
            world.cancel("a1" if name == "a2" else "a2")
            assert explained(world, name).starts_at == START + at
    world.sleep(1999.0)
    assert explained(world, "a3").starts_at == START + 2000, "also in the window"
    world.sleep(1.0)
    assert world.running == "a3"


def test_d22_a_job_that_waits_for_more_than_windows_is_not_told_when_it_starts(world: LaneHarness) -> None:
    world.reserve("R", "bob", 100.0, HOUR)
    world.submit("a1", limit=500.0)
    world.submit("b1", limit=10.0, prepared=False)
    assert explained(world, "b1").starts_at is None
    assert explained(world, "a1").starts_at == START + 100 + HOUR
    world.prepare("b1")
    assert explained(world, "a1").starts_at is None, "somebody runs"
    world.finish("b1")
    world.do(ev.DeviceLost("no worker"))
    assert explained(world, "a1").starts_at is None


def test_d22_a_job_that_will_have_failed_by_then_is_not_told_that_it_starts() -> None:
    """With its session's max_time (R33), the end of its session's window (R44), or its cached data (R34)."""

    def waiting(max_time: float, **window: object) -> LaneHarness:
        world = LaneHarness()
        if window:
            world.reserve("own", "ann", 0.0, 2000.0, **window)
        world.open("A", max_time=max_time)
        world.submit("a1", "ann", "A", limit=10.0)
        world.run_for(10, "a1")
        world.reserve("R", "bob", 2000.0 - 10.0, HOUR)
        world.submit("a2", "ann", "A", limit=max_time)
        return world

    over = START + 2000.0 + HOUR
    assert explained(waiting(7000.0), "a2").starts_at == over
    assert explained(waiting(2000.0 + HOUR), "a2").starts_at is None
    assert explained(waiting(2001.0 + HOUR), "a2").starts_at == over
    assert explained(waiting(7000.0, after_window=AfterReservation.FAIL), "a2").starts_at is None

    for length, starts in ((1990.0 + HOUR, None), (2010.0 + HOUR, over)):
        world = LaneHarness(cache_grace=length - 100.0)
        world.open("A", max_time=100.0)
        world.submit("a1", "ann", "A", limit=10.0)
        world.submit("a2", "ann", "A", limit=100.0, prepared=False)
        world.run_for(10, "a1")
        world.close("A")
        world.sleep(1980.0)
        world.reserve("R", "bob", 10.0, HOUR)
        world.prepare("a2")
        assert explained(world, "a2").starts_at == starts


def test_d22_a_session_that_has_not_begun_has_no_end_that_keeps_its_job_from_starting() -> None:
    world = LaneHarness()
    world.reserve("R", "bob", 100.0, HOUR)
    world.open("A", max_time=500.0)
    world.submit("a1", "ann", "A", limit=500.0)
    assert explained(world, "a1").starts_at == START + 100.0 + HOUR
    world.sleep(100.0 + HOUR)
    assert world.running == "a1"
