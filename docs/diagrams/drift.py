"""Draws docs/diagrams/drift.svg and writes the table of docs/drift.md.

The figures are in docs/diagrams/drift.json; `python examples/drift/spread.py --out docs/diagrams/drift.json`
puts them there. Then run `python docs/diagrams/drift.py`. A test fails while plot or table differ from what
this makes.
"""

from __future__ import annotations

import json
import math
import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import stdev
from typing import Any

HERE = Path(__file__).parent
PAGE = HERE.parent / "drift.md"

WIDTH, HEIGHT = 720, 380
LEFT, RIGHT, TOP, BOTTOM = 90, 20, 30, 60
COLOURS = {"session": "#2f6f4f", "batch": "#a8742c", "single jobs": "#8a3b3b"}

Figures = Mapping[str, Any]


def root(values: Sequence[float]) -> float:
    """Of the mean square."""
    return math.sqrt(sum(value**2 for value in values) / len(values))


def left(runs: Sequence[Figures]) -> list[float]:
    """Of all qubits in all runs."""
    return [value for run in runs for value in run["left"]]


def picture(figures: Figures) -> str:
    """For each way of running a column of dots: the Hz that were left of each qubit; bars at their spread."""
    modes = {mode: left(runs) for mode, runs in figures["modes"].items()}
    farthest = max(abs(value) for values in modes.values() for value in values)
    step = 10.0 ** math.floor(math.log10(farthest))
    step = step if farthest / step >= 3 else step / 2
    high = math.ceil(farthest / step) * step
    bottom = HEIGHT - BOTTOM

    def height(value: float) -> float:
        return TOP + (high - value) / (2 * high) * (bottom - TOP)

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" '
        f'height="{HEIGHT}" font-family="sans-serif" font-size="13" role="img">',
        "<title>What is left of a calibration when it is used, by the way in which its jobs are run</title>",
        f'<rect width="{WIDTH}" height="{HEIGHT}" rx="8" fill="#ffffff"/>',
        f'<text x="20" y="{(TOP + bottom) / 2:g}" text-anchor="middle" fill="#44566a" '
        f'transform="rotate(-90 20 {(TOP + bottom) / 2:g})">detuning that is left, Hz</text>',
    ]
    for k in range(-round(high / step), round(high / step) + 1):
        y = height(k * step)
        parts.append(
            f'<line x1="{LEFT}" y1="{y:.1f}" x2="{WIDTH - RIGHT}" y2="{y:.1f}" '
            f'stroke="{"#dde3e9" if k else "#31485e"}"/>'
        )
        label = f"{k * step:+.0f}".replace("-", "−") if k else "0"
        parts.append(f'<text x="{LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">{label}</text>')
    column = (WIDTH - LEFT - RIGHT) / len(modes)
    for place, (mode, values) in enumerate(modes.items()):
        parts += _column(LEFT + (place + 0.5) * column, column, mode, values, height)
    return "\n".join([*parts, "</svg>", ""])


def _column(x: float, width: float, mode: str, values: Sequence[float], height: Any) -> list[str]:
    colour = COLOURS[mode]
    count = len(values)
    parts = []
    for sign in (1, -1):
        y = height(sign * root(values))
        parts.append(
            f'<line x1="{x - width * 0.36:.1f}" y1="{y:.1f}" x2="{x + width * 0.36:.1f}" y2="{y:.1f}" '
            f'stroke="{colour}" stroke-width="2.5"/>'
        )
    parts += [
        # side by side in an order that is not that of the runs, so that dots seldom cover each other
        f'<circle cx="{x + width * 0.5 * ((7 * k % count) / count - 0.5):.1f}" cy="{height(value):.1f}" '
        f'r="3.5" fill="{colour}" fill-opacity="0.6"/>'
        for k, value in enumerate(values)
    ]
    label = f'text-anchor="middle" font-size="14" fill="#10202f">{mode}: {root(values):.0f} Hz</text>'
    parts.append(f'<text x="{x:.1f}" y="{HEIGHT - BOTTOM + 28}" {label}')
    return parts


def table(figures: Figures) -> str:
    """A row for each way of running: the spread with its own uncertainty, and the time of the device."""
    rows = ["| run as | runs | values | spread | mean | minutes of a run |", "|---|---|---|---|---|---|"]
    for mode, runs in figures["modes"].items():
        values = left(runs)
        count = len(values)
        spread, mean = root(values), sum(values) / count
        minutes = sum(run["seconds"] for run in runs) / len(runs) / 60
        rows.append(
            f"| {mode} | {len(runs)} | {count} | {spread:.0f} ± {spread / math.sqrt(2 * count):.0f} Hz | "
            f"{mean:+.0f} ± {stdev(values) / math.sqrt(count):.0f} Hz | {minutes:.1f} |"
        )
    return "\n".join(rows)


def filled(page: str, figures: Figures) -> str:
    """The page with the table as it should be. ValueError when the mark is missing."""
    pattern = re.compile(r"(<!-- generated: drift -->\n)(?:(?!<!--).)*(<!-- end -->)", re.DOTALL)
    page, count = pattern.subn(lambda m: f"{m[1]}\n{table(figures)}\n\n{m[2]}", page)
    if count != 1:
        raise ValueError(f"the page has {count} marks `generated: drift`, it needs one")
    return page


def main() -> None:
    figures = json.loads((HERE / "drift.json").read_text(encoding="utf-8"))
    (HERE / "drift.svg").write_text(picture(figures), encoding="utf-8")
    PAGE.write_text(filled(PAGE.read_text(encoding="utf-8"), figures), encoding="utf-8")
    sys.stdout.write("drift.svg and the table of drift.md are up to date\n")


if __name__ == "__main__":
    main()
