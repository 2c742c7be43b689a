"""What the drivers `aer` and `fake` have in common: circuits run on an engine of Aer."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from qiskit.circuit import QuantumCircuit

from sojourn.devices.aer.clocked import Clocked
from sojourn.devices.aer.conditioned.device import ConditionedDriver
from sojourn.devices.aer.conditioned.given import GivenNoise
from sojourn.devices.aer.noise import NoiseTable
from sojourn.devices.aer.simulator import AerEngine
from sojourn.devices.conditions import USUAL, Conditions
from sojourn.devices.driver import CompiledCircuit, Driver, DriverError, Outcome, Stint, Task


class SimulatedDriver(Driver):
    """A driver whose `_engine` runs the circuits; `_seed` holds for a job that brings none. `_make_engine`
    makes another one with the errors that it is given; those of the device are `_noise`."""

    meas_levels = (1, 2)
    _engine: AerEngine
    _seed: int | None
    _make_engine: Callable[[NoiseTable | None], AerEngine]
    _noise: NoiseTable | None = None
    _clock = Clocked()

    def _keep_time(self, clock: Clocked) -> None:
        self._clock = clock
        self.real_time = clock.real
        self.calibration_seconds = clock.calibration

    def run_seconds(self, stints: Sequence[Stint]) -> float:
        return self._clock.seconds(stints)

    def most_memory(self, num_qubits: int) -> int:
        return self._engine.most_memory(num_qubits)

    def memory_of(self, circuit: QuantumCircuit) -> int:
        return self._engine.memory_of(self.carried_out(circuit), self.memory)

    def carried_out(self, circuit: QuantumCircuit) -> QuantumCircuit:
        """The circuit with what the device does beside it that is no noise: nothing, unless a driver says
        so."""
        return circuit

    def least_seconds(self, circuit: QuantumCircuit, points: int, shots: int) -> float:
        return self._engine.least_seconds(circuit, points, shots, self.memory)

    def compile(self, circuit: QuantumCircuit) -> CompiledCircuit:
        return self._engine.compile(self.carried_out(circuit))

    def begin_job(self) -> None:
        self._engine.account.clear()

    def account(self) -> Sequence[str]:
        return self._engine.account.lines()

    def execute(self, tasks: Sequence[Task], *, seed: int | None, memory: bool) -> list[list[Outcome]]:
        chosen = self._seed if seed is None else seed
        return self._engine.execute(tasks, seed=chosen, memory=memory, room=self.memory)

    def under(self, conditions: Conditions) -> Driver:
        if conditions == USUAL:
            return self
        noise = self._noise
        if conditions.errors is not None:
            if noise is not None:
                raise DriverError(
                    f"a noise model cannot be simulated on {self.name}, which has errors of its own; run it "
                    "on a device without errors"
                )
            noise = GivenNoise(conditions.errors)
        return ConditionedDriver(self, conditions, noise, self._make_engine, self._seed, self.carried_out)
