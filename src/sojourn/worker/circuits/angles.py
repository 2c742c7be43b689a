"""Computes the angles of a circuit at given values of its parameters, and refuses those that are not finite
real numbers.

An angle of the form a * t + b * s + c is known by its coefficients; most circuits have no others, and for
these one product says that nothing overflows. Every other expression is evaluated for all points at once.
What that finds doubtful is evaluated again by Qiskit itself, point by point, as the devices do.
"""

from __future__ import annotations

import ast
import cmath
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray
from qiskit.circuit import (
    ControlFlowOp,
    Delay,
    ForLoopOp,
    Instruction,
    Parameter,
    ParameterExpression,
    QuantumCircuit,
)

from sojourn.devices.parameters import coefficients
from sojourn.worker.circuits.arithmetic import added, evaluated, exact, tree_of
from sojourn.worker.protocol.types import JobRefused
from sojourn.worker.wording import short

MAX_SLOPES = 8  # parameters of an expression whose coefficients are looked for; others are evaluated
_FEW = 8  # angles below which NumPy does not pay
_AT_ONCE = 4_000_000  # angles that are evaluated at once
_SHOWN = 6  # parameters that a message shows
_RULE = "every angle must be a finite real number"


@dataclass(frozen=True, slots=True)
class Loop:
    """A loop with a parameter: the values that the parameter takes, None when the circuit does not say."""

    parameter: Parameter
    turns: Sequence[int] | None


