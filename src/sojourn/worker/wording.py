"""Shortens what messages quote of a job, and of the errors that it causes."""

from __future__ import annotations

MAX_SHOWN = 80


def short(text: str) -> str:
    """The text, cut to `MAX_SHOWN` characters."""
    return text if len(text) <= MAX_SHOWN else text[: MAX_SHOWN - 3] + "..."


def quoted(value: object) -> str:
    """The value as Python writes it, likewise."""
    return short(repr(value))


def said(error: BaseException, most: int = 300) -> str:
    """What an error says, on one line of at most `most` characters; its kind when it says nothing."""
    return " ".join(str(error).split())[:most] or type(error).__name__
