"""Finds what is to be learned: the layers of whole circuits, or those that a job lists as boxes."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from qiskit.circuit import CircuitInstruction, ParameterExpression, QuantumCircuit, QuantumRegister
from qiskit.exceptions import QiskitError
from qiskit.quantum_info import Clifford
from qiskit.transpiler import Target

from sojourn.worker.programs.learning import library
from sojourn.worker.protocol.types import JobRefused

MAX_LAYERS = 100
"""Layers that one job may learn."""

MAX_INSTRUCTIONS = 50_000
"""Instructions of all circuits of a job, where its layers have to be found."""

_SYMMETRIC = frozenset({"cz", "rzz", "rxx", "ryy", "swap", "iswap", "cp"})


@dataclass(frozen=True, slots=True)
class Layer:
    """Gates that are run together, or a measurement.

    `qubits` are the device's, ascending: those of the gates and the idle ones that are twirled with them.
    `content` acts on them in this order. `where` is the layer's place in the job, for messages.
    """

    qubits: tuple[int, ...]
    content: QuantumCircuit
    where: str
    measures: bool = False


@dataclass(slots=True)
class _Found:
    layer: Layer
    gates: int
    times: int = field(default=0)


class LayerFinder:
    """Collects the unique layers of circuits."""

    def __init__(self, strategy: str) -> None:
        self._strategy = strategy
        self._found: dict[Any, _Found] = {}
        self._instructions = 0

    def add(self, circuit: QuantumCircuit, where: str) -> None:
        """Raises `JobRefused` for a circuit that is no sequence of layers, or too long."""
        self._instructions += len(circuit.data)
        if self._instructions > MAX_INSTRUCTIONS:
            raise JobRefused(
                f"{where}: the circuits up to here have {self._instructions} instructions together; the "
                f"limit is {MAX_INSTRUCTIONS}, as layers are looked for in all. Send each layer once"
            )
        for qubits, body in library.boxes(circuit, self._strategy, where):
            key, found = _of_gates(qubits, body, where)
            if found.gates:
                self._found.setdefault(key, found).times += 1

    def chosen(self, most: int | None) -> tuple[list[Layer], int]:
        """The layers to learn, at most so many, and how many are left out. The most frequent come first; of
        those that are equally frequent, the ones with more gates."""
        ranked = sorted(self._found.values(), key=lambda found: (-found.times, -found.gates))
        layers = [found.layer for found in ranked]
        kept = layers if most is None else layers[:most]
        if len(kept) > MAX_LAYERS:
            raise JobRefused(
                f"the circuits have {len(kept)} different layers; a job may learn {MAX_LAYERS}. Set "
                "options.max_layers_to_learn, or send fewer circuits"
            )
        return kept, len(layers) - len(kept)


def _of_gates(qubits: list[int], body: QuantumCircuit, where: str) -> tuple[Any, _Found]:
    """The two-qubit gates of a box as a layer, with what makes it equal to another."""
    order = tuple(sorted(qubits))
    place = {qubit: index for index, qubit in enumerate(order)}
    content = QuantumCircuit(len(order))
    gates = []
    for item in body.data:
        if item.operation.num_qubits != 2 or item.operation.name == "barrier":
            continue
        at = [qubits[body.find_bit(qubit).index] for qubit in item.qubits]
        if item.operation.name in _SYMMETRIC:
            at.sort()
        name, params = item.operation.name, tuple(item.operation.params)
        _check_clifford(item, at, where)
        content.append(item.operation, [place[qubit] for qubit in at])
        gates.append((name, params, tuple(at)))
    return (order, frozenset(gates)), _Found(Layer(order, content, f"a layer of {where}"), len(gates))


def _check_clifford(item: CircuitInstruction, qubits: list[int], where: str) -> None:
    operation = item.operation
    fixed = not any(isinstance(value, ParameterExpression) for value in operation.params)
    try:
        if fixed:
            Clifford(operation)
            return
    except QiskitError:
        pass
    raise JobRefused(
        f"{where} has {operation.name} on qubits {tuple(qubits)}, which is no Clifford gate: the noise of "
        "its layer cannot be learned from how Pauli operators decay. Use cz, cx or ecr instead"
    )


def read_boxes(circuit: QuantumCircuit, target: Target) -> list[Layer]:
    """The layers of a list of boxes, which comes as a circuit of nothing else. Raises `JobRefused`."""
    if not circuit.data:
        raise JobRefused("params.instructions holds no instruction: there is nothing to learn")
    if len(circuit.data) > MAX_LAYERS:
        raise JobRefused(
            f"params.instructions holds {len(circuit.data)} instructions; a job may learn {MAX_LAYERS}. Send "
            "each box once (samplomatic.utils.find_unique_box_instructions)"
        )
    return [_of_box(item, target, f"instructions[{index}]") for index, item in enumerate(circuit.data)]


def _of_box(item: CircuitInstruction, target: Target, where: str) -> Layer:
    register = QuantumRegister(target.num_qubits, "q")
    place = {qubit: index for index, qubit in enumerate(register)}
    body, measures = library.undressed(item, target, where)
    qubits = [place[qubit] for qubit in item.qubits]
    order = tuple(sorted(qubits))
    local = {qubit: index for index, qubit in enumerate(order)}
    content = QuantumCircuit(len(order), len(order) if measures else 0)
    for inner in body.data:
        at = [local[qubits[body.find_bit(qubit).index]] for qubit in inner.qubits]
        if inner.operation.name == "barrier":
            continue
        content.append(inner.operation, at, at if measures else [])
    return Layer(order, content, where, measures)
