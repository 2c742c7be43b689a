"""What explain says while somebody else has the device for a moment."""

from __future__ import annotations

from sojourn.core import JobKind
from sojourn.core.explanation import explain as ex
from sojourn.core.explanation.reasons import Clearing, Preparing, Running, SessionHolds, without_ids
from tests.harness.lane import LaneHarness


def test_a_session_whose_hold_a_system_job_interrupts_keeps_the_device() -> None:
    world = LaneHarness()
    world.open("S")
    world.submit("s1", "ann", "S")
    world.finish("s1")
    world.submit("calibration", "system", kind=JobKind.SYSTEM)
    world.submit("b1", "bob")
    found = ex.explain(world.lane, "b1")
    assert found is not None
    said = [reason.sentence(str) for reason in found.reasons]
    assert "the active session S of project ann holds the device for its next job" in said


def test_a_run_whose_job_was_cancelled_is_not_named() -> None:
    world = LaneHarness()
    world.submit("a1", "ann")
    world.submit("b1", "bob")
    world.cancel("a1")  # its worker has not stopped yet
    found = ex.explain(world.lane, "b1")
    assert found is not None
    assert not any(isinstance(reason, Running) for reason in found.reasons)


def test_who_may_not_know_what_is_there_is_told_no_ids() -> None:
    world = LaneHarness()
    world.open("S")
    world.submit("s1", "ann", "S")
    world.submit("s2", "ann", "S")
    world.submit("b1", "bob")
    found = ex.explain(world.lane, "b1")
    assert found is not None
    told = [without_ids(reason) for reason in found.reasons]
    assert told == [Running(None, "ann", None), SessionHolds(None, "ann", 1, None)]
    assert [reason.sentence(str.upper) for reason in told] == [
        "a job of project ANN is running",
        "the active session of project ANN goes first with 1 more job",
    ]
    world.cancel("s1")
    found = ex.explain(world.lane, "b1")
    assert found is not None
    clearing = next(without_ids(reason) for reason in found.reasons if isinstance(reason, Clearing))
    assert clearing.sentence(str.upper) == "a job has ended; waiting for its worker to stop"
    assert without_ids(Preparing()) == Preparing()
