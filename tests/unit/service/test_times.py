"""Times and durations as people write them."""

from __future__ import annotations

from datetime import datetime

import pytest

from sojourn.api.http.replies import iso
from sojourn.service.errors import BadRequest
from sojourn.service.timing.times import duration, epoch, instant

NOW = 1_750_000_000.0


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("90", 90),
        ("90s", 90),
        ("45m", 2700),
        ("2h", 7200),
        ("1h 30m", 5400),
        ("1h30m", 5400),
        ("2 days", 172800),
        ("2 hrs., 30 min.", 9000),
    ],
)
def test_a_duration_reads_as_people_write_it(text: str, seconds: float) -> None:
    assert duration(text, "for") == seconds


@pytest.mark.parametrize(
    "text", ["", "soon", "1x", "0", "-5m", "1h 30", "99999999d", "nan", "1e3", "2ms", "3 months"]
)
def test_what_is_no_duration_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(BadRequest, match="for is"):
        duration(text, "for")


@pytest.mark.parametrize("text", ["1h1h", "1 h 2 hours", "5s 1m 5s"])
def test_a_unit_that_comes_twice_is_a_slip_and_not_a_sum(text: str) -> None:
    with pytest.raises(BadRequest, match="each unit once"):
        duration(text, "for")


@pytest.mark.parametrize(
    ("text", "at"),
    [
        ("now", NOW),
        ("+2h", NOW + 7200),
        ("in 30m", NOW + 1800),
        ("2025-06-15T15:06:40", NOW),
        ("2025-06-15T15:06:40Z", NOW),
        ("2025-06-15T17:06:40+02:00", NOW),
    ],
)
def test_an_instant_is_iso_8601_or_from_now_on(text: str, at: float) -> None:
    assert instant(text, NOW, "start") == at


@pytest.mark.parametrize(
    "text", ["", "tomorrow", "+", "in a while", "2025-13-01", "9999-12-31T00:00", "0001-01-01"]
)
def test_what_is_no_instant_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(BadRequest, match="start is"):
        instant(text, NOW, "start")


@pytest.mark.parametrize(
    "text", ["9999-12-31T23:59:59-14:00", "9999-12-31T23:59:59.999999", "0001-01-01T00:00:00+14:00"]
)
def test_an_instant_that_no_answer_could_name_in_utc_is_refused(text: str) -> None:
    with pytest.raises(BadRequest, match=r"start is .* years 1 to 9999 in UTC"):
        instant(text, NOW, "start")


def test_every_instant_of_the_years_1_to_9999_can_be_shown() -> None:
    for text in ("0001-01-01T00:00:00.000000Z", "2026-11-22T19:47:54.123000Z", "9999-12-31T23:59:59.500000Z"):
        assert iso(epoch(datetime.fromisoformat(text), "start")) == text
