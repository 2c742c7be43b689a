"""Counts what a circuit comes to when its gates are written out, before a transpiler does that.

A gate that is defined by gates that are defined by gates doubles with every level; a file of a kilobyte can
stand for more instructions than there is memory.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from qiskit.circuit import (
    AnnotatedOperation,
    ControlFlowOp,
    ControlledGate,
    Gate,
    Instruction,
    QuantumCircuit,
)
from qiskit.circuit.library import PauliEvolutionGate, get_standard_gate_name_mapping

from sojourn.worker.protocol.types import JobRefused

MAX_INSTRUCTIONS = 100_000
"""Of all circuits of a job together, written out. It bounds memory; a circuit that is hard to route takes the
transpiler longer than a preparation may last long before, and is refused for that."""

MAX_NUMBERS = 4096
"""Numbers of one instruction: a matrix on six qubits, a state of twelve."""

_EACH = 4  # gates that a number of a matrix comes to, roughly
_FEW = 16  # numbers of a gate whose definition is a formula
_SIMPLE = frozenset(get_standard_gate_name_mapping())
_CUSTOM = (Gate, Instruction, ControlledGate)  # as a file of circuits defines them


def instructions(circuit: QuantumCircuit, where: str) -> int:
    """How many instructions the circuit stands for. Raises `JobRefused` for too many."""
    return _Count(where).circuit(circuit)


def too_many(where: str, count: int) -> JobRefused:
    return JobRefused(
        f"{where}: the circuits up to here stand for {count} instructions with all definitions written out; "
        f"the limit for circuits that the server transpiles is {MAX_INSTRUCTIONS} in one job. Split the job, "
        "or transpile the circuits yourself and set skip_transpilation"
    )


class _Count:
    def __init__(self, where: str) -> None:
        self._where = where
        self._known: dict[int, int] = {}
        self._held: list[QuantumCircuit] = []  # what the numbers in `_known` are of

    def circuit(self, circuit: QuantumCircuit) -> int:
        known = self._known.get(id(circuit))
        if known is not None:
            return known
        total = 0
        for item in circuit.data:
            total += self._operation(item.operation)
            if total > MAX_INSTRUCTIONS:
                raise too_many(self._where, total)
        self._held.append(circuit)
        self._known[id(circuit)] = total
        return total

    def _operation(self, operation: Any) -> int:
        if isinstance(operation, ControlFlowOp):
            return 1 + sum(self.circuit(block) for block in operation.blocks)
        if isinstance(operation, AnnotatedOperation):
            raise JobRefused(
                f"{self._where} has a gate with modifiers (control, inverse or power) that are not written "
                "out; transpile the circuit yourself and set skip_transpilation"
            )
        params = getattr(operation, "params", ())
        numbers = sum(value.size if isinstance(value, np.ndarray) else 1 for value in params)
        if numbers > MAX_NUMBERS:
            raise JobRefused(
                f"{self._where} has an instruction {operation.name[:80]!r} of {numbers} numbers; the "
                "limit for "
                f"circuits that the server transpiles is {MAX_NUMBERS}, a matrix on six qubits"
            )
        if isinstance(operation, PauliEvolutionGate):
            return self._evolution(operation)
        if not isinstance(operation, Instruction):  # such as a Clifford, of a table of so many bits
            return 4 * int(operation.num_qubits) ** 2
        if operation.name in _SIMPLE:
            return 1
        if type(operation) not in _CUSTOM and (numbers > _FEW or _dense(params)):
            return _EACH * numbers  # its definition is found by arithmetic that takes as long as running it
        definition = operation.definition
        return 1 if definition is None else self.circuit(definition)

    def _evolution(self, gate: PauliEvolutionGate) -> int:
        parts = gate.operator if isinstance(gate.operator, list) else [gate.operator]
        terms = sum(len(part) for part in parts)
        repeated = int(getattr(gate.synthesis, "reps", 1)) or 1
        order = int(getattr(gate.synthesis, "order", 1) or 1)
        if abs(order) > 8:
            raise JobRefused(
                f"{self._where} has an evolution by a product formula of order {order}; the limit is 8"
            )
        steps = abs(repeated) * 5 ** max(0, order // 2 - 1) * 2
        count: int = terms * steps * 2 * int(gate.num_qubits)
        if count > MAX_INSTRUCTIONS:
            raise too_many(self._where, count)
        return count


def _dense(params: Any) -> bool:
    return any(isinstance(value, np.ndarray) for value in params)
