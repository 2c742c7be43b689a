"""Checks a circuit against a device's target, and estimates how long it takes there."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from qiskit.circuit import (
    ControlFlowOp,
    Delay,
    Instruction,
    ParameterExpression,
    QuantumCircuit,
    Qubit,
)
from qiskit.transpiler import Target

from sojourn.devices import flow_check
from sojourn.devices.driver import DriverError
from sojourn.worker.circuits.angles import Angle, Angles, Collector
from sojourn.worker.circuits.timing import turns_of
from sojourn.worker.protocol.types import JobRefused

_CLASSICAL = frozenset({"store", "break_loop", "continue_loop"})
_FREE = _CLASSICAL | {"barrier"}
MAX_INSTRUCTIONS = 2_000_000
MAX_TURNED = 100_000
"""Instructions of loops when those are written out, as the simulators do; each takes some 0.1 ms."""

_KNOWN = 500_000
_CONDITIONS = hasattr(Instruction, "condition")
"""Before Qiskit 2.0 an instruction could have one; files of that time are read with them there."""


@dataclass(frozen=True, slots=True)
class Bounded:
    """An instruction whose angles the device bounds, with angles that depend on parameters."""

    name: str
    qubits: tuple[int, ...]
    angles: tuple[Angle | float, ...]


@dataclass(frozen=True, slots=True)
class Checked:
    """What the check of a circuit found out. `duration` is one shot in seconds, without repetition delay."""

    duration: float
    dynamic: bool
    measured: bool
    bounded: tuple[Bounded, ...]
    angles: Angles


class TargetCheck:
    """Checks circuits against one target. `device` is its name, for the messages."""

    def __init__(self, device: str, target: Target) -> None:
        self._device = device
        self._target = target
        # since Qiskit 2.2
        self._bounds: Callable[[str], bool] = getattr(target, "gate_has_angle_bounds", lambda _: False)
        self._known: set[tuple[str, tuple[int, ...]]] = set()
        self._shapes: dict[str, tuple[int, int, bool]] = {}
        self._durations: dict[tuple[str, tuple[int, ...]], float] = {}

    def check(self, circuit: QuantumCircuit, where: str) -> Checked:
        """Walk every instruction, control flow included. Raises `JobRefused` at the first misfit."""
        width = self._target.num_qubits or 0
        if circuit.num_qubits > width:
            raise JobRefused(
                f"{where} has {circuit.num_qubits} qubits, {self._device} has {width}; choose a larger device"
            )
        if circuit.num_input_vars or circuit.num_captured_vars:
            raise JobRefused(f"{where} has input variables, for which a job gives no values")
        walk = _Walk()
        place = {qubit: i for i, qubit in enumerate(circuit.qubits)}
        clock = [0.0] * circuit.num_qubits
        self._walk(circuit, place, where, walk, clock, 1)
        if walk.dynamic or circuit.num_declared_vars:
            try:
                flow_check.check(circuit)
            except DriverError as error:
                raise JobRefused(f"{where}: {error}") from None
        return Checked(
            max(clock, default=0.0), walk.dynamic, walk.measured, tuple(walk.bounded), walk.angles.made()
        )

    def _walk(
        self,
        circuit: QuantumCircuit,
        place: Mapping[Qubit, int],
        where: str,
        walk: _Walk,
        clock: list[float],
        turns: int,
    ) -> None:
        there = max(1, len(circuit.data))  # an empty body is walked as well
        walk.instructions += there
        walk.turned += turns * there if turns > 1 else 0
        if walk.turned > MAX_TURNED:
            raise too_many_turns(where, walk.turned)
        if walk.instructions > MAX_INSTRUCTIONS:
            raise JobRefused(
                f"{where} has more than {MAX_INSTRUCTIONS} instructions, the limit; split it, or use loops"
            )
        walk.angles.phase(circuit, where)
        for item in circuit.data:
            qubits = tuple(place[qubit] for qubit in item.qubits)
            operation = item.operation
            name = operation.name
            if name not in _FREE:
                self._allow(name, qubits, where)
                self._genuine(operation, where)
                self._angles(operation, qubits, where, walk)
            if _CONDITIONS and operation.condition is not None and not isinstance(operation, ControlFlowOp):
                raise JobRefused(
                    f"{where}: {name} on qubits {qubits} has a condition of its own (c_if), which is not run "
                    "here; use QuantumCircuit.if_test"
                )
            walk.measured |= name.startswith("measure") or name == "store"
            walk.dynamic |= name in _CLASSICAL
            start = max((clock[q] for q in qubits), default=0.0)
            if isinstance(operation, ControlFlowOp):
                walk.dynamic = True
                start += self._blocks(operation, qubits, len(item.clbits), where, walk, turns)
            elif name not in _FREE:
                start += self._duration(operation, qubits)
            for qubit in qubits:
                clock[qubit] = start

    def _blocks(
        self,
        operation: ControlFlowOp,
        qubits: tuple[int, ...],
        clbits: int,
        where: str,
        walk: _Walk,
        outer: int,
    ) -> float:
        """The longest branch; a loop over a known range counts its turns, any other counts once."""
        longest = 0.0
        known = turns_of(operation)
        turns = MAX_TURNED + 1 if known is None else known
        walk.angles.enter(operation)
        for block in operation.blocks:
            if (block.num_qubits, block.num_clbits) != (len(qubits), clbits):
                raise JobRefused(
                    f"{where}: a block of {operation.name!r} has {block.num_qubits} qubits and "
                    f"{block.num_clbits} classical bits, but stands on {len(qubits)} and {clbits}"
                )
            inner = dict(zip(block.qubits, qubits, strict=True))
            clock = [0.0] * (max(qubits, default=-1) + 1)
            self._walk(block, inner, where, walk, clock, outer * max(turns, 1))
            longest = max(longest, max(clock, default=0.0))
        walk.angles.leave()
        return longest * turns

    def _allow(self, name: str, qubits: tuple[int, ...], where: str) -> None:
        key = (name, qubits)
        if key in self._known:
            return
        if self._target.instruction_supported(name, qubits):
            if len(self._known) > _KNOWN:
                self._known.clear()
            self._known.add(key)
            return
        disabled = [q for q in qubits if not self._target.instruction_supported("measure", (q,))]
        if disabled:
            raise JobRefused(
                f"{where} uses qubit {disabled[0]}, which is disabled on {self._device}; transpile the "
                "circuit for the device as it is now"
            )
        if name == "box":
            raise JobRefused(
                f"{where} has a box on qubits {qubits}, which is not run here; build the circuit without "
                "QuantumCircuit.box(), or turn it into a template and a samplex (samplomatic.build)"
            )
        if name not in self._target.operation_names:
            has = ", ".join(sorted(self._target.operation_names))
            reason = f"it has {has}"
        else:
            reason = "not on these qubits"
        raise JobRefused(
            f"{where}: {name} on qubits {qubits} is not an instruction of {self._device} ({reason}); "
            "transpile the circuit for the device"
        )

    def _genuine(self, operation: Instruction, where: str) -> None:
        """Refuse an instruction that has the name of one of the device's and is another one."""
        name = operation.name
        shape = self._shapes.get(name)
        if shape is None:
            known = self._target.operation_from_name(name)
            flow = not isinstance(known, Instruction)  # control flow stands in a target as a class
            shape = (0, 0, True) if flow else (len(known.params), known.num_clbits, False)
            self._shapes[name] = shape
        params, clbits, flow = shape
        if flow:
            fits = isinstance(operation, ControlFlowOp)
        else:
            fits = (len(operation.params), operation.num_clbits) == (params, clbits) and all(
                isinstance(value, int | float | ParameterExpression) for value in operation.params
            )
        if not fits:
            raise JobRefused(
                f"{where} has an instruction called {name!r} that is not the device's {name}: that one has "
                + ("blocks" if flow else f"{params} real parameters and {clbits} classical bits")
            )

    def _angles(self, operation: Instruction, qubits: tuple[int, ...], where: str, walk: _Walk) -> None:
        if not operation.params:
            return
        walk.angles.see(operation, qubits, where)
        if not self._bounds(operation.name):
            return
        angles = [
            walk.angles.angle(angle, operation.name, qubits)
            if isinstance(angle, ParameterExpression) and angle.parameters
            else float(angle)
            for angle in operation.params
        ]
        fixed = [angle for angle in angles if isinstance(angle, float)]
        if len(fixed) < len(angles):
            walk.bounded.append(Bounded(operation.name, qubits, tuple(angles)))
        else:
            self.check_angles(operation.name, qubits, fixed, where)

    def check_angles(self, name: str, qubits: tuple[int, ...], angles: Sequence[float], where: str) -> None:
        """Refuse angles that the device does not do; 1e-10 is left for rounding."""
        if any(
            self._target.supported_angle_bound(name, [angle + slack for angle in angles])
            for slack in (0.0, -1e-10, 1e-10)
        ):
            return
        shown = ", ".join(f"{angle:.6g}" for angle in angles)
        raise JobRefused(
            f"{where}: {name}({shown}) on qubits {qubits} is outside of the angles that {self._device} does; "
            "for rzz these are 0 to pi/2"
        )

    def _duration(self, operation: Instruction, qubits: tuple[int, ...]) -> float:
        if isinstance(operation, Delay):
            if isinstance(operation.duration, ParameterExpression):
                return 0.0  # counted point by point, see `Timing.seconds`
            return float(operation.duration) * ((self._target.dt or 0.0) if operation.unit == "dt" else 1.0)
        key = (operation.name, qubits)
        known = self._durations.get(key)
        if known is None:
            places = self._target[operation.name]
            entry = (places or {}).get(qubits)
            known = self._durations[key] = (entry.duration or 0.0) if entry is not None else 0.0
        return known


def too_many_turns(where: str, count: int) -> JobRefused:
    return JobRefused(
        f"{where} has {shown(count)} instructions when its loops are written out, turn by turn; the "
        f"limit is {MAX_TURNED}. Make fewer turns"
    )


def shown(count: int) -> str:
    """A number of which nobody needs all digits."""
    return str(count) if count < 10**15 else "more than 10**15"


class _Walk:
    __slots__ = ("angles", "bounded", "dynamic", "instructions", "measured", "turned")

    def __init__(self) -> None:
        self.angles = Collector()
        self.dynamic = self.measured = False
        self.instructions = self.turned = 0
        self.bounded: list[Bounded] = []
