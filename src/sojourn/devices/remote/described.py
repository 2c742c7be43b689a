"""Makes a Qiskit `Target` of the JSON in which another service describes a device.

The reverse of `sojourn.devices.describe`, for the fields that every service of this dialect sends. Times come
in the units that stand beside them, `dt` in nanoseconds.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import msgspec
from qiskit.circuit import (
    Delay,
    ForLoopOp,
    Gate,
    IfElseOp,
    Instruction,
    Measure,
    Parameter,
    Reset,
    SwitchCaseOp,
    WhileLoopOp,
)
from qiskit.circuit.library import get_standard_gate_name_mapping
from qiskit.transpiler import InstructionProperties, QubitProperties, Target

from sojourn.devices.driver import DriverError, Facts

_FLOW = {
    "if_else": IfElseOp,
    "for_loop": ForLoopOp,
    "while_loop": WhileLoopOp,
    "switch_case": SwitchCaseOp,
}
_SCALE = {
    "s": 1.0,
    "ms": 1e-3,
    "us": 1e-6,
    "µs": 1e-6,
    "ns": 1e-9,
    "ps": 1e-12,
    "Hz": 1.0,
    "kHz": 1e3,
    "MHz": 1e6,
    "GHz": 1e9,
}
MAX_QUBITS = 100_000
_MISSING = {"readout_error": "error", "readout_length": "duration"}
_OURS = frozenset({"rep_delay_range", "dynamic_reprate_enabled"})

Places = dict[tuple[int, ...], InstructionProperties | None]


@dataclass(frozen=True, slots=True)
class Described:
    """A device as its service describes it: for circuits, for clients, and the most pubs of a job."""

    target: Target
    facts: Facts
    max_pubs: int | None


def described(name: str, configuration: bytes, properties: bytes) -> Described:
    """The device, which is called `name` here. The arguments are JSON text as it came. Raises `DriverError`
    when something else than a device is described."""
    try:
        conf = msgspec.json.decode(configuration, type=dict[str, Any])
        props = msgspec.json.decode(properties, type=dict[str, Any] | None) if properties.strip() else None
        target = _target(conf, props or None)
        version = str(conf.get("backend_version", ""))
    except (msgspec.MsgspecError, KeyError, TypeError, ValueError, AttributeError) as error:
        raise DriverError(
            f"what the other service says of the device cannot be read ({type(error).__name__}: "
            f"{str(error)[:200]})"
        ) from error
    conf = {key: value for key, value in conf.items() if key not in _OURS} | {"backend_name": name}
    if props:
        props = {**props, "backend_name": name}
    pubs = conf.get("max_experiments")
    most = pubs if isinstance(pubs, int) and pubs > 0 else None
    return Described(target, Facts(int(target.num_qubits or 0), conf, props or None, version), most)


def _target(conf: Mapping[str, Any], props: Mapping[str, Any] | None) -> Target:
    qubits = int(conf["n_qubits"])
    if not 0 < qubits <= MAX_QUBITS:
        raise ValueError(f"{qubits} qubits")
    known = _Properties(props, qubits)
    timing = conf.get("timing_constraints") or {}
    steps = {
        key: int(timing[key])
        for key in ("granularity", "min_length", "pulse_alignment", "acquire_alignment")
        if timing.get(key)
    }
    dt = conf.get("dt")
    target = Target(
        num_qubits=qubits,
        dt=None if not dt else float(dt) * 1e-9,
        qubit_properties=known.qubits() if props else None,
        **steps,
    )
    supported = conf.get("supported_instructions") or ["measure", "reset", "delay"]
    entries = {entry["name"]: entry for entry in conf["gates"]}
    standard = get_standard_gate_name_mapping()
    for gate in dict.fromkeys(conf["basis_gates"]):
        if gate in ("measure", "reset", "delay") or gate in _FLOW:
            continue
        entry = entries.get(gate, {})
        places = known.places(gate, entry.get("coupling_map"))
        operation = standard.get(gate) or _unknown_gate(gate, entry, places)
        bounds = [(0, math.pi / 2)] if gate == "rzz" else None  # as the clients take it
        target.add_instruction(operation, places, name=gate, angle_bounds=bounds)
    for signature in conf.get("instruction_signatures") or ():
        _add_signature(target, signature, known.places(signature["name"], None))
    if "measure" in supported or not conf.get("supported_instructions"):
        target.add_instruction(Measure(), known.measures(), name="measure")
    for name, operation in (("reset", Reset()), ("delay", Delay(Parameter("t")))):
        if name in supported:
            everywhere: Places = {(qubit,): None for qubit in range(qubits) if known.works((qubit,))}
            target.add_instruction(operation, everywhere | (known.places(name, None) or {}), name=name)
    for name, flow in _FLOW.items():
        if name in supported:
            target.add_instruction(flow, name=name)
    return target


def _unknown_gate(name: str, entry: Mapping[str, Any], places: Places | None) -> Gate:
    if not places:
        raise ValueError(f"the gate {name!r} is not known here, and its qubits are not said")
    width = len(next(iter(places)))
    return Gate(name, width, [Parameter(str(parameter)) for parameter in entry.get("parameters", ())])


def _add_signature(target: Target, signature: Mapping[str, Any], places: Places | None) -> None:
    """An instruction that is not a gate, such as a second kind of measurement."""
    name = str(signature["name"])
    if name in target.operation_names:
        return
    parameters = [Parameter(str(each)) for each in signature.get("parameters") or ()]
    made = Instruction(name, int(signature["num_qubits"]), int(signature.get("num_clbits") or 0), parameters)
    target.add_instruction(made, places, name=name)


class _Properties:
    """What was measured of the qubits and gates, by name; of a device without properties nothing."""

    def __init__(self, props: Mapping[str, Any] | None, qubits: int) -> None:
        self._qubits = [dict(_values(entry)) for entry in (props or {}).get("qubits", ())]
        self._count = qubits
        self._gates: dict[str, dict[tuple[int, ...], dict[str, float]]] = {}
        for gate in (props or {}).get("gates", ()):
            place = tuple(int(qubit) for qubit in gate["qubits"])
            if not all(0 <= qubit < qubits for qubit in place):
                raise ValueError(f"{gate['gate']} on qubits {place} of {qubits}")
            self._gates.setdefault(gate["gate"], {})[place] = dict(_values(gate["parameters"]))

    def _of(self, qubit: int) -> Mapping[str, float]:
        return self._qubits[qubit] if qubit < len(self._qubits) else {}

    def works(self, place: tuple[int, ...]) -> bool:
        return all(self._of(qubit).get("operational", 1.0) != 0 for qubit in place)

    def qubits(self) -> list[QubitProperties]:
        return [
            QubitProperties(t1=found.get("T1"), t2=found.get("T2"), frequency=found.get("frequency"))
            for found in map(self._of, range(self._count))
        ]

    def measures(self) -> Places:
        made: Places = {}
        for qubit in filter(lambda qubit: self.works((qubit,)), range(self._count)):
            found = self._of(qubit)
            told = {to: found[name] for name, to in _MISSING.items() if name in found}
            made[(qubit,)] = InstructionProperties(**told) if told else None
        return made

    def places(self, gate: str, pairs: Any) -> Places | None:
        """Where the gate is, and how good there; None for everywhere."""
        known = self._gates.get(gate, {})
        named = [tuple(int(qubit) for qubit in pair) for pair in pairs or ()]
        if not named and not known:
            return None
        made: Places = {}
        for place in [*named, *(place for place in known if place not in set(named))]:
            found = known.get(place, {})
            if not self.works(place) or found.get("operational", 1.0) == 0:
                continue
            error, length = found.get("gate_error"), found.get("gate_length")
            empty = error is None and length is None
            made[place] = None if empty else InstructionProperties(duration=length, error=error)
        return made


def _values(entries: Any) -> Iterator[tuple[str, float]]:
    """Name and value of each entry, in seconds and hertz."""
    for entry in entries:
        value = entry.get("value")
        if isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value):
            yield str(entry["name"]), float(value) * _SCALE.get(entry.get("unit") or "", 1.0)
