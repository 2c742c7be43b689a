"""The driver that is checked: made when it is first needed, with circuits that fit its target."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray
from qiskit.circuit import Parameter, QuantumCircuit
from qiskit.transpiler import generate_preset_pass_manager

from sojourn.devices.driver import Driver, Outcome, Task, load_driver
from sojourn.driverkit.findings import NotAsked


class Subject:
    """A driver with its options, as a device of the name `name` has it.

    `driver` is the name of an entry point, or the class itself. `memory` is the bytes that one run may take,
    0 for any amount.
    """

    def __init__(
        self,
        driver: str | type[Driver],
        options: Mapping[str, Any] | None = None,
        name: str = "checked",
        memory: int = 0,
    ) -> None:
        self.wanted = driver
        self.options = dict(options or {})
        self.name = name
        self.memory = memory

    def fresh(self, options: Mapping[str, Any] | None = None) -> Driver:
        """Another one, with these options or its own. Raises what the driver raises."""
        given = self.options if options is None else dict(options)
        if isinstance(self.wanted, str):
            made = load_driver(self.name, self.wanted, given)
        else:
            made = self.wanted(self.name, given)
        made.memory = self.memory
        return made

    @cached_property
    def driver(self) -> Driver:
        """The one that runs circuits, opened as a worker does it."""
        made = self.fresh()
        opener = getattr(made, "open", None)
        if opener is not None:
            opener()
        return made

    def execute(self, tasks: Sequence[Task], *, seed: int | None, memory: bool) -> list[list[Outcome]]:
        """Run the tasks as those of a job."""
        self.driver.begin_job()
        return self.driver.execute(tasks, seed=seed, memory=memory)

    @cached_property
    def qubit(self) -> int:
        """The first qubit that can be measured and flipped."""
        target = self.driver.target
        for qubit in range(target.num_qubits or 0):
            if target.instruction_supported("measure", (qubit,)):
                return qubit
        raise NotAsked("its target has no qubit that can be measured")

    def flip(self) -> QuantumCircuit:
        """X and a measurement on `qubit`, in the instructions of the target."""
        circuit = QuantumCircuit(1, 1)
        circuit.x(0)
        circuit.measure(0, 0)
        return self.fitted(circuit)

    def half(self) -> QuantumCircuit:
        """A measurement with two outcomes that come equally often."""
        circuit = QuantumCircuit(1, 1)
        circuit.h(0)
        circuit.measure(0, 0)
        return self.fitted(circuit)

    def sweep(self) -> tuple[QuantumCircuit, NDArray[np.float64]]:
        """A rotation with one parameter, and three angles of it, (3, 1): outcomes 0, both, 1."""
        angle = Parameter("a")
        circuit = QuantumCircuit(1, 1)
        circuit.sx(0)
        circuit.rz(angle, 0)
        circuit.sx(0)
        circuit.measure(0, 0)
        return self.fitted(circuit), np.array([[math.pi], [math.pi / 2], [0.0]])

    def fitted(self, circuit: QuantumCircuit) -> QuantumCircuit:
        """The circuit of one qubit on `qubit` of the device."""
        manager = generate_preset_pass_manager(
            1, target=self.driver.target, initial_layout=[self.qubit], seed_transpiler=1
        )
        made: QuantumCircuit = manager.run(circuit)
        return made
