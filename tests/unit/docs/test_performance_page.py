"""The tables of docs/performance.md are those of the figures, and the stages are those of the benchmark."""

from __future__ import annotations

import importlib.util
import json
import re
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[3]
DIAGRAMS = ROOT / "docs" / "diagrams"
FIGURES = json.loads((DIAGRAMS / "performance.json").read_text(encoding="utf-8"))
PAGE = (ROOT / "docs" / "performance.md").read_text(encoding="utf-8")


def script() -> Any:
    spec = importlib.util.spec_from_file_location("performance", DIAGRAMS / "performance.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_tables_are_what_the_script_makes_of_the_figures() -> None:
    assert script().filled(PAGE, FIGURES) == PAGE, "run `python docs/diagrams/performance.py`"


def test_the_stages_of_an_iteration_add_up_to_it() -> None:
    for qubits, stages in FIGURES["stages"].items():
        assert set(stages) == set(FIGURES["words"])
        row = next(row for row in FIGURES["rows"] if row["what"] == f"aer, {qubits} qubits")
        assert 0.7 < sum(stages.values()) / row["session ms"] < 1.5, "a mean beside a median"


def test_every_missed_aim_has_its_reason_on_the_page() -> None:
    missed = [aim["what"] for aim in FIGURES["aims"] if not aim["met"]]
    reasons = PAGE.split("## Where an aim is missed")[1]
    kinds = {re.split(r"[,:]", what)[0].split(" ")[0] for what in missed}
    assert [kind for kind in sorted(kinds) if kind not in reasons] == []
