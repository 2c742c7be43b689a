"""The model of readout: signals of which a classifier makes the device's bits. The kind: any assignment
errors, any number of bits, each level of measurement."""

from __future__ import annotations

import math
from statistics import NormalDist

import numpy as np
import pytest
from numpy.typing import NDArray

from sojourn.devices.conditions import Level
from sojourn.devices.driver import Outcome
from sojourn.devices.readout import FARTHEST, Readout, middle

SHOTS = 200_000


def readout(*errors: tuple[float, float]) -> Readout:
    """Of bits with P(1|0) and P(0|1)."""
    one, zero = np.array(errors).reshape(-1, 2).T
    return Readout(one, zero, np.ones(len(errors), dtype=bool))


def states(bits: NDArray[np.bool_]) -> Outcome:
    """An outcome with these shots, (shots, bits)."""
    shots, count = bits.shape
    width = -(-count // 8)
    padded = np.zeros((shots, 8 * width), dtype=np.uint8)
    padded[:, 8 * width - 1 - np.arange(count)] = bits
    return Outcome(np.packbits(padded, axis=-1), np.ones(shots, dtype=np.int64), np.arange(shots))


def read(
    bits: NDArray[np.bool_], model: Readout, level: Level, seed: int = 1
) -> tuple[NDArray[np.bool_], Outcome]:
    """What is read of these states: bits (shots, bits), and the whole outcome."""
    found = model.read(states(bits), level, np.random.default_rng(seed))
    count = bits.shape[1]
    packed = np.unpackbits(found.memory(), axis=-1)
    return packed[:, packed.shape[1] - 1 - np.arange(count)].astype(bool), found


@pytest.mark.parametrize("errors", [(0.01, 0.05), (0.2, 0.2), (0.0, 0.3), (0.5, 0.001)])
@pytest.mark.parametrize("level", ["classified", "kerneled", "both"])
def test_bits_have_the_assignment_errors_at_every_level(errors: tuple[float, float], level: Level) -> None:
    model = readout(errors)
    for state, error in enumerate(errors):
        bits, _ = read(np.full((SHOTS, 1), bool(state)), model, level)
        wrong = float((bits != bool(state)).mean())
        assert wrong == pytest.approx(error, abs=5 * math.sqrt(0.25 / SHOTS) + 1e-9)


@pytest.mark.parametrize("level", ["kerneled", "both"])
def test_bits_are_those_of_their_own_signals(level: Level) -> None:
    random = np.random.default_rng(3)
    shown = random.random((5000, 11)) < 0.5
    bits, found = read(shown, readout(*[(0.1, 0.2)] * 11), level)
    assert found.signal is not None
    assert found.signal.shape == (5000, 11)
    assert found.signal.dtype == np.complex64
    assert ((found.signal.real > 0) == bits).all()


def test_signals_are_two_normal_clouds_whose_middles_follow_from_the_errors() -> None:
    shown = np.arange(SHOTS)[:, None] % 2 == 1
    _, found = read(shown, readout((0.02, 0.1)), "kerneled")
    assert found.signal is not None
    normal = NormalDist()
    for state, expected in ((False, normal.inv_cdf(0.02)), (True, -normal.inv_cdf(0.1))):
        cloud = found.signal[shown[:, 0] == state, 0]
        slack = 5 / math.sqrt(len(cloud))
        assert complex(cloud.mean()) == pytest.approx(complex(expected, 0), abs=2 * slack)
        assert float(cloud.real.std()) == pytest.approx(1, abs=slack)
        assert float(cloud.imag.std()) == pytest.approx(1, abs=slack)


def test_the_average_is_the_mean_over_the_shots_and_takes_no_room_for_them() -> None:
    shown = np.random.default_rng(5).random((70_000, 9)) < 0.3
    model = readout(*[(0.05, 0.08)] * 9)
    _, single = read(shown, model, "kerneled", seed=8)
    _, mean = read(shown, model, "avg_kerneled", seed=8)
    assert single.signal is not None
    assert mean.signal is not None
    assert mean.signal.shape == (9,)
    assert mean.signal == pytest.approx(single.signal.mean(axis=0, dtype=np.complex128), abs=1e-5)


def test_a_bit_that_is_not_measured_is_0_and_has_no_signal() -> None:
    model = Readout(np.full(2, 0.5), np.full(2, 0.5), np.array([True, False]))
    bits, found = read(np.zeros((100, 2), dtype=bool), model, "kerneled")
    assert found.signal is not None
    assert bits[:, 0].any()
    assert not bits[:, 1].any()
    assert not found.signal[:, 1].any()


def test_a_qubit_without_assignment_errors_has_clouds_far_apart() -> None:
    assert middle(0.0) == pytest.approx(FARTHEST)
    assert middle(0.5) == pytest.approx(0.0)
    assert middle(1.0) == pytest.approx(-FARTHEST)
    bits, _ = read(np.ones((SHOTS, 1), dtype=bool), readout((0.0, 0.0)), "kerneled")
    assert bits.all()


def test_a_circuit_without_classical_bits_gives_empty_signals() -> None:
    bits, found = read(np.zeros((10, 0), dtype=bool), readout(), "kerneled")
    assert found.signal is not None
    assert (bits.shape, found.signal.shape) == ((10, 0), (10, 0))
