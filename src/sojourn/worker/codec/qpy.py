"""Reads QPY files within limits of version and size. Nothing that a file holds is ever run."""

from __future__ import annotations

import importlib
import io
import pickle
import re
import struct
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from itertools import pairwise
from typing import Any, NoReturn

import qiskit
from qiskit import qpy
from qiskit.circuit import QuantumCircuit

from sojourn.worker.protocol.types import JobRefused

MAX_CIRCUIT_QUBITS = 100_000
MAX_CIRCUIT_CLBITS = 1_000_000
MIN_QPY = 3  # Qiskit Terra 0.19; the client began with later ones
READ_DEPTH = 4000
"""Python's limit of recursion while a file is read. Qiskit's reader takes some ten for every level of an
expression, so that the default of 1000 ends at the parity of fewer than 100 bits, which it can write."""

Annotations = Mapping[str, Callable[[], Any]]
_SYMBOLS = range(10, 13)  # versions whose expressions may be in symengine's own form
_WITH_SYMENGINE = ord("e")
_OFFSETS = 16  # the first version with a table of offsets
_TABLE = 20  # bytes before that table
_DRAWN = re.compile(r"\x1b\[[0-9;]*m|[\u2500-\u257f]")
_READ, _SHOWN = 10_000, 300  # characters of a reason


def split(content: bytes, where: str) -> list[bytes]:
    """Each circuit of a file as a file of its own, unread. Raises `JobRefused`.

    Files say where their circuits begin since version 16.
    """
    _check_version(content, where, _OFFSETS)
    count = struct.unpack_from("!Q", content, 10)[0]
    if not 1 <= count <= (len(content) - _TABLE) // 8:
        raise JobRefused(f"{where}: the QPY data claim {count} circuits, and are cut off")
    starts = [*struct.unpack_from(f"!{count}Q", content, _TABLE), len(content)]
    if starts[0] != _TABLE + 8 * count or any(a >= b for a, b in pairwise(starts)):
        raise JobRefused(f"{where}: the QPY data do not hold their circuits one behind the other")
    head = content[:10] + struct.pack("!Q", 1) + content[18:_TABLE] + struct.pack("!Q", _TABLE + 8)
    return [head + content[start:stop] for start, stop in pairwise(starts)]


def check_expressions(content: bytes, where: str) -> None:
    """Refuse a file that is not to be handed to another library's reader: one beyond the limits of
    `load_circuit`, or with expressions in symengine's form, which can hold pickles. Raises `JobRefused`."""
    _check_version(content, where, _SYMBOLS.stop)
    _peek(content, where)


def load_circuit(content: bytes, where: str, annotations: Annotations | None = None) -> QuantumCircuit:
    """The one circuit of a file. `annotations` says how those of boxes are read, by their namespace; without
    it a file that has some is refused. Raises `JobRefused`."""
    symengine = _peek(content, where)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with _deep(), _without_pickles() if symengine else nullcontext():
                if symengine:
                    _find_symengine(where)
                # an earlier Qiskit has no such argument, and no boxes
                more = {} if annotations is None else {"annotation_factories": annotations}
                programs = qpy.load(io.BytesIO(content), **more)
    except JobRefused:
        raise
    except RecursionError:
        raise JobRefused(
            f"{where}: the circuit is nested too deeply, in its blocks or its classical expressions; an "
            "expression such as a parity of many bits can be joined in halves, or step by step in a variable"
        ) from None
    except MemoryError:
        raise
    except Exception as error:
        reason = _reason(error)
        if "annotation deserializer" in reason:
            raise JobRefused(
                f"{where} has boxes with annotations, which are not run here as they are; turn the "
                "circuit into a template and a samplex (samplomatic.build) and send these"
            ) from None
        raise JobRefused(f"{where}: the QPY data cannot be read: {reason}") from error
    if len(programs) != 1 or not isinstance(programs[0], QuantumCircuit):
        raise JobRefused(f"{where}: the QPY data must hold exactly one circuit")
    return programs[0]


def _reason(error: Exception) -> str:
    """What the reader says, in one line: its native part draws a backtrace with colours and frames."""
    said = str(getattr(error, "message", "") or error or type(error).__name__)
    return " ".join(_DRAWN.sub(" ", said[:_READ]).split())[:_SHOWN]


def _peek(content: bytes, where: str) -> bool:
    """Refuse by the header what would be expensive to even begin with; whether symengine is needed."""
    _check_version(content, where, MIN_QPY)
    version = content[6]
    programs = struct.unpack_from("!Q", content, 10)[0]
    if programs != 1:
        raise JobRefused(f"{where}: the QPY data hold {programs} programs; there must be exactly one circuit")
    # what stands before the circuit: the header, since version 10 the form of expressions, since version 5
    # the kind of the programs, since version 16 a table of offsets
    start = 18 + (version >= 10) + (version >= 5) + 8 * (version >= 16)
    if len(content) < start + 17:
        raise JobRefused(f"{where}: the QPY data are cut off")
    qubits, clbits = struct.unpack_from("!II", content, start + 5)
    if qubits > MAX_CIRCUIT_QUBITS or clbits > MAX_CIRCUIT_CLBITS:
        raise JobRefused(
            f"{where}: the circuit claims {qubits} qubits and {clbits} classical bits; the limits are "
            f"{MAX_CIRCUIT_QUBITS} and {MAX_CIRCUIT_CLBITS}"
        )
    return version in _SYMBOLS and content[18] == _WITH_SYMENGINE


def _check_version(content: bytes, where: str, oldest: int) -> None:
    """Refuse what is not QPY, or of a version before `oldest` or after Qiskit's own."""
    if len(content) < 19 or content[:6] != b"QISKIT":
        raise JobRefused(f"{where}: this is not QPY data (it must begin with 'QISKIT')")
    version = content[6]
    if not oldest <= version <= qpy.QPY_VERSION:
        advice = (
            "send an earlier version (qpy.dump has an argument for it), or OpenQASM 3 text"
            if version > qpy.QPY_VERSION
            else "write it with a later Qiskit"
        )
        raise JobRefused(
            f"{where}: QPY version {version} cannot be read here; this device reads versions {oldest} to "
            f"{qpy.QPY_VERSION} (Qiskit {qiskit.__version__}); {advice}"
        )


def _find_symengine(where: str) -> None:
    try:
        importlib.import_module("symengine")
    except ImportError:
        raise JobRefused(
            f"{where}: QPY of this form (Qiskit 0.45 to 1.2, with parameters) is read with symengine, which "
            "this device's Python environment does not have; ask the operator for it, or use Qiskit 1.3 or "
            "later"
        ) from None


@contextmanager
def _deep() -> Iterator[None]:
    kept = sys.getrecursionlimit()
    sys.setrecursionlimit(max(kept, READ_DEPTH))
    try:
        yield
    finally:
        sys.setrecursionlimit(kept)


@contextmanager
def _without_pickles() -> Iterator[None]:
    """symengine unpickles what a file says is a subclass of its symbols, and a pickle runs what it likes.
    Qiskit never writes one; its reader looks `pickle.loads` up at each use, and finds this."""

    def loads(*_args: Any, **_options: Any) -> NoReturn:
        raise ValueError("an expression holds a pickle, and pickles are never read")

    kept = pickle.loads
    pickle.loads = loads
    try:
        yield
    finally:
        pickle.loads = kept
