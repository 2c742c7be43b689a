"""Checks that explanations are true, from the rows of the invariants. Does not look into the lane.

`check_explanation` works out all reasons that hold, each in its own naive way, and compares: a reason
is given if and only if it holds, with the same facts. The order of jobs comes from the naive reference.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from math import inf
from types import SimpleNamespace
from typing import Any

import pytest

from sojourn.core.explanation import explain as ex
from sojourn.core.explanation.reasons import (
    AllocationUsed,
    Clearing,
    DeviceDown,
    DeviceStopped,
    DoesNotFit,
    JobsAhead,
    NoWeight,
    OverShare,
    Preparing,
    Reason,
    Reserved,
    Running,
    SessionHolds,
    SystemJobsAhead,
)
from sojourn.core.wording.limits import LimitSource
from tests.model.invariants import Invariants
from tests.model.reference import faded, next_job, spent
from tests.model.steps import FINAL

PROBE = "probe"


def check_explanation(invariants: Invariants, job_id: str, found: ex.Explanation | None) -> None:
    """AssertionError when `found` is not the truth about the job, as of the last event."""
    job = invariants.jobs.get(job_id)
    if job is None or job.state == "running" or job.state in FINAL:
        assert found is None, "who runs or has ended waits for nothing"
        return
    assert found is not None
    live = [j for j in invariants.jobs.values() if j.state not in FINAL]
    assert found.depth == sum(j.state in ("accepted", "queued") for j in live), "depth is all that wait"
    line = line_of(invariants)
    before = None if job.state == "accepted" else line[: line.index(job_id)]
    runs = any(j.state == "running" for j in live)
    assert found.position == (None if before is None else len(before) + runs), (
        f"position of {job_id} in {line}, {'one' if runs else 'none'} running"
    )
    expected = {type(reason): reason for reason in reasons(invariants, job, line)}
    told = {type(reason): reason for reason in found.reasons}
    assert found.starts_at == start_of(invariants, job, expected.keys())
    assert len(told) == len(found.reasons), "each reason once"
    assert told.keys() == expected.keys(), f"{job_id}: told {told}, but the truth is {expected}"
    for kind, reason in expected.items():
        same(told[kind], reason)
    assert told, "who waits waits for something"


def same(told: Any, true: Any) -> None:
    if isinstance(true, OverShare):
        assert told.project == true.project
        assert told.ratio == pytest.approx(true.ratio)
    elif isinstance(true, AllocationUsed):
        assert (told.project, told.allocation) == (true.project, true.allocation)
        assert told.used == pytest.approx(true.used)
    else:
        assert told == true
    assert told.sentence(str.upper)


def line_of(w: Invariants, *more: Any) -> list[str]:
    """Whom the reference would start, one after the other, if they all fitted and nothing else happened.

    When it would start nobody, what stands in the way is taken away: the window, then the session. Whoever is
    left then has no allocation left.
    """
    s = w.snapshot()
    jobs = {j.id: j for j in (*s.jobs, *more)}
    s.reservations = [
        x for x in w.reservations.values() if x.start <= w.now
    ]  # R46: who does not fit keeps the place
    line: list[str] = []
    for in_the_way in ("nobody", "window", "session"):
        if in_the_way == "window":
            s.reservations = []
        elif in_the_way == "session":
            s.sessions = []
        while True:
            s.jobs = jobs.values()
            first = next_job(s, w.now)
            if first is None:
                break
            line.append(first)
            del jobs[first]
    assert all(spent(s, j.project, w.now) for j in jobs.values())
    return line + sorted(jobs, key=lambda i: jobs[i].seq)


def reasons(w: Invariants, job: Any, line: list[str]) -> Iterator[Reason]:
    """All that keep the job from starting now."""
    if job.state == "accepted":
        yield Preparing()
    if w.halt is not None and w.halt.mode in ("paused", "maintenance"):
        yield DeviceStopped(w.halt.mode, w.halt.by, w.halt.message, w.halt.until)
    if not w.ready:
        yield DeviceDown(w.why_down or "the device has not come up yet")
    if job.state == "queued":
        yield from of_windows(w, job, line)
        yield from of_the_device(w)
        yield from of_others(w, job, [w.jobs[i] for i in line[: line.index(job.id)]])
        yield from of_the_session(w, job, line)


def of_windows(w: Invariants, job: Any, line: list[str]) -> Iterator[Reason]:
    if job.kind == "system":
        return
    theirs = sorted(
        (x for x in w.reservations.values() if x.mode == "dedicated" and x.project != job.project),
        key=lambda x: x.start,
    )
    for x in theirs:
        if x.start <= w.now < x.end:
            yield Reserved(x.id, x.project, x.mode, x.end)
    before = [w.jobs[i] for i in line[: line.index(job.id)]]
    for x in w.reservations.values():
        if x.mode == "priority" and x.start <= w.now < x.end and x.project != job.project:
            active = w.active()
            if any(
                in_queue(w, j)
                and j.project == x.project
                and j.accepted_at >= x.start
                and not spent(w.snapshot(), j.project, w.now)
                for j in before
            ) and not (active is not None and active.project == x.project):
                yield Reserved(x.id, x.project, x.mode, x.end)
    ahead = [x for x in theirs if x.start > w.now]
    if ahead and w.now + job.limit > ahead[0].start:
        first, room = ahead[0], ahead[0].start - w.now
        fits = [n for n in range(1, 100) if n <= room and n >= (job.estimate or 0)]  # no window is later
        source = source_of(w, job)
        most = max(fits, default=None)
        estimate = job.estimate or None  # 0 is not known, either
        yield DoesNotFit(first.id, first.start, first.end, job.limit, room, source, estimate, most)


def source_of(w: Invariants, job: Any) -> LimitSource:
    """Whose limit it has: the first of all that limit it to that."""
    if job.stated and job.own_limit is not None:
        return LimitSource.STATED
    least = min(job.own_limit or w.profile.program_limits[job.program], w.profile.job_cap)
    if job.limit < least:
        return LimitSource.ESTIMATE
    return LimitSource.PROJECT if job.own_limit is not None else LimitSource.PROGRAM


def start_of(w: Invariants, job: Any, kept_by: Iterable[type]) -> float | None:
    """The first moment at which no dedicated window of somebody else keeps it, if only such windows do, and
    if it has not failed by then."""
    if job.state != "queued" or not set(kept_by) <= {Reserved, DoesNotFit}:
        return None
    theirs = [x for x in w.reservations.values() if x.mode == "dedicated" and x.project != job.project]
    ends = [x.end for x in theirs if x.end > w.now]
    at = min(
        t
        for t in (w.now, *ends)
        if not any(x.start <= t < x.end or t < x.start < t + job.limit for x in theirs)
    )
    over = [job.cache_expires_at] if job.detached else []
    if job.session_id is not None and not job.detached:
        session = w.sessions[job.session_id]
        own = w.reservations.get(session.window or "")
        over += [session.ends_at, own.end if own is not None else None]
    return None if any(end is not None and at >= end for end in over) else at


def of_the_device(w: Invariants) -> Iterator[Reason]:
    if w.occupant is None:
        return
    busy = w.jobs[w.occupant[0]]
    if busy.state == "running":
        yield Running(busy.id, busy.project, None if busy.detached else busy.session_id)
    else:
        yield Clearing(busy.id)


def of_others(w: Invariants, job: Any, before: list[Any]) -> Iterator[Reason]:
    """Jobs that go first; those of the active session are its own matter, unless the job is one of them."""
    system = [j for j in before if j.kind == "system"]
    if system:
        yield SystemJobsAhead(len(system))
    others = Counter(
        j.project for j in before if j.kind != "system" and (not in_session(w, j) or in_session(w, job))
    )
    if others:
        yield JobsAhead(tuple(sorted(others.items())))
    if not in_queue(w, job):
        return
    if spent(w.snapshot(), job.project, w.now):
        allocation = w.shares.project(job.project).allocation
        assert allocation is not None
        yield AllocationUsed(job.project, used(w, job.project), allocation)
    if set(others) - {job.project}:
        ratio = over_share(w, job.project)
        if ratio > 1:
            yield OverShare(job.project, ratio)
    foreign = [j for j in before if in_queue(w, j)]
    level = next((level for j in foreign if (level := outweighed(w, job, j))), None)
    if level is not None:
        yield NoWeight(level)


def of_the_session(w: Invariants, job: Any, line: list[str]) -> Iterator[Reason]:
    """It goes first if one more job of it, the youngest of all, would still be before ours."""
    active = w.active()
    if active is None or in_session(w, job):
        return
    probe = SimpleNamespace(
        id=PROBE,
        seq=10**9,
        state="queued",
        kind="user",
        user=active.user,
        project=active.project,
        session_id=active.id,
        detached=False,
        accepted_at=w.now,
        limit=0.0,
    )
    longer = line_of(w, probe)
    if longer.index(PROBE) > longer.index(job.id):
        return
    mine = [j for j in w.members(active.id) if j.state == "queued"]
    window = next((x for x in w.reservations.values() if x.start <= w.now < x.end), None)
    dedicated = window if window is not None and window.mode == "dedicated" else None
    until = None
    idles = not w._runs(active) and not w._overruled(active, dedicated)
    if idles and not w.ready_job(active, w.now):
        own = w.reservations.get(active.window or "")
        over = max(w.now, w.now + active.ttl - w._clock[active.id]), active.started_at + active.max_time
        until = min(*over, own.end if own is not None else inf)
    if active.accepting or any(j.state != "running" for j in w.members(active.id)):
        yield SessionHolds(active.id, active.project, len(mine), until)


# small questions


def in_session(w: Invariants, job: Any) -> bool:
    active = w.active()
    return active is not None and job.session_id == active.id and not job.detached


def in_queue(w: Invariants, job: Any) -> bool:
    """Whether it waits in fair share."""
    return job.state == "queued" and job.kind == "user" and not in_session(w, job)


def outweighed(w: Invariants, job: Any, by: Any) -> str | None:
    """Where the ways of the two part, if ours has weight 0 there and the other has not."""
    mine, theirs = (w.shares.project(j.project) for j in (job, by))
    if mine.account != theirs.account:
        ours, other = (w.shares.account_weight(a) for a in (mine.account, theirs.account))
        level = "account"
    elif job.project != by.project:
        ours, other, level = mine.weight, theirs.weight, "project"
    else:
        ours, other = (w.shares.user_weight(j.project, j.user) for j in (job, by))
        level = "user"
    return level if ours == 0 and other > 0 else None


def used(w: Invariants, project: str) -> float:
    s = w.snapshot()
    return sum(faded(s, until, seconds, w.now) for until, p, _, seconds in w.charges if p == project) / 1e9


def over_share(w: Invariants, project: str) -> float:
    """What the project has used of all that the waiting projects have, over what it should have.

    The device is divided among the accounts that wait by weight, and each part among the account's projects.
    """
    waiting = {j.project for j in w.jobs.values() if in_queue(w, j)}
    account_of = {p: w.shares.project(p).account for p in waiting}
    accounts = {a: w.shares.account_weight(a) for a in account_of.values()}
    siblings = {p: w.shares.project(p).weight for p in waiting if account_of[p] == account_of[project]}
    everybody = sum(used(w, p) for p in waiting)
    if not everybody or not accounts[account_of[project]] or not siblings[project]:
        return 0.0  # nothing has been used, or nothing is due
    due = accounts[account_of[project]] / sum(accounts.values()) * siblings[project] / sum(siblings.values())
    return used(w, project) / everybody / due
