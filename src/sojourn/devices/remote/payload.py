"""Writes tasks as the pubs of sampler jobs in the client's encoding, and reads outcomes from their results.

What comes back is measured against what was asked for: the fields, their shapes and sizes are known before.
"""

from __future__ import annotations

import base64
import binascii
import io
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray
from qiskit import qpy
from qiskit.circuit import (
    CircuitInstruction,
    ClassicalRegister,
    ControlFlowOp,
    Delay,
    ParameterExpression,
    QuantumCircuit,
)
from qiskit.exceptions import QiskitError

from sojourn.devices.bits import num_bytes
from sojourn.devices.delays import SECONDS, replaced
from sojourn.devices.driver import CompiledCircuit, DriverError, Outcome, Task

NEWEST_QPY = min(17, qpy.QPY_VERSION)
"""The version that the clients send; see the option `qpy`."""

_REST = "unnamed_bits"
_HEADER = 512  # bytes of an array before its data, at most
_BLOCK = 1 << 22  # bits that are unpacked at a time
_JSON = msgspec.json.Encoder()


class Unreadable(DriverError):
    """A result is not what was asked for."""


@dataclass(frozen=True, slots=True)
class Field:
    """A register: its name in a result, and which classical bits it has, least significant first."""

    name: str
    bits: tuple[int, ...]


class SentCircuit(CompiledCircuit):
    """A circuit as text of a pub. `fields` are its registers, which together have all of its bits."""

    __slots__ = ("fields", "text")

    def __init__(self, circuit: QuantumCircuit, version: int, step: float | None) -> None:
        """`step` is the device's dt in seconds. Raises `DriverError` for a circuit that cannot be written in
        that version of QPY."""
        whole = _with_all_bits(_in_steps(circuit, step))
        file = io.BytesIO()
        try:
            qpy.dump(whole, file, version=version)
        except (QiskitError, TypeError, ValueError) as error:
            raise DriverError(
                f"the circuit cannot be written in QPY version {version}, which the device's service reads: "
                f"{' '.join(str(error).split())[:300]}"
            ) from error
        packed = base64.b64encode(zlib.compress(file.getvalue())).decode("ascii")
        self.text = msgspec.Raw(_JSON.encode({"__type__": "QuantumCircuit", "__value__": packed}))
        place = {bit: number for number, bit in enumerate(whole.clbits)}
        self.fields = tuple(
            Field(register.name, tuple(place[bit] for bit in register))
            for register in whole.cregs
            if len(register)
        )
        super().__init__(
            num_clbits=circuit.num_clbits,
            num_parameters=circuit.num_parameters,
            cost=1024 + len(packed),
        )

    def result_bytes(self, shots: int) -> int:
        """Bytes of the outcomes of one point."""
        return shots * sum(num_bytes(len(field.bits)) for field in self.fields)


def _with_all_bits(circuit: QuantumCircuit) -> QuantumCircuit:
    """The circuit, with one register more for bits that belong to none: a result is made of registers."""
    named = {bit for register in circuit.cregs for bit in register}
    loose = [bit for bit in circuit.clbits if bit not in named]
    if not loose:
        return circuit
    taken = {register.name for register in circuit.cregs} | {register.name for register in circuit.qregs}
    name = _REST
    while name in taken:
        name += "_"
    made = circuit.copy()
    made.add_register(ClassicalRegister(bits=loose, name=name))
    return made


def _in_steps(circuit: QuantumCircuit, step: float | None) -> QuantumCircuit:
    """Delays that depend on parameters in dt: a QPY file has no units, and that one is what is read."""

    def new(item: CircuitInstruction) -> Delay:
        delay = item.operation
        if step is None or not isinstance(delay.duration, ParameterExpression) or delay.unit not in SECONDS:
            return delay
        return Delay(delay.duration * (SECONDS[delay.unit] / step), "dt")

    return replaced(circuit, new) if _waits_for_values(circuit) else circuit


