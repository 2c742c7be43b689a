"""What a test may ask to go wrong is checked where it is asked, and refused by name."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from sojourn.testing import faults
from sojourn.testing.durations import seconds

DEVICES = ("mock", "noisy")


@pytest.mark.parametrize(
    ("said", "meant"),
    [
        ("50ms", 0.05),
        ("0.5 ms", 0.0005),
        ("5min", 300.0),
        ("1h 30m", 5400.0),
        (0, 0.0),
        (2.5, 2.5),
        (timedelta(minutes=2), 120.0),
    ],
)
def test_a_duration_is_read_as_people_write_it(said: Any, meant: float) -> None:
    assert seconds(said, "it") == pytest.approx(meant)


@pytest.mark.parametrize("said", ["soon", "-1s", -1, True, None, float("inf"), float("nan"), "5 ms 5 ms", ""])
def test_what_is_no_duration_is_refused_by_name(said: Any) -> None:
    with pytest.raises(ValueError, match="ttl is "):
        seconds(said, "ttl")


def test_runs_are_words_or_tables_and_one_alone_is_a_list() -> None:
    assert faults.runs(["failed", None, {"status": "failed", "code": 8100, "reason": "warm"}], DEVICES) == [
        {"status": "failed"},
        {"status": "completed"},
        {"status": "failed", "code": 8100, "reason": "warm"},
    ]
    assert faults.runs("cancelled", DEVICES) == [{"status": "cancelled"}]
    assert faults.runs({"seconds": "1min", "device": "mock"}, DEVICES) == [
        {"status": "completed", "seconds": 60.0, "device": "mock"}
    ]


@pytest.mark.parametrize(
    ("wanted", "said"),
    [
        (["lost"], r"next_jobs\[0\]: status is 'lost'; it must be one of 'completed', 'failed'"),
        (["failed", {"state": "failed"}], r"next_jobs\[1\]: field is 'state'"),
        ([{"device": "ibm_torino"}], "device is 'ibm_torino'; it must be one of 'mock', 'noisy'"),
        ([{"seconds": "long"}], "seconds is 'long'"),
        ([{"status": "cancelled", "reason": "no"}], "reason is only for the status 'failed'"),
        ([{"status": "failed", "code": "1305"}], "code is '1305'; it must be a whole number"),
        ([{"status": "failed", "reason": 5}], "reason is 5; it must be a text"),
        ([5], "status is 5"),
        (["failed"] * 10_001, "10001 entries; at most 10000"),
    ],
)
def test_a_run_that_cannot_be_is_refused_by_name(wanted: Any, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        faults.runs(wanted, DEVICES)


def test_replies_are_statuses_cuts_or_tables() -> None:
    assert faults.replies([503, "cut", "cut_reply", {"status": 429, "times": 2, "retry_after": 1}]) == [
        {"status": 503},
        {"cut": "request"},
        {"cut": "reply"},
        {"status": 429, "retry_after": 1.0},
        {"status": 429, "retry_after": 1.0},
    ]
    assert faults.replies({"cut": "cut", "method": "POST", "path": "/jobs"}) == [
        {"cut": "request", "method": "POST", "path": "/jobs"}
    ]


@pytest.mark.parametrize(
    ("wanted", "said"),
    [
        ([200], r"http\[0\]: status is 200; it must be a whole number from 400 to 599"),
        ([True], "status is True"),
        (["slow"], "cut is 'slow'; it must be one of 'cut', 'cut_reply'"),
        ([{"status": 503, "cut": "cut"}], "either a status or a cut"),
        ([{}], "either a status or a cut"),
        ([{"status": 503, "url": "/jobs"}], "field is 'url'"),
        ([{"status": 503, "path": 5}], "path is 5; it must be a text"),
        ([{"status": 503, "times": 0}], "times is 0"),
        ([{"status": 503, "times": 10_000}, 503], "10001 entries"),
    ],
)
def test_a_reply_that_cannot_be_is_refused_by_name(wanted: Any, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        faults.replies(wanted)


def test_a_state_is_for_all_devices_or_for_some() -> None:
    assert faults.halts("offline", DEVICES) == {"mock": "maintain", "noisy": "maintain"}
    assert faults.halts({"noisy": "draining"}, DEVICES) == {"noisy": "drain"}
    assert faults.halts(None, DEVICES) == {}
    with pytest.raises(ValueError, match="device is 'fez'"):
        faults.halts({"fez": "paused"}, DEVICES)
    with pytest.raises(ValueError, match="device\\['mock'\\] is 'broken'; it must be one of 'offline'"):
        faults.halts({"mock": "broken"}, DEVICES)
