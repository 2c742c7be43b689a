"""Draws the errors of a noisy circuit before it is simulated, so that all shots without any share one run.

Every error is a mixture in which mostly nothing happens (`errors/mixture.py`). Where in the circuit the
others happen is drawn for each shot. The shots without an error are sampled from one state; each of the
others is a circuit of its own, with what happened written into it. Nothing is approximated.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from qiskit.circuit import Gate, Parameter, ParameterExpression, QuantumCircuit
from qiskit_aer.backends.aer_compiler import assemble_circuits

from sojourn.devices.aer.errors.mixture import Mixture, Operation
from sojourn.devices.aer.methods.assembled import Assembled

_IDLE = frozenset({"barrier", "delay", "id"})
_CERTAIN = 1 - 1e-12  # no error is more likely, so that its logarithm is a number


@dataclass(frozen=True, slots=True)
class Place:
    """An error that may happen after the instruction number `after`, on these qubits of the circuit."""

    after: int
    qubits: tuple[int, ...]
    mixture: Mixture


@dataclass(slots=True)
class _Step:
    """An instruction as Aer takes it; `slots` says which of its parameters are columns of the table. `kind`
    is its class if it is a gate on one qubit."""

    name: str
    qubits: list[int]
    clbits: list[int]
    params: list[float]
    kind: type[Gate] | None
    slots: list[tuple[int, int]] = field(default_factory=list)


Drawn = Mapping[int, Sequence[tuple[int, int]]]
"""By shot: the places at which errors happen, and the number of what happens there."""


class Patterned(Assembled):
    """A circuit without its errors, and the places where they may happen."""

    __slots__ = ("_after", "_blank", "_choices", "_hazard", "_steps", "free")

    def __init__(
        self,
        flat: QuantumCircuit,
        parameters: Sequence[Parameter],
        noise: Mapping[str, Any],
        places: Sequence[Place],
    ) -> None:
        """`noise` is the model of the readout."""
        super().__init__(flat, parameters, noise)
        rates = np.array([1 - place.mixture.nothing for place in places], dtype=np.float64)
        hazards = -np.log1p(-np.minimum(rates, _CERTAIN))
        self._hazard = np.concatenate([[0.0], np.cumsum(hazards)])
        self.free = float(np.exp(-self._hazard[-1]))
        """The probability that a shot has no error."""
        self._after = [place.after for place in places]
        self._choices = [_choices(place) for place in places]
        self._steps = _steps(flat)
        self._blank = flat.copy_empty_like()

    def draw(self, random: np.random.Generator, shots: int) -> Drawn:
        """The errors of so many shots, without those that have none."""
        found: dict[int, list[tuple[int, int]]] = {}
        looking, begin = np.arange(shots), np.zeros(shots, dtype=np.intp)
        while len(looking):
            level = self._hazard[begin] + random.exponential(size=len(looking))
            place = np.searchsorted(self._hazard, level, side="right") - 1
            hit = place < len(self._after)
            looking, begin = looking[hit], place[hit] + 1
            for shot, at, part in zip(
                looking.tolist(), place[hit].tolist(), random.random(len(looking)).tolist(), strict=True
            ):
                shares = self._choices[at][0]
                choice = min(int(np.searchsorted(shares, part, side="right")), len(shares) - 1)
                found.setdefault(shot, []).append((at, choice))
        return found

    def circuits(
        self, row: NDArray[np.float64], patterns: Iterable[Sequence[tuple[int, int]]]
    ) -> Iterator[Any]:
        """Aer's circuits with these errors written into them; `row` is the point's row of the table."""
        point = _Point(self._steps, row)
        for pattern in patterns:
            yield self._circuit(point, pattern)

    def _circuit(self, point: _Point, pattern: Sequence[tuple[int, int]]) -> Any:
        circuit = assemble_circuits([self._blank])[0][0]
        circuit.circ_id = 0
        errors: dict[int, list[Operation]] = {}
        for place, choice in pattern:
            errors.setdefault(self._after[place], []).extend(self._choices[place][1][choice])
        waiting: dict[int, list[int]] = {}

        def write(qubits: Iterable[int]) -> None:
            """The gates on one qubit that wait there, as one."""
            for qubit in qubits:
                numbers = waiting.pop(qubit, None)
                if numbers:
                    circuit.unitary([qubit], point.product(tuple(numbers)), -1, None, "unitary")

        for number, step in enumerate(self._steps):
            if step.kind is not None:
                waiting.setdefault(step.qubits[0], []).append(number)
            elif step.name not in _IDLE:
                write(step.qubits)
                if step.name == "measure":
                    circuit.measure(step.qubits, step.clbits, [])
                elif step.name == "reset":
                    circuit.reset(step.qubits, -1)
                else:
                    circuit.gate(step.name, step.qubits, point.params(step), [], -1, None, step.name)
            for operation in errors.get(number, ()):
                write(operation.qubits)
                _apply(circuit, operation)
        return circuit


class _Point:
    """The instructions at the values of a point."""

    def __init__(self, steps: Sequence[_Step], row: NDArray[np.float64]) -> None:
        self._steps = steps
        self._row = row
        self._products: dict[tuple[int, ...], NDArray[np.complex128]] = {}

    def params(self, step: _Step) -> list[float]:
        if not step.slots:
            return step.params
        params = list(step.params)
        for slot, column in step.slots:
            params[slot] = float(self._row[column])
        return params

    def product(self, numbers: tuple[int, ...]) -> NDArray[np.complex128]:
        """The matrix of these gates one after the other."""
        found = self._products.get(numbers)
        if found is None:
            found = np.eye(2, dtype=np.complex128)
            for number in numbers:
                step = self._steps[number]
                assert step.kind is not None
                found = np.asarray(step.kind(*self.params(step)).to_matrix()) @ found
            self._products[numbers] = found
        return found


def _choices(place: Place) -> tuple[NDArray[np.float64], list[list[Operation]]]:
    """The summed shares of what may happen, and these on the circuit's qubits."""
    others = place.mixture.others
    shares = np.cumsum([share for share, _ in others], dtype=np.float64)
    made = [
        [
            Operation(one.name, tuple(place.qubits[qubit] for qubit in one.qubits), one.params)
            for one in operations
        ]
        for _, operations in others
    ]
    return shares / shares[-1], made


