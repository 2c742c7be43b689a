"""What the vendors' backends do not take is said in words, as docs/vendors.md has it."""

from __future__ import annotations

import pytest
from qiskit import QuantumCircuit
from qiskit.quantum_info import SparsePauliOp
from qiskit.transpiler import generate_preset_pass_manager
from qiskit_ibm_runtime import EstimatorV2, IBMBackend, SamplerV2
from qiskit_ibm_runtime.exceptions import IBMRuntimeError, RuntimeJobFailureError

from tests.backends import environments
from tests.backends.environments import NAMES

REFUSED = (IBMRuntimeError, RuntimeJobFailureError)


def opened(request: pytest.FixtureRequest, name: str) -> IBMBackend:
    environments.interpreter(name)
    return request.getfixturevalue("server").service().backend(name, use_fractional_gates=None)


def test_more_shots_than_aqt_takes_are_refused_at_submit(request: pytest.FixtureRequest) -> None:
    backend = opened(request, "aqt")
    circuit = QuantumCircuit(1, 1)
    circuit.measure(0, 0)
    with pytest.raises(IBMRuntimeError, match=r"asks for 4096 shots; the limit of aqt is 2000"):
        SamplerV2(mode=backend).run([circuit])


def test_a_gate_after_a_measurement_fails_on_braket_with_its_words(request: pytest.FixtureRequest) -> None:
    backend = opened(request, "braket")
    circuit = QuantumCircuit(1, 2)
    circuit.measure(0, 0)
    circuit.x(0)
    circuit.measure(0, 1)
    ready = generate_preset_pass_manager(1, backend=backend).run(circuit)
    job = SamplerV2(mode=backend).run([ready], shots=10)
    with pytest.raises(RuntimeJobFailureError, match=r"the backend of braket failed.*measured qubits"):
        job.result()


@pytest.mark.parametrize("name", NAMES)
def test_mitigation_runs_where_the_environment_has_the_client_and_is_refused_by_name_elsewhere(
    request: pytest.FixtureRequest, name: str
) -> None:
    backend = opened(request, name)
    circuit = QuantumCircuit(2)
    circuit.h(0)
    circuit.cx(0, 1)
    ready = generate_preset_pass_manager(1, backend=backend, seed_transpiler=1).run(circuit)
    estimator = EstimatorV2(mode=backend)
    estimator.options.resilience_level = 1
    pub = (ready, SparsePauliOp("ZZ").apply_layout(ready.layout))
    if any(line.startswith("qiskit-ibm-runtime==") for line in environments.pinned(name)):
        values = estimator.run([pub], precision=0.05).result()[0].data.evs
        assert float(values) == pytest.approx(1, abs=0.2)
        return
    # at submit, or when the job is prepared, if that takes longer than a submit waits
    with pytest.raises(
        REFUSED, match="twirling, dynamical decoupling and error mitigation are not run on this"
    ):
        estimator.run([pub], precision=0.05).result()
