"""Reads what the client sends: its typed JSON, arrays, circuits, observables. Data only.

The encodings are ``{"__type__": T, "__value__": V}``. Only the types that a sampler or an estimator needs are
read; anything else, and everything that would name a class to construct or hold a pickle, is refused by name.
Compressed data are inflated against a budget, so a small body cannot become a large process.
"""

from __future__ import annotations

import base64
import binascii
import io
import math
import sys
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray
from qiskit.circuit import QuantumCircuit

from sojourn.worker.codec import qasm, qpy
from sojourn.worker.protocol.types import JobRefused

MAX_INFLATED = 512 * 2**20
PAULIS = frozenset("IXYZ")
LARGEST = sys.float_info.max
MAX_DIMENSIONS = 64  # NumPy's own limit

_RAW_LIST = msgspec.json.Decoder(list[msgspec.Raw])
_RAW_DICT = msgspec.json.Decoder(dict[str, msgspec.Raw])
_ANY = msgspec.json.Decoder()


class Budget:
    """How many inflated bytes one payload may still have."""

    __slots__ = ("left",)

    def __init__(self, limit: int = MAX_INFLATED) -> None:
        self.left = limit


@dataclass(frozen=True, slots=True)
class Observables:
    """Observables of any shape: `terms` is the flat list, each a mapping of Pauli labels to coefficients.

    `width` is the length of every label.
    """

    shape: tuple[int, ...]
    terms: tuple[Mapping[str, float], ...]
    width: int


def read_object(text: bytes | msgspec.Raw, where: str) -> dict[str, msgspec.Raw]:
    """A JSON object, its values still as text."""
    return _parse(_RAW_DICT, text, where, "an object")  # type: ignore[no-any-return]


def read_list(text: bytes | msgspec.Raw, where: str) -> list[msgspec.Raw]:
    """A JSON array, its items still as text."""
    return _parse(_RAW_LIST, text, where, "an array")  # type: ignore[no-any-return]


def read_any(text: bytes | msgspec.Raw, where: str) -> Any:
    """Plain JSON."""
    return _parse(_ANY, text, where, "JSON")


def _parse(decoder: Any, text: bytes | msgspec.Raw, where: str, kind: str) -> Any:
    try:
        return decoder.decode(text)
    except msgspec.ValidationError as error:
        raise JobRefused(f"{where} must be {kind}: {error}") from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise JobRefused(f"{where} is not valid JSON: {error} (NaN and Infinity are not JSON)") from None
    except RecursionError:
        raise JobRefused(f"{where} is nested too deeply") from None


def read_circuit(
    text: msgspec.Raw, where: str, budget: Budget, widest: int = qpy.MAX_CIRCUIT_QUBITS
) -> tuple[QuantumCircuit, int | None]:
    """The circuit and the QPY version of its file; None when it came as OpenQASM text, which may have at most
    `widest` qubits (and whose width the device may have to supply)."""
    value = read_any(text, where)
    if isinstance(value, str):
        return qasm.load_circuit(value, where, widest), None
    data = _typed(value, where, ("QuantumCircuit",))
    content = inflate(data, where, budget)
    return qpy.load_circuit(content, where), content[6]


def read_values(text: msgspec.Raw, where: str, budget: Budget) -> NDArray[np.float64] | dict[str, Any] | None:
    """Parameter values: an array, nested lists, a mapping of parameter names to lists, or null."""
    value = read_any(text, where)
    if value is None:
        return None
    if isinstance(value, dict) and "__type__" not in value:
        return {name: _numbers(part, f"{where}[{name!r}]", budget) for name, part in value.items()}
    return _numbers(value, where, budget)


def _numbers(value: Any, where: str, budget: Budget) -> NDArray[np.float64]:
    if isinstance(value, dict):
        inner = _typed(value, where, ("ndarray",))
        if isinstance(inner, str):
            array = read_npy(inflate(inner, where, budget), where)
        else:
            array = _from_lists(inner, where)
    else:
        array = _from_lists(value, where)
    if array.dtype.kind not in "fiu":
        raise JobRefused(f"{where}: parameter values must be real numbers, not {array.dtype}")
    values = np.asarray(array, dtype=np.float64)
    if not np.isfinite(values).all():
        raise JobRefused(f"{where}: parameter values must be finite; there are NaN or infinite ones")
    return values


def _from_lists(value: Any, where: str) -> NDArray[Any]:
    if not isinstance(value, list | int | float) or isinstance(value, bool):
        raise JobRefused(f"{where} must be an array of numbers, not {type(value).__name__}")
    try:
        array = np.array(value)
    except (TypeError, ValueError, OverflowError):
        raise JobRefused(f"{where} must be a regular array of real numbers") from None
    if array.size and array.dtype.kind not in "fiu":  # texts, null, integers beyond 64 bits
        raise JobRefused(f"{where} must be a regular array of real numbers, integers among them below 2**64")
    return array.astype(np.float64)


