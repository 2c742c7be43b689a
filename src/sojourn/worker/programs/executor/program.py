"""The program `executor`: runs quantum programs, to which newer clients turn what their users ask for.

Of every item the template is compiled once, and the values of all its randomisations go to the device in one
task. Randomisations are drawn when the job runs; when it is submitted, one is drawn to see that it can be.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from hashlib import blake2b
from time import monotonic
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from sojourn.devices.conditions import USUAL, Conditions, Errors
from sojourn.devices.driver import CompiledCircuit, Outcome, Task, fresh_seed
from sojourn.worker.codec import decode, qpy
from sojourn.worker.codec.decode import Budget
from sojourn.worker.programs.base import Plan, Program, Window, Work
from sojourn.worker.programs.conditions import (
    SIGNAL_LEVELS,
    TIMING,
    UNTOLD,
    Compilation,
    compilation,
    conditions_of,
    suffix,
)
from sojourn.worker.programs.device import MAX_POINTS, Circuit, DeviceContext
from sojourn.worker.programs.executor import older, result, samplex, schema
from sojourn.worker.programs.executor.forms import CURRENT, Form
from sojourn.worker.programs.executor.result import Part
from sojourn.worker.programs.executor.samplex import Drawn, Extra, Randomisation
from sojourn.worker.programs.fields import Register, encoded_size, registers_of
from sojourn.worker.programs.options import Option, Options, Settings, empty, exactly, rep_delay
from sojourn.worker.programs.tally import Tally
from sojourn.worker.protocol.types import JobRefused, Prepared

MAX_VALUES = 2**27
"""Parameter values of a job, over all circuits and points: a gigabyte."""

MAX_CHUNKS = 10_000
MAX_TRIALS = 1000
"""Points of a samplex item that are looked at when it is submitted, some seconds of drawing; the others are
when it runs."""

SAMPLER_ROLE = "sampler_v2"
"""What the client's `Sampler` sends, whatever the examples of the schema say."""


@dataclass(frozen=True, slots=True)
class Fixed:
    """The points of a circuit item, (elements, parameters)."""

    values: NDArray[np.float64]
    extras: tuple[Extra, ...] = ()

    def draw(self, rng: np.random.Generator, where: str) -> Drawn:
        del rng, where
        return Drawn(self.values, {})


@dataclass(frozen=True, slots=True)
class Sampled:
    """The elements of a samplex item."""

    randomisation: Randomisation

    @property
    def extras(self) -> tuple[Extra, ...]:
        return self.randomisation.samplex.extras

    def draw(self, rng: np.random.Generator, where: str) -> Drawn:
        return self.randomisation.draw(rng, where)


@dataclass(frozen=True, slots=True)
class Item:
    """A checked item. `chunk` is how many elements run together; None for all."""

    where: str
    circuit: Circuit
    shape: tuple[int, ...]
    registers: tuple[Register, ...]
    source: Fixed | Sampled
    chunk: int | None
    told: Compilation = UNTOLD

    @property
    def size(self) -> int:
        return math.prod(self.shape)

    def compiled(self, device: DeviceContext) -> CompiledCircuit:
        return device.compiled(self.key, lambda: self.circuit.circuit, self.where)

    @property
    def key(self) -> tuple[Any, ...]:
        return (self.circuit.key, "executor")


def tried(
    device: DeviceContext, circuit: Circuit, randomisation: Randomisation, where: str
) -> NDArray[np.float64]:
    """(points, parameters): a randomisation of each point, drawn to see that it can be drawn and run. Raises
    `JobRefused`."""
    randomisation.check(device.memory, where)
    # values that decide something are those that the samplex passes through; they are the same each time
    decide = bool(circuit.checked.bounded or circuit.timing.timed or circuit.checked.angles.entries)
    points = randomisation.trial(MAX_TRIALS if decide else 1, where)
    device.check_points(circuit, points, where)
    return points


