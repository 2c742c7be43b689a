"""Formats times and durations for reasons."""

from __future__ import annotations

from datetime import UTC, datetime


def seconds(value: float) -> str:
    """`600 s`, `2.5 s`: plain seconds, as the settings and the client give them."""
    return f"{value:g} s" if value < 999_999.5 else f"{value:.0f} s"


def at_time(at: float) -> str:
    """An instant in UTC to the second."""
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
