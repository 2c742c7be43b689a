"""Runs circuits shot after shot without initialising the qubits between them.

The model. Between two shots a qubit keeps its population and loses its coherence: the pause is as long as the
times in which qubits dephase, and most qubits have just been measured. So each active qubit starts a shot in
0 or 1, the state in which the last one left it (that of its measurement, or as a measurement would find it),
unless it decayed from 1 to 0 meanwhile. The first shot starts in 0.

That makes a chain of states. Sets of qubits that nothing joins have chains of their own. Shots of one
starting state are simulated together, as many as are likely to be needed, and used up along the chain.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from qiskit.circuit import Clbit, ControlFlowOp, Delay, Measure, Parameter, QuantumCircuit, Qubit
from qiskit.circuit.library import UGate

from sojourn.devices.aer.pieces import pieces
from sojourn.devices.aer.simulator import AerEngine
from sojourn.devices.bits import num_bytes, take_bits
from sojourn.devices.driver import CompiledCircuit, DriverError, Outcome, Task

_WRITERS = frozenset({"store", "if_else", "switch_case", "for_loop", "while_loop"})
_LEAST = 32  # shots that are simulated together, at the least
_AT_ONCE = 3  # qubits whose starting states are all simulated in one call


@dataclass(frozen=True, slots=True)
class _Set:
    """Joined qubits. Its circuit has their starting states as parameters in the columns `starts` of its
    values, the others from the columns `users` of the user's; `bits` hold how a shot leaves each qubit."""

    compiled: CompiledCircuit
    own: tuple[int, ...]
    users: tuple[int, ...]
    starts: tuple[int, ...]
    bits: tuple[int, ...]
    keeps: NDArray[np.float64]
    """(qubits,) probability that a qubit in 1 is still in 1 after the pause."""


class CarriedCircuit(CompiledCircuit):
    """A circuit ready to be run shot after shot."""

    __slots__ = ("_sets",)

    def __init__(
        self, circuit: QuantumCircuit, engine: AerEngine, keeps: Callable[[int], float], most: int
    ) -> None:
        """`keeps` says of one of the device's qubits with which probability it stays in 1 between shots.
        Raises DriverError for more than `most` joined qubits: each shot would be a simulation of its own."""
        parameters = list(circuit.parameters)
        measured = any(item.clbits or item.name in _WRITERS for item in circuit.data)
        parts = pieces(circuit, 0, 1) if measured else []
        self._sets = [_set(part, parameters, engine, keeps, most) for part in parts]
        super().__init__(
            num_clbits=circuit.num_clbits,
            num_parameters=len(parameters),
            cost=4096 + sum(part.compiled.cost for part in self._sets),
        )

    def run(
        self,
        values: NDArray[np.float64],
        shots: int,
        engine: AerEngine,
        random: np.random.Generator,
        room: int,
    ) -> Outcome:
        """One point: the states that the measurements found, in the order of the shots."""
        patterns = np.zeros((shots, num_bytes(self.num_clbits)), dtype=np.uint8)
        for part in self._sets:
            rows = _Chain(part, values, engine, random, room).run(shots)
            patterns |= take_bits(rows, part.compiled.num_clbits, range(self.num_clbits))
        return Outcome(patterns, np.ones(shots, dtype=np.int64), np.arange(shots))


def _set(
    part: QuantumCircuit,
    parameters: Sequence[Parameter],
    engine: AerEngine,
    keeps: Callable[[int], float],
    most: int,
) -> _Set:
    index = {qubit: i for i, qubit in enumerate(part.qubits)}
    active = sorted(
        {
            index[qubit]
            for item in part.data
            if item.name != "barrier" and not isinstance(item.operation, Delay)
            for qubit in item.qubits
        }
    )
    if len(active) > most:
        raise DriverError(
            f"init_qubits = false is simulated for sets of up to {most} qubits that gates or classical bits "
            f"join; here {len(active)} are joined. Let the qubits be initialised, or use fewer"
        )
    prefix = "start"
    while any(parameter.name.startswith(prefix) for parameter in parameters):
        prefix += "_"
    begins = [Parameter(f"{prefix}{qubit}") for qubit in active]
    made = part.copy_empty_like()
    for qubit, begin in zip(active, begins, strict=True):
        # the label keeps errors of the gate away: this is a state, and no gate of the circuit
        made.append(UGate(begin, 0.0, math.pi, label="start"), [part.qubits[qubit]])
    for item in part.data:
        made.append(item)
    known = _left_in(part)
    bits = []
    for qubit in active:
        bit = known.get(part.qubits[qubit])
        if bit is None:
            hidden = Clbit()
            made.add_bits([hidden])
            made.measure(part.qubits[qubit], hidden)
            bit = hidden
        bits.append(bit)
    places = {bit: i for i, bit in enumerate(made.clbits)}
    columns = {parameter: i for i, parameter in enumerate(made.parameters)}
    own = [(columns[p], user) for user, p in enumerate(parameters) if p in columns]
    return _Set(
        engine.compile(made),
        tuple(column for column, _ in own),
        tuple(user for _, user in own),
        tuple(columns[begin] for begin in begins),
        tuple(places[bit] for bit in bits),
        np.array([keeps(qubit) for qubit in active]),
    )


