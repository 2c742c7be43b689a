"""Defines the driver interface: what a device offers inside a worker. Imports nothing of jobs or HTTP.

A driver is a class behind an entry point of the group ``sojourn.drivers``. It is constructed as
``Driver(name, options)`` and must then be able to say what it is (`facts`, `target`), to compile a circuit
once (`compile`) and to execute compiled circuits many times (`execute`). Compiled circuits are cached by
the caller; everything that can be done once per circuit belongs in `compile`.
"""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import entry_points
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from sojourn import codes
from sojourn.devices.conditions import USUAL, Conditions

if TYPE_CHECKING:
    from qiskit.circuit import QuantumCircuit
    from qiskit.transpiler import Target

ENTRY_POINT_GROUP = "sojourn.drivers"

OnLoss = Literal["rerun", "fail"]


class DriverError(Exception):
    """A driver cannot do what it was asked: a bad option, an unknown device, a circuit that it cannot run.
    The message is for the operator or the user, as it stands. `code` is that of a job that fails with it."""

    code = codes.RUN_FAILED


class NotReached(DriverError):
    """The device cannot be reached, and nothing of the job has run there: the job waits, and the device is
    tried again. The message says why."""


@dataclass(frozen=True, slots=True)
class Assignment:
    """The job that a worker is given: its id, which is the same when a run that was lost is repeated, and the
    id of its session, None for a job outside of one."""

    job: str
    session: str | None = None


class RunCancelled(DriverError):
    """`execute` has stopped because `Driver.cancel` was called."""


@dataclass(frozen=True, slots=True)
class Facts:
    """What a device says of itself, in the JSON shapes that the client decodes.

    `properties` is None for an ideal device.
    """

    num_qubits: int
    configuration: Mapping[str, Any]
    properties: Mapping[str, Any] | None
    backend_version: str


class CompiledCircuit:
    """A circuit that a driver has compiled: opaque to everybody else.

    `num_clbits` counts all classical bits of the circuit; `num_parameters` is the length of a row of
    values, in the order of ``circuit.parameters``; `cost` is a guess of its size in bytes, for caches.
    """

    __slots__ = ("cost", "num_clbits", "num_parameters")

    def __init__(self, *, num_clbits: int, num_parameters: int, cost: int) -> None:
        self.num_clbits = num_clbits
        self.num_parameters = num_parameters
        self.cost = cost