class ExecutorPlan(Plan):
    """A checked executor job."""

    def __init__(
        self,
        prepared: Prepared,
        items: list[Item],
        program: schema.QuantumProgram,
        form: Form = CURRENT,
        conditions: Conditions = USUAL,
        seed: int | None = None,
    ) -> None:
        """A `seed` fixes the randomisations and the shots."""
        super().__init__(prepared, [], seed, memory=True, conditions=conditions)
        self._items = items
        self._program = program
        self._form = form
        self._drawn: list[Drawn] = []
        self._spans: list[tuple[Window, Sequence[Part]]] = []
        self._random = np.random.default_rng()

    @property
    def drawn(self) -> Sequence[Drawn]:
        """What was drawn for each item when it was compiled."""
        return self._drawn

    def fix(self, seed: int | None) -> None:
        """Take a job's own seed for the randomisations and the shots; None leaves it to the device."""
        self._seed = seed

    def tasks(self, device: DeviceContext) -> list[Task]:
        """A task for each part of a chunk. A seed of the job or the device fixes the randomisations too."""
        seed = device.driver.options.get("seed") if self._seed is None else self._seed
        fixed = isinstance(seed, int) and not isinstance(seed, bool) and seed >= 0
        self._random = np.random.default_rng(seed if fixed else fresh_seed())
        self._drawn = [item.source.draw(self._random, item.where) for item in self._items]
        for item, drawn in zip(self._items, self._drawn, strict=True):
            if isinstance(item.source, Sampled):
                device.check_points(item.circuit, drawn.values, item.where)
        running = device.under(self.conditions)
        compiled = [item.compiled(running) for item in self._items]
        return [
            Task(
                compiled[part.item],
                self._drawn[part.item].values[part.start : part.stop],
                self._program.shots,
            )
            for parts in _chunks(self._items)
            for part in parts
        ]

    def execute(self, device: DeviceContext, tasks: Sequence[Task]) -> tuple[list[list[Outcome]], Window]:
        """Run chunk by chunk: one list of outcomes for each item."""
        device.under(self.conditions).driver.begin_job()
        return self.run(device, tasks)

    def run(self, device: DeviceContext, tasks: Sequence[Task]) -> tuple[list[list[Outcome]], Window]:
        """As `execute`, for a part of a job that has begun."""
        outcomes: list[list[Outcome]] = [[] for _ in self._items]
        device = device.under(self.conditions)
        begun, clock = datetime.now(UTC), monotonic()  # the clock's time may be set meanwhile
        start = begun
        waiting = iter(tasks)
        self._spans = []
        for parts in _chunks(self._items):
            some = [next(waiting) for _ in parts]
            # a seed for each: equal ones would give the same shots to every chunk
            seed = int(self._random.integers(2**31))
            found = device.execute(some, seed=seed, memory=True)
            for part, points in zip(parts, found, strict=True):
                outcomes[part.item].extend(points)
            stop = begun + timedelta(seconds=monotonic() - clock)
            self._spans.append((Window(start, stop), parts))
            start = stop
        return outcomes, Window(begun, start)

    def notes(self) -> Sequence[str]:
        drawn = sum(item.size for item in self._items if isinstance(item.source, Sampled))
        return [
            f"executor {self._form.version}: {len(self._items)} items, "
            f"{sum(item.size for item in self._items)} circuits, of which {drawn} drawn by a samplex"
        ]

    def result(self, outcomes: list[list[Outcome]], window: Window) -> bytes:
        made = []
        for item, drawn, points in zip(self._items, self._drawn, outcomes, strict=True):
            results = {
                name: result.tensor(values.reshape(*item.shape, *values.shape[1:]), self._form)
                for name, values in drawn.extras.items()
            }
            for register in item.registers:
                results |= self._register(item, register, points)
            made.append({"results": results, "metadata": result.metadata(item.told, self._form)})
        return result.text(
            made,
            result.within(self._spans, window),
            [len(item.shape) for item in self._items],
            self._program.passthrough_data,
            self._program.semantic_role,
            self._form,
        )

    def _register(self, item: Item, register: Register, points: list[Outcome]) -> dict[str, Any]:
        """The bits and the signals of a register, as the level of measurement has them."""
        level = self.conditions.level
        found: dict[str, Any] = {}
        if level not in SIGNAL_LEVELS:
            clbits, shots = item.circuit.circuit.num_clbits, self._program.shots
            found[register.name] = result.bits(points, register, clbits, item.shape, shots, self._form)
        if level != "classified":
            found[register.name + suffix(level)] = result.signals(points, register, item.shape)
        return found


