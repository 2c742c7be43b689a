"""Writes the result of an executor job in the version of the job, as the client decodes it."""

from __future__ import annotations

import base64
import math
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from sojourn.devices.driver import Outcome
from sojourn.worker.codec import encode
from sojourn.worker.programs.base import Window
from sojourn.worker.programs.conditions import Compilation
from sojourn.worker.programs.executor.forms import CURRENT, Form
from sojourn.worker.programs.executor.schema import DTYPES
from sojourn.worker.programs.fields import Register

SPAN_BYTES = 300
"""The most that the text of a chunk takes, with one part."""

PART_BYTES = 200
SIGNAL = np.dtype(np.complex64)
"""Of the signals of a readout."""

_NAMES = {np.dtype(kind): name for name, kind in DTYPES.items()}
_TOGETHER = 8  # points whose bits fill whole bytes, whatever their number


@dataclass(frozen=True, slots=True)
class Part:
    """Elements of an item, `start` to `stop` of its flattened shape, that ran in one chunk."""

    item: int
    start: int
    stop: int


def tensor(values: NDArray[Any], form: Form = CURRENT) -> dict[str, Any]:
    """An array in the form of the schema's version."""
    values = values.astype(form.kind(values.dtype), copy=False)
    if values.dtype == np.bool_:
        content = np.packbits(values.reshape(-1), bitorder="little").tobytes()
    else:
        content = values.astype(values.dtype.newbyteorder("<"), order="C").tobytes()
    data = zlib.compress(content, 1) if form.packed else content
    return _tensor(data, values.shape, _NAMES[values.dtype.newbyteorder("<")])


def bits(
    outcomes: Sequence[Outcome],
    register: Register,
    num_clbits: int,
    shape: tuple[int, ...],
    shots: int,
    form: Form = CURRENT,
) -> dict[str, Any]:
    """The bits of a register: bool of (*shape, shots, bits), bit 0 of the register first."""
    machine = zlib.compressobj(1) if form.packed else None
    parts: list[bytes] = []
    last = -(-num_clbits // 8) * 8 - 1
    columns = [last - bit for bit in register.bits]
    for start in range(0, len(outcomes), _TOGETHER):
        block = []
        for outcome in outcomes[start : start + _TOGETHER]:
            assert outcome.order is not None
            patterns = np.unpackbits(outcome.patterns, axis=-1)[:, columns]
            block.append(patterns[outcome.order].reshape(-1))
        content = np.packbits(np.concatenate(block), bitorder="little").tobytes()
        parts.append(content if machine is None else machine.compress(content))
    if machine is not None:
        parts.append(machine.flush())
    return _tensor(b"".join(parts), (*shape, shots, len(register.bits)), "bool")


def signals(outcomes: Sequence[Outcome], register: Register, shape: tuple[int, ...]) -> dict[str, Any]:
    """The signals of a register: complex of (*shape, shots, bits), or averaged (*shape, bits)."""
    machine = zlib.compressobj(1)
    bits = list(register.bits)
    parts: list[bytes] = []
    one: tuple[int, ...] = ()
    for outcome in outcomes:
        assert outcome.signal is not None
        found = outcome.signal[..., bits]
        one = found.shape
        parts.append(machine.compress(found.astype("<c8").tobytes()))
    parts.append(machine.flush())
    return _tensor(b"".join(parts), (*shape, *one), _NAMES[SIGNAL])


def unpacked(
    outcomes: Sequence[Outcome], register: Register, num_clbits: int, shape: tuple[int, ...], shots: int
) -> NDArray[np.bool_]:
    """The bits of a register as an array, as `bits` encodes them."""
    last = -(-num_clbits // 8) * 8 - 1
    columns = [last - bit for bit in register.bits]
    made = np.empty((len(outcomes), shots, len(columns)), dtype=np.bool_)
    for index, outcome in enumerate(outcomes):
        assert outcome.order is not None
        made[index] = np.unpackbits(outcome.patterns, axis=-1)[:, columns][outcome.order]
    return made.reshape(*shape, shots, len(columns))


def gathered(
    outcomes: Sequence[Outcome], register: Register, shape: tuple[int, ...]
) -> NDArray[np.complex64]:
    """The signals of a register as an array, as `signals` encodes them."""
    bits = list(register.bits)
    found = []
    for outcome in outcomes:
        assert outcome.signal is not None
        found.append(outcome.signal[..., bits])
    made: NDArray[np.complex64] = np.stack(found)
    return made.reshape(*shape, *made.shape[1:])


def size_of(shape: Sequence[int], kind: np.dtype[Any]) -> int:
    """Bytes of an array in the schema's form, before base64."""
    size = math.prod(shape)
    return -(-size // 8) if kind == np.bool_ else size * kind.itemsize


def metadata(told: Compilation, form: Form = CURRENT) -> dict[str, Any] | None:
    """Metadata of an item; None for what was not asked for."""
    if form.bare:
        return None
    stretches = None if told.stretches is None else list(told.stretches)
    return {"scheduler_timing": told.timing, "stretch_values": stretches}


def within(
    chunks: Sequence[tuple[Window, Sequence[Part]]], whole: Window
) -> Sequence[tuple[Window, Sequence[Part]]]:
    """The chunks with their times stretched to those in which the device had the job: a model of a device may
    have it for longer than the simulation takes."""
    taken = chunks[-1][0].stop - whole.start if chunks else timedelta(0)
    if not taken or chunks[-1][0].stop >= whole.stop:
        return chunks
    factor = (whole.stop - whole.start) / taken

    def moved(moment: datetime) -> datetime:
        return whole.start + (moment - whole.start) * factor

    return [(Window(moved(window.start), moved(window.stop)), parts) for window, parts in chunks]


def text(
    items: Sequence[dict[str, Any]],
    chunks: Sequence[tuple[Window, Sequence[Part]]],
    dimensions: Sequence[int],
    passthrough: msgspec.Raw,
    role: str | None,
    form: Form = CURRENT,
) -> bytes:
    """The whole result. `dimensions` are those of each item's shape."""
    timing = [
        {
            "start": window.start.isoformat(),
            "stop": window.stop.isoformat(),
            "parts": [_part(part, dimensions[part.item], form) for part in parts],
        }
        for window, parts in chunks
    ]
    whole: dict[str, Any] = {
        "schema_version": form.version,
        "data": list(items),
        "metadata": {"chunk_timing": timing},
    }
    if not form.bare:
        whole["passthrough_data"] = passthrough
    if not form.apart:
        whole["semantic_role"] = role
    return encode.to_text(whole)


def _part(part: Part, dimensions: int, form: Form) -> dict[str, Any]:
    told: dict[str, Any] = {"idx_item": part.item, "size": part.stop - part.start}
    if not form.apart:
        told["permutation"] = list(range(dimensions))
        told["element_range"] = [part.start, part.stop, 1]
    return told


def _tensor(packed: bytes, shape: Sequence[int], dtype: str) -> dict[str, Any]:
    return {"data": base64.b64encode(packed).decode("ascii"), "shape": list(shape), "dtype": dtype}