@dataclass(frozen=True, slots=True)
class Task:
    """A compiled circuit at some points: `values` is (points, num_parameters) float64; `shots` for each."""

    circuit: CompiledCircuit
    values: NDArray[np.float64]
    shots: int


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one point gave.

    `patterns` is (u, ceil(bits / 8)) uint8: bit strings of all classical bits, big-endian, the last bit of
    the last byte being classical bit 0. `counts` is (u,): how often each came. `order` is (shots,): the
    index into `patterns` of every shot in turn; None when memory was not asked for.

    `signal` is complex64 in arbitrary units, classical bit 0 first: (shots, bits), or averaged (bits,). It is
    there when the conditions of the run ask for it.
    """

    patterns: NDArray[np.uint8]
    counts: NDArray[np.int64]
    order: NDArray[np.intp] | None = None
    signal: NDArray[np.complex64] | None = None

    def memory(self) -> NDArray[np.uint8]:
        """(shots, bytes) uint8, one row per shot."""
        if self.order is None:
            raise DriverError("per-shot memory was not asked for")
        return self.patterns[self.order]


@dataclass(frozen=True, slots=True)
class CallLimits:
    """The most that a device takes, each None where it has no limit of its own.

    A job with a circuit of more than `shots` shots or `parameters` parameters is refused when it is
    submitted. `circuits` is for one call of `execute`, where a circuit counts at each of its points: a job
    with more is run in several calls, and their outcomes are joined.
    """

    shots: int | None = None
    circuits: int | None = None
    parameters: int | None = None


@dataclass(frozen=True, slots=True)
class Stint:
    """A circuit of a job as a clock sees it: `points` times `shots` executions of it, each of which takes
    `seconds` on the average and waits `pause` seconds (the repetition delay) beside."""

    seconds: float
    pause: float
    points: int
    shots: int


def _unheard(part: float, words: str) -> None:
    del part, words


class Driver(ABC):
    """A device inside one worker process. Not thread-safe: a worker runs one job at a time."""

    random_results: ClassVar[bool] = False
    """True for a driver whose results are made up (mock): the conformance check looks at shapes only."""

    meas_levels: ClassVar[tuple[int, ...]] = (2,)
    """The levels of measurement that it has: 1 are signals of the readout, see `under`; 2 are bits."""

    on_loss: OnLoss = "rerun"
    """What becomes of a job whose run was lost with the server or with its worker (R55): `rerun` for a
    device on which nothing remains of a run, such as a simulator; `fail` for one on which a job must not run
    twice unasked, such as an instrument. Nothing is charged in either case."""

    check_at_load: bool = True
    """Whether the worker runs the conformance check before the device is served; see
    `sojourn.devices.conformance`. False where each of its circuits is expensive or waits in a queue:
    `sojourn devices check` then runs it on demand."""

    seeded: bool = True
    """Whether a seed makes the outcomes repeatable, as on a simulator. On a device that is False a job with a
    seed gets a warning, and runs without it."""

    cancel_seconds: float = 0.0
    """Seconds that a run may need to stop after `cancel`; 0 for a driver that cannot stop one. A run that has
    not stopped by then, or cannot, ends with its process."""

    progress: Callable[[float, str], None] = staticmethod(_unheard)
    """Called by the driver, in the thread of `execute`, as often as it likes: which part of the run is done
    (0 to 1), and a few words, as `12 of 40 circuits`. Set by the worker before a run. They reach the log of
    the job, also while it runs."""

    real_time: bool = False
    """Whether a job has the device for `run_seconds`, and a calibration for `calibration_seconds`, however
    much sooner the outcomes are known. The worker waits, and the result is given out after that time."""

    calibration_seconds: float = 0.0
    """How many seconds a calibration has a device with `real_time`."""

    memory = 0
    """Bytes that one run may take, set before the first circuit; 0 for any amount. The worker sees to it: a
    driver may use it to choose how to run."""

    def __init__(self, name: str, options: Mapping[str, Any]) -> None:
        self.name = name
        self.options = dict(options)

    @property
    @abstractmethod
    def target(self) -> Target:
        """What the device can do; circuits are checked against it."""

    @abstractmethod
    def facts(self) -> Facts:
        """The device's description in the client's shapes."""

    @abstractmethod
    def compile(self, circuit: QuantumCircuit) -> CompiledCircuit:
        """Everything that can be done once per circuit. The circuit fits the target and may have parameters.

        Raises `DriverError` when the device cannot run it although it fits the target.
        """

    @abstractmethod
    def execute(self, tasks: Sequence[Task], *, seed: int | None, memory: bool) -> list[list[Outcome]]:
        """Run every task at every point: one list of outcomes per task, one outcome per point.

        The same `seed` on the same tasks gives the same outcomes. `memory` asks for `Outcome.order`.
        """

    def most_memory(self, num_qubits: int) -> int:
        """Bytes that a run of the hungriest circuit of so many qubits can take; quick. The default does not
        know of any need."""
        del num_qubits
        return 0

    def memory_of(self, circuit: QuantumCircuit) -> int:
        """Bytes that a run of this circuit takes at least, where that is known before it runs; else 0. Asked
        only when `most_memory` is more than a run may take."""
        del circuit
        return 0

    def open(self) -> None:  # noqa: B027 - optional
        """Connect to the device: called once, in the one process that runs jobs, before anything is run.

        Other processes construct the driver too, to describe the device and to compile: they must be able to
        do so beside this one. Raises `DriverError` when the device cannot be reached; it is tried again.
        """

    def limits(self) -> CallLimits:
        """The most that the device takes. The default knows no limits."""
        return CallLimits()

    def run_seconds(self, stints: Sequence[Stint]) -> float:
        """How many seconds a job of these circuits has the device, without its compilation. It is what users
        read as an estimate, and what limits and forecasts are made of. The default adds up what the shots
        take, and nothing for a call or a circuit."""
        return sum((each.seconds + each.pause) * each.points * each.shots for each in stints)

    def cancel(self) -> None:  # noqa: B027 - optional
        """Stop the run that is under way, whose result nobody wants. Called in another thread while `execute`
        works, at most once a run, if `cancel_seconds` is not 0. `execute` should then raise `RunCancelled`
        soon; what else it does is no matter."""

    def health(self) -> str | None:
        """A sentence on why the device cannot take a job now, or None when it can. Must answer within
        seconds.

        Asked by the worker about every 15 s while nothing runs, and after a run that failed. While there is
        a reason the device starts no job, users and operators read it, and jobs wait.
        """
        return None

    def least_seconds(self, circuit: QuantumCircuit, points: int, shots: int) -> float:
        """Seconds that a simulation of `shots` of this circuit at each of so many points takes on this
        machine by a careful estimate, where there is one before it runs; else 0. Asked of large jobs and of
        wide circuits only, so that a job that cannot end within its limit is refused."""
        del circuit, points, shots
        return 0.0

    def pass_to(self, at: float) -> bool:
        """It is `at` now, in seconds since the epoch by the service's time, and a job begins. Returns whether
        the device has changed since the last call, so that what was compiled before does not hold any more.

        A device that changes with the time must be the same at the same `at` in every process. The default
        does not change.
        """
        del at
        return False

    def calibrate(self, at: str, number: int) -> Facts:
        """Measure the device and say what was found; nothing may hold before `apply_calibration`.

        `at` is the time as ISO 8601 in UTC, `number` counts the device's calibrations. The default measures
        nothing and finds the device as it is.
        """
        del at, number
        return self.facts()

    def apply_calibration(self, properties: Mapping[str, Any]) -> None:  # noqa: B027 - optional
        """A calibration with these properties holds: `facts` shows them and jobs run under them.

        Called after every calibration and in every new worker. A driver ignores properties that cannot be its
        device's, as after a change of its options.
        """

    def begin_job(self) -> None:  # noqa: B027 - optional
        """Called once before a job's tasks are executed."""

    def assign(self, job: Assignment) -> None:  # noqa: B027 - optional
        """Which job of a user is run next; called before `begin_job`. For a device that is behind a queue, or
        that has to know a repeated run for one."""

    def end_session(self, session: str) -> None:  # noqa: B027 - optional
        """The session of earlier jobs does not have the device any more: what is held for it elsewhere can be
        given back. Must return within seconds. Not called when the process is lost."""

    def device_seconds(self) -> float | None:
        """How many seconds the device worked since `begin_job`, where that is less than the time of
        `execute`, as behind a queue. They are what the job is charged. None, the default: all of the time."""
        return None

    refresh_seconds: float = 0.0
    """Seconds after which the device is looked at again, 0 for one that stays what it is."""

    def refresh(self) -> bool:
        """Whether `target` or `facts` are others than at the last call. Called before each job is prepared or
        run, so the device itself should be asked every `refresh_seconds` only.

        Raises `DriverError` when the device cannot be asked: then it is not served until it can.
        """
        return False

    def under(self, conditions: Conditions) -> Driver:
        """The same device for one job that asks for something else than usual. Compiles and runs its
        circuits.

        Raises `DriverError` for what the device cannot do, which is the default.
        """
        if conditions == USUAL:
            return self
        asked = []
        if conditions.level != "classified":
            asked.append(
                f"it gives bits, and no signal of the readout (level of measurement {conditions.level!r})"
            )
        if conditions.carried:
            asked.append("it starts every shot with initialised qubits (init_qubits = false)")
        if conditions.errors is not None:
            asked.append("it is no simulator that takes a noise model (simulator.noise_model)")
        raise DriverError(f"{self.name} cannot run this job: {'; '.join(asked)}")

    def account(self) -> Sequence[str]:
        """What was done since `begin_job`, a sentence each, for the job's log. The default says nothing."""
        return ()


