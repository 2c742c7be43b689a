"""Mitigation mitigates: on a model of a real device, the client's estimator comes nearer to known values.

With fixed seeds. `make test` runs a few of them on 4 qubits; HYPOTHESIS_PROFILE=nightly 20 of them on 4 and
on 10. SOJOURN_MITIGATION_SEEDS says another number.
"""

from __future__ import annotations

import os
from functools import cache

import numpy as np
import pytest
from scipy.stats import t as student_t

from tests.harness.mitigation import (
    PRECISION,
    STEPS,
    Estimate,
    bias,
    device,
    estimate,
    mean_error,
    mirror,
    on,
    pulls,
    rotations,
)

NIGHTLY = os.environ.get("HYPOTHESIS_PROFILE") == "nightly"
SEEDS = int(os.environ.get("SOJOURN_MITIGATION_SEEDS", "20" if NIGHTLY else "3"))
CANCELLED = max(SEEDS, 8)
"""Of error cancellation more: it scatters most, and is judged by its scatter. A second each on 4 qubits."""
SIZES = (4, 10) if NIGHTLY else (4,)
DEVICE = "FakeTorino"

pytestmark = pytest.mark.timeout(7200 if NIGHTLY else 600)


@cache
def run(way: str, qubits: int, seed: int) -> Estimate:
    problem = mirror(DEVICE, qubits, STEPS[qubits], seed)
    return estimate(problem, way, PRECISION[qubits], on(device(DEVICE, seed)))


def measured(way: str, qubits: int, seeds: int = SEEDS) -> list[Estimate]:
    return [run(way, qubits, seed) for seed in range(seeds)]


@pytest.mark.parametrize("qubits", SIZES)
def test_the_error_falls_from_level_to_level(qubits: int) -> None:
    errors = [mean_error(measured(f"level {level}", qubits)) for level in (0, 1, 2)]
    assert errors[1] < 0.8 * errors[0]
    assert errors[2] < 0.7 * errors[1]


@pytest.mark.parametrize("qubits", SIZES)
def test_error_cancellation_with_the_true_noise_is_unbiased(qubits: int) -> None:
    """Its mean error is no more than the scatter of the runs explains; that of level 1, without it, is."""
    # The scatter of the runs and not the client's bars: those add the variances of an observable's terms,
    # but the sign of a randomisation is common to all of them.
    bound = student_t.ppf(0.995, CANCELLED - 1)
    cancelled, error = bias(measured("PEC", qubits, CANCELLED))
    assert (np.abs(cancelled) < bound * error).all()
    before, its_error = bias(measured("level 1", qubits, CANCELLED))
    assert (np.abs(before) > bound * its_error).all()
    assert (np.abs(before) > error).all()  # the scatter does not hide it


if NIGHTLY:  # its error bars need the 20 seeds of the long form

    @pytest.mark.parametrize("qubits", SIZES)
    def test_noise_amplified_by_the_true_noise_extrapolates_to_a_smaller_error(qubits: int) -> None:
        assert mean_error(measured("PEA", qubits)) < 0.5 * mean_error(measured("level 1", qubits))


@pytest.mark.parametrize("qubits", SIZES)
def test_readout_errors_are_removed_by_their_calibration(qubits: int) -> None:
    found = {
        way: [
            estimate(rotations(DEVICE, qubits, seed), way, PRECISION[qubits], on(device(DEVICE, seed)))
            for seed in range(SEEDS)
        ]
        for way in ("level 0", "level 1")
    }
    assert np.abs(pulls(found["level 1"])).max() < 3.5
    assert np.abs(pulls(found["level 0"])).min() > 5
