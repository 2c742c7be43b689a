"""Reads a noise model that the client sends: data only, bounded, and checked to be physical.

The form is that of ``NoiseModel.to_dict()`` of Qiskit Aer, with or without the client's ``__type__``. What is
read names no class, and nothing of Aer is built here.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from hashlib import blake2b
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray
from qiskit.circuit.library import get_standard_gate_name_mapping

from sojourn.devices.conditions import Errors, GateError, ReadError, Step
from sojourn.worker.codec import decode
from sojourn.worker.codec.decode import PAULIS, Budget
from sojourn.worker.protocol.types import JobRefused
from sojourn.worker.wording import quoted

MAX_ERRORS = 20_000
MAX_STEPS = 300_000
"""Instructions of all terms together; each takes some 10 microseconds to read and more to simulate."""

MAX_WIDTH = 3
"""Qubits of an error."""

MAX_OPERATORS = 64
"""Operators of a Kraus channel: as many as one on three qubits can need."""

_CLOSE = 1e-6
_NO_GATES = {"measure": 1, "reset": 1, "delay": 1}
_SPECIAL = frozenset({"pauli", "kraus", "unitary", "reset"})


def read(value: Any, where: str, budget: Budget) -> Errors | None:
    """The errors; None when there are none. Raises `JobRefused`, naming the entry that is wrong."""
    key = blake2b(msgspec.json.encode(value), digest_size=20).digest()
    if isinstance(value, Mapping) and "__type__" in value:
        if value["__type__"] != "NoiseModel":
            raise JobRefused(
                f"{where} is an encoded {str(value['__type__'])[:60]!r}; it must be a NoiseModel"
            )
        value = value.get("__value__")
    if not isinstance(value, Mapping) or not isinstance(value.get("errors"), list):
        raise JobRefused(f"{where} must be a NoiseModel of Qiskit Aer, or what its to_dict() gives")
    unknown = sorted(set(value) - {"errors"})
    if unknown:
        raise JobRefused(f"{where}.{unknown[0][:60]} is not a member of a noise model; only errors is read")
    given = value["errors"]
    if len(given) > MAX_ERRORS:
        raise JobRefused(f"{where}.errors has {len(given)} entries; the limit is {MAX_ERRORS}")
    reader = _Reader(budget)
    for index, error in enumerate(given):
        reader.add(error, f"{where}.errors[{index}]")
    if not reader.gates and not reader.reads:
        return None
    return Errors(key, tuple(reader.gates), tuple(reader.reads))


class _Reader:
    def __init__(self, budget: Budget) -> None:
        self.gates: list[GateError] = []
        self.reads: list[ReadError] = []
        self._budget = budget
        self._steps = 0
        self._standard = get_standard_gate_name_mapping()

    def add(self, error: Any, where: str) -> None:
        if not isinstance(error, Mapping):
            raise JobRefused(f"{where} must be an object, not {type(error).__name__}")
        match error.get("type"):
            case "qerror":
                self.gates.append(self._gate(error, where))
            case "roerror":
                self.reads.append(self._read(error, where))
            case other:
                raise JobRefused(f"{where}.type is {quoted(other)}; it must be 'qerror' or 'roerror'")

    def _read(self, error: Mapping[str, Any], where: str) -> ReadError:
        rows = error.get("probabilities")
        if not isinstance(rows, list) or len(rows) != 2:
            raise JobRefused(
                f"{where}.probabilities must be [[P(0|0), P(1|0)], [P(0|1), P(1|1)]]: errors of the readout "
                "of one qubit are simulated"
            )
        (_, one), (zero, _) = (self._shares(row, f"{where}.probabilities", 2) for row in rows)
        places = self._places(error, where, 1)
        return ReadError(one, zero, None if places is None else tuple(place[0] for place in places))

    def _gate(self, error: Mapping[str, Any], where: str) -> GateError:
        given = error.get("instructions")
        if not isinstance(given, list) or not given:
            raise JobRefused(f"{where}.instructions must be a list with the instructions of each term")
        shares = self._shares(error.get("probabilities"), f"{where}.probabilities", len(given))
        terms = []
        for index, steps in enumerate(given):
            at = f"{where}.instructions[{index}]"
            if not isinstance(steps, list):
                raise JobRefused(f"{at} must be a list of instructions")
            self._steps += 1 + len(steps)
            if self._steps > MAX_STEPS:
                raise JobRefused(
                    f"{at}: the noise model has more than {MAX_STEPS} instructions up to here, the limit"
                )
            terms.append((shares[index], tuple(self._step(step, at) for step in steps)))
        widest = 1 + max((max(step.qubits) for _, steps in terms for step in steps), default=0)
        names = error.get("operations")
        if not isinstance(names, list) or not names or not all(isinstance(name, str) for name in names):
            raise JobRefused(f"{where}.operations must be a list of names of instructions")
        width = max(widest, *(self._width(name, where) for name in names))
        wrong = [name for name in names if self._width(name, where) != width]
        if wrong:
            raise JobRefused(
                f"{where} acts on {width} qubits, and {wrong[0]!r} on {self._width(wrong[0], where)}; an "
                "error acts on the qubits of its instruction"
            )
        return GateError(tuple(names), width, tuple(terms), self._places(error, where, width))

    def _width(self, name: str, where: str) -> int:
        known = _NO_GATES.get(name)
        if known is None:
            gate = self._standard.get(name)
            if gate is None:
                raise JobRefused(
                    f"{where}.operations has {name[:60]!r}, which is no gate that circuits here can have; "
                    "errors are found by the name of a gate, not by a label"
                )
            known = int(gate.num_qubits)
        return known

    def _places(self, error: Mapping[str, Any], where: str, width: int) -> tuple[tuple[int, ...], ...] | None:
        given = error.get("gate_qubits")
        if given is None:
            return None
        if not isinstance(given, list) or not all(
            isinstance(place, list) and len(place) == width and _distinct(place) for place in given
        ):
            raise JobRefused(
                f"{where}.gate_qubits is {quoted(given)}; it must be a list of lists of {width} different "
                "numbers of qubits"
            )
        return tuple(tuple(place) for place in given)

    def _shares(self, given: Any, where: str, count: int) -> tuple[float, ...]:
        """Probabilities that add up to 1."""
        if not isinstance(given, list) or len(given) != count or not all(map(_real, given)):
            raise JobRefused(f"{where} must be a list of {count} numbers")
        found = [min(max(float(share), 0.0), 1.0) for share in given]
        off = max(abs(share - kept) for share, kept in zip(given, found, strict=True))
        if off > _CLOSE or not math.isclose(sum(found), 1.0, abs_tol=_CLOSE):
            raise JobRefused(
                f"{where} is {quoted(given)}; they must be probabilities, and their sum must be 1"
            )
        total = sum(found)
        return tuple(share / total for share in found)

    def _step(self, step: Any, where: str) -> Step:
        if not isinstance(step, Mapping):
            raise JobRefused(f"{where} must be a list of objects")
        name, qubits, params = step.get("name"), step.get("qubits"), step.get("params", [])
        if not isinstance(name, str) or step.get("condition") is not None:
            raise JobRefused(f"{where} has an instruction without a name, or with a condition")
        if not isinstance(qubits, list) or not qubits or not _distinct(qubits) or max(qubits) >= MAX_WIDTH:
            raise JobRefused(
                f"{where}: the qubits of {name[:60]!r} are {quoted(qubits)}; they must be different numbers "
                f"from 0 to {MAX_WIDTH - 1}"
            )
        if not isinstance(params, list):
            raise JobRefused(f"{where}: the params of {name[:60]!r} must be a list")
        at = f"{where}: {name[:60]!r}"
        places = tuple(qubits)
        if name in _SPECIAL:
            return self._special(name, places, params, at)
        gate = self._standard.get(name)
        if gate is None or name in _NO_GATES:
            raise JobRefused(
                f"{at} is not an instruction of an error here; these are pauli, kraus, unitary, reset and "
                "the standard gates"
            )
        if gate.num_qubits != len(places) or len(gate.params) != len(params) or not all(map(_real, params)):
            raise JobRefused(
                f"{at} must have {gate.num_qubits} qubits and {len(gate.params)} finite parameters"
            )
        return Step(name, places, tuple(map(float, params)))

    def _special(self, name: str, qubits: tuple[int, ...], params: Sequence[Any], where: str) -> Step:
        size = 2 ** len(qubits)
        if name == "reset":
            if len(qubits) != 1 or params:
                raise JobRefused(f"{where} must have one qubit and no parameters")
            return Step(name, qubits)
        if name == "pauli":
            if len(params) != 1 or not isinstance(params[0], str) or len(params[0]) != len(qubits):
                raise JobRefused(f"{where} must have one string with a letter for each qubit")
            if not PAULIS.issuperset(params[0]):
                raise JobRefused(f"{where} has {params[0]!r}; the letters are I, X, Y and Z")
            return Step(name, qubits, pauli=params[0])
        if not 1 <= len(params) <= (1 if name == "unitary" else MAX_OPERATORS):
            raise JobRefused(
                f"{where} has {len(params)} matrices; it must have "
                + ("one" if name == "unitary" else f"1 to {MAX_OPERATORS}")
            )
        found = tuple(self._matrix(part, size, where) for part in params)
        total = sum(matrix.conj().T @ matrix for matrix in found)
        if not np.allclose(total, np.eye(size), atol=_CLOSE):
            raise JobRefused(
                f"{where} does not keep the sum of probabilities: its matrices must fulfil sum K^dagger K = 1"
            )
        return Step(name, qubits, matrices=found)

    def _matrix(self, given: Any, size: int, where: str) -> NDArray[np.complex128]:
        """An encoded array, or nested lists with a pair [real, imaginary] for each entry."""
        if isinstance(given, Mapping) and given.get("__type__") == "ndarray":
            given = given.get("__value__")
        try:
            if isinstance(given, str):
                array = decode.read_npy(decode.inflate(given, where, self._budget), where)
            else:
                array = np.array(given)
            if array.shape == (size, size, 2) and array.dtype.kind in "fiu":
                array = array[..., 0] + 1j * array[..., 1]
            made = np.asarray(array, dtype=np.complex128)
        except (TypeError, ValueError, OverflowError):
            made = np.zeros(0, dtype=np.complex128)
        if made.shape != (size, size) or not np.isfinite(made).all():
            raise JobRefused(
                f"{where} must have {size}x{size} matrices of finite complex numbers, as arrays or as lists "
                "of pairs [real, imaginary]"
            )
        return made


def _real(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _distinct(numbers: Sequence[Any]) -> bool:
    whole = all(isinstance(n, int) and not isinstance(n, bool) and 0 <= n < 2**31 for n in numbers)
    return whole and len(set(numbers)) == len(numbers)
