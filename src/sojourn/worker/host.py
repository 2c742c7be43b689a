"""Holds one device in one process: describes it, prepares jobs for it, runs them. Without I/O.

A preparer and a worker each hold a `DeviceHost` of the same device. Importing this module imports Qiskit but
runs nothing: a process that has run Aer must not be forked.
"""

from __future__ import annotations

import base64
import io
import time
import traceback
import zlib
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any, TypeVar

import msgspec
from qiskit import qpy
from qiskit.circuit import QuantumCircuit
from qiskit.exceptions import QiskitError

from sojourn import codes
from sojourn.devices import conformance
from sojourn.devices.driver import Driver, DriverError, load_driver
from sojourn.devices.offered import settled
from sojourn.worker.programs import registry
from sojourn.worker.programs.base import Plan, Window
from sojourn.worker.programs.device import DeviceContext
from sojourn.worker.programs.sampler import SAMPLER
from sojourn.worker.protocol import messages
from sojourn.worker.protocol.memory import exceeded
from sojourn.worker.protocol.types import (
    CALIBRATE,
    Calibration,
    Completed,
    Description,
    DeviceSpec,
    Failed,
    JobBroke,
    JobRefused,
    Prepared,
)

MAX_REASON = 300  # characters of what Qiskit says of an error that no check foresaw

T = TypeVar("T")