class Executor(Program):
    """`Executor` of the client, and its `Sampler` and `Estimator` that prepare in the client."""

    name = "executor"
    inputs = schema.MEMBERS
    options = Options(
        name,
        Option("init_qubits", "honoured", "true or false", exactly(True, False)),
        Option("rep_delay", "honoured", "seconds within the device's rep_delay_range", rep_delay),
        *(
            Option(f"{place}{timing}", "honoured", "true or false", exactly(True, False))
            for place in ("", "experimental.execution.")
            for timing in TIMING
        ),
        Option("experimental", "refused", "{} or null", empty),
    )

    def plan(self, device: DeviceContext, params: bytes, errors: Errors | None = None) -> ExecutorPlan:
        """Check an executor job. `errors` are those of its simulation, where it is a part of a job that has a
        noise model. Raises `JobRefused`."""
        members = schema.read_members(params)
        form = schema.form_of(members)
        given = decode.read_any(members["options"], "params.options") if "options" in members else {}
        settings = self.options.read(given, device.limits)
        _fits_version(given or {}, form)
        budget = Budget()
        program, files = _read(members["quantum_program"], form, budget)
        if program.shots > device.max_shots:
            raise JobRefused(
                f"params.quantum_program.shots is {program.shots}; the limit of {device.name} is "
                f"{device.max_shots} per circuit"
            )
        checking = _Checking(device, program, form, settings, budget, errors)
        for index, (item, content) in enumerate(zip(program.items, files, strict=True)):
            checking.add(item, content, f"items[{index}]")
        prepared = checking.tally.prepared(max(i.circuit.circuit.num_qubits for i in checking.items))
        return ExecutorPlan(prepared, checking.items, program, form, checking.conditions)


