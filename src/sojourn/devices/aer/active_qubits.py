"""Reduces a wide circuit to the qubits that it uses. For circuits; noise and simulators are elsewhere."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from qiskit.circuit import (
    ControlFlowOp,
    Delay,
    Instruction,
    Measure,
    ParameterExpression,
    QuantumCircuit,
    QuantumRegister,
    Qubit,
    Reset,
)

_SKIPPED = frozenset({"barrier"})
_CLASSICAL = frozenset({"barrier", "break_loop", "continue_loop", "store"})  # act on no qubit


@dataclass(frozen=True, slots=True)
class Cut:
    """A circuit over the active qubits only: qubit i of `circuit` is qubit ``active[i]`` of the device.

    `dynamic` says that shots cannot be sampled from one final state: control flow, classical variables, or
    a qubit that is used again after its measurement. `flow` says that there is control flow, a variable or
    a store. `measured` says that something writes to classical bits, a measurement or a store. `timed` says
    that a delay depends on a parameter, so that noise differs from point to point.
    """

    circuit: QuantumCircuit
    active: tuple[int, ...]
    dynamic: bool
    flow: bool
    measured: bool
    timed: bool


def cut(circuit: QuantumCircuit) -> Cut:
    """Drop idle qubits, keep every classical bit and register. Delays alone do not make a qubit active."""
    index: dict[Qubit, int] = {qubit: i for i, qubit in enumerate(circuit.qubits)}
    used: set[int] = set()
    for item in circuit.data:
        if item.operation.name not in _SKIPPED and not isinstance(item.operation, Delay):
            used.update(index[qubit] for qubit in item.qubits)
    active = tuple(sorted(used))
    qubits = QuantumRegister(max(len(active), 1), "q")
    place = {circuit.qubits[old]: qubits[new] for new, old in enumerate(active)}
    small = QuantumCircuit(qubits, name=circuit.name)
    small.add_bits(circuit.clbits)
    for register in circuit.cregs:
        small.add_register(register)
    for var in circuit.iter_declared_vars():
        small.add_uninitialized_var(var)
    facts = _Facts()
    facts.flow = circuit.num_declared_vars > 0
    for item in circuit.data:
        operation = item.operation
        if operation.name in _SKIPPED or (isinstance(operation, Delay) and item.qubits[0] not in place):
            continue
        facts.see(operation, [index[qubit] for qubit in item.qubits])
        small.append(item.replace(operation=standard(operation), qubits=[place[q] for q in item.qubits]))
    return Cut(small, active, facts.dynamic, facts.flow, facts.measured, facts.timed)


class _Facts:
    def __init__(self) -> None:
        self.dynamic = self.flow = self.measured = self.timed = False
        self._done: set[int] = set()

    def see(self, operation: Instruction, qubits: list[int]) -> None:
        if isinstance(operation, ControlFlowOp) or operation.name == "store":
            self.dynamic = self.flow = True
            self.measured |= operation.name == "store"
            for block in getattr(operation, "blocks", ()):
                for item in block.data:
                    self.see(item.operation, [])
        if self._done.intersection(qubits):
            self.dynamic = True
        if isinstance(operation, Measure) or operation.name.startswith("measure_"):
            self.measured = True
            self._done.update(qubits)
        if isinstance(operation, Delay) and isinstance(operation.duration, ParameterExpression):
            self.timed = True


def standard(operation: Instruction) -> Instruction:
    """Variants such as ``measure_2`` and ``reset_2`` are simulated as what they are variants of; blocks of
    control flow are walked."""
    if isinstance(operation, ControlFlowOp):
        blocks = []
        changed = False
        for block in operation.blocks:
            copy = block.copy_empty_like()
            for item in block.data:
                new = standard(item.operation)
                changed |= new is not item.operation
                copy.append(item.replace(operation=new))
            blocks.append(copy)
        return operation.replace_blocks(blocks) if changed else operation
    if operation.name.startswith("measure_") and not isinstance(operation, Measure):
        return Measure()
    if operation.name.startswith("reset_") and not isinstance(operation, Reset):
        return Reset()
    return operation


def gates_on(
    circuit: QuantumCircuit, place: Mapping[Qubit, int] | None = None
) -> set[tuple[str, tuple[int, ...]]]:
    """Every (instruction name, qubit indices) that the circuit can perform, blocks included."""
    where = place or {qubit: i for i, qubit in enumerate(circuit.qubits)}
    found: set[tuple[str, tuple[int, ...]]] = set()
    for item in circuit.data:
        if isinstance(item.operation, ControlFlowOp):
            for block in item.operation.blocks:
                inner = {b: where[q] for b, q in zip(block.qubits, item.qubits, strict=True)}
                found |= gates_on(block, inner)
        elif item.operation.name not in _CLASSICAL:
            found.add((item.operation.name, tuple(where[q] for q in item.qubits)))
    return found
