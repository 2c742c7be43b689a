"""The option `fractional_gates`: rx and rzz wherever the gate works of which they are made."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from qiskit import QuantumCircuit
from qiskit_ibm_runtime.utils.backend_converter import convert_to_target
from qiskit_ibm_runtime.utils.backend_decoder import (
    configuration_from_server_data,
    properties_from_server_data,
)

from sojourn.devices.driver import Driver, DriverError, Task, load_driver
from sojourn.devices.offered import settled


@pytest.fixture(scope="module")
def heron() -> Driver:
    return load_driver("heron", "fake", {"backend": "FakeTorino", "fractional_gates": True})


def test_the_client_sees_rzz_on_every_pair_that_has_a_cz(heron: Driver) -> None:
    facts = settled(heron.facts(), heron.target)
    assert facts.properties is not None
    configuration = configuration_from_server_data(
        json.loads(json.dumps(facts.configuration)), use_fractional_gates=True
    )
    properties = properties_from_server_data(json.loads(json.dumps(facts.properties)), True)
    target = convert_to_target(configuration, properties, include_fractional_gates=True)
    pairs, made = target["cz"], target["rzz"]
    assert set(pairs) == set(made)
    assert {place: made[place].error for place in made} == {place: pairs[place].error for place in pairs}
    assert {place: made[place].duration for place in made} == {
        place: pairs[place].duration for place in pairs
    }


def test_what_the_snapshot_has_measured_stays() -> None:
    plain = load_driver("fez", "fake", {"backend": "FakeFez"})
    whole = load_driver("fez", "fake", {"backend": "FakeFez", "fractional_gates": True})
    before, after, cz = plain.target["rzz"], whole.target["rzz"], whole.target["cz"]
    working = {place for place in before if (before[place].error or 0) < 1}
    assert working
    assert working < set(before)
    assert all(after[place].error == before[place].error for place in working)
    assert all(after[place].error == cz[place].error for place in set(before) - working)


def test_an_rzz_turns_by_its_angle_with_about_the_error_of_a_cz(heron: Driver) -> None:
    pair = min(heron.target["rzz"], key=lambda place: heron.target["rzz"][place].error)
    circuit = QuantumCircuit(133, 2)
    circuit.rx(math.pi / 2, pair[0])
    circuit.rzz(0.7, *pair)
    circuit.rx(math.pi / 2, pair[0])
    circuit.measure(pair, [0, 1])
    ((outcome,),) = heron.execute(
        [Task(heron.compile(circuit), np.zeros((1, 0)), 20_000)], seed=1, memory=True
    )
    ones = (outcome.memory()[:, 0] & 1).mean()
    assert ones == pytest.approx((1 + math.cos(0.7)) / 2, abs=0.05)


def test_a_calibration_keeps_them(heron: Driver) -> None:
    found = heron.calibrate("2026-11-22T04:00:00+00:00", 1)
    assert found.properties is not None
    heron.apply_calibration(found.properties)
    assert heron.facts().properties == found.properties


def test_a_device_without_cz_cannot_have_them() -> None:
    with pytest.raises(
        DriverError, match=r"'fractional_gates' .* is True; allowed is false, as FakeBrisbane has no cz"
    ):
        load_driver("eagle", "fake", {"backend": "FakeBrisbane", "fractional_gates": True})