class _Checking:
    """Goes through the items of a job, and adds up what they take."""

    def __init__(
        self,
        device: DeviceContext,
        program: schema.QuantumProgram,
        form: Form,
        settings: Settings,
        budget: Budget,
        errors: Errors | None,
    ) -> None:
        self.budget = budget
        asked = conditions_of(device, settings, self.budget, program.meas_level)
        self.conditions = asked if errors is None else replace(asked, errors=errors)
        if self.conditions.level != "classified" and form != CURRENT:
            raise JobRefused(
                f"params.quantum_program.meas_level is {self.conditions.level!r}; results of schema "
                f"{CURRENT.version} only have signals, and this job is of {form.version}. Use a newer client"
            )
        self._running = device.under(self.conditions)
        self.tally = Tally(self._running, settings)
        self.items: list[Item] = []
        self._device = device
        self._settings = settings
        self._program = program
        self._form = form
        self._values = self._chunks = 0
        self.tally.result(1000 + len(bytes(program.passthrough_data)) + 6 * len(program.semantic_role or ""))

    def add(self, given: schema.Item, content: bytes, where: str) -> None:
        """Raises `JobRefused`."""
        circuit = self._device.circuit_file(content, f"{where}: the circuit")
        self.tally.warnings.extend(f"{where}: {warning}" for warning in circuit.timing.warnings)
        registers = self._registers(circuit, where)
        self._device.at = where
        source: Fixed | Sampled
        if isinstance(given, schema.CircuitItem):
            shape, source, points, times = self._fixed(circuit, given, where)
        else:
            shape, source, points, times = self._sampled(circuit, given, where)
        chunk = None if given.chunk_size == "auto" else given.chunk_size
        told = compilation(self._device, circuit, self._settings, where)
        item = Item(where, circuit, shape, registers, source, chunk, told)
        self._count(item, points, times)
        self.items.append(item)

    def _registers(self, circuit: Circuit, where: str) -> tuple[Register, ...]:
        if self._program.semantic_role == SAMPLER_ROLE:
            registers = self._device.fields(circuit, where).registers  # of which the client makes fields
        else:
            registers = registers_of(circuit.circuit)
        if not registers:
            self.tally.warnings.append(f"{where}: the circuit has no classical register, so it gives no bits")
        elif not circuit.checked.measured:
            self.tally.warnings.append(f"{where}: the circuit has no measurement, so every bit is 0")
        return registers

    def _fixed(
        self, circuit: Circuit, given: schema.CircuitItem, where: str
    ) -> tuple[tuple[int, ...], Fixed, NDArray[np.float64], int]:
        at = f"{where}.circuit_arguments"
        if given.circuit_arguments.dtype != "f64":
            raise JobRefused(f"{at}.dtype is {given.circuit_arguments.dtype[:40]!r}; it must be f64")
        values = given.circuit_arguments.array(at, self.budget, self._form)
        count = circuit.num_parameters
        if not values.ndim or values.shape[-1] != count:
            raise JobRefused(
                f"{at} has the shape {list(values.shape)}; its last axis must run over the circuit's {count} "
                "parameters"
            )
        if not np.isfinite(values).all():
            raise JobRefused(f"{at} has NaN or infinite values")
        own = schema.checked_shape(given.shape, f"{where}.shape")
        try:
            shape = np.broadcast_shapes(own, values.shape[:-1])
        except ValueError:
            raise JobRefused(
                f"{where}.shape is {list(own)}, and the circuit_arguments have the shape "
                f"{list(values.shape[:-1])} over their points; they do not broadcast"
            ) from None
        self._bounded(shape, count, where)
        points = values.reshape(-1, count) if count else np.zeros((math.prod(values.shape[:-1]), 0))
        self._device.check_points(circuit, points, at)
        whole = np.broadcast_to(values, (*shape, count)).reshape(math.prod(shape), count)
        return shape, Fixed(whole), points, math.prod(shape) // max(len(points), 1)

    def _sampled(
        self, circuit: Circuit, given: schema.SamplexItem, where: str
    ) -> tuple[tuple[int, ...], Sampled, NDArray[np.float64], int]:
        if self._form.ssv and given.samplex.ssv > self._form.ssv:
            raise JobRefused(
                f"{where}.samplex.ssv is {given.samplex.ssv}; schema {self._form.version} has the versions "
                f"1 to {self._form.ssv} of a samplex"
            )
        text = given.samplex.samplex_json.encode()
        key = ("samplex", given.samplex.ssv, blake2b(text, digest_size=20).digest())
        read: samplex.Samplex = self._device.recall(
            key, lambda: (samplex.load(given.samplex, f"{where}.samplex"), 4096 + 10 * len(text))
        )
        if read.num_values != circuit.num_parameters:
            raise JobRefused(
                f"{where}: the samplex gives {read.num_values} parameter values, the circuit has "
                f"{circuit.num_parameters} parameters"
            )
        arguments = {
            name: schema.read_argument(
                value, f"{where}.samplex_arguments[{name[:60]!r}]", self.budget, self._form
            )
            for name, value in given.samplex_arguments.items()
        }
        randomisation = read.bind(arguments, given.shape, where)
        self._bounded(randomisation.shape, circuit.num_parameters, where)
        points = tried(self._device, circuit, randomisation, where)
        return randomisation.shape, Sampled(randomisation), points, randomisation.times

    def _bounded(self, shape: tuple[int, ...], parameters: int, where: str) -> None:
        size = math.prod(shape)
        if not size:
            raise JobRefused(f"{where} has the shape {list(shape)}, which holds no points to run")
        if size > MAX_POINTS:
            raise JobRefused(
                f"{where} has the shape {list(shape)}, which is {size} circuits (points x randomisations); "
                f"the limit is {MAX_POINTS}"
            )
        self._values += size * parameters
        if self._values > MAX_VALUES:
            raise JobRefused(
                f"{where}: the circuits up to here have {self._values} parameter values together; the limit "
                f"is {MAX_VALUES}. Split the job"
            )

    def _count(self, item: Item, points: NDArray[np.float64], times: int) -> None:
        shots, tally = self._program.shots, self.tally
        names = self._names(item)
        sizes = [result.size_of((item.size, *e.shape), self._form.kind(e.dtype)) for e in item.source.extras]
        sizes += [size for r in item.registers for size in self._sizes(item, r)]
        names += [extra.name for extra in item.source.extras]
        tally.result(sum(200 + 6 * len(name) for name in names) + sum(map(encoded_size, sizes)))
        tally.result(item.told.size)
        count = 1 if item.chunk is None else -(-item.size // item.chunk)
        tally.result(count * (result.SPAN_BYTES + result.PART_BYTES + 4 * len(item.shape)))
        self._chunks += count
        if item.chunk is not None and self._chunks > MAX_CHUNKS:
            raise JobRefused(
                f"{item.where}: with chunk_size {item.chunk} the job has more than {MAX_CHUNKS} chunks, the "
                "limit; use a larger chunk_size, or 'auto'"
            )
        tally.add(item.circuit, points, shots, times)
        tally.limit()
        empty = np.zeros((item.size, 0))
        work = Work(item.key, lambda: item.circuit.circuit, empty, shots, item.where)
        if self.conditions.level in ("kerneled", "both"):
            tally.hold(item.size * shots * item.circuit.circuit.num_clbits * result.SIGNAL.itemsize)
        tally.memory(work, item.circuit, in_order=True)
        if item.circuit.checked.dynamic or self.conditions.carried:
            item.compiled(self._running)  # what it cannot do in control flow is better said before it runs

    def _names(self, item: Item) -> list[str]:
        """The results of the registers, by name. Raises `JobRefused` when one would replace another."""
        level = self.conditions.level
        names = [r.name for r in item.registers if level not in SIGNAL_LEVELS]
        names += [r.name + suffix(level) for r in item.registers if level != "classified"]
        counted = Counter([*names, *(extra.name for extra in item.source.extras)])
        doubled = sorted(name for name in names if counted[name] > 1)
        if doubled:
            raise JobRefused(
                f"{item.where}: the result {doubled[0][:80]!r} of a classical register has the name of an "
                "output of the samplex or of another register; rename the register"
            )
        return names

    def _sizes(self, item: Item, register: Register) -> list[int]:
        """Bytes of the results of a register."""
        level, shots, count = self.conditions.level, self._program.shots, len(register.bits)
        sizes = []
        if level not in SIGNAL_LEVELS:
            sizes.append(result.size_of((item.size, shots, count), np.dtype(bool)))
        if level != "classified":
            each = 1 if level == "avg_kerneled" else shots
            sizes.append(result.size_of((item.size, each, count), result.SIGNAL))
        return sizes


def _fits_version(options: dict[str, Any], form: Form) -> None:
    """Refuse options that the job's version of the schema, and its results, have no room for."""
    if form.options is None:
        return
    for name in sorted(set(options) - set(form.options)):
        if options[name]:
            raise JobRefused(
                f"params.options.{name[:120]} is not an option of the executor's schema {form.version}, "
                f"which has {' and '.join(form.options)}"
            )


def _read(text: msgspec.Raw, form: Form, budget: Budget) -> tuple[schema.QuantumProgram, list[bytes]]:
    """The program, and each of its circuits as a QPY file. Raises `JobRefused`."""
    if form.apart:
        program, own = older.read_program(text, form)
        return program, older.files(own, budget)
    program = schema.read_program(text, form)
    where = "params.quantum_program.circuits"
    circuits = schema.read_circuits(program.circuits, len(program.items), form)
    content = schema.content_of(circuits.b64_data, f"{where}.b64_data", budget, form)
    files = qpy.split(content, where)
    if content[6] != circuits.qpy_version or len(files) != circuits.num_programs:
        raise JobRefused(
            f"{where} says QPY version {circuits.qpy_version} and {circuits.num_programs} circuits; its data "
            f"are of version {content[6]} with {len(files)} circuits"
        )
    return program, files


def _chunks(items: Sequence[Item]) -> Iterator[list[Part]]:
    """What runs together: everything, or so many elements of one item as it says."""
    if items[0].chunk is None:
        yield [Part(index, 0, item.size) for index, item in enumerate(items)]
        return
    for index, item in enumerate(items):
        assert item.chunk is not None  # all items say it, or none
        for start in range(0, item.size, item.chunk):
            yield [Part(index, start, min(start + item.chunk, item.size))]


EXECUTOR = Executor()