@dataclass(slots=True)
class OptionReader:
    """Reads a driver's options by name and type; what is left over at the end is an error."""

    device: str
    driver: str
    options: Mapping[str, Any]
    known: list[str] = field(default_factory=list)

    def take(self, key: str, kinds: tuple[type, ...], default: Any, allowed: str) -> Any:
        """The value of `key` or `default`. Raises `DriverError` naming key, value and what is allowed."""
        self.known.append(key)
        if key not in self.options:
            return default
        value = self.options[key]
        if not isinstance(value, kinds) or (isinstance(value, bool) and bool not in kinds):
            raise self.bad(key, value, allowed)
        return value

    def integer(self, key: str, default: int | None, low: int, high: int) -> int | None:
        value = self.take(key, (int,), default, f"an integer from {low} to {high}")
        if value is not None and not low <= value <= high:
            raise self.bad(key, value, f"an integer from {low} to {high}")
        return None if value is None else int(value)

    def bad(self, key: str, value: Any, allowed: str) -> DriverError:
        return DriverError(
            f"device {self.device!r}: option {key!r} of driver {self.driver!r} is {value!r}; "
            f"allowed is {allowed}"
        )

    def finish(self) -> None:
        unknown = sorted(set(self.options) - set(self.known))
        if unknown:
            raise DriverError(
                f"device {self.device!r}: driver {self.driver!r} has no option "
                f"{', '.join(map(repr, unknown))}; it knows {', '.join(sorted(self.known)) or 'none'}"
            )


def driver_names() -> list[str]:
    """The names of all installed drivers."""
    return sorted({point.name for point in entry_points(group=ENTRY_POINT_GROUP)})


def load_driver(name: str, driver: str, options: Mapping[str, Any]) -> Driver:
    """The driver `driver` for the device `name`. Raises `DriverError` when there is none or it refuses."""
    found = [point for point in entry_points(group=ENTRY_POINT_GROUP) if point.name == driver]
    if not found:
        raise DriverError(
            f"device {name!r}: there is no driver {driver!r}; installed are {', '.join(driver_names())}"
        )
    try:
        factory = found[0].load()
    except Exception as error:
        raise DriverError(
            f"device {name!r}: driver {driver!r} ({found[0].value}) cannot be imported: {error}"
        ) from error
    made = factory(name, options)
    if not isinstance(made, Driver):
        raise DriverError(f"device {name!r}: {found[0].value} is not a sojourn.devices.driver.Driver")
    return made


def fresh_seed() -> int:
    """A seed for a run that did not ask for one (63 bits are more than Aer keeps; 31 are safe everywhere)."""
    return int.from_bytes(os.urandom(4), "big") >> 1
