"""How often the truth falls inside the forecast band, how far off the forecast is, and what a forecast costs.

A workload runs through the policy core in virtual time, and every few minutes a forecast is made of what
waits. What it says of each job is compared with when the job starts then. Everything that a forecast has
learned it has learned before, in the same run; the first quarter of it is for learning and does not count.
Beside the forecast the naive one: the jobs ahead times the mean length of the latest 100 jobs.

    python bench/forecast.py [--quick] [--hours 48] [--seeds 3] [--journal FILE ...]

The synthetic workload (`bench/workload.py`) has single jobs and bursts of heavy-tailed length, sessions with
pauses, batches, calibrations and reservations. A journal is one of `sojourn journal export FILE`. A forecast
of 10,000 waiting jobs is timed with 1, 100 and 1,000 users.
"""

from __future__ import annotations

import argparse
import random
import statistics
import sys
import time
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from math import inf
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

from bench import common, workload
from sojourn.core import Lane, Profile
from sojourn.core import events as ev
from sojourn.core.effects import Effect, JobChanged, SessionChanged, Start
from sojourn.core.forecast.forecast import Forecast
from sojourn.core.forecast.learned import Learned, Left, Ran
from sojourn.core.forecast.snapshot import take
from sojourn.journal.encoding import Restored, decode

EVERY = 120.0
"""Seconds of virtual time between two forecasts."""
COMPARED = 30
"""Jobs of a forecast that are compared at most, chosen at random."""
GIVEN_UP = ("ttl over", "drained", "closed")


@dataclass(frozen=True)
class Said:
    """Of one job at one moment: the forecast, and the naive one. Times are absolute."""

    job_id: str
    at: float
    place: int
    expected: float
    earliest: float
    latest: float
    naive: float


class Watcher:
    """Learns from a lane's effects as the service does from the store, forecasts, and compares."""

    def __init__(self, warm_up: float) -> None:
        self.learned = Learned()
        self.warm_up = warm_up
        self.said: list[Said] = []
        self.begun: dict[str, float] = {}
        self.unknown = 0
        self.seconds: list[float] = []
        self._recent: deque[float] = deque(maxlen=100)
        self._modes: dict[str, str] = {}
        self._random = random.Random(7)

    def see(self, effects: Iterable[Effect], now: float) -> None:
        for effect in effects:
            match effect:
                case Start(job_id, _):
                    self.begun.setdefault(job_id, now)
                    self.learned.corrections.came(job_id, now)
                case SessionChanged(session=session, before=before, cause=cause):
                    self._modes[session.id] = session.mode.value
                    done = session.last_job_completed
                    gone = session.state.value in ("inactive", "closed")
                    if before == "active" and gone and cause in GIVEN_UP and done is not None:
                        closed = session.state.value == "closed"
                        self.learned.left(
                            Left(session.id, session.user, session.mode.value, effect.at, done, closed)
                        )
                case JobChanged(job=job) if job.state.final and job.started_at is not None:
                    ended = job.ended_at if job.ended_at is not None else now
                    self._recent.append(ended - job.started_at)
                    own = None if job.detached else job.session_id
                    run = Ran(
                        job.id,
                        job.user,
                        job.program,
                        job.estimate,
                        job.accepted_at,
                        job.started_at,
                        ended,
                        own,
                        self._modes.get(own or ""),
                    )
                    self.learned.ran(run)

    def forecast(self, lane: Lane, now: float, calibrations: Sequence[float] = ()) -> None:
        begin = time.perf_counter()
        snapshot = take(lane, now, calibrations)
        made = Forecast(snapshot, self.learned)
        self.seconds.append(time.perf_counter() - begin)
        for job_id, waits, place in made.some(16, self._random):
            self.learned.corrections.said(job_id, now, waits, place)
        if now < self.warm_up or made.stopped is not None:
            return
        waiting = [job.id for job in snapshot.waiting]
        chosen = self._random.sample(waiting, min(COMPARED, len(waiting)))
        places = lane.positions(chosen)
        mean = statistics.fmean(self._recent) if self._recent else 0.0
        for job_id in chosen:
            found = made.of(job_id)
            if found is None or found.start is None or found.position is None:
                self.unknown += 1
                continue
            start = found.start
            latest = inf if start.latest is None else start.latest
            naive = now + places.get(job_id, 0) * mean
            self.said.append(Said(job_id, now, found.position, start.expected, start.earliest, latest, naive))

    def rows(self, what: str) -> list[dict[str, Any]]:
        classes = (("all", 0, inf), ("next 5", 0, 5), ("6 to 20", 5, 20), ("further back", 20, inf))
        return [
            row
            for name, low, high in classes
            if (row := self._row(what, name, [s for s in self.said if low <= s.place < high]))
        ]

    def _row(self, what: str, name: str, said: list[Said]) -> dict[str, Any] | None:
        told = [(s, self.begun[s.job_id]) for s in said if s.job_id in self.begun]
        if not told:
            return None
        inside = sum(s.earliest - 1e-3 <= at <= s.latest + 1e-3 for s, at in told) / len(told)
        early = sum(at < s.earliest - 1e-3 for s, at in told) / len(told)
        late = sum(at > s.latest + 1e-3 for s, at in told) / len(told)
        error = statistics.median(abs(s.expected - at) for s, at in told)
        naive = statistics.median(abs(s.naive - at) for s, at in told)
        return {
            "workload": what,
            "jobs": name,
            "compared": len(told),
            "inside %": 100 * inside,
            "before %": 100 * early,
            "after %": 100 * late,
            "median wait s": statistics.median(at - s.at for s, at in told),
            "median error s": error,
            "naive s": naive,
            "error/naive": error / naive if naive else 0.0,
        }


