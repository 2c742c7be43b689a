"""Measures a step in a session beside the same step without the service, in turns."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import httpx

from bench.common import summary
from bench.iteration import interleaved
from bench.speed.split import Iteration, Told, scraped, stages
from bench.speed.wire import Wire
from sojourn.embedded import Embedded

Step = Callable[[], object]


@dataclass(frozen=True, slots=True)
class Bench:
    """What every measurement needs; `service` is the real client."""

    server: Embedded
    service: Any
    wire: Wire
    quick: bool

    def metrics(self) -> dict[str, float]:
        return scraped(self._text("/metrics", self.server.operator_key))

    def told(self, job: str) -> Told:
        history = self.server.get(f"/jobs/{job}/history")["history"]
        return Told.of(history, self._text(f"/api/v1/jobs/{job}/logs", self.server.local_key))

    def _text(self, path: str, key: str) -> str:
        reply = httpx.get(self.server.url + path, headers={"Authorization": f"Bearer {key}"}, trust_env=False)
        reply.raise_for_status()
        return reply.text


@dataclass(frozen=True, slots=True)
class Compared:
    """Seconds of each round: in a session, of the client against recorded answers, and without either."""

    session: Sequence[float]
    client: Sequence[float]
    direct: Sequence[float]

    def median(self, which: str) -> float:
        found: Sequence[float] = getattr(self, which)
        return statistics.median(found)

    @property
    def over(self) -> float:
        """Seconds of the session beyond direct Aer and the client's own time, at the medians."""
        return self.median("session") - self.median("direct") - self.median("client")

    @property
    def of_sum(self) -> float:
        return self.median("session") / (self.median("direct") + self.median("client"))

    @property
    def of_direct(self) -> float:
        return self.median("session") / self.median("direct")

    def row(self, what: str, **more: Any) -> dict[str, Any]:
        return {
            "what": what,
            "session ms": 1e3 * self.median("session"),
            "session p99 ms": summary(self.session)["p99_ms"],
            "client alone ms": 1e3 * self.median("client"),
            "direct ms": 1e3 * self.median("direct"),
            "over direct + client ms": 1e3 * self.over,
            "x direct + client": self.of_sum,
            "x direct": self.of_direct,
            "rounds": len(self.session),
            **more,
        }


def compare(bench: Bench, step: Step, direct: Step, rounds: int) -> tuple[Compared, list[Iteration]]:
    """And the iterations in the session, the first of which was the warm one."""
    seen: list[Iteration] = []

    def session() -> None:
        bench.wire.trips = []
        began = time.time()
        step()
        seen.append(Iteration(began, time.time(), bench.wire.trips))

    with bench.wire.echo(step) as echo:
        times = interleaved({"session": session, "client": echo, "direct": direct}, rounds)
    return Compared(times["session"], times["client"], times["direct"]), seen


def by_stage(bench: Bench, step: Step, direct: Step, rounds: int) -> tuple[Compared, dict[str, float]]:
    """As `compare`, with the mean seconds of each stage. The job must keep its log at INFO."""
    before = bench.metrics()
    found, seen = compare(bench, step, direct, rounds)
    after = bench.metrics()
    warm = seen[1:]
    return found, stages(warm, [bench.told(each.job) for each in warm], before, after)
