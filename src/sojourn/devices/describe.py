"""Turns a Qiskit `Target` into the JSON in which the client reads a device. Imports no driver."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from qiskit.circuit import Gate, Instruction, Parameter
from qiskit.transpiler import Target

from sojourn.devices.offered import CONTROL_FLOW

_NOT_GATES = frozenset(
    {"measure", "reset", "delay", "barrier", "store", "box", "break_loop", "continue_loop"}
)
_ANYWHERE = frozenset({"barrier", "store", "box", "break_loop", "continue_loop"})
_EPOCH = "2024-01-01T00:00:00+00:00"


def configuration(
    name: str,
    target: Target,
    *,
    version: str,
    description: str,
    max_shots: int,
    rep_delay: float | None = None,
    online_date: str = _EPOCH,
    family: str | None = None,
) -> dict[str, Any]:
    """The configuration of a device called `name`: what its target and these facts say. What can be asked of
    it, and the fields of which nothing is known here, are added when it is settled, see `offered.py`.

    `rep_delay` is in seconds. A gate that the target allows on any qubits has no coupling map of its own;
    the client reads that as all-to-all. `family` is the family of its processor, `version` the revision.
    """
    gates = []
    signatures = []
    for gate in target.operation_names:
        operation = target.operation_from_name(gate)
        if gate in _NOT_GATES or gate in CONTROL_FLOW or not isinstance(operation, Instruction):
            continue
        if not isinstance(operation, Gate):  # such as a second kind of measurement
            signatures.append(_signature(gate, operation))
            continue
        entry: dict[str, Any] = {
            "name": gate,
            "parameters": [f"p{i}" for i in range(len(operation.params))],
            "qasm_def": f"gate {gate} {{ }}",
        }
        places = _places(target, gate)
        if places is not None:
            entry["coupling_map"] = places
        gates.append(entry)
    made: dict[str, Any] = {
        "backend_name": name,
        "backend_version": version,
        "n_qubits": target.num_qubits,
        "basis_gates": [entry["name"] for entry in gates],
        "gates": gates,
        "instruction_signatures": signatures,
        "coupling_map": _coupling(target),
        "max_shots": max_shots,
        "online_date": online_date,
        "description": description,
    }
    if family is not None:
        made["processor_type"] = {"family": family, "revision": version}
    if rep_delay is not None:
        made["default_rep_delay"] = rep_delay * 1e6  # microseconds on the wire
    return made


def properties(name: str, target: Target, *, version: str, date: str = _EPOCH) -> dict[str, Any] | None:
    """The properties of a device, or None when its target holds no error, duration or coherence time.

    A qubit for which the target has no instruction is told as not operational, and one that cannot be
    measured has a readout error of 1: clients take it that every operational qubit can be measured.
    """
    qubits: list[list[dict[str, Any]]] = []
    gates: list[dict[str, Any]] = []
    something = False
    measures = target["measure"] if "measure" in target.operation_names else {}
    named = set(target.operation_names) - {*CONTROL_FLOW, *_ANYWHERE}
    served = set[int]().union(*(_qubits(target, name) for name in named))
    measured = _qubits(target, "measure") if "measure" in named else served
    for qubit in range(target.num_qubits or 0):
        # an empty list would make the client stop
        entries = [_value("operational", int(qubit in served), "", date)]
        something |= qubit not in served
        known = target.qubit_properties[qubit] if target.qubit_properties else None
        if known is not None:
            for label, value, factor, unit in (
                ("T1", known.t1, 1e6, "us"),
                ("T2", known.t2, 1e6, "us"),
                ("frequency", known.frequency, 1e-9, "GHz"),
            ):
                if value is not None:
                    entries.append(_value(label, value * factor, unit, date))
        measure = measures.get((qubit,)) if measures else None
        if qubit not in measured:
            entries.append(_value("readout_error", 1, "", date))
        if measure is not None:
            if measure.error is not None:
                entries.append(_value("readout_error", measure.error, "", date))
            if measure.duration is not None:
                entries.append(_value("readout_length", measure.duration * 1e9, "ns", date))
        something |= len(entries) > 1
        qubits.append(entries)
    for gate in target.operation_names:
        if gate in _NOT_GATES or gate in CONTROL_FLOW:
            continue
        for place, known in (target[gate] or {}).items():
            if place is None or known is None:
                continue
            parameters = []
            if known.error is not None:
                parameters.append(_value("gate_error", known.error, "", date))
            if known.duration is not None:
                parameters.append(_value("gate_length", known.duration * 1e9, "ns", date))
            if parameters:
                something = True
                label = gate + "_".join(map(str, place))
                gates.append({"gate": gate, "qubits": list(place), "parameters": parameters, "name": label})
    if not something:
        return None
    return {
        "backend_name": name,
        "backend_version": version,
        "last_update_date": date,
        "qubits": qubits,
        "gates": gates,
        "general": [],
    }


def renamed(configuration: Mapping[str, Any], name: str) -> dict[str, Any]:
    """A configuration under another device name."""
    return {**configuration, "backend_name": name}


def _qubits(target: Target, name: str) -> set[int]:
    """The qubits on which there is the instruction `name`."""
    places = _places(target, name)
    if places is None:
        return set(range(target.num_qubits or 0))
    return {qubit for place in places for qubit in place}


def _places(target: Target, gate: str) -> list[list[int]] | None:
    known: Mapping[Sequence[int] | None, Any] | None = target[gate]
    if known is None or None in known:
        return None
    return [list(place) for place in known if place is not None]


def _signature(name: str, operation: Instruction) -> dict[str, Any]:
    """An instruction that is not a gate and that the client does not know."""
    names = [p.name if isinstance(p, Parameter) else f"p{i}" for i, p in enumerate(operation.params)]
    return {
        "name": name,
        "num_qubits": operation.num_qubits,
        "num_clbits": operation.num_clbits,
        "parameters": names,
        "description": "",
        "return_type": "None",
    }


def _coupling(target: Target) -> list[list[int]] | None:
    pairs: set[tuple[int, int]] = set()
    wide = False
    for gate in target.operation_names:
        operation = target.operation_from_name(gate)
        if isinstance(operation, Instruction) and operation.num_qubits == 2 and gate not in CONTROL_FLOW:
            places = _places(target, gate)
            wide |= places is None
            pairs.update((place[0], place[1]) for place in places or ())
    return None if wide or not pairs else [list(pair) for pair in sorted(pairs)]


def _value(name: str, value: float, unit: str, date: str) -> dict[str, Any]:
    return {"name": name, "value": value, "unit": unit, "date": date}
