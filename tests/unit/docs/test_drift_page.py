"""The plot and the table of docs/drift.md are those of the figures, and the page names what there is."""

from __future__ import annotations

import importlib.util
import json
import re
from dataclasses import fields
from pathlib import Path
from typing import Any

from sojourn.devices.aer import clocked
from sojourn.devices.aer.drifting.rates import Rates

DOCS = Path(__file__).parents[3] / "docs"
DIAGRAMS = DOCS / "diagrams"
FIGURES = json.loads((DIAGRAMS / "drift.json").read_text(encoding="utf-8"))
PAGE = (DOCS / "drift.md").read_text(encoding="utf-8")


def script() -> Any:
    spec = importlib.util.spec_from_file_location("drift", DIAGRAMS / "drift.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_plot_and_the_table_are_what_the_script_makes_of_the_figures() -> None:
    made = script()
    drawn = (DIAGRAMS / "drift.svg").read_text(encoding="utf-8")
    assert made.picture(FIGURES) == drawn, "run `python docs/diagrams/drift.py`"
    assert made.filled(PAGE, FIGURES) == PAGE, "run `python docs/diagrams/drift.py`"


def test_the_figures_show_what_the_page_says() -> None:
    made = script()
    spreads = [made.root(made.left(runs)) for runs in FIGURES["modes"].values()]
    assert list(FIGURES["modes"]) == ["session", "batch", "single jobs"]
    assert spreads == sorted(spreads)
    assert spreads[0] < 0.75 * spreads[1]


def test_the_page_has_every_rate_with_its_default() -> None:
    rows = dict(re.findall(r"(?m)^\| `(\w+)` \| (\S+) \|", PAGE.split("## Drift")[1]))
    assert rows == {field.name: f"{field.default:g}" for field in fields(Rates)}


def test_the_page_has_every_option_of_the_timing_with_its_default() -> None:
    rows = dict(re.findall(r"(?m)^\| `(\w+)` \| (\S+) \|", PAGE.split("## Drift")[0]))
    expected = {
        "timing": "`instant`",
        "job_overhead": f"{clocked.JOB_OVERHEAD:g}",
        "circuit_overhead": "0",
        "calibration_seconds": f"{clocked.CALIBRATION:g}",
    }
    assert rows == expected
