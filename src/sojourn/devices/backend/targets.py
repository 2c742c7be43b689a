"""The target of a backend as it is served: what of it users and the worker can deal with.

Simulators list instructions of their own beside the gates (`save_state`, `unitary`, gates of any width);
clients know the gates of Qiskit by their names, and nothing of the others.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from inspect import isclass
from typing import Any

from qiskit.circuit import Instruction, ParameterExpression
from qiskit.circuit.controlflow import ControlFlowOp
from qiskit.circuit.library.standard_gates import get_standard_gate_name_mapping
from qiskit.transpiler import InstructionProperties, Target

FLOW = ("if_else", "for_loop", "while_loop", "switch_case")
_MIXING = ("sx", "sxdg", "h")
"""Gates without angles of which, with rz, every rotation can be made."""
_KEPT = ("dt", "granularity", "min_length", "pulse_alignment", "acquire_alignment")


@dataclass(frozen=True)
class Served:
    """`target` has instructions that clients know; `left_out` are the names of the others."""

    target: Target
    left_out: tuple[str, ...]


def served(target: Target, qubits: int | None = None) -> Served:
    """The target that a device offers, for a backend that has this one.

    `qubits` is the width of one that has none of its own; ValueError when neither says it, or when it cannot
    measure. Numbers that cannot be an error or a duration are left out. Of an instruction whose places are
    not known it is said that it can stand anywhere.
    """
    width = target.num_qubits if target.num_qubits is not None else qubits
    if width is None:
        raise ValueError("its target does not say how many qubits it has")
    known = get_standard_gate_name_mapping()
    told: dict[str, Any] = {name: _sane(target, name) for name in _KEPT}
    made = Target(
        num_qubits=width,
        qubit_properties=_qubit_properties(target, width),
        **{name: value for name, value in told.items() if value is not None},
    )
    left_out = []
    for name in target.operation_names:
        operation = target.operation_from_name(name)
        if isclass(operation):
            if name in FLOW and issubclass(operation, ControlFlowOp):
                made.add_instruction(operation, name=name)
            elif name not in ("box", "break_loop", "continue_loop"):
                left_out.append(name)
            continue
        if not _is_known(name, operation, known) or operation.num_qubits > width:
            left_out.append(name)
            continue
        places = _places(target, name, operation, width)
        if places is None:
            made.add_instruction(known[name], name=name)
        elif places:
            made.add_instruction(known[name], places, name=name)
    if "measure" not in made.operation_names:
        raise ValueError("its target has no measurement, so that no circuit on it could have a result")
    return Served(made, tuple(sorted(left_out)))


def only_with_angles(target: Target) -> bool:
    """Whether no circuit can be made without the gates that clients leave out unless they are asked: those
    with angles, other than rz and the like, which they call fractional."""
    plain = (name for name in target.operation_names if not isclass(target.operation_from_name(name)))
    single = [op for op in map(target.operation_from_name, plain) if op.num_qubits == 1 and not op.num_clbits]
    return not any(op.name in _MIXING for op in single)


def _is_known(name: str, operation: Any, known: Mapping[str, Instruction]) -> bool:
    """Whether it is the instruction that clients have under this name."""
    expected = known.get(name)
    return (
        expected is not None
        and expected.num_qubits > 0
        and isinstance(operation, Instruction)
        and operation.num_qubits == expected.num_qubits
        and operation.num_clbits == expected.num_clbits
        and len(operation.params) == len(expected.params)
        and (name == "delay" or all(_is_free(value) for value in operation.params))
    )


def _is_free(value: Any) -> bool:
    """Whether the angle can be chosen: some targets have a gate at one angle only."""
    return isinstance(value, ParameterExpression) and bool(value.parameters)


def _places(
    target: Target, name: str, operation: Instruction, width: int
) -> dict[tuple[int, ...], InstructionProperties | None] | None:
    """Where the instruction can stand, with what is known of it there; None for anywhere.

    Clients want to know of each qubit whether it is measured, reset or idle.
    """
    given = target[name]
    if given is None or None in given:
        if name in ("measure", "reset", "delay"):
            return {(qubit,): None for qubit in range(width)}
        return None
    found: dict[tuple[int, ...], InstructionProperties | None] = {}
    for place, properties in given.items():
        if len(place) != operation.num_qubits or any(not 0 <= qubit < width for qubit in place):
            continue
        found[tuple(place)] = _properties(properties)
    return found


def _properties(given: Any) -> InstructionProperties | None:
    """Only what can be an error (0 to 1) or a duration in seconds."""
    if given is None:
        return None
    error, duration = _number(getattr(given, "error", None)), _number(getattr(given, "duration", None))
    error = error if error is not None and 0 <= error <= 1 else None
    duration = duration if duration is not None and duration >= 0 else None
    return None if error is None and duration is None else InstructionProperties(duration, error)


def _qubit_properties(target: Target, width: int) -> list[Any] | None:
    given = getattr(target, "qubit_properties", None)
    return list(given) if given is not None and len(given) == width else None


def _sane(target: Target, name: str) -> Any:
    value = getattr(target, name, None)
    number = _number(value)
    return value if number is not None and number > 0 else None


def _number(value: object) -> float | None:
    """None for what is none, or not finite."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return None
    return float(value)