def read_npy(content: bytes, where: str) -> NDArray[Any]:
    """An array of numbers as NumPy writes it to a file; never one of objects."""
    stream = io.BytesIO(content)
    try:
        version = np.lib.format.read_magic(stream)
        read = {
            (1, 0): np.lib.format.read_array_header_1_0,
            (2, 0): np.lib.format.read_array_header_2_0,
        }[version]
        shape, fortran, dtype = read(stream)
    except Exception as error:  # the header is a Python literal, and NumPy's parser says what it likes
        raise JobRefused(f"{where}: the array's header cannot be read: {str(error)[:200]}") from None
    if dtype.hasobject or dtype.kind not in "fiubc":
        raise JobRefused(
            f"{where}: an array of {dtype} is not accepted; send real numbers (pickles never are)"
        )
    body = content[stream.tell() :]
    if len(shape) > MAX_DIMENSIONS or any(isinstance(size, bool) or size < 0 for size in shape):
        raise JobRefused(
            f"{where}: the array claims the shape {str(shape)[:200]}; a shape has at most {MAX_DIMENSIONS} "
            "integers of at least 0"
        )
    if math.prod(shape) * dtype.itemsize != len(body):
        raise JobRefused(f"{where}: the array claims shape {shape} of {dtype} but holds {len(body)} bytes")
    return np.frombuffer(body, dtype=dtype).reshape(shape, order="F" if fortran else "C")


def read_observables(text: msgspec.Raw, where: str) -> Observables:
    """Nested lists of ``{label: coefficient}`` (or plain labels) of one regular shape."""
    terms: list[Mapping[str, float]] = []
    shape = _walk(read_any(text, where), where, terms, 0)
    if not terms:
        raise JobRefused(f"{where}: there are no observables")
    widths = {len(label) for observable in terms for label in observable}
    if len(widths) != 1:
        raise JobRefused(f"{where}: Pauli labels of different lengths: {sorted(widths)}")
    return Observables(shape, tuple(terms), widths.pop())


def _walk(value: Any, where: str, terms: list[Mapping[str, float]], depth: int) -> tuple[int, ...]:
    if isinstance(value, dict) and "__type__" in value:
        value = _typed(value, where, ("ObservablesArray", "ndarray"))
        if isinstance(value, str):
            raise JobRefused(f"{where}: observables come as nested lists, not as binary arrays")
    if isinstance(value, str):
        terms.append(_terms({value: 1.0}, where))
        return ()
    if isinstance(value, dict):
        terms.append(_terms(value, where))
        return ()
    if not isinstance(value, list) or depth > 16:
        raise JobRefused(f"{where}: expected Pauli labels with coefficients, got {type(value).__name__}")
    shapes = {_walk(item, f"{where}[{i}]", terms, depth + 1) for i, item in enumerate(value)}
    if len(shapes) > 1:
        raise JobRefused(f"{where}: the observables do not form a regular array")
    return (len(value), *(shapes.pop() if shapes else ()))


def _terms(value: Mapping[str, Any], where: str) -> Mapping[str, float]:
    if not value:
        raise JobRefused(f"{where}: an observable without terms")
    made: dict[str, float] = {}
    for label, coefficient in value.items():
        if not label or not PAULIS.issuperset(label):
            raise JobRefused(f"{where}: {label[:40]!r} is not a Pauli label; the letters are I, X, Y and Z")
        number = coefficient
        if isinstance(number, dict):
            parts = _typed(number, where, ("complex",))
            if not isinstance(parts, list) or len(parts) != 2 or parts[1] != 0:
                raise JobRefused(f"{where}: the coefficient of {label!r} must be real, not {parts}")
            number = parts[0]
        if isinstance(number, bool) or not isinstance(number, int | float) or not abs(number) <= LARGEST:
            shown = repr(number)
            raise JobRefused(
                f"{where}: the coefficient of {label[:40]!r} must be a finite real number, not {shown[:80]}"
            )
        made[label] = float(number)
    if not math.isfinite(sum(map(abs, made.values()))):
        raise JobRefused(
            f"{where}: the coefficients add up to more than {LARGEST:.3g}, so no value is finite"
        )
    return made


def _typed(value: Any, where: str, allowed: tuple[str, ...]) -> Any:
    """The ``__value__`` of an encoded object of one of the types `allowed`."""
    if not isinstance(value, dict) or "__type__" not in value:
        raise JobRefused(f"{where} must be of type {' or '.join(allowed)}, not {type(value).__name__}")
    kind = value["__type__"]
    if kind not in allowed or "__value__" not in value:
        raise JobRefused(
            f"{where}: the encoded type {str(kind)[:60]!r} is not accepted here; allowed is "
            + " or ".join(allowed)
        )
    return value["__value__"]


def inflate(text: Any, where: str, budget: Budget) -> bytes:
    """base64 of zlib data, inflated at most to what the budget has left."""
    if not isinstance(text, str):
        raise JobRefused(f"{where}: expected base64 text, got {type(text).__name__}")
    try:
        packed = base64.b64decode(text, validate=True)
        machine = zlib.decompressobj()
        content = machine.decompress(packed, budget.left + 1)
    except (binascii.Error, ValueError, zlib.error) as error:
        raise JobRefused(f"{where}: the data are not base64 of zlib data: {error}") from None
    if len(content) > budget.left:
        raise JobRefused(
            f"{where}: the data inflate to more than {MAX_INFLATED // 2**20} MB, which is the limit"
        )
    if not machine.eof:
        raise JobRefused(f"{where}: the compressed data are cut off")
    budget.left -= len(content)
    return content


def plain(text: Any, where: str, budget: Budget) -> bytes:
    """base64 of data as they are, which count against the budget."""
    if not isinstance(text, str):
        raise JobRefused(f"{where}: expected base64 text, got {type(text).__name__}")
    try:
        content = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise JobRefused(f"{where}: the data are not base64: {error}") from None
    budget.left -= len(content)
    if budget.left < 0:
        raise JobRefused(f"{where}: the job's data are more than {MAX_INFLATED >> 20} MB, which is the limit")
    return content
