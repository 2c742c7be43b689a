"""Promises at the edges, each found untested by a mutant that survived. Virtual time."""

from __future__ import annotations

import pytest

from sojourn.core import JobKind, Lane, Mode
from sojourn.core import events as ev
from sojourn.core.calendar import Gap, ReservationMode
from sojourn.core.effects import Effect, SessionChanged
from sojourn.core.explanation.explain import explain
from sojourn.core.explanation.reasons import JobsAhead
from sojourn.core.fair_share.queue import FairShareQueue, Waiting
from sojourn.core.fair_share.shares import ProjectShare, Shares
from sojourn.core.fair_share.tree import FEW
from sojourn.core.model import DeviceMode, Job, JobState, Session, SessionState
from sojourn.core.profile import IBM2023, IBM2026
from sojourn.core.state import STORY_LENGTH
from sojourn.core.timers import Timer, Timers
from sojourn.core.transitions import IllegalTransition
from tests.harness.lane import START, LaneHarness

HOUR = 3600.0


def ended(world: LaneHarness, name: str) -> tuple[str | None, int | None]:
    return world.jobs[name].reason, world.jobs[name].reason_code


def test_r22_a_job_that_was_lost_and_then_cancelled_leaves_the_hold_that_its_run_began(
    world: LaneHarness,
) -> None:
    world.open("A")
    world.submit("a1", "ann", "A")
    world.submit("a2", "ann", "A")
    world.finish("a1")
    world.do(ev.DeviceLost("the worker died"))
    world.finish("a2", ev.Outcome.LOST)
    assert world.is_("a2", "queued")
    world.sleep(10)
    world.cancel("a2")
    world.do(ev.DeviceReady())
    assert world.is_("A", "active")
    world.sleep(289)
    assert world.is_("A", "active")
    world.sleep(1)
    assert world.is_("A", "inactive")


def test_d7_a_session_whose_clock_ran_out_ends_its_hold_when_only_accepted_jobs_are_left(
    world: LaneHarness,
) -> None:
    world.open("A")
    world.submit("a1", "ann", "A")
    world.finish("a1")
    world.do(ev.DeviceLost("the worker died"))
    assert world.lane.ready is False
    world.submit("a2", "ann", "A")
    world.submit("a3", "ann", "A", prepared=False)
    world.sleep(400)
    assert world.is_("A", "active")  # a2 waits for nothing but the device
    world.cancel("a2")
    world.sleep(0)
    assert world.is_("A", "inactive")


def test_r38_draining_what_is_not_there_or_again_changes_nothing(world: LaneHarness) -> None:
    assert world.do(ev.SessionDrained("A")) == []
    world.open("A")
    world.submit("a1", "ann", "A")
    world.drain("A")
    assert world.do(ev.SessionDrained("A")) == []
    assert world.do(ev.SessionClosed("B")) == []


def test_r44_a_window_cancelled_at_the_very_start_ends_for_what_began_in_it(world: LaneHarness) -> None:
    world.submit("x", "xav", limit=100.0)
    world.reserve("R", "ann", 100, HOUR)
    world.open("A")
    world.submit("a1", "ann", "A", limit=200.0)
    world.submit("a2", "ann", "A", limit=200.0)
    world.now += 100
    world.finish("x")
    assert world.running == "a1"
    world.do(ev.ReservationCancelled("R"))
    assert world.is_("a2", "failed")
    assert world.is_("A", "pending_inactive")


def test_r48_with_a_half_life_the_first_charge_may_be_decades_after_the_epoch() -> None:
    world = LaneHarness(half_life=10.0)
    world.now = 1.8e9
    world.used(8.0, "ann")
    world.now += 10.0
    world.do(ev.Tick())
    assert world.lane.fair.used("ann") == pytest.approx(4.0)


