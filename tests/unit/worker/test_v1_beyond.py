"""Levels 2 and 3 of the V1 estimator, in the wording of V1."""

from __future__ import annotations

import importlib.util
import json
from typing import Any

import numpy as np
import pytest
from qiskit.circuit import Parameter, QuantumCircuit
from qiskit.quantum_info import SparsePauliOp

from sojourn.worker.host import DeviceHost
from tests.harness.v1 import RESILIENCE, estimator_body
from tests.unit.worker.test_v1 import excited, refusal, run

LEARNS = importlib.util.find_spec("qiskit_noise_learning") is not None
ZZ = SparsePauliOp.from_list([("ZZ", 1.0)])


def deep(pairs: int = 3) -> QuantumCircuit:
    """ry(a) on a qubit, and pairs of cx that undo each other: <ZZ> = <IZ> = cos(a)."""
    circuit = QuantumCircuit(2)
    circuit.ry(Parameter("a"), 0)
    for _ in range(2 * pairs):
        circuit.barrier()  # else the transpiler undoes them
        circuit.cx(0, 1)
    return circuit


def resilience(level: int, **more: Any) -> dict[str, Any]:
    return {"resilience_settings": {**RESILIENCE, "level": level, **more}}


def test_level_2_extrapolates_what_was_measured_at_each_noise_factor(manila: DeviceHost) -> None:
    angles = [[0.2], [1.2]]
    params = estimator_body([deep()] * 2, [ZZ, ZZ], angles, run={"shots": 20_000}, level=2)
    values, metadata = run(manila, "estimator", params)
    for value, angle, about in zip(values, angles, metadata, strict=True):
        amplified = about["zne"]["noise_amplification"]
        assert amplified["noise_amplifier"] == "TwoQubitAmplifier"
        assert amplified["noise_factors"] == [1, 3, 5]
        assert amplified["shots"] == [20_000] * 3
        assert about["zne"]["extrapolation"] == {"extrapolator": "LinearExtrapolator"}
        assert about["shots"] == 60_000
        assert about["standard_error"] > 0
        measured = np.array(amplified["values"])
        assert (np.diff(measured) < 0).all()
        assert amplified["variance"] == pytest.approx(1 - measured**2, abs=0.1)
        assert value == pytest.approx(np.polyfit([1, 3, 5], measured, 1)[1], abs=0.02)
        exact = np.cos(angle[0])
        assert abs(value - exact) < abs(measured[0] - exact)


def test_another_extrapolator_has_other_factors_and_another_result(manila: DeviceHost) -> None:
    """Also of a circuit that was prepared for the first."""
    found = []
    for more in (
        {"noise_factors": [1, 3]},
        {"noise_factors": [1, 2, 4], "extrapolator": "QuadraticExtrapolator"},
    ):
        params = estimator_body([deep()], [ZZ], [[0.2]], level=2, **resilience(2, **more))
        _, metadata = run(manila, "estimator", params)
        zne = metadata[0]["zne"]
        assert zne["noise_amplification"]["noise_factors"] == more["noise_factors"]
        found.append(zne["extrapolation"]["extrapolator"])
    assert found == ["LinearExtrapolator", "QuadraticExtrapolator"]


def test_experiments_keep_their_order_and_observables_their_qubits(manila: DeviceHost) -> None:
    flipped = excited(3, measured=False)
    wanted = [SparsePauliOp.from_list([("IIZ", 0.5)]), SparsePauliOp.from_list([("ZII", 2.0), ("III", 1.0)])]
    params = estimator_body(
        [flipped, deep()],
        [*wanted, ZZ],
        [[], [0.0], []],
        level=2,
        circuit_indices=[0, 1, 0],
        observable_indices=[0, 2, 1],
    )
    values, metadata = run(manila, "estimator", params)
    # the readout errs, most on the last qubit: -0.45 and 1 - 2 x 0.75
    assert values == pytest.approx([-0.45, 0.9, -0.5], abs=0.15)
    assert [len(about["zne"]["noise_amplification"]["values"]) for about in metadata] == [3, 3, 3]


