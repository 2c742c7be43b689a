"""The stages of an iteration: what the service tells of a job is laid out along what the client waits for."""

from __future__ import annotations

import pytest
from bench.speed.split import STAGES, Iteration, Told, mean_of, scraped, stages
from bench.speed.wire import Trip

LOG = (
    "INFO time: reading and checking 0.0010 s, compiling 0.0000 s, running 0.0200 s, "
    "writing the result 0.0005 s\n"
)
BEFORE = 'sojourn_preparation_seconds_sum{device="a"} 1.0\nsojourn_preparation_seconds_count{device="a"} 10\n'
AFTER = (
    "# HELP sojourn_preparation_seconds words\n"
    'sojourn_preparation_seconds_sum{device="a"} 1.008\nsojourn_preparation_seconds_count{device="a"} 12\n'
    'sojourn_preparation_seconds_sum{device="b"} 0.0\n'
    "sojourn_store_commit_duration_seconds_sum 0.006\nsojourn_store_commit_duration_seconds_count 3\n"
)


def iteration(*, poll_at: float) -> Iteration:
    """Two ms of the client's own, a look of 1 ms, a submit, a poll that begins at `poll_at`, the result."""
    trips = [
        Trip("GET", "/backends/a/status", 0.002, 0.003),
        Trip("POST", "/jobs", 0.004, 0.012, "j"),
        Trip("GET", "/jobs/j", poll_at, max(poll_at, 0.037) + 0.004),
        Trip("GET", "/jobs/j/results", 0.050, 0.052),
    ]
    return Iteration(0.0, 0.055, trips)


def split(poll_at: float) -> dict[str, float]:
    told = Told({"accepted": 0.010, "selected": 0.0105, "completed": 0.0365}, LOG)
    return stages([iteration(poll_at=poll_at)], [told], scraped(BEFORE), scraped(AFTER))


def test_the_stages_add_up_to_the_iteration_and_each_has_its_part() -> None:
    found = split(poll_at=0.013)
    assert set(found) == set(STAGES)
    assert sum(found.values()) == pytest.approx(0.055)
    expected = {
        "prepare": 0.004,
        "HTTP": 0.001 + 0.002 + (0.010 - 0.004 - 0.004),
        "queue": 0.0005,
        "decode": 0.001,
        "compile": 0.0,
        "simulate": 0.020,
        "encode": 0.0005,
        "dispatch": 0.026 - 0.0215 - 0.002,
        "store": 0.004,
        "poll": 0.041 - 0.0365 - 0.002,
    }
    assert {stage: found[stage] for stage in expected} == pytest.approx(expected)


def test_what_the_client_takes_while_the_job_has_ended_already_is_its_own_time() -> None:
    early, late = split(poll_at=0.013), split(poll_at=0.0385)
    assert late["poll"] == pytest.approx(0.0425 - 0.0385 - 0.002)
    assert late["client"] == pytest.approx(early["client"] + 0.002 - 0.0015)


def test_a_mean_of_the_metrics_is_that_of_what_has_come_between_two_looks() -> None:
    names = ("sojourn_preparation_seconds_sum", "sojourn_preparation_seconds_count")
    assert mean_of(scraped(BEFORE), scraped(AFTER), names) == pytest.approx(0.004)
    assert mean_of(scraped(AFTER), scraped(AFTER), names) == 0.0
