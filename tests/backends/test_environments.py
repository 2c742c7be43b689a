"""A vendor's backend that is left out is never left out in silence."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from sojourn.cli.drivers.environments import MARKER
from tests.backends import environments
from tests.backends.environments import built, device, folder, interpreter, pinned


@pytest.fixture(autouse=True)
def elsewhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No environment is built yet."""
    monkeypatch.setattr(environments, "_ENVIRONMENTS", tmp_path)
    monkeypatch.delenv("BACKEND_TESTS", raising=False)


def make(**other: Any) -> None:
    folder("aqt").mkdir(parents=True, exist_ok=True)
    made = {"whole": True, "packages": pinned("aqt"), "worker": environments._worker(), **other}
    (folder("aqt") / MARKER).write_text(json.dumps(made), encoding="utf-8")


def test_a_backend_without_its_environment_is_skipped_with_the_command_that_builds_it() -> None:
    with pytest.raises(pytest.skip.Exception, match=r"aqt left out.*make backends"):
        interpreter("aqt")
    make()
    assert interpreter("aqt") == folder("aqt") / "bin" / "python"
    assert device("aqt")["python"] == str(interpreter("aqt"))


def test_where_all_backends_are_wanted_a_missing_one_is_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BACKEND_TESTS", "all")
    with pytest.raises(pytest.fail.Exception, match="make backends"):
        interpreter("aqt")


@pytest.mark.parametrize("other", [{"whole": False}, {"packages": ["qiskit==1.0"]}, {"worker": "another"}])
def test_an_environment_that_is_not_what_is_tested_counts_as_missing(other: dict[str, Any]) -> None:
    make()
    assert built("aqt")
    make(**other)
    assert not built("aqt")
