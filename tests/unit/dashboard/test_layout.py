"""Where qubits are drawn, and in which colours."""

from __future__ import annotations

import math

import pytest

from sojourn.dashboard.charts import colours, health
from sojourn.dashboard.charts.layout import places

GRID = [(r * 6 + c, r * 6 + c + 1) for r in range(4) for c in range(5)] + [(q, q + 6) for q in range(18)]
"""Six columns and four rows."""


def apart(found: list[tuple[float, float]], low: int, high: int) -> float:
    return math.dist(found[low], found[high])


def test_neighbours_of_the_map_are_neighbours_on_paper_and_others_are_not() -> None:
    found = places(24, GRID)
    near = [apart(found, *pair) for pair in GRID]
    assert 0.6 < min(near) <= max(near) < 1.6
    others = [apart(found, a, b) for a in range(24) for b in range(a) if (b, a) not in GRID]
    assert min(others) > max(near) * 0.8


def test_the_map_lies_on_its_long_side_with_the_first_qubit_at_the_upper_left() -> None:
    found = places(24, GRID)
    wide, high = (max(p[axis] for p in found) - min(p[axis] for p in found) for axis in (0, 1))
    assert wide > high
    assert found[0][0] < found[23][0]
    assert found[0][1] < found[23][1]


def test_the_same_map_is_drawn_the_same() -> None:
    assert places(24, GRID) == places(24, GRID)


@pytest.mark.parametrize("count", [0, 1, 2, 5])
def test_qubits_without_pairs_have_places_of_their_own(count: int) -> None:
    assert len(set(places(count, []))) == count


def test_the_coupling_map_has_a_place_for_each_qubit() -> None:
    nodes = health.coupling_map({}, 24, GRID)["series"][0]["data"]
    assert len({(node["x"], node["y"]) for node in nodes}) == 24


def test_names_of_one_picture_have_different_colours_while_there_are_some() -> None:
    names = [f"user {number}" for number in range(len(colours.OF_PROJECTS))]
    found = colours.of_each([*names, "system"])
    assert len({found[name] for name in names}) == len(names)
    assert found["system"] == colours.SYSTEM
    assert len(colours.of_each(f"user {number}" for number in range(50))) == 50


def test_the_first_of_two_names_with_one_colour_keeps_it() -> None:
    assert colours.of_each(["spins", "d55"])["spins"] == colours.of_project("spins")
