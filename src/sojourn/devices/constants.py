"""Computes with constants of the types Float and Duration, exactly for durations. Independent of circuits."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, TypeAlias

from qiskit import circuit
from qiskit.circuit.classical import expr, types
from qiskit.circuit.classical.expr import Binary


class Absent:
    """What an earlier Qiskit lacks: there is no object of it."""


Duration: Any = getattr(circuit, "Duration", Absent)
Stretch: Any = getattr(expr, "Stretch", Absent)
FLOAT_TYPE: Any = getattr(types, "Float", Absent)
DURATION_TYPE: Any = getattr(types, "Duration", Absent)
NEGATE: Any = getattr(expr.Unary.Op, "NEGATE", Absent)
"""Durations, stretches and numbers of floating point came with Qiskit 2.0."""

_UNITS = {
    "dt": Fraction(1),
    "s": Fraction(1),
    "ms": Fraction(1, 10**3),
    "us": Fraction(1, 10**6),
    "ns": Fraction(1, 10**9),
    "ps": Fraction(1, 10**12),
}
_LINEAR: dict[Binary.Op, Callable[[Any, Any], Any]] = {
    Binary.Op.EQUAL: operator.eq,
    Binary.Op.NOT_EQUAL: operator.ne,
    Binary.Op.LESS: operator.lt,
    Binary.Op.LESS_EQUAL: operator.le,
    Binary.Op.GREATER: operator.gt,
    Binary.Op.GREATER_EQUAL: operator.ge,
}
_LINEAR |= {
    getattr(Binary.Op, name): act
    for name, act in {"ADD": operator.add, "SUB": operator.sub}.items()
    if hasattr(Binary.Op, name)  # since Qiskit 2.1
}


_NOT_DEFINED = "is not defined for these types"


class Undefined(Exception):
    """An operation does not have a result; the message ends the sentence "the expression ..."."""


@dataclass(frozen=True, slots=True)
class Time:
    """A duration in seconds or, if `steps`, in steps of a clock (dt) whose length is not known here."""

    amount: Fraction
    steps: bool


Constant: TypeAlias = float | Time


def time(duration: Any) -> Time:
    """A duration as it is written: 0.1 us is 100 ns. Raises `Undefined` if it is not finite."""
    unit = duration.unit()
    return Time(_exact(duration.value()) * _UNITS[unit], unit == "dt")


def negated(value: Constant) -> Constant:
    return Time(-value.amount, value.steps) if isinstance(value, Time) else -value


def combined(op: Binary.Op, left: Constant, right: Constant) -> Constant | bool:
    """left op right. Raises `Undefined`."""
    if op is Binary.Op.DIV and not (right.amount if isinstance(right, Time) else right):
        raise Undefined("divides by zero")
    if isinstance(left, Time):
        if isinstance(right, Time):
            return _of_times(op, left, right)
        if op is Binary.Op.MUL:
            return Time(left.amount * _exact(right), left.steps)
        if op is Binary.Op.DIV:
            return Time(left.amount / _exact(right), left.steps)
    elif isinstance(right, Time):
        if op is Binary.Op.MUL:
            return Time(right.amount * _exact(left), right.steps)
    elif op is Binary.Op.MUL:
        return left * right
    elif op is Binary.Op.DIV:
        return left / right
    elif op in _LINEAR:
        result: float | bool = _LINEAR[op](left, right)
        return result
    raise Undefined(_NOT_DEFINED)


def _of_times(op: Binary.Op, left: Time, right: Time) -> Constant | bool:
    if left.steps is not right.steps:
        raise Undefined("mixes durations in dt and in seconds; give both in one of the two")
    if op is Binary.Op.DIV:
        try:
            return float(left.amount / right.amount)
        except OverflowError:
            raise Undefined("is too large for a Float") from None
    if op not in _LINEAR:
        raise Undefined(_NOT_DEFINED)
    found = _LINEAR[op](left.amount, right.amount)
    return found if isinstance(found, bool) else Time(found, left.steps)


def _exact(value: float) -> Fraction:
    if not math.isfinite(value):
        raise Undefined(f"has the operand {value}, which is not finite")
    return Fraction(repr(value))
