"""What connections hold is bounded in all: beyond it the one goes that has held something for longest."""

from __future__ import annotations

from sojourn.api.http.bounds import Holdings


def test_nobody_goes_below_the_bound() -> None:
    held: Holdings[str] = Holdings(10)
    assert [held.hold(name, 5) for name in "ab"] == [None, None]
    assert held.total == 10


def test_beyond_the_bound_the_oldest_goes_however_little_it_holds() -> None:
    held: Holdings[str] = Holdings(10)
    held.hold("a", 1)
    held.hold("b", 9)
    assert held.hold("c", 1) == "a"
    assert held.hold("a", 0) is None
    assert held.total == 10


def test_who_lets_go_and_comes_again_is_the_youngest() -> None:
    held: Holdings[str] = Holdings(10)
    for name, size in (("a", 5), ("b", 5), ("a", 0), ("a", 5)):
        assert held.hold(name, size) is None
    assert held.hold("c", 5) == "b"


def test_what_grows_keeps_its_age() -> None:
    held: Holdings[str] = Holdings(10)
    held.hold("a", 1)
    held.hold("b", 1)
    assert held.hold("a", 10) == "a"
    assert held.total == 11


def test_who_holds_nothing_can_go_twice() -> None:
    held: Holdings[str] = Holdings(10)
    assert held.hold("a", 0) is None
    assert held.total == 0
