"""Computes one expression of real parameters: over arrays, as a sum, and as Qiskit does.

The arrays follow IEEE 754 and Qiskit does not quite, so what is near a pole comes out as NaN: ask `exact`.
"""

from __future__ import annotations

import ast
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from qiskit.circuit import Parameter, ParameterExpression

_NEAR_ZERO = 1e-6  # of a divisor; Qiskit takes about 1e-14 for 0

Number = NDArray[np.float64] | np.float64


def tree_of(expression: ParameterExpression, parameters: Sequence[Parameter]) -> ast.expr | None:
    """The expression as Python would read it, with parameter i named ``value_i``; None when it does not."""
    try:
        short = {parameter: Parameter(f"value_{i}") for i, parameter in enumerate(parameters)}
        return ast.parse(str(expression.subs(short)), mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None
    except Exception as error:  # the kind that Qiskit raises here is not part of its interface
        if type(error).__module__.startswith("qiskit"):
            return None
        raise


_FUNCTIONS: Mapping[str, Any] = {
    "sin": np.sin,
    "cos": np.cos,
    "tan": np.tan,
    "asin": np.arcsin,
    "acos": np.arccos,
    "atan": np.arctan,
    "exp": np.exp,
    "log": np.log,
    "abs": np.abs,
    "sign": np.sign,
    "conj": np.conjugate,
}


def _quotient(above: Number, below: Number) -> Number:
    """Qiskit takes what is all but 0 for 0 when it divides, so a small divisor leaves doubt."""
    found: Number = np.where(np.abs(below) < _NEAR_ZERO, math.nan, np.divide(above, below))
    return found


_OPERATORS: Mapping[type[ast.operator], Any] = {
    ast.Add: np.add,
    ast.Sub: np.subtract,
    ast.Mult: np.multiply,
    ast.Div: _quotient,
    ast.Pow: np.power,
}


def evaluated(node: ast.expr, named: Mapping[str, NDArray[np.float64]]) -> Number:
    """The value for every point.

    Raises KeyError, TypeError, OverflowError or RecursionError for what is not real arithmetic.
    """
    found: Number
    match node:
        case ast.Constant(value=int() | float() as number):
            return np.float64(float(number))
        case ast.Name(id=name):
            return named[name]
        case ast.UnaryOp(op=ast.USub(), operand=operand):
            return -evaluated(operand, named)
        case ast.BinOp(left=left, op=op, right=right):
            found = _OPERATORS[type(op)](evaluated(left, named), evaluated(right, named))
            return found
        case ast.Call(func=ast.Name(id=name), args=[argument], keywords=[]):
            found = _FUNCTIONS[name](evaluated(argument, named))
            return found
    raise TypeError(f"{type(node).__name__} is not arithmetic")


def added(node: ast.expr, factor: float, slopes: list[float]) -> float:
    """Add `factor` times a sum to the slopes; its constant. Raises TypeError for what is not a sum of
    multiples, and whatever `evaluated` does."""
    match node:
        case ast.Name(id=name):
            slopes[int(name.removeprefix("value_"))] += factor
            return 0.0
        case ast.UnaryOp(op=ast.USub(), operand=operand):
            return added(operand, -factor, slopes)
        case ast.BinOp(left=left, op=ast.Add(), right=right):
            return added(left, factor, slopes) + added(right, factor, slopes)
        case ast.BinOp(left=left, op=ast.Sub(), right=right):
            return added(left, factor, slopes) + added(right, -factor, slopes)
        case ast.BinOp(
            left=ast.Constant() | ast.UnaryOp(operand=ast.Constant()) as left, op=ast.Mult(), right=right
        ):
            return added(right, factor * float(evaluated(left, {})), slopes)
        case ast.BinOp(left=left, op=ast.Div(), right=ast.Constant() as right):
            return added(left, factor / float(evaluated(right, {})), slopes)
        case ast.Constant():
            return factor * float(evaluated(node, {}))
    raise TypeError(f"{type(node).__name__} is not a sum")


def exact(expression: ParameterExpression, at: Mapping[Parameter, float]) -> float | str:
    """The angle as the devices bind it, or the words for what it is instead."""
    try:
        number = expression.bind_all(dict(at))
        if isinstance(number, complex) and number.imag:
            return f"the complex number {number:.6g}"
        number = complex(number).real
        return number if math.isfinite(number) else str(number)
    except (TypeError, ValueError, RuntimeError, ZeroDivisionError, OverflowError) as error:
        return f"not defined ({error})"
