"""The driver `backend`: a Qiskit `BackendV2` given by its factory.

Options: `factory` (``module:callable``; required), `arguments`, `keywords` and `methods` as in
`construct.py`; `qubits`, for a backend whose target does not say how many it has; `max_circuits` and
`max_shots`, the most in one call, if the backend does not say it itself; `run_options`, for every call of its
``run()``; `seed_option` (``seed_simulator`` if the backend has such an option; "" for none) and `memory`
(whether it is asked for the memory of every shot; by itself if the backend has the option); `on_loss`,
`check` and `cancel_seconds`: the attributes `on_loss`, `check_at_load` and `cancel_seconds` of a driver.

Works with Qiskit 1.0 and later, and imports no simulator.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from qiskit.circuit import QuantumCircuit
from qiskit.transpiler import Target

from sojourn.devices import describe
from sojourn.devices.backend import results
from sojourn.devices.backend.circuits import BackendCircuit
from sojourn.devices.backend.construct import NotMade, made
from sojourn.devices.backend.targets import only_with_angles, served
from sojourn.devices.driver import (
    CallLimits,
    CompiledCircuit,
    Driver,
    DriverError,
    Facts,
    OptionReader,
    Outcome,
    RunCancelled,
    Task,
    fresh_seed,
)

MAX_SHOTS = 1_000_000
SEED = "seed_simulator"
_SEED_LIMIT = 2**31 - 1  # what every simulator takes
_OURS = ("shots", "memory")
_FRACTIONAL = "; programs ask for it with use_fractional_gates=None, as its gates have angles"


class BackendDriver(Driver):
    """Whatever its factory makes, if it is a `BackendV2`."""

    def __init__(self, name: str, options: Mapping[str, Any]) -> None:
        super().__init__(name, options)
        reader = OptionReader(name, "backend", options)
        factory = reader.take("factory", (str,), None, "module:callable")
        arguments = reader.take("arguments", (list, tuple), (), "a list")
        keywords = reader.take("keywords", (Mapping,), {}, "a table")
        methods = reader.take("methods", (list, tuple), (), "a list of tables")
        qubits = reader.integer("qubits", None, 1, 100_000)
        circuits = reader.integer("max_circuits", None, 1, 1_000_000)
        shots = reader.integer("max_shots", None, 1, 1_000_000_000)
        run_options = reader.take("run_options", (Mapping,), {}, "a table")
        seed_option = reader.take("seed_option", (str,), None, "the name of an option, or the empty string")
        memory = reader.take("memory", (bool,), None, "true or false")
        on_loss = reader.take("on_loss", (str,), "rerun", "rerun or fail")
        self.check_at_load = bool(reader.take("check", (bool,), True, "true or false"))
        seconds = reader.take("cancel_seconds", (int, float), 0.0, "seconds from 0 to 3600")
        reader.finish()
        if factory is None:
            raise reader.bad("factory", None, "module:callable, such as qiskit_aer:AerSimulator")
        if on_loss not in ("rerun", "fail"):
            raise reader.bad("on_loss", on_loss, "rerun or fail")
        if not 0 <= seconds <= 3600:
            raise reader.bad("cancel_seconds", seconds, "seconds from 0 to 3600")
        clash = [key for key in run_options if key in _OURS]
        if clash:
            raise reader.bad("run_options", clash[0], f"an option of run() other than {' and '.join(_OURS)}")
        self.on_loss = "fail" if on_loss == "fail" else "rerun"
        self.cancel_seconds = float(seconds)
        self._job: Any = None
        self._cancelled = False
        self._made_up = 0
        try:
            self._backend = made(factory, arguments, keywords, methods)
        except NotMade as error:
            raise DriverError(f"device {name!r}: {error}") from error
        self._check_kind(factory)
        known = _options_of(self._backend)
        self._seed_option = (SEED if SEED in known else "") if seed_option is None else seed_option
        self.seeded = bool(self._seed_option)
        self._ask_memory = "memory" in known if memory is None else memory
        self._run_options = dict(run_options)
        self._limits = CallLimits(
            shots=shots or _number(getattr(self._backend, "max_shots", None)) or _highest(known, "shots"),
            circuits=circuits or _number(getattr(self._backend, "max_circuits", None)),
        )
        self._target, self._facts = self._described(qubits)

    def _check_kind(self, factory: str) -> None:
        kind = type(self._backend).__name__
        for member in ("run", "target"):
            if not hasattr(self._backend, member):
                raise DriverError(
                    f"device {self.name!r}: {factory} gives a {kind}, which has no {member!r}; "
                    "it must be a BackendV2"
                )

    def _described(self, qubits: int | None) -> tuple[Target, Facts]:
        """The target as it is served, and what is said of the device."""
        backend = self._backend
        try:
            found = served(backend.target, qubits)
        except ValueError as error:
            raise DriverError(
                f"device {self.name!r}: {error}. Its option 'qubits' says how many are served"
                if backend.target.num_qubits is None
                else f"device {self.name!r}: {error}"
            ) from error
        version = str(getattr(backend, "backend_version", None) or "1.0.0")
        said = str(getattr(backend, "description", None) or getattr(backend, "name", None) or "A backend")
        hint = _FRACTIONAL if only_with_angles(found.target) else ""
        configuration = describe.configuration(
            self.name,
            found.target,
            version=version,
            description=" ".join(said.split())[:300] + hint,
            max_shots=self._limits.shots or MAX_SHOTS,
        )
        date = getattr(backend, "online_date", None)
        if date is not None and hasattr(date, "isoformat"):
            configuration["online_date"] = date.isoformat()
        properties = describe.properties(self.name, found.target, version=version)
        return found.target, Facts(found.target.num_qubits, configuration, properties, version)

    @property
    def target(self) -> Target:
        return self._target

    def facts(self) -> Facts:
        return self._facts

    def limits(self) -> CallLimits:
        return self._limits

    def compile(self, circuit: QuantumCircuit) -> CompiledCircuit:
        return BackendCircuit(circuit)

    # runs

    def begin_job(self) -> None:
        self._made_up = 0

    def account(self) -> Sequence[str]:
        if not self._made_up:
            return ()
        return [
            f"{self.name} gives counts and no memory: the order of the shots of {self._made_up} circuits "
            "is made up"
        ]

    def execute(self, tasks: Sequence[Task], *, seed: int | None, memory: bool) -> list[list[Outcome]]:
        """A call of the backend's ``run()`` for each number of shots, and each the most circuits that it
        takes. Parameters are bound before. Raises `DriverError` for what fails there."""
        self._cancelled = False
        random = np.random.default_rng(fresh_seed() if seed is None else seed)
        found: list[list[Outcome | None]] = [[None] * len(task.values) for task in tasks]
        waiting: dict[int, list[tuple[int, int]]] = {}
        for index, task in enumerate(tasks):
            circuit = task.circuit
            assert isinstance(circuit, BackendCircuit)
            for point in range(len(task.values)):
                if circuit.measured:
                    waiting.setdefault(task.shots, []).append((index, point))
                else:  # there is nothing to run, and backends refuse such a circuit
                    found[index][point] = results.zeros(circuit.layout, task.shots)
        total = sum(map(len, waiting.values()))
        done = 0
        for shots, group in waiting.items():
            for places in _parts(group, self._limits.circuits):
                given = seed if not done else int(random.integers(_SEED_LIMIT)) if seed is not None else None
                circuits = [_bound(tasks[index], point) for index, point in places]
                data = self._run(circuits, shots, given)
                for (index, point), each in zip(places, data, strict=True):
                    found[index][point] = self._outcome(tasks[index], each, random, memory=memory)
                done += len(places)
                self.progress(done / total, f"{done} of {total} circuits")
        return [[_there(outcome) for outcome in outcomes] for outcomes in found]

    def _outcome(self, task: Task, data: object, random: np.random.Generator, *, memory: bool) -> Outcome:
        assert isinstance(task.circuit, BackendCircuit)
        layout = task.circuit.layout
        try:
            found, made_up = results.outcome(data, layout, task.shots, random, memory=memory)
        except results.Unreadable as error:
            said = f"the backend of {self.name} gave a result that cannot be right: {error}"
            raise results.Unreadable(said) from None
        self._made_up += made_up
        return task.circuit.whole(found)

    def _run(self, circuits: list[QuantumCircuit], shots: int, seed: int | None) -> list[object]:
        """The data of each circuit's experiment."""
        options: dict[str, Any] = {**self._run_options, "shots": shots}
        if self._ask_memory:
            options["memory"] = True
        if seed is not None and self._seed_option:
            options[self._seed_option] = seed % (_SEED_LIMIT + 1)
        with self._asking():
            job = self._backend.run(circuits, **options)
        result = job
        if callable(getattr(job, "result", None)):  # else it is the result itself
            self._job = job
            if self._cancelled:  # it came while there was no job to cancel
                self.cancel()
            try:
                with self._asking():
                    result = job.result()
            finally:
                self._job = None
        if self._cancelled:
            raise RunCancelled(f"{self.name} was asked to stop")
        return self._experiments(result, len(circuits))

    @contextlib.contextmanager
    def _asking(self) -> Iterator[None]:
        """What the backend raises is said as its own."""
        try:
            yield
        except (DriverError, MemoryError):
            raise
        except Exception as error:
            if self._cancelled:
                raise RunCancelled(f"{self.name} was asked to stop") from error
            said = " ".join(str(getattr(error, "message", None) or error).split())
            kind = type(error).__name__
            raise DriverError(f"the backend of {self.name} failed: {kind}: {said[:1000]}") from error

    def _experiments(self, result: Any, expected: int) -> list[object]:
        if getattr(result, "success", True) is False:
            raise DriverError(f"the backend of {self.name} failed: {_why(result)}")
        found = getattr(result, "results", None)
        if not isinstance(found, list | tuple) or len(found) != expected:
            count = len(found) if isinstance(found, list | tuple) else 0
            raise results.Unreadable(
                f"the backend of {self.name} gave {count} results for {expected} circuits"
            )
        for number, each in enumerate(found):
            if getattr(each, "success", True) is False:
                raise DriverError(f"the backend of {self.name} failed at circuit {number}: {_status(each)}")
        return [getattr(each, "data", None) for each in found]

    def cancel(self) -> None:
        self._cancelled = True
        job = self._job
        if job is not None:
            job.cancel()

    # the device

    def health(self) -> str | None:
        """What the backend's own ``status()`` says, if it has one."""
        status = getattr(self._backend, "status", None)
        if not callable(status):
            return None
        said = status()
        if getattr(said, "operational", True):
            return None
        return f"its backend is not operational: {getattr(said, 'status_msg', '') or 'it does not say why'}"

    def calibrate(self, at: str, number: int) -> Facts:
        """Reads the target anew: its errors and durations are what the backend says by now."""
        del number
        refresh = getattr(self._backend, "refresh", None)
        if callable(refresh):
            with self._asking():
                refresh()
        try:
            found = served(self._backend.target, self._target.num_qubits).target
        except ValueError as error:
            raise DriverError(f"{self.name}: {error}") from error
        if _shape(found) != _shape(self._target):
            raise DriverError(
                f"{self.name} has other instructions than before; restart the server, or its worker, to "
                "serve them"
            )
        properties = describe.properties(self.name, found, version=self._facts.backend_version, date=at)
        return replace(self._facts, properties=properties)

    def apply_calibration(self, properties: Mapping[str, Any]) -> None:
        """Shown as they are, if they can be this device's. What the backend runs under is its own matter."""
        if len(properties.get("qubits", ())) == self._facts.num_qubits:
            self._facts = replace(self._facts, properties={**properties, "backend_name": self.name})


