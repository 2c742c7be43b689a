"""Who has signed in: for how long, over restarts too, and without a key in a file."""

from __future__ import annotations

import json
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from sojourn.dashboard.visitors import IDLE, LONGEST, MOST, NOTED, SWEPT, Visitors

KEY = "sjn_0123456789abcdefghijklmnop"


class Clock:
    now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "visits.json"


def entered(visitors: Visitors, key: str = KEY) -> str:
    return visitors.enter(key, "ann", "chem", False)


def test_a_visit_outlasts_the_process_with_the_same_rights(file: Path, clock: Clock) -> None:
    token = entered(Visitors(file=file, clock=clock))
    found = Visitors(file=file, clock=clock).of(token)
    assert found is not None
    assert (found.key, found.user, found.project, found.operator) == (KEY, "ann", "chem", False)


def test_a_visit_that_nobody_came_back_for_outlasts_two_restarts(file: Path, clock: Clock) -> None:
    first = entered(Visitors(file=file, clock=clock))
    second = entered(Visitors(file=file, clock=clock), "sjn_another")
    again = Visitors(file=file, clock=clock)
    found = [again.of(token) for token in (first, second)]
    assert [each.key for each in found if each is not None] == [KEY, "sjn_another"]


def test_the_file_has_neither_key_nor_token_and_is_for_its_owner_alone(file: Path, clock: Clock) -> None:
    visitors = Visitors(file=file, clock=clock)
    token = entered(visitors)
    clock.now += NOTED + 1
    assert visitors.of(token) is not None
    text = file.read_text("utf-8")
    assert KEY not in text
    assert KEY.encode().hex() not in text
    assert token not in text
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert [path.name for path in file.parent.iterdir()] == [file.name]


def test_a_visit_that_is_over_leaves_the_file_with_the_next_one(file: Path, clock: Clock) -> None:
    visitors = Visitors(file=file, clock=clock)
    entered(visitors)
    clock.now += IDLE + 1
    entered(visitors)
    assert len(json.loads(file.read_text("utf-8"))) == 1


def test_equal_keys_are_sealed_differently(file: Path, clock: Clock) -> None:
    visitors = Visitors(file=file, clock=clock)
    entered(visitors)
    entered(visitors)
    assert len({visit["sealed"] for visit in json.loads(file.read_text("utf-8")).values()}) == 2


def test_another_token_opens_nothing(file: Path, clock: Clock) -> None:
    entered(Visitors(file=file, clock=clock))
    again = Visitors(file=file, clock=clock)
    assert [again.of(token) for token in (None, "", "guess", next(iter(json.loads(file.read_text()))))] == [
        None
    ] * 4


def test_who_has_signed_out_stays_out(file: Path, clock: Clock) -> None:
    visitors = Visitors(file=file, clock=clock)
    token = entered(visitors)
    visitors.leave(token)
    assert visitors.of(token) is None
    assert Visitors(file=file, clock=clock).of(token) is None


@pytest.mark.parametrize("restart", [False, True])
def test_a_visit_ends_an_hour_after_its_last_use_and_twelve_after_its_begin(
    file: Path, clock: Clock, restart: bool
) -> None:
    visitors, begun = Visitors(file=file, clock=clock), clock.now
    idle, busy = entered(visitors), entered(visitors)
    while clock.now < begun + LONGEST - IDLE:
        clock.now += IDLE / 2
        assert visitors.of(busy) is not None
    clock.now = begun + LONGEST
    if restart:
        visitors.of(busy)
        visitors = Visitors(file=file, clock=clock)
    assert visitors.of(idle) is None
    clock.now = begun + LONGEST + 1
    assert visitors.of(busy) is None


@pytest.mark.parametrize("text", ["", "{", "[]", '{"a": 1}', '{"a": {"key": ""}}', '{"a": {"other": 1}}'])
def test_a_damaged_file_is_nobodys_visit(file: Path, clock: Clock, text: str) -> None:
    file.write_text(text, "utf-8")
    visitors = Visitors(file=file, clock=clock)
    token = entered(visitors)
    assert Visitors(file=file, clock=clock).of(token) is not None


