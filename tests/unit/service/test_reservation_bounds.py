"""What a project's admin may reserve without an operator: each bound to the second, over all devices."""

from __future__ import annotations

import re
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sojourn.config import ReservationSettings
from sojourn.service.reservations.bounds import Span, most_at_once, most_within, objection

NOW = 1_750_000_000.0
HOUR = 3600.0
DAY = 24 * HOUR
NONE = ReservationSettings(longest=0, notice=0, horizon=0, allowance=0, devices=0)


def span(device: str, start: float, length: float) -> Span:
    return Span(device, NOW + start, NOW + start + length)


def why(bounds: ReservationSettings, wanted: Span, *held: Span, devices: int = 4) -> str | None:
    return objection(bounds, wanted, NOW, held=[("Project lab", held)], devices=devices)


def test_what_ends_before_it_begins_is_left_to_the_core() -> None:
    bounds = ReservationSettings(notice=0, period=HOUR)
    for length in (0.0, -1.0, -DAY):
        assert why(bounds, span("a", 2 * DAY, length), span("a", 0, HOUR)) is None


@pytest.mark.parametrize(
    ("bounds", "good", "bad", "said"),
    [
        ({"longest": HOUR}, (0, HOUR), (0, HOUR + 1), r"3601 s long.*3600 s \(reservations.longest\)"),
        ({"notice": HOUR}, (HOUR, HOUR), (HOUR - 1, HOUR), r"3600 s ahead \(reservations.notice\)"),
        ({"horizon": DAY}, (0, DAY), (1, DAY), r"86400 s ahead \(reservations.horizon\)"),
    ],
)
def test_each_bound_of_one_reservation_holds_to_the_second_and_says_the_limit(
    bounds: dict[str, Any], good: tuple[float, float], bad: tuple[float, float], said: str
) -> None:
    settings = NONE.model_copy(update=bounds)
    assert why(settings, span("a", *good)) is None
    assert why(NONE, span("a", *bad)) is None
    refusal = why(settings, span("a", *bad)) or ""
    assert re.search(said, refusal)
    assert refusal.endswith("An operator can make it.")


def test_a_start_as_far_ahead_as_the_notice_is_not_refused_for_the_time_that_the_request_took() -> None:
    settings = NONE.model_copy(update={"notice": HOUR})
    assert why(settings, span("a", HOUR - 0.1, HOUR)) is None


def test_the_part_of_the_devices_is_rounded_down_and_at_least_one() -> None:
    half = NONE.model_copy(update={"devices": 0.5})
    first, second = span("a", 0, HOUR), span("b", HOUR / 2, HOUR)
    assert why(half, second, first, devices=4) is None
    assert "2 devices reserved at the same time; without an operator that is at most 1 of 3" in (
        why(half, second, first, devices=3) or ""
    )
    assert why(half, first, devices=1) is None
    assert why(half, span("b", HOUR, HOUR), first, devices=2) is None  # one after the other


def test_the_allowance_counts_in_every_period_of_its_length_and_not_by_the_calendar() -> None:
    week = NONE.model_copy(update={"allowance": 10 * HOUR, "period": 7 * DAY})
    held = (span("a", 0, 4 * HOUR), span("b", 6 * DAY, 4 * HOUR))
    assert why(week, span("c", 3 * DAY, 2 * HOUR), *held) is None
    assert "36001 s reserved" in (why(week, span("c", 3 * DAY, 2 * HOUR + 1), *held) or "")
    # a week after the start of the first, a second of it has left the period for each second
    assert why(week, span("c", 7 * DAY - HOUR, 6 * HOUR), *held) is None


def test_what_counts_for_a_person_counts_beside_what_counts_for_the_project() -> None:
    half = NONE.model_copy(update={"devices": 0.5})
    held = [("Project lab", []), ("User ada", [span("a", 0, HOUR)])]
    refusal = objection(half, span("b", 0, HOUR), NOW, held=held, devices=2)
    assert (refusal or "").startswith("User ada would have 2 devices")


spans = st.lists(
    st.builds(
        lambda device, start, length: span(device, float(start), float(length)),
        st.sampled_from("abc"),
        st.integers(0, 40),
        st.integers(1, 12),
    ),
    min_size=1,
    max_size=8,
)


@given(spans, st.integers(1, 20))
def test_the_most_in_any_period_is_that_of_trying_all(found: list[Span], period: int) -> None:
    """Against a count by seconds; spans may overlap here, as those of different devices do."""
    about = found[0]

    def sum_in(begin: float) -> float:
        return sum(max(0.0, min(s.end, begin + period) - max(s.start, begin)) for s in found)

    begins = [about.start - period + k for k in range(int(about.seconds) + 2 * period + 1)]
    tried = max(sum_in(b) for b in begins if about.start - period <= b <= about.end)
    assert most_within(found, about, float(period)) == tried


@given(spans)
def test_the_most_at_once_is_that_of_every_moment(found: list[Span]) -> None:
    about = found[0]
    moments = sorted({about.start, about.end, *(s.start for s in found)})
    tried = max(
        sum(s.start <= at < s.end for s in found)
        for at, _ in pairwise(moments)
        if about.start <= at < about.end
    )
    assert most_at_once(found, about) == tried
