"""A Celery task that does what a `mock` device does at 0 s, and clients that flood it.

Runs in an interpreter that has `celery[redis]`, not in ours: `python celery_app.py CLIENTS SECONDS` prints
how many tasks per second were submitted, done and their results fetched. Each client is a process, as the
results of Celery must not be awaited in several threads.
"""

from __future__ import annotations

import multiprocessing
import os
import random
import sys
import time

from celery import Celery  # type: ignore[import-not-found, unused-ignore]

URL = os.environ["REDIS_URL"]
JOB = "x" * 900
"""As long as the body of a small job."""

app = Celery("celery_app", broker=URL, backend=URL)
app.conf.update(task_acks_late=True, worker_prefetch_multiplier=1, result_expires=3600)


@app.task  # type: ignore[untyped-decorator, unused-ignore]
def job(body: str) -> str:
    """Random bits of the right shape, as text of the length of our answer."""
    return f"{len(body)} {random.getrandbits(2048):0512x}"


def client(seconds: float) -> int:
    done, until = 0, time.perf_counter() + seconds
    while time.perf_counter() < until:
        assert job.delay(JOB).get(timeout=60)
        done += 1
    return done


def main() -> None:
    clients, seconds = int(sys.argv[1]), float(sys.argv[2])
    with multiprocessing.get_context("fork").Pool(clients) as pool:
        began = time.perf_counter()
        done = sum(pool.map(client, [seconds] * clients, chunksize=1))
        print(done / (time.perf_counter() - began))


if __name__ == "__main__":
    main()
