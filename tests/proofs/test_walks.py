"""Long random walks over several devices: every invariant after every step. Seeds are printed."""

from __future__ import annotations

import os
import random
from collections.abc import Callable

import pytest

from tests.proofs.town import ESTIMATED, LATER, SMALL, Town

NIGHTLY = os.environ.get("HYPOTHESIS_PROFILE") == "nightly"
STEPS = int(os.environ.get("SOJOURN_PROOF_STEPS", "1000000" if NIGHTLY else "6000"))
LENGTH = 400


def word(town: Town, r: random.Random) -> None:
    n = r.randrange
    yes = r.random() < 0.5
    d = n(2)
    words: tuple[tuple[int, Callable[[], object]], ...] = (
        (18, lambda: town.submit(d, n(5), n(31), r.random() < 0.8)),
        (24, lambda: town.submit_in_session(d, n(4), n(14), r.random() < 0.8)),
        (3, lambda: town.calibrate(d)),
        (8, lambda: town.prepare(d, n(4))),
        (2, lambda: town.unfit(d, n(4))),
        (5, lambda: town.cancel(d, n(8))),
        (34, lambda: town.finish(d, r.choice((0, 0, 0, 1, 2, 3, 4, 5)))),
        (8, lambda: town.open(d, n(5), yes, n(42))),
        (2, lambda: town.drain(d, n(4))),
        (1, lambda: town.close(d, n(4))),
        (5, lambda: town.book(d, n(4), n(15), n(25), r.random() < 0.4, yes)),
        (2, lambda: town.unbook(d, n(3))),
        (1, lambda: town.halt(d, n(3))),
        (4, lambda: town.resume(d)),
        (1, lambda: town.lose(d)),
        (4, lambda: town.ready(d)),
        (1, lambda: town.share(n(4))),
        (1, lambda: town.restart(d, n(12))),
        (3, lambda: town.tick(d)),
        (3, lambda: town.oversleep(n(12))),
        (40, lambda: town.sleep(n(6))),
    )
    for weight, do in words:
        at = r.random() * 165
        if at < weight:
            do()


def walk(seed: int, length: int = LENGTH) -> int:
    r = random.Random(seed)
    town = Town((ESTIMATED if seed % 3 == 2 else SMALL, LATER))
    try:
        while town.steps < length:
            word(town, r)
        town.run_out()
    except Exception as error:
        error.add_note(
            f"replay: tests.proofs.test_walks.walk({seed}, {length}), step {town.steps}, at {town.now}"
        )
        raise
    return town.steps


@pytest.mark.timeout(7200)
def test_every_invariant_holds_on_random_walks_and_every_job_ends_once() -> None:
    steps = seed = 0
    while steps < STEPS:
        steps += walk(seed)
        seed += 1
    print(f"\n{steps:,} steps in {seed:,} walks")
