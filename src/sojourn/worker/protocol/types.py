"""The data in the messages between the server and its workers: devices, jobs, results. Plain data; no I/O."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from sojourn import codes, programs


@dataclass(frozen=True, slots=True)
class DeviceSpec:
    """One device as configured.

    `driver` names an entry point of the group ``sojourn.drivers``; `options` go to it unchanged.
    `python` is the interpreter of its workers (None: the server's own). A `lazy` device has no worker
    until its first job or description. `memory` is the bytes that one run may take; 0 for any amount.
    `resilience_level` is that of estimator jobs which name none. `runs` is False for a process that prepares
    jobs and runs none: it does not open the device and checks nothing by running it. `recheck`: its last
    conformance check failed, so that it must pass one before it is served. `virtual` says that the
    server's time is not the machine's: the worker waits for nothing, and says how long the device is `held`.
    """

    name: str
    driver: str
    options: Mapping[str, Any] = field(default_factory=dict)
    python: str | None = None
    lazy: bool = False
    memory: int = 0
    resilience_level: int = 0
    runs: bool = True
    recheck: bool = False
    virtual: bool = False


@dataclass(frozen=True, slots=True)
class Traits:
    """What the server must know of a driver to handle its runs.

    `reruns`: whether a job whose run was lost is run again (R55). `cancel_seconds`: how long a run may take
    to stop when it is asked to; 0 for one that can only be ended with its process. `asks_health`:
    whether there is anything to be asked of its health. `renew`: seconds after which it is to describe the
    device again, 0 for one that stays as it is.
    """

    reruns: bool = True
    cancel_seconds: float = 0.0
    asks_health: bool = False
    renew: float = 0.0


@dataclass(frozen=True, slots=True)
class Environment:
    """What a worker runs with. `qpy` is the newest version of QPY that it reads; 0 where it has no Qiskit."""

    python: str
    sojourn: str
    qiskit: str = ""
    qpy: int = 0


@dataclass(frozen=True, slots=True)
class Description:
    """What a device says of itself, in the client's JSON shapes (docs/api.md).

    `configuration` and `properties` are JSON-able; `properties` is None for an ideal device.
    """

    num_qubits: int
    configuration: Mapping[str, Any]
    properties: Mapping[str, Any] | None
    backend_version: str
    traits: Traits = Traits()


class JobRefused(Exception):
    """Preparation found that the job cannot run: a bad payload, a circuit that does not fit, an option
    that is not honoured. `message` is for the user."""

    def __init__(self, message: str, code: int = codes.JOB_UNFIT) -> None:
        super().__init__(message)
        self.message = message
        self.code = code


class DeviceAway(Exception):
    """The device cannot be reached, and the job has not been run. The message says why."""


class JobBroke(JobRefused):
    """Looking at the job raised an error that no check foresaw, while a plain job of the same device passes.
    `detail` is the traceback, for the operator."""

    def __init__(self, message: str, detail: str) -> None:
        super().__init__(message)
        self.detail = detail


@dataclass(frozen=True, slots=True)
class Prepared:
    """A job that passed preparation. `estimated_seconds` is device time; `executions` = circuits x shots."""

    estimated_seconds: float
    num_circuits: int
    num_qubits: int
    executions: int
    warnings: tuple[str, ...] = ()
    result_bytes: int = 0
    """The most that its result can take, in the form in which it is sent."""
    least_seconds: float = 0.0
    """The time that its simulation takes at least, as far as it is known before; 0 if not."""


def no_such_program(program: str) -> JobRefused:
    """The refusal of a program that is not run here, by the server or in the worker's environment."""
    known = programs.names()
    return JobRefused(
        f"There is no program {program[:100]!r} on this service; it runs "
        f"{', '.join(known[:-1])} and {known[-1]} "
        "(SamplerV2 and EstimatorV2 of qiskit-ibm-runtime send the first two).",
        codes.UNKNOWN_PROGRAM,
    )


CALIBRATE = "calibrate"
"""The program of a system job that calibrates; its params are a `Calibration`, its result a description."""


CHECK = "check"
"""The program of a system job that checks whether the device conforms; its params are empty, its result is a
`Report` of `sojourn.devices.conformance` as JSON text."""


@dataclass(frozen=True, slots=True)
class Calibration:
    """The order to calibrate: when (ISO 8601), and which one of the device it is."""

    at: str
    number: int


@dataclass(frozen=True, slots=True)
class Completed:
    """`result` is the text that the client decodes. `quantum_seconds` is the time of the run; `used` what the
    device itself worked of it, where it says so. `held` is how long the run has the device from its start on,
    where the worker has not waited for that (`DeviceSpec.virtual`)."""

    result: bytes
    quantum_seconds: float
    logs: str = ""
    used: float | None = None
    held: float = 0.0


@dataclass(frozen=True, slots=True)
class Failed:
    """The program raised: the user's error. `reason` is one line, `detail` ends with a traceback, `used` is
    as in `Completed`."""

    reason: str
    code: int
    detail: str = ""
    logs: str = ""
    used: float | None = None
