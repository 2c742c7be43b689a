"""Derives what a circuit gives to a result: its registers as fields, its metadata. Whatever the client could
not read back is refused here, before the job runs.

The rules are those of the client's own container: a result without data is written by the encoder of the real
one, read as the client reads it, and looked at.
"""

from __future__ import annotations

import ast
import base64
import copy
import functools
import io
import json
import math
import pickle
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import msgspec
import numpy as np
from qiskit.circuit import QuantumCircuit
from qiskit.primitives.containers import BitArray, DataBin

from sojourn.devices.bits import num_bytes
from sojourn.worker.codec import decode, encode
from sojourn.worker.protocol.types import JobRefused
from sojourn.worker.wording import short

MAX_REGISTERS = 10_000
MAX_METADATA = 4 * 2**20  # characters of JSON
MAX_DEPTH = 64
_HEADER = 192  # bytes of an array before its data, at most
_RENAME = "rename the register"


@dataclass(frozen=True, slots=True)
class Register:
    """A classical register and where its bits are among all classical bits, least significant first."""

    name: str
    bits: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Fields:
    """The registers of a circuit as fields of a result. `loose` counts the classical bits that belong to no
    register; `size` is the length of everything but the data, in bytes."""

    registers: tuple[Register, ...]
    loose: int
    size: int


def registers_of(circuit: QuantumCircuit) -> tuple[Register, ...]:
    index = {bit: i for i, bit in enumerate(circuit.clbits)}
    return tuple(Register(creg.name, tuple(index[bit] for bit in creg)) for creg in circuit.cregs)


def fields_of(circuit: QuantumCircuit, where: str) -> Fields:
    """Raises `JobRefused` for what the client could not read."""
    if len(circuit.cregs) > MAX_REGISTERS:
        raise JobRefused(
            f"{where} has {len(circuit.cregs)} classical registers; the limit is {MAX_REGISTERS}. "
            "Use fewer and wider ones"
        )
    found = registers_of(circuit)
    for register in found:
        _check_name(register, where)
    try:
        _read_back(found)
    except JobRefused:
        raise
    except Exception:
        _find_culprit(found, where)
    loose = circuit.num_clbits - len({bit for register in found for bit in register.bits})
    return Fields(found, loose, 300 + sum(300 + 4 * len(register.name) for register in found))