def test_a_step_that_no_table_has_raises_with_the_story_of_the_job(world: LaneHarness) -> None:
    world.submit("a1")
    job = world.lane.state.jobs["a1"]
    with pytest.raises(IllegalTransition) as caught:
        world.lane.state.move_job(job, JobState.ACCEPTED, world.now, "a mistake")
    error = caught.value
    assert (error.entity, error.before, error.after) == ("job a1", JobState.RUNNING, JobState.ACCEPTED)
    assert error.story == (
        "1000000.000 accepted: accepted",
        "1000000.000 prepared: accepted -> queued",
        "1000000.000 selected: queued -> running",
    )
    assert str(error) == (
        "job a1 cannot go from running to accepted. Its latest steps: 1000000.000 accepted: accepted; "
        "1000000.000 prepared: accepted -> queued; 1000000.000 selected: queued -> running"
    )
    empty = IllegalTransition("session S", "open", "inactive", ())
    assert str(empty) == "session S cannot go from open to inactive. Its latest steps: none yet"
    world.open("A", mode=Mode.BATCH)
    session = world.lane.state.sessions["A"]
    with pytest.raises(IllegalTransition) as caught:
        world.lane.state.move_session(session, SessionState.INACTIVE, world.now, "a mistake")
    assert (caught.value.entity, caught.value.story) == ("session A", ("1000000.000 opened: open",))
    world.finish("a1")
    world.submit("s1", "ann", "A")
    with pytest.raises(IllegalTransition) as caught:
        world.lane.state.move_session(session, SessionState.OPEN, world.now, "a mistake")
    assert caught.value.story[1:] == ("1000000.000 job started: open -> active",)
    strange = Session("Z", "ann", "ann", Mode.BATCH, START, 1.0)
    with pytest.raises(IllegalTransition, match="Its latest steps: none yet"):
        world.lane.state.move_session(strange, SessionState.INACTIVE, world.now, "a mistake")


def test_r40_in_ibm2026_a_session_outlives_its_cancelled_first_job() -> None:
    world = LaneHarness(IBM2026)
    world.open("A")
    world.submit("a1", "ann", "A")
    world.submit("a2", "ann", "A")
    world.cancel("a1")
    world.finish("a1", ev.Outcome.STOPPED)
    assert world.running == "a2"


def test_r20_the_longest_session_and_a_very_short_one_are_admitted(world: LaneHarness) -> None:
    assert world.open("A", max_time=28_800.0) is None
    assert world.open("B", max_time=0.5) is None
    assert world.open("C", max_time=0.0) is not None


def test_how_a_run_ended_is_told_as_the_device_said_it(world: LaneHarness) -> None:
    world.submit("a1")
    world.finish("a1", ev.Outcome.FAILED, reason="Register c is missing.", code=7)
    assert ended(world, "a1") == ("Register c is missing.", 7)
    world.submit("a2")
    world.finish("a2", reason="with a note", code=3)
    assert ended(world, "a2") == ("with a note", 3)


def test_r40_the_root_is_the_first_job_that_started_not_the_first_that_came(world: LaneHarness) -> None:
    world.open("A")
    world.submit("a1", "ann", "A", prepared=False)
    world.submit("a2", "ann", "A")
    assert world.sessions["A"].root == "a2"
    world.cancel("a1")
    assert world.is_("A", "active")
    assert world.is_("a2", "running")


def test_r45_a_session_that_resumes_in_somebodys_priority_window_outlives_it(world: LaneHarness) -> None:
    world.reserve("R", "ann", 0, HOUR, mode=ReservationMode.PRIORITY)
    world.open("B", "bob")
    world.submit("b1", "bob", "B")
    world.sleep(HOUR)
    world.finish("b1")
    assert world.sessions["B"].window is None
    assert world.is_("B", "active")


