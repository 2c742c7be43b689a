"""Draws docs/diagrams/architecture.svg: the processes, the packages in them, and the way of a job.

Run it after a change: `python docs/diagrams/architecture.py`. A test fails while the file differs from what
this makes. The numbers at the arrows are those of the list in docs/architecture.md.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from html import escape
from itertools import pairwise
from math import dist, hypot
from pathlib import Path

HERE = Path(__file__).parent
SIZE = (960, 560)

Point = tuple[float, float]
Box = tuple[float, float, float, float]

FRAMES: dict[str, Box] = {
    "clients": (20, 40, 190, 300),
    "the server process": (250, 40, 440, 500),
    "preparer processes": (730, 40, 210, 150),
    "worker processes, one per device": (730, 230, 210, 190),
}
"""A process, or what is outside: its name and (left, top, width, height)."""

BOXES: dict[str, tuple[Box, str, str]] = {
    "qiskit": ((35, 75, 160, 64), "a Qiskit program", "qiskit-ibm-runtime"),
    "cli": ((35, 162, 160, 64), "sojourn", "cli, demo, embedded"),
    "http": ((35, 249, 160, 64), "any HTTP client", "/sojourn/v1"),
    "api": ((270, 75, 400, 64), "api", "ibm: the client's dialect · v1: our own · http"),
    "service": ((270, 184, 400, 72), "service", "accounts, limits, submission, polls, recovery"),
    "core": ((270, 306, 185, 72), "core", "a lane per device: pure"),
    "execution": ((485, 306, 185, 72), "execution", "the engine: runs and kills"),
    "store": ((270, 428, 185, 64), "store", "one module per entity"),
    "journal": ((485, 428, 185, 64), "journal", "the events, for replay"),
    "prepare": ((745, 75, 180, 94), "worker", "decode, check, estimate"),
    "run": ((745, 265, 180, 64), "worker", "compile, run, encode"),
    "driver": ((745, 342, 180, 60), "devices", "a driver: aer, fake, your own"),
}
"""(left, top, width, height), the name, and what it does."""

DATABASE: Box = (270, 512, 185, 20)

ARROWS: tuple[tuple[str, tuple[Point, ...]], ...] = (
    ("1", ((195, 107), (270, 107))),
    ("", ((195, 194), (232, 194), (232, 125), (270, 125))),
    ("", ((195, 281), (232, 281), (232, 125), (270, 125))),
    ("2", ((350, 139), (350, 184))),
    ("3", ((285, 256), (285, 281), (258, 281), (258, 460), (270, 460))),
    ("", ((577, 256), (577, 306))),
    ("4", ((670, 322), (702, 322), (702, 122), (745, 122))),
    ("5", ((340, 256), (340, 306))),
    ("6", ((410, 306), (410, 256))),
    ("7", ((670, 358), (716, 358), (716, 297), (745, 297))),
    ("8", ((590, 184), (590, 139))),
)
"""A number, and the corners of the line."""


def picture() -> str:
    width, height = SIZE
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" '
        f'height="{height}" font-family="sans-serif" font-size="14" role="img">',
        "<title>The processes of Sojourn, the packages in them, and the way of a job</title>",
        f'<rect width="{width}" height="{height}" rx="8" fill="#ffffff"/>',
    ]
    for name, (x, y, w, h) in FRAMES.items():
        parts.append(
            f'<rect x="{x}" y="{y}" width="{w}" height="{h}" rx="10" fill="#f4f6f8" stroke="#8fa1b3" '
            'stroke-dasharray="5 4"/>'
        )
        parts.append(_text((x + w / 2, y - 10), name, size=13, fill="#44566a"))
    for (x, y, w, h), name, what in BOXES.values():
        parts.append(
            f'<rect x="{x}" y="{y}" width="{w}" height="{h}" rx="8" fill="#cfe3f7" stroke="#31485e"/>'
        )
        parts.append(_text((x + w / 2, y + h / 2 - 4), name, size=15, bold=True))
        parts.append(_text((x + w / 2, y + h / 2 + 15), what, size=11, fill="#31485e"))
    x, y, w, h = DATABASE
    parts.append(f'<rect x="{x}" y="{y}" width="{w}" height="{h}" rx="10" fill="#e3e6ea" stroke="#31485e"/>')
    parts.append(_text((x + w / 2, y + 14), "SQLite", size=12))
    parts.append(f'<line x1="{x + w / 2}" y1="492" x2="{x + w / 2}" y2="{y}" stroke="#31485e"/>')
    for number, line in ARROWS:
        parts += _arrow(number, line)
    return "\n".join([*parts, "</svg>", ""])


def _text(at: Point, text: str, *, size: int, fill: str = "#10202f", bold: bool = False) -> str:
    weight = ' font-weight="bold"' if bold else ""
    return (
        f'<text x="{at[0]:g}" y="{at[1]:g}" text-anchor="middle" font-size="{size}" fill="{fill}"{weight}>'
        f"{escape(text)}</text>"
    )


def _arrow(number: str, line: Sequence[Point]) -> list[str]:
    """A line with a head; its number stands in the middle of its longest part."""
    (ax, ay), (bx, by) = line[-2:]
    length = hypot(bx - ax, by - ay)
    ux, uy = (bx - ax) / length, (by - ay) / length
    head = [
        (bx, by),
        (bx - 9 * ux - 4 * uy, by - 9 * uy + 4 * ux),
        (bx - 9 * ux + 4 * uy, by - 9 * uy - 4 * ux),
    ]
    parts = [f'<polyline points="{_points(line)}" fill="none" stroke="#31485e" stroke-width="1.3"/>']
    parts.append(f'<polygon points="{_points(head)}" fill="#31485e"/>')
    if number:
        (cx, cy), (dx, dy) = max(pairwise(line), key=lambda part: dist(*part))
        x, y = (cx + dx) / 2, (cy + dy) / 2
        parts.append(f'<circle cx="{x:g}" cy="{y:g}" r="9.5" fill="#ffffff" stroke="#31485e"/>')
        parts.append(f'<text x="{x:g}" y="{y + 4:g}" text-anchor="middle" font-size="11">{number}</text>')
    return parts


def _points(points: Sequence[Point]) -> str:
    return " ".join(f"{x:.1f},{y:.1f}" for x, y in points)


def main() -> None:
    (HERE / "architecture.svg").write_text(picture(), encoding="utf-8")
    sys.stdout.write("architecture.svg is up to date\n")


if __name__ == "__main__":
    main()
