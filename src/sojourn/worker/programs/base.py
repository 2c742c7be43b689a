"""What a program is to the worker: it makes a plan of a job, and the plan runs on the device.

A program has a name, the options that it knows, and `plan`, which reads and checks the `params` of a job and
runs nothing. A `Plan` says what the job will take, compiles its circuits, runs them and words the result.
"""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
from numpy.typing import NDArray
from qiskit.circuit import QuantumCircuit

from sojourn.devices.conditions import USUAL, Conditions
from sojourn.devices.driver import Outcome, Task
from sojourn.worker.programs.device import DeviceContext
from sojourn.worker.programs.options import Options
from sojourn.worker.protocol.types import Prepared


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

    def __init__(
        self,
        prepared: Prepared,
        work: Sequence[Work],
        seed: int | None,
        memory: bool,
        conditions: Conditions = USUAL,
    ) -> None:
        """`memory`: whether the outcomes must say in which order the shots came."""
        self.prepared = prepared
        self._work = work
        self._seed = seed
        self._memory = memory
        self.conditions = conditions

    @property
    def seed(self) -> int | None:
        """The seed that the job asks for."""
        return self._seed

    def tasks(self, device: DeviceContext) -> list[Task]:
        """Everything that the device is to run, compiled. Raises `JobRefused`."""
        device = device.under(self.conditions)
        return [work.task(device) for work in self._work]

    def execute(self, device: DeviceContext, tasks: Sequence[Task]) -> tuple[list[list[Outcome]], Window]:
        """Run every task on the device."""
        device = device.under(self.conditions)
        start, begun = datetime.now(UTC), time.monotonic()
        device.driver.begin_job()
        outcomes = device.execute(tasks, seed=self._seed, memory=self._memory)
        # not the clock again: it may have been set meanwhile
        return outcomes, Window(start, start + timedelta(seconds=time.monotonic() - begun))

    def device_seconds(self) -> float:
        """How long the job has the device by the model of its driver; known once it has been executed."""
        return self.prepared.estimated_seconds

    def notes(self) -> Sequence[str]:
        """What is to be said of the job in its log, once it has run."""
        return ()

    @abstractmethod
    def result(self, outcomes: list[list[Outcome]], window: Window) -> bytes:
        """The text that the client decodes."""


class Program(ABC):
    """One program. The object serves all devices and jobs of a process, and holds nothing of them."""

    name: str
    inputs: tuple[str, ...]
    """The members of `params` that it takes."""
    options: Options
    """What it takes in the member `options`, if it has one."""
    title = ""
    """What it is called in tables; empty for its name. A form of a program has the name of that program."""
    earlier: Program | None = None
    """The form that the program had in earlier clients, of which jobs still come."""

    def meant(self, params: bytes) -> bool:
        """Whether a job with these `params` is of this form. Asked of an earlier form only."""
        del params
        return False

    @abstractmethod
    def plan(self, device: DeviceContext, params: bytes) -> Plan:
        """Read and check a job's params (JSON text). Raises `JobRefused` with what is wrong."""
