"""Owns what the programs have in common: the members of `params`, the plan of a job."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray
from qiskit.circuit import QuantumCircuit

from sojourn.devices.driver import Outcome, Task
from sojourn.worker.codec import decode
from sojourn.worker.codec.decode import Budget
from sojourn.worker.device import MAX_EXECUTIONS, MAX_RESULT_BYTES, Circuit, DeviceContext
from sojourn.worker.programs import options
from sojourn.worker.programs.options import Settings
from sojourn.worker.protocol.memory import MB
from sojourn.worker.protocol.types import PROGRAMS, JobRefused, Prepared, no_such_program

MAX_PUBS = 10_000
MAX_WARNINGS = 20
_SHOT_BYTES = 8  # the least that an outcome takes whose place among the shots is kept
MAX_COUNT = 2**63  # no device allows as many shots; longer integers only make longer messages


@dataclass(frozen=True, slots=True)
class Payload:
    """A job's `params`, opened: pubs still as text, options checked."""

    pubs: Sequence[Sequence[msgspec.Raw]]
    settings: Settings
    shots: int | None
    precision: float | None
    budget: Budget = field(default_factory=Budget)


@dataclass(frozen=True, slots=True)
class Window:
    """When the device worked on a job."""

    start: datetime
    stop: datetime


@dataclass(frozen=True, slots=True)
class Work:
    """A task before its circuit is compiled: `make` gives the circuit that the device is to run, `key`
    names it in the cache."""

    key: tuple[Any, ...]
    make: Callable[[], QuantumCircuit]
    values: NDArray[np.float64]
    shots: int
    where: str

    def task(self, device: DeviceContext) -> Task:
        """Compiled, or recalled. Raises `JobRefused`."""
        return Task(device.compiled(self.key, self.make, self.where), self.values, self.shots)


class Plan(ABC):
    """A job that passed every check and only needs the device."""

    def __init__(self, prepared: Prepared, work: Sequence[Work], seed: int | None, memory: bool) -> None:
        self.prepared = prepared
        self._work = work
        self._seed = seed
        self._memory = memory

    def tasks(self, device: DeviceContext) -> list[Task]:
        """Everything that the device is to run, compiled. Raises `JobRefused`."""
        return [work.task(device) for work in self._work]

    def execute(self, device: DeviceContext, tasks: Sequence[Task]) -> tuple[list[list[Outcome]], Window]:
        """Run every task on the device."""
        start, begun = datetime.now(UTC), time.monotonic()
        device.driver.begin_job()
        outcomes = device.driver.execute(tasks, seed=self._seed, memory=self._memory)
        # not the clock again: it may have been set meanwhile
        return outcomes, Window(start, start + timedelta(seconds=time.monotonic() - begun))

    @abstractmethod
    def result(self, outcomes: list[list[Outcome]], window: Window) -> bytes:
        """The text that the client decodes."""


def open_payload(program: str, params: bytes, device: DeviceContext) -> Payload:
    """Read the members of `params` and check the options. Raises `JobRefused`."""
    if program not in PROGRAMS:
        raise no_such_program(program)
    members = decode.read_object(params, "params")
    known = {"pubs", "options", "version", "support_qiskit", "shots"}
    if program == "estimator":
        known |= {"resilience_level", "precision"}
    plain = {
        name: decode.read_any(text, f"params.{name}")
        for name, text in members.items()
        if name in known and name != "pubs"
    }
    settings, faults = options.look(
        program, plain.get("options"), device.limits, plain.get("resilience_level")
    )
    shots, precision = plain.get("shots"), plain.get("precision")
    for check, value, name in ((whole_shots, shots, "shots"), (real_precision, precision, "precision")):
        try:
            if value is not None:
                check(value, f"params.{name}")
        except JobRefused as refused:
            faults.append(refused.message)
    if plain.get("version", 2) != 2:
        faults.append(
            f"params.version is {_short(plain['version'])}; only version 2 of the primitives is run here"
        )
    faults += [
        f"params.{name[: options.MAX_NAME]} is not a member that the {program} knows; it knows "
        + ", ".join(sorted(known))
        for name in sorted(set(members) - known)
    ]
    options.refuse(faults)
    if "pubs" not in members:
        raise JobRefused("params.pubs is missing: a job needs a list of pubs")
    pubs = decode.read_list(members["pubs"], "params.pubs")
    if not pubs:
        raise JobRefused("params.pubs is empty: there is nothing to run")
    if len(pubs) > MAX_PUBS:
        raise JobRefused(f"params.pubs has {len(pubs)} pubs; the limit is {MAX_PUBS}")
    opened = []
    least, most = (1, 3) if program == "sampler" else (2, 4)
    for index, text in enumerate(pubs):
        parts = decode.read_list(text, f"pubs[{index}]")
        if not least <= len(parts) <= most:
            raise JobRefused(
                f"pubs[{index}] has {len(parts)} parts; a {program} pub has {least} to {most}: "
                + (
                    "circuit, values, shots"
                    if program == "sampler"
                    else "circuit, observables, values, precision"
                )
            )
        opened.append(parts)
    return Payload(opened, settings, shots, None if precision is None else float(precision))


