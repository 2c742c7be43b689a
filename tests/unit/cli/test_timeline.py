"""The demo tells the truth about who had the device."""

from __future__ import annotations

import pytest

from sojourn.demo.timeline import Ran, bar, drawing, longest_wait, stretch


def job(name: str, user: str, created: float, started: float | None, finished: float | None) -> Ran:
    return Ran(name, user, None, "completed" if finished else "queued", created, started, finished)


OWN = [job(f"a{n}", "ada", 10.0 + n, 10.0 + n, 10.5 + n) for n in range(4)]
IDS = [one.id for one in OWN]


def test_a_job_between_two_iterations_is_found_and_counted_once() -> None:
    jobs = [*OWN, job("b1", "bob", 5.0, 10.6, 10.9), job("b2", "bob", 5.0, 12.6, 12.7)]
    found = stretch(jobs, IDS)
    assert [one.id for one in found.foreign] == ["b1", "b2"]
    assert found.gaps == 2


def test_jobs_before_the_first_and_after_the_last_iteration_are_not_between() -> None:
    jobs = [
        *OWN,
        job("b1", "bob", 5.0, 9.0, 10.0),
        job("b2", "bob", 5.0, 13.5, 14.0),
        job("b3", "bob", 5.0, None, None),
    ]
    assert stretch(jobs, IDS).foreign == ()


def test_a_job_that_is_still_running_counts() -> None:
    assert [one.id for one in stretch([*OWN, job("b", "bob", 5.0, 12.6, None)], IDS).foreign] == ["b"]


def test_times_are_medians_of_the_records() -> None:
    found = stretch(OWN, IDS)
    assert found.iteration == pytest.approx(1.0)
    assert found.waited == 0.0
    assert (found.begin, found.end) == (10.0, 13.5)


def test_one_job_is_nothing_to_compare() -> None:
    with pytest.raises(ValueError, match="only 1 of 1"):
        stretch(OWN, ["a0"])


def test_the_longest_wait_counts_those_who_wait_still() -> None:
    assert longest_wait([job("b1", "bob", 1.0, 4.0, 5.0)], 9.0) == 3.0
    assert longest_wait([job("b1", "bob", 1.0, 4.0, 5.0), job("b2", "bob", 2.0, None, None)], 9.0) == 7.0
    assert longest_wait([], 9.0) == 0.0


def test_no_job_disappears_from_the_picture() -> None:
    assert bar([job("a", "ada", 0.0, 5.0, 5.001)], 0.0, 10.0, 10).strip() != ""
    assert bar([job("a", "ada", 0.0, 0.0, 10.0)], 0.0, 10.0, 10) == "█" * 10
    assert bar([job("a", "ada", 0.0, 2.0, 4.0)], 0.0, 10.0, 10) == "  ██      "
    assert bar([], 1.0, 1.0, 3) == "   "


def test_every_line_of_the_drawing_fits() -> None:
    lines = drawing(stretch(OWN, IDS), OWN, ("ada", "bob"), 80)
    assert len(lines) == 3
    assert all(len(line) <= 80 for line in lines)
    assert lines[0].startswith("ada |")
