"""The queue and the naive reference choose the same job in random states: with a window that is kept by the
second or in steps, with a half-life, and when only some jobs fit before somebody's reservation."""

from __future__ import annotations

import os
import random
from types import SimpleNamespace
from typing import Any

import pytest

from sojourn.core.calendar import Calendar, Gap, Reservation, ReservationMode
from sojourn.core.fair_share.queue import FairShareQueue, Waiting
from sojourn.core.fair_share.shares import ProjectShare, Shares
from sojourn.core.queues import Queues
from tests.model.reference import Snapshot, faded, next_job

ROUNDS = 20_000 if os.environ.get("HYPOTHESIS_PROFILE") == "nightly" else 150
WEIGHTS = (0.0, 0.5, 1.0, 1.0, 1.0, 3.0)


def random_queue(
    r: random.Random, window: float, half_life: float | None, *, asked: bool = False
) -> tuple[FairShareQueue, dict[str, Any], list[tuple[float, str, str, float]], float]:
    """A queue after many changes, and the plain rows that say the same.

    `asked` between the changes who is next, and who waits: no answer of later may depend on it.
    """
    projects = [f"p{i}" for i in range(r.randint(1, 5))]
    users = [(p, f"u{r.randrange(6)}") for p in projects for _ in range(2)]
    shares = Shares(
        accounts={f"a{i}": r.choice(WEIGHTS) for i in range(2)},
        projects={
            p: ProjectShare(f"a{r.randrange(3)}", r.choice(WEIGHTS), r.choice((None, None, 5.0, 20.0)))
            for p in projects
        },
        users={u: r.choice(WEIGHTS) for u in users},
    )
    fair = FairShareQueue(window, half_life, shares)
    jobs: dict[str, Any] = {}
    charges: list[tuple[float, str, str, float]] = []
    now = 100.0
    for seq in range(r.randint(5, 60)):
        project, user = r.choice(users)
        match r.randrange(5):
            case 0 | 1:
                job = SimpleNamespace(
                    id=f"j{seq}",
                    seq=seq,
                    project=project,
                    user=user,
                    limit=float(r.randint(1, 9)),
                    state="queued",
                    kind="user",
                    accepted_at=now,
                )
                jobs[job.id] = job
                fair.add(waiting(job))
            case 2 if jobs:
                gone = r.choice(list(jobs.values()))
                fair.remove(gone.id)
                if r.random() < 0.5:  # it comes back, as from a session that lost the device
                    fair.add(waiting(gone))
                else:
                    del jobs[gone.id]
            case 3:
                # with a half-life no two sums are alike, so that rounding decides nothing
                seconds = r.uniform(1.0, 9.0) if half_life else float(r.randint(1, 9))
                at = now - r.randrange(3)
                fair.charge(project, user, seconds, at)
                charges.append((at, project, user, seconds))
            case 4:
                now += r.randrange(max(12, int(window) // 4))
                fair.expire(now)
        if asked:
            list(fair.order(now))
            fair.first(now, Gap(others=float(seq % 10)))
    return fair, jobs, charges, now


def waiting(job: SimpleNamespace) -> Waiting:
    return Waiting(job.seq, job.id, job.project, job.user, job.limit)


@pytest.mark.parametrize(("window", "half_life"), [(50.0, None), (672 * 4.0, None), (50.0, 30.0)])
@pytest.mark.timeout(3600)
def test_the_naive_scheduler_would_pick_the_same(window: float, half_life: float | None) -> None:
    picked = 0
    for seed in range(ROUNDS):
        fair, jobs, charges, now = random_queue(random.Random(seed), window, half_life)
        profile = SimpleNamespace(half_life=half_life, fair_share_window=window, system_in_dedicated=True)
        plain = Snapshot([], [], [], charges, fair.shares, profile)
        fair.expire(now)
        while True:
            plain.jobs = jobs.values()
            expected = next_job(plain, now)
            assert fair.first(now) == expected, f"seed {seed}"
            if expected is None:
                break
            if len(jobs) % 3 == 0:
                assert next(fair.order(now)) == expected
            picked += 1
            fair.remove(expected)
            del jobs[expected]
        used = sum(faded(plain, at, s, now) for at, p, _, s in charges if p == "p0") / 1e9
        assert fair.used("p0") == pytest.approx(used)
    print(f"\n{picked:,} picks compared")


@pytest.mark.parametrize("half_life", [None, 30.0])
@pytest.mark.timeout(3600)
def test_r46_the_naive_scheduler_would_pass_over_the_same_jobs(half_life: float | None) -> None:
    """Before one or two dedicated windows, and inside a priority window."""
    passed = 0
    for seed in range(ROUNDS):
        r = random.Random(seed)
        fair, jobs, charges, now = random_queue(r, 50.0, half_life)
        profile = SimpleNamespace(half_life=half_life, fair_share_window=50.0, system_in_dedicated=True)
        calendar = Calendar()
        ahead = now
        for i in range(r.randint(1, 2)):
            ahead += r.randint(1, 9)
            calendar.add(Reservation(f"R{i}", r.choice(("p0", "p1")), "u", ahead, ahead + 1.0))
            ahead += 1.0
        if r.random() < 0.5:
            calendar.add(
                Reservation("P", "p0", "u", now - r.randint(0, 40), now + 0.5, ReservationMode.PRIORITY)
            )
        queues = Queues(fair, calendar, jobs)
        plain = Snapshot([], [], list(calendar), charges, fair.shares, profile)
        while True:
            plain.jobs = jobs.values()
            expected = next_job(plain, now)
            assert queues.next(now, system=True) == expected, f"seed {seed}"
            if expected is None:
                passed += len(jobs)
                break
            fair.remove(expected)
            del jobs[expected]
            if jobs and r.random() < 0.3:  # as time passes, less and less fits
                late = r.choice(list(jobs.values()))
                fair.charge(late.project, late.user, 1.0, now)
                charges.append((now, late.project, late.user, 1.0))
    assert passed > ROUNDS
    print(f"\n{passed:,} jobs did not fit")


@pytest.mark.parametrize("half_life", [None, 30.0])
@pytest.mark.timeout(3600)
def test_r46_who_may_start_again_is_found_whatever_was_asked_before(half_life: float | None) -> None:
    """Time passes before a window that keeps its distance, and allocations are used up no more."""
    found = 0
    for seed in range(ROUNDS):
        r = random.Random(seed)
        fair, jobs, charges, now = random_queue(r, 50.0, half_life, asked=True)
        profile = SimpleNamespace(half_life=half_life, fair_share_window=50.0, system_in_dedicated=True)
        for _ in range(6):
            now += r.randrange(20)
            far = now + r.randint(1, 9)
            calendar = Calendar()
            calendar.add(Reservation("R", "nobody", "u", far, far + 1.0))
            plain = Snapshot(jobs.values(), [], list(calendar), charges, fair.shares, profile)
            expected = next_job(plain, now)
            assert Queues(fair, calendar, jobs).next(now, system=True) == expected, f"seed {seed}"
            list(fair.order(now))
            found += expected is not None
    print(f"\n{found:,} searches found a job")


@pytest.mark.timeout(3600)
def test_new_shares_hold_as_if_the_queue_had_been_made_with_them() -> None:
    picked = 0
    for seed in range(ROUNDS):
        r = random.Random(seed)
        fair, jobs, charges, now = random_queue(r, 50.0, None, asked=r.random() < 0.5)
        shares = Shares(
            accounts={f"a{i}": r.choice(WEIGHTS) for i in range(2)},
            projects={
                f"p{i}": ProjectShare(f"a{r.randrange(3)}", r.choice(WEIGHTS), r.choice((None, 5.0, 20.0)))
                for i in range(5)
            },
        )
        plain = FairShareQueue(50.0, None, shares)
        for at, project, user, seconds in charges:
            plain.charge(project, user, seconds, at)
        for job in jobs.values():
            plain.add(waiting(job))
        fair.set_shares(shares)
        for limit in (3.0, 7.0):
            assert fair.first(now, Gap(others=limit)) == plain.first(now, Gap(others=limit)), f"seed {seed}"
        while (job_id := fair.first(now)) is not None:
            assert plain.first(now) == job_id, f"seed {seed}"
            fair.remove(job_id)
            plain.remove(job_id)
            picked += 1
    assert picked > ROUNDS