def synthetic(hours: float, seed: int, every: float = EVERY) -> Watcher:
    """A run of the synthetic workload."""
    world = workload.World(seed, hours)
    watcher = Watcher(world.now + 0.25 * hours * 3600.0)
    due = world.now + every
    for effects in world.run():
        watcher.see(effects, world.now)
        if world.now >= due and any(job.state == "queued" for job in world.lane.jobs.values()):
            watcher.forecast(world.lane, world.now, world.calibrations())
            due = world.now + every
    return watcher


def recorded(path: Path, every: float = EVERY) -> Iterator[tuple[str, Watcher]]:
    """The devices of a journal. Those without a forecast are left out."""
    lines = [decode(line) for line in path.read_bytes().splitlines() if line.strip()]
    devices = list(dict.fromkeys(line.device for line in lines))
    for device in devices:
        own = [line for line in lines if line.device == device]
        watcher = Watcher(own[0].at + 0.25 * (own[-1].at - own[0].at))
        lane, due = Lane(device, Profile()), own[0].at + every
        for line in own:
            if isinstance(line.what, Restored):
                lane = Lane(device, line.what.profile, line.what.shares.shares())
                what = line.what
                lane.restore(what.jobs, what.sessions, what.windows, what.halt, what.lead, what.charges)
                continue
            watcher.see(lane.handle(line.what, line.at), line.at)
            if line.at >= due and any(job.state == "queued" for job in lane.jobs.values()):
                watcher.forecast(lane, line.at)
                due = line.at + every
        if watcher.said:
            yield device, watcher


def full(jobs: int, users: int) -> Lane:
    """A lane on which so many jobs wait, of users in projects of five."""
    lane, r = Lane("device", Profile()), random.Random(3)
    lane.handle(ev.DeviceReady(), 1000.0)
    for number in range(jobs + 1):
        user = number % users
        accepted = ev.JobAccepted(f"j{number}", number + 1, f"u{user}", f"p{user // 5}", "sampler")
        lane.handle(accepted, 1000.0 + number * 1e-3)
        lane.handle(ev.JobPrepared(f"j{number}", r.lognormvariate(1.0, 1.0)), 1000.0 + number * 1e-3)
    for user in range(users):
        lane.handle(ev.UsageReported(f"u{user}", f"p{user // 5}", r.uniform(0, 1000), 1100.0), 1100.0)
    return lane


def costs(jobs: int, repeats: int) -> list[dict[str, Any]]:
    """Milliseconds of a forecast: what the event loop does, what the thread does, and one question."""
    rows = []
    for users in (1, 100, 1000):
        lane, learned = full(jobs, users), Learned()
        for number in range(2000):
            learned.durations.note(f"u{number % users}", "sampler", 3.0, 1.0 + number % 7)
        takes, makes, asks = [], [], []
        for number in range(repeats):
            begin = time.process_time()
            snapshot = take(lane, 1200.0)
            took = time.process_time()
            made = Forecast(snapshot, learned, number)
            done = time.process_time()
            for asked in range(0, jobs, max(1, jobs // 50)):
                made.of(f"j{asked}")
            takes.append(took - begin)
            makes.append(done - took)
            asks.append((time.process_time() - done) / 50)
        rows.append(
            {
                "waiting jobs": jobs,
                "users": users,
                "snapshot ms": 1e3 * statistics.median(takes),
                "forecast ms": 1e3 * statistics.median(makes),
                "both ms": 1e3 * statistics.median(map(sum, zip(takes, makes, strict=True))),
                "one question us": 1e6 * statistics.median(asks),
            }
        )
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="8 hours of one seed")
    parser.add_argument("--hours", type=float, default=48.0, help="of virtual time")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--journal", type=Path, nargs="*", default=[])
    parser.add_argument("--every", type=float, default=EVERY, help="seconds between two forecasts")
    parser.add_argument("--waiting", type=int, default=10_000)
    options = parser.parse_args()
    hours, seeds = (8.0, 1) if options.quick else (options.hours, options.seeds)
    rows, seconds = [], []
    for seed in range(1, seeds + 1):
        watcher = synthetic(hours, seed, options.every)
        rows += watcher.rows(f"synthetic {seed}")
        seconds += watcher.seconds
    for path in options.journal:
        for device, watcher in recorded(path, options.every):
            rows += watcher.rows(f"{path.name} {device}")
            seconds += watcher.seconds
    common.report("forecast", rows, ["Inside: the start fell into the band that is to hold 80 % of them."])
    times = common.summary(seconds)
    common.report(
        "forecast-cost",
        costs(options.waiting, 3 if options.quick else 7),
        [f"In the runs above one took {times['p50_ms']:.0f} ms (median), {times['p99_ms']:.0f} ms (99 %)."],
    )


if __name__ == "__main__":
    main()
