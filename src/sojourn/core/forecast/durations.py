"""How long jobs run, as learned from those that have run on the device.

The ratio of the real seconds to the estimated ones is learned, and the real seconds themselves; what has
varied less is used. Both are kept by program and user, by program, and for the whole device. The finest of
these groups that has enough of them is asked.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

from sojourn.core.forecast.samples import Sample
from sojourn.core.model import Job

ENOUGH = 8
"""Runs after which a group is asked instead of a coarser one."""
GROUPS = 1024
"""Groups that are kept, the latest ones."""
SHORTEST = 1e-3
"""Seconds. No run is forecast to be shorter."""

_RATIOS = Sample((0.4, 0.7, 0.9, 1.0, 1.2, 1.6, 3.0))
_SECONDS = Sample((0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 120.0))
"""What is believed of a device of which nothing is known."""

_EVERYTHING = ("", "")


@dataclass(frozen=True, slots=True)
class Length:
    """How long a job will run: `scale` seconds times one of the sample. `own`: the sample is of its program
    and user; else other jobs of this user will be off in the same way."""

    sample: Sample
    scale: float
    own: bool

    def at(self, share: float) -> float:
        """Seconds that a `share` of such jobs do not exceed."""
        return max(SHORTEST, self.scale * self.sample.at(share))

    @property
    def mean(self) -> float:
        return max(SHORTEST, self.scale * self.sample.mean)

    def beyond(self, elapsed: float) -> list[float]:
        """The lengths that a run which has lasted so long can still have; empty when it beats them all."""
        return [self.scale * value for value in self.sample.above(elapsed / self.scale)]


class _Seen:
    """The runs of a group."""

    __slots__ = ("_chosen", "ratios", "seconds")

    def __init__(self) -> None:
        self.ratios = Sample()
        self.seconds = Sample()
        self._chosen: dict[bool, tuple[Sample, bool] | None] = {}

    def note(self, estimate: float | None, took: float) -> None:
        self._chosen.clear()
        self.seconds.add(took)
        if estimate:
            self.ratios.add(took / estimate)

    def basis(self, estimated: bool) -> tuple[Sample, bool] | None:
        """A sample, and whether it is of ratios; None while there are too few. `estimated`: the job has an
        estimate."""
        if estimated not in self._chosen:
            self._chosen[estimated] = self._choose(estimated)
        return self._chosen[estimated]

    def _choose(self, estimated: bool) -> tuple[Sample, bool] | None:
        if estimated and len(self.ratios) >= ENOUGH and self.ratios.spread <= self.seconds.spread:
            return self.ratios, True
        return (self.seconds, False) if len(self.seconds) >= ENOUGH else None


class Durations:
    """Learns from one device."""

    def __init__(self) -> None:
        self._groups: OrderedDict[tuple[str, str], _Seen] = OrderedDict()  # by program and user; "" is any

    def note(self, user: str, program: str, estimate: float | None, took: float) -> None:
        """A job has had the device for so many seconds."""
        for group in ((program, user), (program, ""), _EVERYTHING):
            self._groups.setdefault(group, _Seen()).note(estimate, took)
            self._groups.move_to_end(group)
        while len(self._groups) > GROUPS:
            self._groups.popitem(last=False)

    def length(self, user: str, program: str, estimate: float | None) -> Length:
        """`estimate` is what preparation expects, in seconds; None or 0 where it expects nothing."""
        for group in ((program, user), (program, ""), _EVERYTHING):
            seen = self._groups.get(group)
            basis = seen.basis(bool(estimate)) if seen is not None else None
            if basis is not None:
                sample, relative = basis
                return Length(sample, estimate if relative and estimate else 1.0, bool(group[1]))
        return Length(_RATIOS, estimate, False) if estimate else Length(_SECONDS, 1.0, False)

    def means(self) -> Callable[[Job], float]:
        """The mean length of a job, not longer than its limit, as of now; for many jobs."""
        known: dict[tuple[str, str, bool], tuple[float, bool]] = {}

        def mean(job: Job) -> float:
            user, program, estimate = job.user, job.program, job.estimate or 0.0
            found = known.get((user, program, estimate > 0))
            if found is None:
                unit = self.length(user, program, estimate and 1.0)
                relative = estimate > 0 and self.length(user, program, 2.0).scale == 2.0
                found = known[user, program, estimate > 0] = unit.sample.mean, relative
            took, limit = found[0] * estimate if found[1] else found[0], job.limit
            return limit if took > limit else took if took > SHORTEST else SHORTEST

        return mean
