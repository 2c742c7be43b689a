"""A job's log. The kind: every level, also one that does not exist, in every state of the job."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from sojourn.service.jobs import joblog
from sojourn.service.views import HistoryLine, JobView

AT = 1735787045.25
STORY = [
    HistoryLine(AT, "JobAccepted", None, "accepted"),
    HistoryLine(AT + 0.5, "JobPrepared", "accepted", "queued"),
    HistoryLine(AT + 1, "Tick", "queued", "running"),
    HistoryLine(AT + 2, "DeviceLost", "running", "queued", "The device was lost."),
    HistoryLine(AT + 3, "Tick", "queued", "running"),
    HistoryLine(AT + 4, "RunEnded", "running", "failed", "Too deep."),
]
WRITTEN = "WARNING one is ignored\nINFO simulated\nsaid by the program\n"


def job(**changes: Any) -> JobView:
    plain = JobView(
        id="j1",
        device="aer",
        user="ada",
        project="chem",
        program_id="sampler",
        state="failed",
        created=AT,
        limit=60.0,
        num_circuits=1,
        num_qubits=2,
        executions=10,
        estimated_seconds=0.25,
        quantum_seconds=1.5,
        warnings=("one is ignored",),
    )
    return replace(plain, **changes)


def log(level: str | None, **changes: Any) -> list[str]:
    return joblog.text(job(log_level=level, **changes), STORY, WRITTEN).splitlines()


def test_debug_tells_every_step_and_what_was_found() -> None:
    assert log("DEBUG") == [
        "2025-01-02T03:04:05.250000Z INFO accepted: job j1, program sampler, for aer",
        "2025-01-02T03:04:05.750000Z INFO queued",
        "2025-01-02T03:04:05.750000Z DEBUG prepared: 1 circuit, 2 qubits, 10 executions, 0.25 s of device "
        "time estimated",
        "2025-01-02T03:04:06.250000Z INFO running on aer",
        "2025-01-02T03:04:06.250000Z DEBUG limit: 60 s",
        "2025-01-02T03:04:07.250000Z INFO queued: The device was lost.",
        "2025-01-02T03:04:08.250000Z INFO running on aer",
        "2025-01-02T03:04:08.250000Z DEBUG limit: 60 s",
        "2025-01-02T03:04:09.250000Z INFO failed: Too deep.",
        "2025-01-02T03:04:09.250000Z DEBUG charged: 1.5 s",
        *WRITTEN.splitlines(),
    ]


def test_info_tells_the_steps_alone() -> None:
    lines = log("INFO")
    assert [line.split()[1] for line in lines[:6]] == ["INFO"] * 6
    assert lines[6:] == WRITTEN.splitlines()


@pytest.mark.parametrize("level", ["WARNING", None, "", "loud", "warning"])
def test_the_default_and_a_level_that_does_not_exist_tell_warnings(level: str | None) -> None:
    assert log(level) == ["WARNING one is ignored", "said by the program"]


@pytest.mark.parametrize("level", ["ERROR", "CRITICAL", "critical"])
def test_above_warning_there_are_none(level: str) -> None:
    assert log(level) == ["said by the program"]


@pytest.mark.parametrize("level", ["debug", "Debug", "DEBUG"])
def test_a_level_may_be_in_any_case_of_letters(level: str) -> None:
    """QRMI sends "debug"."""
    assert log(level) == log("DEBUG")


def test_a_warning_is_there_before_the_job_has_run_and_only_once() -> None:
    waiting = job(state="queued", log_level="WARNING")
    assert joblog.text(waiting, [], "") == "WARNING one is ignored\n"
    assert joblog.text(job(log_level="WARNING"), STORY, WRITTEN).count("one is ignored") == 1


def test_a_job_that_is_not_prepared_yet_has_no_facts() -> None:
    fresh = job(state="accepted", log_level="DEBUG", num_circuits=None, warnings=())
    assert joblog.text(fresh, STORY[:1], "").splitlines() == log("DEBUG")[:1]
