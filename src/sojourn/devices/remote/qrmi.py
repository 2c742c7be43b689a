"""The driver `qrmi`: a device through QRMI, the library under the plugins of batch systems.

Options: `resource` (its name; required), `type` (of the resource; `ibm-quantum-compute-service`, the default,
`qiskit-runtime-service` or `ibm-quantum-system`), `endpoint`, `iam_endpoint`, `instance`, `key_file` or
`key_env`: what QRMI otherwise takes from its variables in the server's environment; `mode`,
`session_seconds`, `job_seconds`, `refresh`, `qpy` as of the driver `sojourn`, and `variables` (more of
QRMI's, without secrets).

The package `qrmi` is not among the requirements of the worker: it is installed into the device's own
interpreter. A task that was started cannot be found again by it, so a lost run is not repeated.
"""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Callable, Mapping, Sequence
from types import ModuleType
from typing import Any, TypeVar

from sojourn import codes
from sojourn.devices.driver import Assignment, DriverError, NotReached, OptionReader, Outcome
from sojourn.devices.remote import payload
from sojourn.devices.remote.base import FailedThere, ServiceDriver
from sojourn.devices.remote.place import read_choice, read_key, read_text

TYPES = {
    "ibm-quantum-compute-service": ("IBMQuantumComputeService", "QRMI_IBM_QCS"),
    "qiskit-runtime-service": ("IBMQiskitRuntimeService", "QRMI_IBM_QRS"),
    "ibm-quantum-system": ("IBMQuantumSystem", ""),
}
"""The types of resources that take sampler jobs of Qiskit: QRMI's own names, and what its variables for their
account begin with, "" where there are none of a key alone."""

_PAUSES = (0.1, 1.0)  # seconds between two questions: at first, and at the most
_LONGEST_REASON = 2000

T = TypeVar("T")


class QrmiDriver(ServiceDriver):
    """A resource of QRMI."""

    on_loss = "fail"
    cancel_seconds = 10.0
    _begun = False  # whether a task of the present job has been started
    _name = ""

    def __init__(self, name: str, options: Mapping[str, Any]) -> None:
        super().__init__(name, options)
        reader = OptionReader(name, "qrmi", options)
        resource = read_text(reader, "resource", "the name of the resource")
        if resource is None:
            raise reader.bad("resource", None, "the name of the resource")
        kind = read_choice(reader, "type", "ibm-quantum-compute-service", tuple(TYPES))
        self._sessions = read_choice(reader, "mode", "session", ("session", "jobs")) == "session"
        variables = _variables(reader, resource, TYPES[kind][1])
        self.read_shared(reader)
        reader.finish()
        self._name = f"{resource} ({kind})"
        self._qrmi = _library(name)
        os.environ.update(variables)
        self._resource = self._call(
            lambda: self._qrmi.QuantumResource(resource, getattr(self._qrmi.ResourceType, TYPES[kind][0]))
        )
        self._stop = threading.Event()
        self._job = Assignment("")
        self._mine: str | None = None
        self._token: str | None = None
        self._told: list[str] = []
        self.look()

    def ask(self) -> tuple[bytes, bytes]:
        text = self._call(lambda: self._resource.target().value)
        try:
            found = json.loads(text)
            return json.dumps(found["configuration"]).encode(), json.dumps(found["properties"]).encode()
        except (ValueError, KeyError, TypeError) as error:
            raise DriverError(f"{self._name}: the target that QRMI gives cannot be read") from error

    def health(self) -> str | None:
        try:
            accessible = self._call(self._resource.is_accessible)
        except DriverError as error:
            return str(error)
        return None if accessible else f"{self._name} is not accessible"

    def assign(self, job: Assignment) -> None:
        self._job = job

    def begin_job(self) -> None:
        self._stop.clear()
        self._begun = False
        self._told = []

    def account(self) -> Sequence[str]:
        return tuple(self._told)

    def run(self, pieces: Sequence[payload.Piece], seed: int | None) -> list[list[Outcome]]:
        self._hold()
        text = payload.params_of(pieces, seed).decode()
        start = self._qrmi.Payload.QiskitPrimitive(input=text, program_id="sampler")
        task = str(self._call(lambda: self._resource.task_start(start)))
        self._begun = True
        self._told.append(f"task {task} of {self._name}")
        status = self._qrmi.TaskStatus
        try:
            found = self._ended(task)
            if found == status.Completed:
                result = self._call(lambda: self._resource.task_result(task).value)
                return payload.outcomes_of(pieces, result.encode())
            what = "was cancelled" if found == status.Cancelled else "failed"
            raise FailedThere(f"task {task} of {self._name} {what}: {self._why(task)}", codes.RUN_FAILED)
        except payload.Unreadable as error:
            raise FailedThere(f"task {task} of {self._name}: {error}", codes.SYSTEM_FAILURE) from error

    def _hold(self) -> None:
        """While a session here has the device, the resource is acquired."""
        if self._job.session != self._mine:
            self._release()
        if self._sessions and self._job.session is not None and self._token is None:
            self._token = str(self._call(self._resource.acquire))
            self._mine = self._job.session

    def _release(self) -> None:
        token, self._token, self._mine = self._token, None, None
        if token is not None:
            self._call(lambda: self._resource.release(token))

    def end_session(self, session: str) -> None:
        if session == self._job.session:
            self._job = Assignment("")
        if session == self._mine:
            self._release()

    def _ended(self, task: str) -> Any:
        """The status with which it ends. One that is not wanted any more is stopped."""
        status = self._qrmi.TaskStatus
        pause = 0.0
        while True:
            if self._stop.wait(pause):
                self._call(lambda: self._resource.task_stop(task))
                raise FailedThere(f"task {task} of {self._name} was stopped", codes.RUN_FAILED)
            found = self._call(lambda: self._resource.task_status(task))
            if found in (status.Completed, status.Failed, status.Cancelled):
                return found
            pause = min(_PAUSES[1], max(_PAUSES[0], 1.5 * pause))

    def cancel(self) -> None:
        """Called in another thread; the thread of `execute` stops its task."""
        self._stop.set()

    def _why(self, task: str) -> str:
        """QRMI has no reason of a failure: the result of a failed task is its error, else there is a log."""
        for ask in (lambda: self._resource.task_result(task).value, lambda: self._resource.task_logs(task)):
            try:
                said = str(self._call(ask)).strip()
            except DriverError:
                continue
            if said:
                return " ".join(said[-_LONGEST_REASON:].split())
        return "QRMI gives no reason"

    def _call(self, ask: Callable[[], T]) -> T:
        """Whatever the library raises is an error of the device: its messages are all that there is."""
        try:
            return ask()
        except Exception as error:
            said = f"{self._name}: {' '.join(str(error).split())[:_LONGEST_REASON] or type(error).__name__}"
            if not self._begun:
                raise NotReached(said) from error
            raise FailedThere(said, codes.SYSTEM_FAILURE) from error


