"""The policy page is complete, and what on it follows from the code is what the code says."""

from __future__ import annotations

import importlib.util
import re
from dataclasses import fields
from pathlib import Path
from types import ModuleType

import pytest

from sojourn.core import PROFILES, JobState, Profile
from sojourn.core import transitions as tables

ROOT = Path(__file__).parents[3]
DOCS = ROOT / "docs"
RULES = [f"R{n}" for n in range(1, 57)] + ["R38a"] + [f"D{n}" for n in range(1, 25)]


@pytest.fixture(scope="module")
def drawing() -> ModuleType:
    spec = importlib.util.spec_from_file_location("generate", DOCS / "diagrams" / "generate.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def page() -> str:
    return (DOCS / "policy.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("rule", RULES)
def test_every_rule_is_on_the_page(page: str, rule: str) -> None:
    assert re.search(rf"\b{rule}\b", page), f"{rule} is not in docs/policy.md"


def test_no_rule_is_named_that_does_not_exist(page: str) -> None:
    assert set(re.findall(r"\b[RD]\d+a?\b", page)) <= set(RULES)


def test_the_diagrams_and_the_table_of_profiles_are_those_of_the_code(drawing: ModuleType, page: str) -> None:
    again = "run `python docs/diagrams/generate.py`"
    assert drawing.filled(page) == page, f"docs/policy.md is not what the code says: {again}"
    for name, text in drawing.pictures().items():
        assert (DOCS / "diagrams" / name).read_text(encoding="utf-8") == text, f"{name}: {again}"
        assert f"diagrams/{name}" in page


def test_a_step_that_nobody_explained_is_noticed(drawing: ModuleType) -> None:
    table = {**tables.JOB, JobState.QUEUED: tables.JOB[JobState.QUEUED] | {JobState.ACCEPTED}}
    with pytest.raises(KeyError):
        drawing.steps_of(table, drawing.JOB_STEPS)
    with pytest.raises(KeyError, match="not in the table"):
        drawing.steps_of({}, drawing.JOB_STEPS)


@pytest.mark.parametrize("field", [f.name for f in fields(Profile) if f.name != "name"])
def test_every_number_and_switch_of_a_profile_is_documented(page: str, field: str) -> None:
    configuration = (DOCS / "configuration.md").read_text(encoding="utf-8")
    assert f"| `{field}` |" in page
    assert f"| `{field}` |" in configuration


def test_every_profile_is_named(page: str) -> None:
    for name in PROFILES:
        assert f"`{name}`" in page


def test_every_rule_has_a_test_that_is_named_after_it() -> None:
    files = (ROOT / "tests").rglob("test_*.py")
    names = re.findall(r"def (test_\w+)", "\n".join(path.read_text(encoding="utf-8") for path in files))
    tested = {rule.upper() for name in names for rule in re.findall(r"_(r\d+)(?=a?_)", name)}
    assert [rule for rule in (f"R{n}" for n in range(1, 57)) if rule not in tested] == []
