"""What the package of the core offers by itself: the lane is imported at its first use."""

from __future__ import annotations

import pytest

from sojourn import core
from sojourn.core.lane import Lane


def test_the_lane_is_found_at_its_first_use_and_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(core, "Lane", Lane)  # puts back what the next line takes away
    before = dict(vars(core))
    del vars(core)["Lane"]
    assert core.Lane is Lane
    assert vars(core) == before


def test_another_name_is_refused_as_any_module_does() -> None:
    with pytest.raises(AttributeError, match=r"module 'sojourn.core' has no attribute 'Lanes'"):
        core.Lanes  # noqa: B018
