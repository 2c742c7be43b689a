"""Payloads as the real client makes them, for tests that speak to the service without it."""

from __future__ import annotations

import functools
import json
from typing import Any

from qiskit import QuantumCircuit
from qiskit_ibm_runtime import RuntimeEncoder


def bell(qubits: tuple[int, int] = (0, 1), width: int = 2) -> QuantumCircuit:
    """A Bell pair in the gates of the simulated devices, on two qubits of `width`, both measured."""
    one, two = qubits
    circuit = QuantumCircuit(width, 2)
    circuit.sx([one, two])
    circuit.rz(3.141592653589793 / 2, [one, two])
    circuit.cz(one, two)
    circuit.sx(two)
    circuit.measure(qubits, (0, 1))
    return circuit


def sampler_params(*pubs: Any, **options: Any) -> dict[str, Any]:
    made = list(pubs) or [(bell(), None, 64)]
    plain = json.dumps({"pubs": made, "options": options, "version": 2}, cls=RuntimeEncoder)
    found: dict[str, Any] = json.loads(plain)
    return found


@functools.cache
def _bell_params() -> str:
    return json.dumps(sampler_params())


def job_body(backend: str = "mock", **more: Any) -> bytes:
    """The bytes of a sampler submit; `more` are further fields of the body (None leaves one out)."""
    body: dict[str, Any] = {"program_id": "sampler", "params": json.loads(_bell_params()), "backend": backend}
    body.update(more)
    return json.dumps({k: v for k, v in body.items() if v is not None}).encode()
