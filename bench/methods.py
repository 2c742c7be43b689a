"""What a point of a noisy circuit takes by each simulation method, beside the estimate by which one is
chosen: processor time.

Layers of rotations and gates between neighbours on the model of a Heron, each point with values of its own,
as the randomisations of a twirled circuit. `shots` for each point.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
import warnings
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")
sys.path.insert(0, str(Path(__file__).parent.parent))
warnings.filterwarnings("ignore", category=DeprecationWarning)

import numpy as np
from qiskit import QuantumCircuit
from qiskit.circuit import ParameterVector
from qiskit_ibm_runtime.fake_provider import FakeTorino

from bench.common import report
from sojourn.devices.aer.methods import placing, rule
from sojourn.devices.aer.methods.assembled import AerCircuit
from sojourn.devices.aer.noise import NoiseTable
from sojourn.devices.aer.simulator import AerEngine
from sojourn.devices.driver import Task

WIDTH = 133


def layers(qubits: int, depth: int) -> QuantumCircuit:
    """In each layer every qubit is turned by three angles of its own."""
    angles = iter(ParameterVector("a", 3 * qubits * depth))
    circuit = QuantumCircuit(WIDTH, qubits)
    for layer in range(depth):
        for qubit in range(qubits):
            circuit.rz(next(angles), qubit)
            circuit.sx(qubit)
            circuit.rz(next(angles), qubit)
            circuit.sx(qubit)
            circuit.rz(next(angles), qubit)
        for qubit in range(layer % 2, qubits - 1, 2):
            circuit.cz(qubit, qubit + 1)
    circuit.measure(range(qubits), range(qubits))
    return circuit


def measured(table: NoiseTable, qubits: int, depth: int, points: int, shots: int) -> list[dict[str, Any]]:
    """A row for each method that may be chosen for so many qubits."""
    circuit = layers(qubits, depth)
    values = np.random.default_rng(1).random((points, circuit.num_parameters)) * 6
    rows = []
    for method in (rule.DENSITY, rule.VECTOR, rule.PATTERNS, rule.MPS):
        if (method == rule.MPS) == (qubits <= rule.DENSITY_QUBITS) and method != rule.PATTERNS:
            continue
        engine = AerEngine(table, method, threads=1)
        compiled = engine.compile(circuit)
        assert isinstance(compiled, AerCircuit)
        engine.execute([Task(compiled, values[:1], 1)], seed=1, memory=True)  # assembles
        begun = time.process_time()
        engine.execute([Task(compiled, values, shots)], seed=1, memory=True)
        seconds = (time.process_time() - begun) / points
        load = compiled.load
        free = placing.free(table, compiled.cut)
        estimate = {
            rule.DENSITY: rule.density_seconds(load),
            rule.VECTOR: rule.trajectory_seconds(load, shots),
            rule.PATTERNS: rule.pattern_seconds(load, shots, free),
            rule.MPS: rule.mps_seconds(load, shots),
        }[method]
        rows.append(
            {
                "circuit": f"{qubits} qubits, {depth} layers",
                "instructions": load.ones + load.twos,
                "without error": round(free, 3),
                "shots": shots,
                "method": method,
                "ms": round(1e3 * seconds, 2),
                "estimate ms": round(1e3 * estimate, 2),
                "chosen": "yes" if rule.method_for(load, shots, 0, free) == method else "",
            }
        )
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="small circuits only")
    parser.add_argument("--shots", type=int, default=128)
    options = parser.parse_args()
    backend = FakeTorino()
    table = NoiseTable(backend.properties(), backend.dt)
    sizes = [(6, 5, 32), (8, 5, 16)]
    if not options.quick:
        sizes += [(8, 20, 8), (10, 5, 8), (10, 20, 2), (12, 5, 2), (14, 5, 2), (16, 5, 2)]
    rows = [row for size in sizes for row in measured(table, *size, options.shots)]
    report("methods", rows, ["One thread. A matrix product state takes at least the estimate."])


if __name__ == "__main__":
    main()
