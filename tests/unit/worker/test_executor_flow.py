"""Control flow and randomised layers: a template may branch, what is prepared in the worker may not."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from qiskit import QuantumCircuit
from qiskit_ibm_runtime.quantum_program import QuantumProgram
from samplomatic import Twirl, build

from sojourn.worker.host import DeviceHost
from tests.unit.worker.conftest import estimator_body, sampler_body
from tests.unit.worker.test_executor import encoded, run
from tests.unit.worker.test_mitigated import refusal


def branching() -> QuantumCircuit:
    """A twirled cx, a measurement that is not twirled, a branch on it, and twirled measurements."""
    circuit = QuantumCircuit(3, 3)
    circuit.x(0)
    with circuit.box([Twirl()]):
        circuit.cx(0, 1)
    with circuit.box([Twirl(dressing="right")]):
        circuit.noop(0, 1)
    circuit.measure(0, 0)
    with circuit.if_test((circuit.clbits[0], 1)):
        circuit.x(2)
    with circuit.box([Twirl()]):
        circuit.measure([1, 2], [1, 2])
    return circuit


def test_a_template_may_branch_on_bits_that_are_not_twirled(aer: DeviceHost) -> None:
    template, samplex = build(branching())
    program = QuantumProgram(shots=20)
    program.append_samplex_item(template, samplex, {}, shape=(12,))
    found = run(aer, encoded(program))[0]
    flips = found["measurement_flips.c"]
    assert found["c"].shape == (12, 20, 3)
    assert (found["c"] ^ flips).all()
    assert np.unique(flips.reshape(12, 3), axis=0).shape[0] > 1
    assert not flips[..., 0].any()


@pytest.mark.parametrize("twirling", [{"enable_gates": True}, {"enable_measure": True}])
def test_circuits_with_control_flow_are_not_prepared(aer: DeviceHost, twirling: dict[str, Any]) -> None:
    circuit = QuantumCircuit(2, 2)
    circuit.measure(0, 0)
    with circuit.if_test((circuit.clbits[0], 1)):
        circuit.x(1)
    circuit.measure(1, 1)
    message = refusal(aer, "sampler", sampler_body([circuit], {"twirling": twirling}))
    assert "pubs[0]: the circuit has control flow" in message
    assert "samplomatic" in message
    body = estimator_body([(circuit, "ZZ")], {"twirling": twirling})
    assert "pubs[0]: the circuit has control flow" in refusal(aer, "estimator", body)
