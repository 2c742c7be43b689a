"""Makes the circuits of V1 jobs fit the device: transpiles them, as their clients leave that to the
server."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any

import numpy as np
from numpy.typing import NDArray
from qiskit.circuit import QuantumCircuit
from qiskit.transpiler import CouplingMap, StagedPassManager, generate_preset_pass_manager

from sojourn.worker.codec import decode
from sojourn.worker.programs.conditions import Restriction
from sojourn.worker.programs.device import Circuit, DeviceContext
from sojourn.worker.programs.v1 import expansion
from sojourn.worker.programs.v1.form import Job, Transpilation
from sojourn.worker.protocol.types import JobRefused

_NO_GATES = frozenset({"measure", "reset", "delay", "barrier", "store", "break_loop", "continue_loop"})

SEED = 1
"""Of the transpiler: the circuit that runs is the one that was looked at when the job came."""


@dataclass(frozen=True, slots=True)
class Fitted:
    """A circuit as the device runs it. `names` are the parameters of the circuit that came, in its order, and
    `columns` says which of them each parameter of the new one is; `places` is the device's qubit on which
    each of its qubits ends. `size` counts the instructions that were transpiled."""

    circuit: Circuit
    names: tuple[str, ...]
    columns: tuple[int, ...]
    places: tuple[int, ...]
    size: int

    def values(
        self, given: NDArray[np.float64], names: tuple[str, ...] | None, where: str
    ) -> NDArray[np.float64]:
        """Parameter values for the new circuit, of those that came in the order of `names`. Raises
        `JobRefused`."""
        if len(given) != len(self.names):
            raise JobRefused(f"{where} has {len(given)} values; the circuit has {len(self.names)} parameters")
        order = list(self.names) if names is None else list(names)
        if sorted(order) != sorted(self.names):
            raise JobRefused(
                f"{where}: params.parameters names {str(order)[:200]} for a circuit whose parameters are "
                f"{str(list(self.names))[:200]}"
            )
        place = {name: index for index, name in enumerate(order)}
        return given[[place[self.names[column]] for column in self.columns]]


class Fitter:
    """Fits the circuits of one job, and counts what that takes."""

    def __init__(self, device: DeviceContext, job: Job) -> None:
        self._device = device
        self._job = job
        self._manager: StagedPassManager | None = None
        gates, pairs = job.transpilation.basis_gates, job.transpilation.coupling_map
        self._restriction = Restriction(
            None if gates is None else frozenset(gates),
            None if pairs is None else frozenset(pairs),
            "params.transpilation_settings",
        )
        self._found: dict[int, Fitted] = {}
        self._counted: set[bytes] = set()
        self._size = 0  # of all different circuits: equal ones are transpiled once

    def circuit(self, index: int) -> Fitted:
        """The circuit with that index. Raises `JobRefused`."""
        found = self._found.get(index)
        if found is None:
            where = f"circuits[{index}]"
            found = self._found[index] = self._fitted(index, where)
            if found.circuit.key not in self._counted:
                self._counted.add(found.circuit.key)
                self._size += found.size
            if self._size > expansion.MAX_INSTRUCTIONS:
                raise expansion.too_many(where, self._size)
        return found

    def _fitted(self, index: int, where: str) -> Fitted:
        device, wanted, text = self._device, self._job.transpilation, self._job.circuits[index]
        key = blake2b(repr(wanted).encode() + b"\0" + bytes(text), digest_size=20).digest()

        def make() -> tuple[Fitted, int]:
            device.at = where
            circuit, version = decode.read_circuit(text, where, self._job.budget, device.num_qubits)
            if circuit.num_qubits > device.num_qubits:
                raise JobRefused(
                    f"{where} has {circuit.num_qubits} qubits, {device.name} has {device.num_qubits}; "
                    "choose a "
                    "larger device"
                )
            places: Sequence[int] = range(circuit.num_qubits)
            native, size = circuit, 0
            if not wanted.skip:
                size = expansion.instructions(circuit, where)
                native = self._transpiled(circuit, where)
                if native.layout is not None:  # there is none where every pair of qubits is coupled
                    places = native.layout.final_index_layout()
            self._restriction.check(native, where)
            made = device.fit(key, native, version, where)
            known = {parameter: number for number, parameter in enumerate(circuit.parameters)}
            columns = tuple(known[parameter] for parameter in made.circuit.parameters)
            names = tuple(parameter.name for parameter in circuit.parameters)
            cost = 4096 + 8 * len(bytes(text)) + 400 * len(native.data)
            return Fitted(made, names, columns, tuple(places), size), cost

        found: Fitted = device.recall(("v1", key), make)
        return found

    def _transpiled(self, circuit: QuantumCircuit, where: str) -> QuantumCircuit:
        device, layout = self._device, self._job.transpilation.initial_layout
        if layout is not None and (len(layout) != circuit.num_qubits or max(layout) >= device.num_qubits):
            raise JobRefused(
                f"{where} has {circuit.num_qubits} qubits, and transpilation_settings.initial_layout places "
                f"{len(layout)}, up to qubit {max(layout)} of the {device.num_qubits} of "
                f"{device.name}; it must "
                "name one for each qubit of the circuit"
            )
        try:
            if self._manager is None:
                self._manager = _manager(device, self._job.transpilation)
            return self._manager.run(circuit)
        except (MemoryError, RecursionError, JobRefused):
            raise
        except Exception as error:
            words = str(getattr(error, "message", "") or error) or type(error).__name__
            raise JobRefused(
                f"{where} cannot be transpiled for {device.name}: {' '.join(words.split())[:300]}"
            ) from error


def _manager(device: DeviceContext, wanted: Transpilation) -> StagedPassManager:
    layout, degree = wanted.initial_layout, wanted.approximation_degree
    return generate_preset_pass_manager(
        optimization_level=wanted.level,
        initial_layout=None if layout is None else list(layout),
        layout_method=wanted.layout_method,
        routing_method=wanted.routing_method,
        approximation_degree=1.0 if degree is None else degree,
        seed_transpiler=SEED,
        **_fitted_to(device, wanted),
    )


def _fitted_to(device: DeviceContext, wanted: Transpilation) -> dict[str, Any]:
    """What circuits are transpiled for: the device, or the couplings and gates that a job gives in its place
    on an ideal one."""
    if wanted.coupling_map is None and wanted.basis_gates is None:
        return {"target": device.target}
    coupling = None
    if wanted.coupling_map is not None:
        far = [pair for pair in wanted.coupling_map if max(pair) >= device.num_qubits]
        if far:
            raise JobRefused(
                f"params.transpilation_settings.coupling_map has the pair {list(far[0])}; {device.name} has "
                f"{device.num_qubits} qubits"
            )
        coupling = CouplingMap([list(pair) for pair in wanted.coupling_map])
    gates = wanted.basis_gates
    if gates is None:
        gates = tuple(name for name in device.target.operation_names if _is_narrow(device, name))
    return {"coupling_map": coupling, "basis_gates": list(gates)}


def _is_narrow(device: DeviceContext, name: str) -> bool:
    """Whether it is a gate on one or two qubits, or control flow: for others there are no couplings."""
    if name in _NO_GATES:
        return False
    operation = device.target.operation_from_name(name)
    return isinstance(operation, type) or bool(operation.num_qubits <= 2)


def read_from(circuit: QuantumCircuit) -> dict[int, int]:
    """The device's qubit that each classical bit is read from, by its last measurement. Bits that control
    flow or variables can write are left out."""
    bits = {bit: index for index, bit in enumerate(circuit.clbits)}
    qubits = {qubit: index for index, qubit in enumerate(circuit.qubits)}
    found: dict[int, int] = {}
    for item in circuit.data:
        if item.operation.name == "measure":
            found[bits[item.clbits[0]]] = qubits[item.qubits[0]]
            continue
        for bit in item.clbits:
            found.pop(bits[bit], None)
    return found
