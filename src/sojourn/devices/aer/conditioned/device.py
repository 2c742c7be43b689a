"""The device under other conditions: simulates the states that measurements find, and makes of them what a
readout gives.

Aer adds assignment errors to bits, and then nobody knows the state behind one. So circuits are simulated
without these errors, and `Readout` adds them, or makes signals. What a circuit does with a measured bit while
it runs follows the state and not the bit; where the two can differ, control flow is refused.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray
from qiskit.circuit import ControlFlowOp, Measure, QuantumCircuit
from qiskit.transpiler import Target

from sojourn.devices.aer.conditioned.carried import CarriedCircuit
from sojourn.devices.aer.noise import NoiseTable
from sojourn.devices.aer.simulator import AerEngine
from sojourn.devices.conditions import Conditions
from sojourn.devices.driver import (
    CompiledCircuit,
    Driver,
    DriverError,
    Facts,
    Outcome,
    Stint,
    Task,
    fresh_seed,
)
from sojourn.devices.readout import Readout

_JOINED_IDEAL, _JOINED_NOISY = 10, 6
"""Joined qubits whose shots can be a chain. There are 2 to that power states in which a shot can start, and
each is simulated by itself."""


class ReadCircuit(CompiledCircuit):
    """A circuit whose states are simulated by `inner` and read by `readout`."""

    __slots__ = ("inner", "readout")

    def __init__(self, inner: CompiledCircuit, readout: Readout) -> None:
        super().__init__(
            num_clbits=inner.num_clbits, num_parameters=inner.num_parameters, cost=inner.cost + 4096
        )
        self.inner = inner
        self.readout = readout


class ConditionedDriver(Driver):
    """A simulated device for the jobs that ask for `conditions`."""

    def __init__(
        self,
        device: Driver,
        conditions: Conditions,
        noise: NoiseTable | None,
        engine: Callable[[NoiseTable | None], AerEngine],
        seed: int | None,
        carried_out: Callable[[QuantumCircuit], QuantumCircuit],
    ) -> None:
        """`noise` are the errors of the simulation; `engine` makes one that has them. `carried_out` gives the
        circuit as the device runs it."""
        super().__init__(device.name, device.options)
        self.memory = device.memory
        self.real_time = device.real_time
        self._device = device
        self._conditions = conditions
        self._noise = noise
        self._states = conditions.carried or conditions.level != "classified"
        self._engine = engine(noise.without_readout() if noise is not None and self._states else noise)
        self._seed = seed
        self._carried_out = carried_out

    @property
    def target(self) -> Target:
        return self._device.target

    def facts(self) -> Facts:
        return self._device.facts()

    def run_seconds(self, stints: Sequence[Stint]) -> float:
        return self._device.run_seconds(stints)

    def begin_job(self) -> None:
        self._device.begin_job()
        self._engine.account.clear()

    def account(self) -> Sequence[str]:
        return self._engine.account.lines()

    def most_memory(self, num_qubits: int) -> int:
        return self._engine.most_memory(num_qubits)

    def memory_of(self, circuit: QuantumCircuit) -> int:
        return self._engine.memory_of(self._carried_out(circuit))

    def least_seconds(self, circuit: QuantumCircuit, points: int, shots: int) -> float:
        if self._conditions.carried:
            return 0.0  # such jobs have few shots, and the shots of several points are not run together
        return self._engine.least_seconds(circuit, points, shots, self.memory)

    def compile(self, circuit: QuantumCircuit) -> CompiledCircuit:
        circuit = self._carried_out(circuit)
        if not self._states:
            return self._engine.compile(circuit)
        readout = self._readout(circuit)
        inner: CompiledCircuit
        if self._conditions.carried:
            most = _JOINED_IDEAL if self._noise is None else _JOINED_NOISY
            inner = CarriedCircuit(circuit, self._engine, self._keeps, most)
        else:
            inner = self._engine.compile(circuit)
        return ReadCircuit(inner, readout)

    def execute(self, tasks: Sequence[Task], *, seed: int | None, memory: bool) -> list[list[Outcome]]:
        chosen = self._seed if seed is None else seed
        if not self._states:
            return self._engine.execute(tasks, seed=chosen, memory=memory, room=self.memory)
        first = fresh_seed() if chosen is None else chosen
        random = np.random.default_rng(first)
        circuits = [_own(task) for task in tasks]
        if not self._conditions.carried:
            inner = [Task(c.inner, t.values, t.shots) for c, t in zip(circuits, tasks, strict=True)]
            found = self._engine.execute(inner, seed=first, memory=True, room=self.memory)
            level = self._conditions.level
            return [
                [circuit.readout.read(outcome, level, random) for outcome in outcomes]
                for circuit, outcomes in zip(circuits, found, strict=True)
            ]
        return [
            [self._carried(circuit, line, task.shots, random) for line in task.values]
            for circuit, task in zip(circuits, tasks, strict=True)
        ]

    def _carried(
        self, circuit: ReadCircuit, values: NDArray[np.float64], shots: int, random: np.random.Generator
    ) -> Outcome:
        assert isinstance(circuit.inner, CarriedCircuit)
        states = circuit.inner.run(values, shots, self._engine, random, self.memory)
        return circuit.readout.read(states, self._conditions.level, random)

    def _keeps(self, qubit: int) -> float:
        """The probability that a qubit in 1 is still in 1 after the pause between shots."""
        time = self._noise.time(qubit, "T1") if self._noise is not None else None
        return math.exp(-self._conditions.pause / time) if time else 1.0

    def _readout(self, circuit: QuantumCircuit) -> Readout:
        """Raises DriverError for control flow, where the readout matters for it."""
        flow = circuit.num_declared_vars > 0 or any(
            isinstance(item.operation, ControlFlowOp) or item.name == "store" for item in circuit.data
        )
        if flow and self._conditions.level != "classified":
            raise DriverError(
                f"a level of measurement of {self._conditions.level!r} is not simulated for circuits with "
                "control flow or variables: the signals are made from the qubits' states after the run, and "
                "a branch would have to follow the bit of its own signal. Leave out the control flow, or "
                "measure 'classified'"
            )
        one, zero = np.zeros(circuit.num_clbits), np.zeros(circuit.num_clbits)
        measured = np.zeros(circuit.num_clbits, dtype=bool)
        if flow:  # bits may come from anywhere, which changes nothing while readout has no errors
            errors = self._noise is not None and any(
                self._noise.readout(qubit) is not None for qubit in range(circuit.num_qubits)
            )
            if errors:
                raise DriverError(
                    "init_qubits = false is not simulated for circuits with control flow or variables on a "
                    "device with assignment errors: the chain of shots follows the qubits' states, and a "
                    "branch their bits. Leave out the control flow, or let the qubits be initialised"
                )
            measured[:] = True
            return Readout(one, zero, measured)
        qubits = {qubit: i for i, qubit in enumerate(circuit.qubits)}
        bits = {bit: i for i, bit in enumerate(circuit.clbits)}
        for item in circuit.data:
            if isinstance(item.operation, Measure) or item.name.startswith("measure_"):
                bit = bits[item.clbits[0]]
                error = self._noise.readout(qubits[item.qubits[0]]) if self._noise is not None else None
                measured[bit] = True
                one[bit] = 0.0 if error is None else error.probabilities[0][1]
                zero[bit] = 0.0 if error is None else error.probabilities[1][0]
        return Readout(one, zero, measured)


def _own(task: Task) -> ReadCircuit:
    if not isinstance(task.circuit, ReadCircuit):
        raise DriverError(f"{type(task.circuit).__name__} was not compiled for the conditions of this job")
    return task.circuit
