"""Times and durations as people write them."""

from __future__ import annotations

import pytest

from sojourn.service.errors import BadRequest
from sojourn.service.times import duration, instant

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
