"""The levels of a job's log: their order, and which of the lines that a run writes a level shows.

A line of a run that begins with the name of a level is of that level; any other is output, and always shown.
"""

from __future__ import annotations

LEVELS = {"DEBUG": 10, "INFO": 20, "WARNING": 30, "ERROR": 40, "CRITICAL": 50}


def level(name: str | None) -> int:
    """The number of a level, in any case of letters; what is none, or not given, is WARNING."""
    return LEVELS.get((name or "").upper(), LEVELS["WARNING"])


def shown(written: str, name: str | None) -> str:
    """What the level `name` shows of what a run wrote."""
    hidden = tuple(f"{lower} " for lower, number in LEVELS.items() if number < level(name))
    return "".join(line for line in written.splitlines(keepends=True) if not line.startswith(hidden))
