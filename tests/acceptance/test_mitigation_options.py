"""Suppression and mitigation by the options of `SamplerV2` and `EstimatorV2`, end to end with the client.

The lines are those of public scripts: an option is switched on, and the rest is left to the service.
"""

from __future__ import annotations

import importlib.util
import warnings
from collections.abc import Iterator
from typing import Any

import pytest
from qiskit import QuantumCircuit, transpile
from qiskit.quantum_info import SparsePauliOp
from qiskit_ibm_runtime import Batch, EstimatorV2, QiskitRuntimeService, SamplerV2, Session
from qiskit_ibm_runtime.exceptions import IBMRuntimeError

from sojourn.embedded import Embedded

DEVICES: list[dict[str, Any]] = [
    {"name": "ibm_torino", "driver": "fake", "options": {"backend": "FakeTorino", "seed": 11}},
    {"name": "bench", "driver": "mock", "options": {"like": "FakeManilaV2"}},
]
LEARNS = importlib.util.find_spec("qiskit_noise_learning") is not None


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[QiskitRuntimeService]:
    policy = {"default_resilience_level": 1}
    with Embedded(tmp_path_factory.mktemp("server"), devices=DEVICES, policy=policy) as server:
        yield server.service()


def bell(measured: bool = True) -> QuantumCircuit:
    circuit = QuantumCircuit(2, 2 if measured else 0)
    circuit.h(0)
    circuit.cx(0, 1)
    if measured:
        circuit.measure([0, 1], [0, 1])
    return circuit


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


@pytest.mark.parametrize(
    "options",
    [
        {"dynamical_decoupling": {"enable": True, "sequence_type": "XY4"}},
        {"twirling": {"enable_gates": True}},
        {"twirling": {"enable_measure": True}},
        {
            "dynamical_decoupling": {"enable": True},
            "twirling": {"enable_gates": True, "num_randomizations": 16, "shots_per_randomization": "auto"},
        },
    ],
)
@pytest.mark.parametrize("device", ["ibm_torino", "bench"])
def test_the_sampler_suppresses_errors(
    service: QiskitRuntimeService, device: str, options: dict[str, Any]
) -> None:
    backend = service.backend(device)
    isa = transpile(bell(), backend, seed_transpiler=1)
    job = SamplerV2(mode=backend, options=options).run([isa], shots=300)
    counts = job.result(timeout=100)[0].data.c.get_counts()
    assert sum(counts.values()) == 300
    if device != "bench":
        assert counts.get("00", 0) + counts.get("11", 0) > 250


RESILIENCE: list[tuple[dict[str, Any], set[str]]] = [
    ({"resilience_level": 0}, set()),
    ({"resilience_level": 1}, {"measure_mitigation"}),
    ({}, {"measure_mitigation"}),
    ({"resilience_level": 2}, {"measure_mitigation", "zne_mitigation"}),
    ({"resilience_level": 0, "resilience": {"zne_mitigation": True}}, {"zne_mitigation"}),
    ({"resilience_level": 0, "resilience": {"measure_mitigation": True}}, {"measure_mitigation"}),
]


@pytest.mark.parametrize(("options", "done"), RESILIENCE)
def test_the_estimator_mitigates_and_says_what_was_done(
    service: QiskitRuntimeService, options: dict[str, Any], done: set[str]
) -> None:
    backend = service.backend("ibm_torino")
    isa = transpile(bell(measured=False), backend, seed_transpiler=1)
    observables = [SparsePauliOp(name).apply_layout(isa.layout) for name in ("ZZ", "XX", "ZI")]
    with Session(backend=backend) as session:
        job = EstimatorV2(mode=session, options=options).run([(isa, observables)], precision=0.02)
        found = job.result(timeout=100)
    assert job.session_id == session.session_id
    resilience = found.metadata["resilience"]
    switched = {name for name, value in resilience.items() if value is True}
    assert switched == done
    for value, right in zip(found[0].data.evs, [1.0, 1.0, 0.0], strict=True):
        assert value == pytest.approx(right, abs=0.35)
    assert job.metrics()["num_circuits"] > 1


def test_pec_learns_the_noise_or_says_what_is_missing(service: QiskitRuntimeService) -> None:
    backend = service.backend("ibm_torino")
    isa = transpile(bell(measured=False), backend, seed_transpiler=1)
    observable = SparsePauliOp("ZZ").apply_layout(isa.layout)
    options = {"resilience": {"pec_mitigation": True}}
    with Batch(backend=backend) as batch:
        estimator = EstimatorV2(mode=batch, options=options)
        if not LEARNS:
            with pytest.raises(IBMRuntimeError, match="environment lacks what prepares them"):
                estimator.run([(isa, observable)])
            return
        found = estimator.run([(isa, observable)]).result(timeout=170)
    assert found[0].data.evs == pytest.approx(1.0, abs=0.1)
    assert found.metadata["resilience"]["layer_noise_learning"]["learned_layers"] == 1


def test_what_contradicts_itself_is_refused_at_submit(service: QiskitRuntimeService) -> None:
    backend = service.backend("ibm_torino")
    isa = transpile(bell(measured=False), backend, seed_transpiler=1)
    observable = SparsePauliOp("ZZ").apply_layout(isa.layout)
    options = {"resilience_level": 2, "resilience": {"pec_mitigation": True}}
    with pytest.raises(IBMRuntimeError, match="pec_mitigation = True contradicts zero-noise extrapolation"):
        EstimatorV2(mode=backend, options=options).run([(isa, observable)])