@dataclass(frozen=True)
class Angle:
    """One expression and the place where it stands first."""

    expression: ParameterExpression
    name: str
    qubits: tuple[int, ...]
    loops: tuple[Loop, ...] = ()

    @cached_property
    def parameters(self) -> tuple[Parameter, ...]:
        return tuple(sorted(self.expression.parameters, key=lambda parameter: parameter.name))

    @cached_property
    def affine(self) -> tuple[Mapping[Parameter, float], float] | None:
        """Coefficients and constant, or None when the expression is not of that form."""
        if len(self.parameters) > MAX_SLOPES:
            return self._sum()
        return coefficients(self.expression, self.parameters)

    def _sum(self) -> tuple[Mapping[Parameter, float], float] | None:
        """As `affine`, read off the tree: differentiating a long sum takes long."""
        slopes = [0.0] * len(self.parameters)
        try:
            constant = 0.0 if self._tree is None else added(self._tree, 1.0, slopes)
        except (KeyError, TypeError, OverflowError, RecursionError, ZeroDivisionError):
            return None
        return None if self._tree is None else (dict(zip(self.parameters, slopes, strict=True)), constant)

    @cached_property
    def _tree(self) -> ast.expr | None:
        """The expression as Python would read it, over names of our own; None when it does not."""
        return tree_of(self.expression, self.parameters)

    def lacks(self, known: Mapping[Parameter, Any]) -> bool:
        """Whether a parameter has values that nobody knows before the circuit runs."""
        turning = {loop.parameter for loop in self.loops if loop.turns is not None}
        return any(parameter not in turning and parameter not in known for parameter in self.parameters)

    def check_few(self, columns: Mapping[Parameter, NDArray[np.float64]], count: int, where: str) -> None:
        """As a block does, point by point. Raises `JobRefused`."""
        for point in range(count):
            at = {parameter: float(columns[parameter][point]) for parameter in self.parameters}
            found = exact(self.expression, at)
            if not isinstance(found, float):
                raise self.refusal(found, at, point, where)

    def refusal(self, instead: str, at: Mapping[Parameter, float], point: int, where: str) -> JobRefused:
        return JobRefused(
            f"{where}: {_named(self)} has the angle {short(str(self.expression))}, which is {instead} at "
            f"{_values(at)} (point {point}); {_RULE}"
        )

    def over(self, columns: Mapping[Parameter, NDArray[np.float64]], count: int) -> Iterator[_Block]:
        """All points, and all turns of the loops around it, in blocks. `columns` are (count,) each."""
        turning = [loop for loop in self.loops if loop.parameter in self.parameters]
        around: dict[Parameter, NDArray[np.float64]] = {}
        turns = 1
        if turning:
            indices = (np.array(loop.turns, dtype=np.float64) for loop in turning)
            for loop, grid in zip(turning, np.meshgrid(*indices, indexing="ij"), strict=True):
                around[loop.parameter] = grid.reshape(-1, 1)
                turns = grid.size
        step = max(1, _AT_ONCE // max(turns, 1))
        for start in range(0, count, step):
            values = {
                p: around[p] if p in around else columns[p][None, start : start + step]
                for p in self.parameters
            }
            yield _Block(self, values, (turns, min(step, count - start)), start)


@dataclass(frozen=True, slots=True)
class _Block:
    """Some of an angle's points: `values` broadcast to `shape`, which is (turns, points)."""

    angle: Angle
    values: Mapping[Parameter, NDArray[np.float64]]
    shape: tuple[int, int]
    start: int

    def numbers(self) -> NDArray[np.float64]:
        """The angles; one that is not finite may be so only on the way that NumPy took."""
        with np.errstate(all="ignore"):
            if (affine := self.angle.affine) is not None:
                slopes, constant = affine
                found: Any = constant
                for parameter, slope in slopes.items():
                    found = found + slope * self.values[parameter]
            else:
                tree = self.angle._tree
                named = {f"value_{i}": self.values[p] for i, p in enumerate(self.angle.parameters)}
                try:
                    found = math.nan if tree is None else evaluated(tree, named)
                except (KeyError, TypeError, OverflowError, RecursionError):
                    found = math.nan
        numbers = np.asarray(found, dtype=np.float64)
        return numbers if numbers.shape == self.shape else np.broadcast_to(numbers, self.shape)

    def place(self, index: tuple[int, int]) -> dict[Parameter, float]:
        """The values of the parameters there."""
        turn, point = index
        return {
            p: float(v[turn if len(v) > 1 else 0, point if v.shape[1] > 1 else 0])
            for p, v in self.values.items()
        }

    def checked(self, where: str) -> NDArray[np.float64]:
        """The angles, all finite. Raises `JobRefused`."""
        numbers = self.numbers()
        finite = np.isfinite(numbers)
        if finite.all():
            return numbers
        numbers = numbers.copy()
        for row in np.argwhere(~finite):
            index = (int(row[0]), int(row[1]))
            at = self.place(index)
            found = exact(self.angle.expression, at)
            if not isinstance(found, float):
                raise self.angle.refusal(found, at, self.start + index[1], where)
            numbers[index] = found
        return numbers


@dataclass(frozen=True)
class Angles:
    """The angles of one circuit that are not simply parameters."""

    entries: tuple[Angle, ...] = ()

    @cached_property
    def _bent(self) -> tuple[Angle, ...]:
        return tuple(entry for entry in self.entries if entry.affine is None)

    @cached_property
    def _bound(self) -> tuple[float, float]:
        """Of all angles of the simple form: the largest sum of coefficients, the largest rest."""
        steepest = rest = 0.0
        for entry in self.entries:
            if entry.affine is None:
                continue
            slopes, constant = entry.affine
            held = {loop.parameter: loop.turns for loop in entry.loops}
            own = [abs(s) for p, s in slopes.items() if p not in held]
            turned = [abs(s) * _largest(held[p]) for p, s in slopes.items() if p in held]
            steepest = max(steepest, sum(own))
            rest = max(rest, abs(constant) + sum(turned))
        return steepest, rest

    def check(self, parameters: Sequence[Parameter], values: NDArray[np.float64], where: str) -> None:
        """Refuse values, (points, parameters), at which an angle is not a finite real number."""
        if not self.entries or not len(values):
            return
        steepest, rest = self._bound
        largest = float(np.abs(values).max(initial=0.0))
        some = self._bent if math.isfinite(2 * (steepest * largest + rest)) else self.entries
        if not some:
            return
        columns = _columns(parameters, values)
        for entry in some:
            if not entry.loops and len(values) <= _FEW:
                entry.check_few(columns, len(values), where)
            elif not entry.lacks(columns):
                for block in entry.over(columns, len(values)):
                    block.checked(where)


def extremes(
    angle: Angle, parameters: Sequence[Parameter], values: NDArray[np.float64], where: str
) -> tuple[float, float] | None:
    """The smallest and the largest angle over all points; None when they are known in the run only.

    Raises `JobRefused` for one that is not a finite real number.
    """
    columns = _columns(parameters, values)
    if angle.lacks(columns):
        return None
    found = [block.checked(where) for block in angle.over(columns, len(values))]
    found = [numbers for numbers in found if numbers.size]
    if not found:
        return None
    return min(float(n.min()) for n in found), max(float(n.max()) for n in found)


class Collector:
    """Finds the angles while a circuit is walked. Equal expressions count once."""

    def __init__(self) -> None:
        self._found: dict[tuple[str, tuple[Loop, ...]], Angle] = {}
        self._loops: list[Loop | None] = []

    def enter(self, operation: Instruction) -> None:
        """The blocks of `operation` are walked next."""
        loop = None
        if isinstance(operation, ForLoopOp):
            turns, parameter = operation.params[:2]
            if isinstance(parameter, Parameter):
                known = isinstance(turns, range | tuple | list)
                loop = Loop(parameter, turns if isinstance(turns, range) else tuple(turns) if known else None)
        self._loops.append(loop)

    def leave(self) -> None:
        self._loops.pop()

    def phase(self, circuit: QuantumCircuit, where: str) -> None:
        """The global phase, of a block too."""
        self._see(circuit.global_phase, "the global phase", (), where)

    def see(self, operation: Instruction, qubits: tuple[int, ...], where: str) -> None:
        """Every angle of an instruction. Raises `JobRefused` for one that never is finite."""
        if isinstance(operation, ControlFlowOp | Delay):  # its blocks are walked; a delay is no angle
            return
        for value in operation.params:
            self._see(value, operation.name, qubits, where)

    def angle(self, value: ParameterExpression, name: str, qubits: tuple[int, ...]) -> Angle:
        loops = tuple(loop for loop in self._loops if loop is not None)
        return Angle(value, name, qubits, loops)

    def made(self) -> Angles:
        return Angles(tuple(self._found.values()))

    def _see(self, value: Any, name: str, qubits: tuple[int, ...], where: str) -> None:
        if isinstance(value, Parameter):  # as finite as its values
            return
        if isinstance(value, ParameterExpression):
            if value.parameters:
                found = self.angle(value, name, qubits)
                self._found.setdefault((str(value), found.loops), found)
                return
            value = value.numeric()
        if isinstance(value, np.ndarray):
            fine = value.dtype.kind not in "fc" or bool(np.isfinite(value).all())
        else:
            fine = not isinstance(value, int | float | complex) or cmath.isfinite(value)
        if not fine:
            shown = "not finite" if isinstance(value, np.ndarray) else str(value)
            place = _named(Angle(value, name, qubits))
            raise JobRefused(f"{where}: {place} has the angle {shown}; {_RULE}")


def _largest(turns: Sequence[int] | None) -> float:
    if not turns:
        return 0.0
    return float(max(abs(turns[0]), abs(turns[-1])) if isinstance(turns, range) else max(map(abs, turns)))


def _columns(
    parameters: Sequence[Parameter], values: NDArray[np.float64]
) -> dict[Parameter, NDArray[np.float64]]:
    return {parameter: values[:, i] for i, parameter in enumerate(parameters)}


def _named(angle: Angle) -> str:
    if not angle.qubits:
        return angle.name
    which = f"qubit {angle.qubits[0]}" if len(angle.qubits) == 1 else f"qubits {angle.qubits}"
    return f"{angle.name} on {which}"


def _values(at: Mapping[Parameter, float]) -> str:
    shown = [f"{parameter.name[:40]} = {value:.6g}" for parameter, value in at.items()]
    more = f" and {len(shown) - _SHOWN} more" if len(shown) > _SHOWN else ""
    return ", ".join(shown[:_SHOWN]) + more
