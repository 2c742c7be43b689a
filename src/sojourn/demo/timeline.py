"""Computes what the demo claims from the server's job records, and draws it as text. No I/O."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise
from statistics import median
from typing import Any

PARTS = " ▏▎▍▌▋▊▉█"


@dataclass(frozen=True, slots=True)
class Ran:
    """One job as the server recorded it; times in seconds since the epoch, None for not yet."""

    id: str
    user: str
    session: str | None
    state: str
    created: float
    started: float | None
    finished: float | None

    @classmethod
    def of(cls, job: Mapping[str, Any]) -> Ran:
        """From a job of the own API."""
        return cls(
            job["id"],
            job["user"],
            job["session"],
            job["state"],
            _seconds(job["created"]) or 0.0,
            _seconds(job["started"]),
            _seconds(job["finished"]),
        )


def _seconds(text: str | None) -> float | None:
    return None if text is None else datetime.fromisoformat(text).timestamp()


@dataclass(frozen=True, slots=True)
class Stretch:
    """One of the two runs of A on the device: from the start of its first job to the end of its last one.

    `iteration` is the median time from one end of a job of A to the next, `waited` the median time of its
    jobs from submission to start, both in seconds and of the later jobs (the first one waits its turn in
    either run). `foreign` lists the jobs of others that had the device inside the stretch, `gaps` counts
    the steps from one iteration to the next into which somebody else got.
    """

    begin: float
    end: float
    own: tuple[Ran, ...]
    foreign: tuple[Ran, ...]
    iteration: float
    waited: float
    gaps: int


def stretch(jobs: Iterable[Ran], own_ids: Iterable[str]) -> Stretch:
    """The stretch of the jobs `own_ids`; ValueError when fewer than two of them have run."""
    wanted = set(own_ids)
    ran = sorted((job for job in jobs if job.started is not None), key=lambda job: job.started or 0.0)
    own = [job for job in ran if job.id in wanted and job.finished is not None]
    if len(own) < 2:
        raise ValueError(f"only {len(own)} of {len(wanted)} jobs have run; there is nothing to compare")
    begin, end = own[0].started or 0.0, own[-1].finished or 0.0
    foreign = [job for job in ran if job.id not in wanted and overlaps(job, begin, end)]
    steps = [(one.finished or 0.0, two.started or 0.0) for one, two in pairwise(own)]
    return Stretch(
        begin=begin,
        end=end,
        own=tuple(own),
        foreign=tuple(foreign),
        iteration=median((two.finished or 0.0) - (one.finished or 0.0) for one, two in pairwise(own)),
        waited=median((job.started or 0.0) - job.created for job in own[1:]),
        gaps=sum(any(overlaps(job, left, right) for job in foreign) for left, right in steps),
    )


def overlaps(job: Ran, begin: float, end: float) -> bool:
    """Whether the job had the device at some time between the two, the ends not counted."""
    return job.started is not None and job.started < end and (job.finished is None or job.finished > begin)


def longest_wait(jobs: Iterable[Ran], now: float) -> float:
    """Seconds from submission to start; of a job that still waits, until now."""
    return max(
        ((job.started or job.finished or now) - job.created for job in jobs if job.state != "cancelled"),
        default=0.0,
    )


def bar(jobs: Sequence[Ran], begin: float, end: float, width: int) -> str:
    """`width` characters for the time from `begin` to `end`; how full one is says how much of it was used.

    A cell that was used at all shows at least its thinnest mark: no job disappears.
    """
    if end <= begin or width < 1:
        return " " * max(width, 0)
    cell = (end - begin) / width
    used = [0.0] * width
    for job in jobs:
        if job.started is None:
            continue
        left = max((job.started - begin) / cell, 0.0)
        right = min(((job.finished or end) - begin) / cell, float(width))
        for index in range(int(left), min(int(right) + 1, width)):
            used[index] += max(min(right, index + 1) - max(left, index), 0.0)
    top = len(PARTS) - 1
    return "".join(PARTS[0 if part <= 0 else max(1, min(top, round(part * top)))] for part in used)


def drawing(
    one: Stretch, jobs: Sequence[Ran], users: Sequence[str], width: int, margin: float = 0.08
) -> list[str]:
    """The stretch with some time around it, one row for each user of `jobs`, and a ruler in seconds."""
    space = (one.end - one.begin) * margin
    begin, end = one.begin - space, one.end + space
    label = max(len(user) for user in users)
    columns = width - label - 3
    lines = [
        f"{user:<{label}} |{bar([job for job in jobs if job.user == user], begin, end, columns)}|"
        for user in users
    ]
    first = int(margin / (1 + 2 * margin) * columns)
    last = columns - first
    length = f"{one.end - one.begin:.1f} s"
    ruler = " " * first + "^" + length.center(max(last - first - 2, len(length)), "-") + "^"
    return [*lines, " " * (label + 2) + ruler]
