"""R1-R42: one test a rule, named after it. Everything happens in virtual time."""

from __future__ import annotations

import pytest

from sojourn import codes
from sojourn.core import JobKind, Mode
from sojourn.core import events as ev
from tests.harness.lane import START, LaneHarness
from tests.unit.core.rules.sessions import active_session


def test_r1_the_active_sessions_job_is_next(world: LaneHarness) -> None:
    world.open("A")
    world.submit("a1", "ann", "A")
    world.submit("b1", "bob")
    world.submit("a2", "ann", "A")
    world.finish("a1")
    assert world.running == "a2"


def test_r2_no_other_users_job_starts_during_the_hold(world: LaneHarness) -> None:
    active_session(world)
    world.submit("b1", "bob")
    world.sleep(299)
    assert world.running is None
    world.submit("a2", "ann", "A")
    assert world.running == "a2"


def test_r2_not_even_a_plain_job_of_the_same_user_gets_in(world: LaneHarness) -> None:
    active_session(world)
    world.submit("plain", "ann")
    assert world.running is None


def test_r3_the_first_job_of_a_session_waits_its_turn(world: LaneHarness) -> None:
    world.submit("b1", "bob")
    world.submit("b2", "bob")
    world.open("A", "bob")
    world.submit("a1", "bob", "A")
    world.submit("b3", "bob")
    for expected in ("b1", "b2", "a1"):
        world.finish(expected)
    assert world.running is None  # A holds
    assert world.is_("b3", "queued")


def test_r4_later_jobs_skip_the_queue(world: LaneHarness) -> None:
    for i in range(3):
        world.submit(f"b{i}", "bob")
    world.open("A", "ann")
    world.submit("a1", "ann", "A")
    world.run_for(1, "b0")
    assert world.running == "a1"  # ann has used nothing
    world.sleep(1)
    for i in range(2, 5):
        world.submit(f"a{i}", "ann", "A")
    for expected in ("a1", "a2", "a3"):
        world.finish(expected)
    assert world.running == "a4"


def test_r5_a_session_is_unknown_to_another_device(world: LaneHarness) -> None:
    world.open("A")
    other = LaneHarness()
    refused = other.submit("x", "ann", "A")
    assert refused is not None
    assert refused.code == codes.SESSION_CLOSED


def test_r6_only_primitives_may_be_in_a_session(world: LaneHarness) -> None:
    world.open("A")
    refused = world.submit("x", "ann", "A", program="circuit-runner")
    assert refused is not None
    assert refused.code == codes.NOT_IN_SESSION
    assert "circuit-runner" in refused.message
    for program in ("sampler", "estimator", "executor", "noise-learner", "noise-learner-v3", "calibrate"):
        assert world.submit(program, "ann", "A", program=program) is None


def test_r7_a_session_ages_out_by_its_timers_alone(world: LaneHarness) -> None:
    active_session(world, max_time=600.0)
    world.sleep(300)
    assert world.is_("A", "inactive")
    world.sleep(300)
    assert world.is_("A", "closed")


def test_r8_while_active_jobs_come_and_go_without_another_session(world: LaneHarness) -> None:
    active_session(world)
    for i in range(20):
        world.sleep(200)
        assert world.submit(f"a{i}", "ann", "A") is None
        world.run_for(1.0, f"a{i}")
    assert [s for e, s, _ in world.steps if e == "A"] == ["open", "active"]


def test_r9_system_jobs_then_the_session_then_fair_share(world: LaneHarness) -> None:
    world.open("A")
    world.submit("a1", "ann", "A")
    world.submit("b1", "bob")
    world.submit("a2", "ann", "A")
    world.submit("calibration", "system", kind=JobKind.SYSTEM)
    world.finish("a1")
    assert world.running == "calibration"
    world.finish()
    assert world.running == "a2"
    world.finish()
    world.sleep(300)
    assert world.running == "b1"


def test_r10_session_jobs_run_one_at_a_time_and_all_are_accepted_at_once(world: LaneHarness) -> None:
    world.open("A")
    for i in range(50):
        assert world.submit(f"a{i}", "ann", "A") is None
    assert world.started == ["a0"]
    for i in range(50):
        world.finish(f"a{i}")
    assert world.started == [f"a{i}" for i in range(50)]


def test_r11_nothing_is_preempted(world: LaneHarness) -> None:
    world.submit("b1", "bob")
    world.submit("calibration", "system", kind=JobKind.SYSTEM)
    assert world.running == "b1"
    assert world.stopped == []


def test_r11_a_system_job_runs_in_a_hold_and_the_session_stays_active(world: LaneHarness) -> None:
    active_session(world)
    world.submit("calibration", "system", kind=JobKind.SYSTEM)
    assert world.running == "calibration"
    assert world.is_("A", "active")


