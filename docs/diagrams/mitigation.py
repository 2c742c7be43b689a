"""Draws docs/diagrams/mitigation.svg and writes the table of docs/mitigation.md.

The figures are in docs/diagrams/mitigation.json; `python bench/mitigation.py --page` puts them there. Then
run `python docs/diagrams/mitigation.py`. A test fails while plot or table differ from what this makes.
"""

from __future__ import annotations

import json
import math
import re
import sys
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from statistics import stdev
from typing import Any

HERE = Path(__file__).parent
PAGE = HERE.parent / "mitigation.md"

WIDTH, HEIGHT = 960, 400
LEFT, TOP, BOTTOM, GAP = 70, 50, 60, 40
NAMES = {
    "level 0": "none",
    "level 1": "readout",
    "level 2": "readout, ZNE by folding",
    "PEC": "readout, PEC",
    "PEA": "readout, ZNE by PEA",
}
COLOURS = {
    "level 0": "#8a3b3b",
    "level 1": "#a8742c",
    "level 2": "#2f6f4f",
    "PEC": "#2c5d8f",
    "PEA": "#62478f",
}

COSTS = ("circuits", "shots", "seconds")

Figures = Mapping[str, Any]


def picture(figures: Figures) -> str:
    """For each number of qubits a panel, for each way a column of dots: the error of <Z> of every seed."""
    panels = _measured(figures)
    values = [run["errors"][0] for ways in panels.values() for found in ways.values() for run in found]
    step = 0.05 if max(values) - min(values) > 0.12 else 0.02
    low = math.floor(min(*values, 0) / step) * step
    high = math.ceil(max(*values, 0) / step) * step
    width = (WIDTH - LEFT - 20 - GAP * (len(panels) - 1)) / len(panels)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" '
        f'height="{HEIGHT}" font-family="sans-serif" font-size="13" role="img">',
        f"<title>Errors of the estimator on {escape(figures['device'])}, by mitigation</title>",
        f'<rect width="{WIDTH}" height="{HEIGHT}" rx="8" fill="#ffffff"/>',
        f'<text x="20" y="{(TOP + HEIGHT - BOTTOM) / 2:g}" text-anchor="middle" fill="#44566a" '
        f'transform="rotate(-90 20 {(TOP + HEIGHT - BOTTOM) / 2:g})">measured − exact</text>',
    ]

    def height(value: float) -> float:
        return TOP + (high - value) / (high - low) * (HEIGHT - TOP - BOTTOM)

    for number, (qubits, ways) in enumerate(panels.items()):
        x = LEFT + number * (width + GAP)
        parts.append(_text((x + width / 2, TOP - 22), f"{qubits} qubits, mean of Z", size=15))
        for k in range(round((high - low) / step) + 1):
            value = low + k * step
            zero = abs(value) < step / 2
            y = height(value)
            parts.append(
                f'<line x1="{x:.1f}" y1="{y:.1f}" x2="{x + width:.1f}" y2="{y:.1f}" '
                f'stroke="{"#31485e" if zero else "#dde3e9"}"/>'
            )
            if not number:
                label = "0" if zero else f"{value:+.2f}".replace("-", "−")
                parts.append(f'<text x="{x - 8:.1f}" y="{y + 4:.1f}" text-anchor="end">{label}</text>')
        column = width / len(ways)
        for place, (way, found) in enumerate(ways.items()):
            errors = [run["errors"][0] for run in found]
            parts += _column(x + (place + 0.5) * column, column, way, errors, height)
    return "\n".join([*parts, "</svg>", ""])


def _column(x: float, width: float, way: str, errors: Sequence[float], height: Any) -> list[str]:
    colour = COLOURS[way]
    mean = height(sum(errors) / len(errors))
    parts = [
        # side by side in an order that is not that of the seeds, so that dots seldom cover each other
        f'<circle cx="{x + width * 0.5 * ((7 * k % len(errors)) / len(errors) - 0.5):.1f}" '
        f'cy="{height(error):.1f}" r="3" fill="{colour}" fill-opacity="0.55"/>'
        for k, error in enumerate(errors)
    ]
    parts.append(
        f'<line x1="{x - width * 0.36:.1f}" y1="{mean:.1f}" x2="{x + width * 0.36:.1f}" y2="{mean:.1f}" '
        f'stroke="{colour}" stroke-width="2.5"/>'
    )
    parts.append(_text((x, HEIGHT - BOTTOM + 24), way, size=13))
    return parts


def _text(at: tuple[float, float], text: str, *, size: int) -> str:
    return (
        f'<text x="{at[0]:.1f}" y="{at[1]:.1f}" text-anchor="middle" font-size="{size}" fill="#10202f">'
        f"{escape(text)}</text>"
    )


def table(figures: Figures) -> str:
    """A row for each number of qubits and way: errors, bias and what it cost."""
    rows = [
        "| qubits | options | mitigated | runs | mean error | bias of Z | circuits | shots | seconds |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for qubits, ways in _measured(figures).items():
        for way, runs in ways.items():
            count = len(runs)
            mean = sum(abs(error) for run in runs for error in run["errors"]) / (2 * count)
            bias = sum(run["errors"][0] for run in runs) / count
            bar = stdev(run["errors"][0] for run in runs) / math.sqrt(count)
            circuits, shots, seconds = (sum(run[key] for run in runs) / count for key in COSTS)
            rows.append(
                f"| {qubits} | {way} | {NAMES[way]} | {count} | {mean:.4f} | {bias:+.4f} ± {bar:.4f} | "
                f"{circuits:,.0f} | {shots:,.0f} | {seconds:.1f} |"
            )
    return "\n".join(rows)


def _measured(figures: Figures) -> dict[str, Figures]:
    """Without the numbers of qubits of which there is no run yet."""
    return {qubits: ways for qubits, ways in figures["qubits"].items() if all(ways.values())}


def filled(page: str, figures: Figures) -> str:
    """The page with the table as it should be. ValueError when the mark is missing."""
    pattern = re.compile(r"(<!-- generated: mitigation -->\n)(?:(?!<!--).)*(<!-- end -->)", re.DOTALL)
    page, count = pattern.subn(lambda m: f"{m[1]}\n{table(figures)}\n\n{m[2]}", page)
    if count != 1:
        raise ValueError(f"the page has {count} marks `generated: mitigation`, it needs one")
    return page


def main() -> None:
    figures = json.loads((HERE / "mitigation.json").read_text(encoding="utf-8"))
    (HERE / "mitigation.svg").write_text(picture(figures), encoding="utf-8")
    PAGE.write_text(filled(PAGE.read_text(encoding="utf-8"), figures), encoding="utf-8")
    sys.stdout.write("mitigation.svg and the table of mitigation.md are up to date\n")


if __name__ == "__main__":
    main()
