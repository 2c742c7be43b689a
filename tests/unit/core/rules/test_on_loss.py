"""R55 on a device on which a job must not run twice unasked, as its driver says."""

from __future__ import annotations

import pytest

from sojourn import codes
from sojourn.core import JobState
from sojourn.core import events as ev
from tests.harness.lane import LaneHarness


@pytest.fixture
def instrument() -> LaneHarness:
    world = LaneHarness()
    world.do(ev.DeviceReady(reruns=False))
    return world


@pytest.mark.parametrize("outcome", [ev.Outcome.LOST, ev.Outcome.STOPPED, ev.Outcome.CRASHED])
def test_r55_a_job_whose_run_is_lost_on_an_instrument_fails_and_costs_nothing(
    instrument: LaneHarness, outcome: ev.Outcome
) -> None:
    instrument.submit("a1")
    instrument.sleep(5)
    instrument.finish("a1", outcome)
    job = instrument.jobs["a1"]
    assert (job.state, job.reason_code) == (JobState.FAILED, codes.SYSTEM_FAILURE)
    assert "is not repeated unasked" in (job.reason or "")
    assert instrument.started == ["a1"]
    assert instrument.charges == []


@pytest.mark.parametrize("said", ["No answer from node X", "No answer from node X.", "No answer ..."])
def test_r55_what_may_have_happened_is_said_behind_what_is_known(instrument: LaneHarness, said: str) -> None:
    instrument.submit("a1")
    instrument.finish("a1", ev.Outcome.LOST, reason=said)
    assert instrument.jobs["a1"].reason == (
        f"{said.rstrip('.')}. The device may have carried it out, in part or as a whole, and a job on it is "
        "not repeated unasked. Nothing is charged; submit it again if it should run once more."
    )


def test_r55_so_does_one_that_ran_when_the_service_died(instrument: LaneHarness) -> None:
    instrument.submit("a1")
    instrument.submit("a2")
    instrument.sleep(5)
    instrument.restart(down=10.0)
    job = instrument.jobs["a1"]
    assert (job.state, job.reason_code) == (JobState.FAILED, codes.SYSTEM_FAILURE)
    assert instrument.jobs["a2"].state is JobState.QUEUED, "one that had not started waits on"
    instrument.do(ev.DeviceReady(reruns=False))
    assert instrument.running == "a2"


def test_r55_a_run_that_has_not_reached_the_instrument_starts_again(instrument: LaneHarness) -> None:
    instrument.submit("a1")
    instrument.do(ev.DeviceLost("it has no worker"))
    attempt = instrument.jobs["a1"].attempt
    instrument.do(ev.RunEnded("a1", attempt, ev.Outcome.LOST, "no worker", untouched=True))
    assert instrument.jobs["a1"].state is JobState.QUEUED
    instrument.do(ev.DeviceReady(reruns=False))
    assert instrument.running == "a1"


def test_r55_what_holds_is_what_the_driver_said_when_the_job_started(instrument: LaneHarness) -> None:
    instrument.submit("a1")
    instrument.do(ev.DeviceReady())  # another driver, from the next job on
    instrument.finish("a1", ev.Outcome.LOST)
    assert instrument.jobs["a1"].state is JobState.FAILED
    instrument.submit("a2")
    instrument.finish("a2", ev.Outcome.LOST)
    assert instrument.running == "a2"


def test_r55_the_rules_of_a_site_can_forbid_what_a_driver_allows() -> None:
    world = LaneHarness(rerun_lost=False)
    world.submit("a1")
    world.finish("a1", ev.Outcome.LOST)
    assert world.jobs["a1"].state is JobState.FAILED
    assert "unasked" not in (world.jobs["a1"].reason or ""), "the device would have allowed it"