def test_d1_the_ttl_clock_stands_still_while_a_system_job_has_the_device(world: LaneHarness) -> None:
    active_session(world)
    world.sleep(100)
    world.submit("calibration", "system", kind=JobKind.SYSTEM)
    world.run_for(1000, "calibration")
    assert world.is_("A", "active")
    world.sleep(199)
    assert world.is_("A", "active")
    world.sleep(1)
    assert world.is_("A", "inactive")


def test_r12_without_an_active_session_the_queue_decides(world: LaneHarness) -> None:
    world.submit("b1", "bob")
    world.submit("c1", "cid")
    world.finish("b1")
    assert world.running == "c1"


def test_r14_batch_jobs_run_back_to_back(world: LaneHarness) -> None:
    world.open("A", mode=Mode.BATCH)
    for i in range(5):
        world.submit(f"a{i}", "ann", "A")
        world.submit(f"b{i}", "bob")
    for i in range(5):
        world.run_for(1.0, f"a{i}")
    assert world.started == [f"a{i}" for i in range(5)]
    assert [c.kind for c in world.charges] == ["job"] * 5  # no hold between them


def test_r15_a_second_session_waits_until_the_first_lets_go(world: LaneHarness) -> None:
    active_session(world, "A", "ann")
    world.open("B", "bob")
    world.submit("b1", "bob", "B")
    assert world.is_("B", "open")
    world.sleep(300)
    assert world.running == "b1"
    assert (world.state("A"), world.state("B")) == ("inactive", "active")


def test_r16_max_time_starts_with_the_root_not_in_the_queue(world: LaneHarness) -> None:
    world.submit("b1", "bob")
    world.open("A", max_time=100.0)
    world.submit("a1", "ann", "A")
    world.sleep(5000)
    assert world.is_("A", "open")
    world.finish("b1")
    assert world.sessions["A"].ends_at == world.now + 100


def test_r17_max_time_runs_on_while_deactivated(world: LaneHarness) -> None:
    active_session(world, max_time=1000.0)
    world.sleep(300)
    assert world.is_("A", "inactive")
    world.sleep(698)
    assert world.is_("A", "inactive")
    world.sleep(1)
    assert world.is_("A", "closed")
    assert world.sessions["A"].closed_at == START + 1000


def test_r18_max_time_may_exceed_a_jobs_own_limit(world: LaneHarness) -> None:
    world.open("A", max_time=5000.0)
    assert world.submit("a1", "ann", "A", limit=10.0) is None
    assert world.sessions["A"].max_time == 5000.0


@pytest.mark.parametrize(
    ("limit", "program", "expected"),
    [(120.0, "sampler", 120.0), (None, "sampler", 10_000.0), (None, "estimator", 18_000.0)],
)
def test_r19_max_time_defaults_to_the_roots_limit(
    world: LaneHarness, limit: float | None, program: str, expected: float
) -> None:
    world.open("A")
    world.submit("a1", "ann", "A", limit=limit, program=program)
    assert world.sessions["A"].max_time == expected


def test_r19_the_system_limit_caps_the_default() -> None:
    world = LaneHarness(max_time=600.0)
    world.open("A")
    world.submit("a1", "ann", "A")
    assert world.sessions["A"].max_time == 600.0


def test_d2_before_the_root_starts_max_time_is_open(world: LaneHarness) -> None:
    world.open("A")
    assert world.sessions["A"].max_time is None  # the details report the system limit


def test_r20_a_session_above_the_system_limit_is_refused(world: LaneHarness) -> None:
    refused = world.open("A", max_time=28801.0)
    assert refused is not None
    assert "28801 s" in refused.message
    assert "28800 s" in refused.message


def test_r20_a_job_that_outlasts_its_session_is_refused_with_both_numbers(world: LaneHarness) -> None:
    world.open("A", max_time=100.0)
    refused = world.submit("a1", "ann", "A", limit=101.0)
    assert refused is not None
    assert "101 s" in refused.message
    assert "100 s" in refused.message
    assert "a1" not in world.jobs


def test_r21_an_operator_sets_the_ttl_by_mode() -> None:
    world = LaneHarness(interactive_ttl=10.0, batch_ttl=1.0)
    active_session(world, "A", mode=Mode.BATCH)
    world.sleep(1)
    assert world.is_("A", "inactive")
    world.open("B", "bob")
    world.submit("b", "bob", "B")
    world.run_for(1.0)
    world.sleep(9)
    assert world.is_("B", "active")
    world.sleep(1)
    assert world.is_("B", "inactive")


