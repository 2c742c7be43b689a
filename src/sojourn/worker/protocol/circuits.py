"""Finds the circuits in the params of a job and says of which QPY version each is, without reading them.

Standard library only: the server looks as well, to see whether a device's interpreter can read them.
"""

from __future__ import annotations

import base64
import re
import zlib
from collections.abc import Iterator
from typing import NamedTuple

_CIRCUIT = re.compile(
    rb'"__type__"\s*:\s*"QuantumCircuit"\s*,\s*"__value__"\s*:\s*"([A-Za-z0-9+/]{12,}={0,2})"'
)
_HEAD = 512  # characters of base64: enough for what stands before the first byte of compressed data
_MAGIC = b"QISKIT"


class Place(NamedTuple):
    """Where the text of a circuit (base64 of zlib data) stands in the params, and its QPY version."""

    start: int
    stop: int
    version: int


def circuits(params: bytes) -> Iterator[Place]:
    """The circuits in their order. What is not encoded as clients do it is not found, and left to the device,
    which refuses what it cannot read."""
    for match in _CIRCUIT.finditer(params):
        start, stop = match.span(1)
        head = params[start : min(stop, start + _HEAD)]
        try:
            content = zlib.decompressobj().decompress(base64.b64decode(head), len(_MAGIC) + 1)
        except (ValueError, zlib.error):
            continue
        if content[:-1] == _MAGIC:
            yield Place(start, stop, content[-1])


def newest(params: bytes) -> int:
    """The newest QPY version among the circuits; 0 when there are none."""
    return max((place.version for place in circuits(params)), default=0)
