"""What users are told, word for word: reasons of jobs and sessions, refusals, warnings. Virtual time."""

from __future__ import annotations

import time

import pytest

from sojourn import codes
from sojourn.core import JobKind
from sojourn.core import events as ev
from sojourn.core.calendar import AfterReservation, ReservationMode
from sojourn.core.effects import Rejected
from sojourn.core.fair_share.shares import ProjectShare
from sojourn.core.model import DeviceMode
from sojourn.core.wording.formatting import at_time, seconds
from tests.harness.lane import START, LaneHarness

HOUR = 3600.0
NOON = "1970-01-12 13:46:40 UTC"  # START


def ended(world: LaneHarness, name: str) -> tuple[str | None, int | None]:
    return world.jobs[name].reason, world.jobs[name].reason_code


def warned(
    world: LaneHarness, what: str = "job", length: float | None = 60.0, project: str = "ann"
) -> list[str]:
    """What is said of a session, or of a job that was just accepted."""
    if what == "session":
        return list(world.lane.session_warnings(length, project))
    name = f"j{len(world.jobs)}"
    world.submit(name, project, limit=length, prepared=False)
    return list(world.lane.job_warnings(name))


def test_seconds_are_plain_numbers_also_when_they_are_many() -> None:
    said = [seconds(n) for n in (0.0, 2.5, 600.0, 28_801.0, 999_999.0, 999_999.5, 1e6, 2_419_200.4)]
    assert said == ["0 s", "2.5 s", "600 s", "28801 s", "999999 s", "1000000 s", "1000000 s", "2419200 s"]


