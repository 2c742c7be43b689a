"""Quantum programs against the client's local testing mode: the new Sampler and Estimator on FakeTorino.

At levels 0, 1 and 2, for 2 and 10 qubits, through a server and, in the same run, with `mode=FakeTorino()`. Of
the sampler, the levels are the twirling that the estimator has at them: none, of measurements, of gates too.

The estimator measures every qubit of its circuit, and local mode cannot simulate the 133 of one that was
transpiled for the device. So there are two rows of each: such a circuit, and one as wide as the problem.
What the client does before it submits is the same in both modes, and is shown: it bounds every ratio.
"""

from __future__ import annotations

import argparse
import logging
import statistics
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent.parent))
warnings.filterwarnings("ignore", category=DeprecationWarning)
logging.getLogger("qiskit_aer").setLevel(logging.CRITICAL)  # says of each experiment that it failed

import numpy as np
from qiskit import QuantumCircuit
from qiskit.circuit.library import efficient_su2
from qiskit.quantum_info import SparsePauliOp
from qiskit.transpiler import CouplingMap
from qiskit.transpiler.preset_passmanagers import generate_preset_pass_manager
from qiskit_ibm_runtime import executor_estimator, executor_sampler
from qiskit_ibm_runtime.fake_provider import FakeTorino

from bench.common import report
from sojourn.embedded import Embedded

AIMS = {2: 100, 10: 20}
"""How many times as fast as local mode it should be, by qubits."""

Make = Callable[[Any], tuple[Any, list[Any]]]
"""From a mode to the primitive and its pubs."""


def sampler(circuit: QuantumCircuit, level: int) -> Make:
    def make(mode: Any) -> tuple[Any, list[Any]]:
        primitive = executor_sampler.Sampler(mode=mode)
        primitive.options.twirling.enable_measure = level > 0
        primitive.options.twirling.enable_gates = level > 1
        return primitive, [circuit]

    return make


def estimator(circuit: QuantumCircuit, observable: SparsePauliOp, level: int) -> Make:
    def make(mode: Any) -> tuple[Any, list[Any]]:
        primitive = executor_estimator.Estimator(mode=mode)
        primitive.options.resilience_level = level
        return primitive, [(circuit, observable)]

    return make


def programs(backend: Any, qubits: int) -> dict[str, Make]:
    """A two-local circuit with fixed angles, measured in the Z basis; the estimator has Z and X terms."""
    circuit = efficient_su2(qubits, reps=1, entanglement="linear")
    angles = np.random.default_rng(1).uniform(-np.pi, np.pi, circuit.num_parameters)
    circuit = circuit.assign_parameters(angles)
    wide = generate_preset_pass_manager(optimization_level=1, backend=backend, seed_transpiler=1)
    narrow = generate_preset_pass_manager(
        optimization_level=1,
        basis_gates=["cz", "id", "rz", "sx", "x"],
        coupling_map=CouplingMap.from_line(qubits),  # of the first qubits of the device, which are a line
        initial_layout=list(range(qubits)),
        seed_transpiler=1,
    )
    terms = [("ZZ", [i, i + 1], 1.0) for i in range(qubits - 1)] + [("X", [i], 0.5) for i in range(qubits)]
    observable = SparsePauliOp.from_sparse_list(terms, num_qubits=qubits)
    measured = wide.run(circuit.measure_all(inplace=False))
    made = {f"Sampler {qubits}q level {level}": sampler(measured, level) for level in (0, 1, 2)}
    for transpiler, width in ((wide, backend.num_qubits), (narrow, qubits)):
        isa = transpiler.run(circuit)
        placed = observable.apply_layout(isa.layout)
        for level in (0, 1, 2):
            made[f"Estimator {qubits}q of {width} level {level}"] = estimator(isa, placed, level)
    return made


def timed(make: Make, mode: Any) -> tuple[float, float, Any]:
    """Seconds until the job is submitted and until its result is there, and the job."""
    primitive, pubs = make(mode)
    began = time.perf_counter()
    job = primitive.run(pubs)
    submitted = time.perf_counter() - began
    job.result()
    return submitted, time.perf_counter() - began, job


def locally(make: Make, repeats: int) -> float | None:
    """Seconds in local mode; None when it cannot run the program."""
    try:
        return statistics.median(timed(make, FAKE)[1] for _ in range(repeats))
    except Exception as error:
        print(f"  local mode fails: {' '.join(str(error).split())[:160]}", flush=True)
        return None


FAKE = FakeTorino()


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--quick", action="store_true", help="2 qubits only, each once")
    quick = arguments.parse_args().quick
    rows: list[dict[str, Any]] = []
    notes = []
    with Embedded() as server:
        backend = server.service(server.local_key).backend("ibm_torino")
        for qubits in (2,) if quick else (2, 10):
            ratios = []
            for name, make in programs(backend, qubits).items():
                first = timed(make, backend)[1]
                again = [timed(make, backend) for _ in range(1 if quick else 3)]
                ours = statistics.median(seconds for _, seconds, _ in again)
                row: dict[str, Any] = {
                    "what": name,
                    "first s": first,
                    "again s": ours,
                    "until submitted s": statistics.median(seconds for seconds, _, _ in again),
                    "on the device s": float(again[-1][2].metrics()["usage"]["quantum_seconds"]),
                }
                local = locally(make, 1 if quick or qubits > 2 else 2)
                if local is not None:
                    ratios.append(local / ours)
                    row |= {"local mode s": local, "ratio": local / ours}
                else:
                    row |= {"local mode s": "fails", "ratio": ""}
                rows.append(row)
                beside = "fails" if local is None else f"{local:.1f} s, {local / ours:.0f} times as long"
                print(f"{name}: {first:.2f} s, again {ours:.2f} s; local mode: {beside}", flush=True)
            notes.append(
                f"{qubits} qubits: {min(ratios):.1f} to {max(ratios):.1f} times as fast as local mode "
                f"(aim {AIMS[qubits]})"
            )
    report("programs", rows, notes)


if __name__ == "__main__":
    main()