def test_r28_a_session_tells_when_it_became_active_last_and_when_its_last_job_ended(
    world: LaneHarness,
) -> None:
    world.open("A")
    world.submit("a1", "ann", "A")
    world.sleep(5)
    world.finish("a1")
    session = world.sessions["A"]
    assert (session.started_at, session.activated_at) == (START, START)
    assert (session.last_job_started, session.last_job_completed) == (START, START + 5)
    world.sleep(400)
    world.submit("a2", "ann", "A")
    session = world.sessions["A"]
    assert (session.started_at, session.activated_at) == (START, START + 405)


def test_r50_only_a_device_that_could_run_asks_when_an_allocation_comes_back() -> None:
    world = LaneHarness(fair_share_window=100.0)
    world.shares(projects={"ann": ProjectShare(allocation=1.0)})
    world.used(10.0, "ann")
    world.submit("x", "xav")
    world.submit("a1")
    assert world.lane.next_deadline() == START + 10_000  # the limit of what runs
    world.finish("x")
    assert world.lane.next_deadline() == START + 100
    world.halt(DeviceMode.PAUSED)
    assert world.lane.next_deadline() is None
    world.resume()
    world.do(ev.DeviceLost("the worker died"))
    assert world.lane.next_deadline() is None


def test_r50_the_very_first_job_of_a_service_is_waited_for_too() -> None:
    fair = FairShareQueue(100.0, None, Shares(projects={"p": ProjectShare(allocation=1.0)}))
    fair.add(Waiting(0, "j0", "p", "ann", 60.0))
    fair.charge("p", "ann", 5.0, 10.0)
    assert fair.release_at() == 110.0


def test_what_has_ended_leaves_nothing_behind(world: LaneHarness) -> None:
    for i in range(3):
        world.open(f"S{i}")
        world.submit(f"a{i}", "ann", f"S{i}")
        world.close(f"S{i}")
        world.finish(f"a{i}")
        world.submit(f"b{i}", "bob")
        world.cancel(f"b{i}")
        world.finish(f"b{i}", ev.Outcome.STOPPED)
    state = world.lane.state
    assert (state.jobs, state.sessions, state._members, state._touched, state._stories) == (
        {},
        {},
        {},
        {},
        {},
    )


def test_deadlines_are_tidied_when_they_have_doubled_and_not_at_every_look() -> None:
    timers, asked = Timers(), 0

    def is_current(at: float, timer: Timer, entity: str) -> bool:
        nonlocal asked
        asked += 1
        return True

    for size, expected in ((127, 0), (128, 128), (255, 128), (256, 128 + 256), (511, 384), (512, 896)):
        while len(timers) < size:
            timers.push(1.0, Timer.TTL, "s")
        timers.compact(is_current)
        timers.compact(is_current)
        assert asked == expected


def test_a_story_is_no_longer_than_its_last_lines() -> None:
    world = LaneHarness(crash_reruns=50)
    world.submit("a1")
    for _ in range(50):
        world.finish("a1", ev.Outcome.CRASHED)
    with pytest.raises(IllegalTransition) as caught:
        world.lane.state.move_job(world.lane.state.jobs["a1"], JobState.ACCEPTED, world.now, "a mistake")
    assert len(caught.value.story) == STORY_LENGTH
    strange = Job("z", 9, "ann", "ann", "sampler", START, 1.0)
    with pytest.raises(IllegalTransition, match="Its latest steps: none yet"):
        world.lane.state.move_job(strange, JobState.RUNNING, world.now, "a mistake")


def test_r47_at_the_very_end_of_a_window_anybody_may_start(world: LaneHarness) -> None:
    world.reserve("R", "ann", 0, HOUR)
    world.now += HOUR
    world.submit("b1", "bob")
    assert world.running == "b1"


def test_r51_when_a_job_was_queued_is_kept(world: LaneHarness) -> None:
    world.submit("a1", prepared=False)
    world.sleep(3)
    world.prepare("a1")
    assert (world.jobs["a1"].accepted_at, world.jobs["a1"].queued_at) == (START, START + 3)


def causes(effects: list[Effect]) -> list[str]:
    return [effect.cause for effect in effects if isinstance(effect, SessionChanged)]


