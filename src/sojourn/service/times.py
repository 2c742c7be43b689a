"""Times and durations as people write them. Pure; the present is told."""

from __future__ import annotations

import re
from datetime import UTC, datetime

from sojourn.service.errors import BadRequest

LONGEST = 3660 * 86400.0
"""Ten years, in seconds: what lies further away is a slip of the pen."""

_UNITS = {"d": 86400.0, "h": 3600.0, "m": 60.0, "s": 1.0}
_PART = re.compile(r"(\d{1,9}(?:\.\d{1,6})?)\s*(days?|d|hours?|hrs?|h|minutes?|mins?|m|seconds?|secs?|s)?\s*")


def duration(text: str, what: str) -> float:
    """Seconds of `90`, `90s`, `2h`, `1h 30m`, `2 days`. Raises BadRequest naming `what`."""
    rest, total = text.strip().lower(), 0.0
    parts = list(_PART.finditer(rest))
    whole = "".join(part.group(0) for part in parts)
    bare = [part for part in parts if part.group(2) is None]
    if not parts or whole != rest or (bare and len(parts) > 1):
        raise BadRequest(f"{what} is {text[:60]!r}; a duration looks like 90s, 45m, 2h, 1h 30m or 2d.")
    for part in parts:
        total += float(part.group(1)) * _UNITS[(part.group(2) or "s")[0]]
    if not 0 < total <= LONGEST:
        raise BadRequest(f"{what} is {text[:60]!r}; it must be more than 0 and at most ten years.")
    return total


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
        found = (at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        raise BadRequest(
            f"{what} is {text[:60]!r}; a time looks like 2026-11-22T14:00 or 2026-11-22T14:00+01:00 (UTC "
            "when no offset is given), +2h, 'in 30m' or now."
        ) from None
    if abs(found - now) > LONGEST:
        raise BadRequest(f"{what} is {text[:60]!r}, more than ten years away.")
    return found
