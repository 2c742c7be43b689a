"""Holds one device in one process: describes it, prepares jobs for it, runs them. Without I/O.

A preparer and a worker each hold a `DeviceHost` of the same device. Importing this module imports Qiskit but
runs nothing: a process that has run Aer must not be forked.
"""

from __future__ import annotations

import base64
import io
import math
import time
import traceback
import zlib
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from itertools import islice
from typing import Any, TypeVar

import msgspec
from qiskit import qpy
from qiskit.circuit import QuantumCircuit
from qiskit.exceptions import QiskitError

from sojourn import codes
from sojourn.devices import conformance
from sojourn.devices.calls import trusted
from sojourn.devices.driver import Assignment, Driver, DriverError, NotReached, RunCancelled, load_driver
from sojourn.worker import descriptions
from sojourn.worker.programs import registry
from sojourn.worker.programs.base import Plan, Window
from sojourn.worker.programs.device import DeviceContext
from sojourn.worker.programs.sampler import SAMPLER
from sojourn.worker.protocol import messages
from sojourn.worker.protocol.memory import exceeded
from sojourn.worker.protocol.types import (
    CALIBRATE,
    CHECK,
    Calibration,
    Completed,
    Description,
    DeviceAway,
    DeviceSpec,
    Failed,
    JobBroke,
    JobRefused,
    Prepared,
    Traits,
)

MAX_REASON = 300  # characters of what Qiskit says of an error that no check foresaw
MOST_SENTENCES, LONGEST_SENTENCE = 100, 1000  # of what a driver says of its work

T = TypeVar("T")


