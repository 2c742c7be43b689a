"""Reads the `params` of an executor job, as the package `ibm-quantum-schemas` defines them: v2.0, and the
parts that other versions have in common with it (see `forms.py`).

The members have the names and meanings of that package's models; a test compares them. The models themselves
are not used on input: they inflate tensors without a limit, and drop the members that they do not know. Here
data are inflated against the job's budget, and an unknown member is refused by its name.
"""

from __future__ import annotations

import math
from typing import Any, Literal, TypeVar

import msgspec
import numpy as np
from numpy.typing import NDArray

from sojourn.devices.conditions import LEVELS
from sojourn.worker.codec import decode
from sojourn.worker.codec.decode import Budget
from sojourn.worker.programs.executor.forms import CURRENT, FEW, FORMS, Form
from sojourn.worker.programs.options import refuse
from sojourn.worker.protocol.types import JobRefused
from sojourn.worker.wording import quoted

VERSION = CURRENT.version
MEMBERS = ("schema_version", "quantum_program", "options")
MAX_ITEMS = 10_000
MAX_SHOTS = 2**63

DTYPES = {
    "bool": "?",
    **{f"{kind}{bits}": f"<{kind}{bits // 8}" for kind in "iu" for bits in (8, 16, 32, 64)},
    **{f"f{bits}": f"<f{bits // 8}" for bits in (16, 32, 64)},
    **{f"c{bits}": f"<c{bits // 8}" for bits in (64, 128)},
}
"""The data types of a tensor, and NumPy's names of them."""

T = TypeVar("T")


