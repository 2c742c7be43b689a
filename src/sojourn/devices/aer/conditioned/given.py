"""The errors of a noise model that came with a job, as the engine takes them; built when they are used."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from qiskit.circuit import Delay, Instruction, QuantumCircuit, Reset
from qiskit.circuit.library import PauliGate, UnitaryGate, get_standard_gate_name_mapping
from qiskit_aer.noise import QuantumError, ReadoutError

from sojourn.devices.aer.noise import NoiseTable
from sojourn.devices.conditions import Errors, GateError, Step


class GivenNoise(NoiseTable):
    """As in Aer, errors of a gate at some qubits take the place of its errors everywhere; several of the same
    gate at the same place follow each other."""

    # Aer puts the errors of a measurement before it and all others after; it is left to do so
    follows = False

    def __init__(self, errors: Errors) -> None:
        super().__init__(SimpleNamespace(qubits=(), gates=()), None)
        self._there: dict[tuple[str, tuple[int, ...]], list[GateError]] = {}
        self._everywhere: dict[str, list[GateError]] = {}
        for error in errors.gates:
            for name in error.gates:
                if error.places is None:
                    self._everywhere.setdefault(name, []).append(error)
                for place in error.places or ():
                    self._there.setdefault((name, place), []).append(error)
        self._read_there: dict[int, ReadoutError] = {}
        self._read_everywhere: ReadoutError | None = None
        for read in errors.reads:
            made = ReadoutError([[1 - read.one, read.one], [read.zero, 1 - read.zero]])
            if read.qubits is None:
                self._read_everywhere = made
            for qubit in read.qubits or ():
                self._read_there[qubit] = made

    def _build(self, name: str, qubits: tuple[int, ...]) -> QuantumError | None:
        found = self._there.get((name, qubits)) or self._everywhere.get(name)
        if not found:
            return None
        whole = _error(found[0])
        for error in found[1:]:
            whole = whole.compose(_error(error))
        return whole

    def for_stabilizers(self) -> NoiseTable:
        """Itself: Aer refuses what a stabilizer state cannot have."""
        return self

    def _assignment(self, qubit: int) -> ReadoutError | None:
        return self._read_there.get(qubit, self._read_everywhere)

    def delay(self, qubit: int, operation: Delay) -> QuantumError | None:
        """None: an error of the gate ``delay`` is one as of any gate."""
        del qubit, operation
        return None

    def time(self, qubit: int, name: str) -> float | None:
        del qubit, name
        return None


def _error(error: GateError) -> QuantumError:
    return QuantumError([(_circuit(steps, error.width), share) for share, steps in error.terms])


def _circuit(steps: tuple[Step, ...], width: int) -> QuantumCircuit:
    circuit = QuantumCircuit(width)
    for step in steps:
        circuit.append(_instruction(step), step.qubits)
    return circuit


def _instruction(step: Step) -> Instruction:
    match step.name:
        case "pauli":
            return PauliGate(step.pauli)
        case "unitary":
            return UnitaryGate(step.matrices[0])
        case "kraus":
            return Instruction("kraus", len(step.qubits), 0, list(step.matrices))
        case "reset":
            return Reset()
    known: Any = get_standard_gate_name_mapping()[step.name]
    made: Instruction = known.base_class(*step.params)
    return made
