"""Compares what was forecast with what came, and moves each edge of later bands to where it would have been.

A run forward knows the jobs that are there. Those that come later and go first, or what a model does not
see, shows only afterwards: as the ratio of the real wait to the forecast one. The tenth, fiftieth and
ninetieth percent of that ratio, each taken at its own edge, correct the next forecasts.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Container, Sequence
from dataclasses import dataclass
from math import inf

from sojourn.core.forecast.samples import Sample

KEPT = 256
"""Comparisons that count, the latest ones."""
NEEDED = 20
"""Comparisons before anything is corrected."""
AWAITED = 1024
"""Forecasts of which the truth is awaited."""
LEAST, MOST = 0.1, 10.0
"""An edge is moved by this factor at most."""
SHARES = (0.1, 0.5, 0.9)
PLACES = (5, 20)
"""Places of the line at which a group of its own begins: later submits overtake those who are far back."""

Waits = tuple[float, float, float]
"""Seconds until something: 10 % are shorter than the first, half than the second, 90 % than the third."""


@dataclass(frozen=True, slots=True)
class Factors:
    """By how much each of the three waits is too short."""

    earliest: float = 1.0
    expected: float = 1.0
    latest: float = 1.0

    def corrected(self, waits: Waits) -> Waits:
        """In order again: no correction turns an edge past the middle."""
        little = _little(waits)
        factors = (self.earliest, self.expected, self.latest)
        low, middle, high = (
            max(0.0, (wait + little) * factor - little) for wait, factor in zip(waits, factors, strict=True)
        )
        return min(low, middle), middle, max(middle, high)


class Corrections:
    """Learns from one device, for the next jobs, those behind them and those far back apart. A job of which
    something was `said` need never start."""

    def __init__(self) -> None:
        self._awaited: OrderedDict[tuple[str, float], tuple[Waits, int]] = OrderedDict()
        self._of_job: dict[str, list[float]] = {}
        self._ratios = [tuple(Sample(most=KEPT) for _ in SHARES) for _ in range(len(PLACES) + 2)]

    def __len__(self) -> int:
        """How many comparisons there are."""
        return len(self._ratios[-1][0])

    def said(self, job_id: str, at: float, waits: Waits, place: int) -> None:
        """What a run forward found at `at`, uncorrected, of the job at this place of the line, from 0."""
        self._awaited[job_id, at] = waits, _group(place)
        self._of_job.setdefault(job_id, []).append(at)
        while len(self._awaited) > AWAITED:
            (oldest, when), _ = self._awaited.popitem(last=False)
            self._of_job[oldest].remove(when)
            if not self._of_job[oldest]:
                del self._of_job[oldest]

    def came(self, job_id: str, at: float) -> None:
        """The job has started at `at`."""
        for when in self._of_job.pop(job_id, ()):
            waits, group = self._awaited.pop((job_id, when))
            for of_group, of_all, ratio in zip(
                self._ratios[group], self._ratios[-1], _ratios(waits, at - when), strict=True
            ):
                of_group.add(ratio)
                of_all.add(ratio)

    def factors(self, now: float = -inf, waiting: Container[str] = ()) -> tuple[Factors, ...]:
        """For each of the groups; those of all jobs where it has too few comparisons of its own.

        The jobs of `waiting` that wait still and are late already count with what they have waited: else
        those that wait longest would be missing, as long as the queue grows.
        """
        late: list[list[tuple[float, ...]]] = [[] for _ in self._ratios]
        for (job_id, when), (waits, group) in self._awaited.items():
            if now - when > waits[1] and job_id in waiting:
                ratios = _ratios(waits, now - when)
                late[group].append(ratios)
                late[-1].append(ratios)
        found = [_factors(*each) for each in zip(self._ratios, late, strict=True)]
        every = found[-1] or Factors()
        return tuple(factors or every for factors in found[:-1])


def of_place(factors: Sequence[Factors], place: int) -> Factors:
    return factors[_group(place)]


def _group(place: int) -> int:
    return bisect_right(PLACES, place)


def _ratios(waits: Waits, waited: float) -> tuple[float, ...]:
    little = _little(waits)
    return tuple((max(0.0, waited) + little) / (wait + little) for wait in waits)


def _factors(came: Sequence[Sample], late: Sequence[tuple[float, ...]]) -> Factors | None:
    if len(came[0]) < NEEDED:
        return None
    columns = zip(*late, strict=True) if late else ((),) * len(SHARES)
    found = (
        Sample((*ratios, *column), most=KEPT + AWAITED).at(share)
        for ratios, column, share in zip(came, columns, SHARES, strict=True)
    )
    return Factors(*(min(MOST, max(LEAST, factor)) for factor in found))


def _little(waits: Waits) -> float:
    """Seconds that are added before waits are compared, so that one of 0 has a ratio as well."""
    return 0.05 + 0.1 * waits[1]
