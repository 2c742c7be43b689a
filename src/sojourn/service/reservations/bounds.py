"""How much of the devices project admins may reserve without an operator (`[reservations]`). No I/O.

The core books what does not overlap; this says what is too much for one project or one person. Both count: an
admin of several projects does not get the bounds several times, nor does a project by its several admins.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise

from sojourn.config import ReservationSettings
from sojourn.core.wording.formatting import at_time, seconds

_ASK = "An operator can make it."
ON_ITS_WAY = 0.5
"""Seconds that may pass between reading a time such as `now` or `+1h` and comparing it with `notice`."""


@dataclass(frozen=True, slots=True)
class Span:
    """Reserved time on one device, `[start, end)` in seconds since the epoch; spans of a device are
    disjoint."""

    device: str
    start: float
    end: float

    @property
    def seconds(self) -> float:
        return self.end - self.start


def objection(
    bounds: ReservationSettings,
    wanted: Span,
    now: float,
    *,
    held: Iterable[tuple[str, Sequence[Span]]],
    devices: int,
) -> str | None:
    """Why `wanted` needs an operator, None when it does not.

    `held` is for whom it counts, in words, and what each has reserved already; `devices` is how many there
    are in all.
    """
    if wanted.seconds <= 0:
        return None  # the core says what is wrong with it
    if bounds.longest and wanted.seconds > bounds.longest:
        return _too_much(
            f"The reservation is {seconds(wanted.seconds)} long; the longest that a project's admin may make "
            f"is {seconds(bounds.longest)} (reservations.longest)"
        )
    if wanted.start < now + bounds.notice - ON_ITS_WAY:
        return _too_much(
            f"The reservation begins at {at_time(wanted.start)}; a project's admin makes it at least "
            f"{seconds(bounds.notice)} ahead (reservations.notice), so it begins at "
            f"{at_time(math.ceil(now + bounds.notice))} or later"
        )
    if bounds.horizon and wanted.end > now + bounds.horizon:
        return _too_much(
            f"The reservation ends at {at_time(wanted.end)}; a project's admin books at most "
            f"{seconds(bounds.horizon)} ahead (reservations.horizon), which is until "
            f"{at_time(now + bounds.horizon)}"
        )
    most = max(1, math.floor(bounds.devices * devices))
    for whose, spans in held:
        count = most_at_once([*spans, wanted], wanted)
        if bounds.devices and count > most:
            return _too_much(
                f"{whose} would have {count} devices reserved at the same time; without an operator that is "
                f"at most {most} of {devices} (reservations.devices = {bounds.devices:g})"
            )
        most_time = most_within([*spans, wanted], wanted, bounds.period)
        if bounds.allowance and most_time > bounds.allowance:
            return _too_much(
                f"{whose} would have {seconds(round(most_time, 3))} reserved within "
                f"{seconds(bounds.period)} (reservations.period); without an operator that is at most "
                f"{seconds(bounds.allowance)} (reservations.allowance)"
            )
    return None


def _too_much(what: str) -> str:
    return f"{what}. {_ASK}"


def most_at_once(spans: Sequence[Span], within: Span) -> int:
    """The largest number of spans that are open together at a moment of `within`."""
    steps = sorted(
        step
        for s in spans
        if s.start < within.end and within.start < s.end
        for step in ((max(s.start, within.start), 1), (min(s.end, within.end), -1))
    )  # an end sorts before a start at the same moment: they do not share it
    return max(accumulate((change for _, change in steps), initial=0))


def most_within(spans: Sequence[Span], about: Span, period: float) -> float:
    """The most seconds of `spans` in any time of `period` seconds that touches `about`."""
    first, last = about.start - period, about.end
    near = [s for s in spans if s.start < last + period and first < s.end]
    reserved = _Reserved(near)
    # The sum is piecewise linear in where the time begins: it is largest where that meets a start, or its end
    # meets an end, or at the bounds.
    begins = {first, last, *(s.start for s in near), *(s.end - period for s in near)}
    return max(reserved.before(b + period) - reserved.before(b) for b in begins if first <= b <= last)


class _Reserved:
    """Seconds of all spans before a moment."""

    def __init__(self, spans: Sequence[Span]) -> None:
        steps = sorted(step for s in spans for step in ((s.start, 1), (s.end, -1)))
        self._at = [at for at, _ in steps]
        self._open = list(accumulate(change for _, change in steps))
        self._sums = list(accumulate(self._parts(), initial=0.0))

    def _parts(self) -> Iterator[float]:
        for (left, right), count in zip(pairwise(self._at), self._open, strict=False):
            yield (right - left) * count

    def before(self, at: float) -> float:
        place = bisect_right(self._at, at) - 1
        return self._sums[place] + (at - self._at[place]) * self._open[place] if place >= 0 else 0.0
