"""Why a job waits: every reason appears when it is true, and position agrees with what starts next."""

from __future__ import annotations

import pytest

from sojourn.core import JobKind
from sojourn.core import events as ev
from sojourn.core.calendar import ReservationMode
from sojourn.core.explanation import explain as ex
from sojourn.core.explanation.reasons import Clearing, NoWeight, Reason, Running, SessionHolds, without_ids
from sojourn.core.fair_share.shares import ProjectShare, Shares
from sojourn.core.model import DeviceMode
from tests.harness.lane import START, LaneHarness


def name(project: str) -> str:
    return project.upper()


def why(world: LaneHarness, job: str) -> list[str]:
    found = ex.explain(world.lane, job)
    assert found is not None
    return [reason.sentence(name) for reason in found.reasons]


def test_a_job_behind_others_is_told_who_they_are() -> None:
    world = LaneHarness()
    world.submit("x", "xav")
    for job in ("a1", "a2", "a3"):
        world.submit(job, "ann")
    world.submit("b1", "bob")
    found = ex.explain(world.lane, "a3")
    assert found is not None
    assert (found.position, found.depth) == (3, 4)  # x runs, a1 and a2 go first
    assert why(world, "a3") == [
        "job x of project XAV is running",
        "2 jobs are ahead in the queue (2 of project ANN)",
    ]


def test_a_running_or_ended_job_waits_for_nothing() -> None:
    world = LaneHarness()
    world.submit("a1")
    assert ex.explain(world.lane, "a1") is None
    world.finish("a1")
    assert ex.explain(world.lane, "a1") is None


def test_a_job_that_is_being_prepared_says_so() -> None:
    world = LaneHarness()
    world.submit("a1", prepared=False)
    assert why(world, "a1") == ["the job is still being checked and prepared"]


def test_a_held_device_names_the_session_and_the_end_of_the_hold() -> None:
    world = LaneHarness()
    world.open("S")
    world.submit("s1", "ann", "S")
    world.submit("s2", "ann", "S")
    world.submit("b1", "bob")
    assert why(world, "b1")[1] == "the active session S of project ANN goes first with 1 more job"
    world.finish("s1")
    world.finish("s2")
    (sentence,) = why(world, "b1")
    assert "holds the device until" in sentence


def test_an_operator_who_pauses_is_named_with_the_message() -> None:
    world = LaneHarness()
    world.do(ev.DeviceHalted(DeviceMode.PAUSED, "olga", "new helium", world.now + 60))
    world.submit("a1")
    (sentence,) = why(world, "a1")
    assert sentence.startswith("the device is paused by olga: new helium (expected until ")


def test_a_device_that_is_down_says_why() -> None:
    world = LaneHarness()
    world.do(ev.DeviceLost("no worker"))
    world.submit("a1")
    assert why(world, "a1") == ["the device is not available: no worker"]


def test_somebody_elses_reservation_is_named_before_and_while_it_is_open() -> None:
    world = LaneHarness()
    window = ev.ReservationBooked("R", "bob", "bob", world.now + 1000, world.now + 2000)
    world.do(window)
    world.submit("a1", "ann", limit=5000.0)
    assert "does not fit into the 1000 s before reservation R" in why(world, "a1")[0]
    world.sleep(1000)
    assert why(world, "a1")[0].startswith("reservation R of project BOB has the device until ")
    world.sleep(1000)
    assert world.running == "a1"


def test_a_priority_window_puts_the_holders_jobs_ahead() -> None:
    world = LaneHarness()
    mode = ReservationMode.PRIORITY
    world.do(ev.ReservationBooked("R", "bob", "bob", world.now + 10, world.now + 2000, mode))
    world.submit("x", "xav")
    world.submit("a1", "ann")
    world.sleep(10)
    world.submit("b1", "bob")
    assert "1 job is ahead in the queue (1 of project BOB)" in why(world, "a1")


def test_a_used_up_allocation_is_given_with_its_numbers() -> None:
    world = LaneHarness()
    world.do(ev.SharesChanged(Shares(projects={"ann": ProjectShare(allocation=10.0)})))
    world.submit("a1", "ann")
    world.run_for(12, "a1")
    world.submit("a2", "ann")
    assert why(world, "a2") == ["project ANN has used 12 s of its allocation of 10 s"]


def test_who_has_used_more_than_the_share_is_told_how_much() -> None:
    world = LaneHarness()
    world.submit("a1", "ann")
    world.run_for(90, "a1")
    world.submit("b0", "bob")
    world.run_for(10, "b0")
    world.submit("x", "xav")
    world.submit("a2", "ann")
    world.submit("b1", "bob")
    assert "project ANN has used 1.8x its share" in why(world, "a2")


