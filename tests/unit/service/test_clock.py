"""The service's time beside a machine's clock that drifts, is set, and is read at a bad moment."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sojourn.service.timing.clock import FASTEST, LOOK_EVERY, Step, SystemClock, VirtualClock, followed
from sojourn.service.timing.steps import Steps
from sojourn.store.clock import StoredStep

HOUR, DAY = 3600.0, 86_400.0
START = 1_750_000_000.0
STEPS = [1.0, -1.0, 4 * HOUR, -HOUR, 400 * DAY, -400 * DAY]


class Machine:
    """Two clocks, of which one can be set, and the service's on them."""

    def __init__(self) -> None:
        self.wall, self.monotonic = START, 77.0
        self.slow = 0.0  # how long it takes to read the clock
        self.clock = SystemClock(self._read, lambda: self.monotonic)
        self.clock.begin(0.0)

    def _read(self) -> float:
        self.monotonic += self.slow
        return self.wall

    def pass_(self, seconds: float, drift: float = 0.0) -> list[Step]:
        """Time passes, and the service looks at the clock as often as it does."""
        steps = []
        for _ in range(round(seconds / LOOK_EVERY)):
            self.monotonic += LOOK_EVERY
            self.wall += LOOK_EVERY * (1.0 + drift)
            if (step := self.clock.look()) is not None:
                steps.append(step)
        return steps


@pytest.mark.parametrize("by", STEPS)
def test_d24_the_time_goes_on_over_a_step_and_the_date_follows_it(by: float) -> None:
    machine = Machine()
    machine.pass_(10)
    machine.wall += by
    assert machine.clock.now() == START + 10  # nobody has looked yet
    (step,) = machine.pass_(1)
    assert step == Step(by, max(by, 0.0), max(-by, 0.0))
    assert machine.clock.now() == START + 11 + step.jumped
    assert machine.clock.date() == machine.wall
    assert machine.clock.lead == step.lead
    assert machine.clock.instant(machine.wall + 60) == machine.clock.now() + 60
    assert machine.pass_(100) == []


def test_a_clock_that_is_set_forward_makes_up_for_a_lead_first() -> None:
    machine = Machine()
    machine.wall -= HOUR
    machine.pass_(1)
    machine.wall += 3 * HOUR
    assert machine.pass_(1) == [Step(3 * HOUR, 2 * HOUR, 0.0)]
    assert machine.clock.now() == machine.wall


@pytest.mark.parametrize("off", [0.9, -0.9])
def test_a_small_difference_is_made_up_for_slowly(off: float) -> None:
    machine = Machine()
    machine.wall += off
    before = machine.clock.now()
    for _ in range(1900):
        assert machine.pass_(1) == []
        now = machine.clock.now()
        assert abs(now - before - 1.0) <= FASTEST + 1e-6
        before = now
    assert abs(machine.clock.now() - machine.wall) < 0.2
    machine.pass_(3000)
    assert abs(machine.clock.now() - machine.wall) < 0.01


@pytest.mark.parametrize("drift", [2e-4, -2e-4])
def test_a_clock_that_drifts_is_followed_and_not_stepped(drift: float) -> None:
    machine = Machine()
    assert machine.pass_(20_000, drift) == []  # 4 s in all
    assert abs(machine.clock.now() - machine.wall) < 0.2


def test_a_part_of_a_second_is_left_to_be_made_up_for() -> None:
    """Whole seconds can be added to a time without rounding it."""
    machine = Machine()
    machine.wall += 7200.4
    (step,) = machine.pass_(1)
    assert step.jumped == 7200.0
    assert machine.clock.now() == pytest.approx(machine.wall - 0.4, abs=1e-3)


def test_two_clocks_that_were_not_read_at_once_are_not_compared() -> None:
    machine = Machine()
    machine.slow = 5.0  # the process was put aside in between
    assert machine.clock.look() is None
    machine.slow = 0.0
    machine.wall += 5.0
    assert machine.clock.look() is None


def test_d24_the_time_does_not_go_back_over_a_restart() -> None:
    machine = Machine()
    machine.clock.begin(START + HOUR)
    assert machine.clock.now() == START + HOUR
    assert machine.clock.lead == HOUR
    assert machine.clock.date() == START
    machine.clock.begin(START - HOUR)
    assert (machine.clock.now(), machine.clock.lead) == (START, 0.0)


def test_a_record_that_is_newer_by_less_than_a_step_makes_no_lead() -> None:
    machine = Machine()
    machine.clock.begin(START + 0.3)
    assert machine.clock.lead == 0.0
    assert machine.clock.now() == START + 0.3
    machine.pass_(3000)
    assert abs(machine.clock.now() - machine.wall) < 0.01


@given(
    st.lists(
        st.tuples(st.integers(1, 50), st.floats(-400 * DAY, 400 * DAY), st.floats(-1e-4, 1e-4)), max_size=20
    )
)
def test_d24_whatever_is_done_to_the_clock_what_lasts_lasts_as_long(
    story: list[tuple[int, float, float]],
) -> None:
    machine = Machine()
    began, before, jumped = machine.monotonic, machine.clock.now(), 0.0
    for seconds, by, drift in story:
        machine.wall += by
        for step in machine.pass_(seconds, drift):
            jumped += step.jumped
        now, lasted = machine.clock.now(), machine.monotonic - began
        assert now >= before
        assert now - START - jumped == pytest.approx(lasted, rel=FASTEST, abs=1e-3)
        assert abs(machine.clock.date() - machine.wall) <= 1.1
        assert machine.clock.lead >= 0.0
        before = now


@pytest.mark.parametrize("by", STEPS)
def test_the_virtual_clock_is_set_as_the_systems(by: float) -> None:
    clock = VirtualClock(START)
    told: list[Step] = []
    called: list[float] = []
    watch = clock.watch(told.append)
    clock.call_at(START + 10, lambda: called.append(clock.now()))
    clock.advance(4)
    clock.step(by)
    assert told == [followed(by, 0.0)]
    assert clock.date() == START + 4 + by
    assert clock.monotonic() == START + 4
    clock.advance(5)
    assert called == []
    clock.advance(1)
    assert called == [clock.now()]
    watch.cancel()
    clock.step(-by)
    assert len(told) == 1
    now = clock.now()
    clock.begin(now + 5)
    assert clock.now() == now + 5
    assert clock.date() == START + 10


def test_a_recorded_time_is_as_old_as_the_time_that_has_passed_since() -> None:
    steps = Steps(
        [StoredStep(1000.0, 900.0, 0.0), StoredStep(1500.0, 0.0, 50.0), StoredStep(2000.0, 300.0, 0.0)]
    )
    assert steps.lead == 0.0
    assert [steps.restated(at) for at in (90.0, 1000.0, 1699.0, 2000.0)] == [1290.0, 1300.0, 1999.0, 2000.0]
    assert [steps.before(2100.0, s) for s in (50.0, 100.0, 101.0, 800.0, 801.0, 850.0)] == [
        *(2050.0, 2000.0, 1699.0),
        *(1000.0, 99.0, 50.0),
    ]
    assert Steps([]).lead == 0.0
    assert Steps([StoredStep(5.0, 0.0, 3.0)]).lead == 3.0