def test_where_nothing_can_be_written_visits_are_as_long_as_the_process(tmp_path: Path, clock: Clock) -> None:
    visitors = Visitors(file=tmp_path / "missing" / "visits.json", clock=clock)
    assert visitors.of(entered(visitors)) is not None


class Pages:
    """Open pages, by name, and those that were told that their visit is over."""

    def __init__(self, visitors: Visitors) -> None:
        self._visitors = visitors
        self.gone: list[str] = []

    def open(self, token: str, name: str) -> Callable[[], None]:
        visitor = self._visitors.of(token)
        assert visitor is not None
        return visitor.opened(lambda: self.gone.append(name))


@pytest.fixture
def visitors(file: Path, clock: Clock) -> Visitors:
    return Visitors(file=file, clock=clock)


@pytest.fixture
def pages(visitors: Visitors) -> Pages:
    return Pages(visitors)


def test_all_open_pages_of_who_signs_out_are_told_and_no_others(visitors: Visitors, pages: Pages) -> None:
    token, other = entered(visitors), entered(visitors)  # two browsers with the same key
    pages.open(token, "first")
    pages.open(token, "second")
    pages.open(token, "closed")()
    pages.open(other, "other")
    visitors.leave(token)
    assert sorted(pages.gone) == ["first", "second"]
    visitors.leave(token)
    assert len(pages.gone) == 2


def test_pages_are_told_when_the_server_does_not_know_their_key_any_more(
    visitors: Visitors, pages: Pages
) -> None:
    tokens = [entered(visitors), entered(visitors), entered(visitors, "sjn_another")]
    for token, name in zip(tokens, ("first", "second", "other"), strict=True):
        pages.open(token, name)
    visitors.refused("sjn_a_guess")
    assert pages.gone == []
    visitors.refused(KEY)
    assert sorted(pages.gone) == ["first", "second"]
    assert [visitors.of(token) is None for token in tokens] == [True, True, False]


def test_pages_are_told_when_the_visit_has_lasted_for_twelve_hours(
    visitors: Visitors, pages: Pages, clock: Clock
) -> None:
    pages.open(entered(visitors), "page")
    clock.now += LONGEST
    visitors.sweep()
    assert pages.gone == []
    clock.now += 1
    visitors.sweep()
    assert pages.gone == ["page"]


@pytest.mark.parametrize("restart", [False, True])
def test_who_has_a_page_open_is_there_and_the_hour_begins_when_it_is_closed(
    file: Path, visitors: Visitors, pages: Pages, clock: Clock, restart: bool
) -> None:
    token = entered(visitors)
    close = pages.open(token, "page")
    for _ in range(3):
        clock.now += IDLE
        visitors.sweep()
    close()
    if restart:
        visitors = Visitors(file=file, clock=clock)
    clock.now += IDLE - SWEPT
    assert visitors.of(token) is not None
    clock.now += IDLE + 1
    visitors.sweep()
    assert visitors.of(token) is None
    assert pages.gone == []


def test_pages_are_told_when_their_visit_makes_room_for_others(clock: Clock) -> None:
    visitors = Visitors(clock=clock)
    pages = Pages(visitors)
    pages.open(entered(visitors), "page")
    for _ in range(MOST):
        clock.now += 0.001
        entered(visitors)
    assert pages.gone == ["page"]


def test_of_too_many_the_one_away_for_longest_signs_in_again(clock: Clock) -> None:
    visitors = Visitors(clock=clock)
    tokens = []
    for _ in range(MOST + 1):
        tokens.append(entered(visitors))
        clock.now += 0.001
    assert visitors.of(tokens[0]) is None
    assert visitors.of(tokens[1]) is not None


def test_the_link_signs_in_once() -> None:
    visitors = Visitors("secret", KEY)
    assert [visitors.redeem(link) for link in ("other", "secret", "secret")] == [None, KEY, None]
