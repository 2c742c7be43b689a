"""How many fair-share decisions a second, with 100,000 and 1,000,000 jobs waiting.

One decision is what the lane does when a job ends: charge its time, pick the next job, take it out of the
queue; and one new job comes in, so that the queue keeps its length. Beside it the naive way: look at every
waiting job for each decision. "fits" and "none fits" are decisions before somebody's reservation, for which
one job in a hundred is short enough, and none (R46).

    python bench/decisions.py [--jobs 100000 1000000] [--users 10000] [--decisions 100000]
"""

from __future__ import annotations

import argparse
import random
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from bench import common
from sojourn.core.calendar import Gap
from sojourn.core.fair_share.queue import FairShareQueue, Waiting

USERS_A_PROJECT = 5


def filled(jobs: int, users: int, seed: int = 1) -> tuple[FairShareQueue, list[tuple[str, str]]]:
    """A queue of `jobs` by `users` in users/5 projects, with some usage everywhere."""
    r = random.Random(seed)
    people = [(f"project-{i // USERS_A_PROJECT}", f"user-{i}") for i in range(users)]
    fair = FairShareQueue(28 * 86400.0)
    for seq in range(jobs):
        fair.add(Waiting(seq, f"job-{seq}", *people[seq % users], 600.0))
    for project, user in people:
        fair.charge(project, user, r.uniform(0.0, 1000.0), 1.0)
    return fair, people


def decide(
    fair: FairShareQueue, people: list[tuple[str, str]], decisions: int, seq: int
) -> tuple[float, float]:
    """Seconds for that many decisions: on the wall clock and of the processor."""
    r = random.Random(2)
    times = [r.uniform(0.1, 30.0) for _ in range(decisions)]
    comers = [people[r.randrange(len(people))] for _ in range(decisions)]
    coming = [Waiting(seq + i, f"job-{seq + i}", *comer, 600.0) for i, comer in enumerate(comers)]
    now = 2.0
    begin, spent = time.perf_counter(), time.process_time()
    for took, new in zip(times, coming, strict=True):
        job_id = fair.first(now)
        assert job_id is not None
        job = fair.waiting[job_id]
        fair.remove(job_id)
        now += took
        fair.charge(job.project, job.user, took, now)
        fair.add(new)
    return time.perf_counter() - begin, time.process_time() - spent


def rescan(fair: FairShareQueue, decisions: int) -> float:
    """Seconds for that many decisions when each looks at all who wait, with usage in plain tables."""
    waiting = dict(fair.waiting)
    projects = {job.project: fair.used(job.project) for job in waiting.values()}
    users = {(job.project, job.user): fair.used(job.project, job.user) for job in waiting.values()}
    begin = time.perf_counter()
    for _ in range(decisions):
        job = min(
            waiting.values(), key=lambda j: (projects[j.project], j.project, users[j.project, j.user], j.seq)
        )
        del waiting[job.job_id]
        projects[job.project] += 10.0
        users[job.project, job.user] += 10.0
    return time.perf_counter() - begin


def backfill(fair: FairShareQueue, people: list[tuple[str, str]], seq: int) -> tuple[float, float]:
    """Seconds for a decision when one job in a hundred fits, and when none does."""
    gap, count = Gap(others=100.0), max(1, len(fair.waiting) // 100)
    for i in range(count):
        fair.add(Waiting(seq + i, f"short-{i}", *people[7 * i % len(people)], 60.0))
    taken = min(count, 1000)
    begin = time.perf_counter()
    for _ in range(taken):
        job_id = fair.first(1e6, gap)
        assert job_id is not None
        fair.remove(job_id)
    fits = (time.perf_counter() - begin) / taken
    gap = Gap(others=10.0)
    assert fair.first(1e6, gap) is None
    begin = time.perf_counter()
    for _ in range(taken):
        fair.first(1e6, gap)
    return fits, (time.perf_counter() - begin) / taken


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--jobs", type=int, nargs="+", default=[100_000, 1_000_000])
    parser.add_argument("--users", type=int, default=10_000)
    parser.add_argument("--decisions", type=int, default=100_000)
    options = parser.parse_args()
    rows = []
    for jobs in options.jobs:
        fair, people = filled(jobs, options.users)
        naive = rescan(fair, 3) / 3
        taken, spent = decide(fair, people, options.decisions, jobs)
        fits, none = backfill(fair, people, jobs + options.decisions)
        rows.append(
            {
                "queued jobs": jobs,
                "users": options.users,
                "decisions/s": options.decisions / taken,
                "us each": 1e6 * taken / options.decisions,
                "CPU us each": 1e6 * spent / options.decisions,
                "fits/s": 1 / fits,
                "none fits/s": 1 / none,
                "naive/s": 1 / naive,
                "times faster": naive * options.decisions / taken,
            }
        )
    common.report("decisions", rows, ["A decision: choose, remove, charge, and one new job."])


if __name__ == "__main__":
    main()