@pytest.mark.skipif(not LEARNS, reason="the noise is learned with a package that is not there")
def test_level_3_cancels_the_noise_that_it_has_learned(manila: DeviceHost) -> None:
    params = estimator_body([deep(2)], [ZZ], [[0.4]], run={"shots": 8000}, level=3)
    values, metadata = run(manila, "estimator", params)
    about = metadata[0]
    assert values[0] == pytest.approx(np.cos(0.4), abs=6 * about["standard_error"])
    low, high = about["confidence_interval"]
    assert (low + high) / 2 == pytest.approx(values[0])
    assert high - low == pytest.approx(3.92 * about["standard_error"], rel=0.01)
    assert about["confidence_level"] == 0.95
    assert about["sampling_overhead"] > 1
    assert about["samples"] * 64 <= about["shots"]
    assert about["total_mitigated_layers"] >= about["unique_mitigated_layers"] >= 1
    assert about["readout_mitigation_method"] == "twirled readout error extinction"


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"noise_amplifier": "GlobalFoldingAmplifier"}, "noise_amplifier is 'GlobalFoldingAmplifier'"),
        ({"noise_amplifier": "CxAmplifier"}, "noise_amplifier is 'CxAmplifier'"),
        ({"extrapolator": "Richardson"}, "extrapolator is 'Richardson'; it must be one of Linear"),
        ({"extrapolator": "CubicExtrapolator"}, "CubicExtrapolator needs at least 4"),
        ({"noise_factors": [1]}, "noise_factors is [1]"),
        ({"noise_factors": [1, 1]}, "noise_factors is [1, 1]"),
        ({"noise_factors": [0.5, 1]}, "different numbers from 1 to 100"),
        ({"noise_factors": [1, 10**9]}, "different numbers from 1 to 100"),
        ({"noise_factors": "all"}, "noise_factors is 'all'"),
        ({"noise_factors": list(range(1, 30))}, "2 to 20 different"),
    ],
)
def test_what_level_2_cannot_do_is_refused_by_name(
    manila: DeviceHost, more: dict[str, Any], words: str
) -> None:
    params = estimator_body([deep()], [ZZ], [[0.1]], level=2, **resilience(2, **more))
    assert f"params.resilience_settings.{words}" in refusal(manila, "estimator", params) or words in refusal(
        manila, "estimator", params
    )
    other = estimator_body([deep()], [ZZ], [[0.1]], level=0, **resilience(0, **more))
    manila.prepare("estimator", other)  # at other levels it changes nothing


@pytest.mark.parametrize("level", [2, 3])
def test_control_flow_is_refused_with_the_levels_that_take_it(manila: DeviceHost, level: int) -> None:
    circuit = QuantumCircuit(1, 1)
    circuit.measure(0, 0)
    with circuit.if_test((circuit.clbits[0], 1)):
        circuit.x(0)
    params = estimator_body([circuit], [SparsePauliOp("Z")], level=level)
    message = refusal(manila, "estimator", params)
    assert "control flow" in message
    assert "params.resilience_settings.level to 0 or 1" in message


def test_a_level_that_there_is_not_is_refused(manila: DeviceHost) -> None:
    params = estimator_body([deep()], [ZZ], [[0.1]], level=4)
    assert "allowed is 0, 1, 2 or 3" in refusal(manila, "estimator", params)


def test_a_result_has_no_number_that_json_has_not(manila: DeviceHost) -> None:
    params = estimator_body([excited(1, measured=False)], [SparsePauliOp("I", [2.0])], level=2)
    outcome = manila.run("estimator", params)
    found = json.loads(outcome.result, parse_constant=pytest.fail)  # type: ignore[union-attr]
    assert found["values"] == pytest.approx([2.0])
