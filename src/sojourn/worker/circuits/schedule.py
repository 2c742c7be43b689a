"""Writes when each instruction of a circuit begins and how long it takes, in the text that the client draws.

A line for each instruction on each of its channels,

    branch,instruction,channel,start,duration,pulse

with times in dt: what `qiskit_ibm_runtime.visualization.draw_circuit_schedule_timing` takes. The schedule is
that of Sojourn's own estimates and stretches: everything starts as early as it can, a barrier waits for the
last of its qubits, and each takes as long as the device's target says. A block of control flow starts when
all of its qubits are free and its classical bits are there; of a loop the first turn is written, and the time
of all turns passes. The time that control electronics need to take a branch is not known, and is left out.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from qiskit.circuit import (
    ControlFlowOp,
    Delay,
    ForLoopOp,
    Instruction,
    ParameterExpression,
    QuantumCircuit,
    WhileLoopOp,
)
from qiskit.transpiler import Target

from sojourn.worker.circuits.timing import turns_of
from sojourn.worker.protocol.types import JobRefused

MAX_LINES = 200_000
"""Some 8 MB of text, written in a second."""

_CLASSICAL = frozenset({"store", "break_loop", "continue_loop"})
_VIRTUAL = frozenset({"rz", "p", "u1", "z", "s", "sdg", "t", "tdg"})  # changes of a phase, without a time


@dataclass(frozen=True, slots=True)
class Schedule:
    """`timing` is the text, `duration` the circuit's in dt."""

    timing: str
    duration: int

    @property
    def size(self) -> int:
        """Characters that it takes in a result."""
        return len(self.timing) + self.timing.count("\n") + 100


def scheduled(circuit: QuantumCircuit, target: Target, where: str) -> Schedule:
    """The schedule of a circuit whose delays are settled. Raises `JobRefused` when it has none."""
    writer = _Writer(target, where)
    clock: dict[int, int] = {}
    place: dict[Any, int] = {qubit: i for i, qubit in enumerate(circuit.qubits)}
    place.update((bit, -1 - i) for i, bit in enumerate(circuit.clbits))
    writer.walk(circuit, place, clock, "main")
    return Schedule("".join(writer.lines), max(clock.values(), default=0))


class _Writer:
    def __init__(self, target: Target, where: str) -> None:
        self.lines: list[str] = []
        self._target = target
        self._where = where
        self._step = target.dt or 1e-9  # as for stretches: something to count in
        self._known: dict[tuple[str, tuple[int, ...]], int] = {}

    def walk(
        self, circuit: QuantumCircuit, place: Mapping[Any, int], clock: dict[int, int], branch: str
    ) -> None:
        """Write the instructions, and move the clocks of their qubits and bits on."""
        for item in circuit.data:
            operation = item.operation
            qubits = tuple(place[qubit] for qubit in item.qubits)
            bits = tuple(place[bit] for bit in item.clbits)
            start = max((clock.get(wire, 0) for wire in (*qubits, *bits)), default=0)
            if isinstance(operation, ControlFlowOp):
                took = self._blocks(operation, qubits, bits, start, branch)
            elif operation.name in _CLASSICAL:
                continue
            else:
                took = self._instruction(operation, qubits, start, branch)
            for wire in (*qubits, *bits):
                clock[wire] = start + took

    def _blocks(
        self,
        operation: ControlFlowOp,
        qubits: tuple[int, ...],
        bits: tuple[int, ...],
        start: int,
        branch: str,
    ) -> int:
        """How long the longest of them takes, in all of its turns."""
        longest = 0
        loop = isinstance(operation, ForLoopOp | WhileLoopOp)
        for number, block in enumerate(operation.blocks):
            name = branch if loop else "else" if number else "then"
            clock = dict.fromkeys((*qubits, *bits), start)
            place = dict(zip((*block.qubits, *block.clbits), (*qubits, *bits), strict=True))
            self.walk(block, place, clock, name)
            longest = max(longest, max(clock.values(), default=start) - start)
        return longest * (turns_of(operation) or 1)

    def _instruction(self, operation: Instruction, qubits: tuple[int, ...], start: int, branch: str) -> int:
        """How long it takes."""
        name = operation.name
        if name == "barrier":
            for qubit in qubits:
                self._line(branch, name, f"Qubit {qubit}", start, 0, name)
            return 0
        shown = "_".join([name, *map(str, qubits)])
        if isinstance(operation, Delay):
            took = self._delay(operation, qubits[0])
            self._line(branch, shown, f"Qubit {qubits[0]}", start, took, name)
            return took
        took = self._duration(name, qubits)
        pulse = "shift_phase" if took == 0 and name in _VIRTUAL else "play"
        for qubit in qubits:
            self._line(branch, shown, f"Qubit {qubit}", start, took, pulse)
            if name.startswith("measure"):
                self._line(branch, shown, f"AWGR{qubit}", start, took, "capture")
        return took

    def _line(
        self, branch: str, instruction: str, channel: str, start: int, duration: int, pulse: str
    ) -> None:
        if len(self.lines) >= MAX_LINES:
            raise JobRefused(
                f"{self._where}: scheduler_timing has a line for each instruction and qubit; the circuit has "
                f"more than {MAX_LINES} of them, which is the limit. Ask for the timing of a part of it"
            )
        self.lines.append(f"{branch},{instruction},{channel},{start},{duration},{pulse}\n")

    def _delay(self, operation: Delay, qubit: int) -> int:
        duration = operation.duration
        if isinstance(duration, ParameterExpression):
            raise JobRefused(
                f"{self._where}: scheduler_timing is that of a circuit, and the delay on qubit {qubit} "
                "depends on a parameter. Bind it, and submit a pub for every value"
            )
        return round(duration) if operation.unit == "dt" else round(float(duration) / self._step)

    def _duration(self, name: str, qubits: tuple[int, ...]) -> int:
        key = (name, qubits)
        if key not in self._known:
            entry = (self._target[name] or {}).get(qubits)
            seconds = 0.0 if entry is None else entry.duration or 0.0
            self._known[key] = round(seconds / self._step)
        return self._known[key]
