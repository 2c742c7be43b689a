"""Runs seeds, or replays one: `python -m tests.proofs.crash --seeds 0:2000`, `--seed 17 --trace`."""

from __future__ import annotations

import argparse
import sys
import time

from tests.proofs.crash.simulation import SMALL, simulate


def main() -> int:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--seeds", default="0:1000", help="from:to, without the last")
    arguments.add_argument("--seed", type=int)
    arguments.add_argument("--cuts", help="cut the power at these points instead of by chance")
    arguments.add_argument("--every-point", action="store_true", help="cut at each point of the seed in turn")
    arguments.add_argument("--jobs", type=int, default=SMALL, help="most jobs of a client")
    arguments.add_argument("--trace", action="store_true")
    asked = arguments.parse_args()
    cuts = frozenset(map(int, asked.cuts.split(","))) if asked.cuts is not None else None
    began, lives, jobs, failed = time.perf_counter(), 0, 0, 0
    plans: list[tuple[int, frozenset[int] | None]]
    if asked.every_point:
        count = simulate(asked.seed, cuts=frozenset(), jobs=asked.jobs).points
        plans = [(asked.seed, frozenset({point})) for point in range(1, count + 1)]
    elif asked.seed is not None:
        plans = [(asked.seed, cuts)]
    else:
        first, last = map(int, asked.seeds.split(":"))
        plans = [(seed, cuts) for seed in range(first, last)]
    for seed, plan in plans:
        try:
            report = simulate(seed, cuts=plan, jobs=asked.jobs)
        except AssertionError as error:
            failed += 1
            print(f"seed {seed}: {error}\n")
            continue
        lives, jobs = lives + report.crashes, jobs + report.jobs
        if asked.trace:
            print("\n".join(report.trace))
    took = time.perf_counter() - began
    print(f"{len(plans)} simulations, {failed} failed; {lives} crashes, {jobs} jobs, {took:.1f} s")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
