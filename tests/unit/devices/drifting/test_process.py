"""The processes behind a drift: the same whoever asks, and Ornstein-Uhlenbeck in their statistics."""

from __future__ import annotations

import math

import numpy as np
import pytest

from sojourn.devices.aer.drifting.process import Process

NOW = 1.8e9
MANY = 20_000


def test_a_value_follows_from_the_seed_and_the_time_whoever_asked_for_what_before() -> None:
    one, two = Process((7, 1), 3, 3600.0), Process((7, 1), 3, 3600.0)
    times = [NOW, NOW + 1.0, 0.0, NOW - 1e6, NOW + 7200.0]
    forwards = [one.at(time).tolist() for time in times]
    backwards = [two.at(time).tolist() for time in reversed(times)]
    assert forwards == backwards[::-1]
    assert [one.at(time).tolist() for time in times] == forwards
    assert Process((8, 1), 3, 3600.0).at(NOW).tolist() != forwards[0]
    assert Process((7, 2), 3, 3600.0).at(NOW).tolist() != forwards[0]


def test_what_is_kept_does_not_change_a_value() -> None:
    kept, fresh = Process((5,), 2, 10.0), Process((5,), 2, 10.0)
    for number in range(400):  # more places than are kept
        kept.at(37.0 * number)
    assert kept.at(NOW).tolist() == fresh.at(NOW).tolist()


def test_times_before_the_start_are_the_start() -> None:
    process = Process((3,), 2, 60.0)
    assert process.at(-5.0).tolist() == process.at(0.0).tolist()


@pytest.mark.parametrize("time", [0.0, 3.3, 319.0, 320.0, 1e5 + 0.7, NOW])
def test_at_every_time_values_are_normal_with_deviation_1(time: float) -> None:
    found = Process((11,), MANY, 10.0).at(time)
    assert abs(found.mean()) < 5 / math.sqrt(MANY)
    assert abs(found.std() - 1) < 5 / math.sqrt(2 * MANY)
    beyond = float(np.mean(np.abs(found) > 2))
    assert beyond == pytest.approx(0.0455, abs=5 * math.sqrt(0.0455 / MANY))


@pytest.mark.parametrize("apart", [0.01, 0.5, 3.0, 10.0, 25.0, 200.0])
@pytest.mark.parametrize("time", [313.0, 1e6])
def test_the_correlation_falls_exponentially_also_across_the_independent_places(
    time: float, apart: float
) -> None:
    """313 is 7 before a multiple of 32 time constants."""
    process = Process((13,), MANY, 10.0)
    found = float(np.mean(process.at(time) * process.at(time + apart)))
    assert found == pytest.approx(math.exp(-apart / 10.0), abs=5 * math.sqrt(2 / MANY))


def test_the_way_in_a_short_time_is_that_of_a_random_walk() -> None:
    """Var(x(t + d) - x(t)) = 2 (1 - exp(-d / time)): a session meets the root of its length."""
    process = Process((17,), MANY, 3600.0)
    for seconds in (10.0, 40.0, 160.0):
        steps = process.at(NOW + seconds) - process.at(NOW)
        expected = 2 * (1 - math.exp(-seconds / 3600.0))
        assert float(np.mean(steps**2)) == pytest.approx(expected, rel=5 * math.sqrt(2 / MANY))


def test_a_time_between_two_places_is_between_their_values_without_jumps() -> None:
    process = Process((19,), 50, 100.0)
    fine = np.stack([process.at(1000.0 + 0.01 * number) for number in range(200)])
    assert float(np.abs(np.diff(fine, axis=0)).max()) < 8 * math.sqrt(2 * 0.05 / 100.0)
