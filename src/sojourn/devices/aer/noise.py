"""Makes the noise of an IBM-style device, one instruction on one set of qubits at a time.

The errors are those of Aer's own device model (`basic_device_gate_errors` and friends), computed from the
device's properties cut to the qubits of one instruction and kept. So the model of the whole device is never
built, and a circuit pays for the instructions that it uses, once.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping, Sequence
from copy import copy
from types import SimpleNamespace
from typing import Any, Literal

from qiskit.circuit import Delay, Instruction
from qiskit.quantum_info import SuperOp
from qiskit_aer.noise import NoiseModel, QuantumError, ReadoutError, thermal_relaxation_error
from qiskit_aer.noise.device.models import basic_device_gate_errors, basic_device_readout_errors

from sojourn.devices.aer.errors.mixture import Mixture, mixture, unravelled
from sojourn.devices.aer.errors.twirl import holds, twirled
from sojourn.devices.delays import SECONDS

Kind = Literal["exact", "stabilizer", "pauli"]


class NoiseTable:
    """Errors by instruction name and device qubits, built on first use.

    `properties` has `qubits` (lists of name/unit/value entries) and `gates` (`gate`, `qubits`,
    `parameters`), as the client's BackendProperties. `dt` is the device's time step in seconds. `kind` says
    which errors are replaced by their Pauli twirl: none, those that a stabilizer state cannot have, or all.
    """

    follows = True
    """Whether every error comes right behind its gate, so that it can be put there by us and not by Aer."""

    _reads = True

    def __init__(self, properties: Any, dt: float | None, kind: Kind = "exact") -> None:
        self._properties = properties
        self._kind = kind
        self._stabilizers: NoiseTable | None = None
        self._qubits: Sequence[Any] = properties.qubits
        self._dt = dt
        self._entries: dict[tuple[str, tuple[int, ...]], list[Any]] = {}
        for gate in properties.gates:
            self._entries.setdefault((gate.gate, tuple(gate.qubits)), []).append(gate)
        self._gate: dict[tuple[str, tuple[int, ...]], QuantumError | None] = {}
        self._readout: dict[int, ReadoutError | None] = {}
        self._delay: dict[tuple[int, float], QuantumError | None] = {}
        self._superops: dict[int, tuple[QuantumError, Instruction]] = {}
        self._mixtures: dict[int, tuple[QuantumError, Mixture]] = {}
        self._trajectories: dict[int, tuple[QuantumError, QuantumError]] = {}
        self._readout_dicts: dict[tuple[int, ...], dict[str, Any]] = {}

    def gate(self, name: str, qubits: tuple[int, ...]) -> QuantumError | None:
        """What follows the gate `name` on these device qubits; None when nothing does."""
        key = (name, qubits)
        if key not in self._gate:
            self._gate[key] = self._build(name, qubits)
        return self._gate[key]

    def _build(self, name: str, qubits: tuple[int, ...]) -> QuantumError | None:
        entries = self._entries.get((name, qubits))
        if not entries:
            return None
        local = list(range(len(qubits)))
        gates = [SimpleNamespace(gate=name, qubits=local, parameters=e.parameters) for e in entries]
        properties = SimpleNamespace(qubits=[self._qubits[q] for q in qubits], gates=gates)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # unphysical calibration data is truncated, as in the full model
            found = [error for _, _, error in basic_device_gate_errors(properties)]
        if not found:
            return None
        whole = found[0]
        for error in found[1:]:
            whole = whole.compose(error)
        return self._fitted(whole)

    def _fitted(self, error: QuantumError) -> QuantumError:
        if self._kind == "exact" or (self._kind == "stabilizer" and holds(error)):
            return error
        return twirled(error)

    def for_stabilizers(self) -> NoiseTable:
        """The table of errors that a stabilizer state can have."""
        if self._kind != "exact":
            return self
        if self._stabilizers is None:
            self._stabilizers = NoiseTable(self._properties, self._dt, "stabilizer")
            self._stabilizers._reads = self._reads
        return self._stabilizers

    def approximates(self, qubits: Iterable[int]) -> bool:
        """Whether some error on these device qubits stands for another that the method cannot have."""
        return self._kind == "stabilizer" and any(map(self._coherent, qubits))

    def _coherent(self, qubit: int) -> bool:
        """Whether T2 > T1: then the relaxation is no mixture of Pauli operators and resets."""
        t1, t2 = self.time(qubit, "T1"), self.time(qubit, "T2")
        return t1 is not None and (t2 is None or t2 > t1)

    def delay(self, qubit: int, operation: Delay) -> QuantumError | None:
        """Relaxation during a delay, which takes a whole number of the device's time steps. T2 is cut to
        2 T1, as Aer does."""
        seconds = float(operation.duration)
        if operation.unit != "dt":
            seconds *= SECONDS[operation.unit]
            if self._dt:
                seconds = round(seconds / self._dt) * self._dt
        elif self._dt is None:
            return None
        else:
            seconds *= self._dt
        key = (qubit, seconds)
        if key not in self._delay:
            if len(self._delay) > 4096:  # durations are the user's, so bound what they can leave behind
                self._delay.clear()
            self._delay[key] = self._relax(qubit, seconds)
        return self._delay[key]

    def _relax(self, qubit: int, seconds: float) -> QuantumError | None:
        t1, t2 = self.time(qubit, "T1"), self.time(qubit, "T2")
        if t1 is None or t2 is None:
            return None
        return self._fitted(thermal_relaxation_error(t1, min(t2, 2 * t1), seconds, 0))

    def time(self, qubit: int, name: str) -> float | None:
        """T1 or T2 in seconds."""
        for entry in self._qubits[qubit]:
            if entry.name == name:
                return float(entry.value) * SECONDS.get(entry.unit, 1.0)
        return None

    def readout(self, qubit: int) -> ReadoutError | None:
        """The assignment error of a qubit; P(1|0) and P(0|1) apart where the device gives them apart."""
        if qubit not in self._readout:
            self._readout[qubit] = self._assignment(qubit) if self._reads else None
        return self._readout[qubit]

    def _assignment(self, qubit: int) -> ReadoutError | None:
        properties = SimpleNamespace(qubits=[self._qubits[qubit]], gates=[])
        found = basic_device_readout_errors(properties)
        return found[0][1] if found else None

    def without_readout(self) -> NoiseTable:
        """The same errors but those of the readout; what is built of one is there for the other."""
        made = copy(self)
        made._reads = False
        made._readout = {}
        made._readout_dicts = {}
        made._stabilizers = None
        return made

    def superop(self, error: QuantumError) -> Instruction:
        """The error as one instruction, for density matrices."""
        held = self._superops.get(id(error))
        if held is None:
            if len(self._superops) > 8192:
                self._superops.clear()
            held = self._superops[id(error)] = (error, SuperOp(error).to_instruction())
        return held[1]

    def mixture(self, error: QuantumError) -> Mixture:
        """The error as a mixture of nothing and others."""
        held = self._mixtures.get(id(error))
        if held is None:
            if len(self._mixtures) > 8192:
                self._mixtures.clear()
            held = self._mixtures[id(error)] = (error, mixture(error))
        return held[1]

    def trajectory(self, error: QuantumError) -> QuantumError:
        """The same error in the form that is quickest where it is drawn for each shot."""
        if holds(error):
            return error
        held = self._trajectories.get(id(error))
        if held is None:
            if len(self._trajectories) > 8192:
                self._trajectories.clear()
            held = self._trajectories[id(error)] = (error, unravelled(error))
        return held[1]

    def readout_model(self, active: tuple[int, ...]) -> Mapping[str, Any]:
        """Aer's JSON of a model with the readout errors of `active` only (local numbering)."""
        held = self._readout_dicts.get(active)
        if held is None:
            if len(self._readout_dicts) > 1024:
                self._readout_dicts.clear()
            held = self.model(active, (), ())
            self._readout_dicts[active] = held
        return held

    def model(
        self,
        active: tuple[int, ...],
        gates: Iterable[tuple[str, tuple[int, ...]]],
        located: Iterable[QuantumError],
    ) -> dict[str, Any]:
        """Aer's JSON of the model cut to `active`: readout errors, the errors of `gates` (local qubits),
        and the errors `located`, which stand in the circuit by their id."""
        model = NoiseModel()
        for local, qubit in enumerate(active):
            readout = self.readout(qubit)
            if readout is not None:
                model.add_readout_error(readout, [local])
        for name, places in sorted(gates):
            error = self.gate(name, tuple(active[place] for place in places))
            if error is not None:
                model.add_quantum_error(self.trajectory(error), name, list(places))
        for error in {error.id: error for error in located}.values():
            model.add_all_qubit_quantum_error(error, error.id)
        made: dict[str, Any] = model.to_dict(serializable=True)
        return made