def whole_shots(value: Any, where: str) -> int:
    """A number of shots. Raises `JobRefused` for anything but an integer of at least 1."""
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value < MAX_COUNT:
        raise JobRefused(f"{where} is {_short(value)}; shots must be an integer of at least 1, below 2**63")
    return value


def real_precision(value: Any, where: str) -> float:
    """A precision. Raises `JobRefused` for anything but a number above 0."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value <= decode.LARGEST:
        raise JobRefused(f"{where} is {_short(value)}; a precision must be a finite number above 0")
    return float(value)


class Tally:
    """What a job asks of the device, added up while its pubs are checked."""

    def __init__(self, device: DeviceContext, settings: Settings) -> None:
        self._device = device
        self._rep_delay = settings.rep_delay
        self._circuits = self._executions = self._result = 0
        self._state = self._shots = 0  # bytes
        self._seconds = 0.0
        self.warnings: list[str] = []

    def add(self, circuit: Circuit, values: NDArray[np.float64], shots: int) -> None:
        """Count a circuit that is run at the points `values`."""
        self._circuits += len(values)
        self._executions += len(values) * shots
        self._seconds += self._device.seconds(circuit, values, shots, self._rep_delay)

    def result(self, size: int) -> None:
        """Count characters of the result, at their most."""
        self._result += size

    def memory(self, work: Work, num_qubits: int, *, in_order: bool) -> None:
        """Refuse a job that takes more memory than one run may take, as far as that is known before. Jobs
        keep the states of one circuit at a time, and the outcomes of all; `in_order` those of every shot."""
        device = self._device
        if not device.memory:
            return
        self._shots += _SHOT_BYTES * len(work.values) * work.shots if in_order else 0
        outcomes = self._shots + self._result
        state = device.state(work.key, num_qubits, work.make, device.memory - outcomes)
        self._state = max(self._state, state)
        needed = self._state + outcomes
        if needed > device.memory:
            whole, part, rest, most = (
                f"{size / MB:.0f} MB" for size in (needed, self._state, outcomes, device.memory)
            )
            raise JobRefused(
                f"{work.where}: running the job takes at least {whole} of memory ({part} for the state of a "
                f"circuit, {rest} for outcomes); one run on {device.name} may take {most} "
                "(memory_mb of the device). Use fewer qubits, fewer shots in one job, or another device"
            )

    def limit(self) -> None:
        """Refuse a job with more circuits x shots, or with a larger result, than any device here takes."""
        if self._executions > MAX_EXECUTIONS:
            raise JobRefused(
                f"the job asks for {self._executions} executions (circuits x shots); the limit is "
                f"{MAX_EXECUTIONS}. Split it, or ask for fewer shots"
            )
        if self._result > MAX_RESULT_BYTES:
            raise JobRefused(
                f"the job's result would be more than {MAX_RESULT_BYTES // 2**20} MB in the form in which it "
                f"is sent (up to {self._result / 2**20:.0f} MB), which is the limit; split the job, or ask "
                "for fewer shots or points"
            )

    def prepared(self, num_qubits: int) -> Prepared:
        """The sums, when the widest circuit has that many qubits."""
        return Prepared(
            estimated_seconds=self._seconds,
            num_circuits=self._circuits,
            num_qubits=num_qubits,
            executions=self._executions,
            warnings=tuple(_few(self.warnings)),
            result_bytes=self._result,
        )


def _few(warnings: Sequence[str]) -> Sequence[str]:
    """At most `MAX_WARNINGS` of them: they go with the answer to the submit."""
    if len(warnings) <= MAX_WARNINGS:
        return warnings
    return [*warnings[:MAX_WARNINGS], f"{len(warnings) - MAX_WARNINGS} more warnings of this kind"]


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "..."
