"""Durations as tests write them. Pure."""

from __future__ import annotations

from datetime import timedelta

from sojourn.service.timing import times

Duration = float | int | str | timedelta
"""Seconds, or a text such as `50ms`, `90s`, `5min` or `1h 30m`."""


def seconds(wanted: Duration, what: str) -> float:
    """ValueError naming `what` for anything that is no duration of 0 or more."""
    found: float | None
    if isinstance(wanted, timedelta):
        found = wanted.total_seconds()
    elif isinstance(wanted, str):
        text = wanted.strip().lower()
        if text.endswith("ms"):
            whole = times.seconds(text[:-2].strip() + "s")
            found = None if whole is None else whole / 1000
        else:
            found = times.seconds(text)
    elif isinstance(wanted, bool) or not isinstance(wanted, int | float):
        found = None
    else:
        found = float(wanted)
    if found is None or not 0 <= found < float("inf"):
        raise ValueError(f"{what} is {wanted!r}; it must be seconds, or a text such as 50ms, 90s or 5min")
    return found
