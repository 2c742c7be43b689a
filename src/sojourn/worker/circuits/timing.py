"""Settles the delays of a circuit (units, expressions, stretches), and computes the time that they take.

After `settle` a driver meets two kinds of delays only: a whole number of dt, and seconds that depend on
parameters (on a device that has no dt, plain seconds as well).

The unit. OpenQASM text has units, and so have duration expressions. A QPY file has none (Qiskit/qiskit#8293,
#10662; true of every version up to 18): it holds the number or the expression, and Qiskit reads it as dt. So
the unit is inferred from what is known: an integer is in dt (Qiskit makes all others floats); a float in a
file up to version 16 is not in dt (its writers turn those into integers); the transpiler converts every delay
outside of control flow to dt, unless the circuit has stretches. What is left may be either. It is taken as dt
where no other unit would make sense, with a warning, and refused otherwise.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence, Sized
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray
from qiskit.circuit import (
    CircuitInstruction,
    Clbit,
    ControlFlowOp,
    Delay,
    ForLoopOp,
    Instruction,
    Parameter,
    ParameterExpression,
    QuantumCircuit,
    Qubit,
)
from qiskit.circuit.classical import expr
from qiskit.transpiler import Target

from sojourn.devices.constants import Stretch
from sojourn.devices.delays import SECONDS, replaced
from sojourn.devices.parameters import evaluated
from sojourn.worker.circuits.durations import BadDuration, folded
from sojourn.worker.circuits.stretch import Length, Scope, Step, StretchError, StretchValue, resolve
from sojourn.worker.protocol.types import JobRefused

_FLOATS = hasattr(Instruction, "condition")
"""Before Qiskit 2.0 the parameters of an item are floats, and those of its operation what they were."""

MAX_DELAY = 10_000.0
"""Seconds. A sampler job's default limit: no shot can be longer."""

SURELY_DT = 10_000
"""A number from here on is a delay in dt: as microseconds it would be many times the coherence time of any
device."""

MAX_TURNS = 20_000
"""Delays that depend on the parameter of a loop, counted turn by turn."""

_LAST_EXACT_QPY = 16  # later ones are written without a delay's own rules: a bound one in dt is a float
_FLOW = frozenset({"if_else", "while_loop", "for_loop", "switch_case", "box"})


@dataclass(frozen=True, slots=True)
class Timed:
    """A delay on a device's qubit that depends on parameters. `turns` are its durations in dt, several if it
    depends on the parameter of a loop; each comes `times` a shot. `told` is False when the file does not tell
    the unit and the size of the values has to."""

    qubit: int
    turns: tuple[ParameterExpression | float, ...]
    times: int
    told: bool


