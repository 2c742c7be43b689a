"""How good a device is: its coupling map by errors, and one number over its calibrations."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from sojourn.dashboard.charts import colours, layout

SHADES = ("#1b7837", "#7fbf7b", "#d9b365", "#e66101", "#a50026")
"""From the best fifth to the worst; each has a word as well."""
STEP = 40.0
"""Between neighbours. ECharts rounds the ends of level lines to whole numbers."""
UNKNOWN = "#8a8f98"
WORDS = ("best fifth", "good", "middle", "poor", "worst fifth")


def qubit_values(properties: Mapping[str, Any], name: str) -> dict[int, float]:
    """`name` is one of T1, T2, readout_error, frequency; in the unit of the properties."""
    found = {}
    for number, entries in enumerate(properties.get("qubits") or []):
        for entry in entries:
            if entry["name"] == name:
                found[number] = float(entry["value"])
    return found


def pair_errors(properties: Mapping[str, Any]) -> dict[tuple[int, int], float]:
    """The error of the two-qubit gate of each pair, the lower qubit first; of several gates the least."""
    found: dict[tuple[int, int], float] = {}
    for gate in properties.get("gates") or []:
        if len(gate["qubits"]) != 2:
            continue
        low, high = sorted(gate["qubits"])
        for parameter in gate["parameters"]:
            if parameter["name"] == "gate_error":
                error = float(parameter["value"])
                found[low, high] = min(error, found.get((low, high), error))
    return found


def ranks(values: Mapping[Any, float]) -> dict[Any, int]:
    """The fifth to which each belongs, 0 the best; errors, so less is better."""
    order = sorted(values, key=lambda key: values[key])
    return {key: 5 * place // len(order) for place, key in enumerate(order)}


def coupling_map(
    properties: Mapping[str, Any], num_qubits: int, pairs: Iterable[Sequence[int]]
) -> dict[str, Any]:
    """ECharts options: qubits by their readout error, edges by that of their gate."""
    readout, gates = qubit_values(properties, "readout_error"), pair_errors(properties)
    of_qubits, of_pairs = ranks(readout), ranks(gates)
    edges = sorted({(min(pair), max(pair)) for pair in pairs if len(pair) == 2})
    places = [(STEP * x, STEP * y) for x, y in layout.places(num_qubits, edges)]
    nodes = [
        {
            "name": str(qubit),
            "x": places[qubit][0],
            "y": places[qubit][1],
            "itemStyle": {"color": _shade(of_qubits, qubit)},
            "label": {"color": colours.text_on(_shade(of_qubits, qubit))},
            "value": readout.get(qubit),
            "tip": f"qubit {qubit}: readout error " + _worded(readout, of_qubits, qubit),
        }
        for qubit in range(num_qubits)
    ]
    links = [
        {
            "source": str(low),
            "target": str(high),
            "lineStyle": {"width": 5, "opacity": 1, "color": _shade(of_pairs, (low, high))},
            "tip": f"{low} - {high}: error "
            + (
                f"{gates[low, high]:.3g}, {WORDS[of_pairs[low, high]]}" if (low, high) in gates else "unknown"
            ),
        }
        for low, high in edges
    ]
    size = 30 if num_qubits <= 30 else 21 if num_qubits <= 160 else 12
    return {
        "animation": False,
        "textStyle": colours.TEXT,
        "tooltip": {":formatter": "p => p.data.tip || p.name"},
        "series": [
            {
                "type": "graph",
                "layout": "none",
                "left": 20,
                "right": 20,
                "top": 16,
                "bottom": 16,
                "roam": True,
                "symbolSize": size,
                "label": {"show": True, "fontSize": 11 if size > 12 else 8},
                "data": nodes,
                "links": links,
            }
        ],
    }


def aspect(drawn: Mapping[str, Any]) -> float:
    """Width by height of a coupling map, from 1 to 4."""
    nodes = drawn["series"][0]["data"]
    wide, high = (max(n[axis] for n in nodes) - min(n[axis] for n in nodes) + STEP for axis in ("x", "y"))
    return float(min(4.0, max(1.0, wide / high)))


def _shade(fifths: Mapping[Any, int], key: Any) -> str:
    return SHADES[fifths[key]] if key in fifths else UNKNOWN


def _worded(values: Mapping[Any, float], fifths: Mapping[Any, int], key: Any) -> str:
    return f"{values[key]:.3g}, {WORDS[fifths[key]]}" if key in values else "unknown"


def worst(properties: Mapping[str, Any], count: int = 5) -> list[str]:
    """In words, for those who cannot tell the colours."""
    gates = sorted(pair_errors(properties).items(), key=lambda item: -item[1])[:count]
    readout = sorted(qubit_values(properties, "readout_error").items(), key=lambda item: -item[1])[:count]
    return [f"{low} - {high}: gate error {error:.3g}" for (low, high), error in gates] + [
        f"qubit {qubit}: readout error {error:.3g}" for qubit, error in readout
    ]


_LINES = (("upper quarter", 3, "dashed"), ("median", 1, "solid"), ("lower quarter", 2, "dotted"))


def over_time(points: Iterable[tuple[str, Mapping[int, float]]], unit: str) -> dict[str, Any]:
    """The median and the middle half of a number over calibrations: (time, value by qubit)."""
    rows = []
    for at, values in points:
        ordered = sorted(values.values())
        if ordered:
            last = len(ordered) - 1
            middle, low, high = (ordered[round(last * part)] for part in (0.5, 0.25, 0.75))
            rows.append((datetime.fromisoformat(at).timestamp() * 1000, middle, low, high))
    return {
        "animation": False,
        "textStyle": colours.TEXT,
        "tooltip": {"trigger": "axis"},
        "legend": {"top": 0, "textStyle": {":color": colours.INK}},
        "grid": {"left": 60, "right": 16, "top": 58, "bottom": 30},
        "xAxis": {
            "type": "time",
            "axisLabel": {":color": colours.INK, "hideOverlap": True, "formatter": {"day": "{d} {MMM}"}},
        },
        "yAxis": {
            "type": "value",
            "name": unit,
            "scale": True,
            "axisLabel": {":color": colours.INK},
            "nameTextStyle": {":color": colours.INK, "align": "left"},
            "splitLine": colours.FAINT,
        },
        "series": [
            {
                "type": "line",
                "name": name,
                "data": [[row[0], row[column]] for row in rows],
                "showSymbol": False,
                "lineStyle": {"type": dash, ":color": colours.LINK},
                "itemStyle": {":color": colours.LINK},
            }
            for name, column, dash in _LINES
        ],
    }