def _library(device: str) -> ModuleType:
    try:
        import qrmi
    except ImportError as error:
        raise DriverError(
            f"device {device!r}: the driver 'qrmi' needs the package qrmi, which is not installed in the "
            "interpreter of the device. Install it there, or name an interpreter that has it with `python`"
        ) from error
    module: ModuleType = qrmi
    return module


def _variables(reader: OptionReader, resource: str, prefix: str) -> dict[str, str]:
    """QRMI's variables for the resource. Raises `DriverError`."""
    allowed = "a table of variables of QRMI with texts, none of which is a secret"
    more = reader.take("variables", (Mapping,), {}, allowed)
    if not all(isinstance(key, str) and isinstance(value, str) for key, value in more.items()):
        raise reader.bad("variables", dict(more), allowed)
    if any(word in key.upper() for key in more for word in ("KEY", "SECRET", "TOKEN", "PASSWORD")):
        raise DriverError(
            f"device {reader.device!r}: a secret does not belong into the configuration; set the variable in "
            "the server's environment, or name a file with 'key_file'"
        )
    found = {f"{resource}_{name}": value for name, value in more.items()}
    told = {
        "ENDPOINT": read_text(reader, "endpoint", "the address of the API of the resource"),
        "IAM_ENDPOINT": read_text(reader, "iam_endpoint", "the address of the exchange of keys"),
        "SERVICE_CRN": read_text(reader, "instance", "the CRN of a project there"),
    }
    session = reader.integer("session_seconds", None, 1, 10 * 366 * 86_400)
    job = reader.integer("job_seconds", None, 1, 604_800)
    told["SESSION_MAX_TTL"] = None if session is None else str(session)
    told["TIMEOUT_SECONDS"] = None if job is None else str(job)
    if {"key_file", "key_env", "key"} & set(reader.options):
        told["IAM_APIKEY"] = read_key(reader)()
    else:
        reader.known += ["key_file", "key_env"]
    given = {name: value for name, value in told.items() if value is not None}
    if given and not prefix:
        raise DriverError(
            f"device {reader.device!r}: a resource of this type is configured by QRMI's own variables; set "
            "them in the server's environment"
        )
    return found | {f"{resource}_{prefix}_{name}": value for name, value in given.items()}