def _steps(flat: QuantumCircuit) -> list[_Step]:
    """Numbered as the circuit's instructions; the columns of the table are in the order of `Assembled`."""
    qubit = {bit: i for i, bit in enumerate(flat.qubits)}
    clbit = {bit: i for i, bit in enumerate(flat.clbits)}
    made = []
    column = 0
    for item in flat.data:
        gate, on = item.operation, [qubit[q] for q in item.qubits]
        single = len(on) == 1 and isinstance(gate, Gate) and gate.name not in _IDLE
        kind = gate.base_class if single else None
        step = _Step(gate.name, on, [clbit[c] for c in item.clbits], [], kind)
        for slot, value in enumerate(item.operation.params):
            if isinstance(value, ParameterExpression) and value.parameters:
                step.slots.append((slot, column))
                column += 1
                step.params.append(0.0)
            else:
                step.params.append(float(value))
        made.append(step)
    return made


def _apply(circuit: Any, operation: Operation) -> None:
    qubits = list(operation.qubits)
    if operation.name == "kraus":
        circuit.kraus(qubits, list(operation.params), -1, None)
    elif operation.name == "reset":
        circuit.reset(qubits, -1)
    elif operation.name == "pauli":
        circuit.gate("pauli", qubits, [], list(operation.params), -1, None, "pauli")
    else:
        circuit.gate(operation.name, qubits, list(operation.params), [], -1, None, operation.name)
