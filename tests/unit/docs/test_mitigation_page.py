"""The plot and the table of docs/mitigation.md are those of the figures, and they show what is said."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from typing import Any

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
