"""R54 and R55 under seeded faults: seeds, every crash point of one scenario, and proof that it bites.

`SOJOURN_CRASH_SEEDS` is how many seeds are tried; `make proofs` tries thousands.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest

from sojourn.core import Lane
from sojourn.core.state import LaneState
from sojourn.service.jobs.admission import Admission
from sojourn.service.jobs.answered import AnsweredSubmits
from sojourn.service.jobs.repeats import Repeats
from sojourn.service.lanes.dispatcher import Dispatcher
from sojourn.store import blobs, ledger
from tests.proofs.crash.simulation import simulate
from tests.proofs.crash.world import Faults

SEEDS = int(os.environ.get("SOJOURN_CRASH_SEEDS", "30"))
STRIDE = 1 if SEEDS > 1000 else 30
SMALL_SCENARIO, SMALL_JOBS = 5, 2
ONLY_CRASHES = Faults(lost_replies=False, workers=False, slow_preparation=False, clock_steps=False)


@pytest.mark.timeout(0 if SEEDS > 100 else 180)
def test_r55_nothing_acknowledged_is_lost_or_doubled_whatever_fails() -> None:
    crashes = sum(simulate(seed).crashes for seed in range(SEEDS))
    print(f"\n{SEEDS:,} seeds, {crashes:,} crashes")
    assert crashes > SEEDS / 2


@pytest.mark.timeout(0 if SEEDS > 100 else 180)
def test_r55_a_crash_before_and_after_every_commit_and_every_effect() -> None:
    """The power is cut at each point of one scenario in turn."""
    points = simulate(SMALL_SCENARIO, cuts=frozenset(), jobs=SMALL_JOBS).points
    assert points > 50
    for point in range(1, points + 1, STRIDE):
        assert simulate(SMALL_SCENARIO, cuts=frozenset({point}), jobs=SMALL_JOBS).crashes == 1
    print(f"\nthe power was cut at {len(range(1, points + 1, STRIDE))} of {points} points")


def test_r55_a_crash_during_the_recovery_from_a_crash() -> None:
    points = simulate(SMALL_SCENARIO, cuts=frozenset(), jobs=SMALL_JOBS).points
    for point in range(points // 3, points, 12 * STRIDE):
        for later in range(1, 40, 3 * STRIDE):
            simulate(SMALL_SCENARIO, cuts=frozenset({point, point + later}), jobs=SMALL_JOBS)


@pytest.mark.timeout(0 if SEEDS > 100 else 180)
def test_r55_nothing_is_lost_or_doubled_while_the_disk_is_full_now_and_then() -> None:
    """Bodies and results are written in parts of 16 bytes, so that each can find no room, or be cut off."""
    small = (patch.object(blobs, name, 16) for name in ("PART", "SMALL"))
    outcomes = ""
    with ExitStack() as stack:
        for each in small:
            stack.enter_context(each)
        for seed in range(max(8, SEEDS // 5)):
            outcomes += "\n".join(simulate(seed, faults=Faults(full_disk=True)).trace)
    assert "the disk is full" in outcomes


def test_a_seed_is_the_same_simulation_in_every_process() -> None:
    command = [
        sys.executable,
        "-c",
        "from tests.proofs.crash.simulation import simulate; print(simulate(7).digest)",
    ]
    root = Path(__file__).parents[3]
    other = {**os.environ, "PYTHONHASHSEED": "12345", "PYTHONPATH": str(root)}
    there = subprocess.run(
        command, cwd=root, env=other, capture_output=True, text=True, check=True
    ).stdout.strip()
    assert simulate(7).digest == simulate(7).digest == there


def _act_first(self: Dispatcher, effects: Any, metas: Any, *more: Any) -> Any:
    self._committed(effects, metas, *more[1:2])
    return _commit(self, effects, metas, *more)


_commit = Dispatcher._commit
_restore = Lane.restore


def _forget_the_run(self: Lane, *given: Any) -> list[Any]:
    _restore(self, *given)
    return []


SABOTAGE: dict[str, tuple[Any, str, Callable[..., Any]]] = {
    "acts before the commit": (Dispatcher, "_commit", _act_first),
    "forgets submits at a start": (Repeats, "restore", lambda *_: None),
    "forgets at a start what it has answered": (AnsweredSubmits, "note", lambda *_: None),
    "forgets the run that was lost": (Lane, "restore", _forget_the_run),
    "forgets jobs that were not prepared": (Admission, "_prepare_later", lambda *_: _nothing()),
    "loses ledger rows": (ledger, "write", lambda *_: None),
    "does not write a session's clocks": (LaneState, "touch", lambda *_: None),
}


def _some_seeds() -> None:
    for seed in range(100):  # the rarest of the faults shows in one of some twenty seeds
        simulate(seed)


async def _nothing() -> None:
    pass


@pytest.mark.parametrize("fault", SABOTAGE)
def test_the_simulation_finds_a_service_that(fault: str) -> None:
    where, name, instead = SABOTAGE[fault]
    with patch.object(where, name, instead), pytest.raises(AssertionError, match="Replay it: python -m"):
        _some_seeds()