def _left_in(circuit: QuantumCircuit) -> dict[Qubit, Clbit]:
    """The bit that holds the state in which the circuit leaves a qubit, where its last instruction is a
    measurement into a bit that nothing else writes to afterwards."""
    last: dict[Qubit, Clbit] = {}
    if circuit.num_declared_vars or any(
        isinstance(item.operation, ControlFlowOp) or item.name == "store" for item in circuit.data
    ):
        return last
    for item in circuit.data:
        if item.name == "barrier" or isinstance(item.operation, Delay):
            continue
        for qubit in item.qubits:
            last.pop(qubit, None)
        for bit in item.clbits:
            for qubit in [held for held, into in last.items() if into == bit]:
                del last[qubit]
        if isinstance(item.operation, Measure) or item.name.startswith("measure_"):
            last[item.qubits[0]] = item.clbits[0]
    return last


@dataclass(slots=True)
class _Pool:
    """Shots of one starting state that are not used up: row numbers from `first` on, and where each ends."""

    first: int
    ends: list[int]
    used: int = 0


class _Chain:
    """The shots of a set of joined qubits at one point."""

    def __init__(
        self,
        part: _Set,
        values: NDArray[np.float64],
        engine: AerEngine,
        random: np.random.Generator,
        room: int,
    ) -> None:
        self._part = part
        self._line = np.zeros(part.compiled.num_parameters)
        self._line[list(part.own)] = values[list(part.users)]
        self._engine = engine
        self._random = random
        self._room = room
        self._drawn: list[NDArray[np.uint8]] = []
        self._rows = 0
        self._pools: dict[int, _Pool] = {}

    def run(self, shots: int) -> NDArray[np.uint8]:
        """(shots, bytes) the bits of each shot."""
        width = len(self._part.bits)
        least = max(_LEAST, shots >> min(width, 20))
        kept = _numbers(self._random.random((shots, width)) < self._part.keeps)
        picked = np.empty(shots, dtype=np.intp)
        if width <= _AT_ONCE:
            self._fill(range(1 << width), min(shots, least))
        state = 0
        for shot in range(shots):
            pool = self._pools.get(state)
            if pool is None or pool.used == len(pool.ends):
                more = least if pool is None else 2 * len(pool.ends)
                self._fill((state,), min(shots - shot, more))
                pool = self._pools[state]
            picked[shot] = pool.first + pool.used
            state = pool.ends[pool.used] & kept[shot]
            pool.used += 1
        return np.concatenate(self._drawn)[picked]

    def _fill(self, states: Sequence[int], count: int) -> None:
        """Simulate `count` shots from each of the states."""
        part = self._part
        lines = np.tile(self._line, (len(states), 1))
        for qubit, column in enumerate(part.starts):
            lines[:, column] = [math.pi * (state >> qubit & 1) for state in states]
        seed = int(self._random.integers(2**31))
        task = Task(part.compiled, lines, count)
        for state, outcome in zip(
            states, self._engine.execute([task], seed=seed, memory=True, room=self._room)[0], strict=True
        ):
            found = outcome.memory()
            ends = _numbers(_bits(found, part.compiled.num_clbits, part.bits))
            self._pools[state] = _Pool(self._rows, ends)
            self._drawn.append(found)
            self._rows += count


def _bits(patterns: NDArray[np.uint8], count: int, wanted: Sequence[int]) -> NDArray[np.bool_]:
    """(rows, wanted) of the patterns over `count` bits."""
    last = 8 * num_bytes(count) - 1
    return np.unpackbits(patterns, axis=-1)[:, [last - bit for bit in wanted]].astype(bool)


def _numbers(bits: NDArray[np.bool_]) -> list[int]:
    """Each row, of the few qubits that can be joined, as a number; its first column is the lowest bit."""
    numbers: list[int] = (bits @ (1 << np.arange(bits.shape[1]))).tolist()
    return numbers
