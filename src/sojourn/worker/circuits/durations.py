"""Turns a duration expression into a length in dt. Does not depend on circuits."""

from __future__ import annotations

import math
from collections.abc import Mapping
from fractions import Fraction
from typing import Any

from qiskit.circuit.classical import expr

from sojourn.devices.constants import Duration, Stretch
from sojourn.devices.delays import SECONDS
from sojourn.worker.circuits.stretch import Length

_FINE = 10**6  # denominators beyond are noise of floating point


class BadDuration(Exception):
    """The expression is not a duration that can be had; the message continues "the delay …"."""


def folded(node: expr.Expr, step: float, stretches: Mapping[expr.Stretch, int]) -> Length:
    """The length of a duration expression when one dt is `step` seconds. Raises `BadDuration`."""
    try:
        found = _fold(node, step, stretches)
    except ZeroDivisionError:
        raise BadDuration("divides by zero") from None
    if isinstance(found, Fraction):
        raise BadDuration("has a number for a duration; it needs a unit")
    return found


def _fold(node: expr.Expr, step: float, stretches: Mapping[expr.Stretch, int]) -> Length | Fraction:
    match node:
        case Stretch():
            return Length(times={stretches[node]: Fraction(1)})
        case expr.Value(value=value):
            return _value(value, step)
        case expr.Cast(operand=operand):
            return _fold(operand, step, stretches)
        case expr.Unary(op=expr.Unary.Op.NEGATE, operand=operand):
            return _times(_fold(operand, step, stretches), Fraction(-1))
        case expr.Binary(op=op, left=left, right=right):
            return _binary(op, _fold(left, step, stretches), _fold(right, step, stretches))
    raise BadDuration("has a duration that depends on more than durations, numbers and stretches")


def _value(value: Any, step: float) -> Length | Fraction:
    if isinstance(value, Duration):
        number, unit = value.value(), value.unit()
        if not math.isfinite(number):
            raise BadDuration(f"has the duration {number} {unit}")
        return Length(_fraction(number if unit == "dt" else number * SECONDS[unit] / step))
    if not isinstance(value, int | float) or not math.isfinite(value):
        raise BadDuration(f"has the number {value!r} in its duration")
    return _fraction(value)


def _fraction(number: float) -> Fraction:
    return Fraction(number).limit_denominator(_FINE)


def _times(what: Length | Fraction, factor: Fraction) -> Length | Fraction:
    if isinstance(what, Fraction):
        return what * factor
    return Length(what.fixed * factor, {i: k * factor for i, k in what.times.items() if k * factor})


def _binary(op: expr.Binary.Op, left: Length | Fraction, right: Length | Fraction) -> Length | Fraction:
    ops = expr.Binary.Op
    if op in (ops.ADD, ops.SUB):
        other = right if op is ops.ADD else _times(right, Fraction(-1))
        if isinstance(left, Length) and isinstance(other, Length):
            return _sum(left, other)
        if isinstance(left, Fraction) and isinstance(other, Fraction):
            return left + other
    elif op is ops.MUL:
        if isinstance(right, Fraction):
            return _times(left, right)
        if isinstance(left, Fraction):
            return _times(right, left)
    elif op is ops.DIV:
        if isinstance(right, Fraction):
            return _times(left, 1 / right)
        if isinstance(left, Length) and not left.times and not right.times:
            return left.fixed / right.fixed
    raise BadDuration(
        "has a duration that is not a multiple of a stretch plus a constant; only these can be resolved"
    )


def _sum(left: Length, right: Length) -> Length:
    times = dict(left.times)
    for number, factor in right.times.items():
        times[number] = times.get(number, Fraction(0)) + factor
    return Length(left.fixed + right.fixed, {i: k for i, k in times.items() if k})
