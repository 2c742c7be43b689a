"""Leaves out the qubits that a job does not use, and puts circuits back onto the qubits of the device.

A circuit is as wide as the device. Twirling, building and measuring its idle qubits would take most of the
time of a job and change nothing of its values, so circuits are prepared on the qubits that the job acts on,
and the target is cut to them: qubit `i` of a narrow circuit is `active[i]` of the device.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from qiskit.circuit import Barrier, QuantumCircuit, Qubit
from qiskit.providers import BackendV2, Options
from qiskit.transpiler import Target

_BARRIER = "barrier"


@dataclass(frozen=True, slots=True)
class Narrow:
    """The qubits of the device, ascending, on which circuits of `width` qubits are prepared."""

    active: tuple[int, ...]
    width: int

    def cut(self, circuit: QuantumCircuit) -> QuantumCircuit:
        """The circuit on the active qubits, with its classical bits and registers. It acts on no other."""
        width = circuit.num_qubits
        place = {circuit.qubits[qubit]: i for i, qubit in enumerate(self.active) if qubit < width}
        return _copied(circuit, QuantumCircuit(len(self.active)), place)

    def label(self, pauli: str) -> str:
        """A Pauli label of qubits of the device on the active ones; it is the identity on all others."""
        last = len(pauli) - 1
        return "".join(pauli[last - qubit] if qubit <= last else "I" for qubit in reversed(self.active))

    def place(self, circuit: QuantumCircuit) -> QuantumCircuit:
        """A narrow circuit on the qubits of the device."""
        place = {circuit.qubits[i]: qubit for i, qubit in enumerate(self.active)}
        return _copied(circuit, QuantumCircuit(self.width), place)


def narrow(circuits: Iterable[QuantumCircuit], supports: Iterable[str], width: int) -> Narrow:
    """The qubits on which the circuits act, and on which one of the labels `supports` is not the identity."""
    active: set[int] = set()
    for circuit in circuits:
        index = {qubit: i for i, qubit in enumerate(circuit.qubits)}
        for item in circuit.data:
            if item.operation.name != _BARRIER:
                active.update(index[qubit] for qubit in item.qubits)
    for label in supports:
        active.update(i for i, letter in enumerate(reversed(label)) if letter != "I")
    return Narrow(tuple(sorted(active)) or (0,), width)


def _copied(circuit: QuantumCircuit, made: QuantumCircuit, place: dict[Qubit, int]) -> QuantumCircuit:
    """`made` with everything of the circuit. A barrier keeps the qubits that have a place."""
    made.global_phase = circuit.global_phase
    made.add_bits(circuit.clbits)
    for register in circuit.cregs:
        made.add_register(register)
    for variable in circuit.iter_declared_vars():
        made.add_uninitialized_var(variable)
    for item in circuit.data:
        if item.operation.name == _BARRIER:
            kept = [place[qubit] for qubit in item.qubits if qubit in place]
            if kept:
                made.append(Barrier(len(kept)), kept)
        else:
            made.append(item.operation, [place[qubit] for qubit in item.qubits], item.clbits, copy=False)
    return made


def cut_target(target: Target, active: Sequence[int]) -> Target:
    """What the device can do on these qubits."""
    made = Target(
        num_qubits=len(active),
        dt=target.dt,
        granularity=target.granularity,
        min_length=target.min_length,
        pulse_alignment=target.pulse_alignment,
        acquire_alignment=target.acquire_alignment,
    )
    place = {qubit: i for i, qubit in enumerate(active)}
    for name in target.operation_names:
        operation = target.operation_from_name(name)
        known = target[name]
        if isinstance(operation, type) or None in known:
            made.add_instruction(operation, name=name)
            continue
        found = {
            tuple(place[qubit] for qubit in qubits): properties
            for qubits, properties in known.items()
            if all(qubit in place for qubit in qubits)
        }
        if found:
            made.add_instruction(operation, found, name=name)
    return made


def has_durations(target: Target) -> bool:
    """Whether it is known how long a measurement takes, and so how long the other qubits wait for it."""
    if "measure" not in target.operation_names:
        return False
    return any(known is not None and known.duration for known in target["measure"].values())


class Backend(BackendV2):  # type: ignore[misc]
    """A target in the form in which the client's preparation wants to have it. It runs nothing."""

    def __init__(self, target: Target) -> None:
        super().__init__(name="prepared")
        self._target = target

    @property
    def target(self) -> Target:
        return self._target

    @property
    def max_circuits(self) -> None:
        return None

    @classmethod
    def _default_options(cls) -> Any:
        return Options()

    def run(self, run_input: Any, **options: Any) -> Any:
        raise NotImplementedError("circuits are run by the driver of the device")