def _bound(task: Task, point: int) -> QuantumCircuit:
    assert isinstance(task.circuit, BackendCircuit)
    return task.circuit.bound(task.values[point])


def _there(outcome: Outcome | None) -> Outcome:
    assert outcome is not None, "each was run or has nothing to run"
    return outcome


def _parts(places: Sequence[tuple[int, int]], limit: int | None) -> Iterator[Sequence[tuple[int, int]]]:
    size = limit or len(places)
    for start in range(0, len(places), size):
        yield places[start : start + size]


def _options_of(backend: Any) -> Mapping[str, Any]:
    """The options of its ``run()``, with what is known of their bounds."""
    options = getattr(backend, "options", None)
    if options is None:
        return {}
    names = [name for name in (SEED, "memory", "shots") if hasattr(options, name)]
    bounds = getattr(options, "validator", None)
    bounds = bounds if isinstance(bounds, Mapping) else {}
    return {name: bounds.get(name) for name in names}


def _highest(known: Mapping[str, Any], name: str) -> int | None:
    bounds = known.get(name)
    return _number(bounds[1]) if isinstance(bounds, tuple) and len(bounds) == 2 else None


def _number(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else None


def _why(result: Any) -> str:
    """What a result that failed says, of the job and of the first circuit that did."""
    made = getattr(result, "results", None) or ()
    failed = [_status(each) for each in made if getattr(each, "success", True) is False]
    said = [str(getattr(result, "status", None) or ""), *failed[:1]]
    words = dict.fromkeys(" ".join(text.split())[:500] for text in said if text)
    return "; ".join(words) or "it does not say why"


def _status(experiment: Any) -> str:
    return " ".join(str(getattr(experiment, "status", None) or "it does not say why").split())[:500]


def _shape(target: Target) -> object:
    """What a calibration cannot change."""
    return target.num_qubits, {
        name: None if target[name] is None else frozenset(target[name]) for name in target.operation_names
    }
