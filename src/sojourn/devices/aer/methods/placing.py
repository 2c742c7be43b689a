"""Puts the errors of a device into a circuit, in the form in which a method has them."""

from __future__ import annotations

from collections.abc import Iterator

from qiskit.circuit import Delay, QuantumCircuit
from qiskit_aer.noise import QuantumError
from qiskit_aer.noise.noise_model import QuantumErrorLocation

from sojourn.devices.aer.active_qubits import Cut
from sojourn.devices.aer.methods.patterns import Place
from sojourn.devices.aer.noise import NoiseTable


def _errors(noise: NoiseTable, part: Cut, flat: QuantumCircuit) -> Iterator[QuantumError | None]:
    """What follows each instruction of `flat`, which is on the qubits of `part`."""
    place = {qubit: i for i, qubit in enumerate(flat.qubits)}
    for item in flat.data:
        qubits = tuple(part.active[place[q]] for q in item.qubits) if part.active else ()
        if isinstance(item.operation, Delay):
            yield noise.delay(qubits[0], item.operation)
        else:
            yield noise.gate(item.operation.name, qubits)


def with_superops(noise: NoiseTable, part: Cut, flat: QuantumCircuit) -> QuantumCircuit:
    """Every gate followed by its error as one superoperator: what Aer makes of the model anyway, but made
    once instead of at every run."""
    out = flat.copy_empty_like()
    for item, error in zip(flat.data, _errors(noise, part, flat), strict=True):
        out.append(item)
        if error is not None:
            out.append(noise.superop(error), item.qubits)
    return out


def with_locations(
    noise: NoiseTable, part: Cut, flat: QuantumCircuit
) -> tuple[QuantumCircuit, list[QuantumError]]:
    """Delays followed by a marker of their error; the errors of gates go into the model."""
    if not any(isinstance(item.operation, Delay) for item in flat.data):
        return flat, []
    out = flat.copy_empty_like()
    located = []
    for item, error in zip(flat.data, _errors(noise, part, flat), strict=True):
        out.append(item)
        if error is not None and isinstance(item.operation, Delay):
            drawn = noise.trajectory(error)
            out.append(QuantumErrorLocation(drawn), item.qubits)
            located.append(drawn)
    return out, located


def places(noise: NoiseTable, part: Cut, flat: QuantumCircuit) -> list[Place]:
    """Where something may happen that is not nothing."""
    index = {qubit: i for i, qubit in enumerate(flat.qubits)}
    return [
        Place(number, tuple(index[qubit] for qubit in item.qubits), held)
        for number, (item, error) in enumerate(zip(flat.data, _errors(noise, part, flat), strict=True))
        if error is not None and (held := noise.mixture(error)).others
    ]


def free(noise: NoiseTable, part: Cut) -> float:
    """The probability that nothing happens in a shot of a circuit without control flow."""
    whole = 1.0
    for error in _errors(noise, part, part.circuit):
        if error is not None:
            whole *= noise.mixture(error).nothing
    return whole
