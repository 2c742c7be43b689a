"""Tables are readable in 80 columns and say the same as the JSON."""

from __future__ import annotations

import json
import re
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from sojourn.cli import output
from sojourn.cli.commands import devices, jobs

NOW = datetime(2026, 11, 22, 12, 0, 0, tzinfo=UTC)

JOB: dict[str, Any] = {
    "id": "j0123456789abcdefghi",
    "state": "running",
    "device": "ibm_torino",
    "user": "ada",
    "session": "s0123456789abcdefghi",
    "created": "2026-11-22T11:58:00.000Z",
    "started": "2026-11-22T11:59:30.500Z",
    "finished": None,
}


def terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """Standard output is one, of 80 columns and without colours."""
    monkeypatch.setenv("TERM", "dumb")
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (None, None),
        (-1, "0ms"),
        (0.0854, "85ms"),
        (0.9994, "999ms"),
        (0.9999, "1.0s"),
        (9.94, "9.9s"),
        (9.96, "10s"),
        (59.6, "1m 00s"),
        (185, "3m 05s"),
        (3599.7, "1h 00m"),
        (7500, "2h 05m"),
        (10_000, "2h 46m 40s"),
        (3601, "1h 00m 01s"),
        (86399.6, "1d 00h"),
        (86400 * 3 + 3600 * 4, "3d 04h"),
        (86400 * 3 + 60, "3d 00h 01m"),
        (100_001, "1d 03h 46m 41s"),
    ],
)
def test_a_duration_is_exact_to_the_second_without_a_wrong_carry(
    seconds: float | None, text: str | None
) -> None:
    assert output.duration(seconds) == text


def test_an_age_is_as_exact_as_an_age_can_be() -> None:
    for created, text in (
        ("2026-11-22T11:59:57.700Z", "2.3s"),
        ("2026-11-22T11:56:55Z", "3m 05s"),
        ("2026-11-22T09:13:20Z", "2h 46m"),
        ("2026-11-19T08:00:00Z", "3d 04h"),
    ):
        assert output.age(created, NOW) == text
    assert jobs.job_row(JOB | {"created": "2026-11-22T09:13:20Z"}, NOW)[-3:] == [
        "2h 46m",
        "2h 46m 10s",
        "30s",
    ]


def test_the_calendar_shows_seconds_when_there_are_any() -> None:
    shown = [output.day(f"2026-11-22T14:00:{second}Z") for second in ("00", "30", "30.250000")]
    assert shown == ["11-22 14:00", "11-22 14:00:30", "11-22 14:00:30"]


def test_a_running_job_waited_until_its_start_and_runs_until_now() -> None:
    assert jobs.job_row(JOB, NOW)[-3:] == ["2m 00s", "1m 30s", "30s"]


def test_a_job_that_never_started_waited_until_its_end() -> None:
    job = JOB | {"state": "cancelled", "started": None, "finished": "2026-11-22T11:58:10.000Z"}
    assert jobs.job_row(job, NOW)[-2:] == ["10s", None]


