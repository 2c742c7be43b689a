"""Writes the tables of docs/performance.md.

The figures are in docs/diagrams/performance.json; `python bench/stages.py --page` and `python
bench/celery_redis.py --page` put them there. Then run `python docs/diagrams/performance.py`. A test fails
while the tables differ from what this makes.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
PAGE = HERE.parent / "performance.md"

Figures = Mapping[str, Any]

COLUMNS = {
    "session ms": "in a session",
    "client alone ms": "client alone",
    "direct ms": "direct Aer",
    "over direct + client ms": "over the two",
    "x direct + client": "of their sum",
    "x direct": "of direct Aer",
    "local mode ms": "local testing mode",
    "method": "method of direct Aer",
    "rounds": "rounds",
}


def shown(value: Any, column: str) -> str:
    if isinstance(value, str):
        return value.replace("_", " ")
    if value is None:
        return ""
    if column == "rounds":
        return f"{value}"
    if column.startswith("x "):
        return f"{value:.2f}x"
    return (
        f"{value / 1000:.1f} s" if abs(value) >= 10_000 else f"{value:.{0 if abs(value) >= 100 else 1}f} ms"
    )


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def stages(figures: Figures) -> str:
    """A row for each stage: milliseconds for each number of qubits, and their sum, which is the iteration."""
    split: Mapping[str, Mapping[str, float]] = figures["stages"]
    sizes = list(split)
    rows = [
        [stage, *(f"{split[size][stage]:.2f}" for size in sizes), words]
        for stage, words in figures["words"].items()
    ]
    rows.append(["**sum**", *(f"**{sum(split[size].values()):.2f}**" for size in sizes), "the iteration"])
    return table(["stage", *(f"{size} qubits, ms" for size in sizes), "what it is"], rows)


def beside(figures: Figures) -> str:
    """A row for each thing that was measured in a session and beside it."""
    compared = [row for row in figures["rows"] if "direct ms" in row]
    rows = [[row["what"], *(shown(row.get(key), key) for key in COLUMNS)] for row in compared]
    return table(["", *COLUMNS.values()], rows)


def aims(figures: Figures) -> str:
    found = [*figures["aims"], *(figures.get("celery") or {}).get("aims", [])]
    rows = [
        [aim["what"], aim["aim"].replace("x", " times"), aim["found"].replace("x", " times"), words]
        for aim in found
        for words in ("met" if aim["met"] else "**missed**",)
    ]
    return table(["", "aim", "found", ""], rows)


def run(figures: Figures) -> str:
    versions = ", ".join(f"{name} {version}" for name, version in figures["versions"].items())
    quick = ", with `--quick`" if figures["quick"] else ""
    note = f" {figures['note']}" if figures["note"] else ""
    return f"{figures['cores']} cores, {versions}{quick}; {figures['minutes']:.0f} minutes.{note}"


PARTS = {"run": run, "stages": stages, "beside": beside, "aims": aims}


def filled(page: str, figures: Figures) -> str:
    """The page with its tables as they should be. ValueError when a mark is missing."""
    for name, made in PARTS.items():
        pattern = re.compile(rf"(<!-- generated: {name} -->\n)(?:(?!<!--).)*(<!-- end -->)", re.DOTALL)
        text = made(figures)
        page, count = pattern.subn(lambda m, text=text: f"{m[1]}\n{text}\n\n{m[2]}", page)
        if count != 1:
            raise ValueError(f"the page has {count} marks `generated: {name}`, it needs one")
    return page


def main() -> None:
    figures = json.loads((HERE / "performance.json").read_text(encoding="utf-8"))
    PAGE.write_text(filled(PAGE.read_text(encoding="utf-8"), figures), encoding="utf-8")
    sys.stdout.write("the tables of performance.md are up to date\n")


if __name__ == "__main__":
    main()