class DeviceHost:
    """One device in this process, with its caches."""

    def __init__(self, spec: DeviceSpec, driver: Driver) -> None:
        self.spec = spec
        self._device = self._look_at(driver)
        self._probes = 0
        self._misfit: str | None = None  # why it does not conform, once that was found
        self.notify: Callable[[float, str], None] | None = None
        """Told how far the present run is."""

    @classmethod
    def load(cls, spec: DeviceSpec) -> DeviceHost:
        """Find the driver by its entry point and make the device.

        In the process that runs jobs the device is opened, and a driver that is not built in must pass the
        conformance check, as must any that has failed it lately. Raises `DriverError` with what is wrong and
        what is allowed.
        """
        driver = load_driver(spec.name, spec.driver, spec.options)
        if spec.runs:
            driver.open()
            if spec.recheck or (driver.check_at_load and not trusted(driver)):
                report = conformance.examine(driver)
                if not report.passed:
                    raise DriverError(_does_not_conform(spec, report))
        return cls(spec, driver)

    def describe(self) -> Description:
        """What the device says of itself, in the client's shapes. Raises `DriverError` when a device that
        changes cannot be asked."""
        self._renew()
        facts = self._device.facts
        driver = self._device.driver
        traits = Traits(
            reruns=driver.on_loss != "fail",
            cancel_seconds=driver.cancel_seconds,
            asks_health=type(driver).health is not Driver.health,
            renew=driver.refresh_seconds,
        )
        told = Description(
            facts.num_qubits, facts.configuration, facts.properties, facts.backend_version, traits
        )
        descriptions.check_foreign(driver, told)
        return told

    def assign(self, job: str, session: str | None) -> None:
        """The job that is run next, and the session that it is in."""
        self._device.driver.assign(Assignment(job, session))

    def end_session(self, session: str) -> None:
        """This session does not have the device any more."""
        self._device.driver.end_session(session)

    def _look_at(self, driver: Driver) -> DeviceContext:
        return DeviceContext(self.spec.name, driver, self.spec.memory, self.spec.resilience_level)

    def _renew(self) -> None:
        """What is known of a device that has changed is forgotten: its target, and the circuits for it."""
        driver = self._device.driver
        if driver.refresh():
            self._device = self._look_at(driver)

    def apply_calibration(self, properties: bytes) -> None:
        """Take over the calibration whose properties these are (JSON text), for all jobs from now on."""
        self._device.apply_calibration(msgspec.json.decode(properties, type=dict[str, Any]))

    def prepare(self, program_id: str, params: bytes) -> Prepared:
        """Check a job without running it. Raises `JobRefused` with what is wrong, and anything else only when
        the device is at fault: then a plain job fails as well."""
        with suppress(DriverError):  # it is checked against what was known last
            self._renew()
        return self._plan(program_id, params).prepared

    def run(self, program_id: str, params: bytes, at: float | None = None) -> Completed | Failed:
        """Run a job that starts at the service's time `at`; None for the machine's. Whatever is wrong with it
        comes back as `Failed`. Raises `DeviceAway` when the device cannot be reached, and nothing has run."""
        self._device.pass_to(time.time() if at is None else at)
        if program_id == CALIBRATE:
            return self._calibrate(params)
        if program_id == CHECK:
            return self._check()
        self._device.progress = self.notify
        try:
            with suppress(DriverError):  # `execute` meets what is wrong
                self._renew()
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
            driver = self._device.under(plan.conditions).driver
            done = [*plan.notes(), *_account(driver), stages.line()]
            logs, held = _logs(plan.prepared, done), self._held(begun, seconds)
            return Completed(result, seconds, logs, used=self._used(), held=held)
        except JobRefused as error:
            return Failed(error.message, error.code, traceback.format_exc())
        except NotReached as error:
            raise DeviceAway(str(error)) from error
        except RunCancelled as error:
            return Failed(f"the run was cancelled: {error}", codes.RUN_FAILED)
        except DriverError as error:
            used = 0.0 if error.code == codes.SYSTEM_FAILURE else self._used()
            return Failed(str(error), error.code, traceback.format_exc(), used=used)
        except MemoryError:
            reason = exceeded(self.spec.name, self.spec.memory)
            return Failed(reason, codes.OUT_OF_MEMORY, traceback.format_exc())
        except BaseException as error:  # a driver raises what it likes, and native code panics
            kind = "" if isinstance(error, Exception) else f"{type(error).__name__}: "
            reason = " ".join(f"the job failed on the device: {kind}{error}".split())
            return Failed(reason, codes.RUN_FAILED, traceback.format_exc())

    def _calibrate(self, params: bytes) -> Completed | Failed:
        """Measure the device anew. The result is its new description, which holds once it is applied."""
        try:
            wanted = msgspec.json.decode(params, type=Calibration)
            begun = time.monotonic()
            driver = self._device.driver
            measured = driver.calibrate(wanted.at, wanted.number)
            facts = self._device.served(measured)
            seconds = self._occupied(time.monotonic() - begun, driver.calibration_seconds)
            found = Description(
                facts.num_qubits, facts.configuration, facts.properties, facts.backend_version
            )
            descriptions.check_foreign(driver, found)
            held = self._held(begun, seconds)
            return Completed(messages.encode_description(found), seconds, held=held)
        except Exception as error:
            reason = f"the device could not be calibrated: {type(error).__name__}: {error}"
            return Failed(reason.splitlines()[0], codes.RUN_FAILED, traceback.format_exc())

    def _used(self) -> float | None:
        """What the device says it has worked for the job: nothing else counts then."""
        said = self._device.driver.device_seconds()
        return None if said is None or not math.isfinite(said) else max(0.0, said)

    def _check(self) -> Completed | Failed:
        """Run the conformance check. A device that fails it is not to run jobs: see `health`."""
        begun = time.monotonic()
        report = conformance.examine(self._device.driver)
        seconds = time.monotonic() - begun
        self._misfit = None if report.passed else _does_not_conform(self.spec, report)
        return Completed(msgspec.json.encode(report), seconds)

    def health(self) -> tuple[str | None, bool]:
        """Why the device cannot take a job now, if so; and whether only a new worker can, which checks it
        anew before it serves it."""
        if self._misfit is not None:
            return self._misfit, True
        try:
            said = self._device.driver.health()
        except Exception as error:
            return f"its driver cannot say how it is: {type(error).__name__}: {error}", False
        return (None, False) if said is None else (" ".join(str(said).split()), False)

    def cancel(self) -> None:
        """Ask the driver to stop the run that is under way. Called in another thread."""
        try:
            self._device.driver.cancel()
        except Exception:  # the process is killed then
            traceback.print_exc()

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
        plan = self._at_fault(lambda: program.plan(self._device, params))
        if plan.seed is not None and not self._device.driver.seeded:
            said = f"the seed of the job is of no effect: runs on {self._device.name} cannot be repeated"
            plan.prepared = replace(plan.prepared, warnings=(*plan.prepared.warnings, said))
        return plan

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


def _does_not_conform(spec: DeviceSpec, report: conformance.Report) -> str:
    return f"device {spec.name!r}: driver {spec.driver!r} does not conform: {report.summary()}"


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
        self._taken.append(f"{name} {now - self._since:.4f} s")
        self._since = now

    def line(self) -> str:
        return f"time: {', '.join(self._taken)}"


def _logs(prepared: Prepared, done: Sequence[str]) -> str:
    """The job's own lines of its log. Levels begin them; the server shows those that were asked for."""
    lines = [f"WARNING {warning}" for warning in prepared.warnings] + [
        f"INFO {' '.join(x.split())}" for x in done
    ]
    return "".join(f"{line}\n" for line in lines)


def _account(driver: Driver) -> list[str]:
    """What the driver says of its work, within bounds. That it cannot say it costs no result."""
    try:
        said = [str(sentence)[:LONGEST_SENTENCE] for sentence in islice(driver.account(), MOST_SENTENCES)]
    except Exception as error:
        return [f"the driver cannot say what it did: {type(error).__name__}: {error}"[:LONGEST_SENTENCE]]
    return said