@dataclass(frozen=True, slots=True)
class Timing:
    """The circuit with settled delays, and what is known of them. `step` is dt in seconds, None if the device
    has none."""

    circuit: QuantumCircuit
    step: float | None
    timed: tuple[Timed, ...] = ()
    stretches: tuple[StretchValue, ...] = ()
    warnings: tuple[str, ...] = ()

    def check(self, values: NDArray[np.float64], where: str) -> None:
        """Refuse parameter values, (points, parameters), at which a delay is none. Raises `JobRefused`."""
        for delay in self.timed:
            longest = 0.0
            for found in self._durations(delay, values):
                fits = np.isfinite(found) & (found >= 0) & (found * (self.step or 0.0) <= MAX_DELAY)
                if not fits.all():
                    point = int(np.argmin(fits))
                    raise JobRefused(
                        f"{where}: at point {point} the delay on qubit {delay.qubit} is {found[point]:g} dt; "
                        f"a delay must be a number from 0 to {_most(self.step)}"
                    )
                longest = max(longest, float(found.max(initial=0.0)))
            if not delay.told and 0 < longest < SURELY_DT:
                raise JobRefused(f"{where}: {_untold(f'of up to {longest:g}', delay.qubit)}")

    def seconds(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """(points,) what the delays with parameters add to a shot: on the qubit that waits longest."""
        waits: dict[int, NDArray[np.float64]] = {}
        for delay in self.timed:
            wait = waits.setdefault(delay.qubit, np.zeros(len(values)))
            for found in self._durations(delay, values):
                wait += np.rint(found) * delay.times
        if not waits:
            return np.zeros(len(values))
        longest: NDArray[np.float64] = np.maximum.reduce(list(waits.values())) * (self.step or 0.0)
        return longest

    def _durations(self, delay: Timed, values: NDArray[np.float64]) -> Iterator[NDArray[np.float64]]:
        """(points,) the delay in dt, turn by turn."""
        parameters = list(self.circuit.parameters)
        for turn in delay.turns:
            if isinstance(turn, ParameterExpression):
                yield evaluated(turn, parameters, values)
            else:
                yield np.full(len(values), turn)


def settle(
    circuit: QuantumCircuit, target: Target, version: int | None, where: str, *, ideal: bool = False
) -> Timing:
    """Give every delay its final form. `version` is that of the QPY file, None for OpenQASM text; `ideal`
    says that delays do not change what the device gives. Raises `JobRefused`."""
    names = circuit.count_ops()
    if "delay" not in names and _FLOW.isdisjoint(names):
        return Timing(circuit, target.dt)
    return _Settling(circuit, target, version, where, ideal).timing()


@dataclass(frozen=True, slots=True)
class _Found:
    """A delay where it stands: in how many turns of loops, and inside of which with a parameter."""

    item: CircuitInstruction
    qubit: int
    nested: bool
    times: int
    loops: tuple[tuple[Parameter, Sequence[float]], ...]

    @property
    def duration(self) -> Any:
        return (self.item.operation if _FLOATS else self.item).params[0]


class _Settling:
    def __init__(
        self, circuit: QuantumCircuit, target: Target, version: int | None, where: str, ideal: bool
    ) -> None:
        self._circuit = circuit
        self._target = target
        self._step = target.dt or 1e-9  # for a device that has no clock: something to count in
        self._version = version
        self._where = where
        self._ideal = ideal
        self._place: dict[Any, int] = {qubit: i for i, qubit in enumerate(circuit.qubits)}
        # -1 stands for what is unknown
        self._place.update((bit, -2 - i) for i, bit in enumerate(circuit.clbits))
        self._found = list(_delays(circuit, self._place, False, 1, ()))
        self._names: list[str] = []
        self._numbers: dict[expr.Stretch, int] = {}
        for found in self._found:
            if len(found.item.params) != 1 or len(found.item.qubits) != 1:
                raise JobRefused(f"{where}: an instruction is called delay, but is not one qubit's delay")
            duration = found.duration
            if isinstance(duration, expr.Expr):
                for node in expr.iter_identifiers(duration):
                    if isinstance(node, Stretch) and node not in self._numbers:
                        self._numbers[node] = len(self._names)
                        self._names.append(node.name)
        self._converted = circuit.layout is not None and not self._names
        self._timed: list[Timed] = []
        self._turns = 0
        self._guessed = 0

    def timing(self) -> Timing:
        if not self._found:
            return Timing(self._circuit, self._target.dt)
        lengths = [self._length(found) for found in self._found]
        stretches: tuple[StretchValue, ...] = ()
        if self._names:
            if None in lengths:
                raise JobRefused(
                    f"{self._where} has stretches, and a delay that depends on a parameter: stretches are "
                    "resolved before parameters have values. Bind the delay's parameter and submit a pub for "
                    "every value"
                )
            steps: list[Step] = []
            scope = self._scope(self._circuit, self._place, iter(lengths), steps)
            try:
                resolved = resolve(scope, self._names)
            except StretchError as error:
                raise JobRefused(f"{self._where}: {error}") from None
            stretches = resolved.values
            lengths = [
                Length(Fraction(resolved.durations[step])) if step in resolved.durations else step.length
                for step in steps
            ]
        ready = iter([self._delay(f, n) for f, n in zip(self._found, lengths, strict=True)])
        settled = replaced(self._circuit, lambda _: next(ready))
        return Timing(settled, self._target.dt, tuple(self._timed), stretches, tuple(self._warnings()))

    def _length(self, found: _Found) -> Length | None:
        """The delay's duration in dt; None when it depends on a parameter."""
        duration = found.duration
        if isinstance(duration, expr.Expr):
            try:
                return folded(duration, self._step, self._numbers)
            except BadDuration as error:
                raise JobRefused(f"{self._where}: the delay on qubit {found.qubit} {error}") from None
        if isinstance(duration, ParameterExpression):
            if duration.parameters:
                self._expression(found, duration)
                return None
            try:
                duration = duration.numeric()
            except TypeError:
                duration = None
        if isinstance(duration, bool) or not isinstance(duration, int | float):
            raise JobRefused(f"{self._where}: the delay on qubit {found.qubit} has no real duration")
        if not math.isfinite(duration):
            raise JobRefused(f"{self._where}: the delay on qubit {found.qubit} is {duration}, not a duration")
        return Length(Fraction(self._number(found, duration)).limit_denominator(10**6))

    def _number(self, found: _Found, duration: float) -> float:
        """A plain number, in dt."""
        if self._version is None:
            unit = found.item.operation.unit
            return duration if unit == "dt" else duration * SECONDS[unit] / self._step
        if isinstance(duration, int) or duration == 0:
            return duration
        if self._version <= _LAST_EXACT_QPY:
            raise JobRefused(
                f"{self._where}: the delay of {duration:g} on qubit {found.qubit} is in another unit than "
                f"dt, and QPY does not hold the unit; {_ADVICE}"
            )
        if found.nested or not self._converted:
            # Qiskit binds only whole numbers to a delay in dt
            if not self._ideal and (duration < SURELY_DT or not duration.is_integer()):
                raise JobRefused(f"{self._where}: {_untold(f'of {duration:.12g}', found.qubit)}")
            self._guessed += 1
        return duration

    def _expression(self, found: _Found, duration: ParameterExpression) -> None:
        told = self._ideal or not (found.nested or not self._converted)
        self._guessed += found.nested or not self._converted
        turns = [duration]
        for parameter, indices in found.loops:
            if parameter in duration.parameters:
                if not isinstance(indices, Sized) or len(turns) * _size(indices) > MAX_TURNS:
                    raise JobRefused(
                        f"{self._where}: a delay depends on the parameter of a loop of more than {MAX_TURNS} "
                        "turns, which is the limit"
                    )
                try:
                    turns = [turn.assign(parameter, index) for turn in turns for index in indices]
                except ZeroDivisionError:
                    raise JobRefused(
                        f"{self._where}: the delay on qubit {found.qubit} divides by zero in its loop"
                    ) from None
        times = found.times // max(len(turns), 1)
        known = tuple(turn if turn.parameters else float(turn.numeric()) for turn in turns)
        self._timed.append(Timed(found.qubit, known, times, told))
        self._turns += len(known)
        if self._turns > MAX_TURNS:
            raise JobRefused(
                f"{self._where} has more than {MAX_TURNS} delays that depend on parameters, the limit"
            )

    def _delay(self, found: _Found, length: Length | None) -> Delay:
        """The delay in its final form."""
        known = self._target.dt is not None
        if length is None:
            duration = found.duration
            return Delay(duration * self._step, "s") if known else Delay(duration, "dt")
        whole = round(length.fixed)
        if whole < 0 or whole * self._step > MAX_DELAY:
            raise JobRefused(
                f"{self._where}: the delay on qubit {found.qubit} is {whole} dt; a delay must be a number "
                f"from 0 to {_most(self._target.dt)}"
            )
        if known or isinstance(found.duration, int):
            return Delay(whole, "dt")
        return Delay(float(length.fixed) * self._step, "s")

    def _warnings(self) -> Iterator[str]:
        if self._guessed:
            yield (
                f"the file does not hold the unit of {self._guessed} of its delays (inside of control flow, "
                "or in a circuit that was not transpiled); they are taken to be in dt"
            )

    # the circuit as the resolver of stretches sees it

    def _scope(
        self,
        circuit: QuantumCircuit,
        place: Mapping[Any, int],
        lengths: Iterator[Length | None],
        delays: list[Step],
    ) -> Scope:
        steps: list[Step] = []
        for item in circuit.data:
            qubits = tuple(place.get(qubit, -1) for qubit in item.qubits)
            bits = tuple(place.get(bit, -1) for bit in item.clbits)  # a block waits for those that it uses
            if item.name == "delay":
                step = Step(qubits, next(lengths) or Length())
                delays.append(step)
            elif item.name == "barrier":
                step = Step(qubits, barrier=len(qubits) > 1)  # one on a single qubit orders nothing in time
            elif item.name in _FLOW and isinstance(item.operation, ControlFlowOp):
                blocks = tuple(
                    self._scope(block, {**_inner(block, qubits), **_bits(block, bits)}, lengths, delays)
                    for block in item.operation.blocks
                )
                step = Step((*qubits, *bits), blocks=blocks, turns=turns_of(item.operation) or 1)
            else:
                took = Length(Fraction(round(self._gate(item.name, qubits) / self._step)))
                step = Step((*qubits, *bits), took)
            steps.append(step)
        return Scope(tuple(steps))

    def _gate(self, name: str, qubits: tuple[int, ...]) -> float:
        """Seconds; 0 for what the device does not know, which the check of the circuit refuses."""
        if name not in self._target.operation_names:
            return 0.0
        entry = (self._target[name] or {}).get(qubits)
        return 0.0 if entry is None else entry.duration or 0.0


def turns_of(operation: ControlFlowOp) -> int | None:
    """How often the blocks are run: known for loops over a range or a list, else taken as once. None for a
    loop over something that has no size."""
    if not isinstance(operation, ForLoopOp):
        return 1
    indices = operation.params[0]
    return _size(indices) if isinstance(indices, Sized) else None


def _size(indices: Sized) -> int:
    if isinstance(indices, range):
        return max(0, -(-(indices.stop - indices.start) // indices.step))  # len() of a huge range raises
    return len(indices)


def _delays(
    circuit: QuantumCircuit,
    place: Mapping[Qubit, int],
    nested: bool,
    times: int,
    loops: tuple[tuple[Parameter, Sequence[float]], ...],
) -> Iterator[_Found]:
    """In the order of `replaced`."""
    for item in circuit.data:
        if item.name == "delay":
            qubit = place.get(item.qubits[0], -1) if item.qubits else -1
            yield _Found(item, qubit, nested, times, loops)
        elif item.name in _FLOW:
            operation = item.operation
            if not isinstance(operation, ControlFlowOp):
                continue
            inner = loops
            if isinstance(operation, ForLoopOp) and operation.params[1] is not None:
                inner = (*loops, (operation.params[1], operation.params[0]))
            qubits = tuple(place.get(qubit, -1) for qubit in item.qubits)
            turns = times * (turns_of(operation) or 1)
            for block in operation.blocks:
                yield from _delays(block, _inner(block, qubits), True, turns, inner)


def _inner(block: QuantumCircuit, qubits: tuple[int, ...]) -> dict[Qubit, int]:
    return dict(zip(block.qubits, qubits, strict=False))  # whether they fit is checked later


def _bits(block: QuantumCircuit, bits: tuple[int, ...]) -> dict[Clbit, int]:
    return dict(zip(block.clbits, bits, strict=False))


_ADVICE = (
    "give delays in dt, as whole numbers, or as durations such as expr.lift(Duration.us(2.5)), which a file "
    "holds with their unit; the transpiler converts those outside of control flow"
)


def _untold(size: str, qubit: int) -> str:
    return (
        f"a delay {size} on qubit {qubit} may be in dt or in another unit: QPY does not hold the unit, and "
        f"the circuit was not transpiled for the device, or has the delay inside of control flow or beside a "
        f"stretch, where the transpiler does not convert it. Whole numbers from {SURELY_DT} on are taken as "
        f"dt; else {_ADVICE}"
    )


def _most(step: float | None) -> str:
    return f"{MAX_DELAY:g} s" + (f", which are {MAX_DELAY / step:.3g} dt" if step else "")
