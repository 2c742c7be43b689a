"""A device as the programs see it inside a worker: its caches, its checks, its limits.

Circuits are known by the hash of their text as it came, so the iterations of a session neither decode nor
check nor assemble the same ansatz again (R39). The caches are bounded by bytes.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from copy import copy
from dataclasses import dataclass, replace
from hashlib import blake2b
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray
from qiskit.circuit import QuantumCircuit

from sojourn.devices import calls
from sojourn.devices.conditions import USUAL, Conditions
from sojourn.devices.driver import CompiledCircuit, Driver, DriverError, Facts, Outcome, Stint, Task
from sojourn.devices.offered import settled
from sojourn.worker.cache import Cache
from sojourn.worker.circuits import angles
from sojourn.worker.circuits.timing import Timing, settle
from sojourn.worker.codec import decode, qpy
from sojourn.worker.codec.decode import Budget, Observables
from sojourn.worker.programs.fields import Fields, fields_of, metadata_of
from sojourn.worker.programs.options import Limits
from sojourn.worker.protocol.frames import MAX_PAYLOAD
from sojourn.worker.protocol.types import JobRefused
from sojourn.worker.target import Checked, TargetCheck

CIRCUIT_BYTES = 48 * 2**20
COMPILED_BYTES = 128 * 2**20
OBSERVABLE_BYTES = 32 * 2**20
FIELD_BYTES = 8 * 2**20
MAX_POINTS = 1_000_000
MAX_EXECUTIONS = 100_000_000
MAX_RESULT_BYTES = MAX_PAYLOAD - 2**20  # what a worker can send, less the text around the data
DEFAULT_MAX_SHOTS = 1_000_000


@dataclass(frozen=True, slots=True)
class Circuit:
    """A decoded circuit that fits the device, its delays settled. `key` is the hash of its text."""

    key: bytes
    circuit: QuantumCircuit
    checked: Checked
    timing: Timing
    text: bool  # came as OpenQASM, so its width is what it uses and not the device's

    @property
    def num_parameters(self) -> int:
        return int(self.circuit.num_parameters)


class DeviceContext:
    """What a program may use of one device, in one worker process."""

    def __init__(self, name: str, driver: Driver, memory: int = 0, resilience_level: int = 0) -> None:
        """`memory`: bytes that one run may take; 0 for any amount. `resilience_level`: that of estimator jobs
        which name none."""
        self.name = name
        self.driver = driver
        self.memory = driver.memory = memory
        self.resilience_level = resilience_level
        self.target = driver.target
        self._most = driver.limits()
        self.progress: Callable[[float, str], None] | None = None
        """Told how far the present run is."""
        self.facts = self.served(driver.facts())
        configuration = self.facts.configuration
        self.num_qubits = self.facts.num_qubits
        self.at = "the job"
        """What of a job is being looked at, for errors that no check foresaw."""
        self.max_shots = int(configuration.get("max_shots") or DEFAULT_MAX_SHOTS)
        self.rep_delay = float(configuration.get("default_rep_delay") or 0.0) * 1e-6
        span = configuration.get("rep_delay_range")
        moves = bool(configuration.get("dynamic_reprate_enabled")) and span is not None
        delays = (span[0] * 1e-6, span[1] * 1e-6) if moves and span else None
        self.limits = Limits(delays, ideal=self.facts.properties is None)
        self.conditions = USUAL
        self._other: DeviceContext | None = None  # as it is under the conditions that were asked for last
        self._check = TargetCheck(name, self.target)
        self._circuits = Cache(CIRCUIT_BYTES)
        self._compiled = Cache(COMPILED_BYTES)
        self._observables = Cache(OBSERVABLE_BYTES)
        self._fields = Cache(FIELD_BYTES)

    def served(self, facts: Facts) -> Facts:
        """What the driver says of the device, as it is served."""
        found = settled(facts, self.target, self.driver.meas_levels)
        if self._most.shots is None:
            return found
        stated = int(found.configuration.get("max_shots") or DEFAULT_MAX_SHOTS)
        configuration = {**found.configuration, "max_shots": min(stated, self._most.shots)}
        return replace(found, configuration=configuration)

    def execute(self, tasks: Sequence[Task], *, seed: int | None, memory: bool) -> list[list[Outcome]]:
        """Run every task on the device: one list of outcomes per task, one outcome per point. Raises
        `DriverError`."""
        return calls.execute(self.driver, tasks, seed=seed, memory=memory, progress=self.progress)

    def apply_calibration(self, properties: Mapping[str, Any]) -> None:
        """A calibration holds from now on: what was compiled under the earlier one is forgotten."""
        self.driver.apply_calibration(properties)
        self.facts = self.served(self.driver.facts())
        self._other = None
        self._compiled = Cache(COMPILED_BYTES)

    def pass_to(self, at: float) -> None:
        """A job begins, and it is `at` (see `Driver.pass_to`): what was compiled for a device that has
        changed since is forgotten."""
        if self.driver.pass_to(at):
            self._compiled = Cache(COMPILED_BYTES)

    def under(self, conditions: Conditions) -> DeviceContext:
        """The same device, with its caches, as it compiles and runs the circuits of a job under these
        conditions. Raises `JobRefused` for what it cannot do."""
        if conditions == self.conditions:
            return self
        if self._other is not None and self._other.conditions == conditions:
            return self._other
        try:
            driver = self.driver.under(conditions)
        except DriverError as error:
            raise JobRefused(str(error)) from error
        made = copy(self)
        made.driver, made.conditions = driver, conditions
        self._other = made
        return made

    def circuit(self, text: msgspec.Raw, where: str, budget: Budget) -> Circuit:
        """Decode and check, or recall. Raises `JobRefused`."""
        return self._circuit(
            bytes(text), where, lambda: decode.read_circuit(text, where, budget, self.num_qubits)
        )

    def circuit_file(self, content: bytes, where: str) -> Circuit:
        """As `circuit`, of a QPY file that is inflated already."""
        return self._circuit(content, where, lambda: (qpy.load_circuit(content, where), content[6]))

    def made(self, circuit: QuantumCircuit, key: bytes, where: str) -> Circuit:
        """A circuit that was made here, settled and checked as one that came. `key` names what is compiled
        of it. Raises `JobRefused`."""
        self.at = where
        timing = settle(circuit, self.target, None, where, ideal=self.facts.properties is None)
        return Circuit(key, timing.circuit, self._check.check(timing.circuit, where), timing, text=False)

    def _circuit(
        self, raw: bytes, where: str, read_it: Callable[[], tuple[QuantumCircuit, int | None]]
    ) -> Circuit:
        self.at = where
        key = blake2b(raw, digest_size=20).digest()

        def make() -> tuple[Circuit, int]:
            read, version = read_it()
            made = self.fit(key, read, version, where)
            return made, 4096 + 8 * len(raw) + 400 * (len(made.circuit.data) + len(made.timing.timed))

        found: Circuit = self._circuits.get(key, make)
        return found

    def fit(self, key: bytes, circuit: QuantumCircuit, version: int | None, where: str) -> Circuit:
        """A circuit with its delays settled, if it fits the device; not kept. `key` names it, `version` is
        that of its QPY file, None for another origin. Raises `JobRefused`."""
        timing = settle(circuit, self.target, version, where, ideal=self.facts.properties is None)
        checked = self._check.check(timing.circuit, where)
        most = self._most.parameters
        if most is not None and timing.circuit.num_parameters > most:
            raise JobRefused(
                f"{where} has {timing.circuit.num_parameters} parameters; the limit of {self.name} is {most} "
                "a circuit. Bind some of them, or split the circuit"
            )
        return Circuit(key, timing.circuit, checked, timing, version is None)

    def fields(self, circuit: Circuit, where: str) -> Fields:
        """What of the circuit stands in a result. Raises `JobRefused` when the client could not read that."""

        def make() -> tuple[Fields, int]:
            found = fields_of(circuit.circuit, where)
            return found, found.size + 8 * sum(len(register.bits) for register in found.registers)

        held: Fields = self._fields.get(circuit.key, make)
        return held

    def metadata(self, circuit: Circuit, where: str, budget: Budget) -> msgspec.Raw:
        """The circuit's metadata as text of a result. Raises `JobRefused` when they cannot be part of one."""

        def make() -> tuple[msgspec.Raw, int]:
            text = metadata_of(circuit.circuit.metadata, where, budget)
            return text, 200 + len(bytes(text))

        held: msgspec.Raw = self._fields.get(("metadata", circuit.key), make)
        return held

    def observables(self, text: msgspec.Raw, where: str) -> tuple[bytes, Observables]:
        """Decoded observables and the hash of their text."""
        self.at = where
        raw = bytes(text)
        key = blake2b(raw, digest_size=20).digest()
        found: Observables = self._observables.get(
            key, lambda: (decode.read_observables(text, where), 2048 + 10 * len(raw))
        )
        return key, found

    def recall(self, key: tuple[Any, ...], make: Callable[[], tuple[Any, int]]) -> Any:
        """Anything else that belongs to observables: `make` gives (value, cost)."""
        return self._observables.get(key, make)

    def compiled(
        self, key: tuple[Any, ...], make: Callable[[], QuantumCircuit], where: str
    ) -> CompiledCircuit:
        """The compiled form of the circuit that `make` gives. Raises `JobRefused` when it cannot be."""
        self.at = where

        def build() -> tuple[CompiledCircuit, int]:
            try:
                made = self.driver.compile(make())
            except DriverError as error:
                raise JobRefused(f"{where}: {error}") from error
            return made, made.cost

        found: CompiledCircuit = self._compiled.get((self.conditions, key), build)
        return found

    def state(
        self, key: tuple[Any, ...], num_qubits: int, make: Callable[[], QuantumCircuit], room: int
    ) -> int:
        """Bytes that the state of the circuit that `make` gives takes while it runs; 0 if that is not known,
        or certainly at most `room`. `key` names it as in `compiled`."""
        if self.driver.most_memory(num_qubits) <= room:
            return 0
        name = ("state", self.conditions, key)
        found: int = self._observables.get(name, lambda: (self.driver.memory_of(make()), 200))
        return found

    def least_seconds(
        self, key: tuple[Any, ...], make: Callable[[], QuantumCircuit], points: int, shots: int
    ) -> float:
        """Seconds that so many points of the circuit that `make` gives take at least where they are
        simulated; 0 where that is not known. `key` names it as in `compiled`."""
        name = ("seconds", self.conditions, key, points, shots)
        found: float = self._observables.get(
            name, lambda: (self.driver.least_seconds(make(), points, shots), 200)
        )
        return found

    def points(
        self, circuit: Circuit, text: msgspec.Raw | None, where: str, budget: Budget
    ) -> tuple[tuple[int, ...], NDArray[np.float64]]:
        """The shape of a pub's parameter values and the values as (points, parameters).

        The last axis runs over the circuit's parameters in their order; it may be left out when there is
        one parameter. A mapping of names to arrays is accepted too.
        """
        self.at = where
        given = None if text is None else decode.read_values(text, where, budget)
        count = circuit.num_parameters
        if isinstance(given, dict):
            given = self._from_mapping(circuit, given, where)
        if given is None or given.size == 0:
            shape = () if given is None or given.ndim < 2 else given.shape[:-1]
            if count and not (given is not None and 0 in given.shape[:-1]):
                raise JobRefused(f"{where}: the circuit has {count} parameters, no values were given")
            if given is not None and 0 in given.shape[:-1]:
                raise JobRefused(f"{where}: an array of shape {given.shape} holds no points to run")
            values = np.zeros((math.prod(shape), 0))
        else:
            if count == 1 and (given.ndim == 0 or given.shape[-1] != 1):
                given = given[..., None]
            last = given.shape[-1] if given.ndim else 1
            if last != count:
                raise JobRefused(
                    f"{where}: the circuit has {count} parameters, the values have shape {given.shape}; "
                    "their last axis must run over the parameters"
                )
            shape = given.shape[:-1]
            values = given.reshape(-1, count)
        self.check_points(circuit, values, where)
        return shape, values

    def check_points(self, circuit: Circuit, values: NDArray[np.float64], where: str) -> None:
        """Refuse `values`, (points, parameters), that the circuit or the device cannot have."""
        if len(values) > MAX_POINTS:
            raise JobRefused(f"{where}: {len(values)} points are more than the limit of {MAX_POINTS}")
        circuit.checked.angles.check(list(circuit.circuit.parameters), values, where)
        self._bounded(circuit, values, where)
        circuit.timing.check(values, where)

    def _from_mapping(self, circuit: Circuit, given: Mapping[str, Any], where: str) -> NDArray[np.float64]:
        wanted = [parameter.name for parameter in circuit.circuit.parameters]
        if set(given) != set(wanted):
            raise JobRefused(
                f"{where}: the circuit's parameters are {wanted}, values came for {sorted(given)}"
            )
        try:
            columns = np.broadcast_arrays(*(given[name] for name in wanted))
        except ValueError:
            shapes = {name: np.shape(given[name]) for name in wanted}
            raise JobRefused(f"{where}: the parameter values do not broadcast: {shapes}") from None
        return np.stack(columns, axis=-1) if columns else np.zeros((0,))

    def _bounded(self, circuit: Circuit, values: NDArray[np.float64], where: str) -> None:
        """The device's own bounds are an interval for each angle, so the extremes stand for all points."""
        parameters = list(circuit.circuit.parameters)
        for entry in circuit.checked.bounded:
            spans = [
                (angle, angle)
                if isinstance(angle, float)
                else angles.extremes(angle, parameters, values, where)
                for angle in entry.angles
            ]
            known = [span for span in spans if span is not None]
            if len(known) == len(spans):
                for extreme in zip(*known, strict=True):
                    self._check.check_angles(entry.name, entry.qubits, extreme, where)

    def stint(
        self,
        circuit: Circuit,
        values: NDArray[np.float64],
        shots: int,
        rep_delay: float | None,
        times: int = 1,
    ) -> Stint:
        """What `shots` at each of the points `values`, `times` over, are to the device's clock. The delays
        of a point count as they are there."""
        pause = self.rep_delay if rep_delay is None else rep_delay
        shot = float(circuit.checked.duration)
        if circuit.timing.timed and len(values):
            shot += float(circuit.timing.seconds(values).sum()) / len(values)
        return Stint(shot, pause, len(values) * times, shots)

    def seconds(self, stints: Sequence[Stint]) -> float:
        """Seconds that a job of these has the device, as its driver expects. Raises `DriverError` when that
        is no time."""
        found = float(self.driver.run_seconds(stints))
        if not 0 <= found < math.inf:
            raise DriverError(f"the driver of {self.name} expects the job to take {found} s")
        return found
