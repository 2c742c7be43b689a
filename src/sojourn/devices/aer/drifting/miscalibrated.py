"""Writes into a circuit what wrong settings of its pulses do: coherent errors, which turn a state.

A qubit whose frequency is f above that of its drive gains a phase of -2 pi f t while something takes the
time t: a gate, or a delay. A pulse whose amplitude is a part e too large turns by e times its angle too
far. Both are written behind the instruction as gates without noise of their own; that a gate's own axis
tilts while the phase builds up is left out, which is of second order. Idle qubits turn where a circuit says
that they wait, as their relaxation does. A qubit on which nothing but delays act is left alone, as nobody
sees it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from qiskit.circuit import ControlFlowOp, Delay, Gate, Instruction, ParameterExpression, QuantumCircuit, Qubit
from qiskit.circuit.library import RGate

from sojourn.devices.delays import SECONDS

_TURNS = {"x": math.pi, "sx": math.pi / 2, "sxdg": -math.pi / 2}
_SMALLEST = 1e-12  # an angle that nobody sees


@dataclass(frozen=True, slots=True)
class Wrong:
    """Of each qubit: `detuning`, by how many Hz its frequency is above that of its drive, and `rotation`, by
    which part its pulses turn too far."""

    detuning: NDArray[np.float64]
    rotation: NDArray[np.float64]

    @property
    def nothing(self) -> bool:
        return not (self.detuning.any() or self.rotation.any())


def carried_out(
    circuit: QuantumCircuit,
    wrong: Wrong,
    duration: Callable[[str, tuple[int, ...]], float],
    step: float | None,
) -> QuantumCircuit:
    """The circuit, on the device's own qubits, with these errors. `duration` gives the seconds of an
    instruction on qubits, `step` is the device's dt in seconds. Delays are as `Driver.compile` gets them."""
    if wrong.nothing:
        return circuit
    acted = {
        qubit
        for item in circuit.data
        if not isinstance(item.operation, Delay) and item.operation.name != "barrier"
        for qubit in item.qubits
    }
    return _Writer(wrong, duration, step).walk(
        circuit, {qubit: number for number, qubit in enumerate(circuit.qubits) if qubit in acted}
    )


class _Writer:
    def __init__(
        self, wrong: Wrong, duration: Callable[[str, tuple[int, ...]], float], step: float | None
    ) -> None:
        self._detuning = wrong.detuning.tolist()
        self._rotation = wrong.rotation.tolist()
        self._duration = duration
        self._step = step

    def walk(self, circuit: QuantumCircuit, numbers: Mapping[Qubit, int]) -> QuantumCircuit:
        """`numbers` are the device's, of those qubits that are not left alone."""
        made = circuit.copy_empty_like()
        for item in circuit.data:
            operation = item.operation
            if isinstance(operation, ControlFlowOp):
                blocks = [
                    self.walk(
                        block,
                        {
                            inner: numbers[outer]
                            for inner, outer in zip(block.qubits, item.qubits, strict=True)
                            if outer in numbers
                        },
                    )
                    for block in operation.blocks
                ]
                made.append(item.replace(operation=operation.replace_blocks(blocks)))
                continue
            made.append(item)
            if all(qubit in numbers for qubit in item.qubits):
                self._errors(made, operation, {qubit: numbers[qubit] for qubit in item.qubits})
        return made

    def _errors(self, made: QuantumCircuit, operation: Instruction, on: Mapping[Qubit, int]) -> None:
        seconds: float | ParameterExpression
        if isinstance(operation, Delay):
            unit = (self._step or 0.0) if operation.unit == "dt" else SECONDS[operation.unit]
            seconds = operation.duration * unit
        elif isinstance(operation, Gate):
            self._over_rotation(made, operation, on)
            seconds = self._duration(operation.name, tuple(on.values()))
        else:
            return  # a measurement sees no phase, and nothing else has one
        for qubit, number in on.items():
            turned = -2 * math.pi * self._detuning[number] * seconds
            if isinstance(turned, ParameterExpression) or abs(turned) > _SMALLEST:
                made.rz(turned, qubit)

    def _over_rotation(self, made: QuantumCircuit, gate: Gate, on: Mapping[Qubit, int]) -> None:
        angle = gate.params[0] if gate.name == "rx" else _TURNS.get(gate.name, 0.0)
        for qubit, number in on.items():
            more = angle * self._rotation[number]
            if isinstance(more, ParameterExpression) or abs(more) > _SMALLEST:
                made.append(RGate(more, 0.0), [qubit])
