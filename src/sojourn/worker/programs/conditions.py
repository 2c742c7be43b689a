"""What a job's options ask of the device beside its circuits, and what they ask to be told."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

from qiskit.circuit import ControlFlowOp, QuantumCircuit, Qubit

from sojourn.devices.bits import num_bytes
from sojourn.devices.conditions import Conditions, Level
from sojourn.worker.circuits.schedule import Schedule, scheduled
from sojourn.worker.codec import noise
from sojourn.worker.codec.decode import Budget
from sojourn.worker.programs.device import Circuit, DeviceContext
from sojourn.worker.programs.options import Option, Settings, exactly
from sojourn.worker.protocol.types import JobRefused

_ANYWHERE = frozenset({"measure", "reset", "delay", "barrier", "store", "break_loop", "continue_loop"})
SIGNAL_LEVELS = frozenset({"kerneled", "avg_kerneled"})
"""Levels of measurement with signals and without bits."""

SIGNAL_BYTES = 8
"""Of a complex64."""

STRETCH_SIZE = 1000
"""Characters that a stretch takes in a result, at the most that is likely."""

TIMING = ("scheduler_timing", "stretch_values")
DOCUMENTED = tuple(
    Option(f"{place}execution.{name}", "honoured", "true or false", exactly(True, False))
    for place in ("", "experimental.")
    for name in TIMING
)
"""The experimental options that are documented. The client sends them as options of the execution."""


def conditions_of(
    device: DeviceContext, settings: Settings, budget: Budget, level: str | None = None
) -> Conditions:
    """How the job is to be run; `level` is that of a program that has its own member for it. Raises
    `JobRefused` for what cannot be read. Whether the device can do it is asked with `DeviceContext.under`."""
    asked = settings.given
    carried = asked.get("execution.init_qubits", asked.get("init_qubits")) is False
    pause = device.rep_delay if settings.rep_delay is None else settings.rep_delay
    given = asked.get("simulator.noise_model")
    where = "options.simulator.noise_model"
    chosen = level or asked.get("execution.meas_type") or "classified"
    return Conditions(
        level=cast(Level, chosen),  # both were checked
        carried=carried,
        pause=pause if carried else 0.0,
        errors=None if given is None else noise.read(given, where, budget),
    )


def point_size(bits: int, shots: int, conditions: Conditions) -> int:
    """Bytes of a register of so many bits at one point of a result."""
    if conditions.level in SIGNAL_LEVELS:
        return SIGNAL_BYTES * bits * (1 if conditions.level == "avg_kerneled" else shots)
    return shots * num_bytes(bits)


@dataclass(frozen=True, slots=True)
class Compilation:
    """What was asked to be told of how a circuit is timed."""

    schedule: Schedule | None
    stretches: tuple[dict[str, Any], ...] | None

    @property
    def size(self) -> int:
        """Characters that it takes in a result."""
        size = 200 + (self.schedule.size if self.schedule is not None else 0)
        return size + sum(
            STRETCH_SIZE + 50 * len(stretch["expanded_values"]) for stretch in self.stretches or ()
        )

    @property
    def timing(self) -> dict[str, Any] | None:
        if self.schedule is None:
            return None
        return {"timing": self.schedule.timing, "circuit_duration": self.schedule.duration}

    def told(self) -> dict[str, Any]:
        """The metadata of a pub; empty when nothing was asked for."""
        parts: dict[str, Any] = {}
        if self.schedule is not None:
            parts["scheduler_timing"] = self.timing
        if self.stretches is not None:
            parts["stretch_values"] = list(self.stretches)
        return {"compilation": parts} if parts else {}


UNTOLD = Compilation(None, None)


def compilation(
    device: DeviceContext,
    circuit: Circuit,
    settings: Settings,
    where: str,
    prepared: Circuit | None = None,
) -> Compilation:
    """What a job wants to be told of its `circuit`. When another one runs in its place, `prepared` is that
    one, and the schedule is its. Raises `JobRefused` for a circuit that has no timing of its own."""
    schedule = None
    if _asked(settings, "scheduler_timing"):
        schedule = scheduled((prepared or circuit).circuit, device.target, where)
    stretches = None
    if _asked(settings, "stretch_values"):
        stretches = tuple(
            {
                "name": stretch.name,
                "value": stretch.value,
                "remainder": stretch.remainder,
                "expanded_values": [list(pair) for pair in stretch.expanded],
            }
            for stretch in circuit.timing.stretches
        )
    return Compilation(schedule, stretches)


def _asked(settings: Settings, name: str) -> bool:
    """The executor has these options without a section."""
    places = ("", "execution.", "experimental.execution.")
    return any(settings.given.get(f"{place}{name}") for place in places)


_TO_GATES = "circuits are run as they come, so transpile it to these gates"
_TO_MAP = "circuits are run as they come, so transpile it for this map"
_BROUGHT = "the preparation for twirling, decoupling or mitigation brings it in, so add it to them"


@dataclass(frozen=True, slots=True)
class Restriction:
    """What circuits may use of an ideal device, if the options `section` of the job say so: `gates` by name,
    `pairs` of qubits in their order."""

    gates: frozenset[str] | None
    pairs: frozenset[tuple[int, int]] | None
    section: str = "options.simulator"

    def check(self, circuit: QuantumCircuit, where: str, *, prepared: bool = False) -> None:
        """Raises `JobRefused` for an instruction that is outside. `prepared`: the circuit is one that runs in
        the place of the job's."""
        if self.gates is not None or self.pairs is not None:
            self._walk(circuit, {qubit: i for i, qubit in enumerate(circuit.qubits)}, where, prepared)

    def _walk(self, circuit: QuantumCircuit, place: Mapping[Qubit, int], where: str, prepared: bool) -> None:
        for item in circuit.data:
            qubits = tuple(place[qubit] for qubit in item.qubits)
            if isinstance(item.operation, ControlFlowOp):
                for block in item.operation.blocks:
                    self._walk(block, dict(zip(block.qubits, qubits, strict=True)), where, prepared)
                continue
            if item.name in _ANYWHERE:
                continue
            if self.gates is not None and item.name not in self.gates:
                raise JobRefused(
                    f"{where}: {item.name} on qubits {qubits} is not among {self.section}.basis_gates "
                    f"({', '.join(sorted(self.gates))[:200]}); {_BROUGHT if prepared else _TO_GATES}"
                )
            if self.pairs is not None and len(qubits) > 1 and qubits not in self.pairs:
                raise JobRefused(
                    f"{where}: {item.name} on qubits {qubits} is not on a pair of "
                    f"{self.section}.coupling_map, whose pairs have a direction; "
                    f"{_BROUGHT if prepared else _TO_MAP}"
                )


NOTHING_BARRED = Restriction(None, None)


def restriction_of(settings: Settings) -> Restriction:
    gates, pairs = (settings.given.get(f"simulator.{name}") for name in ("basis_gates", "coupling_map"))
    return Restriction(
        None if gates is None else frozenset(gates),
        None if pairs is None else frozenset((first, second) for first, second in pairs),
    )


def suffix(level: Level) -> str:
    """What the executor adds to the name of a register with signals."""
    return "_avg_iq" if level == "avg_kerneled" else "_iq"
