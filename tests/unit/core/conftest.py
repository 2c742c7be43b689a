"""A lane in virtual time, for every test that says nothing of its profile."""

from __future__ import annotations

import pytest

from tests.harness.lane import LaneHarness


@pytest.fixture
def world() -> LaneHarness:
    return LaneHarness()
