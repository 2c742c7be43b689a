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
from multiprocessing.queues import Queue
from multiprocessing.synchronize import Barrier

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


def client(ready: Barrier, seconds: float, done: Queue[int]) -> None:
    """Begins with the others, when all have their connections and have seen a first result."""
    job.delay(JOB).get(timeout=60)
    ready.wait()
    count, until = 0, time.perf_counter() + seconds
    while time.perf_counter() < until:
        assert job.delay(JOB).get(timeout=60)
        count += 1
    done.put(count)


def main() -> None:
    clients, seconds = int(sys.argv[1]), float(sys.argv[2])
    fork = multiprocessing.get_context("fork")
    ready, done = fork.Barrier(clients), fork.Queue()
    processes = [fork.Process(target=client, args=(ready, seconds, done)) for _ in range(clients)]
    for process in processes:
        process.start()
    print(sum(done.get() for _ in processes) / seconds)
    for process in processes:
        process.join()


if __name__ == "__main__":
    main()
