"""How sessions end: R32 to R42."""

from __future__ import annotations

from sojourn import codes
from sojourn.core import events as ev
from tests.harness.lane import LaneHarness
from tests.unit.core.rules.sessions import active_session


def test_r32_r33_at_max_time_queued_jobs_fail_with_a_reason(world: LaneHarness) -> None:
    world.open("A", max_time=100.0)
    for i in range(3):
        world.submit(f"a{i}", "ann", "A")
    world.sleep(100)
    for name in ("a1", "a2"):
        job = world.jobs[name]
        assert job.state == "failed"
        assert job.reason_code == codes.SESSION_CLOSED
        assert "Session A" in (job.reason or "")
        assert "100 s" in (job.reason or "")
        assert "UTC" in (job.reason or "")
    assert world.is_("a0", "running")


def test_r34_accepted_jobs_become_plain_ones(world: LaneHarness) -> None:
    active_session(world)
    world.submit("a2", "ann", "A", prepared=False)
    world.close("A")
    assert world.is_("a2", "accepted")
    world.submit("b1", "bob")
    world.prepare("a2")
    world.finish("b1")
    assert world.running == "a2"
    world.finish("a2")
    assert world.is_("a2", "completed")


def test_r34_they_fail_at_start_when_the_roots_data_has_expired() -> None:
    world = LaneHarness(cache_grace=10.0)
    active_session(world, max_time=100.0)
    world.submit("a2", "ann", "A", prepared=False)
    world.close("A")
    world.submit("b1", "bob")
    world.prepare("a2")
    world.sleep(200)
    world.finish("b1")
    assert world.is_("a2", "failed")
    assert world.jobs["a2"].reason_code == codes.CACHE_EXPIRED


def test_r35_later_submissions_are_refused(world: LaneHarness) -> None:
    active_session(world)
    world.close("A")
    refused = world.submit("a2", "ann", "A")
    assert refused is not None
    assert refused.code == codes.SESSION_CLOSED


def test_r36_a_running_job_finishes_and_the_session_is_pending_closed(world: LaneHarness) -> None:
    world.open("A", max_time=100.0)
    world.submit("a1", "ann", "A")
    world.sleep(150)
    assert world.is_("A", "pending_closed")
    assert world.is_("a1", "running")
    refused = world.submit("a2", "ann", "A")
    assert refused is not None
    assert "max_time" in refused.message
    world.finish("a1")
    assert world.is_("a1", "completed")
    assert world.is_("A", "closed")
    world.submit("b1", "bob")
    assert world.running == "b1"  # no hold after the end


def test_r37_submit_three_and_close_at_once(world: LaneHarness) -> None:
    world.open("A")
    for i in range(3):
        world.submit(f"a{i}", "ann", "A")
    world.close("A")
    world.finish("a0")
    assert [world.jobs[f"a{i}"].state for i in range(3)] == ["completed", "failed", "failed"]


def test_r38_closing_twice_is_no_error(world: LaneHarness) -> None:
    world.open("A")
    world.submit("a1", "ann", "A")
    for _ in range(3):
        world.close("A")
    world.finish("a1")
    world.close("A")
    assert [s for e, s, _ in world.steps if e == "A"] == ["open", "active", "pending_closed", "closed"]


def test_r38a_draining_lets_jobs_complete_and_then_ends_at_once(world: LaneHarness) -> None:
    world.open("A")
    for i in range(3):
        world.submit(f"a{i}", "ann", "A")
    world.drain("A")
    refused = world.submit("a9", "ann", "A")
    assert refused is not None
    assert refused.code == codes.SESSION_CLOSED
    world.submit("b1", "bob")
    for i in range(3):
        world.finish(f"a{i}")
    assert world.is_("A", "closed")
    assert world.running == "b1"  # at once: no hold


def test_r38a_draining_an_idle_session_ends_it(world: LaneHarness) -> None:
    active_session(world)
    world.drain("A")
    assert world.is_("A", "closed")
    world.open("B")
    world.drain("B")
    assert world.is_("B", "closed")


def test_r38a_a_drained_session_that_has_not_started_still_runs_its_jobs(world: LaneHarness) -> None:
    world.submit("b1", "bob")
    world.open("A")
    world.submit("a1", "ann", "A")
    world.drain("A")
    world.finish("b1")
    assert world.running == "a1"
    world.finish("a1")
    assert world.is_("A", "closed")


def test_r40_cancelling_the_running_root_fails_the_others(world: LaneHarness) -> None:
    world.open("A")
    for i in range(3):
        world.submit(f"a{i}", "ann", "A")
    world.submit("a3", "ann", "A", prepared=False)
    world.cancel("a0")
    assert world.stopped == ["a0"]
    for name in ("a1", "a2", "a3"):
        assert world.is_(name, "failed")
        assert world.jobs[name].reason_code == codes.ROOT_LOST
        assert "a0" in (world.jobs[name].reason or "")
    refused = world.submit("a4", "ann", "A")
    assert refused is not None


def test_r40_cancelling_the_first_job_while_it_is_queued_does_the_same(world: LaneHarness) -> None:
    world.submit("b1", "bob")
    world.open("A")
    world.submit("a1", "ann", "A")
    world.submit("a2", "ann", "A")
    world.cancel("a1")
    assert world.is_("a2", "failed")
    assert "a1" in (world.jobs["a2"].reason or "")
    assert world.is_("A", "closed")


def test_r40_cancelling_another_job_leaves_the_session_alone(world: LaneHarness) -> None:
    world.open("A")
    for i in range(3):
        world.submit(f"a{i}", "ann", "A")
    world.cancel("a1")
    world.finish("a0")
    assert world.running == "a2"


def test_r41_a_failed_root_leaves_its_data(world: LaneHarness) -> None:
    world.open("A")
    world.submit("a0", "ann", "A")
    world.submit("a1", "ann", "A")
    world.finish("a0", ev.Outcome.FAILED, reason="boom", code=1)
    assert world.running == "a1"


def test_r41_a_root_that_failed_before_its_data_was_prepared_counts_as_cancelled(world: LaneHarness) -> None:
    world.open("A")
    world.submit("a0", "ann", "A", prepared=False)
    world.submit("a1", "ann", "A", prepared=False)
    world.do(ev.JobUnfit("a0", "the circuit is too wide", 1204))
    assert world.is_("a1", "failed")
    assert "too wide" in (world.jobs["a1"].reason or "")


def test_r42_the_cached_data_outlives_max_time(world: LaneHarness) -> None:
    active_session(world, max_time=100.0)
    session = world.sessions["A"]
    assert session.cache_expires_at is not None
    assert session.ends_at is not None
    assert session.cache_expires_at >= session.ends_at
