"""Evaluates expressions of parameters at many points at once. Does not depend on circuits or devices."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray
from qiskit.circuit import Parameter, ParameterExpression


def coefficients(
    expression: ParameterExpression, parameters: Iterable[Parameter]
) -> tuple[dict[Parameter, float], float] | None:
    """The factor of each of the expression's `parameters`, in their order, and the constant; None when it is
    not of the form a * t + b * s + c."""
    slopes = {}
    try:
        for parameter in parameters:
            slope = expression.gradient(parameter)
            if isinstance(slope, ParameterExpression):
                if slope.parameters:
                    return None
                slope = slope.numeric()
            slopes[parameter] = float(slope)
        constant = float(expression.bind(dict.fromkeys(slopes, 0.0)))
    except (TypeError, ValueError, RuntimeError, ZeroDivisionError):
        return None
    return slopes, constant


def affine(
    expression: ParameterExpression, column: Mapping[Parameter, int]
) -> tuple[NDArray[np.float64] | None, float]:
    """The expression as row . values + constant, or (None, 0) when it is not of that form."""
    found = coefficients(expression, expression.parameters)
    if found is None:
        return None, 0.0
    slopes, constant = found
    row = np.zeros(len(column))
    for parameter, slope in slopes.items():
        row[column[parameter]] = slope
    return row, constant


def evaluated(
    expression: ParameterExpression, parameters: Sequence[Parameter], values: NDArray[np.float64]
) -> NDArray[np.float64]:
    """(points,) the expression at `values` (points, parameters); NaN where it has no real value."""
    row, constant = affine(expression, {parameter: i for i, parameter in enumerate(parameters)})
    if row is not None:
        found: NDArray[np.float64] = values @ row + constant
        return found
    used = [(i, p) for i, p in enumerate(parameters) if p in expression.parameters]
    made = np.empty(len(values))
    for point, line in enumerate(values.tolist()):
        try:
            made[point] = float(expression.bind({p: line[i] for i, p in used}))
        except (TypeError, ValueError, RuntimeError, ZeroDivisionError, OverflowError):
            made[point] = np.nan
    return made


class Expressions:
    """Several expressions at many points: the affine ones by one product, each other one by itself."""

    def __init__(self, expressions: Sequence[ParameterExpression], parameters: Sequence[Parameter]) -> None:
        self._parameters = list(parameters)
        self._general: list[tuple[int, ParameterExpression]] = []
        column = {parameter: i for i, parameter in enumerate(parameters)}
        rows: list[NDArray[np.float64]] = []
        constants: list[float] = []
        for number, expression in enumerate(expressions):
            row, constant = affine(expression, column)
            if row is None:
                self._general.append((number, expression))
                row = np.zeros(len(column))
            rows.append(row)
            constants.append(constant)
        self._rows = np.array(rows, dtype=np.float64).reshape(len(rows), len(column))
        self._constants = np.array(constants, dtype=np.float64)

    def __len__(self) -> int:
        return len(self._constants)

    def at(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """(points, expressions) at `values` (points, parameters)."""
        table: NDArray[np.float64] = values @ self._rows.T + self._constants
        for number, expression in self._general:
            used = [(i, p) for i, p in enumerate(self._parameters) if p in expression.parameters]
            for point, line in enumerate(values):
                table[point, number] = float(expression.bind({p: float(line[i]) for i, p in used}))
        return table
