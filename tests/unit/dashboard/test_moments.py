"""Times on pages: what stands there before the browser writes it, and that nothing breaks out of it."""

from __future__ import annotations

import re
import shutil
import subprocess
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from sojourn.dashboard import forecasts, moments
from sojourn.dashboard.moments import Html, html, lasting, left, moment, when


def span(start: str, earliest: str, latest: str | None) -> dict[str, Any]:
    return {"expected": start, "earliest": earliest, "latest": latest}


def plain(text: str) -> str:
    return re.sub(r"<[^>]*>", "", text)


QUEUE = {
    "as_of": "2026-11-27T13:00:00+00:00",
    "position": 2,
    "start": span("2026-11-27T14:05:00+00:00", "2026-11-27T14:01:00+00:00", "2026-11-27T14:22:00+00:00"),
    "end": span("2026-11-27T14:06:00+00:00", "2026-11-27T14:02:00+00:00", None),
    "waits": [{"what": "jobs", "seconds": 3840.0}, {"what": "session holds", "seconds": 60.0}],
    "unknown": None,
}


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(3.21, "3.21 s"), (59.0, "59 s"), (250, "4 min 10 s"), (7500, "2 h 5 min"), (273_600, "3 d 4 h")],
)
def test_durations_have_their_two_largest_units(seconds: float, text: str) -> None:
    assert lasting(seconds) == text


def test_a_time_says_utc_on_hover_and_until_the_browser_writes_it_in_the_viewers_zone() -> None:
    found = moment("2026-11-27T15:05:10+01:00")
    assert 'title="2026-11-27 14:05:10 UTC"' in found
    assert 'datetime="2026-11-27T14:05:10.000+00:00"' in found
    assert plain(found) == "2026-11-27 14:05 UTC"


def test_what_is_near_is_said_relative_to_now() -> None:
    now = datetime.now(UTC)
    assert plain(when((now - timedelta(hours=2, minutes=5, seconds=1)).isoformat())) == "2 h 5 min ago"
    assert plain(when((now + timedelta(hours=2, minutes=5, seconds=30)).isoformat())) == "in 2 h 5 min"
    assert plain(when(None)) == "never"
    assert plain(moment((now - timedelta(seconds=9)).isoformat(), "in")) == "now"
    assert plain(left(7530.0)).startswith("2 h 5 min")


def test_only_what_is_html_already_stays_as_it_is() -> None:
    assert html("<b>") == "&lt;b&gt;"
    assert html(Html("<b>")) == "<b>"
    assert [html(None), html(3)] == ["", "3"]


def test_the_script_that_writes_times_is_javascript(tmp_path: Any) -> None:
    node = shutil.which("node")
    if node is None:
        pytest.skip("needs node")
    file = tmp_path / "times.js"
    file.write_text(moments.script().removeprefix("<script>").removesuffix("</script>"), "utf-8")
    subprocess.run([node, "--check", str(file)], check=True)


def test_a_forecast_has_the_expected_time_and_its_band() -> None:
    job = {"state": "queued", "queue": QUEUE}
    assert forecasts.waiting([job])
    assert plain(forecasts.short(job)) == (
        "2026-11-27 14:05 UTC (2026-11-27 14:01 UTC to 2026-11-27 14:22 UTC)"
    )
    found = {name: plain(text) for name, text in forecasts.lines(QUEUE).items() if text is not None}
    assert re.fullmatch(
        r"2026-11-27 14:05 UTC, .*; in 8 of 10 cases between 2026-11-27 14:01 UTC and 2026-11-27 14:22 UTC",
        found["Expected start"],
    )
    assert found["Until then"] == "jobs 1 h 4 min, session holds 1 min 0 s"
    assert found["Expected end"].endswith("and perhaps never")


def test_a_forecast_that_is_not_known_says_why_and_one_that_is_not_there_nothing() -> None:
    unknown = {**QUEUE, "start": None, "end": None, "waits": [], "unknown": "<the device is paused>"}
    job = {"state": "queued", "queue": unknown}
    assert forecasts.short(job) == "not known: &lt;the device is paused&gt;"
    assert forecasts.lines(unknown) == {"Expected start": "not known: &lt;the device is paused&gt;"}
    assert forecasts.lines(None) == {}
    for other in ({"state": "queued", "queue": None}, {"state": "running", "queue": QUEUE}):
        assert forecasts.short(other) == ""
        assert not forecasts.waiting([other])
