"""Draws the parts of docs/policy.md that follow from the code: the state diagrams and the table of profiles.

Run it after a change of core/transitions.py or core/profile.py: `python docs/diagrams/generate.py`. A test
fails while the files differ from what this makes. Where the boxes stand and how the steps are called is here.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import fields
from math import hypot
from pathlib import Path
from typing import Any

from sojourn.core import PROFILES
from sojourn.core.transitions import JOB, SESSION

HERE = Path(__file__).parent
PAGE = HERE.parent / "policy.md"

JOB_BOXES = {
    "accepted": (90, 45),
    "queued": (330, 45),
    "running": (570, 45),
    "completed": (810, 45),
    "failed": (330, 165),
    "cancelled": (570, 165),
}
JOB_STEPS = {
    ("accepted", "queued"): "prepared: decoded, checked, estimated (R51)",
    ("accepted", "failed"): "it cannot be prepared, or the first job of its session is lost (R40)",
    ("accepted", "cancelled"): "cancelled by its user (R53)",
    ("queued", "running"): "it is its turn (R9)",
    ("queued", "failed"): "its session or its reservation ended (R33, R44), or cached data expired (R34)",
    ("queued", "cancelled"): "cancelled by its user (R53), or by a hard close that says so (R33)",
    ("running", "completed"): "the result is stored",
    ("running", "failed"): "the program failed, or the system did and it is not run again (R55)",
    ("running", "cancelled"): "cancelled by its user (R53), or stopped at its limit (R52)",
    ("running", "queued"): "its worker or the service died; it is run again (R55)",
}
SESSION_BOXES = {
    "open": (90, 45),
    "active": (330, 45),
    "inactive": (690, 45),
    "pending_inactive": (600, 122),
    "pending_closed": (330, 245),
    "closed": (690, 245),
}
SESSION_STEPS = {
    ("open", "active"): "its first job starts: the root (R16)",
    ("open", "closed"): "never used (R26), closed, or its first job lost (R40)",
    ("active", "inactive"): "no job queued for `ttl` (R23), or a reservation takes the device (R44, D11)",
    ("active", "pending_inactive"): "the same while one of its jobs runs (D11, D12)",
    ("active", "pending_closed"): "it ends while one of its jobs runs (R36)",
    ("active", "closed"): "`max_time`, closed, drained, or its first job lost (R32, R38a, R40)",
    ("pending_inactive", "inactive"): "that job ends",
    ("pending_inactive", "pending_closed"): "it ends while that job still runs (R36)",
    ("pending_inactive", "closed"): "that job was its last and it was draining (R38a)",
    ("inactive", "active"): "one of its jobs starts: it resumes (R28)",
    ("inactive", "closed"): "`max_time` ran out, closed, drained, or its first job lost (R17, R32)",
    ("pending_closed", "closed"): "that job ends (R36)",
}
DETOURS = {("open", "closed"): ((90, 300), (690, 300))}

FINAL = ("completed", "failed", "cancelled", "closed")
WIDTH, HEIGHT = 132, 34
GAP = 9  # between the two arrows of a pair that goes both ways

Point = tuple[float, float]
Steps = Mapping[tuple[str, str], str]


def steps_of(table: Mapping[Any, frozenset[Any]], named: Steps) -> list[tuple[str, str, str]]:
    """(from, to, why) of every step of the table, in its order. KeyError for a step without a name here."""
    found = [
        (str(before), str(after), named[str(before), str(after)])
        for before, afters in table.items()
        for after in sorted(afters, key=lambda state: [*table].index(state))
    ]
    stray = set(named) - {(before, after) for before, after, _ in found}
    if stray:
        raise KeyError(f"these steps are named here and not in the table: {sorted(stray)}")
    return found


def picture(boxes: Mapping[str, Point], steps: Sequence[tuple[str, str, str]], title: str) -> str:
    """The diagram as SVG; the steps carry their numbers in the list below it."""
    width = max(x for x, _ in boxes.values()) + WIDTH / 2 + 24
    height = max([y for _, y in boxes.values()] + [300.0 if title == "sessions" else 0.0]) + HEIGHT / 2 + 16
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:g} {height:g}" width="{width:g}" '
        f'height="{height:g}" font-family="sans-serif" font-size="14" role="img">',
        f"<title>The states of {title}</title>",
        f'<rect width="{width:g}" height="{height:g}" rx="8" fill="#ffffff"/>',
    ]
    pairs = {(before, after) for before, after, _ in steps}
    for number, (before, after, _) in enumerate(steps, 1):
        both = (after, before) in pairs
        line = _line(boxes[before], boxes[after], DETOURS.get((before, after), ()), GAP if both else 0)
        parts += _arrow(line, number)
    for name, (x, y) in boxes.items():
        fill = "#e3e6ea" if name in FINAL else "#cfe3f7"
        parts.append(
            f'<rect x="{x - WIDTH / 2:g}" y="{y - HEIGHT / 2:g}" width="{WIDTH}" height="{HEIGHT}" rx="9" '
            f'fill="{fill}" stroke="#31485e"/>'
        )
        parts.append(f'<text x="{x:g}" y="{y + 5:g}" text-anchor="middle" fill="#10202f">{name}</text>')
    return "\n".join([*parts, "</svg>", ""])


def _line(start: Point, end: Point, between: Sequence[Point], aside: float) -> list[Point]:
    """From border to border, by way of the points between; `aside` moves it to its right."""
    if aside:
        length = hypot(end[0] - start[0], end[1] - start[1])
        dx, dy = (end[1] - start[1]) / length * -aside, (end[0] - start[0]) / length * aside
        start, end = (start[0] + dx, start[1] + dy), (end[0] + dx, end[1] + dy)
    points = [start, *between, end]
    return [_border(points[0], points[1]), *between, _border(points[-1], points[-2])]


def _border(box: Point, towards: Point) -> Point:
    dx, dy = towards[0] - box[0], towards[1] - box[1]
    reach = min((WIDTH / 2) / abs(dx) if dx else 1e9, (HEIGHT / 2) / abs(dy) if dy else 1e9)
    return box[0] + dx * reach, box[1] + dy * reach


def _arrow(line: Sequence[Point], number: int) -> list[str]:
    (ax, ay), (bx, by) = line[-2], line[-1]
    length = hypot(bx - ax, by - ay)
    ux, uy = (bx - ax) / length, (by - ay) / length
    head = [
        (bx, by),
        (bx - 9 * ux - 4 * uy, by - 9 * uy + 4 * ux),
        (bx - 9 * ux + 4 * uy, by - 9 * uy - 4 * ux),
    ]
    middle = len(line) // 2
    (cx, cy), (dx, dy) = line[middle - 1], line[middle]
    part = 0.3 if len(line) == 2 else 0.5  # off the crossings
    x, y = cx + (dx - cx) * part, cy + (dy - cy) * part
    return [
        f'<polyline points="{_points(line)}" fill="none" stroke="#31485e" stroke-width="1.3"/>',
        f'<polygon points="{_points(head)}" fill="#31485e"/>',
        f'<circle cx="{x:.1f}" cy="{y:.1f}" r="9.5" fill="#ffffff" stroke="#31485e"/>',
        f'<text x="{x:.1f}" y="{y + 4:.1f}" text-anchor="middle" font-size="11">{number}</text>',
    ]


def _points(points: Sequence[Point]) -> str:
    return " ".join(f"{x:.1f},{y:.1f}" for x, y in points)


def listing(steps: Sequence[tuple[str, str, str]]) -> str:
    return "\n".join(f"{n}. {before} → {after}: {why}" for n, (before, after, why) in enumerate(steps, 1))


MEANING = {
    "interactive_ttl": "the device is held for a dedicated session after one of its jobs ended (R21)",
    "batch_ttl": "the same for a batch",
    "max_time": "the longest session, and what the details say before the first job starts (R20, D2)",
    "default_max_time": "a session that states no `max_time` lasts (R19)",
    "unused_expiry": "a session that never ran a job ends after (R26)",
    "cache_grace": "the first job's data outlives `max_time` by (R42)",
    "root_cancel_ends_session": "cancelling the first job ends its session (R40)",
    "hard_close": "the state of the queued jobs after a hard close (R33)",
    "charge_holds": "idle holds are charged for sessions of mode (R49)",
    "open_plan_sessions": "projects on the open plan may have sessions (else code 1352)",
    "program_limits": "a job that states no `max_execution_time` may run (R19)",
    "job_limit": "a job of any other program may run",
    "job_cap": "no job runs longer than (R52, D14)",
    "estimate_factor": "its limit is at most this multiple of its estimate (D22)",
    "estimate_floor": "a limit from an estimate is at least (D22)",
    "crash_reruns": "runs again after its worker died",
    "charged_crashes": "a job whose worker died in so many runs is charged for them (D23)",
    "rerun_lost": "a job that ran when the service died is run again (R55)",
    "most_attempts": "how often a job is started at most",
    "system_in_dedicated": "system jobs run while a dedicated session is active (R11)",
    "fair_share_window": "used device time counts for (R48)",
    "half_life": "used time counts half after (R48)",
    "reservation_minimum": "the shortest reservation (R47)",
    "reservation_allowance": "a project may have reserved ahead on a device (R47)",
}
UNSET = {
    "default_max_time": "as its first job may run",
    "half_life": "–",
    "reservation_allowance": "any time",
}


def profiles() -> str:
    """The built-in profiles side by side; KeyError for a field that has no meaning here."""
    names = list(PROFILES)
    rows = [
        f"| `[profiles]` key | what it says | {' | '.join(f'`{n}`' for n in names)} |",
        "|---" * (len(names) + 2) + "|",
    ]
    for field in fields(PROFILES["ibm2023"]):
        if field.name == "name":
            continue
        values = [worded(field.name, getattr(profile, field.name)) for profile in PROFILES.values()]
        if len(set(values)) > 1:
            values = [values[0], *(f"**{v}**" for v in values[1:])]
        rows.append(f"| `{field.name}` | {MEANING[field.name]} | {' | '.join(values)} |")
    return "\n".join(rows)


def worded(name: str, value: Any) -> str:
    if value is None:
        return UNSET[name]
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, frozenset):
        return ", ".join(sorted(value)) or "none"
    if isinstance(value, Mapping):
        return ", ".join(f"{program} {_time(limit)}" for program, limit in value.items())
    if name == "estimate_factor":
        return f"{value:g} times" if value else "off"
    return _time(value) if isinstance(value, float) else str(value)


def _time(seconds: float) -> str:
    for unit, size in (("days", 86400.0), ("h", 3600.0), ("min", 60.0)):
        if seconds >= 2 * size and seconds % size == 0:
            return f"{seconds / size:g} {unit}"
    return f"{seconds:,.0f} s".replace(",", " ") if seconds >= 1000 else f"{seconds:g} s"


def blocks() -> dict[str, str]:
    """What stands between the marks of the page, by the name of the mark."""
    return {
        "jobs": listing(steps_of(JOB, JOB_STEPS)),
        "sessions": listing(steps_of(SESSION, SESSION_STEPS)),
        "profiles": profiles(),
    }


def pictures() -> dict[str, str]:
    return {
        "jobs.svg": picture(JOB_BOXES, steps_of(JOB, JOB_STEPS), "jobs"),
        "sessions.svg": picture(SESSION_BOXES, steps_of(SESSION, SESSION_STEPS), "sessions"),
    }


def filled(page: str) -> str:
    """The page with every generated block as it should be. ValueError when a mark is missing."""
    for name, text in blocks().items():
        pattern = re.compile(rf"(<!-- generated: {name} -->\n)(?:(?!<!--).)*(<!-- end -->)", re.DOTALL)
        page, count = pattern.subn(lambda m, text=text: f"{m[1]}\n{text}\n\n{m[2]}", page)  # type: ignore[misc]
        if count != 1:
            raise ValueError(f"the page has {count} marks `generated: {name}`, it needs one")
    return page


def main() -> None:
    for name, text in pictures().items():
        (HERE / name).write_text(text, encoding="utf-8")
    PAGE.write_text(filled(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
    sys.stdout.write(f"{PAGE.name}, {', '.join(pictures())} are up to date\n")


if __name__ == "__main__":
    main()