def test_system_jobs_ahead_are_counted() -> None:
    world = LaneHarness()
    world.submit("x", "xav")
    world.submit("cal", "system", kind=JobKind.SYSTEM)
    world.submit("a1")
    assert "1 system job is ahead" in why(world, "a1")


@pytest.mark.parametrize("count", [1, 7])
def test_position_counts_down_to_the_start(count: int) -> None:
    world = LaneHarness()
    world.submit("x", "xav")
    for i in range(count):
        world.submit(f"a{i}", "ann")
        world.submit(f"b{i}", "bob")
    last = world.lane.order()[-1]
    for expected in range(2 * count, 0, -1):
        found = ex.explain(world.lane, last)
        assert found is not None
        assert found.position == expected
        world.finish()
    assert world.running == last


def test_a_job_that_waits_for_a_cancelled_one_to_be_cleared_away_says_so() -> None:
    world = LaneHarness()
    world.submit("x", "xav")
    world.submit("a1")
    world.cancel("x")
    found = ex.explain(world.lane, "a1")
    assert found is not None
    assert found.position == 0
    assert why(world, "a1") == ["job x has ended; waiting for its worker to stop"]


def test_a_system_job_is_not_told_of_reservations_and_sessions_that_it_goes_before() -> None:
    world = LaneHarness()
    world.open("S")
    world.submit("s1", "ann", "S")
    world.reserve("R", "bob", 10, 2000)
    world.submit("cal", "system", kind=JobKind.SYSTEM)
    world.sleep(20)
    assert why(world, "cal") == ["job s1 of session S of project ANN is running"]


def test_the_holder_of_a_reservation_is_not_told_of_a_session_that_it_goes_before() -> None:
    world = LaneHarness()
    world.reserve("R", "bob", 10, 2000)
    world.open("S", max_time=5000)
    world.submit("s1", "ann", "S", limit=5)
    world.submit("s2", "ann", "S")
    world.submit("x", "system", kind=JobKind.SYSTEM)
    world.finish("s1")
    world.sleep(20)
    world.submit("b1", "bob")
    assert why(world, "b1") == ["job x of project SYSTEM is running"]
    assert why(world, "s2")[-1] == "1 job is ahead in the queue (1 of project BOB)"


def test_a_system_job_that_may_not_disturb_a_session_waits_behind_its_jobs() -> None:
    world = LaneHarness(system_in_dedicated=False)
    world.open("S")
    world.submit("s1", "ann", "S")
    world.submit("s2", "ann", "S")
    world.submit("cal", "system", kind=JobKind.SYSTEM)
    world.submit("b1", "bob")
    assert world.lane.order() == ["s2", "cal", "b1"]
    assert why(world, "s2") == ["job s1 of session S of project ANN is running"]
    assert why(world, "cal")[1] == "the active session S of project ANN goes first with 1 more job"


def test_a_session_whose_job_waits_for_the_device_has_no_end_of_a_hold() -> None:
    world = LaneHarness()
    world.open("S")
    world.submit("s1", "ann", "S")
    world.submit("b1", "bob")
    world.do(ev.DeviceLost("no worker"))
    world.submit("s2", "ann", "S")
    world.finish("s1")
    found = ex.explain(world.lane, "b1")
    assert found is not None
    assert found.reasons[-1] == SessionHolds("S", "ann", 1, None)


def test_a_session_that_somebody_keeps_from_the_device_does_not_hold_it() -> None:
    world = LaneHarness()
    world.open("S")
    world.submit("s1", "ann", "S")
    world.submit("b1", "bob")
    world.submit("cal", "system", kind=JobKind.SYSTEM)
    world.finish("s1")
    assert why(world, "b1") == [
        "job cal of project SYSTEM is running",
        "the active session S of project ANN holds the device for its next job",
    ]


def test_r34_a_job_that_outlived_its_session_runs_as_a_plain_one() -> None:
    world = LaneHarness()
    world.open("S")
    world.submit("s1", "ann", "S")
    world.submit("s2", "ann", "S", prepared=False)
    world.submit("b1", "bob")
    world.close("S")
    world.prepare("s2")
    world.finish("s1")
    assert why(world, "b1")[0] == "job s2 of project ANN is running"


def test_jobs_without_an_allocation_stand_last_and_the_oldest_of_them_first() -> None:
    world = LaneHarness()
    world.shares(projects={"ann": ProjectShare(allocation=10.0), "cid": ProjectShare(allocation=10.0)})
    world.submit("x", "xav")
    world.submit("c1", "cid")
    world.submit("a1", "ann")
    world.used(20.0, "ann")
    world.used(20.0, "cid")
    world.submit("c2", "cid")
    world.submit("b1", "bob")
    assert world.lane.order() == ["b1", "c1", "a1", "c2"]


