"""The plot and the table of docs/mitigation.md are those of the figures, and they show what is said."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from statistics import mean, stdev
from typing import Any

from scipy.stats import t as student_t

DOCS = Path(__file__).parents[3] / "docs"
DIAGRAMS = DOCS / "diagrams"
FIGURES = json.loads((DIAGRAMS / "mitigation.json").read_text(encoding="utf-8"))


def script() -> Any:
    spec = importlib.util.spec_from_file_location("mitigation", DIAGRAMS / "mitigation.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_plot_and_the_table_are_what_the_script_makes_of_the_figures() -> None:
    made = script()
    page = (DOCS / "mitigation.md").read_text(encoding="utf-8")
    drawn = (DIAGRAMS / "mitigation.svg").read_text(encoding="utf-8")
    assert made.picture(FIGURES) == drawn, "run `python docs/diagrams/mitigation.py`"
    assert made.filled(page, FIGURES) == page, "run `python docs/diagrams/mitigation.py`"


def test_the_errors_of_the_figures_fall_from_level_to_level() -> None:
    panels = [ways for ways in FIGURES["qubits"].values() if all(ways.values())]
    assert panels
    for ways in panels:
        levels = [ways[f"level {level}"] for level in (0, 1, 2)]
        errors = [sum(abs(error) for run in runs for error in run["errors"]) for runs in levels]
        assert errors[0] > errors[1] > errors[2]


def test_in_the_figures_error_cancellation_is_unbiased_within_its_error_bar_and_level_1_is_not() -> None:
    """As tests/proofs/test_mitigation.py has it: the error bar is that of the runs' scatter."""
    for ways in (ways for ways in FIGURES["qubits"].values() if all(ways.values())):
        for way, unbiased in (("PEC", True), ("level 1", False)):
            for errors in zip(*(run["errors"] for run in ways[way]), strict=True):
                bar = stdev(errors) / len(errors) ** 0.5
                bound = student_t.ppf(0.995, len(errors) - 1)
                assert (abs(mean(errors)) < bound * bar) == unbiased