def test_the_table_of_jobs_fits_80_columns(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    terminal(monkeypatch)
    output.table(jobs.COLUMNS, [jobs.job_row(JOB, NOW)], empty="none")
    lines = capsys.readouterr().out.splitlines()
    assert all(len(line) <= 80 for line in lines)
    assert JOB["id"] in lines[1]
    assert "running" in lines[1]
    assert "ibm_torino" in lines[1]


def test_what_is_too_wide_loses_text_and_never_numbers(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    terminal(monkeypatch)
    job = JOB | {"user": "a-very-long-name-of-a-user", "created": "2026-11-22T11:49:50.000Z"}
    output.table(jobs.COLUMNS, [jobs.job_row(job, NOW)], empty="none")
    _, line = capsys.readouterr().out.splitlines()
    assert len(line) <= 80
    assert line.endswith("10m 10s  9m 40s  30s")
    assert "a-very" in line
    assert JOB["id"] in line


def test_an_empty_list_says_so_beside_the_pipe(capsys: pytest.CaptureFixture[str]) -> None:
    output.table(("a",), [], empty="no jobs")
    captured = capsys.readouterr()
    assert (captured.out, captured.err) == ("", "no jobs\n")


@pytest.mark.parametrize("columns", [None, "20", "80", "1000"])
def test_a_table_in_a_pipe_is_whole(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, columns: str | None
) -> None:
    if columns is None:
        monkeypatch.delenv("COLUMNS", raising=False)
    else:
        monkeypatch.setenv("COLUMNS", columns)
    job = JOB | {"user": "a-very-long-name-of-a-user-" * 5, "device": "d" * 64}
    output.table(jobs.COLUMNS, [jobs.job_row(job, NOW)], empty="none")
    _, line = capsys.readouterr().out.splitlines()
    assert job["user"] in line
    assert job["device"] in line
    assert "…" not in line.replace(f"…{JOB['session'][-7:]}", "")
    assert line.endswith("2m 00s  1m 30s  30s")


EVIL = "a\x1b[31mb\x1b]0;title\x07\x9b2J\r\nc\u202ed\u2028\ud800\x7f\t"
SHOWN = r"a\x1b[31mb\x1b]0;title\x07\x9b2J\r\nc\u202ed\u2028\ud800\x7f\t"


def test_no_text_of_a_users_steers_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    output.line(EVIL)
    output.note(EVIL)
    output.facts([("tags", EVIL)])
    output.table(("job", "message", "n>"), [[EVIL, EVIL, 1]], empty="none")
    out, err = capsys.readouterr()
    line, fact, _, row = out.splitlines()
    assert (line, fact, row.split()) == (SHOWN, f"tags  {SHOWN}", [SHOWN, SHOWN, "1"])
    assert err == f"{SHOWN}\n"


def test_json_in_a_terminal_steers_it_as_little_and_says_the_same(capsys: pytest.CaptureFixture[str]) -> None:
    value = {"tags": [EVIL, "grün 量子 \xa0"], EVIL: 1}
    output.as_json(value)
    out = capsys.readouterr().out
    assert all(text.isprintable() or "\xa0" in text for text in out.splitlines())
    assert "grün 量子 \xa0" in out
    assert json.loads(out) == value


def test_letters_of_all_languages_are_shown_as_they_are() -> None:
    for text in ("grün", "量子", "a\xa0b", "→ …", "🙂"):
        assert output.visible(text) == text


def test_only_output_prints_what_users_wrote() -> None:
    """The others write for programs: a shell's lines, a journal, CSV; or the version. `watch` styles
    what `output.visible` returns."""
    folder = Path(output.__file__).parent
    printing = re.compile(r"\bprint\(|typer\.s?echo\(|sys\.std(out|err)\b.*\b(write|buffer)|csv\.writer")
    found = {p.name for p in folder.rglob("*.py") if printing.search(p.read_text(encoding="utf-8"))}
    assert found == {"output.py", "env.py", "main.py", "journal.py", "usage.py", "watch.py"}


def in_seconds(seconds: float) -> str:
    return (NOW + timedelta(seconds=seconds)).isoformat()


def span(*seconds: float | None) -> dict[str, str | None]:
    names = ("expected", "earliest", "latest")
    return {name: None if s is None else in_seconds(s) for name, s in zip(names, seconds, strict=True)}


def queue(**changes: Any) -> dict[str, Any]:
    plain = {
        "as_of": in_seconds(0),
        "position": 2,
        "start": span(125.0, 60.0, 400.0),
        "end": span(135.0, 70.0, None),
        "waits": [{"what": "jobs", "seconds": 120.0}, {"what": "session holds", "seconds": 5.0}],
        "unknown": None,
    }
    return plain | changes


def test_a_time_ahead_is_said_by_its_two_largest_units() -> None:
    assert output.until(in_seconds(125), NOW) == "in 2m 05s"
    assert output.until(in_seconds(3 * 3600 + 61), NOW) == "in 3h 01m"
    assert output.until(in_seconds(-3), NOW) == "now"
    assert output.until(None, NOW) is None


def test_a_band_is_said_in_one_line() -> None:
    assert output.span(span(125.0, 60.0, 400.0), NOW) == "in 2m 05s (80 %: in 1m 00s to in 6m 40s)"
    assert output.span(span(125.0, 0.0, None), NOW) == "in 2m 05s (80 %: now to perhaps never)"
    assert output.span(None, NOW) is None


def test_a_list_says_when_those_that_wait_start_and_only_then() -> None:
    waiting = JOB | {"state": "queued", "started": None, "queue": queue()}
    paused = waiting | {"queue": queue(start=None, end=None, unknown="the device is paused by olga")}
    assert [jobs.starts(job, NOW) for job in (JOB, waiting, paused)] == [None, "in 2m 05s", "?"]
    plain = jobs._page({"jobs": [JOB], "count": 1})
    shown = jobs._page({"jobs": [waiting, JOB], "count": 2})
    assert plain.columns == jobs.COLUMNS
    assert shown.columns == (*jobs.COLUMNS, "starts>")
    assert shown.rows[1][-1] is None


def test_an_offer_is_a_row_and_a_refusal_a_line() -> None:
    taken = {
        "device": "lab",
        "refused": None,
        "limit_seconds": 600.0,
        "device_seconds": {"expected": 30.0, "least": 20.0, "most": 40.0},
        "allocation_left": None,
        "queue": queue(),
    }
    paused = taken | {"device": "old", "queue": queue(start=None, end=None, unknown="it is paused by olga")}
    refused = taken | {"device": "new", "refused": "it is being drained", "queue": None}
    page = devices._offers({"offers": [taken, paused, refused]})
    assert [len(row) for row in page.rows] == [len(page.columns)] * 3
    assert devices.offer_row(taken, NOW) == [
        "lab",
        2,
        "in 2m 05s",
        "in 1m 00s",
        "in 6m 40s",
        "in 2m 15s",
        "30s",
        "10m 00s",
    ]
    assert page.lines == [
        "old: when it starts is not known: it is paused by olga",
        "new would refuse it: it is being drained",
    ]