def test_why_a_sessions_clocks_stop_and_go_on_is_told(world: LaneHarness) -> None:
    world.open("A")
    world.submit("a1", "ann", "A")
    assert causes(world.finish("a1")) == ["held"]
    world.submit("cal", "system", kind=JobKind.SYSTEM)
    assert causes(world.do(ev.DeviceHalted(DeviceMode.PAUSED, "olga", ""))) == []
    assert causes(world.finish("cal")) == ["clock resumed"]
    assert causes(world.do(ev.DeviceResumed("olga"))) == ["held"]
    assert causes(world.do(ev.DeviceLost("the worker died"))) == ["not held"]


def test_r34_a_job_that_has_left_its_session_changes_nothing_of_it(world: LaneHarness) -> None:
    world.open("A")
    world.submit("a1", "ann", "A", prepared=False)
    world.submit("a2", "ann", "A")
    world.close("A")
    assert world.is_("A", "pending_closed")
    assert causes(world.do(ev.JobCancelled("a1"))) == []


class Counting(Gap):
    """Counts the projects that a search looks at."""

    looks = 0

    def of(self, project: str) -> float:
        Counting.looks += 1
        return Gap.of(self, project)


def test_r46_what_is_known_to_be_too_long_is_not_looked_at_again_and_not_forgotten() -> None:
    fair = FairShareQueue(100.0)
    for seq in range(60):
        limit = 30.0 if seq % 20 in (1, 2) else 60.0
        fair.add(Waiting(seq, f"j{seq}", f"p{seq % 20}", "u", limit))
    for seq in (0, 20, 40, 1, 2, 21, 22, 41, 42):
        fair.remove(f"j{seq}")
    Counting.looks = 0
    assert fair.first(0.0, Counting(others=30.0)) is None
    assert Counting.looks == 1 + 17  # the head of the queue, and who still waits
    Counting.looks = 0
    assert fair.first(0.0, Counting(others=59.0)) is None
    assert Counting.looks == 1
    assert fair.first(0.0, Gap(others=60.0)) == "j3"
    fair.add(Waiting(99, "j99", "p0", "u", 5.0))
    assert fair.first(0.0, Gap(others=5.0)) == "j99"


def test_r46_a_user_whose_short_job_has_gone_is_looked_at_once() -> None:
    fair = FairShareQueue(100.0)
    for seq, limit in enumerate((60.0, 5.0, 70.0)):
        fair.add(Waiting(seq, f"j{seq}", "p", "u", limit))
    fair.remove("j1")
    Counting.looks = 0
    for _ in range(3):
        assert fair.first(0.0, Counting(others=5.0)) is None
    assert (
        Counting.looks == 2 + 1 + 1
    )  # the first search goes down to the project, the others only to the root
    assert fair.first(0.0, Gap(others=60.0)) == "j0"


def test_r50_a_project_that_comes_back_is_found_by_a_search_that_passed_it_over() -> None:
    fair = FairShareQueue(100.0, None, Shares(projects={"p": ProjectShare(allocation=5.0)}))
    fair.add(Waiting(1, "p1", "p", "u", 10.0))
    fair.add(Waiting(2, "q1", "q", "u", 60.0))
    fair.charge("p", "u", 5.0, 10.0)
    assert fair.first(20.0, Gap(others=5.0)) is None
    assert fair.first(110.0, Gap(others=20.0)) == "p1"


def test_r46_asking_who_waits_does_not_hide_a_project_that_comes_back() -> None:
    """Its account is out of sight as a whole while its only project may not start."""
    fair = FairShareQueue(100.0, None, Shares(projects={"p": ProjectShare("lab", allocation=5.0)}))
    fair.add(Waiting(0, "long", "p", "u", 1000.0))
    fair.add(Waiting(1, "short", "p", "u", 10.0))
    fair.charge("p", "u", 5.0, 10.0)
    assert list(fair.order(20.0)) == []
    assert fair.first(110.0, Gap(others=20.0)) == "short"


