"""Splits iterations of a session into stages by what the service tells of them, so that the stages add up.

An iteration is a row of moments: the client's submit, the acceptance, the start and the end of the job (its
history), the answer to the last poll, the end. Where two things go on at once, as the run and the reply to
the submit, the time is that of what the client waits for at last. The worker's log line says what a run was
spent on; means of the preparations and commits are from the metrics.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from statistics import fmean

from bench.speed.wire import Trip

STAGES = {
    "client": "the client's own work between its requests: it makes the job and reads the result",
    "HTTP": "five requests before the submit, the submit up to its acceptance, the fetch of the result; with "
    "the client's share of them",
    "prepare": "a preparer decodes the job, checks it against the target, estimates it",
    "queue": "the lane decides; another job may be on the device",
    "dispatch": "the job to the worker and its result back",
    "decode": "the worker reads the job and checks it again",
    "compile": "circuits are made ready for Aer; found in the cache from the second iteration on",
    "simulate": "Aer",
    "encode": "the worker writes the result",
    "store": "commits: the job, before it starts; its result, before it is told",
    "poll": "the held poll is answered",
}

_PREPARED = ("sojourn_preparation_seconds_sum", "sojourn_preparation_seconds_count")
_COMMITTED = ("sojourn_store_commit_duration_seconds_sum", "sojourn_store_commit_duration_seconds_count")
_WORKER = {"decode": "reading and checking", "compile": "compiling", "simulate": "running"}
_WORKER["encode"] = "writing the result"


@dataclass(frozen=True, slots=True)
class Iteration:
    """`began` and `ended` in seconds since the epoch."""

    began: float
    ended: float
    trips: Sequence[Trip]

    @property
    def submit(self) -> Trip:
        return next(trip for trip in self.trips if trip.job is not None)

    @property
    def job(self) -> str:
        assert self.submit.job is not None
        return self.submit.job


@dataclass(frozen=True, slots=True)
class Told:
    """What the service says of a job: the moments of its history by their cause, and its log."""

    moments: Mapping[str, float]
    log: str

    @classmethod
    def of(cls, history: Sequence[Mapping[str, str]], log: str) -> Told:
        at = {entry["cause"]: datetime.fromisoformat(entry["at"]).timestamp() for entry in history}
        return cls(at, log)

    @property
    def worker(self) -> dict[str, float]:
        """Seconds by stage."""
        found = {}
        for stage, words in _WORKER.items():
            seconds = re.search(rf"INFO time: .*?{words} ([\d.]+) s", self.log)
            assert seconds is not None, self.log
            found[stage] = float(seconds[1])
        return found


def mean_of(before: Mapping[str, float], after: Mapping[str, float], names: tuple[str, str]) -> float:
    """The mean of what a histogram has taken up between two scrapes."""
    total, count = (after.get(name, 0.0) - before.get(name, 0.0) for name in names)
    return total / count if count else 0.0


def scraped(text: str) -> dict[str, float]:
    """Of the text of /metrics, what each series has; of several devices, their sum."""
    found: dict[str, float] = {}
    for line in text.splitlines():
        if line and not line.startswith("#"):
            series, _, value = line.rpartition(" ")
            name = series.partition("{")[0]
            found[name] = found.get(name, 0.0) + float(value)
    return found


def stages(
    iterations: Sequence[Iteration],
    told: Sequence[Told],
    before: Mapping[str, float],
    after: Mapping[str, float],
) -> dict[str, float]:
    """Mean seconds of each stage; their sum is the mean of the iterations. `before`, `after`: scrapes."""
    commit, prepare = mean_of(before, after, _COMMITTED), mean_of(before, after, _PREPARED)
    rows = [_split(i, t, commit, prepare) for i, t in zip(iterations, told, strict=True)]
    return {stage: fmean(row[stage] for row in rows) for stage in STAGES}


def _split(iteration: Iteration, told: Told, commit: float, prepare: float) -> dict[str, float]:
    submit, at = iteration.submit, told.moments
    looks = [trip for trip in iteration.trips if trip.ended <= submit.began]
    later = [trip for trip in iteration.trips if trip.began >= submit.ended]
    polls = [trip for trip in later if not trip.path.endswith("/results")]
    after = [trip for trip in later if trip.path.endswith("/results")]
    told_at = polls[-1].ended
    idle = max(0.0, polls[-1].began - at["completed"])  # the client was slower than the job
    found = dict(told.worker)
    found["HTTP"] = sum(trip.seconds for trip in looks + after) + at["accepted"] - submit.began - prepare
    found["prepare"] = prepare
    found["queue"] = at["selected"] - at["accepted"]
    found["store"] = 2 * commit
    found["dispatch"] = at["completed"] - at["selected"] - sum(told.worker.values()) - commit
    found["poll"] = told_at - at["completed"] - idle - commit
    found["client"] = iteration.ended - iteration.began - sum(found.values())
    return found
