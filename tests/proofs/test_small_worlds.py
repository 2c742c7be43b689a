"""Every interleaving in small worlds, breadth first. The core is pure, so a state is copied and tried again.

States are compared in a canonical form, see `tiny`; that it forgets nothing is tested in `test_forms`. The
invariants are checked at every step.
"""

from __future__ import annotations

import os

import pytest

from sojourn.core.calendar import AfterReservation, ReservationMode
from tests.model.explore import Seen, explore
from tests.model.small_model import SmallModel

NIGHTLY = os.environ.get("HYPOTHESIS_PROFILE") == "nightly"
MOST = int(os.environ.get("SOJOURN_PROOF_STATES", "200000" if NIGHTLY else "1500"))
CORES = min(2, os.cpu_count() or 1) if NIGHTLY else 1
D, P = ReservationMode.DEDICATED, ReservationMode.PRIORITY
FAIL, REQUEUE = AfterReservation.FAIL, AfterReservation.REQUEUE

CAST = "open first plain system book end time"
"""Two users, each with a session that gets a job, and a plain job; a system job; a reservation."""
EVERYTHING = f"{CAST} second cancel close drain lose"

QUICK = [
    ("sessions", 3, "open first end time why", D, FAIL),
    ("a session, a window", 3, "open first book end time why", D, FAIL),
]
WHOLE = [
    ("sessions and plain jobs", 4, "open first second plain end time", D, FAIL),
    ("endings", 4, "open first close drain cancel end lose time", D, FAIL),
    ("a dedicated window", 4, "open first plain book end time why", D, REQUEUE),
    ("a priority window", 3, "open first plain book end time why", P, FAIL),
    ("a system job", 4, "open first plain system end time why", D, FAIL),
    ("the whole cast", 3, CAST, D, FAIL),
    ("the whole cast, every event", 2, f"{CAST} cancel close drain lose", D, FAIL),
]


def report(name: str, until: int, seen: Seen) -> None:
    rest = "" if seen.complete else " (not all)"
    print(f"\n{name}, {until} steps of time: {seen.states:,} states, {seen.steps:,} steps{rest}")


@pytest.mark.timeout(7200)
@pytest.mark.parametrize(("name", "until", "menu", "mode", "after"), QUICK + (WHOLE if NIGHTLY else []))
def test_every_invariant_holds_in_every_state_of_a_small_world(
    name: str, until: int, menu: str, mode: ReservationMode, after: AfterReservation
) -> None:
    seen = explore(SmallModel(float(until), menu, mode, after), cores=CORES)
    report(name, until, seen)
    assert seen.complete


@pytest.mark.timeout(7200)
def test_every_invariant_holds_in_the_nearest_states_of_the_world_with_everything() -> None:
    seen = explore(SmallModel(4.0, EVERYTHING), MOST, CORES)
    report("everything", 4, seen)
    assert seen.complete or seen.states >= MOST


def test_two_processes_see_the_same_states_as_one() -> None:
    start = ("open first plain end time", D, FAIL)
    assert explore(SmallModel(1.0, *start), cores=2) == explore(SmallModel(1.0, *start))