def _waits_for_values(circuit: QuantumCircuit) -> bool:
    for item in circuit.data:
        operation = item.operation
        if isinstance(operation, Delay) and isinstance(operation.duration, ParameterExpression):
            return True
        if isinstance(operation, ControlFlowOp) and any(map(_waits_for_values, operation.blocks)):
            return True
    return False


@dataclass(frozen=True, slots=True)
class Piece:
    """A pub: a circuit at some of the points of a task."""

    task: int
    circuit: SentCircuit
    values: NDArray[np.float64]
    shots: int

    @property
    def executions(self) -> int:
        return len(self.values) * self.shots

    @property
    def result_bytes(self) -> int:
        return len(self.values) * self.circuit.result_bytes(self.shots)

    @property
    def sent_bytes(self) -> int:
        return len(bytes(self.circuit.text)) + 2 * self.values.nbytes + 300


@dataclass(frozen=True, slots=True)
class Bounds:
    """The most of one job."""

    pubs: int = 1000
    executions: int = 10_000_000
    result_bytes: int = 48 << 20
    sent_bytes: int = 12 << 20


def jobs_of(tasks: Sequence[Task], bounds: Bounds) -> list[list[Piece]]:
    """The tasks as pubs of as few jobs as the bounds allow, in their order. Those without a classical bit are
    left out: nothing comes back of them."""
    jobs: list[list[Piece]] = []
    room = Bounds(0, 0, 0, 0)
    for number, task in enumerate(tasks):
        circuit = task.circuit
        assert isinstance(circuit, SentCircuit)
        if not circuit.fields:
            continue
        for piece in _pieces(number, circuit, task, bounds):
            left = Bounds(
                room.pubs - 1,
                room.executions - piece.executions,
                room.result_bytes - piece.result_bytes,
                room.sent_bytes - piece.sent_bytes,
            )
            if min(left.pubs, left.executions, left.result_bytes, left.sent_bytes) < 0:
                jobs.append([])
                left = Bounds(
                    bounds.pubs - 1,
                    bounds.executions - piece.executions,
                    bounds.result_bytes - piece.result_bytes,
                    bounds.sent_bytes - piece.sent_bytes,
                )
            jobs[-1].append(piece)
            room = left
    return jobs


def _pieces(number: int, circuit: SentCircuit, task: Task, bounds: Bounds) -> list[Piece]:
    """A task that is too large for one job, in several. A point is never divided."""
    most = min(
        bounds.executions // max(1, task.shots),
        bounds.result_bytes // max(1, circuit.result_bytes(task.shots)),
        bounds.sent_bytes // max(1, 32 * circuit.num_parameters),
    )
    step = max(1, most)
    return [
        Piece(number, circuit, task.values[start : start + step], task.shots)
        for start in range(0, len(task.values), step)
    ]


def params_of(pieces: Sequence[Piece], seed: int | None) -> bytes:
    """The inputs of a sampler job, as JSON text."""
    options: dict[str, Any] = {} if seed is None else {"simulator": {"seed_simulator": seed}}
    pubs = [(piece.circuit.text, _array(piece.values), piece.shots) for piece in pieces]
    return _JSON.encode({"pubs": pubs, "options": options, "version": 2, "support_qiskit": True})


def _array(values: NDArray[np.float64]) -> dict[str, str]:
    file = io.BytesIO()
    np.save(file, np.ascontiguousarray(values), allow_pickle=False)
    return {
        "__type__": "ndarray",
        "__value__": base64.b64encode(zlib.compress(file.getvalue())).decode("ascii"),
    }


def empty(points: int, shots: int) -> list[Outcome]:
    """The outcomes of a circuit without classical bits."""
    nothing = np.zeros((1, 0), dtype=np.uint8)
    once = Outcome(nothing, np.array([shots]), np.zeros(shots, dtype=np.intp))
    return [once] * points


