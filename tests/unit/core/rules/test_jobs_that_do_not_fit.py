"""D21: a session keeps the device for a job that can start, not for one that cannot."""

from __future__ import annotations

from sojourn.core.model import DeviceMode
from tests.harness.lane import LaneHarness


def between_jobs(world: LaneHarness) -> None:
    """Session A of ann's has the device; its first job has just ended."""
    world.open("A")
    world.submit("a1", "ann", "A")
    world.run_for(10, "a1")


def test_d21_a_job_that_does_not_fit_before_a_window_does_not_keep_the_device_for_its_session(
    world: LaneHarness,
) -> None:
    between_jobs(world)
    world.reserve("R", "cid", 2000.0, 3600.0)
    world.submit("a2", "ann", "A", limit=5000.0)
    world.submit("b1", "bob", limit=60.0)
    assert world.running is None
    world.sleep(299)
    assert world.is_("A", "active")
    world.sleep(1)
    assert world.is_("A", "inactive")
    assert world.running == "b1"
    assert [c.seconds for c in world.charges if c.kind == "held"] == [300.0]
    world.run_for(10, "b1")
    world.sleep(6000)
    assert world.running == "a2"


def test_d21_a_job_that_fits_keeps_it_also_beside_one_that_does_not(world: LaneHarness) -> None:
    between_jobs(world)
    world.reserve("R", "cid", 2000.0, 3600.0)
    world.halt(DeviceMode.PAUSED)
    world.submit("a2", "ann", "A", limit=5000.0)
    world.submit("a3", "ann", "A", limit=60.0)
    world.sleep(400)
    assert world.is_("A", "active")
    world.resume()
    assert world.running == "a3"


def test_d21_a_session_whose_ttl_ran_out_lets_go_when_none_of_its_jobs_is_ready_any_more(
    world: LaneHarness,
) -> None:
    between_jobs(world)
    world.halt(DeviceMode.PAUSED)
    world.submit("a2", "ann", "A", limit=5000.0)
    world.submit("b1", "bob", limit=60.0)
    world.sleep(400)
    assert world.is_("A", "active")  # its job waits for nothing but the device
    world.reserve("R", "cid", 2000.0, 3600.0)
    assert world.is_("A", "inactive")
    world.resume()
    assert world.running == "b1"
