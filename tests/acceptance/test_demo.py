"""`sojourn demo` shows what it says, in time, and its numbers are the server's."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest


@pytest.mark.timeout(300)
def test_the_demo_shows_that_nobody_gets_between_the_iterations_of_a_session() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "sojourn", "demo", "--json", "--iterations", "25"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert report["claim_holds"] is True
    assert report["foreign_jobs_in_session"] == []
    assert report["session"]["iterations"] >= 25
    assert report["without_session"]["iterations"] >= 25
    # There was a contest: without the session somebody else got in, nearly every time.
    assert report["without_session"]["gaps_with_foreign_jobs"] >= 12
    assert report["session"]["gaps_with_foreign_jobs"] == 0
    assert report["session"]["seconds_per_iteration"] < report["without_session"]["seconds_per_iteration"]
    assert report["jobs_of_b_completed"] > 0
    # A noisy device and few iterations, but it did go downhill from -0.8.
    assert report["session"]["energy"] < -0.95
    assert abs(report["exact_energy"] + 1.1373) < 1e-4
    times = [(entry["started"], entry["finished"]) for entry in report["timeline"]]
    assert times == sorted(times)


def test_a_run_that_is_too_short_to_show_anything_is_refused() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "sojourn", "demo", "--iterations", "3"], capture_output=True, check=False
    )
    assert done.returncode == 2
