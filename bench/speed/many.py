"""Many points and many circuits in one job, and many jobs in one batch."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Any

import numpy as np
from qiskit import QuantumCircuit
from qiskit.circuit.library import efficient_su2
from qiskit.transpiler.preset_passmanagers import generate_preset_pass_manager
from qiskit_aer.primitives import SamplerV2 as AerSampler
from qiskit_ibm_runtime import Batch, SamplerV2, Session
from qiskit_ibm_runtime.fake_provider import FakeTorino

from bench.speed.compared import Bench, Compared, Step, compare
from bench.speed.direct import cut_model
from sojourn.client import Client

SHOTS = 1024
MANY = 100
BATCH = 60
"""Jobs of the batch."""


def measured(backend: Any, qubits: int) -> QuantumCircuit:
    circuit = efficient_su2(qubits, reps=1, entanglement="linear")
    circuit.measure_all()
    manager = generate_preset_pass_manager(backend=backend, optimization_level=1, seed_transpiler=1)
    isa: QuantumCircuit = manager.run(circuit)
    return isa


def sampled(sampler: Any, circuit: QuantumCircuit, pubs: int) -> Step:
    """A job of 100 points: as one pub, or as so many pubs of one point."""
    rng = np.random.default_rng(1)

    def step() -> None:
        values = rng.uniform(-math.pi, math.pi, (MANY, circuit.num_parameters))
        wanted = [(circuit, values)] if pubs == 1 else [(circuit, line) for line in values]
        found = sampler.run(wanted, shots=SHOTS).result()
        assert len(found) == pubs

    return step


def points(bench: Bench, device: str, qubits: int, pubs: int) -> Compared:
    backend = bench.service.backend(device)
    isa = measured(backend, qubits)
    small = isa
    options: dict[str, Any] = {"max_parallel_threads": 1}
    if device != "aer":
        small, model, _ = cut_model(FakeTorino(), isa)
        options |= {"noise_model": model, "method": "density_matrix"}
    direct = sampled(AerSampler(options={"backend_options": options}), small, pubs)
    with Session(backend=backend) as session:
        step = sampled(SamplerV2(mode=session), isa, pubs)
        return compare(bench, step, direct, 3 if bench.quick else 20)[0]


def gaps(bench: Bench, device: str) -> list[float]:
    """Seconds for which the device has nothing to do between two jobs of a batch, of which the second waits
    already: between their ends, without what the worker spends on the second one. In the history one ends
    and the next starts at the same moment, as one event does both."""
    operator = Client(bench.server.url, bench.server.operator_key)
    backend = bench.service.backend(device)
    isa = measured(backend, 2)
    isa = isa.assign_parameters(np.zeros(isa.num_parameters))
    operator.post(f"/devices/{device}/pause", {"message": "until all jobs of a batch wait"})
    with Batch(backend=backend) as batch:
        sampler = SamplerV2(mode=batch)
        sampler.options.environment.log_level = "INFO"
        jobs = [sampler.run([isa], shots=SHOTS) for _ in range(BATCH // 3 if bench.quick else BATCH)]
        operator.post(f"/devices/{device}/resume")
        for job in jobs:
            job.result()
    told = sorted((bench.told(job.job_id()) for job in jobs), key=lambda one: one.moments["completed"])
    return [
        after.moments["completed"] - before.moments["completed"] - sum(after.worker.values())
        for before, after in pairwise(told)
    ]
