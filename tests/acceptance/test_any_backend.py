"""Backends by configuration alone: the real client in a session, on the target that is served."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from qiskit import QuantumCircuit
from qiskit.circuit import ClassicalRegister, Parameter, QuantumRegister
from qiskit.quantum_info import SparsePauliOp
from qiskit.transpiler import generate_preset_pass_manager
from qiskit_ibm_runtime import EstimatorV2, QiskitRuntimeService, SamplerV2, Session

from sojourn.embedded import Embedded
from tests.harness.drivers import installed

ODD = "tests.harness.backends:OddBackend"
DEVICES: list[dict[str, Any]] = [
    {"name": name, "driver": "backend", "options": options}
    for name, options in {
        "aer_backend": {"factory": "qiskit_aer:AerSimulator"},
        "basic": {"factory": "qiskit.providers.basic_provider:BasicSimulator", "qubits": 5},
        "noisy": {
            "factory": "qiskit_aer:AerSimulator.from_backend",
            "arguments": [{"call": "qiskit.providers.fake_provider:GenericBackendV2", "arguments": [5]}],
        },
        "counts_only": {"factory": ODD, "arguments": ["hex"], "max_circuits": 4},
        "spaced": {"factory": ODD, "arguments": ["spaced"]},
    }.items()
]
NAMES = [device["name"] for device in DEVICES]
ODD_GATES = ("counts_only", "spaced")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Embedded]:
    with (
        installed(tmp_path_factory.mktemp("package")),
        Embedded(tmp_path_factory.mktemp("server"), devices=DEVICES) as embedded,
    ):
        yield embedded


@pytest.fixture(scope="module")
def service(server: Embedded) -> QiskitRuntimeService:
    return server.service()


def registers() -> QuantumCircuit:
    """Sets `a` to 1 and `b` to 10, whatever the angle of its third qubit."""
    qubits, angle = QuantumRegister(3), Parameter("angle")
    a, b, c = ClassicalRegister(1, "a"), ClassicalRegister(2, "b"), ClassicalRegister(1, "c")
    circuit = QuantumCircuit(qubits, a, b, c)
    circuit.x([0, 1])
    circuit.rx(angle, 2)
    circuit.measure(qubits[0], a[0])
    circuit.measure(qubits[1], b[1])
    circuit.measure(qubits[2], c[0])
    return circuit


@pytest.mark.parametrize("name", NAMES)
def test_sampler_and_estimator_run_in_a_session(service: QiskitRuntimeService, name: str) -> None:
    backend = service.backend(name, use_fractional_gates=None if name in ODD_GATES else False)
    manager = generate_preset_pass_manager(1, backend=backend, seed_transpiler=1)
    sampled = manager.run(registers())
    bell = QuantumCircuit(2)
    bell.h(0)
    bell.cx(0, 1)
    prepared = manager.run(bell)
    observables = [SparsePauliOp(text).apply_layout(prepared.layout) for text in ("ZZ", "XX", "ZI")]
    angles = np.linspace(0, math.pi, 7)
    with Session(backend=backend) as session:
        data = SamplerV2(mode=session).run([(sampled, angles)], shots=400).result(timeout=100)[0].data
        values = (
            EstimatorV2(mode=session)
            .run([(prepared, observables)], precision=0.05)
            .result(timeout=100)[0]
            .data.evs
        )
        details = session.details()
    assert details is not None
    assert data.a.shape == data.b.shape == data.c.shape == (7,)
    ones = [data.c[point].get_counts().get("1", 0) / 400 for point in range(7)]
    assert ones == pytest.approx(np.sin(angles / 2) ** 2, abs=0.15)
    assert data.a[3].get_counts().get("1", 0) > 360
    assert data.b[3].get_counts().get("10", 0) > 350
    assert values == pytest.approx([1, 1, 0], abs=0.25)


def test_properties_of_a_backend_reach_the_client(service: QiskitRuntimeService) -> None:
    noisy = service.backend("noisy")
    found = noisy.properties()
    assert found is not None
    assert 0 < found.readout_error(0) < 0.5
    assert found.t1(0) > 0
    assert noisy.target["cx"][(0, 1)].error > 0
    assert service.backend("basic").properties() is None


def test_an_odd_target_is_served_as_it_is(service: QiskitRuntimeService) -> None:
    odd = service.backend("counts_only", use_fractional_gates=None)
    assert "use_fractional_gates=None" in odd.configuration().description
    assert set(odd.operation_names) >= {"r", "cz", "measure"}
    assert "reset" not in odd.operation_names
    assert "rz" not in odd.operation_names
    assert odd.coupling_map.get_edges() == [(0, 1), (1, 2), (2, 3), (3, 4)]
