"""Long random walks over several devices: every invariant after every step. Seeds are printed."""

from __future__ import annotations

import os
import random
from collections.abc import Callable

import pytest

from tests.model.multi_device import ESTIMATED, LATER, SMALL, MultiDevice

NIGHTLY = os.environ.get("HYPOTHESIS_PROFILE") == "nightly"
STEPS = int(os.environ.get("SOJOURN_PROOF_STEPS", "1000000" if NIGHTLY else "6000"))
LENGTH = 400


def word(model: MultiDevice, r: random.Random) -> None:
    n = r.randrange
    yes = r.random() < 0.5
    d = n(2)
    words: tuple[tuple[int, Callable[[], object]], ...] = (
        (18, lambda: model.submit(d, n(5), n(31), r.random() < 0.8)),
        (24, lambda: model.submit_in_session(d, n(4), n(14), r.random() < 0.8)),
        (3, lambda: model.calibrate(d)),
        (8, lambda: model.prepare(d, n(4))),
        (2, lambda: model.unfit(d, n(4))),
        (5, lambda: model.cancel(d, n(8))),
        (34, lambda: model.finish(d, r.choice((0, 0, 0, 1, 2, 3, 4, 5)))),
        (8, lambda: model.open(d, n(5), yes, n(42))),
        (2, lambda: model.drain(d, n(4))),
        (1, lambda: model.close(d, n(4))),
        (5, lambda: model.reserve(d, n(4), n(15), n(25), r.random() < 0.4, yes)),
        (2, lambda: model.cancel_reservation(d, n(3))),
        (1, lambda: model.halt(d, n(3))),
        (4, lambda: model.resume(d)),
        (1, lambda: model.lose(d)),
        (4, lambda: model.ready(d)),
        (1, lambda: model.share(n(4))),
        (1, lambda: model.restart(d, n(12))),
        (3, lambda: model.tick(d)),
        (3, lambda: model.oversleep(n(12))),
        (40, lambda: model.sleep(n(6))),
    )
    for weight, do in words:
        at = r.random() * 165
        if at < weight:
            do()


def walk(seed: int, length: int = LENGTH) -> int:
    r = random.Random(seed)
    model = MultiDevice((ESTIMATED if seed % 3 == 2 else SMALL, LATER))
    try:
        while model.steps < length:
            word(model, r)
        model.run_out()
    except Exception as error:
        error.add_note(
            f"replay: tests.proofs.test_walks.walk({seed}, {length}), step {model.steps}, at {model.now}"
        )
        raise
    return model.steps


@pytest.mark.timeout(7200)
def test_every_invariant_holds_on_random_walks_and_every_job_ends_once() -> None:
    steps = seed = 0
    while steps < STEPS:
        steps += walk(seed)
        seed += 1
    print(f"\n{steps:,} steps in {seed:,} walks")