class DeviceHost:
    """One device in this process, with its caches."""

    def __init__(self, spec: DeviceSpec, driver: Driver) -> None:
        self.spec = spec
        self._device = DeviceContext(spec.name, driver, spec.memory, spec.resilience_level)
        self._probes = 0

    @classmethod
    def load(cls, spec: DeviceSpec) -> DeviceHost:
        """Find the driver by its entry point and make the device.

        A driver that is not built in must pass the conformance check. Raises `DriverError` with what is
        wrong and what is allowed.
        """
        driver = load_driver(spec.name, spec.driver, spec.options)
        if not type(driver).__module__.startswith("sojourn.devices."):
            faults = conformance.check(driver)
            if faults:
                raise DriverError(
                    f"device {spec.name!r}: driver {spec.driver!r} does not conform: " + "; ".join(faults)
                )
        return cls(spec, driver)

    def describe(self) -> Description:
        """What the device says of itself, in the client's shapes."""
        facts = self._device.facts
        return Description(facts.num_qubits, facts.configuration, facts.properties, facts.backend_version)

    def apply_calibration(self, properties: bytes) -> None:
        """Take over the calibration whose properties these are (JSON text), for all jobs from now on."""
        self._device.apply_calibration(msgspec.json.decode(properties, type=dict[str, Any]))

    def prepare(self, program_id: str, params: bytes) -> Prepared:
        """Check a job without running it. Raises `JobRefused` with what is wrong, and anything else only when
        the device is at fault: then a plain job fails as well."""
        return self._plan(program_id, params).prepared

    def run(self, program_id: str, params: bytes, at: float | None = None) -> Completed | Failed:
        """Run a job that starts at the service's time `at`; None for the machine's. Whatever is wrong with it
        comes back as `Failed`."""
        self._device.pass_to(time.time() if at is None else at)
        if program_id == CALIBRATE:
            return self._calibrate(params)
        try:
            stages = _Stages()
            plan = self._plan(program_id, params)
            stages.end("reading and checking")
            tasks = self._at_fault(lambda: plan.tasks(self._device))
            stages.end("compiling")
            begun = time.monotonic()
            outcomes, window = plan.execute(self._device, tasks)
            seconds = self._occupied(time.monotonic() - begun, plan.device_seconds())
            stages.end("running")
            if self._device.driver.real_time:
                window = Window(window.start, window.start + timedelta(seconds=seconds))
            result = plan.result(outcomes, window)
            stages.end("writing the result")
            done = [*plan.notes(), *self._device.driver.account(), stages.line()]
            logs = _logs(plan.prepared, done)
            return Completed(result, seconds, logs, self._held(begun, seconds))
        except JobRefused as error:
            return Failed(error.message, error.code, traceback.format_exc())
        except DriverError as error:
            return Failed(str(error), codes.RUN_FAILED, traceback.format_exc())
        except MemoryError:
            reason = exceeded(self.spec.name, self.spec.memory)
            return Failed(reason, codes.OUT_OF_MEMORY, traceback.format_exc())
        except Exception as error:
            reason = " ".join(f"the job failed on the device: {error}".split())
            return Failed(reason, codes.RUN_FAILED, traceback.format_exc())

    def _calibrate(self, params: bytes) -> Completed | Failed:
        """Measure the device anew. The result is its new description, which holds once it is applied."""
        try:
            wanted = msgspec.json.decode(params, type=Calibration)
            begun = time.monotonic()
            driver = self._device.driver
            measured = driver.calibrate(wanted.at, wanted.number)
            facts = settled(measured, self._device.target, driver.meas_levels)
            seconds = self._occupied(time.monotonic() - begun, driver.calibration_seconds)
            found = Description(
                facts.num_qubits, facts.configuration, facts.properties, facts.backend_version
            )
            held = self._held(begun, seconds)
            return Completed(messages.encode_description(found), seconds, held=held)
        except Exception as error:
            reason = f"the device could not be calibrated: {type(error).__name__}: {error}"
            return Failed(reason.splitlines()[0], codes.RUN_FAILED, traceback.format_exc())

    def _occupied(self, ran: float, modelled: float) -> float:
        """The seconds that a run has the device which took the simulation `ran`."""
        return max(ran, modelled) if self._device.driver.real_time else ran

    def _held(self, begun: float, seconds: float) -> float:
        """Keep the device until `seconds` after `begun`, by the monotonic clock. Whoever stops the run kills
        this process, so nothing has to be listened to.

        Returns the seconds that are the server's to pass: all of them where its time is not the machine's.
        """
        if not self._device.driver.real_time:
            return 0.0
        if self.spec.virtual:
            return seconds
        time.sleep(max(0.0, begun + seconds - time.monotonic()))
        return 0.0

    def _plan(self, program_id: str, params: bytes) -> Plan:
        self._device.at = "the job"
        program = registry.find(program_id)
        return self._at_fault(lambda: program.plan(self._device, params))

    def _at_fault(self, look: Callable[[], T]) -> T:
        """What `look` finds in a job. An error that no check foresaw is the job's fault, unless a plain job
        meets it as well."""
        device = self._device
        try:
            return look()
        except (JobRefused, DriverError, MemoryError):
            raise
        except RecursionError as error:
            raise JobRefused(f"{device.at} is nested too deeply") from error
        except BaseException as error:
            if not (isinstance(error, Exception) or _is_panic(error)):
                raise
            at, detail = device.at, traceback.format_exc()
            self._probe()
            words = error.message if isinstance(error, QiskitError) else ""  # those are written for users
            why = f" ({' '.join(words.split())[:MAX_REASON]})" if words else ""
            raise JobBroke(
                f"{at} could not be prepared for {device.name}{why}, while other jobs can. Simplify the "
                "circuit; the operator finds the details in the server's log",
                detail,
            ) from error

    def _probe(self) -> None:
        """Prepare a job that every device can run, past all caches. Raises what it raises."""
        device = self._device
        qubit = next(
            q for q in range(device.num_qubits) if device.target.instruction_supported("measure", (q,))
        )
        self._probes += 1
        circuit = QuantumCircuit(qubit + 1, 1, metadata={"probe": self._probes})
        circuit.measure(qubit, 0)
        file = io.BytesIO()
        qpy.dump(circuit, file)
        value = base64.b64encode(zlib.compress(file.getvalue())).decode()
        pub = [{"__type__": "QuantumCircuit", "__value__": value}, None, 1]
        SAMPLER.plan(device, msgspec.json.encode({"pubs": [pub]})).tasks(device)


def _is_panic(error: BaseException) -> bool:
    """Whether the error is a panic of Qiskit's native code, which is not an `Exception`."""
    return type(error).__name__ == "PanicException"


class _Stages:
    """What the stages of a job took."""

    def __init__(self) -> None:
        self._since = time.monotonic()
        self._taken: list[str] = []

    def end(self, name: str) -> None:
        now = time.monotonic()
        self._taken.append(f"{name} {now - self._since:.3f} s")
        self._since = now

    def line(self) -> str:
        return f"time: {', '.join(self._taken)}"


def _logs(prepared: Prepared, done: Sequence[str]) -> str:
    """The job's own lines of its log. Levels begin them; the server shows those that were asked for."""
    lines = [f"WARNING {warning}" for warning in prepared.warnings] + [
        f"INFO {' '.join(x.split())}" for x in done
    ]
    return "".join(f"{line}\n" for line in lines)
