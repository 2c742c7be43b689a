"""The tour leaves no rule out. That it happens as it is written is `tests/acceptance/test_tour.py`."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.unit.core.test_every_rule import RULES

PAGE = Path(__file__).parents[3] / "docs" / "tour.md"


def named() -> set[str]:
    return set(re.findall(r"\bR\d+a?\b", PAGE.read_text(encoding="utf-8")))


@pytest.mark.parametrize("rule", [rule.replace("r", "R") for rule in RULES])
def test_every_rule_is_on_the_tour(rule: str) -> None:
    assert rule in named(), f"{rule} is not in docs/tour.md: show it, or say where it is proved"


def test_the_tour_names_no_rule_that_does_not_exist() -> None:
    assert named() <= {rule.replace("r", "R") for rule in RULES}