def test_a_share_is_counted_within_the_account_that_the_project_belongs_to() -> None:
    world = LaneHarness()
    world.shares(
        accounts={"lab": 3.0, "club": 1.0},
        projects={
            "ann": ProjectShare("lab", 2.0),
            "bob": ProjectShare("lab", 1.0),
            "cid": ProjectShare("club"),
        },
    )
    world.used(60.0, "ann")
    world.used(20.0, "bob")
    world.used(20.0, "cid")
    world.submit("x", "xav")
    for job, user in (("a1", "ann"), ("b1", "bob"), ("c1", "cid")):
        world.submit(job, user)
    assert "project ANN has used 1.2x its share" in why(world, "a1")  # 60 % instead of 50 %


def test_a_session_job_is_not_told_of_a_share_that_does_not_decide() -> None:
    world = LaneHarness()
    world.used(100.0, "ann")
    world.open("S")
    world.submit("s1", "ann", "S")
    world.submit("s2", "ann", "S")
    world.reserve("R", "bob", 10, 2000, mode=ReservationMode.PRIORITY)
    world.sleep(10)
    world.submit("b1", "bob")
    assert why(world, "s2") == [
        "job s1 of session S of project ANN is running",
        "reservation R of project BOB goes first until 1970-01-12 14:20:10 UTC",
        "1 job is ahead in the queue (1 of project BOB)",
    ]


def test_who_is_behind_the_holders_jobs_in_a_priority_window_is_told_of_it() -> None:
    world = LaneHarness()
    world.submit("x", "xav")
    world.submit("b1", "bob")
    world.reserve("R", "ann", 10, 2000, mode=ReservationMode.PRIORITY)
    world.sleep(10)
    assert len(why(world, "b1")) == 1, "nobody of the holder waits"
    world.submit("a1", "ann")
    world.submit("a2", "ann")
    reserved = "reservation R of project ANN goes first until 1970-01-12 14:20:10 UTC"
    assert reserved in why(world, "b1")
    assert reserved not in why(world, "a2")


def test_who_has_no_weight_is_told_where_when_that_is_what_puts_others_first() -> None:
    world = LaneHarness()
    projects = {
        "ann": ProjectShare("lab", weight=0.0),
        "bob": ProjectShare("lab"),
        "cid": ProjectShare("club"),
    }
    world.shares(projects=projects, accounts={"club": 0.0}, users={("bob", "ben"): 0.0})
    world.submit("x", "xav")
    for name, user, project in (("a", "ann", "ann"), ("b", "ben", "bob"), ("c", "cid", "cid")):
        world.submit(name, user, project=project)
    weightless = "has weight 0, so its jobs start only when no others wait"
    assert f"the account {weightless}" in why(world, "c")
    assert f"the project {weightless}" in why(world, "a")
    assert not any(weightless in reason for reason in why(world, "b"))
    world.submit("b2", "bob", project="bob")
    assert f"the user {weightless}" in why(world, "b")


def test_an_operators_message_and_expected_end_are_told_when_there_are_any() -> None:
    world = LaneHarness()
    world.do(ev.DeviceHalted(DeviceMode.PAUSED, "olga", "", None))
    world.submit("a1")
    assert why(world, "a1") == ["the device is paused by olga"]
    world.do(ev.DeviceHalted(DeviceMode.MAINTENANCE, "olga", "a new chip", START + 60))
    assert why(world, "a1") == [
        "the device is in maintenance by olga: a new chip (expected until 1970-01-12 13:47:40 UTC)"
    ]


def test_numbers_in_reasons_are_rounded_and_counted() -> None:
    world = LaneHarness()
    world.shares(projects={"ann": ProjectShare(allocation=10.0)})
    world.used(12.34567, "ann")
    world.submit("x", "xav")
    world.submit("a1", "ann")
    assert "project ANN has used 12.346 s of its allocation of 10 s" in why(world, "a1")
    world.submit("b1", "bob")
    world.submit("c1", "cid")
    world.submit("d1", "dan")
    assert "2 jobs are ahead in the queue (1 of project BOB, 1 of project CID)" in why(world, "d1")
    world.finish("x")
    world.finish("b1")
    world.open("S", "cid")
    for name in ("s1", "s2", "s3"):
        world.submit(name, "cid", "S")
    world.finish("c1")
    world.finish("d1")
    assert world.running == "s1"
    world.submit("e1", "eve")
    assert "the active session S of project CID goes first with 2 more jobs" in why(world, "e1")
    found, preparing = ex.explain(world.lane, "e1"), world.submit("p1", "eve", prepared=False)
    assert preparing is None
    assert found is not None
    assert found.job_id == "e1"
    assert (explained := ex.explain(world.lane, "p1")) is not None
    assert explained.job_id == "p1"


