"""Makes the text that Prometheus reads: what was counted, and what is read at that moment.

What is read is read on the event loop, a device at a time; the text is written on another thread. It is made
once in RENEW seconds at most, however many ask.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable, Iterable, Iterator

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.metrics_core import Metric as Family
from prometheus_client.registry import Collector

from sojourn.service.metrics.table import Kind, Metric

RENEW = 1.0
"""Seconds."""
CONTENT_TYPE = b"text/plain; version=0.0.4; charset=utf-8"


class Sheet:
    """Values as of now, put down one by one."""

    def __init__(self) -> None:
        self._families: dict[str, Family] = {}

    def put(self, metric: Metric, value: float, *labels: str) -> None:
        """`labels` are values, in the order of the metric's own."""
        self.declare(metric)
        self._families[metric.name].add_sample(
            metric.name, dict(zip(metric.labels, labels, strict=True)), value
        )

    def declare(self, metric: Metric) -> None:
        """It is there, with or without a value."""
        if metric.name not in self._families:
            name = metric.name.removesuffix("_total") if metric.kind is Kind.COUNTER else metric.name
            self._families[metric.name] = Family(name, metric.meaning, metric.kind)

    def families(self) -> Iterable[Family]:
        return self._families.values()


Take = Callable[[Sheet], Awaitable[None]]
"""Puts down what there is to read."""


class Exposition:
    """The text, of what `registry` has counted and of what `take` reads."""

    def __init__(self, registry: CollectorRegistry, take: Take) -> None:
        self._registry = registry
        self._take = take
        self._made_at = -math.inf
        self._made: asyncio.Task[bytes] | None = None

    async def text(self) -> bytes:
        now = asyncio.get_running_loop().time()
        made = self._made
        if made is None or (made.done() and now - self._made_at >= RENEW):
            self._made_at = now
            made = self._made = asyncio.create_task(self._make())
        return await asyncio.shield(made)  # others may wait for it as well

    async def _make(self) -> bytes:
        sheet = Sheet()
        await self._take(sheet)
        return await asyncio.to_thread(_written, self._registry, sheet)


class _All(Collector):
    def __init__(self, *sources: Iterable[Family]) -> None:
        self._sources = sources

    def collect(self) -> Iterator[Family]:
        for source in self._sources:
            for family in source:
                # when each counter was made: the start of the process says as much
                family.samples = [each for each in family.samples if not each.name.endswith("_created")]
                yield family


def _written(registry: CollectorRegistry, sheet: Sheet) -> bytes:
    return generate_latest(_All(registry.collect(), sheet.families()))
