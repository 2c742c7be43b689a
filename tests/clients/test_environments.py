"""A client that is left out is never left out in silence."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from tests.clients import environments
from tests.clients.environments import CONSTRAINTS, NEWEST, built, folder, interpreter


@pytest.fixture(autouse=True)
def elsewhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No environment is built yet."""
    monkeypatch.setattr(environments, "_ENVIRONMENTS", tmp_path)
    monkeypatch.delenv("CLIENT_TESTS", raising=False)


def make(client: str) -> Path:
    folder(client).mkdir(parents=True)
    stamp = folder(client) / ".stamp"
    stamp.touch()
    return stamp


def test_a_client_without_its_environment_is_skipped_with_the_command_that_builds_it() -> None:
    with pytest.raises(pytest.skip.Exception, match=r"0\.30 left out.*make clients"):
        interpreter("0.30")
    make("0.30")
    assert interpreter("0.30") == folder("0.30") / "bin" / "python"


@pytest.mark.parametrize("client", ["0.30", NEWEST])
def test_where_all_clients_are_wanted_a_missing_one_is_a_failure(
    monkeypatch: pytest.MonkeyPatch, client: str
) -> None:
    monkeypatch.setenv("CLIENT_TESTS", "all")
    with pytest.raises(pytest.fail.Exception, match="make clients"):
        interpreter(client)


def test_the_newest_client_is_always_there() -> None:
    assert interpreter(NEWEST) == Path(sys.executable)


def test_an_environment_that_is_older_than_its_list_of_packages_counts_as_missing() -> None:
    stamp = make("0.30")
    assert built("0.30")
    before = (CONSTRAINTS / "0.30.txt").stat().st_mtime - 1
    os.utime(stamp, (before, before))
    assert not built("0.30")