class Strict(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An object with the members that it states, and no others."""


class Tensor(Strict, frozen=True):
    """base64 of zlib of the data in C order, little-endian; bool is packed, the first in the lowest bit.
    Before v2.0 the data are not compressed."""

    data: str
    shape: list[int]
    dtype: str

    def array(self, where: str, budget: Budget, form: Form = CURRENT) -> NDArray[Any]:
        """The data. Raises `JobRefused` for what does not fit together."""
        known = DTYPES if form.packed else FEW
        if self.dtype not in known:
            raise JobRefused(f"{where}.dtype is {self.dtype[:40]!r}; it must be one of {', '.join(known)}")
        shape = checked_shape(self.shape, f"{where}.shape")
        size = math.prod(shape)
        kind = np.dtype(DTYPES[self.dtype])
        wanted = -(-size // 8) if self.dtype == "bool" else size * kind.itemsize
        content = content_of(self.data, f"{where}.data", budget, form)
        if len(content) != wanted:
            raise JobRefused(
                f"{where} has the shape {list(shape)} of {self.dtype}, which is {wanted} bytes, but holds "
                f"{len(content)}"
            )
        if self.dtype != "bool":
            return np.frombuffer(content, dtype=kind).reshape(shape)
        budget.left -= size  # a byte for each bit
        if budget.left < 0:
            raise JobRefused(f"{where}: the job's data are more than {decode.MAX_INFLATED >> 20} MB")
        packed = np.frombuffer(content, dtype=np.uint8)
        return np.unpackbits(packed, count=size, bitorder="little").astype(bool).reshape(shape)


class NoiseMap(Strict, frozen=True):
    """A Pauli-Lindblad map: terms of Pauli letters, their qubits and a rate."""

    sparse_terms: list[tuple[str, list[int], float]]
    num_qubits: int


class SamplexText(Strict, frozen=True):
    """A samplex as JSON text in the serialization version `ssv`."""

    ssv: int
    samplex_json: str


class Circuits(Strict, frozen=True):
    """base64 of zlib of a QPY file with one circuit for each item; before v2.0 of the file as it is."""

    b64_data: str
    qpy_version: int
    num_programs: int


class CircuitItem(Strict, frozen=True, tag_field="item_type", tag="circuit"):
    """A circuit at the points `circuit_arguments`, whose last axis runs over its parameters."""

    circuit_arguments: Tensor
    shape: list[int]
    chunk_size: int | Literal["auto"] = "auto"


class SamplexItem(Strict, frozen=True, tag_field="item_type", tag="samplex"):
    """A template circuit whose parameter values are drawn by a samplex."""

    samplex: SamplexText
    samplex_arguments: dict[str, msgspec.Raw]
    shape: list[int]
    chunk_size: int | Literal["auto"] = "auto"


Item = CircuitItem | SamplexItem


class QuantumProgram(Strict, frozen=True):
    """What is to be run. `passthrough_data` goes back as it came."""

    shots: int
    circuits: msgspec.Raw
    items: list[Item]
    semantic_role: str | None = None
    meas_level: str = "classified"
    passthrough_data: msgspec.Raw = msgspec.Raw(b"null")


_PROGRAM = msgspec.json.Decoder(QuantumProgram)
_CIRCUITS = msgspec.json.Decoder(Circuits)
_TENSOR = msgspec.json.Decoder(Tensor)
_NOISE_MAP = msgspec.json.Decoder(NoiseMap)


def read_members(params: bytes) -> dict[str, msgspec.Raw]:
    """The members of `params`, still as text. Refuses an unknown schema version before all else."""
    members = decode.read_object(params, "params")
    if "schema_version" not in members:
        raise JobRefused(f"params.schema_version is missing; {', '.join(FORMS)} are run here")
    version = decode.read_any(members["schema_version"], "params.schema_version")
    if not isinstance(version, str) or version not in FORMS:
        raise JobRefused(
            f"params.schema_version is {quoted(version)}; {', '.join(FORMS)} are run here, the last of which "
            "qiskit-ibm-runtime 0.49 and later send"
        )
    refuse(
        [
            f"params.{name[:120]} is not a member that the executor knows; it knows {', '.join(MEMBERS)}"
            for name in sorted(set(members) - set(MEMBERS))
        ]
    )
    if "quantum_program" not in members:
        raise JobRefused("params.quantum_program is missing: there is nothing to run")
    return members


def form_of(members: dict[str, msgspec.Raw]) -> Form:
    """The version of the job with these `members`."""
    return FORMS[decode.read_any(members["schema_version"], "params.schema_version")]


def read_program(text: msgspec.Raw, form: Form = CURRENT) -> QuantumProgram:
    """The quantum program of v1.0 or later, as far as it can be judged without its circuits. Raises
    `JobRefused`."""
    return checked(read(_PROGRAM, text, "params.quantum_program", form.version))


def checked(program: QuantumProgram) -> QuantumProgram:
    """The program, if its values can be. Raises `JobRefused`."""
    where = "params.quantum_program"
    if not 1 <= program.shots < MAX_SHOTS:
        raise JobRefused(f"{where}.shots is {program.shots}; it must be an integer of at least 1")
    if program.meas_level not in LEVELS:
        raise JobRefused(
            f"{where}.meas_level is {quoted(program.meas_level)}; it must be one of "
            + ", ".join(map(repr, LEVELS))
        )
    if not program.items:
        raise JobRefused(f"{where}.items is empty: there is nothing to run")
    if len(program.items) > MAX_ITEMS:
        raise JobRefused(f"{where}.items has {len(program.items)} items; the limit is {MAX_ITEMS}")
    sizes = [item.chunk_size for item in program.items]
    for index, size in enumerate(sizes):
        if size != "auto" and size < 1:
            raise JobRefused(f"items[{index}].chunk_size is {size}; it must be at least 1, or 'auto'")
    if "auto" in sizes and any(size != "auto" for size in sizes):
        raise JobRefused(
            "chunk_size is a number in some items and 'auto' in others; it must be one or the other in all"
        )
    return program


def content_of(text: str, where: str, budget: Budget, form: Form) -> bytes:
    """The bytes of base64 text, which are compressed since v2.0. Raises `JobRefused`."""
    return decode.inflate(text, where, budget) if form.packed else decode.plain(text, where, budget)


def read_circuits(text: msgspec.Raw, items: int, form: Form = CURRENT) -> Circuits:
    """The file of circuits, of which there must be one for each of the `items`."""
    where = "params.quantum_program.circuits"
    if "b64_data" not in decode.read_object(text, where):
        raise JobRefused(f"{where} has no b64_data: circuits of the executor are read as QPY only, here")
    circuits: Circuits = read(_CIRCUITS, text, where, form.version)
    if circuits.num_programs != items:
        raise JobRefused(
            f"{where}.num_programs is {circuits.num_programs}, and there are {items} items; there must be "
            "one circuit for each"
        )
    return circuits


def read_argument(text: msgspec.Raw, where: str, budget: Budget, form: Form = CURRENT) -> Any:
    """An argument of a samplex: an array, a `NoiseMap`, a bool or an integer."""
    raw = bytes(text).lstrip()
    if raw.startswith(b"{"):
        if "sparse_terms" in decode.read_object(text, where):
            return read(_NOISE_MAP, text, where, form.version)
        tensor: Tensor = read(_TENSOR, text, where, form.version)
        return tensor.array(where, budget, form)
    value = decode.read_any(text, where)
    if isinstance(value, bool | int) and abs(value) < MAX_SHOTS:
        return value
    raise JobRefused(
        f"{where} is {quoted(value)}; an argument of a samplex is a tensor, a Pauli-Lindblad map, a bool or "
        "an integer"
    )


def checked_shape(shape: list[int], where: str) -> tuple[int, ...]:
    """A shape that an array can have. Raises `JobRefused`."""
    if len(shape) > decode.MAX_DIMENSIONS or any(not 0 <= size < MAX_SHOTS for size in shape):
        raise JobRefused(
            f"{where} is {quoted(shape)}; a shape has at most {decode.MAX_DIMENSIONS} integers of at least 0"
        )
    return tuple(shape)


def read(decoder: msgspec.json.Decoder[T], text: msgspec.Raw, where: str, version: str) -> T:
    """Decoded. Raises `JobRefused` with the member that is wrong: msgspec has its path from `$`."""
    try:
        return decoder.decode(text)
    except msgspec.ValidationError as error:
        reason = str(error).replace("`$.", f"`{where}.").replace("`$", f"`{where}")
        raise JobRefused(f"{where} does not fit the executor's schema {version}: {reason}") from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise JobRefused(f"{where} is not valid JSON: {error} (NaN and Infinity are not JSON)") from None
    except RecursionError:
        raise JobRefused(f"{where} is nested too deeply") from None
