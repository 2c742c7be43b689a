"""The driver `mock`: made-up results of the right shape after a given time. Runs no simulator.

Options: `seconds` (time per job and calibration, default 0), or `timing` and what goes with it (see
`clocked.py`); `qubits` (default 127), `seed`, and `like`: take description and target from another
driver. `like` is ``"FakeTorino"`` (any fake backend) or
``{"driver": ..., "options": {...}}``; `qubits` must then be left out.

So the companion of a device for the client's ``dry_run`` (which sends the job to ``mock_<rest of name>``) is
``DeviceSpec("mock_torino", "mock", {"like": {"driver": spec.driver, "options": dict(spec.options)}})``.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from copy import copy
from typing import Any

import numpy as np
from qiskit.circuit import QuantumCircuit
from qiskit.transpiler import Target

from sojourn.devices import describe
from sojourn.devices.aer import clocked
from sojourn.devices.bits import num_bytes
from sojourn.devices.conditions import Conditions, Level
from sojourn.devices.driver import (
    CompiledCircuit,
    Driver,
    DriverError,
    Facts,
    OptionReader,
    Outcome,
    Stint,
    Task,
    fresh_seed,
    load_driver,
)
from sojourn.devices.readout import Readout

VERSION = "1.0.0"
BASIS = ["cz", "id", "rz", "sx", "x"]


class MockDriver(Driver):
    """Random bits. Useful for load tests, dry runs and clients that are developed without a device."""

    random_results = True
    meas_levels = (1, 2)
    _level: Level = "classified"
    _other: Driver | None = None

    def __init__(self, name: str, options: Mapping[str, Any]) -> None:
        super().__init__(name, options)
        reader = OptionReader(name, "mock", options)
        self._seconds = float(reader.take("seconds", (int, float), 0.0, "seconds from 0 to 86400"))
        if not 0 <= self._seconds <= 86_400:
            raise reader.bad("seconds", self._seconds, "seconds from 0 to 86400")
        self._clock = clocked.read(reader)
        if self._clock.real and "seconds" in options:
            allowed = "instant beside 'seconds', which says how long a job takes"
            raise reader.bad("timing", "realistic", allowed)
        self.real_time = self._clock.real
        self.calibration_seconds = self._clock.calibration
        qubits = reader.integer("qubits", None, 1, 1000)
        self._seed = reader.integer("seed", None, 0, 2**63 - 1)
        shape = "a fake backend's name or a table with `driver` and `options`"
        like = reader.take("like", (str, Mapping), None, shape)
        reader.finish()
        if like is None:
            self._target, self._facts = _plain(name, 127 if qubits is None else qubits, self._clock.rep_delay)
            return
        if qubits is not None:
            raise reader.bad("qubits", qubits, "nothing beside 'like', which says how many there are")
        if isinstance(like, str):
            like = {"driver": "fake", "options": {"backend": like}}
        if set(like) - {"driver", "options"} or not isinstance(like.get("driver"), str):
            raise reader.bad("like", like, shape)
        if like["driver"] == "mock" and "like" in like.get("options", {}):
            raise DriverError(f"device {name!r}: option 'like' points to a mock that is itself like another")
        other = self._other = load_driver(name, like["driver"], like.get("options", {}))
        facts = other.facts()
        self._target = other.target
        self._facts = Facts(
            facts.num_qubits,
            describe.renamed(facts.configuration, name),
            None if facts.properties is None else {**facts.properties, "backend_name": name},
            facts.backend_version,
        )

    @property
    def target(self) -> Target:
        return self._target

    def facts(self) -> Facts:
        return self._facts

    def run_seconds(self, stints: Sequence[Stint]) -> float:
        if self._other is not None and not self._clock.real:
            return self._other.run_seconds(stints)  # of the device that it stands for
        return self._clock.seconds(stints)

    def calibrate(self, at: str, number: int) -> Facts:
        self.begin_job()
        return super().calibrate(at, number)

    def compile(self, circuit: QuantumCircuit) -> CompiledCircuit:
        return CompiledCircuit(num_clbits=circuit.num_clbits, num_parameters=circuit.num_parameters, cost=512)

    def begin_job(self) -> None:
        if self._seconds:
            time.sleep(self._seconds)  # the device is busy: that is what this driver is for

    def under(self, conditions: Conditions) -> Driver:
        """What the device that it is like cannot do is refused here as there."""
        if conditions.errors is not None and self._facts.properties is not None:
            raise DriverError(
                f"a noise model cannot be simulated on {self.name}, which stands for a device with errors of "
                "its own; run it on a device without errors"
            )
        if self._other is not None:
            self._other.under(conditions)
        made = copy(self)
        made._level = conditions.level
        return made

    def execute(self, tasks: Sequence[Task], *, seed: int | None, memory: bool) -> list[list[Outcome]]:
        del memory  # made-up shots have an order anyway
        chosen = self._seed if seed is None else seed
        random = np.random.default_rng(fresh_seed() if chosen is None else chosen)
        return [[self._noise(random, task) for _ in range(len(task.values))] for task in tasks]

    def _noise(self, random: np.random.Generator, task: Task) -> Outcome:
        count = task.circuit.num_clbits
        found = _noise(random, count, task.shots)
        if self._level == "classified":
            return found
        readout = Readout(np.zeros(count), np.zeros(count), np.ones(count, dtype=bool))
        return readout.read(found, self._level, random)


def _plain(name: str, qubits: int, rep_delay: float | None) -> tuple[Target, Facts]:
    from sojourn.devices.aer.ideal import all_to_all

    target = all_to_all(qubits, BASIS)
    made = describe.configuration(
        name,
        target,
        version=VERSION,
        description=f"{qubits} qubits that give random results",
        max_shots=1_000_000,
        rep_delay=rep_delay,
        family="Mock",
    )
    return target, Facts(qubits, made, None, VERSION)


def _noise(random: np.random.Generator, bits: int, shots: int) -> Outcome:
    width = num_bytes(bits)
    patterns = np.frombuffer(random.bytes(width * shots), dtype=np.uint8).reshape(shots, width)
    if bits % 8:
        patterns = patterns.copy()
        patterns[:, 0] &= (1 << bits % 8) - 1
    return Outcome(patterns, np.ones(shots, dtype=np.int64), np.arange(shots))
