"""Reads OpenQASM 3 text: bounds what a text may declare, and words the refusal of one that cannot be read."""

from __future__ import annotations

import re

from qiskit.circuit import QuantumCircuit

from sojourn.worker.codec.qpy import MAX_CIRCUIT_CLBITS, MAX_CIRCUIT_QUBITS
from sojourn.worker.protocol.types import JobRefused

MAX_NESTING = 100
"""Brackets inside of brackets: Qiskit's importer recurses, and takes minutes over some thousand."""

_HEAD = 4096  # characters in which the version is looked for
_SHOWN = 1000
_COMMENT = re.compile(r"//[^\n]*|/\*.*?\*/", re.DOTALL)
_WIDTH = re.compile(r"\b(qubit|qreg|bit|creg)\b\s*(?:\w+\s*)?\[\s*([0-9_]+)\s*\]")
_TIME = re.compile(r"'(?:stretch|duration|DurationOf)'")
_PLACE = re.compile(r"(\d+),(\d+): ")


def load_circuit(text: str, where: str, widest: int = MAX_CIRCUIT_QUBITS) -> QuantumCircuit:
    """The circuit of a text, which has at most `widest` qubits. Raises `JobRefused`."""
    if "OPENQASM 3" not in text[:_HEAD]:
        raise JobRefused(f"{where}: a circuit in text form must be OpenQASM 3")
    code = _COMMENT.sub(" ", text)
    _peek(code, where)
    import openqasm3  # these take time that other jobs do not need
    import qiskit_qasm3_import

    from sojourn.worker.codec import qasm_work

    try:
        program = openqasm3.parse(text)
        qasm_work.check(program, code, widest, where)
        return qiskit_qasm3_import.convert(program)
    except (MemoryError, JobRefused):
        raise
    except RecursionError:
        raise JobRefused(f"{where}: the OpenQASM 3 text is nested too deeply") from None
    except Exception as error:
        raise JobRefused(f"{where}: {_reason(error)}") from error


def _peek(code: str, where: str) -> None:
    """Refuse what would be expensive to even begin with."""
    bits = {"qubit": 0, "bit": 0}
    for kind, width in _WIDTH.findall(code):
        digits = width.replace("_", "").lstrip("0")
        claimed = int(digits or "0") if len(digits) < 20 else 10**20
        bits["qubit" if kind.startswith("q") else "bit"] += claimed
    if bits["qubit"] > MAX_CIRCUIT_QUBITS or bits["bit"] > MAX_CIRCUIT_CLBITS:
        raise JobRefused(
            f"{where}: the circuit claims {bits['qubit']} qubits and {bits['bit']} classical bits; the "
            f"limits are {MAX_CIRCUIT_QUBITS} and {MAX_CIRCUIT_CLBITS}"
        )
    depth = 0
    for bracket in re.findall(r"[(\[{)\]}]", code):
        depth = depth + 1 if bracket in "([{" else max(depth - 1, 0)
        if depth > MAX_NESTING:
            raise JobRefused(
                f"{where}: the OpenQASM 3 text has more than {MAX_NESTING} brackets inside of each other, "
                "which is the limit"
            )


def _reason(error: Exception) -> str:
    """What the importer says, with the place in words."""
    said = str(error)[:_SHOWN]
    place = _PLACE.match(said)
    at = f" (line {place[1]}, column {place[2]})" if place else ""
    if _TIME.search(said):
        return (
            f"stretch, duration and durationof are not read from OpenQASM 3 text{at}, as Qiskit's importer "
            "does not know them. Write delays with their lengths, as in delay[100ns] q; or build the circuit "
            "with Qiskit (QuantumCircuit.add_stretch), which the client sends as QPY"
        )
    return f"the OpenQASM 3 text cannot be read{at}: {said[place.end() if place else 0 :]}"
