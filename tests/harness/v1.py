"""Payloads as clients up to 0.27 send them for V1 primitives, written down here: those clients cannot be
imported beside today's. `tests/clients/test_v1.py` has the real one."""

from __future__ import annotations

import base64
import json
import struct
from collections.abc import Sequence
from typing import Any

import numpy as np
from qiskit.circuit import Parameter, QuantumCircuit
from qiskit.quantum_info import SparsePauliOp
from qiskit_ibm_runtime import RuntimeEncoder

TRANSPILATION = {
    "skip_transpilation": False,
    "initial_layout": None,
    "layout_method": None,
    "routing_method": None,
    "approximation_degree": None,
    "optimization_settings": {"level": 1},
    "coupling_map": None,
    "basis_gates": None,
}
RESILIENCE = {
    "noise_amplifier": "TwoQubitAmplifier",
    "noise_factors": [1, 3, 5],
    "extrapolator": "LinearExtrapolator",
}


def parameter(given: Parameter) -> dict[str, str]:
    name = given.name.encode()
    content = struct.pack("!H16s", len(name), given.uuid.bytes) + name
    return {"__type__": "Parameter", "__value__": base64.b64encode(content).decode()}


def operator(given: SparsePauliOp) -> dict[str, Any]:
    paulis = {
        "__type__": "settings",
        "__module__": "qiskit.quantum_info.operators.symplectic.pauli_list",
        "__class__": "PauliList",
        "__value__": {"data": given.paulis.to_labels()},
    }
    return {
        "__type__": "settings",
        "__module__": "qiskit.quantum_info.operators.symplectic.sparse_pauli_op",
        "__class__": "SparsePauliOp",
        "__value__": {"data": paulis, "coeffs": given.coeffs},
    }


def sampler_body(
    circuits: Sequence[QuantumCircuit],
    values: Sequence[Sequence[float]] | None = None,
    *,
    level: int = 1,
    transpilation: dict[str, Any] | None = None,
    run: dict[str, Any] | None = None,
    **members: Any,
) -> bytes:
    """`params` of the V1 sampler; `members` replace or add (None takes one away)."""
    plain: dict[str, Any] = {
        "circuits": list(circuits),
        "parameters": [[parameter(p) for p in circuit.parameters] for circuit in circuits],
        "circuit_indices": list(range(len(circuits))),
        "parameter_values": [list(v) for v in values or [[]] * len(circuits)],
        "transpilation_settings": TRANSPILATION | (transpilation or {}),
        "resilience_settings": {**RESILIENCE, "level": level},
        "run_options": {"shots": 4000, "init_qubits": True, "noise_model": None, "seed_simulator": 7}
        | (run or {}),
    } | members
    return json.dumps({k: v for k, v in plain.items() if v is not None}, cls=RuntimeEncoder).encode()


def estimator_body(
    circuits: Sequence[QuantumCircuit],
    wanted: Sequence[SparsePauliOp],
    values: Sequence[Sequence[float]] | None = None,
    **more: Any,
) -> bytes:
    """`params` of the V1 estimator, likewise."""
    members: dict[str, Any] = {
        "observables": [operator(each) for each in wanted],
        "observable_indices": list(range(len(wanted))),
    }
    return sampler_body(circuits, values, **(members | more))


def decoded(result: bytes) -> tuple[list[dict[int, float]] | np.ndarray[Any, Any], list[dict[str, Any]]]:
    """What the decoders of those clients make of a result: the distributions by integer, or the values."""
    read = json.loads(result)
    if "quasi_dists" in read:
        return [{int(k, 2): v for k, v in each.items()} for each in read["quasi_dists"]], read["metadata"]
    return np.asarray(read["values"]), read["metadata"]