def test_instants_are_told_in_utc_wherever_the_server_stands(monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as there:
        there.setenv("TZ", "Asia/Tokyo")
        time.tzset()
        assert at_time(START) == NOON
    time.tzset()


# jobs


def test_r51_a_job_that_cannot_be_prepared_fails_with_what_was_found(world: LaneHarness) -> None:
    world.submit("a1", prepared=False)
    world.do(ev.JobUnfit("a1", "It has no shots.", 7))
    assert ended(world, "a1") == ("It has no shots.", 7)


def test_r53_who_cancelled_is_said(world: LaneHarness) -> None:
    world.submit("a1")
    world.do(ev.JobCancelled("a1", "operator olga"))
    assert ended(world, "a1") == ("Cancelled by operator olga.", None)
    (refused,) = world.do(ev.JobCancelled("a1"))
    assert refused == Rejected(codes.CONFLICT, "Job a1 has already ended.")


def test_r52_a_job_that_ran_too_long_is_told_its_limit_and_when(world: LaneHarness) -> None:
    world.submit("a1", limit=60.0)
    world.sleep(60)
    assert ended(world, "a1") == (
        "The job ran longer than its limit of 60 s (its max_execution_time) and was stopped at "
        "1970-01-12 13:47:40 UTC.",
        codes.RAN_TOO_LONG,
    )


def test_r52_a_job_that_stated_no_limit_is_told_where_it_came_from_and_how_to_state_one() -> None:
    """Every way to a limit that nobody has stated; at the cap there is no longer one to state."""
    unstated = "as it states no max_execution_time) and was stopped at 1970-01-12"
    state_one = " UTC. State what it needs as max_execution_time, at most 10800 s."
    for limit, estimate, program, said, end in (
        (None, 0.5, "sampler", f"limit of 20 s (from its estimate of 0.5 s, {unstated}", state_one),
        (None, None, "sampler", f"limit of 10000 s (the default of its program, {unstated}", state_one),
        (None, None, "estimator", f"limit of 10800 s (the default of its program, {unstated}", " UTC."),
        (500.0, 0.5, "sampler", f"limit of 20 s (from its estimate of 0.5 s, {unstated}", " at most 500 s."),
        (
            15.0,
            None,
            "sampler",
            f"limit of 15 s (the longest that its project or session allows, {unstated}",
            " UTC.",
        ),
    ):
        world = LaneHarness(estimate_factor=10.0, estimate_floor=20.0)
        world.submit("a1", limit=limit, stated=False, program=program, estimate=estimate)
        world.sleep(11_000)
        reason, code = ended(world, "a1")
        assert code == codes.RAN_TOO_LONG
        assert reason is not None
        assert said in reason
        assert reason.endswith(end)
        assert ("State what it needs" in reason) == (end != " UTC.")


def test_r49_a_job_that_the_system_lost_says_what_the_device_said_or_that_it_was_lost() -> None:
    for said, expected in ((None, "the device was lost while the job ran"), ("The fridge.", "The fridge.")):
        world = LaneHarness(rerun_lost=False)
        world.submit("a1")
        world.sleep(5)
        world.finish("a1", ev.Outcome.LOST, reason=said)
        assert ended(world, "a1") == (expected, codes.SYSTEM_FAILURE)
        assert world.charges == []


# sessions


def test_r33_a_closed_session_tells_its_jobs_who_closed_it_and_when(world: LaneHarness) -> None:
    world.open("A")
    world.submit("a1", "ann", "A")
    world.submit("a2", "ann", "A")
    world.sleep(60)
    world.do(ev.SessionClosed("A", "operator olga"))
    why = "Session A ended at 1970-01-12 13:47:40 UTC: closed by operator olga."
    assert ended(world, "a2") == (why, codes.SESSION_CLOSED)
    assert world.sessions["A"].reason == why


def test_r32_a_session_that_is_over_says_how_long_it_could_last(world: LaneHarness) -> None:
    world.open("A", max_time=100.0)
    world.submit("a1", "ann", "A")
    world.submit("a2", "ann", "A")
    world.sleep(100)
    why = "Session A ended at 1970-01-12 13:48:20 UTC: its max_time of 100 s was over."
    assert ended(world, "a2") == (why, codes.SESSION_CLOSED)


def test_r26_an_unused_session_says_for_how_long_it_waited(world: LaneHarness) -> None:
    world.open("A")
    world.sleep(1800)
    assert world.sessions["A"].reason == (
        "Session A ended at 1970-01-12 14:16:40 UTC: it was not used within 1800 s."
    )


def test_r38a_a_drained_session_says_so(world: LaneHarness) -> None:
    world.open("A")
    world.drain("A")
    why = f"Session A ended at {NOON}: closed by the user, and its last job was done."
    assert world.sessions["A"].reason == why


def test_r40_jobs_that_lost_their_first_one_are_told_which_and_how(world: LaneHarness) -> None:
    world.open("A")
    world.submit("a1", "ann", "A")
    world.submit("a2", "ann", "A")
    world.cancel("a1")
    why = f"Session A ended at {NOON}: its first job a1 was cancelled."
    assert ended(world, "a2") == (why, codes.ROOT_LOST)
    world.open("B")
    world.submit("b1", "ann", "B", prepared=False)
    world.submit("b2", "ann", "B", prepared=False)
    world.do(ev.JobUnfit("b1", "It has no shots.", 7))
    why = f"Session B ended at {NOON}: its first job b1 failed before its data was prepared: It has no shots."
    assert ended(world, "b2")[0] == why + "."


def test_r34_a_plain_job_whose_cached_data_expired_is_told_when(world: LaneHarness) -> None:
    world.open("A", max_time=100.0)
    world.submit("a1", "ann", "A")
    world.submit("a2", "ann", "A", prepared=False)
    world.finish("a1")
    world.close("A")
    world.sleep(100 + HOUR)
    world.prepare("a2")
    assert world.running == "a2"  # to the very instant
    world.finish("a2")

    world.open("B", max_time=100.0)
    world.submit("b1", "ann", "B")
    world.submit("b2", "ann", "B", prepared=False)
    world.finish("b1")
    world.close("B")
    world.sleep(101 + HOUR)
    world.prepare("b2")
    assert ended(world, "b2") == (
        "The data of the first job of session B expired at 1970-01-12 15:50:00 UTC, "
        "before this job could start.",
        codes.CACHE_EXPIRED,
    )


def test_r44_a_job_whose_window_is_over_is_told_which_and_when(world: LaneHarness) -> None:
    world.reserve("R", "ann", 0, HOUR)
    world.open("A")
    world.submit("a1", "ann", "A")
    world.submit("a2", "ann", "A")
    world.sleep(HOUR)
    assert ended(world, "a2") == (
        "Reservation R ended at 1970-01-12 14:46:40 UTC before this job of its session could start.",
        codes.RESERVATION_OVER,
    )


# warnings


def test_r44_work_that_may_outlast_its_own_window_is_warned(world: LaneHarness) -> None:
    world.reserve("R", "ann", 0, HOUR)
    assert warned(world, "session", HOUR) == []
    (said,) = warned(world, "session", HOUR + 1)
    assert said == (
        "This session may take 3601 s, but your reservation R ends at 1970-01-12 14:46:40 UTC; "
        "jobs of a session that have not started by then fail."
    )
    world.sleep(HOUR)
    world.reserve("S", "ann", 0, HOUR, after_window=AfterReservation.REQUEUE)
    (said,) = warned(world, "job", HOUR + 1)
    assert said.startswith("This job may take 3601 s, but your reservation S ends at ")
    assert said.endswith("jobs of a session that have not started by then wait in the queue.")
    world.do(ev.ReservationCancelled("S"))
    assert warned(world, "job", HOUR + 1) == []


def test_r44_somebody_elses_open_window_is_said(world: LaneHarness) -> None:
    world.reserve("R", "bob", 0, HOUR)
    assert warned(world) == ["Reservation R has the device until 1970-01-12 14:46:40 UTC."]
    world.do(ev.ReservationCancelled("R"))
    world.reserve("S", "bob", 0, HOUR, mode=ReservationMode.PRIORITY)
    assert warned(world) == []


def test_r44_work_that_does_not_fit_before_somebodys_window_is_warned(world: LaneHarness) -> None:
    world.reserve("R", "bob", 60, HOUR)
    assert warned(world, "job", 60.0) == []
    window = "Reservation R has the device from 1970-01-12 13:47:40 UTC to 1970-01-12 14:47:40 UTC; "
    assert warned(world, "job", 61.0) == [
        f"{window}the job with its limit of 61 s (its max_execution_time) does not fit into the 60 s before "
        "it; submitted with a max_execution_time of at most 60 s it would fit now."
    ]
    assert warned(world, "job", None) == [
        f"{window}the job with its limit of 10000 s (the default of its program, as it states no "
        "max_execution_time) does not fit into the 60 s before it; submitted with a max_execution_time of at "
        "most 60 s it would fit now."
    ]
    world.submit("known", "ann", limit=61.0, estimate=7.5)
    assert list(world.lane.job_warnings("known")) == [
        f"{window}the job with its limit of 61 s (its max_execution_time) does not fit into the 60 s before "
        "it; its estimate is 7.5 s: submitted with a max_execution_time of at most 60 s it would fit now."
    ]
    assert warned(world, "session", 60.0) == []
    assert warned(world, "session", 61.0) == [f"{window}a session of 61 s does not fit before it."]
    for what in ("job", "session"):
        assert warned(world, what, 61.0, "bob") == []  # his own
    assert "a session of 28800 s" in warned(world, "session", None)[0]  # one that does not say


def test_r50_a_project_with_an_allocation_of_nothing_is_told_what_alone_can_help(world: LaneHarness) -> None:
    world.shares(projects={"ann": ProjectShare(allocation=0.0)})
    assert warned(world, "session") == [
        "Your project has an allocation of 0 s: the session is queued and starts when "
        "an operator raises the allocation."
    ]
    world.used(0.0, "ann")
    assert len(warned(world)) == 1


def test_r50_a_project_that_has_used_up_its_allocation_is_told_what_can_help(world: LaneHarness) -> None:
    world.shares(projects={"ann": ProjectShare(allocation=9.0)})
    assert warned(world) == []
    world.used(9.0, "ann")
    for what in ("job", "session"):
        assert warned(world, what) == [
            f"Your project has used up its allocation of 9 s: the {what} is queued and starts when "
            "earlier usage no longer counts or an operator raises the allocation."
        ]


# refusals


def refusal(world: LaneHarness, name: str, *args: object, **more: object) -> str:
    refused = getattr(world, name)(*args, **more)
    assert refused is not None
    return str(refused.message)


def test_r20_limits_are_refused_with_both_numbers(world: LaneHarness) -> None:
    assert refusal(world, "open", "A", max_time=28_801.0) == (
        "max_time is 28801 s; on device a session lasts more than 0 s and at most 28800 s. "
        "Ask for a time in that range."
    )
    assert refusal(world, "submit", "a1", limit=10_801.0) == (
        "The job's max_execution_time is 10801 s; no job runs longer than 10800 s here. "
        "Ask for less, or split the job."
    )
    world.open("A", max_time=50.0)
    assert refusal(world, "submit", "a1", "ann", "A", limit=51.0) == (
        "The job's max_execution_time is 51 s but session A lasts at most 50 s (max_time). "
        "Ask for less, or open a longer session."
    )
    world.open("B")
    assert world.submit("b1", "ann", "B", limit=10_800.0) is None


def test_r20_a_session_that_is_as_long_as_can_be_is_not_told_to_be_longer() -> None:
    world = LaneHarness(max_time=50.0)
    world.open("A")
    world.open("B", max_time=50.0)
    for session in ("A", "B"):
        assert refusal(world, "submit", "a1", "ann", session, limit=51.0) == (
            f"The job's max_execution_time is 51 s but session {session} lasts at most 50 s (max_time). "
            "Ask for less, or split the job."
        )


def test_r35_a_closed_session_says_why_it_takes_no_more(world: LaneHarness) -> None:
    assert refusal(world, "submit", "a1", "ann", "A") == (
        "Session A is not open on device. Open a new session."
    )
    world.open("A")
    world.submit("a1", "ann", "A")
    world.drain("A")
    assert refusal(world, "submit", "a2", "ann", "A") == (
        "Session A takes no more jobs: it was closed. A session cannot be reopened; open a new one."
    )
    world.close("A")
    assert refusal(world, "submit", "a2", "ann", "A") == (
        f"Session A takes no more jobs: Session A ended at {NOON}: closed by the user. "
        "A session cannot be reopened; open a new one."
    )


def test_r6_a_program_that_cannot_be_in_a_session_is_told_which_can(world: LaneHarness) -> None:
    world.open("A")
    assert refusal(world, "submit", "a1", "ann", "A", program="circuit-runner") == (
        "Program 'circuit-runner' cannot run in a session; these can: calibrate, estimator, executor, "
        "noise-learner, noise-learner-v3, sampler. Submit it without a session."
    )


def test_a_draining_device_says_who_drains_it_and_why(world: LaneHarness) -> None:
    world.halt(DeviceMode.DRAINING)
    assert refusal(world, "submit", "a1") == (
        "device is being drained by olga and takes no new work: the fridge is warm. "
        "Use another device, or try later."
    )
    world.halt(DeviceMode.DRAINING, "")
    assert "no new work: no reason was given." in refusal(world, "open", "A")
    assert refusal(world, "open", "A").startswith("device is being drained")
    assert world.submit("c", kind=JobKind.SYSTEM) is None


def test_r47_a_booking_that_cannot_be_says_why(world: LaneHarness) -> None:
    assert refusal(world, "reserve", "R", "ann", -60, HOUR) == (
        "The window begins at 1970-01-12 13:45:40 UTC, which is in the past. Choose a later start."
    )
    assert refusal(world, "reserve", "R", "ann", 0, 899) == (
        "The window is 899 s long; a reservation is at least 900 s."
    )
    for end in (0, -HOUR):
        assert refusal(world, "reserve", "R", "ann", 0, end).endswith(
            f"{at_time(START + end)}; its end must lie after its start. Choose a later end."
        )
    world.reserve("R", "ann", 0, HOUR)
    assert refusal(world, "reserve", "S", "bob", 60, HOUR) == (
        "Reservation R has the device from 1970-01-12 13:46:40 UTC to 1970-01-12 14:46:40 UTC. "
        "Reservations on a device cannot overlap; choose another time."
    )
    (refused,) = world.do(ev.ReservationCancelled("T"))
    assert refused == Rejected(codes.NOT_FOUND, "Reservation T is not booked (any more).")