def _check_name(register: Register, where: str) -> None:
    """The field is read as ``data.name``. Python has its own rules for what that is: keywords, characters
    that are no part of a name, and others that it takes for their compatible form (PEP 3131)."""
    name = register.name
    try:
        read = ast.parse(f"data.{name}", mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        read = None
    if isinstance(read, ast.Attribute) and isinstance(read.value, ast.Name) and read.attr == name:
        return
    if isinstance(read, ast.Attribute) and name.isidentifier():
        raise JobRefused(
            f"{where}: the classical register {short(name)!r} cannot be a field of the result: Python reads "
            f"data.{name[:80]} as data.{read.attr[:80]}; name the register {short(read.attr)!r}"
        )
    raise JobRefused(
        f"{where}: the classical register {short(name)!r} cannot be a field of the result; its name must be "
        f"an identifier of Python and no keyword; {_RENAME}"
    )


def _find_culprit(registers: Sequence[Register], where: str) -> None:
    """Some of them cannot be read back: say which and why."""
    for register in registers:
        try:
            _read_back((register,))
        except Exception as error:
            reason = " ".join(str(error).split())[:200]
            if not register.bits:
                reason, rest = "it has no bits", "give it some, or leave it out"
            else:
                rest = _RENAME
            raise JobRefused(
                f"{where}: the classical register {short(register.name)!r} cannot be a field of the result, "
                f"as the client's DataBin could not be read: {reason}; {rest}"
            ) from error
    names = ", ".join(repr(short(register.name)) for register in registers[:20])
    raise JobRefused(f"{where}: the classical registers {names} cannot be fields of one result; rename them")


@functools.cache
def _copies() -> bool:
    """Whether a result can be copied and pickled at all: not before Qiskit 2.0."""
    try:
        copy.deepcopy(DataBin(bits=1))
    except NotImplementedError:
        return False
    return True


def _read_back(registers: Sequence[Register]) -> None:
    """Write a result with one shot of each and read it as the client does. Raises whatever goes wrong."""
    bits = {register.name: len(register.bits) for register in registers}
    fields = {
        name: ("BitArray", encode.bits(np.zeros((1, num_bytes(width)), dtype=np.uint8), width))
        for name, width in bits.items()
    }
    text = encode.to_text(encode.data_bin((), fields))
    data = json.loads(text, object_hook=_decoded)
    bare = DataBin()
    copies = (copy.deepcopy(data), pickle.loads(pickle.dumps(data))) if _copies() else ()
    for one in (data, *copies):
        if list(one.keys()) != list(bits) or one.shape != () or one.size != 1 or len(one) != len(bits):
            raise ValueError("its fields are not the registers")
        repr(one)
    for name, width in bits.items():
        if hasattr(bare, name):
            raise ValueError(f"{name!r} is a member of every result")
        field = getattr(data, name)
        if field is not data[name] or field.num_bits != width or field.get_counts() != {"0" * width: 1}:
            raise ValueError(f"{name!r} does not give its bits")


def _decoded(value: dict[str, Any]) -> Any:
    """What the client makes of an encoded object, as far as one stands in a pub's data."""
    kind, content = value.get("__type__"), value.get("__value__")
    match kind, content:
        case "ndarray", str():
            return np.load(io.BytesIO(zlib.decompress(base64.b64decode(content))), allow_pickle=False)
        case "BitArray", dict():
            return BitArray(**content)
        case "DataBin", dict():
            return DataBin(shape=tuple(content["shape"]), **content["fields"])
    return value


def metadata_of(metadata: Mapping[str, Any] | None, where: str, budget: decode.Budget) -> msgspec.Raw:
    """A circuit's metadata as they go back to its owner: JSON text, as the client's own encoder writes it.

    Arrays in it are inflated to be checked, which counts against the job's `budget`.
    """
    try:
        _check_metadata(metadata or {}, 0, budget)
        text = json.dumps(metadata or {})
    except (TypeError, ValueError, RecursionError, JobRefused) as error:
        raise JobRefused(
            f"{where}: the circuit's metadata cannot go back with the result: {error}; change "
            "circuit.metadata"
        ) from None
    if len(text) > MAX_METADATA:
        raise JobRefused(
            f"{where}: the circuit's metadata have {len(text)} characters; the limit is {MAX_METADATA}. They "
            "go back with the result; leave out of circuit.metadata what need not"
        )
    return msgspec.Raw(text.encode())


def _check_metadata(value: Any, depth: int, budget: decode.Budget) -> None:
    """An encoded object inside is built by whoever reads the result, so it must be plain data in order."""
    if depth > MAX_DEPTH:
        raise ValueError(f"they are nested more than {MAX_DEPTH} deep")
    if isinstance(value, Mapping):
        if "__type__" in value:
            _check_typed(value, budget)
        for part in value.values():
            _check_metadata(part, depth + 1, budget)
    elif isinstance(value, list | tuple):
        for part in value:
            _check_metadata(part, depth + 1, budget)


def _check_typed(value: Mapping[str, Any], budget: decode.Budget) -> None:
    kind, content = value["__type__"], value.get("__value__")
    match kind, content:
        case "complex", [int() | float(), int() | float()]:
            return
        case "ndarray", str():
            decode.read_npy(decode.inflate(content, "an array", budget), "an array")
            return
        case "ndarray", list():
            np.array(content)  # raises ValueError when it is not regular
            return
        case "datetime", str():
            datetime.fromisoformat(content)
            return
        case "set", list() if all(isinstance(part, str | int | float | bool | None) for part in content):
            return
    raise ValueError(f"they hold an encoded object {str(kind)[:60]!r}, which is not sent back")


def encoded_size(data: int) -> int:
    """The most characters that so many bytes of an array come to: base64 of what does not compress."""
    return math.ceil((data + data // 1000 + _HEADER) * 4 / 3) + 4
