"""Every rule of docs/policy.md has a test that is named after it."""

from __future__ import annotations

import re
from pathlib import Path

TESTS = Path(__file__).parents[2]
RULES = [*(f"r{n}" for n in range(1, 57)), "r38a"]
DECISIONS = ["d1", "d2", "d7", *(f"d{n}" for n in range(11, 17)), "d22", "d23"]
"""Those that are not part of a rule's own sentence."""


def named() -> set[str]:
    found: set[str] = set()
    for file in TESTS.rglob("test_*.py"):
        for name in re.findall(r"^ *(?:async )?def test_((?:[rd]\d+a?_)+)", file.read_text(), re.MULTILINE):
            found.update(name.strip("_").split("_"))
    return found


def test_every_rule_has_a_test_that_begins_with_its_number() -> None:
    missing = [rule for rule in RULES if rule not in named()]
    assert not missing, f"no test under tests/ is named test_NN_… for {', '.join(missing)}"


def test_every_decision_beyond_the_rules_has_one_too() -> None:
    missing = [decision for decision in DECISIONS if decision not in named()]
    assert not missing, f"no test under tests/ is named test_NN_… for {', '.join(missing)}"
