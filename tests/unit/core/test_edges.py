"""Promises at the edges, each found untested by a mutant that survived. Virtual time."""

from __future__ import annotations

import pytest

from sojourn.core import Mode
from sojourn.core import events as ev
from sojourn.core.calendar import WindowMode
from sojourn.core.fairshare import FairShareQueue, Waiting
from sojourn.core.model import HaltMode, JobState, Session, SessionState
from sojourn.core.profile import IBM2026
from sojourn.core.shares import ProjectShare, Shares
from sojourn.core.transitions import IllegalTransition
from tests.unit.core.world import START, World

HOUR = 3600.0


@pytest.fixture
def world() -> World:
    return World()


def ended(world: World, name: str) -> tuple[str | None, int | None]:
    return world.jobs[name].reason, world.jobs[name].reason_code


def test_r22_a_job_that_was_lost_and_then_cancelled_leaves_the_hold_that_its_run_began(world: World) -> None:
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
    world: World,
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


def test_r38_draining_what_is_not_there_or_again_changes_nothing(world: World) -> None:
    assert world.do(ev.SessionDrained("A")) == []
    world.open("A")
    world.submit("a1", "ann", "A")
    world.drain("A")
    assert world.do(ev.SessionDrained("A")) == []
    assert world.do(ev.SessionClosed("B")) == []


def test_r44_a_window_cancelled_at_the_very_start_ends_for_what_began_in_it(world: World) -> None:
    world.submit("x", "xav", limit=100.0)
    world.book("R", "ann", 100, HOUR)
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
    world = World(half_life=10.0)
    world.now = 1.8e9
    world.used(8.0, "ann")
    world.now += 10.0
    world.do(ev.Tick())
    assert world.lane.fair.used("ann") == pytest.approx(4.0)


def test_a_step_that_no_table_has_raises_with_the_story_of_the_job(world: World) -> None:
    world.submit("a1")
    job = world.lane.book.jobs["a1"]
    with pytest.raises(IllegalTransition) as caught:
        world.lane.book.move_job(job, JobState.ACCEPTED, world.now, "a mistake")
    error = caught.value
    assert (error.entity, error.before, error.after) == ("job a1", JobState.RUNNING, JobState.ACCEPTED)
    assert error.story == (
        "1000000.000 accepted: accepted",
        "1000000.000 prepared: accepted -> queued",
        "1000000.000 selected: queued -> running",
    )
    assert str(error) == (
        "job a1 cannot go from running to accepted. Its story: 1000000.000 accepted: accepted; "
        "1000000.000 prepared: accepted -> queued; 1000000.000 selected: queued -> running"
    )
    empty = IllegalTransition("session S", "open", "inactive", ())
    assert str(empty) == "session S cannot go from open to inactive. Its story: nothing yet"
    world.open("A", mode=Mode.BATCH)
    session = world.lane.book.sessions["A"]
    with pytest.raises(IllegalTransition) as caught:
        world.lane.book.move_session(session, SessionState.INACTIVE, world.now, "a mistake")
    assert (caught.value.entity, caught.value.story) == ("session A", ("1000000.000 opened: open",))
    world.finish("a1")
    world.submit("s1", "ann", "A")
    with pytest.raises(IllegalTransition) as caught:
        world.lane.book.move_session(session, SessionState.OPEN, world.now, "a mistake")
    assert caught.value.story[1:] == ("1000000.000 job started: open -> active",)
    strange = Session("Z", "ann", "ann", Mode.BATCH, START, 1.0)
    with pytest.raises(IllegalTransition, match="Its story: nothing yet"):
        world.lane.book.move_session(strange, SessionState.INACTIVE, world.now, "a mistake")


def test_r40_in_ibm2026_a_session_outlives_its_cancelled_first_job() -> None:
    world = World(IBM2026)
    world.open("A")
    world.submit("a1", "ann", "A")
    world.submit("a2", "ann", "A")
    world.cancel("a1")
    world.finish("a1", ev.Outcome.STOPPED)
    assert world.running == "a2"


def test_r20_the_longest_session_and_a_very_short_one_are_admitted(world: World) -> None:
    assert world.open("A", max_time=28_800.0) is None
    assert world.open("B", max_time=0.5) is None
    assert world.open("C", max_time=0.0) is not None


def test_how_a_run_ended_is_told_as_the_device_said_it(world: World) -> None:
    world.submit("a1")
    world.finish("a1", ev.Outcome.FAILED, reason="Register c is missing.", code=7)
    assert ended(world, "a1") == ("Register c is missing.", 7)
    world.submit("a2")
    world.finish("a2", reason="with a note", code=3)
    assert ended(world, "a2") == ("with a note", 3)


def test_r40_the_root_is_the_first_job_that_started_not_the_first_that_came(world: World) -> None:
    world.open("A")
    world.submit("a1", "ann", "A", prepared=False)
    world.submit("a2", "ann", "A")
    assert world.sessions["A"].root == "a2"
    world.cancel("a1")
    assert world.is_("A", "active")
    assert world.is_("a2", "running")


def test_r45_a_session_that_resumes_in_somebodys_priority_window_outlives_it(world: World) -> None:
    world.book("R", "ann", 0, HOUR, mode=WindowMode.PRIORITY)
    world.open("B", "bob")
    world.submit("b1", "bob", "B")
    world.sleep(HOUR)
    world.finish("b1")
    assert world.sessions["B"].window is None
    assert world.is_("B", "active")


def test_r28_a_session_tells_when_it_became_active_last_and_when_its_last_job_ended(world: World) -> None:
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
    world = World(fair_share_window=100.0)
    world.shares(projects={"ann": ProjectShare(allocation=1.0)})
    world.used(10.0, "ann")
    world.submit("x", "xav")
    world.submit("a1")
    assert world.lane.next_deadline() == START + 10_000  # the limit of what runs
    world.finish("x")
    assert world.lane.next_deadline() == START + 100
    world.halt(HaltMode.PAUSED)
    assert world.lane.next_deadline() is None
    world.resume()
    world.do(ev.DeviceLost("the worker died"))
    assert world.lane.next_deadline() is None


def test_r50_the_very_first_job_of_a_service_is_waited_for_too() -> None:
    fair = FairShareQueue(100.0, None, Shares(projects={"p": ProjectShare(allocation=1.0)}))
    fair.add(Waiting(0, "j0", "p", "ann", 60.0))
    fair.charge("p", "ann", 5.0, 10.0)
    assert fair.release_at() == 110.0


def test_what_has_ended_leaves_nothing_behind(world: World) -> None:
    for i in range(3):
        world.open(f"S{i}")
        world.submit(f"a{i}", "ann", f"S{i}")
        world.close(f"S{i}")
        world.finish(f"a{i}")
        world.submit(f"b{i}", "bob")
        world.cancel(f"b{i}")
        world.finish(f"b{i}", ev.Outcome.STOPPED)
    book = world.lane.book
    assert (book.jobs, book.sessions, book._members, book._touched, book._stories) == ({}, {}, {}, {}, {})
