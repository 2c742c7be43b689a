"""What the drivers `aer` and `fake` have in common: circuits run on an engine of Aer."""

from __future__ import annotations

from collections.abc import Sequence

from qiskit.circuit import QuantumCircuit

from sojourn.devices.aer.simulator import AerEngine
from sojourn.devices.driver import CompiledCircuit, Driver, Outcome, Task


class SimulatedDriver(Driver):
    """A driver whose `_engine` runs the circuits; `_seed` holds for a job that brings none."""

    _engine: AerEngine
    _seed: int | None

    def most_memory(self, num_qubits: int) -> int:
        return self._engine.most_memory(num_qubits)

    def memory_of(self, circuit: QuantumCircuit) -> int:
        return self._engine.memory_of(circuit)

    def compile(self, circuit: QuantumCircuit) -> CompiledCircuit:
        return self._engine.compile(circuit)

    def execute(self, tasks: Sequence[Task], *, seed: int | None, memory: bool) -> list[list[Outcome]]:
        chosen = self._seed if seed is None else seed
        return self._engine.execute(tasks, seed=chosen, memory=memory, room=self.memory)
