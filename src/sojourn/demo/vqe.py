"""User A's program: the ground state of H2 with an unmodified Qiskit client. Imports nothing of Sojourn.

Reads orders from standard input, one a line (`session` or `jobs`, end of file to stop), and reports what it
does on standard output, one JSON object a line.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from contextlib import nullcontext
from typing import Any

import numpy as np
from qiskit.circuit import ParameterVector, QuantumCircuit
from qiskit.quantum_info import SparsePauliOp
from qiskit.transpiler import generate_preset_pass_manager
from qiskit_ibm_runtime import EstimatorV2, QiskitRuntimeService, Session
from scipy.optimize import minimize

# H2 at 0.735 angstrom in STO-3G, parity mapping with both symmetries taken out: two qubits, hartree.
HAMILTONIAN = SparsePauliOp.from_list(
    [
        ("II", -1.05237325),
        ("IZ", 0.39793742),
        ("ZI", -0.39793742),
        ("ZZ", -0.01128010),
        ("XX", 0.18093120),
    ]
)
NUCLEAR_REPULSION = 0.71996899
START = (0.9, 0.4, -0.5, 0.6)


def ansatz() -> QuantumCircuit:
    """Four angles, one entangling gate; all angles zero is the Hartree-Fock state."""
    theta = ParameterVector("t", 4)
    circuit = QuantumCircuit(2)
    circuit.x([0, 1])
    circuit.ry(theta[0], 0)
    circuit.ry(theta[1], 1)
    circuit.cx(0, 1)
    circuit.ry(theta[2], 0)
    circuit.ry(theta[3], 1)
    return circuit


def exact_energy() -> float:
    """The lowest eigenvalue, in hartree."""
    return float(np.linalg.eigvalsh(HAMILTONIAN.to_matrix())[0]) + NUCLEAR_REPULSION


def report(event: str, **facts: Any) -> None:
    sys.stdout.write(json.dumps({"event": event, **facts}) + "\n")
    sys.stdout.flush()


def optimise(mode: Any, circuit: QuantumCircuit, observable: Any, iterations: int) -> None:
    """One run of COBYLA; every evaluation is a job of its own, as the next angles depend on its result."""
    estimator = EstimatorV2(mode=mode)

    def energy(angles: np.ndarray[Any, Any]) -> float:
        begin = time.perf_counter()
        job = estimator.run([(circuit, observable, angles)])
        value = float(job.result()[0].data.evs) + NUCLEAR_REPULSION
        report("iteration", job=job.job_id(), energy=value, seconds=time.perf_counter() - begin)
        return value

    found = minimize(
        energy, START, method="COBYLA", options={"maxiter": iterations, "rhobeg": 0.6, "tol": 1e-6}
    )
    report("found", energy=float(found.fun))


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--backend", default="ibm_torino")
    parser.add_argument("--iterations", type=int, default=30)
    arguments = parser.parse_args()

    service = QiskitRuntimeService()
    backend = service.backend(arguments.backend)
    # Level 2 looks for good qubits; the first two of this device read out badly.
    circuit = generate_preset_pass_manager(optimization_level=2, backend=backend).run(ansatz())
    observable = HAMILTONIAN.apply_layout(circuit.layout)
    report("ready", exact=exact_energy())
    for order in sys.stdin:
        in_session = order.strip() == "session"
        with Session(backend=backend) if in_session else nullcontext(backend) as mode:
            optimise(mode, circuit, observable, arguments.iterations)
            session = mode.session_id if in_session else None
        report("done", session=session)


if __name__ == "__main__":
    main()
