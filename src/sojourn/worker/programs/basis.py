"""Measures Pauli terms: grouping, native basis changes, expectation values from outcomes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from qiskit.circuit import ClassicalRegister, Operation, QuantumCircuit, QuantumRegister
from qiskit.quantum_info import PauliList
from qiskit.transpiler import PassManager, Target
from qiskit.transpiler.passes import Optimize1qGatesDecomposition

from sojourn.devices.bits import mask_of, parities
from sojourn.devices.driver import Outcome
from sojourn.worker.codec.decode import Observables
from sojourn.worker.programs.device import Circuit, DeviceContext
from sojourn.worker.protocol.types import JobRefused

_CHUNK = 4_000_000  # entries of a table of signs that are made at once


@dataclass(frozen=True, slots=True)
class Group:
    """Terms that are measured together.

    `basis` gives the letter per measured qubit, by ascending qubit; bit i of the measurement is the i-th of
    them. `members` are, per label, the positions in `basis` that the term acts on.
    """

    basis: tuple[tuple[int, str], ...]
    labels: tuple[str, ...]
    members: tuple[tuple[int, ...], ...]

    def expectations(self, outcome: Outcome, first_bit: int) -> NDArray[np.float64]:
        """(labels,) mean of the terms' signs. The measured bits begin at the classical bit `first_bit`."""
        bits = 8 * outcome.patterns.shape[-1]
        masks = np.stack([mask_of(bits, [first_bit + place for place in who]) for who in self.members])
        total = outcome.counts.sum()
        if len(masks) * len(outcome.counts) <= _CHUNK:
            found: NDArray[np.float64] = parities(outcome.patterns, masks) @ outcome.counts / total
            return found
        return np.array([(parities(outcome.patterns, m[None]) @ outcome.counts)[0] / total for m in masks])


@dataclass(frozen=True, slots=True)
class Grouping:
    """All groups that a set of observables needs. The identity needs none."""

    groups: tuple[Group, ...]


def group(observables: Observables, wanted: Sequence[int]) -> tuple[Grouping, int]:
    """Put the terms of the observables `wanted` into groups that commute qubit by qubit.

    Returns the grouping and a guess of its size in bytes. The order is fixed, so seeds mean the same.
    """
    labels = sorted({label for index in wanted for label in observables.terms[index]})
    labels = [label for label in labels if label.strip("I")]
    if not labels:
        return Grouping(()), 256
    groups = [_group(paulis.to_labels()) for paulis in PauliList(labels).group_commuting(qubit_wise=True)]
    cost = sum(512 + sum(len(label) + 80 + 8 * len(label) for label in g.labels) for g in groups)
    return Grouping(tuple(groups)), cost


def _group(labels: Sequence[str]) -> Group:
    letters: dict[int, str] = {}
    acts: list[list[int]] = []
    for label in labels:
        on = []
        for qubit, letter in enumerate(reversed(label)):
            if letter != "I":
                letters[qubit] = letter
                on.append(qubit)
        acts.append(on)
    basis = tuple(sorted(letters.items()))
    place = {qubit: i for i, (qubit, _) in enumerate(basis)}
    members = tuple(tuple(place[qubit] for qubit in on) for on in acts)
    return Group(basis, tuple(labels), members)


def measured(device: DeviceContext, circuit: QuantumCircuit, group: Group) -> QuantumCircuit:
    """The circuit with the group's basis changes, in gates of the device, and its measurement appended."""
    made = circuit.copy()
    taken = {register.name for register in made.cregs}
    name = "terms"
    while name in taken:
        name += "_"
    bits = ClassicalRegister(len(group.basis), name)
    made.add_register(bits)
    for index, (qubit, letter) in enumerate(group.basis):
        if not device.target.instruction_supported("measure", (qubit,)):
            raise JobRefused(f"the observables measure qubit {qubit}, which is disabled on the device")
        change: list[Operation] = device.recall(
            ("rotation", qubit, letter),
            lambda q=qubit, b=letter: (rotation(device.target, q, b), 1024),  # type: ignore[misc]
        )
        for operation in change:
            made.append(operation, [qubit])
        made.measure(qubit, bits[index])
    return made


def rotation(target: Target, qubit: int, letter: str) -> list[Operation]:
    """Gates of the device that turn the eigenbasis of `letter` on `qubit` into that of Z."""
    if letter == "Z":
        return []
    change = QuantumCircuit(QuantumRegister(target.num_qubits or qubit + 1, "q"))
    if letter == "Y":
        change.sdg(qubit)
    change.h(qubit)
    basis = [name for name in target.operation_names if target.instruction_supported(name, (qubit,))]
    native = PassManager([Optimize1qGatesDecomposition(basis=basis, target=target)]).run(change)
    for item in native.data:
        if not target.instruction_supported(item.operation.name, (qubit,)):
            raise JobRefused(
                f"the device has no gates on qubit {qubit} with which {letter} could be measured"
            )
    return [item.operation for item in native.data]


def widened(circuit: Circuit, width: int) -> Circuit:
    """The circuit with idle qubits added at the end."""
    wide = QuantumCircuit(width, name=circuit.circuit.name, metadata=circuit.circuit.metadata)
    wide.add_bits(circuit.circuit.clbits)
    for register in circuit.circuit.cregs:
        wide.add_register(register)
    wide.compose(circuit.circuit, range(circuit.circuit.num_qubits), wide.clbits, inplace=True)
    return replace(circuit, circuit=wide)
