"""Shortens what messages quote of a job."""

from __future__ import annotations

MAX_SHOWN = 80


def short(text: str) -> str:
    """The text, cut to `MAX_SHOWN` characters."""
    return text if len(text) <= MAX_SHOWN else text[: MAX_SHOWN - 3] + "..."


def quoted(value: object) -> str:
    """The value as Python writes it, likewise."""
    return short(repr(value))
