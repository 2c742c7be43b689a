"""Profiles are data: every switch of `ibm2026`, and the numbers that a site may set. Virtual time."""

from __future__ import annotations

from dataclasses import fields

import pytest

from sojourn import codes
from sojourn.core import PROFILES, JobKind, Mode, Profile
from sojourn.core import events as ev
from tests.harness.lane import START, LaneHarness

IBM = PROFILES["ibm2026"]


@pytest.fixture
def world() -> LaneHarness:
    return LaneHarness(IBM)


def test_r21_the_numbers_of_ibm2026(world: LaneHarness) -> None:
    assert (IBM.ttl(Mode.DEDICATED), IBM.ttl(Mode.BATCH)) == (60.0, 1.0)
    for mode, ttl in ((Mode.DEDICATED, 60), (Mode.BATCH, 1)):
        world.open(mode, "ann", mode=mode)
        world.submit(f"{mode}-1", "ann", mode)
        world.run_for(1, f"{mode}-1")
        world.sleep(ttl - 0.5)
        assert world.is_(mode, "active")
        world.sleep(0.5)
        assert world.is_(mode, "inactive")


def test_r19_ibm2026_sessions_last_8_hours_whatever_their_root(world: LaneHarness) -> None:
    world.open("A")
    world.submit("a1", "ann", "A", limit=60.0)
    assert world.sessions["A"].max_time == 8 * 3600.0
    assert Profile(default_max_time=8 * 3600.0, max_time=3600.0).session_time("sampler", None) == 3600.0


def test_r40_in_ibm2026_cancelling_the_root_leaves_the_session_open(world: LaneHarness) -> None:
    world.open("A")
    world.submit("a1", "ann", "A")
    world.submit("a2", "ann", "A")
    world.cancel("a1")
    world.finish("a1", ev.Outcome.STOPPED)
    assert world.running == "a2"
    assert world.submit("a3", "ann", "A") is None


def test_r26_in_ibm2026_a_session_whose_only_job_was_cancelled_unused_still_ends(world: LaneHarness) -> None:
    world.submit("x", "xav")
    world.open("A")
    world.submit("a1", "ann", "A")
    world.sleep(100)
    world.cancel("a1")
    world.sleep(1799)
    assert world.is_("A", "open")
    world.sleep(1)
    assert world.is_("A", "closed")
    assert "not used within 1800 s" in (world.sessions["A"].reason or "")


def test_r33_in_ibm2026_a_hard_close_cancels_queued_jobs(world: LaneHarness) -> None:
    world.open("A")
    world.submit("a1", "ann", "A")
    world.submit("a2", "ann", "A")
    world.close("A")
    assert world.is_("a2", "cancelled")
    assert "Session A ended" in (world.jobs["a2"].reason or "")
    assert world.is_("a1", "running")


def test_r33_in_ibm2026_max_time_still_fails_them(world: LaneHarness) -> None:
    world.open("A", max_time=10.0)
    world.submit("a1", "ann", "A", limit=10.0)
    world.submit("a2", "ann", "A")
    world.now = START + 5
    world.sleep(5)
    assert world.is_("a2", "failed")
    assert world.jobs["a2"].reason_code == codes.SESSION_CLOSED


def test_r11_in_ibm2026_no_system_job_runs_during_a_dedicated_session(world: LaneHarness) -> None:
    world.open("A")
    world.submit("a1", "ann", "A")
    world.submit("calibration", "system", kind=JobKind.SYSTEM)
    world.finish("a1")
    assert world.running is None
    world.submit("a2", "ann", "A")
    assert world.running == "a2"
    world.finish("a2")
    world.sleep(60)
    assert world.running == "calibration"


def test_r11_in_ibm2026_one_may_run_between_the_jobs_of_a_batch(world: LaneHarness) -> None:
    world.open("A", mode=Mode.BATCH)
    world.submit("a1", "ann", "A")
    world.submit("a2", "ann", "A")
    world.submit("calibration", "system", kind=JobKind.SYSTEM)
    world.finish("a1")
    assert world.running == "calibration"


def test_d15_in_ibm2026_a_dedicated_sessions_usage_is_its_wall_clock_and_a_batchs_that_of_its_jobs(
    world: LaneHarness,
) -> None:
    for mode, usage in ((Mode.DEDICATED, 10 + 20 + 5 + 60), (Mode.BATCH, 15.0)):
        name = f"{mode}"
        world.open(name, "ann", mode=mode)
        world.submit(f"{name}-1", "ann", name)
        world.run_for(10)
        world.sleep(20 if mode is Mode.DEDICATED else 0.5)
        world.submit(f"{name}-2", "ann", name)
        assert world.running == f"{name}-2"
        world.run_for(5)
        world.sleep(60)
        assert world.is_(name, "inactive")
        assert world.sessions[name].usage(world.now) == usage
        assert sum(c.seconds for c in world.charges if c.session_id == name) == usage


def test_d15_a_hold_that_is_not_charged_is_no_usage_while_it_lasts(world: LaneHarness) -> None:
    world.open("A", mode=Mode.BATCH)
    world.submit("a1", "ann", "A")
    world.run_for(10)
    world.sleep(0.5)
    assert world.is_("A", "active")
    assert world.sessions["A"].usage(world.now) == 10.0


def test_d15_a_sessions_usage_includes_what_is_under_way() -> None:
    world = LaneHarness()
    world.open("A")
    assert world.lane.state.sessions["A"].usage(world.now) == 0.0
    world.submit("a1", "ann", "A")
    world.sleep(7)
    session = world.sessions["A"]
    assert session.usage(world.now) == 7.0
    world.run_for(3, "a1")
    session = world.sessions["A"]
    assert session.usage(world.now + 5) == 15.0


def test_profiles_switch_open_plan_sessions() -> None:
    assert not IBM.open_plan_sessions
    assert PROFILES["ibm2023"].open_plan_sessions


def test_profiles_have_a_name_and_differ_from_the_seed_only_in_known_fields() -> None:
    for name, profile in PROFILES.items():
        assert profile.name == name
        assert {f.name for f in fields(profile)} == {f.name for f in fields(Profile)}


def test_a_site_may_cap_and_limit_programs() -> None:
    site = Profile(job_limit=50.0, job_cap=80.0, program_limits={"sampler": 100.0})
    assert site.run_limit("sampler", None) == 80.0
    assert site.run_limit("estimator", None) == 50.0
    assert site.run_limit("estimator", 10.0) == 10.0
