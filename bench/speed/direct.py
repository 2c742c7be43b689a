"""Aer without a service, as a user would run it who knows it well: on the used qubits, with their noise."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from qiskit import QuantumCircuit
from qiskit.quantum_info import SparsePauliOp
from qiskit_aer import AerSimulator
from qiskit_aer.noise import NoiseModel

from bench.iteration import once
from sojourn.devices.aer.active_qubits import cut, gates_on
from sojourn.devices.aer.noise import NoiseTable

METHODS = {2: ("density_matrix",), 10: ("density_matrix", "statevector"), 20: ("matrix_product_state",)}
"""Aer's methods that are worth a try, by qubits; the quickest is taken."""


def cut_model(backend: Any, isa: QuantumCircuit) -> tuple[QuantumCircuit, NoiseModel, tuple[int, ...]]:
    """The circuit on its used qubits alone, the noise of the backend on these, and which they are."""
    part = cut(isa)
    table = NoiseTable(backend.properties(), backend.dt)
    model = NoiseModel(basis_gates=["cz", "ecr", "cx", "id", "rz", "sx", "x"])
    for local, qubit in enumerate(part.active):
        readout = table.readout(qubit)
        if readout is not None:
            model.add_readout_error(readout, [local])
        for name in ("sx", "x"):
            error = table.gate(name, (qubit,))
            if error is not None:
                model.add_quantum_error(error, name, [local])
    for name, places in sorted(gates_on(part.circuit)):
        error = table.gate(name, tuple(part.active[place] for place in places)) if len(places) > 1 else None
        if error is not None:
            model.add_quantum_error(error, name, list(places))
    return part.circuit, model, part.active


def on_active(observable: SparsePauliOp, active: tuple[int, ...]) -> SparsePauliOp:
    place = {qubit: local for local, qubit in enumerate(active)}
    terms = [
        (paulis, [place[qubit] for qubit in qubits], coefficient)
        for paulis, qubits, coefficient in observable.to_sparse_list()
    ]
    return SparsePauliOp.from_sparse_list(terms, num_qubits=len(active))


def quickest(
    model: NoiseModel, qubits: int, make: Callable[[AerSimulator], Callable[[], object]]
) -> tuple[str, Callable[[], object]]:
    """Of the methods, the one whose step takes the least time the second time."""
    steps: Mapping[str, Callable[[], object]] = {
        method: make(AerSimulator(noise_model=model, method=method)) for method in METHODS[qubits]
    }
    if len(steps) == 1:
        return next(iter(steps.items()))
    for step in steps.values():
        step()
    return min(steps.items(), key=lambda entry: once(entry[1]))
