"""How zero-noise extrapolation came to its values: what was measured with more noise, and the curve."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sojourn.dashboard.charts import colours

MOST_VALUES = 4
"""Values of a pub that are drawn: its first ones."""
SYMBOLS = ("circle", "rect", "triangle", "diamond")

Values = NDArray[Any]


def chart(
    values: Values, measured: Values, factors: Sequence[float], curves: Values, points: Sequence[float]
) -> dict[str, Any] | None:
    """ECharts options; None when the shapes do not fit.

    `values` (...) are the mitigated ones and `measured` (..., factors) those with more noise. Of `curves`
    (..., extrapolators, points) the one of the extrapolator that gave the value is drawn.
    """
    if not factors or measured.shape != (*values.shape, len(factors)):
        return None
    if curves.ndim < 2 or curves.shape[:-2] != values.shape or curves.shape[-1] != len(points):
        return None
    rows = measured.reshape(-1, len(factors)).astype(float)
    lines = curves.reshape(-1, curves.shape[-2], len(points)).astype(float)
    series = []
    for number, value in enumerate(np.ravel(values).astype(float)[:MOST_VALUES]):
        curve = lines[number][_chosen(value, lines[number], points)]
        name = f"value {number}"
        drawn = {"name": name, "itemStyle": {"color": colours.OF_PROJECTS[number]}}
        series += [
            drawn
            | {
                "type": "scatter",
                "symbol": SYMBOLS[number],
                "symbolSize": 9,
                "data": [[factor, float(each)] for factor, each in zip(factors, rows[number], strict=True)],
            },
            drawn
            | {
                "type": "line",
                "showSymbol": False,
                "lineStyle": {"type": "dashed", "color": colours.OF_PROJECTS[number]},
                "data": sorted([point, float(each)] for point, each in zip(points, curve, strict=True)),
            },
        ]
    return {
        "animation": False,
        "textStyle": colours.TEXT,
        "tooltip": {},
        "legend": {"show": len(series) > 2, "top": 0, "right": 24, "textStyle": {":color": colours.INK}},
        "grid": {"left": 60, "right": 24, "top": 34, "bottom": 44},
        "xAxis": {"name": "noise factor", "nameLocation": "middle", "nameGap": 26, "min": 0, **_axis()},
        "yAxis": {"name": "value", "scale": True, **_axis()},
        "series": series,
    }


def _chosen(value: float, curves: Values, points: Sequence[float]) -> int:
    """The extrapolator of which the value without noise is the result."""
    least = min(range(len(points)), key=lambda place: points[place])
    return int(np.argmin(np.abs(curves[:, least] - value)))


def _axis() -> dict[str, Any]:
    ink = {":color": colours.INK}
    return {"type": "value", "nameTextStyle": ink, "axisLabel": ink, "splitLine": colours.FAINT}
