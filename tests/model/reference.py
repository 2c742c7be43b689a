"""A second opinion: which job is next? Naive, quadratic, obviously right; shares no code with the core.

It reads rows, not the lane: the jobs, sessions and windows as they were last reported, and every charge.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from math import ceil
from typing import Any


@dataclass
class Snapshot:
    """`charges` are (until, project, user, seconds). `profile` and `shares` only lend their numbers."""

    jobs: Iterable[Any]
    sessions: Iterable[Any]
    reservations: Iterable[Any]
    charges: Sequence[tuple[float, str, str, float]]
    shares: Any
    profile: Any


def next_job(s: Snapshot, now: float) -> str | None:
    """R9, with R44-R48 and R50."""
    queued = sorted((j for j in s.jobs if j.state == "queued"), key=lambda j: j.seq)
    active = next((x for x in s.sessions if x.state == "active"), None)
    system = [j for j in queued if j.kind == "system"]
    if system and (s.profile.system_in_dedicated or active is None or active.mode == "batch"):
        return str(system[0].id)

    users = [j for j in queued if j.kind == "user"]
    inside = [j for j in users if active and j.session_id == active.id and not j.detached]
    rest = [j for j in users if j not in inside]
    window = next((w for w in s.reservations if w.start <= now < w.end), None)
    if window is not None and not (active and active.project == window.project):
        his = [j for j in rest if j.project == window.project]
        if window.mode == "priority":
            his = [j for j in his if j.accepted_at >= window.start]
        found = fair(s, his, now)
        if found is not None or window.mode == "dedicated":
            return found
    if active:
        return next((str(j.id) for j in inside if fits(s, j, now)), None)
    return fair(s, rest, now)


def fits(s: Snapshot, job: Any, now: float) -> bool:
    """R46: it ends before the next dedicated window of somebody else."""
    return not any(
        now < w.start < now + job.limit
        for w in s.reservations
        if w.mode == "dedicated" and w.project != job.project
    )


def fair(s: Snapshot, jobs: list[Any], now: float) -> str | None:
    """R48: the first in the fair order that fits."""
    left = [j for j in jobs if not spent(s, j.project, now)]
    while left:
        job = pick(s, left, now)
        if fits(s, job, now):
            return str(job.id)
        left.remove(job)
    return None


def pick(s: Snapshot, jobs: list[Any], now: float) -> Any:
    """Level by level the child with the least used/weight, at the leaf the oldest."""

    def account(job: Any) -> Any:
        return s.shares.project(job.project).account

    levels: list[tuple[Callable[[Any], Any], Callable[[Any], float]]] = [
        (account, lambda j: s.shares.account_weight(account(j))),
        (lambda j: (account(j), j.project), lambda j: s.shares.project(j.project).weight),
        (lambda j: (j.project, j.user), lambda j: s.shares.user_weight(j.project, j.user)),
    ]
    for name, weight in levels:
        oldest: dict[Any, Any] = {}
        for job in sorted(jobs, key=lambda j: j.seq):
            oldest.setdefault(name(job), job)

        def rank(job: Any, name: Any = name, weight: Any = weight) -> tuple[bool, float, int]:
            theirs = sum(
                faded(s, until, seconds, now)
                for until, project, user, seconds in s.charges
                if name(_Account(project, user)) == name(job)
            )
            mine = weight(job)
            return mine == 0, theirs / mine if mine else theirs, job.seq

        best = min(oldest.values(), key=rank)
        jobs = [j for j in jobs if name(j) == name(best)]
    return min(jobs, key=lambda j: j.seq)


def spent(s: Snapshot, project: str, now: float) -> bool:
    """R50."""
    allocation = s.shares.project(project).allocation
    used = sum(faded(s, until, seconds, now) for until, p, _, seconds in s.charges if p == project)
    return allocation is not None and used >= round(allocation * 1e9)


def faded(s: Snapshot, until: float, seconds: float, now: float) -> float:
    """What a charge still counts, in nanoseconds."""
    if s.profile.half_life is not None:
        return float(1e9 * seconds * 0.5 ** ((now - until) / s.profile.half_life))
    window = s.profile.fair_share_window
    step = max(1.0, window // 672)  # D18: the window is kept in steps
    return round(seconds * 1e9) if ceil(until / step) * step + window > now else 0


@dataclass
class _Account:
    project: str
    user: str
