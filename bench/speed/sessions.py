"""One iteration of a session: an ansatz with new parameters and one observable, EstimatorV2.

On the ideal device by stages; on the models of two real devices beside direct Aer with their noise, cut to
the circuit, and beside the client's local testing mode.
"""

from __future__ import annotations

import statistics
from typing import Any

import numpy as np
from qiskit.primitives import BackendEstimatorV2
from qiskit_aer import AerSimulator
from qiskit_ibm_runtime import EstimatorV2, Session
from qiskit_ibm_runtime.fake_provider import FakeFez, FakeTorino

from bench.iteration import estimate, once, problem
from bench.speed.compared import Bench, Compared, Step, by_stage, compare
from bench.speed.direct import cut_model, on_active, quickest

MODELS = {"ibm_torino": FakeTorino, "ibm_fez": FakeFez}
PRECISION = {2: None, 10: None, 20: 0.1}
"""None is the client's default, 4096 shots; twenty qubits take 100, or every iteration takes a minute."""


def ideal(bench: Bench, qubits: int) -> tuple[Compared, dict[str, float]]:
    """The comparison and the seconds of the stages."""
    rng = np.random.default_rng(1)
    backend = bench.service.backend("aer")
    isa, observable = problem(backend, qubits)
    direct = BackendEstimatorV2(backend=AerSimulator(max_parallel_threads=1))
    with Session(backend=backend) as session:
        estimator = EstimatorV2(mode=session)
        estimator.options.environment.log_level = "INFO"
        step = estimate(estimator, isa, observable, rng)
        beside = estimate(direct, isa, observable, rng)
        return by_stage(bench, step, beside, 20 if bench.quick else 200)


def modelled(bench: Bench, device: str, qubits: int) -> tuple[Compared, str]:
    """The comparison, and the method of Aer beside it."""
    rng = np.random.default_rng(1)
    backend = bench.service.backend(device)
    isa, observable = problem(backend, qubits)
    small, model, active = cut_model(MODELS[device](), isa)
    placed, precision = on_active(observable, active), PRECISION[qubits]

    def beside(simulator: AerSimulator) -> Step:
        return estimate(BackendEstimatorV2(backend=simulator), small, placed, rng, precision)

    method, direct = quickest(model, qubits, beside)
    rounds = {2: 100, 10: 12, 20: 6}[qubits]
    with Session(backend=backend) as session:
        step = estimate(EstimatorV2(mode=session), isa, observable, rng, precision)
        found, _ = compare(bench, step, direct, max(3, rounds // 10) if bench.quick else rounds)
    return found, method


def locally(device: str, qubits: int, rounds: int) -> float:
    """Median seconds in the client's local testing mode, whose first time is like all others."""
    backend: Any = MODELS[device]()
    isa, observable = problem(backend, qubits)
    step = estimate(EstimatorV2(mode=backend), isa, observable, np.random.default_rng(1))
    return statistics.median(once(step) for _ in range(rounds))
