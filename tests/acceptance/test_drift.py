"""The example of docs/drift.md: what is left of a calibration when it is used, by how it is run."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

EXAMPLE = Path(__file__).parents[2] / "examples" / "drift" / "spread.py"
RUNS = 4


def example() -> ModuleType:
    spec = importlib.util.spec_from_file_location("spread", EXAMPLE)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.timeout(1800)
def test_a_session_keeps_a_calibration_better_than_a_batch_and_a_batch_better_than_single_jobs() -> None:
    spread = example()
    made = spread.measure(RUNS, seed=1)
    assert {mode: len(runs) for mode, runs in made.items()} == dict.fromkeys(spread.MODES, RUNS)
    session, batch, single = (spread.spread(made[mode]) for mode in spread.MODES)
    assert session < batch <= single
    assert session < 0.75 * batch
    for runs in made.values():
        assert all(abs(value) < 20_000 for run in runs for value in run["found"])
    seconds = {mode: min(run["seconds"] for run in runs) for mode, runs in made.items()}
    assert seconds["session"] >= spread.OTHERS + 12 * 2
    assert seconds["batch"] >= 3 * spread.OTHERS
    assert seconds["single jobs"] >= 12 * spread.OTHERS
