"""Mitigation mitigates: on a model of a real device, the client's estimator comes nearer to known values.

With fixed seeds. `make test` runs a few of them on 4 qubits; HYPOTHESIS_PROFILE=nightly 20 of them on 4 and
on 10. SOJOURN_MITIGATION_SEEDS says another number.
"""

from __future__ import annotations

import os
from functools import cache

import numpy as np
import pytest

from tests.harness.mitigation import (
    PRECISION,
    STEPS,
    Estimate,
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
SIZES = (4, 10) if NIGHTLY else (4,)
DEVICE = "FakeTorino"

pytestmark = pytest.mark.timeout(7200 if NIGHTLY else 600)


@cache
def measured(way: str, qubits: int) -> list[Estimate]:
    return [
        estimate(
            mirror(DEVICE, qubits, STEPS[qubits], seed), way, PRECISION[qubits], on(device(DEVICE, seed))
        )
        for seed in range(SEEDS)
    ]


@pytest.mark.parametrize("qubits", SIZES)
def test_the_error_falls_from_level_to_level(qubits: int) -> None:
    errors = [mean_error(measured(f"level {level}", qubits)) for level in (0, 1, 2)]
    assert errors[1] < 0.8 * errors[0]
    assert errors[2] < 0.7 * errors[1]


@pytest.mark.parametrize("qubits", SIZES)
def test_error_cancellation_with_the_true_noise_is_unbiased(qubits: int) -> None:
    """Within its error bar, outside of which the unmitigated gate errors of level 1 are."""
    # The client adds the variances of an observable's terms, but the sign of a randomisation is common to all
    # of them: its bars are too small by up to the root of the number of terms, 2 here.
    assert np.abs(pulls(measured("PEC", qubits))).max() < (3.5 if SEEDS >= 10 else 7)
    assert np.abs(pulls(measured("level 1", qubits))).min() > 5


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