def test_r22_a_job_queued_at_the_very_end_of_the_ttl_starts_at_once(world: LaneHarness) -> None:
    active_session(world)
    world.submit("b1", "bob")
    world.now += 300
    world.submit("a2", "ann", "A")
    assert world.running == "a2"
    assert world.is_("A", "active")


def test_r22_the_ttl_restarts_at_each_end(world: LaneHarness) -> None:
    active_session(world)
    for i in range(3):
        world.sleep(299)
        world.submit(f"a{i}", "ann", "A")
        world.run_for(50.0, f"a{i}")
    world.sleep(299)
    assert world.is_("A", "active")
    world.sleep(1)
    assert world.is_("A", "inactive")


def test_r23_deactivated_at_that_instant_and_selection_resumes(world: LaneHarness) -> None:
    active_session(world)
    world.submit("b1", "bob")
    world.sleep(300)
    assert world.running == "b1"
    assert ("A", "inactive", START + 301) in world.steps
    assert ("b1", "running", START + 301) in world.steps


def test_d7_a_job_that_is_still_being_prepared_does_not_count_as_queued(world: LaneHarness) -> None:
    active_session(world)
    world.submit("a2", "ann", "A", prepared=False)
    world.sleep(300)
    assert world.is_("A", "inactive")
    world.prepare("a2")
    assert world.running == "a2"
    assert world.is_("A", "active")


def test_r24_nothing_ready_means_hold_then_deactivate(world: LaneHarness) -> None:
    active_session(world)
    world.submit("b1", "bob")
    assert world.running is None
    world.sleep(299.9)
    assert world.running is None
    world.sleep(0.1)
    assert world.running == "b1"


@pytest.mark.parametrize("how", ["failed", "cancelled"])
def test_r25_failed_and_cancelled_jobs_restart_the_ttl(world: LaneHarness, how: str) -> None:
    active_session(world)
    world.sleep(200)
    world.submit("a2", "ann", "A")
    if how == "failed":
        world.finish("a2", ev.Outcome.FAILED, reason="boom", code=1)
    else:
        world.cancel("a2")
        world.finish("a2", ev.Outcome.STOPPED)
    world.sleep(299)
    assert world.is_("A", "active")
    world.sleep(1)
    assert world.is_("A", "inactive")


def test_r26_there_is_no_ttl_before_the_root_has_started(world: LaneHarness) -> None:
    world.submit("b1", "bob")
    world.open("A")
    world.submit("a1", "ann", "A")
    world.sleep(5000)
    assert world.is_("A", "open")


def test_r26_a_session_never_used_ends(world: LaneHarness) -> None:
    world.open("A")
    world.sleep(1799)
    assert world.is_("A", "open")
    world.sleep(1)
    assert world.is_("A", "closed")
    assert "1800 s" in (world.sessions["A"].reason or "")


def test_r27_r28_a_deactivated_session_waits_and_resumes(world: LaneHarness) -> None:
    active_session(world)
    world.sleep(300)
    world.submit("b1", "bob")
    world.submit("a2", "ann", "A")
    world.submit("b2", "bob")
    assert world.is_("A", "inactive")
    world.finish("b1")
    world.sleep(5)
    assert world.running == "b2"  # ann has used a second and a hold, bob less: the queue is fair
    world.finish("b2")
    assert world.running == "a2"
    assert world.is_("A", "active")
    world.submit("b3", "bob")
    world.submit("a3", "ann", "A")
    world.finish("a2")
    assert world.running == "a3"


def test_r29_another_session_may_start_after_a_deactivation(world: LaneHarness) -> None:
    active_session(world)
    world.open("B", "bob")
    world.submit("b1", "bob", "B")
    world.sleep(300)
    assert world.is_("B", "active")
    assert world.running == "b1"


def test_r30_the_max_time_of_a_waiting_session_may_run_out(world: LaneHarness) -> None:
    active_session(world, max_time=400.0)
    world.sleep(300)
    world.open("B", "bob")
    world.submit("b1", "bob", "B")
    world.submit("a2", "ann", "A")
    world.sleep(99)
    assert world.is_("A", "closed")
    assert world.is_("a2", "failed")
    assert world.is_("B", "active")


def test_r31_when_one_job_resumes_the_session_the_others_get_priority(world: LaneHarness) -> None:
    active_session(world)
    world.sleep(300)
    world.submit("b1", "bob")
    for i in range(2, 5):
        world.submit(f"a{i}", "ann", "A")
    world.submit("c1", "cid")
    world.submit("c2", "cid")
    world.finish("b1")
    world.finish("c1")
    world.finish("c2")
    assert world.started[-1] == "a2"
    for i in range(6):
        world.submit(f"d{i}", "dan")
    for expected in ("a2", "a3"):
        world.finish(expected)
    assert world.running == "a4"
