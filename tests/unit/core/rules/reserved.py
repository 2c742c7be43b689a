"""What the tests of reservations share."""

from __future__ import annotations

from tests.harness.lane import LaneHarness

HOUR = 3600.0


def rows(world: LaneHarness) -> list[tuple[str, str, float]]:
    return [(c.kind.value, c.project, c.seconds) for c in world.charges]


def held_by_ann(world: LaneHarness) -> None:
    world.open("A", "ann", max_time=3 * HOUR)
    world.submit("a1", "ann", "A")
    world.run_for(1, "a1")
