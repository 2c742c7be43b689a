"""What came out of a job: counts as bars, expectation values with their errors and their extrapolation.

Reads what the client's own encoder writes, and nothing of it is executed. Only the beginning of a large
result is drawn.
"""

from __future__ import annotations

import base64
import io
import zlib
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sojourn.dashboard.charts import colours, extrapolation

MOST_PUBS = 8
MOST_BARS = 40
MOST_SHOTS = 100_000
MOST_BYTES = 16_000_000
"""Of one array, unpacked."""


class NotDrawn(Exception):
    """Why a result is not drawn, for the person who looks."""


def charts(result: Any) -> Iterator[tuple[str, dict[str, Any]]]:
    """(title, options of ECharts) for each register of counts and each set of values. Raises NotDrawn."""
    value = _value(result, "PrimitiveResult")
    if value is None:
        raise NotDrawn("The result is of a kind that is not drawn. Fetch it with the client.")
    for number, pub in enumerate(value.get("pub_results", [])[:MOST_PUBS]):
        data = _value(_inner(pub).get("data"), "DataBin")
        if data is None:
            continue
        fields = data.get("fields", {})
        for name, field in fields.items():
            bits = _value(field, "BitArray")
            if bits is not None:
                yield f"Pub {number}, register {name}", _counts(bits)
        if "evs" in fields:
            errors = _array(fields["stds"]) if "stds" in fields else None
            yield f"Pub {number}, expectation values", _values(_array(fields["evs"]), errors)
            if (drawn := _extrapolated(fields, value.get("metadata"))) is not None:
                yield f"Pub {number}, extrapolation to no noise", drawn


def _inner(tagged: Any) -> Mapping[str, Any]:
    value = tagged.get("__value__", {}) if isinstance(tagged, dict) else {}
    return value if isinstance(value, dict) else {}


def _value(tagged: Any, kind: str) -> Mapping[str, Any] | None:
    is_one = isinstance(tagged, dict) and tagged.get("__type__") == kind
    return _inner(tagged) if is_one else None


def _array(tagged: Any) -> NDArray[Any]:
    """An array, or the number that a value without a shape is sent as."""
    if isinstance(tagged, int | float):
        return np.asarray(float(tagged))
    if not isinstance(tagged, dict) or tagged.get("__type__") != "ndarray":
        raise NotDrawn("A value of the result is no array.")
    packed = base64.b64decode(str(tagged["__value__"]))
    unpacker = zlib.decompressobj()
    raw = unpacker.decompress(packed, MOST_BYTES)
    if unpacker.unconsumed_tail:
        raise NotDrawn(f"The result has more than {MOST_BYTES // 1_000_000} MB. Fetch it with the client.")
    found: NDArray[Any] = np.load(io.BytesIO(raw), allow_pickle=False)
    return found


def _counts(bits: Mapping[str, Any]) -> dict[str, Any]:
    """Of the first point: the most frequent outcomes, by their bit strings."""
    array, width = _array(bits["array"]), int(bits["num_bits"])
    rows = array.reshape(-1, *array.shape[-2:])[0][:MOST_SHOTS]
    counted = Counter(int.from_bytes(row.tobytes(), "big") for row in rows)
    common = sorted(counted.most_common(MOST_BARS))
    return _bars([format(key, f"0{width}b") for key, _ in common], [float(n) for _, n in common], "shots")


def _values(values: NDArray[Any], errors: NDArray[Any] | None) -> dict[str, Any]:
    flat = np.ravel(values).astype(float)[:MOST_BARS]
    options = _bars([str(i) for i in range(len(flat))], [float(v) for v in flat], "value")
    if errors is not None and errors.size == values.size:
        pairs = zip(flat, np.ravel(errors).astype(float)[: len(flat)], strict=True)
        options["series"].append(
            {
                "type": "custom",
                "name": "standard error",
                "data": [[i, float(v - e), float(v + e)] for i, (v, e) in enumerate(pairs)],
                "encode": {"x": 0, "y": [1, 2]},
                ":renderItem": _WHISKER,
                "z": 3,
            }
        )
    return options


def _extrapolated(fields: Mapping[str, Any], metadata: Any) -> dict[str, Any] | None:
    """None without zero-noise extrapolation."""
    if "evs_noise_factors" not in fields or "evs_extrapolated" not in fields:
        return None
    zne = metadata["resilience"]["zne"]
    return extrapolation.chart(
        _array(fields["evs"]),
        _array(fields["evs_noise_factors"]),
        zne["noise_factors"],
        _array(fields["evs_extrapolated"]),
        zne["extrapolated_noise_factors"],
    )


_WHISKER = """function (params, api) {
  const low = api.coord([api.value(0), api.value(1)]), high = api.coord([api.value(0), api.value(2)]);
  const style = {stroke: '#d55e00', lineWidth: 1.5, fill: 'none'};
  const line = (x1, y1, x2, y2) => ({type: 'line', shape: {x1, y1, x2, y2}, style});
  return {type: 'group', children: [line(low[0], low[1], high[0], high[1]),
    line(low[0] - 4, low[1], low[0] + 4, low[1]), line(high[0] - 4, high[1], high[0] + 4, high[1])]};
}"""


def _bars(names: list[str], values: list[float], unit: str) -> dict[str, Any]:
    ink: dict[str, Any] = {":color": colours.INK}
    longest = max((len(name) for name in names), default=0)
    turned = len(names) > 8 and longest > 2
    below = 28 + (min(7 * longest, 180) if turned else 0)
    return {
        "animation": False,
        "textStyle": colours.TEXT,
        "tooltip": {},
        "grid": {"left": 60, "right": 16, "top": 34, "bottom": below},
        "xAxis": {
            "type": "category",
            "data": names,
            "axisLabel": ink | {"rotate": 60 if turned else 0},
        },
        "yAxis": {
            "type": "value",
            "name": unit,
            "nameTextStyle": ink,
            "axisLabel": ink,
            "splitLine": colours.FAINT,
        },
        "series": [{"type": "bar", "data": values, "itemStyle": {":color": colours.LINK}}],
    }
