"""A week of reservations: where each is drawn, and which time a place on the picture means."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from sojourn.dashboard.charts import colours
from sojourn.dashboard.charts.week import CHOICE, COLUMN, DAY, HOUR, LEFT, TOP, Week, picture

BERLIN = ZoneInfo("Europe/Berlin")
MONDAY = date(2026, 11, 23)


def at(text: str) -> datetime:
    return datetime.fromisoformat(text)


def reservation(start: str, end: str, **more: Any) -> dict[str, Any]:
    return {"id": "r1", "project": "chem", "mode": "dedicated", "start": start, "end": end} | more


def test_a_week_begins_on_the_monday_of_the_viewers_zone() -> None:
    late = at("2026-11-22T23:30:00+00:00")
    assert Week.of(late, UTC).monday == MONDAY - timedelta(weeks=1)
    assert Week.of(late, BERLIN).monday == MONDAY
    assert Week(MONDAY, UTC).moved(-2).monday == date(2026, 11, 9)


def test_a_place_is_a_time_of_the_viewers_clock() -> None:
    assert Week(MONDAY, BERLIN).instant(4, 14 * 60 + 15) == at("2026-11-27T14:15:00+01:00")
    assert Week(MONDAY, BERLIN).instant(6, DAY) == at("2026-11-30T00:00:00+01:00")


def test_what_passes_midnight_is_in_two_columns_and_what_is_outside_in_none() -> None:
    week = Week(MONDAY, BERLIN)
    night = week.pieces(at("2026-11-24T22:00:00+00:00"), at("2026-11-25T05:30:00+00:00"))
    assert list(night) == [(1, 23 * 60, DAY), (2, 0, 6 * 60 + 30)]
    before = week.pieces(at("2026-11-22T12:00:00+00:00"), at("2026-11-22T23:00:00+00:00"))
    assert list(before) == []
    over = week.pieces(at("2026-11-01T00:00:00+00:00"), at("2026-12-31T00:00:00+00:00"))
    assert list(over) == [(day, 0, DAY) for day in range(7)]


@pytest.mark.parametrize(("sunday", "hours"), [(date(2026, 3, 29), 23), (date(2026, 10, 25), 25)])
def test_when_the_clocks_change_times_are_those_of_the_clock(sunday: date, hours: int) -> None:
    week = Week(sunday - timedelta(days=6), BERLIN)
    whole = week.instant(6, DAY).astimezone(UTC) - week.instant(6, 0).astimezone(UTC)
    assert whole == timedelta(hours=hours)
    start = week.instant(6, 12 * 60).astimezone(UTC)
    assert list(week.pieces(start, start + timedelta(hours=2))) == [(6, 12 * 60, 14 * 60)]


def test_a_reservation_is_drawn_where_its_time_is_with_its_project_in_words() -> None:
    found = picture(
        Week(MONDAY, UTC),
        "lab",
        [reservation("2026-11-27T14:00:00+00:00", "2026-11-27T16:00:00+00:00")],
        at("2026-11-25T09:00:00+00:00"),
    )
    (drawn,) = ET.fromstring(found).findall("g")
    rect, texts = drawn.find("rect"), [each.text for each in drawn.findall("text")]
    assert rect is not None
    assert float(rect.attrib["x"]) == LEFT + 4 * COLUMN + 3
    assert float(rect.attrib["y"]) == TOP + 14 * HOUR
    assert float(rect.attrib["height"]) == 2 * HOUR - 1
    assert texts == ["chem", "14:00 to 16:00"]
    assert drawn.findtext("title") == "chem, dedicated, 2026-11-27 14:00 to 2026-11-27 16:00 UTC"


def test_names_cannot_break_out_of_the_picture() -> None:
    wicked = reservation(
        "2026-11-27T14:00:00+00:00", "2026-11-27T16:00:00+00:00", project='"><script>', id='"><b>'
    )
    found = picture(Week(MONDAY, UTC), '"><script>', [wicked], at("2026-11-25T09:00:00+00:00"))
    assert {each.tag for each in ET.fromstring(found).iter()} == {"svg", "g", "rect", "text", "title", "line"}
    ET.fromstring(CHOICE)


def test_the_text_on_every_projects_colour_can_be_read() -> None:
    """WCAG AA: a contrast of 4.5."""

    def light(colour: str) -> float:
        parts = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
        linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
        return sum(weight * part for weight, part in zip((0.2126, 0.7152, 0.0722), linear, strict=True))

    for ground in (*colours.OF_PROJECTS, colours.BUSY, colours.SYSTEM):
        low, high = sorted((light(ground), light(colours.text_on(ground))))
        assert (high + 0.05) / (low + 0.05) >= 4.5, ground
