"""Levels of measurement, initialisation, timing, simulator options, dry runs: the real client on a server."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from qiskit import QuantumCircuit, transpile
from qiskit.quantum_info import SparsePauliOp
from qiskit_aer.noise import NoiseModel, pauli_error
from qiskit_ibm_runtime import EstimatorV2, Executor, QiskitRuntimeService, QuantumProgram, SamplerV2
from qiskit_ibm_runtime.exceptions import IBMRuntimeError
from qiskit_ibm_runtime.executor_estimator import Estimator
from qiskit_ibm_runtime.executor_sampler import Sampler

from sojourn.embedded import Embedded

DEVICES: list[dict[str, Any]] = [
    {"name": "aer", "driver": "aer", "options": {"qubits": 5}},
    {"name": "ibm_manila", "driver": "fake", "options": {"backend": "FakeManilaV2"}},
]


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[QiskitRuntimeService]:
    with Embedded(tmp_path_factory.mktemp("server"), devices=DEVICES) as server:
        yield server.service()


def excited() -> QuantumCircuit:
    circuit = QuantumCircuit(2, 2)
    circuit.x(0)
    circuit.measure([0, 1], [0, 1])
    return circuit


@pytest.mark.parametrize("device", ["aer", "ibm_manila"])
@pytest.mark.parametrize(("level", "shape"), [("kerneled", (50, 2)), ("avg_kerneled", (2,))])
def test_signals_come_back_from_both_samplers(
    service: QiskitRuntimeService, device: str, level: str, shape: tuple[int, ...]
) -> None:
    backend = service.backend(device)
    isa = transpile(excited(), backend, seed_transpiler=1, initial_layout=[0, 1])
    old = SamplerV2(mode=backend, options={"execution": {"meas_type": level}})
    new = Sampler(mode=backend)
    new.options.execution.meas_type = level
    for sampler in (old, new):
        data = sampler.run([isa], shots=50).result(timeout=100)[0].data.c
        assert data.shape == shape
        means = data.reshape(-1, 2).mean(axis=0)
        assert means[0].real > 0.5
        assert means[1].real < -0.5


def test_signals_of_the_new_sampler_may_be_twirled(service: QiskitRuntimeService) -> None:
    backend = service.backend("ibm_manila")
    isa = transpile(excited(), backend, seed_transpiler=1, initial_layout=[0, 1])
    for level, shape in (("kerneled", (64, 2)), ("avg_kerneled", (2,))):
        sampler = Sampler(mode=backend)
        sampler.options.execution.meas_type = level
        sampler.options.twirling.enable_gates = True
        sampler.options.twirling.num_randomizations = 4
        sampler.options.twirling.shots_per_randomization = 16
        assert sampler.run([isa], shots=64).result(timeout=100)[0].data.c.shape == shape


def test_the_executor_gives_bits_and_signals_together(service: QiskitRuntimeService) -> None:
    program = QuantumProgram(shots=40, meas_level="both")
    program.append_circuit_item(excited())
    found = Executor(mode=service.backend("aer")).run(program).result(timeout=100)[0]
    assert ((found["c_iq"].real > 0) == found["c"]).all()


@pytest.mark.parametrize("device", ["aer", "ibm_manila"])
def test_qubits_are_carried_from_shot_to_shot(service: QiskitRuntimeService, device: str) -> None:
    backend = service.backend(device)
    isa = transpile(excited(), backend, seed_transpiler=1, initial_layout=[0, 1])
    old = SamplerV2(mode=backend, options={"execution": {"init_qubits": False}})
    new = Sampler(mode=backend)
    new.options.execution.init_qubits = False
    for sampler in (old, new):
        bits = sampler.run([isa], shots=2000).result(timeout=100)[0].data.c
        ones = bits.slice_bits([0]).get_counts().get("1", 0) / 2000
        assert (ones == 0.5) if device == "aer" else (0.3 < ones < 0.99)


def test_timing_is_in_the_metadata_of_both_samplers_and_of_a_dry_run(service: QiskitRuntimeService) -> None:
    backend = service.backend("ibm_manila")
    isa = transpile(excited(), backend, seed_transpiler=1, initial_layout=[0, 1])
    asked = {"execution": {"scheduler_timing": True, "stretch_values": True}}
    old = SamplerV2(mode=backend, options={"experimental": asked})
    new = Sampler(mode=backend)
    new.options.experimental = asked
    told = [
        sampler.run([isa], shots=5, dry_run=dry).result(timeout=100)[0].metadata["compilation"]
        for sampler in (old, new)
        for dry in (False, True)
    ]
    timing = told[0]["scheduler_timing"]
    assert timing["timing"].startswith("main,x_0,Qubit 0,0,")
    assert timing["circuit_duration"] > 0
    assert all(found["scheduler_timing"] == timing for found in told)
    assert told[0]["stretch_values"] == []


def test_simulators_take_a_noise_model_and_keep_to_a_basis(service: QiskitRuntimeService) -> None:
    backend = service.backend("aer")
    isa, bare = transpile([excited(), excited().remove_final_measurements(inplace=False)], backend)
    model = NoiseModel()
    model.add_all_qubit_quantum_error(pauli_error([("X", 1.0)]), "x")
    options: dict[str, Any] = {"noise_model": model, "basis_gates": ["x"], "coupling_map": [[0, 1]]}
    counts = SamplerV2(mode=backend, options={"simulator": options}).run([isa], shots=20).result(timeout=100)
    assert counts[0].data.c.get_counts() == {"00": 20}
    observable = SparsePauliOp("IZ").apply_layout(bare.layout)
    estimator = EstimatorV2(mode=backend, options={"simulator": {"noise_model": model}})
    assert estimator.run([(bare, observable)]).result(timeout=100)[0].data.evs == pytest.approx(1.0)
    other = service.backend("ibm_manila")
    noisy = transpile(excited(), other)
    with pytest.raises(IBMRuntimeError, match=r"options\.simulator\.noise_model = .* errors of its own"):
        SamplerV2(mode=other, options={"simulator": {"noise_model": model}}).run([noisy])


@pytest.mark.parametrize("device", ["aer", "ibm_manila"])
def test_every_program_has_a_dry_run_on_every_device(service: QiskitRuntimeService, device: str) -> None:
    backend = service.backend(device)
    isa = transpile(excited(), backend, seed_transpiler=1, initial_layout=[0, 1])
    bare = transpile(excited().remove_final_measurements(inplace=False), backend)
    observable = SparsePauliOp("ZZ").apply_layout(bare.layout)
    program = QuantumProgram(shots=10)
    program.append_circuit_item(isa)
    jobs = [
        SamplerV2(mode=backend).run([isa], shots=10, dry_run=True),
        Sampler(mode=backend).run([isa], shots=10, dry_run=True),
        EstimatorV2(mode=backend).run([(bare, observable)], precision=0.1, dry_run=True),
        Estimator(mode=backend).run([(bare, observable)], precision=0.1, dry_run=True),
        Executor(mode=backend).run(program, dry_run=True),
    ]
    found = [job.result(timeout=100) for job in jobs]
    assert {job.backend().name for job in jobs} == {"mock" if device == "aer" else "mock_manila"}
    assert found[0][0].data.c.num_shots == found[1][0].data.c.num_shots == 10
    assert np.shape(found[2][0].data.evs) == np.shape(found[3][0].data.evs) == ()
    assert found[4][0]["c"].shape == (10, 2)
    assert all(not name.startswith("mock") for name in (b.name for b in service.backends()))