def outcomes_of(pieces: Sequence[Piece], text: bytes) -> list[list[Outcome]]:
    """For each pub an outcome for each of its points. Raises `Unreadable`."""
    try:
        whole = msgspec.json.decode(text)
        found = _value(whole, "PrimitiveResult")["pub_results"]
        if len(found) != len(pieces):
            raise Unreadable(f"{len(pieces)} pubs were sent, and {len(found)} results came back")
        return [_of_pub(piece, result) for piece, result in zip(pieces, found, strict=True)]
    except Unreadable:
        raise
    except (msgspec.MsgspecError, KeyError, TypeError, ValueError, zlib.error, binascii.Error) as error:
        raise Unreadable(f"the result cannot be read ({type(error).__name__}: {str(error)[:200]})") from error


def _of_pub(piece: Piece, result: Any) -> list[Outcome]:
    inner = _value(result, "SamplerPubResult", "PubResult")
    fields = _value(inner["data"], "DataBin")["fields"]
    bits = piece.circuit.num_clbits
    points, shots = len(piece.values), piece.shots
    columns = []
    for field in piece.circuit.fields:
        if field.name not in fields:
            raise Unreadable(f"there is nothing of the register {field.name!r} in a result")
        columns.append((field, _bits(fields[field.name], field, points, shots)))
    return [
        outcome(_joined([(f, array[point]) for f, array in columns], bits, shots)) for point in range(points)
    ]


def _bits(value: Any, field: Field, points: int, shots: int) -> NDArray[np.uint8]:
    """(points, shots, bytes) of a register."""
    array = _value(value, "BitArray")
    if array["num_bits"] != len(field.bits):
        raise Unreadable(
            f"the register {field.name!r} has {len(field.bits)} bits, {array['num_bits']} came back"
        )
    width = num_bytes(len(field.bits))
    size = points * shots * width
    machine = zlib.decompressobj()
    packed = base64.b64decode(_value(array["array"], "ndarray"), validate=True)
    content = machine.decompress(packed, size + _HEADER)
    stream = io.BytesIO(content)
    if np.lib.format.read_magic(stream) != (1, 0):
        raise Unreadable("an array is of a form that is not known here")
    shape, fortran, dtype = np.lib.format.read_array_header_1_0(stream)
    if dtype != np.uint8 or fortran or len(content) - stream.tell() != size or not machine.eof:
        raise Unreadable(f"the register {field.name!r} came back as {dtype}{shape}")
    if shape[-2:] != (shots, width):
        raise Unreadable(
            f"{shots} shots of {len(field.bits)} bits were asked for of {field.name!r}, {shape} came back"
        )
    return np.frombuffer(content, dtype=np.uint8, offset=stream.tell()).reshape(points, shots, width)


def _joined(columns: Sequence[tuple[Field, NDArray[np.uint8]]], bits: int, shots: int) -> NDArray[np.uint8]:
    """(shots, bytes) with all bits in their places, from (shots, bytes) of each register."""
    if len(columns) == 1 and columns[0][0].bits == tuple(range(bits)):
        return columns[0][1]
    made = np.empty((shots, num_bytes(bits)), dtype=np.uint8)
    step = max(1, _BLOCK // max(8, bits))
    for start in range(0, shots, step):
        stop = min(shots, start + step)
        single = np.zeros((stop - start, 8 * made.shape[1]), dtype=np.uint8)
        for field, array in columns:
            count = len(field.bits)
            own = np.unpackbits(array[start:stop], axis=-1)[:, -count:]  # the last column is its bit 0
            single[:, [single.shape[1] - 1 - bit for bit in reversed(field.bits)]] = own
        made[start:stop] = np.packbits(single, axis=-1)
    return made


def outcome(memory: NDArray[np.uint8]) -> Outcome:
    """Of (shots, bytes), the bits of every shot."""
    rows = np.ascontiguousarray(memory)
    single = rows.view(np.dtype((np.void, rows.shape[1]))).ravel()
    _, first, order, counts = np.unique(single, return_index=True, return_inverse=True, return_counts=True)
    return Outcome(rows[first], counts.astype(np.int64), order.ravel().astype(np.intp))


def _value(value: Any, *kinds: str) -> Any:
    if not isinstance(value, dict) or value.get("__type__") not in kinds:
        raise Unreadable(f"a result holds something else than a {kinds[0]}")
    return value["__value__"]
