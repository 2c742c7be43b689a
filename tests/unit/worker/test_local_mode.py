"""What newer clients prepare gives the same here as in the client's local testing mode, within statistics.

On a device of 5 qubits, where local mode takes seconds, and with fixed seeds.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from qiskit import QuantumCircuit, transpile
from qiskit_ibm_runtime.decoders.executor_sampler.decoder import ClientSideSamplerResultDecoder
from qiskit_ibm_runtime.executor_sampler.prepare import prepare
from qiskit_ibm_runtime.options_models import SamplerOptions

from tests.harness.mitigation import WAYS, Run, device, estimate, locally, mirror, on, snapshot

DEVICE = "FakeManilaV2"


@pytest.mark.parametrize("way", WAYS)
def test_the_estimator_gives_the_values_of_local_mode(way: str) -> None:
    problem = mirror(DEVICE, 3, 2, seed=1)
    ours = estimate(problem, way, 0.02, on(device(DEVICE, 1)))
    theirs = estimate(problem, way, 0.02, locally(DEVICE, 1))
    assert ours.circuits == theirs.circuits
    apart = np.abs(ours.errors - theirs.errors) / np.hypot(ours.bars, theirs.bars)
    assert apart.max() < 4.5


def counts(options: dict[str, Any], run: Run) -> NDArray[np.int64]:
    """(8,): how often each outcome of three rotated and entangled qubits came in 4,000 shots."""
    circuit = QuantumCircuit(3, 3)
    for i, angle in enumerate((0.7, 1.3, 2.1)):
        circuit.ry(angle, i)
    circuit.cx(0, 1)
    circuit.cx(1, 2)
    circuit.measure([0, 1, 2], [0, 1, 2])
    backend = snapshot(DEVICE)
    isa = transpile(circuit, backend, seed_transpiler=1)
    program, settings = prepare([isa], SamplerOptions(**options), 4000, backend=backend)
    program._semantic_role = "sampler_v2"
    bits = ClientSideSamplerResultDecoder.decode(run(program, settings))[0].data.c
    found = bits.get_int_counts()
    return np.array([found.get(outcome, 0) for outcome in range(8)])


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"twirling": {"enable_measure": True}},
        {"twirling": {"enable_gates": True, "enable_measure": True}},
        {"dynamical_decoupling": {"enable": True, "sequence_type": "XY4"}},
    ],
    ids=["plain", "measurements twirled", "gates twirled", "decoupled"],
)
def test_the_sampler_gives_the_counts_of_local_mode(options: dict[str, Any]) -> None:
    ours, theirs = counts(options, on(device(DEVICE, 1))), counts(options, locally(DEVICE, 1))
    assert ours.sum() == theirs.sum()
    both = ours + theirs
    distance = ((ours - theirs) ** 2 / np.maximum(both, 1)).sum()
    assert distance < 35  # of a chi-squared variable with 7 degrees of freedom, once in 100,000
