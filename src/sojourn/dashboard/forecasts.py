"""Forecasts in words: when a job is expected to start, between which times, and what it waits for."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from sojourn.dashboard.moments import Html, html, lasting, moment

WAITS = ("accepted", "queued")
HEAD = "Expected start (8 of 10 cases)"
"""Over `short`."""


def waiting(jobs: Iterable[Mapping[str, Any]]) -> bool:
    """Whether a list of these jobs has something to say of starts."""
    return any(job["state"] in WAITS and job["queue"] is not None for job in jobs)


def short(job: Mapping[str, Any]) -> Html:
    """For a cell of a table: `14:05:10 (14:01:00 to 14:22:00)`."""
    queue = job["queue"]
    if job["state"] not in WAITS or queue is None:
        return Html("")
    if queue["start"] is None:
        return Html(f"not known: {html(queue['unknown'])}" if queue["unknown"] else "")
    text = f"{moment(queue['start']['expected'])} ({_band(queue['start'], ' to ')})"
    return Html(f'<span style="white-space: nowrap">{text}</span>')


def lines(queue: Mapping[str, Any] | None) -> dict[str, Html | None]:
    """For a list of facts: the expected start and end, and what passes until then."""
    if queue is None:
        return {}
    if queue["unknown"] is not None:
        return {"Expected start": Html(f"not known: {html(queue['unknown'])}")}
    waits = ", ".join(f"{html(each['what'])} {lasting(each['seconds'])}" for each in queue["waits"])
    return {
        "Expected start": _long(queue["start"]),
        "Until then": Html(waits) if waits else None,
        "Expected end": _long(queue["end"]),
    }


def _long(span: Mapping[str, Any] | None) -> Html | None:
    if span is None:
        return None
    expected = f"{moment(span['expected'])}, {moment(span['expected'], 'in')}"
    return Html(f"{expected}; in 8 of 10 cases between {_band(span, ' and ')}")


def _band(span: Mapping[str, Any], between: str) -> Html:
    latest = "perhaps never" if span["latest"] is None else moment(span["latest"])
    return Html(moment(span["earliest"]) + between + latest)
