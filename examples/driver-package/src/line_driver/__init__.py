"""A driver of Sojourn for a line of qubits with errors of the readout."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from qiskit.circuit import Measure, Parameter, QuantumCircuit
from qiskit.circuit.library import CZGate, RZGate, SXGate, XGate
from qiskit.transpiler import InstructionProperties, Target

from line_driver.instrument import Instrument
from sojourn.devices import describe
from sojourn.devices.driver import CompiledCircuit, Driver, DriverError, Facts, OptionReader, Outcome, Task

VERSION = "1.0.0"
MAX_SHOTS = 100_000


class LineCircuit(CompiledCircuit):
    """A circuit that the line can run; nothing has to be compiled for it."""

    __slots__ = ("circuit",)

    def __init__(self, circuit: QuantumCircuit) -> None:
        super().__init__(
            num_clbits=circuit.num_clbits, num_parameters=circuit.num_parameters, cost=400 * len(circuit.data)
        )
        self.circuit = circuit


class LineDriver(Driver):
    """Options: `qubits`, 1 to 12, by default 5; `readout_error`, from 0 to 0.1, before the first
    calibration."""

    def __init__(self, name: str, options: Mapping[str, Any]) -> None:
        super().__init__(name, options)
        reader = OptionReader(name, "line", options)
        self._qubits = reader.integer("qubits", 5, 1, 12) or 5
        error = reader.take("readout_error", (int, float), 0.02, "a number from 0 to 0.1")
        if not 0 <= error <= 0.1:
            raise reader.bad("readout_error", error, "a number from 0 to 0.1")
        reader.finish()
        self._errors = [float(error)] * self._qubits
        self._instrument = Instrument(self._errors)
        self._date = "2026-01-01T00:00:00+00:00"
        self._runs = 0

    @property
    def target(self) -> Target:
        """A line of `qubits` with one two-qubit gate. Its errors are those that were measured last."""
        target = Target(num_qubits=self._qubits, dt=1e-9)
        single = range(self._qubits)
        virtual = {(q,): InstructionProperties(0.0, 0.0) for q in single}
        target.add_instruction(RZGate(Parameter("a")), virtual)
        for gate in (SXGate(), XGate()):
            target.add_instruction(gate, {(q,): InstructionProperties(40e-9, 1e-4) for q in single})
        pairs = [pair for q in range(self._qubits - 1) for pair in ((q, q + 1), (q + 1, q))]
        if pairs:
            target.add_instruction(CZGate(), {pair: InstructionProperties(80e-9, 5e-3) for pair in pairs})
        readout = {(q,): InstructionProperties(1e-6, self._errors[q]) for q in single}
        target.add_instruction(Measure(), readout)
        return target

    def facts(self) -> Facts:
        target = self.target
        made = describe.configuration(
            self.name, target, version=VERSION, description="Qubits in a line", max_shots=MAX_SHOTS
        )
        known = describe.properties(self.name, target, version=VERSION, date=self._date)
        return Facts(self._qubits, made, known, VERSION)

    def compile(self, circuit: QuantumCircuit) -> CompiledCircuit:
        if [bit for register in circuit.cregs for bit in register] != circuit.clbits:
            raise DriverError(f"{self.name} has classical bits in registers only, each bit in one")
        last = {}
        for place, item in enumerate(circuit.data):
            for qubit in item.qubits:
                if last.get(qubit) == "measure" and item.operation.name != "barrier":
                    raise DriverError(
                        f"{self.name} measures a qubit at its end only; instruction {place} "
                        f"({item.operation.name}) comes after a measurement"
                    )
                if item.operation.name != "barrier":
                    last[qubit] = item.operation.name
        return LineCircuit(circuit)

    def execute(self, tasks: Sequence[Task], *, seed: int | None, memory: bool) -> list[list[Outcome]]:
        drawn = np.random.default_rng(seed)
        outcomes = []
        for task in tasks:
            assert isinstance(task.circuit, LineCircuit)
            points = []
            for values in task.values:
                bits = self._instrument.measure(task.circuit.circuit, values, task.shots, drawn)
                points.append(_outcome(bits, memory))
                self._runs += 1
            outcomes.append(points)
        return outcomes

    def begin_job(self) -> None:
        self._runs = 0

    def account(self) -> Sequence[str]:
        return (f"the line ran {self._runs} circuits",)

    def calibrate(self, at: str, number: int) -> Facts:
        """The errors of the readout as they are at the calibration `number`. Nothing holds yet."""
        measured = LineDriver(self.name, self.options)
        drawn = np.random.default_rng(number)
        measured._errors = [min(0.1, error * drawn.uniform(0.8, 1.25)) for error in self._errors]
        measured._date = at
        return measured.facts()

    def apply_calibration(self, properties: Mapping[str, Any]) -> None:
        qubits = properties.get("qubits", ())
        if len(qubits) != self._qubits:
            return  # of a device with other options
        found = [
            next((entry["value"] for entry in entries if entry["name"] == "readout_error"), error)
            for entries, error in zip(qubits, self._errors, strict=True)
        ]
        self._errors = [float(error) for error in found]
        self._instrument.errors = list(self._errors)
        self._date = str(properties.get("last_update_date", self._date))


def _outcome(bits: np.ndarray[Any, np.dtype[np.uint8]], memory: bool) -> Outcome:
    """(shots, bytes) as the different patterns, how often each came, and which shot had which."""
    patterns, order, counts = np.unique(bits, axis=0, return_inverse=True, return_counts=True)
    return Outcome(patterns, counts.astype(np.int64), order.ravel() if memory else None)
