"""Runs circuits on Aer: reduced, given noise and assembled once; then only values and shots per run.

It drives Aer one level below `AerSimulator.run` (the assembler and the controller that `run` itself uses),
because that call assembles the circuit and loads the noise model anew every time, which is most of the time
of a small circuit. Nothing here runs Aer at import: a process that has run Aer must not be forked.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from qiskit.circuit import Delay, Parameter, ParameterExpression, QuantumCircuit
from qiskit.converters import circuit_to_dag, dag_to_circuit
from qiskit_aer.backends.aer_compiler import assemble_circuits
from qiskit_aer.backends.backend_utils import LIBRARY_DIR
from qiskit_aer.backends.controller_wrappers import AerConfig, aer_controller_execute
from qiskit_aer.noise.noise_model import QuantumErrorLocation

from sojourn.devices.aer.active_qubits import Cut, cut, gates_on
from sojourn.devices.aer.flow import flat as flattened
from sojourn.devices.aer.noise import NoiseTable
from sojourn.devices.aer.pieces import pieces
from sojourn.devices.bits import num_bytes, pack_keys
from sojourn.devices.delays import without_delays
from sojourn.devices.driver import CompiledCircuit, DriverError, Outcome, Task, fresh_seed
from sojourn.devices.parameters import affine
from sojourn.devices.shortage import ran_out

METHODS = ("automatic", "density_matrix", "matrix_product_state", "stabilizer", "statevector")

_DENSITY_QUBITS = 12  # 4**12 amplitudes are 268 MB; at 12 qubits trajectories of 1,000 shots cost the same
_VECTOR_QUBITS = 26  # 2**26 amplitudes are 1 GB
_NOISY_VECTOR_QUBITS = 12  # above, trajectories of a matrix product state are faster
_NOISY_WHOLE, _IDEAL_WHOLE = 6, 16  # active qubits up to which a circuit is not split into pieces
_NOISY_TOGETHER, _IDEAL_TOGETHER = 4, 10  # qubits of pieces that are put together
SEED_STEP = 2113  # between the experiments of one call, Aer's own number

_OP_BYTES = 1200
_SHOTS_PER_CALL = 400_000  # per-shot memory comes as one Python string per shot
_CLIFFORD = frozenset(
    [
        "barrier",
        "cx",
        "cy",
        "cz",
        "delay",
        "ecr",
        "h",
        "id",
        "measure",
        "reset",
        "s",
        "sdg",
        "swap",
        "sx",
        "sxdg",
        "x",
        "y",
        "z",
    ]
)


def method_for(qubits: int, *, noisy: bool, dynamic: bool, clifford: bool) -> str:
    """The simulation method for a circuit of `qubits` active qubits; the numbers are measured."""
    if noisy:
        if qubits <= (2 if dynamic else _DENSITY_QUBITS):
            return "density_matrix"
        return "statevector" if qubits <= _NOISY_VECTOR_QUBITS else "matrix_product_state"
    if clifford and qubits > 12:
        return "stabilizer"
    return "statevector" if qubits <= _VECTOR_QUBITS else "matrix_product_state"


class AerCircuit(CompiledCircuit):
    """A circuit ready for Aer. `runs` is None when nothing is measured: every bit is then 0."""

    __slots__ = ("cut", "method", "parameters", "runs", "threads")

    def __init__(self, part: Cut, parameters: Sequence[Parameter], method: str, threads: int) -> None:
        super().__init__(num_clbits=part.circuit.num_clbits, num_parameters=len(parameters), cost=4096)
        self.cut = part
        self.parameters = list(parameters)
        self.method = method
        self.threads = threads
        self.runs: _Assembled | None = None


class SplitCircuit(CompiledCircuit):
    """A circuit in independent pieces, each ready for Aer."""

    __slots__ = ("pieces",)

    def __init__(self, pieces: Sequence[AerCircuit]) -> None:
        super().__init__(
            num_clbits=pieces[0].num_clbits,
            num_parameters=pieces[0].num_parameters,
            cost=sum(piece.cost for piece in pieces),
        )
        self.pieces = list(pieces)


class _Assembled:
    """Aer's own circuit, where its parameters stand, and the noise model that goes with it."""

    __slots__ = ("affine", "bits", "circuit", "constants", "general", "noise", "places", "size")

    def __init__(
        self, flat: QuantumCircuit, parameters: Sequence[Parameter], noise: Mapping[str, Any]
    ) -> None:
        circuits, maps = assemble_circuits([flat])
        self.circuit = circuits[0]
        self.circuit.circ_id = 0
        self.noise = noise
        self.bits = flat.num_clbits  # the user's and, behind them, hidden ones
        self.size = len(flat.data)
        self.places: list[tuple[int, int]] = []
        self.general: list[tuple[int, ParameterExpression]] = []
        column = {parameter: i for i, parameter in enumerate(parameters)}
        rows: list[NDArray[np.float64]] = []
        constants: list[float] = []
        for position, item in enumerate(flat.data):
            for slot, value in enumerate(item.operation.params):
                if not isinstance(value, ParameterExpression) or not value.parameters:
                    continue
                row, constant = affine(value, column)
                if row is None:
                    self.general.append((len(self.places), value))
                    row = np.zeros(len(column))
                self.places.append((maps[0][position], slot))
                rows.append(row)
                constants.append(constant)
        self.affine = np.array(rows, dtype=np.float64).reshape(len(rows), len(column))
        self.constants = np.array(constants, dtype=np.float64)

    def bindings(self, values: NDArray[np.float64], parameters: Sequence[Parameter]) -> list[Any]:
        """Aer's parameter table for the points `values` (points, parameters)."""
        table = values @ self.affine.T + self.constants
        for row, expression in self.general:
            used = [(i, p) for i, p in enumerate(parameters) if p in expression.parameters]
            for point, line in enumerate(values):
                table[point, row] = float(expression.bind({p: float(line[i]) for i, p in used}))
        columns = table.T.tolist()
        return [[place, column] for place, column in zip(self.places, columns, strict=True)]