def test_r46_a_project_that_comes_back_is_found_among_others_of_its_account() -> None:
    fair = FairShareQueue(100.0, None, Shares(projects={"p": ProjectShare(allocation=5.0)}))
    fair.charge("p", "u", 5.0, 10.0)
    fair.add(Waiting(1, "long", "p", "u", 1000.0))
    fair.add(Waiting(2, "q1", "q", "u", 60.0))
    assert fair.first(20.0, Gap(others=20.0)) is None
    fair.add(Waiting(3, "short", "p", "u", 10.0))
    assert fair.first(20.0, Gap(others=20.0)) is None  # q1 is looked at again, short may not start
    assert fair.first(110.0, Gap(others=20.0)) == "short"


def test_r50_when_usage_that_fades_lets_a_project_go_on_is_known_to_a_second() -> None:
    fair = FairShareQueue(100.0, 10.0, Shares(projects={"p": ProjectShare(allocation=100.0)}))
    fair.add(Waiting(1, "p1", "p", "u", 10.0))
    fair.charge("p", "u", 50.0, 1000.0)
    assert fair.release_at() is None  # nothing keeps it
    fair.charge("p", "u", 350.0, 1000.0)
    assert fair.release_at() == pytest.approx(1021.0)


def test_r48_who_is_not_named_has_weight_1() -> None:
    fair = FairShareQueue(100.0, None, Shares(users={("p", "ann"): 1.0}, accounts={"default": 1.0}))
    for seq, user in enumerate(("bob", "ann")):
        fair.add(Waiting(seq, user, "p", user, 60.0))
    fair.charge("p", "ann", 10.0, 5.0)
    fair.charge("p", "bob", 15.0, 5.0)
    assert fair.first(5.0) == "ann"


def test_a_lane_takes_the_time_of_its_first_event_whatever_it_is() -> None:
    opened = Lane("mock", IBM2023).handle(ev.SessionOpened("A", "ann", "ann", Mode.DEDICATED, None), 0.5)
    assert [effect.at for effect in opened if isinstance(effect, SessionChanged)] == [0.5]


def test_r48_what_was_charged_long_ago_takes_no_room_in_the_share_tree() -> None:
    fair = FairShareQueue(1e9)
    for seq in range(3):
        fair.add(Waiting(seq, f"j{seq}", "p", f"u{seq}", 60.0))
    for i in range(1000):
        fair.charge("p", f"u{i % 3}", 1.0 + i % 7, float(i))
    assert max(len(node.heap) for node in fair._nodes()) <= 4 * 3 + FEW


def test_r48_usage_fades_from_its_charge_on_however_early_that_was() -> None:
    fair = FairShareQueue(100.0, 10.0)
    fair.charge("p", "u", 8.0, 0.5)
    assert fair.used("p") == 8.0
    fair.expire(10.5)
    assert fair.used("p") == pytest.approx(4.0)


def test_d18_a_step_has_whole_seconds() -> None:
    assert [FairShareQueue(672.0 * n + 100.0).step for n in (0, 1, 3)] == [1.0, 1.0, 3.0]


def test_r55_what_is_taken_over_is_there_to_look_at(world: LaneHarness) -> None:
    world.open("A", "ann")
    for name in ("a1", "a2", "a3"):
        world.submit(name, "ann", "A")
    world.open("B", "bob")
    world.submit("b1", "bob", "B", prepared=False)
    world.reserve("R", "ann", 2 * HOUR, HOUR)
    world.restart()
    lane = world.lane
    assert set(lane.jobs) == {"a1", "a2", "a3", "b1"}
    assert set(lane.sessions) == {"A", "B"}
    assert [reservation.id for reservation in lane.reservations] == ["R"]
    assert lane.active == "A"
    why = explain(lane, "a3")
    assert why is not None
    assert JobsAhead((("ann", 2),)) in why.reasons
