"""Nobody starves: a bound on what others may use while a project with weight waits.

The bound. Let project P with weight w wait from t0 on, able to start, all projects in one account. While P
waits, a competitor Q is picked only if its used/weight does not exceed P's. So from t0 until P starts, Q is
charged at most max(0, W(Q) * used(P)/w - used(Q)) + L, where L is the most that one pick can cost: a job's
limit, or a session's max_time and the limit of its last job. Summed over the competitors, with the job that
runs at t0, this is the longest that P waits for others' work on a device that is never lost, halted or
reserved, and while no usage leaves the window.
"""

from __future__ import annotations

import os
import random
from dataclasses import replace

import pytest

from sojourn.core import Lane, Mode
from sojourn.core import events as ev
from sojourn.core.effects import Charge, Effect, JobChanged, Start, Stop
from sojourn.core.fair_share.shares import ProjectShare, Shares
from tests.model.multi_device import SMALL

WALKS = 3000 if os.environ.get("HYPOTHESIS_PROFILE") == "nightly" else 25


@pytest.mark.timeout(3600)
def test_a_project_with_weight_waits_no_longer_than_the_bound() -> None:
    tightest = 0.0
    for seed in range(WALKS):
        tightest = max(tightest, wait(random.Random(seed), sessions=seed % 2 == 1))
    assert tightest > 0.5, "the bound says something"
    print(f"\nthe longest wait was {tightest:.0%} of its bound, in {WALKS:,} walks")


def wait(r: random.Random, *, sessions: bool) -> float:
    profile = replace(SMALL, fair_share_window=1e9, max_time=20.0)
    weights = {f"p{i}": r.choice((0.5, 1.0, 2.0)) for i in range(4)}
    lane = Lane("d", profile, Shares(projects={p: ProjectShare(weight=w) for p, w in weights.items()}))
    used = dict.fromkeys(weights, 0.0)
    now, count = 1000.0, 0
    running: Start | None = None
    begun: set[str] = set()

    def do(event: ev.Event) -> None:
        nonlocal running
        if isinstance(event, ev.RunEnded):
            running = None
        effects: list[Effect] = lane.handle(event, now)
        for effect in effects:
            if isinstance(effect, Charge):
                used[effect.project] += effect.seconds
            elif isinstance(effect, Start):
                running = effect
            elif isinstance(effect, JobChanged) and effect.job.state == "running":
                begun.add(effect.job.id)
            elif isinstance(effect, Stop):  # the worker dies at once
                do(ev.RunEnded(effect.job_id, effect.attempt, ev.Outcome.STOPPED))

    def submit(project: str, session: str | None = None) -> None:
        nonlocal count
        count += 1
        limit = float(r.randint(1, 9))
        do(ev.JobAccepted(f"j{count}", count, project, project, "sampler", session, limit))
        do(ev.JobPrepared(f"j{count}"))

    do(ev.DeviceReady())
    for p in weights:
        do(ev.UsageReported(p, p, float(r.randint(0, 60)), now))
        used[p] = lane.fair.used(p)
    for _ in range(30):
        submit(r.choice(("p1", "p2", "p3")))
    if sessions:
        for s in range(6):
            p = r.choice(("p1", "p2", "p3"))
            do(ev.SessionOpened(f"s{s}", p, p, Mode.DEDICATED, None))
            for _ in range(4):
                submit(p, f"s{s}")
    submit("p0")
    waiter, since = f"j{count}", now
    most = 9.0 + (profile.max_time if sessions else 0.0)
    bound = most + sum(
        max(0.0, weights[q] * used["p0"] / weights["p0"] - used[q]) + most for q in weights if q != "p0"
    )
    while waiter not in begun:
        length = float(r.randint(1, 9))
        until = now + length
        while (at := lane.next_deadline()) is not None and at <= until:
            now = max(now, at)
            do(ev.Tick())
        now = until
        if running is not None:
            do(ev.RunEnded(running.job_id, running.attempt, ev.Outcome.COMPLETED))
        if r.random() < 0.7:
            submit(r.choice(("p1", "p2", "p3")))
        assert now - since <= bound + 9.0, f"waited {now - since} s of at most {bound} s"
    return (now - since) / bound