class AerEngine:
    """Compiles and executes on Aer. `noise` None means ideal; `method` "automatic" means: choose well."""

    def __init__(self, noise: NoiseTable | None = None, method: str = "automatic", threads: int = 0) -> None:
        self._noise = noise
        self._method = method
        self._threads = threads
        self._controller: Any = None

    def compile(self, circuit: QuantumCircuit) -> AerCircuit | SplitCircuit:
        """Split, cut, choose the method, place the noise, assemble."""
        parameters = list(circuit.parameters)
        made = [self._compile(piece, parameters) for piece in self._pieces(circuit)]
        return made[0] if len(made) == 1 else SplitCircuit(made)

    def _pieces(self, circuit: QuantumCircuit) -> list[QuantumCircuit]:
        if self._method != "automatic":
            return [circuit]  # the operator chose how it is simulated
        if self._noise is None:
            return pieces(circuit, _IDEAL_WHOLE, _IDEAL_TOGETHER)
        return pieces(circuit, _NOISY_WHOLE, _NOISY_TOGETHER)

    def _compile(self, circuit: QuantumCircuit, parameters: Sequence[Parameter]) -> AerCircuit:
        """`parameters` are those of the whole circuit."""
        part = cut(circuit)
        if part.timed and self._noise is None:
            part = cut(without_delays(circuit))  # they change nothing, and need not be bound point by point
        method = self._method_of(part)
        compiled = AerCircuit(part, parameters, method, self._threads_for(part, method))
        if part.measured and not part.timed:
            compiled.runs = self._assemble(part, part.circuit, compiled.parameters, method)
            compiled.cost += _cost(part.circuit, method if self._noise else None)
            compiled.cost += _OP_BYTES * compiled.runs.size if part.flow else 0  # loops are written out
        return compiled

    def _method_of(self, part: Cut) -> str:
        if self._method != "automatic":
            return self._method
        clifford = {name for name, _ in gates_on(part.circuit)} <= _CLIFFORD
        noisy = self._noise is not None
        return method_for(len(part.active), noisy=noisy, dynamic=part.dynamic, clifford=clifford)

    def most_memory(self, num_qubits: int) -> int:
        """Bytes of the largest state that a circuit of so many qubits can have."""
        if self._method != "automatic":
            return _state_bytes(self._method, num_qubits)
        if self._noise is None:
            return _state_bytes("statevector", min(num_qubits, _VECTOR_QUBITS))
        return _state_bytes("density_matrix", min(num_qubits, _DENSITY_QUBITS))

    def memory_of(self, circuit: QuantumCircuit) -> int:
        """Bytes of the circuit's state; 0 for a method whose state grows while it runs."""
        parts = [cut(piece) for piece in self._pieces(circuit)]
        return max(_state_bytes(self._method_of(part), len(part.active)) for part in parts)

    def _threads_for(self, part: Cut, method: str) -> int:
        if self._threads:
            return self._threads
        trajectories = part.dynamic or (self._noise is not None and method != "density_matrix")
        small = {"density_matrix": 6, "statevector": 13, "stabilizer": 200}.get(method, 0)
        # starting threads costs more than a small circuit; 0 means all of them
        return 1 if len(part.active) <= small and not (trajectories and len(part.active) > 3) else 0

    def _assemble(
        self, part: Cut, small: QuantumCircuit, parameters: Sequence[Parameter], method: str
    ) -> _Assembled:
        flat = flattened(small) if part.flow else small
        if isinstance(flat.global_phase, ParameterExpression):
            flat = flat.copy()
            flat.global_phase = 0.0  # never seen in counts
        if self._noise is None:
            return _Assembled(flat, parameters, {})
        if any(isinstance(item.operation, Delay) for item in flat.data):
            # Aer places the noise of delays by a transpiler pass, which orders the instructions anew; the
            # same order gives the same random numbers to the same measurements
            flat = dag_to_circuit(circuit_to_dag(flat))
        if method == "density_matrix" and self._noise.as_superops:
            return _Assembled(
                self._with_superops(part, flat), parameters, self._noise.readout_model(part.active)
            )
        noisy, located = self._with_locations(part, flat)
        return _Assembled(noisy, parameters, self._noise.model(part.active, gates_on(flat), located))

    def _with_superops(self, part: Cut, flat: QuantumCircuit) -> QuantumCircuit:
        """Every gate followed by its error as one superoperator: what Aer makes of the model anyway, but
        made once instead of at every run."""
        assert self._noise is not None
        place = {qubit: i for i, qubit in enumerate(flat.qubits)}
        out = flat.copy_empty_like()
        for item in flat.data:
            out.append(item)
            qubits = tuple(part.active[place[q]] for q in item.qubits) if part.active else ()
            if isinstance(item.operation, Delay):
                error = self._noise.delay(qubits[0], item.operation)
            else:
                error = self._noise.gate(item.operation.name, qubits)
            if error is not None:
                out.append(self._noise.superop(error), item.qubits)
        return out

    def _with_locations(self, part: Cut, flat: QuantumCircuit) -> tuple[QuantumCircuit, list[Any]]:
        """Delays followed by a marker of their error; the errors of gates go into the model."""
        assert self._noise is not None
        if not any(isinstance(item.operation, Delay) for item in flat.data):
            return flat, []
        place = {qubit: i for i, qubit in enumerate(flat.qubits)}
        out = flat.copy_empty_like()
        located = []
        for item in flat.data:
            out.append(item)
            if isinstance(item.operation, Delay):
                error = self._noise.delay(part.active[place[item.qubits[0]]], item.operation)
                if error is not None:
                    out.append(QuantumErrorLocation(error), item.qubits)
                    located.append(error)
        return out, located

    def execute(
        self, tasks: Sequence[Task], *, seed: int | None, memory: bool, room: int = 0
    ) -> list[list[Outcome]]:
        """See `Driver.execute`. `room` is the bytes that a run may take; 0 for any amount.

        Point number k of the whole call has the seed ``seed + SEED_STEP * k``, so the way in which the points
        are split over calls of Aer does not show."""
        first = fresh_seed() if seed is None else seed
        split = [task.circuit.pieces if isinstance(task.circuit, SplitCircuit) else None for task in tasks]
        if any(split):  # pieces are put together shot by shot
            single: list[Task] = [
                Task(circuit, task.values, task.shots)
                for task, parts in zip(tasks, split, strict=True)
                for circuit in (parts if parts is not None else (task.circuit,))
            ]
            found = iter(self._execute(single, first, True, room))
            return [
                next(found) if parts is None else _joined([next(found) for _ in parts]) for parts in split
            ]
        return self._execute(tasks, first, memory, room)

    def _execute(self, tasks: Sequence[Task], first: int, memory: bool, room: int) -> list[list[Outcome]]:
        results: list[list[Outcome]] = [[] for _ in tasks]
        number = 0
        batch: list[_Run] = []
        for run in self._runs(tasks):
            count = len(run.values)
            if run.assembled is None:
                results[run.task].extend(_zeros(run.compiled, run.shots) for _ in range(count))
            else:
                if batch and not _fits(batch, run):
                    self._call(batch, memory, results, room)
                    batch = []
                run.seed = (first + SEED_STEP * number) % 2**63
                batch.append(run)
            number += count
        if batch:
            self._call(batch, memory, results, room)
        return results

    def _runs(self, tasks: Sequence[Task]) -> Iterator[_Run]:
        for index, task in enumerate(tasks):
            compiled = task.circuit
            if not isinstance(compiled, AerCircuit):
                raise DriverError(f"{type(compiled).__name__} was not compiled by this driver")
            if compiled.cut.measured and compiled.cut.timed:
                for line in task.values:
                    bound = compiled.cut.circuit.assign_parameters(
                        dict(zip(compiled.parameters, line.tolist(), strict=True)), strict=False
                    )
                    ready = self._assemble(compiled.cut, bound, (), compiled.method)
                    yield _Run(index, compiled, ready, line[None, :0], task.shots, False)
                continue
            bound_by_aer = compiled.runs is not None and bool(compiled.runs.places)
            step = max(1, _SHOTS_PER_CALL // max(task.shots, 1)) if bound_by_aer else 1
            for start in range(0, len(task.values), step):
                yield _Run(
                    index,
                    compiled,
                    compiled.runs,
                    task.values[start : start + step],
                    task.shots,
                    bound_by_aer,
                )

    def _call(self, batch: Sequence[_Run], memory: bool, results: list[list[Outcome]], room: int) -> None:
        """One call of Aer for runs that share shots, method and noise. Raises MemoryError."""
        if self._controller is None:
            self._controller = aer_controller_execute()
        lead = batch[0]
        assert lead.assembled is not None
        config = AerConfig()
        config.library_dir = LIBRARY_DIR
        config.n_qubits = max(run.compiled.cut.circuit.num_qubits for run in batch)
        config.memory_slots = max(run.assembled.bits for run in batch if run.assembled)
        config.method = lead.compiled.method
        config.shots = lead.shots
        config.memory = memory
        config.seed_simulator = lead.seed
        config.max_parallel_threads = lead.compiled.threads or (os.cpu_count() or 1)
        config.max_parallel_experiments = 1
        if room:  # else Aer takes the whole machine for its own, whatever bounds this process
            config.max_memory_mb = max(1, room >> 20)
        if any(run.bound for run in batch):
            config.parameterizations = [
                run.assembled.bindings(run.values, run.compiled.parameters)
                if run.bound and run.assembled
                else []
                for run in batch
            ]
        circuits = [run.assembled.circuit for run in batch if run.assembled]
        output = self._controller.execute(circuits, lead.assembled.noise, config)
        found = output.get("results", []) if isinstance(output, dict) else []
        expected = sum(len(run.values) for run in batch)
        if not isinstance(output, dict) or not output.get("success") or len(found) != expected:
            why = _why(output)
            if ran_out(why):
                raise MemoryError(why)
            raise DriverError(f"the simulator failed: {why}")
        entries = iter(found)
        for run in batch:
            for _ in range(len(run.values)):
                data = next(entries).get("data", {})
                results[run.task].append(_outcome(data, run.compiled, run.shots, memory))


class _Run:
    """One compiled circuit at some points inside one call of Aer."""

    __slots__ = ("assembled", "bound", "compiled", "seed", "shots", "task", "values")

    def __init__(
        self,
        task: int,
        compiled: AerCircuit,
        assembled: _Assembled | None,
        values: NDArray[np.float64],
        shots: int,
        bound: bool,
    ) -> None:
        self.task = task
        self.compiled = compiled
        self.assembled = assembled
        self.values = values
        self.shots = shots
        self.bound = bound
        self.seed = 0


def _fits(batch: Sequence[_Run], run: _Run) -> bool:
    """Whether `run` may go into the same call. Aer seeds the experiments of a call in steps of `SEED_STEP`,
    so joining does not change the outcome; one assembled circuit may stand in a call only once."""
    lead = batch[0]
    assert lead.assembled is not None
    assert run.assembled is not None
    return (
        lead.shots == run.shots
        and lead.compiled.method == run.compiled.method
        and lead.compiled.threads == run.compiled.threads
        and lead.assembled.noise is run.assembled.noise
        and all(held.assembled is not run.assembled for held in batch)
        and sum(len(held.values) for held in (*batch, run)) * run.shots <= _SHOTS_PER_CALL
    )


def _joined(pieces: Sequence[Sequence[Outcome]]) -> list[Outcome]:
    """Outcomes of independent pieces at each point: in every shot, the bits of all of them."""
    made = []
    for outcomes in zip(*pieces, strict=True):
        patterns = outcomes[0].memory()
        for outcome in outcomes[1:]:
            patterns |= outcome.memory()
        shots = len(patterns)
        made.append(Outcome(patterns, np.ones(shots, dtype=np.int64), np.arange(shots)))
    return made


def _state_bytes(method: str, qubits: int) -> int:
    """What Aer allocates for one state, as measured; a sample of shots adds little to it."""
    wide = {"statevector": qubits, "density_matrix": 2 * qubits}.get(method)
    return 0 if wide is None else 16 << wide


def _cost(circuit: QuantumCircuit, method: str | None) -> int:
    """A guess of an assembled circuit's bytes: an Aer op is about 600, a superoperator 16 per entry."""
    dense = method == "density_matrix"
    return sum(_OP_BYTES + (16 * 16 ** min(len(item.qubits), 2) if dense else 0) for item in circuit.data)


def _zeros(compiled: AerCircuit, shots: int) -> Outcome:
    width = num_bytes(compiled.num_clbits)
    return Outcome(
        np.zeros((1, width), dtype=np.uint8),
        np.array([shots], dtype=np.int64),
        np.zeros(shots, dtype=np.intp),
    )


def _outcome(data: Mapping[str, Any], compiled: AerCircuit, shots: int, memory: bool) -> Outcome:
    counts: Mapping[str, int] = data.get("counts", {})
    if not counts:
        return _zeros(compiled, shots)
    keys = list(counts)
    patterns = pack_keys(keys, compiled.num_clbits)
    numbers = np.fromiter(counts.values(), dtype=np.int64, count=len(keys))
    if not memory:
        return Outcome(patterns, numbers)
    rank = {key: i for i, key in enumerate(keys)}
    order = np.fromiter(map(rank.__getitem__, data["memory"]), dtype=np.intp, count=shots)
    return Outcome(patterns, numbers, order)


def _why(output: Any) -> str:
    if not isinstance(output, dict):
        return "no output"
    texts = [str(output.get("status", ""))]
    texts += [str(r.get("status")) for r in output.get("results", []) if not r.get("success", True)]
    return "; ".join(dict.fromkeys(text for text in texts if text)) or "unknown"