def test_r46_the_window_that_a_job_does_not_fit_before_is_never_its_own() -> None:
    world = LaneHarness()
    world.submit("x", "xav", limit=50.0)
    world.reserve("R", "ann", 100, 2000)
    world.reserve("S", "bob", 5000, 2000)
    world.submit("a1", "ann", limit=6000.0)
    assert [reason for reason in why(world, "a1") if "does not fit" in reason] == [
        "with its limit of 6000 s (its max_execution_time) it does not fit into the 5000 s before "
        "reservation S, from 1970-01-12 15:10:00 UTC to 1970-01-12 15:43:20 UTC; submitted with a "
        "max_execution_time of at most 5000 s it would fit now"
    ]


def test_r48_among_those_without_weight_nobody_is_told_of_it() -> None:
    world = LaneHarness()
    world.shares(projects={"ann": ProjectShare(weight=0.0), "bob": ProjectShare(weight=0.0)})
    for name, user in (("x", "xav"), ("b1", "bob"), ("a1", "ann")):
        world.submit(name, user)
    assert not any("weight" in reason for reason in why(world, "a1"))


def test_r48_a_share_counts_from_the_first_second_on() -> None:
    world = LaneHarness()
    world.used(0.4, "ann")
    world.used(0.1, "bob")
    for name, user in (("x", "xav"), ("a1", "ann"), ("b1", "bob")):
        world.submit(name, user)
    assert why(world, "a1")[-1] == "project ANN has used 1.6x its share"


@pytest.mark.parametrize(("max_time", "length", "until"), [(1000.0, 40.0, 40.0), (50.0, 9000.0, 50.0)])
def test_a_hold_ends_with_whatever_comes_first(max_time: float, length: float, until: float) -> None:
    """Before its ttl: the end of the window in which it became active (R44), or its max_time (R32)."""
    world = LaneHarness(reservation_minimum=10.0)
    world.reserve("R", "ann", 0.0, length, mode=ReservationMode.PRIORITY)
    world.open("S", max_time=max_time)
    world.submit("s1", "ann", "S", limit=20.0)
    world.submit("b1", "bob")
    world.run_for(10, "s1")
    found = ex.explain(world.lane, "b1")
    assert found is not None
    (held,) = [reason for reason in found.reasons if isinstance(reason, SessionHolds)]
    assert held.held_until == START + until
    world.sleep(until - 10)
    assert world.running == "b1"


def test_a_session_of_which_no_job_can_start_before_a_window_has_an_end_of_its_hold() -> None:
    world = LaneHarness()
    world.open("S")
    world.submit("s1", "ann", "S")
    world.submit("b1", "bob")
    world.run_for(10, "s1")
    world.reserve("R", "cid", 1000.0, 3600.0)
    world.submit("s2", "ann", "S", limit=5000.0)
    said = why(world, "b1")
    assert (
        "the active session S of project ANN goes first with 1 more job, of which none can start now, and "
        "holds the device until 1970-01-12 13:51:50 UTC"
    ) in said


def test_a_session_that_ends_with_its_running_job_goes_before_nobody() -> None:
    world = LaneHarness()
    world.open("S")
    world.submit("s1", "ann", "S")
    world.submit("b1", "bob")
    world.drain("S")
    assert why(world, "b1") == ["job s1 of session S of project ANN is running"]
    world.finish("s1")
    assert world.running == "b1"


def test_a_session_that_takes_no_more_jobs_goes_first_with_those_that_it_has() -> None:
    world = LaneHarness()
    world.open("S")
    world.submit("s1", "ann", "S")
    world.submit("s2", "ann", "S")
    world.submit("b1", "bob")
    world.drain("S")
    assert "the active session S of project ANN goes first with 1 more job" in why(world, "b1")
    world.finish("s1")
    assert world.running == "s2"
    assert why(world, "b1") == ["job s2 of session S of project ANN is running"]


@pytest.mark.parametrize(
    ("reason", "shown"),
    [
        (Running("x", "xav", "S"), "a job of project XAV is running"),
        (Clearing("x"), "a job has ended; waiting for its worker to stop"),
        (
            SessionHolds("S", "xav", 1, None),
            "the active session of project XAV goes first with 1 more job",
        ),
        (NoWeight("xav"), NoWeight("xav").sentence(name)),
    ],
)
def test_without_ids_a_reason_says_whose_it_is_and_not_which(reason: Reason, shown: str) -> None:
    assert without_ids(reason).sentence(name) == shown
