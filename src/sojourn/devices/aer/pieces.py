"""Splits a circuit into pieces that have nothing to do with each other. For circuits; noise is elsewhere.

Qubits that no gate and no classical bit joins are independent of each other, as the noise of these devices
acts where a gate acts. So each set of joined qubits is simulated by itself, and one that is not measured is
not simulated: what it does cannot be seen in the bits.
"""

from __future__ import annotations

from collections.abc import Sequence

from qiskit.circuit import Bit, ControlFlowOp, Delay, QuantumCircuit

_NOT_JOINING = frozenset({"barrier"})
_FLOW = frozenset({"store", "break_loop", "continue_loop"})


def pieces(circuit: QuantumCircuit, whole: int, together: int) -> list[QuantumCircuit]:
    """Circuits as wide as this one, with all classical bits, whose bits joined by OR are the circuit's.

    One piece, if it has at most `whole` active qubits. Else small sets of qubits share a piece of at most
    `together` qubits. A circuit with control flow or variables is one piece, as is one without measurements.
    """
    if circuit.num_declared_vars or any(
        isinstance(item.operation, ControlFlowOp) or item.operation.name in _FLOW for item in circuit.data
    ):
        return [circuit]
    sets = _measured_sets(circuit)
    if not sets:
        return [circuit]
    if sum(map(len, sets)) <= whole:
        return [_only(circuit, [qubit for some in sets for qubit in some])]
    return [_only(circuit, some) for some in _packed(sets, together)]


def _measured_sets(circuit: QuantumCircuit) -> list[list[Bit]]:
    """The qubits of each set that is measured, in the circuit's order."""
    above: dict[Bit, Bit] = {}

    def root(bit: Bit) -> Bit:
        while above.setdefault(bit, bit) is not bit:
            above[bit] = above[above[bit]]
            bit = above[bit]
        return bit

    measured = set()
    active = set()
    for item in circuit.data:
        if item.operation.name in _NOT_JOINING or isinstance(item.operation, Delay):
            continue
        bits = [*item.qubits, *item.clbits]
        active.update(item.qubits)
        for bit in bits[1:]:
            above[root(bit)] = root(bits[0])
        if item.clbits:
            measured.add(item.qubits[0])
    seen = {root(qubit) for qubit in measured}
    sets: dict[Bit, list[Bit]] = {}
    for qubit in circuit.qubits:
        if qubit in active and root(qubit) in seen:
            sets.setdefault(root(qubit), []).append(qubit)
    return list(sets.values())


def _packed(sets: Sequence[list[Bit]], together: int) -> list[list[Bit]]:
    found: list[list[Bit]] = []
    shared: list[Bit] = []
    for some in sets:
        if len(some) >= together:
            found.append(some)
            continue
        if len(shared) + len(some) > together:
            found.append(shared)
            shared = []
        shared = [*shared, *some]
    return [*found, shared] if shared else found


def _only(circuit: QuantumCircuit, qubits: Sequence[Bit]) -> QuantumCircuit:
    """The instructions on these qubits; of a barrier the part on them."""
    if len(qubits) == circuit.num_qubits:
        return circuit
    kept = set(qubits)
    made = circuit.copy_empty_like()
    made.global_phase = 0.0
    for item in circuit.data:
        if item.operation.name not in _NOT_JOINING and kept.issuperset(item.qubits):
            made.append(item)
    return made
