"""A circuit as a backend gets it: of its classical bits only those that something is measured into.

Some backends answer with the measured bits alone, in the order of the bits, and others with all bits: nobody
could tell the answers apart. Bits that nothing sets are therefore not sent, and are 0 in the outcome.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from qiskit.circuit import CircuitInstruction, ClassicalRegister, Clbit, ControlFlowOp, QuantumCircuit

from sojourn.devices.backend import results
from sojourn.devices.driver import CompiledCircuit, Outcome


class BackendCircuit(CompiledCircuit):
    """`circuit` goes to the backend, and `layout` tells its classical bits. `measured`: whether it has any
    measurement."""

    __slots__ = ("_kept", "circuit", "layout", "measured")

    def __init__(self, circuit: QuantumCircuit) -> None:
        super().__init__(
            num_clbits=circuit.num_clbits,
            num_parameters=circuit.num_parameters,
            cost=2000 + 400 * len(circuit.data),
        )
        self._kept = _set_in(circuit)
        self.measured = bool(self._kept)
        self.circuit = _only(circuit, self._kept)
        self.layout = results.Layout.of(self.circuit)

    def bound(self, values: NDArray[np.float64]) -> QuantumCircuit:
        """With its parameters at these values; the circuit itself if it has none."""
        if not self.num_parameters:
            return self.circuit
        return self.circuit.assign_parameters(values.tolist())

    def whole(self, outcome: Outcome) -> Outcome:
        """The outcome of the circuit that was sent, with all bits of the one that was given."""
        if len(self._kept) == self.num_clbits:
            return outcome
        return results.spread(outcome, self._kept, self.num_clbits)


def _set_in(circuit: QuantumCircuit) -> list[int]:
    """The places of the classical bits that can be set; all of them, if any, where bits are read as well."""
    if _declares(circuit) or not all(map(_only_sets, circuit.data)):
        return list(range(circuit.num_clbits)) if _measures(circuit) else []
    place = {bit: index for index, bit in enumerate(circuit.clbits)}
    return sorted({place[bit] for item in circuit.data for bit in item.clbits})


def _only_sets(item: CircuitInstruction) -> bool:
    """Whether its classical bits are what it writes to. (`condition` is of Qiskit before 2.0.)"""
    operation = item.operation
    return (
        not isinstance(operation, ControlFlowOp)
        and operation.name != "store"
        and getattr(operation, "condition", None) is None
    )


def _declares(circuit: QuantumCircuit) -> bool:
    """Whether it has variables, or stretches of delays. (Qiskit 1.4 knows no stretches.)"""
    return bool(circuit.num_vars or getattr(circuit, "num_stretches", 0))


def _measures(circuit: QuantumCircuit) -> bool:
    """Whether a classical bit can be set in it."""
    for item in circuit.data:
        operation = item.operation
        if item.clbits and not isinstance(operation, ControlFlowOp):
            return True
        if operation.name == "store":
            return True
        if isinstance(operation, ControlFlowOp) and any(_measures(block) for block in operation.blocks):
            return True
    return False


def _only(circuit: QuantumCircuit, kept: Sequence[int]) -> QuantumCircuit:
    """The circuit with these classical bits, in the registers that have any of them."""
    if len(kept) in (0, circuit.num_clbits):
        return circuit  # without any there is nothing to send
    bits = {circuit.clbits[place]: Clbit() for place in kept}
    made = QuantumCircuit(
        circuit.qubits,
        list(bits.values()),
        *circuit.qregs,
        *_registers(circuit, bits),
        name=circuit.name,
        global_phase=circuit.global_phase,
        metadata=circuit.metadata,
    )
    for item in circuit.data:
        made.append(item.operation, item.qubits, [bits[bit] for bit in item.clbits])
    return made


def _registers(circuit: QuantumCircuit, bits: dict[Any, Clbit]) -> Iterator[ClassicalRegister]:
    for register in circuit.cregs:
        left = [bits[bit] for bit in register if bit in bits]
        if left:
            yield ClassicalRegister(name=register.name, bits=left)
