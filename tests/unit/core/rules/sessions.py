"""What the tests of sessions share."""

from __future__ import annotations

from sojourn.core import Mode
from tests.harness.lane import LaneHarness


def active_session(
    world: LaneHarness,
    name: str = "A",
    user: str = "ann",
    *,
    mode: Mode = Mode.DEDICATED,
    max_time: float | None = None,
) -> None:
    """Session with its root job done, holding the device."""
    world.open(name, user, mode=mode, max_time=max_time)
    world.submit(f"{name}-root", user, name)
    world.run_for(1.0, f"{name}-root")
    assert world.is_(name, "active")
