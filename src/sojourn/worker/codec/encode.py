"""Writes results in the form that the client decodes. Data in, text out; no Qiskit."""

from __future__ import annotations

import base64
import zlib
from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import lru_cache
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

_JSON = msgspec.json.Encoder()
_SMALL = 4096


def to_text(value: Any) -> bytes:
    """JSON text of plain values and of what the functions below make."""
    return _JSON.encode(value)


def typed(kind: str, value: Any) -> dict[str, Any]:
    """An encoded object."""
    return {"__type__": kind, "__value__": value}


def array(values: NDArray[Any]) -> dict[str, Any]:
    """An array as base64 of zlib of npy."""
    ordered = np.asarray(values, order="C")  # keeps zero dimensions, unlike ascontiguousarray
    content = _header(ordered.dtype.str, ordered.shape) + ordered.tobytes()
    # measured bits hardly compress: a quick pass is enough for large ones
    packed = zlib.compress(content, 6 if len(content) <= _SMALL else 1)
    return typed("ndarray", base64.b64encode(packed).decode("ascii"))


@lru_cache(maxsize=512)
def _header(dtype: str, shape: tuple[int, ...]) -> bytes:
    text = f"{{'descr': '{dtype}', 'fortran_order': False, 'shape': {shape!r}, }}".encode("latin1")
    pad = -(10 + len(text) + 1) % 64
    body = text + b" " * pad + b"\n"
    return b"\x93NUMPY\x01\x00" + len(body).to_bytes(2, "little") + body


def bits(packed: NDArray[np.uint8], num_bits: int) -> dict[str, Any]:
    """A BitArray: `packed` is (..., shots, ceil(num_bits / 8)) uint8, big-endian."""
    return typed("BitArray", {"array": array(packed), "num_bits": num_bits})


def data_bin(shape: Sequence[int], fields: Mapping[str, tuple[str, Any]]) -> dict[str, Any]:
    """A DataBin; `fields` maps names to (type name, encoded value)."""
    return typed(
        "DataBin",
        {
            "field_names": list(fields),
            "field_types": [kind for kind, _ in fields.values()],
            "shape": list(shape),
            "fields": {name: value for name, (_, value) in fields.items()},
        },
    )


def pub_result(kind: str, data: dict[str, Any], metadata: Mapping[str, Any]) -> dict[str, Any]:
    """`kind` is SamplerPubResult or PubResult."""
    return typed(kind, {"data": data, "metadata": metadata})


def primitive_result(pubs: Sequence[dict[str, Any]], metadata: Mapping[str, Any]) -> bytes:
    """The whole result."""
    return to_text(typed("PrimitiveResult", {"pub_results": list(pubs), "metadata": metadata}))


def moment(time: datetime) -> dict[str, Any]:
    """A point in time."""
    return typed("datetime", time.isoformat())


def execution_spans(start: datetime, stop: datetime, shapes: Sequence[tuple[int, ...]]) -> dict[str, Any]:
    """One span in which all data of all pubs were taken; `shapes` are (*pub shape, shots)."""
    slices = {
        str(index): [list(shape), 0, int(np.prod(shape[:-1], dtype=np.int64)), 0, shape[-1]]
        for index, shape in enumerate(shapes)
    }
    span = typed("DoubleSliceSpan", {"start": moment(start), "stop": moment(stop), "data_slices": slices})
    return typed("ExecutionSpans", {"spans": [span]})
