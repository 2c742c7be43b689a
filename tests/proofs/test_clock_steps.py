"""D24: a lane whose machine's clock is set decides as one whose clock is not.

Each device has a twin that is told the same in its own time, which jumps and leads now and then.
Windows that are booked and not open are dates, and do move: there is no step while there are some.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from random import Random

import pytest

from sojourn.core import Lane
from sojourn.core import events as ev
from sojourn.core.effects import Effect
from sojourn.journal.encoding import decisions
from tests.model.multi_device import LATER, SMALL, Device, MultiDevice

MOVES = 600
SIZES = (1.0, 7.0, 3600.0, 400 * 86_400.0)
HALVED = replace(SMALL, name="small, halved", half_life=64.0)


class Stepped(MultiDevice):
    def __init__(self) -> None:
        self.twins: dict[str, Lane] = {}
        self.jumped: dict[str, float] = {}
        self.steps_made = 0
        super().__init__((HALVED, LATER))

    def do(self, device: Device, event: ev.Event) -> list[Effect]:
        twin = self.twins.setdefault(device.name, Lane(device.name, device.profile))
        late = self.jumped.setdefault(device.name, 0.0)
        there = self._there(event, late, late - twin.calendar.lead)
        found = twin.handle(there, self.now + late)  # first, as the other devices hear of it in `super`
        effects = super().do(device, event)
        assert texts(found) == texts(effects)
        self._compare(device, twin, late)
        return effects

    def _there(self, event: ev.Event, late: float, dated: float) -> ev.Event:
        if isinstance(event, ev.ReservationBooked):
            return replace(event, start=event.start + dated, end=event.end + dated)
        return replace(event, at=event.at + late) if isinstance(event, ev.UsageReported) else event

    def _compare(self, device: Device, twin: Lane, late: float) -> None:
        here = device.lane.next_deadline()
        there = twin.next_deadline()
        assert (here is None) == (there is None)
        if here is not None and there is not None:
            assert there - late == pytest.approx(here, abs=1e-3)
        assert twin.order() == device.lane.order()

    def step(self, d: int, by: float) -> None:
        device = self.device(d)
        twin = self.twins[device.name]
        if any(not window.opened for window in twin.calendar):
            return
        lead = twin.calendar.lead - by
        jumped = max(0.0, -lead)
        late = self.jumped[device.name] = self.jumped[device.name] + jumped
        twin.handle(ev.ClockStepped(jumped, max(0.0, lead)), self.now + late)
        super().do(device, ev.Tick())  # a step fires what is due, as a Tick
        assert (twin.running, twin.active) == (device.lane.running, device.lane.active)
        self._compare(device, twin, late)
        self.steps_made += 1


def texts(effects: list[Effect]) -> list[str]:
    """Without times, which a refusal tells."""
    return [line.split(": ")[0] if line.startswith("rejected") else line for line in decisions(effects)]


@pytest.mark.parametrize("seed", range(12))
def test_d24_a_lane_decides_as_if_nobody_had_set_the_clock(seed: int) -> None:
    chance, model = Random(seed), Stepped()
    words: dict[Callable[[int, int], object], int] = {
        lambda d, n: model.submit(d, n, chance.randrange(32), n > 0): 2,
        lambda d, n: model.submit_in_session(d, n, chance.randrange(13), n > 1): 6,
        lambda d, n: model.prepare(d, n): 3,
        lambda d, n: model.cancel(d, n): 1,
        lambda d, n: model.finish(d, n): 1,
        lambda d, _: model.finish(d, 0): 6,
        lambda d, n: model.open(d, n, n > 4, chance.choice((0, 0, 9, 41))): 2,
        lambda d, n: (model.close if n > 3 else model.drain)(d, n): 1,
        lambda d, n: model.reserve(d, n, chance.randrange(3), chance.randrange(3, 12), n > 2, n > 3): 1,
        lambda d, n: model.halt(d, n) if n == 0 else model.resume(d): 1,
        lambda d, _: model.ready(d): 1,
        lambda d, n: model.lose(d) if n == 0 else model.ready(d): 1,
        lambda _, n: model.share(n) if n < 3 else None: 1,
        lambda _, n: model.sleep(float(n)): 5,
        lambda _, n: model.oversleep(float(n)): 1,
        lambda d, _: model.step(d, chance.choice(SIZES) * chance.choice((1.0, -1.0))): 5,
    }
    for word in chance.choices(list(words), list(words.values()), k=MOVES):
        word(chance.randrange(2), chance.randrange(8))
    assert model.steps_made > MOVES / 50
