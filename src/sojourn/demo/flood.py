"""User B's program: keeps a device busy with sampler jobs, through an unmodified Qiskit client, until killed.

Imports nothing of Sojourn. Tells on standard output, one JSON object a line, what it submits.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections import deque
from typing import Any

import numpy as np
from qiskit.circuit.library import efficient_su2
from qiskit.transpiler import generate_preset_pass_manager
from qiskit_ibm_runtime import QiskitRuntimeService, SamplerV2


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--backend", default="ibm_torino")
    parser.add_argument("--depth", type=int, default=4, help="jobs that wait at any time")
    parser.add_argument("--qubits", type=int, default=11)
    parser.add_argument("--shots", type=int, default=2048)
    arguments = parser.parse_args()

    service = QiskitRuntimeService()
    backend = service.backend(arguments.backend)
    circuit = efficient_su2(arguments.qubits, reps=1, entanglement="linear")
    circuit.measure_all()
    circuit = generate_preset_pass_manager(optimization_level=1, backend=backend).run(circuit)
    sampler = SamplerV2(mode=backend)
    rng = np.random.default_rng(7)
    waiting: deque[Any] = deque()
    while True:
        while len(waiting) <= arguments.depth:
            angles = rng.uniform(0, np.pi, circuit.num_parameters)
            job = sampler.run([(circuit, angles)], shots=arguments.shots)
            waiting.append(job)
            sys.stdout.write(json.dumps({"event": "submitted", "job": job.job_id()}) + "\n")
            sys.stdout.flush()
        waiting.popleft().result()


if __name__ == "__main__":
    main()
