"""Times and durations as people write them. Pure; the present is an argument."""

from __future__ import annotations

import re
from datetime import UTC, datetime

from sojourn.config import TEN_YEARS
from sojourn.service.errors import BadRequest

EARLIEST = datetime.min.replace(tzinfo=UTC).timestamp()
"""The first instant that can be written as a date."""

_UNITS = {"d": 86400.0, "h": 3600.0, "m": 60.0, "s": 1.0}
_NUMBER = r"\d+(?:\.\d+)?"
_PART = rf"({_NUMBER})\s*(days?|d|hours?|hrs?|h|minutes?|mins?|m|seconds?|secs?|s)\.?[\s,]*"


def seconds(text: str) -> float | None:
    """Seconds of `90`, `90s`, `2h`, `1h 30m`, `2 days`; None for a text that is no duration.

    Each unit comes once at most.
    """
    said = text.strip().lower()
    if re.fullmatch(_NUMBER, said):
        return float(said)
    if not re.fullmatch(f"(?:{_PART})+", said):
        return None
    parts = [(unit[0], float(number)) for number, unit in re.findall(_PART, said)]
    if len(dict(parts)) < len(parts):
        return None  # `1h 1h` is more likely a slip than two hours
    return sum(number * _UNITS[unit] for unit, number in parts)


def duration(text: str, what: str) -> float:
    """As `seconds`, but raises BadRequest naming `what`, also for none and for more than ten years."""
    found = seconds(text)
    if found is None:
        raise BadRequest(
            f"{what} is {text[:60]!r}; a duration looks like 90s, 45m, 2h, 1h 30m or 2d, each unit once."
        )
    if not 0 < found <= TEN_YEARS:
        raise BadRequest(f"{what} is {text[:60]!r}; it must be more than 0 and at most ten years.")
    return found


def epoch(at: datetime, what: str) -> float:
    """Seconds since the epoch; UTC when it names no offset.

    Raises BadRequest naming `what` for a time that only its offset keeps within the years 1 to 9999: in UTC,
    as all answers are, nobody could write it.
    """
    found = (at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp()
    try:
        datetime.fromtimestamp(found, UTC)
    except (ValueError, OverflowError):
        raise BadRequest(
            f"{what} is {at.isoformat()}, which lies outside of the years 1 to 9999 in UTC. Choose a time "
            "within them."
        ) from None
    return found


def instant(text: str, now: float, what: str) -> float:
    """Seconds since the epoch of an ISO 8601 time (UTC when it names no offset), `now`, `+2h` or `in 30m`.

    Raises BadRequest naming `what`.
    """
    said = text.strip()
    lower = said.lower()
    if lower == "now":
        return now
    if lower.startswith("+"):
        return now + duration(said[1:], what)
    if lower.startswith("in "):
        return now + duration(said[3:], what)
    try:
        at = datetime.fromisoformat(said)
    except ValueError:
        raise BadRequest(
            f"{what} is {text[:60]!r}; a time looks like 2026-11-22T14:00 or 2026-11-22T14:00+01:00 (UTC "
            "when no offset is given), +2h, 'in 30m' or now."
        ) from None
    found = epoch(at, what)
    if abs(found - now) > TEN_YEARS:
        raise BadRequest(f"{what} is {text[:60]!r}, more than ten years away.")
    return found
