"""The picture of a device: what is drawn of the past, of what goes on, and of what is expected."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from sojourn.dashboard.charts import colours, health, timeline
from sojourn.dashboard.charts.timeline import FARTHEST, GHOSTS, later, moved, options, until

NOW = datetime(2026, 11, 27, 14, 0, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
GHOST = 3


def at(minutes: float) -> str:
    return (NOW + minutes * MINUTE).isoformat()


def ms(minutes: float) -> float:
    return (NOW + minutes * MINUTE).timestamp() * 1000


def band(minutes: float) -> dict[str, str]:
    return {"expected": at(minutes), "earliest": at(minutes - 0.5), "latest": at(minutes + 2)}


def job(start: float | None, end: float, state: str = "queued", **more: Any) -> dict[str, Any]:
    queue = {
        "position": 0,
        "start": None if start is None else band(start),
        "end": band(end),
        "waits": [{"what": "jobs", "seconds": 60.0}],
        "unknown": None,
    }
    plain = {"id": "j1", "user": "ann", "project": "chem", "program": "sampler", "state": state}
    return {**plain, "queue": queue, **more}


def bar(start: float, end: float | None, **more: Any) -> dict[str, Any]:
    plain = {"kind": "job", "count": 1, "seconds": 60.0, "mine": True, "job": "j0", "session": None}
    whose = {"user": "ann", "project": "chem", "program": "sampler", "state": "running"}
    ends = None if end is None else at(end)
    return {**plain, **whose, "start": at(start), "end": ends, **more}


def data(*bars: Mapping[str, Any], end: float = 2.0) -> dict[str, Any]:
    nothing: list[Any] = []
    times = {"now": at(0), "start": at(-10), "end": at(end)}
    return {
        **times,
        "bars": list(bars),
        "sessions": nothing,
        "reservations": nothing,
        "calibrations": nothing,
    }


def drawn(made: Mapping[str, Any], look: int) -> list[Any]:
    return [each for each in made["series"][0]["data"] if each["value"][3] == look]


def test_waiting_jobs_are_hollow_bars_where_they_are_expected_and_say_who_when_and_why() -> None:
    (ghost,) = drawn(options(data(), [job(1, 3)]), GHOST)
    row, start, end, _, label, *_ = ghost["value"]
    assert (timeline.ROWS[row], start, end, label) == ("jobs", ms(1), ms(3), "ann")
    assert ghost["itemStyle"]["color"] == colours.of_project("chem")
    assert ghost["job"] == "j1"
    for told in ("sampler of ann in chem", "job: j1", "in 8 of 10 cases between", "Until then: jobs 1 min"):
        assert told in ghost["info"]


def test_a_running_job_goes_on_as_one_from_now() -> None:
    (ghost,) = drawn(options(data(bar(-3, None)), [job(None, 4, "running")]), GHOST)
    assert ghost["value"][1:3] == [ms(0), ms(4)]


def test_what_is_late_is_expected_now_and_what_is_not_known_is_not_drawn() -> None:
    late, over = job(-1, 2), job(-3, -2)
    unknown, none = job(1, 2), job(1, 2, queue=None)
    unknown["queue"] = {**unknown["queue"], "start": None, "end": None, "unknown": "paused"}
    (ghost,) = drawn(options(data(), [late, over, unknown, none]), GHOST)
    assert ghost["value"][1:3] == [ms(0), ms(2)]


def test_the_number_of_hollow_bars_is_bounded_and_the_earliest_are_drawn() -> None:
    jobs = [job(minute, minute + 1, id=f"j{minute}") for minute in reversed(range(1, 3 * GHOSTS))]
    found = drawn(options(data(), jobs), GHOST)
    assert [each["job"] for each in found] == [f"j{minute}" for minute in range(1, GHOSTS + 1)]
    far = FARTHEST / MINUTE
    assert drawn(options(data(), [job(far + 1, far + 2)]), GHOST) == []
    (last,) = drawn(options(data(), [job(far - 1, 2 * far)]), GHOST)
    assert last["value"][2] == ms(far)


def test_no_name_breaks_out_of_what_is_said_on_hover() -> None:
    (ghost,) = drawn(options(data(), [job(1, 2, user="<script>", project="<b>")]), GHOST)
    assert "<script>" not in ghost["info"]
    assert "<b>" not in ghost["info"]


def test_the_axis_holds_what_is_expected_as_far_as_half_of_it_stays_for_the_past() -> None:
    def end(*jobs: Mapping[str, Any]) -> float:
        return (until(jobs, NOW, 10 * MINUTE, 2 * MINUTE) - NOW) / MINUTE

    assert end() == 2
    assert end(job(0.5, 1)) == 2
    assert end(job(1, 5)) == pytest.approx(5, rel=0.1)
    assert end(job(1, 5), job(5, 400)) == pytest.approx(10, rel=0.1)


def test_the_axis_holds_the_first_that_is_expected_however_far() -> None:
    jobs = [job(100, 200), job(200, 900)]
    end = until(jobs, NOW, 10 * MINUTE, 2 * MINUTE)
    assert NOW + 200 * MINUTE < end < NOW + 300 * MINUTE
    assert (later(jobs, end), later(jobs, NOW + 150 * MINUTE)) == (0, 1)


def test_what_goes_on_and_the_line_of_now_move_on_without_a_look() -> None:
    found = data(bar(-5, -3), bar(-3, None))
    goes_on = [each["value"][6] for each in drawn(options(found), 0)]
    assert goes_on == [0, 1]
    after = moved(found, 30.0)
    assert after["xAxis"] == {"min": ms(-9.5), "max": ms(2.5)}
    (line,) = after["series"][0]["markLine"]["data"]
    assert (line["name"], line["xAxis"]) == ("now", ms(0.5))


def test_a_picture_that_is_not_moved_has_nothing_beyond_its_line_of_now() -> None:
    made = options(data(bar(-3, None)), [job(None, 4, "running")], follows=False)
    assert [each["value"][6] for each in made["series"][0]["data"]] == [0, 0]


def test_the_end_of_a_session_is_labelled_above_now_which_may_be_close() -> None:
    band: dict[str, Any] = {
        "user": "ann",
        "end": None,
        "ends": at(0.1),
        "project": "chem",
        "mode": "dedicated",
        "steps": [],
    }
    found = data() | {"sessions": [{**band, "state": "active", "id": "s1"}]}
    lines = {
        each["name"]: each["label"]["offset"] for each in moved(found, 0.0)["series"][0]["markLine"]["data"]
    }
    assert lines["max_time of ann"][1] <= lines["now"][1] - 12


def test_the_text_in_a_bar_can_be_read_on_its_colour() -> None:
    for name in ("chem", "bio", "spies", "opt", "qml", "ml", "a", "b", "c", None):
        (made,) = drawn(options(data(bar(-5, -3, project=name))), 0)
        assert made["value"][5] == colours.text_on(colours.of_project(name))
    (system,) = drawn(options(data(bar(-5, -3, kind="system"))), 0)
    assert system["value"][5] == colours.text_on(colours.SYSTEM)


def test_the_number_of_a_qubit_can_be_read_on_its_shade() -> None:
    qubits = [[{"name": "readout_error", "value": 0.01 * number}] for number in range(5)]
    (series,) = health.coupling_map({"qubits": qubits}, 6, [(0, 1)])["series"]
    for node in series["data"]:
        assert node["label"]["color"] == colours.text_on(node["itemStyle"]["color"])
    assert {node["itemStyle"]["color"] for node in series["data"]} == {*health.SHADES, health.UNKNOWN}
