"""Runs circuits on Aer: reduced, given noise and assembled once; then only values and shots per run.

It drives Aer one level below `AerSimulator.run` (the assembler and the controller that `run` itself uses),
because that call assembles the circuit and loads the noise model anew every time, which is most of the time
of a small circuit. Nothing here runs Aer at import: a process that has run Aer must not be forked.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from time import monotonic
from typing import Any

import numpy as np
from numpy.typing import NDArray
from qiskit.circuit import Delay, Parameter, ParameterExpression, QuantumCircuit
from qiskit.converters import circuit_to_dag, dag_to_circuit
from qiskit_aer.backends.backend_utils import LIBRARY_DIR
from qiskit_aer.backends.controller_wrappers import AerConfig, aer_controller_execute

from sojourn.devices.aer.active_qubits import Cut, cut, gates_on
from sojourn.devices.aer.flow import flat as flattened
from sojourn.devices.aer.methods import hardware, placing
from sojourn.devices.aer.methods.account import Account
from sojourn.devices.aer.methods.assembled import AerCircuit, Assembled, Run, SplitCircuit
from sojourn.devices.aer.methods.bonds import growth
from sojourn.devices.aer.methods.clifford import angles_of, multiples
from sojourn.devices.aer.methods.patterns import Patterned
from sojourn.devices.aer.methods.rule import (
    CLIFFORD_QUBITS,
    DENSITY,
    DENSITY_QUBITS,
    METHODS,
    MPS,
    PATTERNS,
    STABILIZER,
    VECTOR,
    VECTOR_QUBITS,
    Load,
    method_for,
    seconds_of,
    state_bytes,
)
from sojourn.devices.aer.noise import NoiseTable
from sojourn.devices.aer.pieces import pieces
from sojourn.devices.bits import num_bytes, pack_keys
from sojourn.devices.delays import without_delays
from sojourn.devices.driver import DriverError, Outcome, Task, fresh_seed
from sojourn.devices.parameters import Expressions
from sojourn.devices.shortage import ran_out

__all__ = ["METHODS", "SEED_STEP", "AerCircuit", "AerEngine", "SplitCircuit"]

_NOISY_WHOLE, _IDEAL_WHOLE = 6, 16  # active qubits up to which a circuit is not split into pieces
_NOISY_TOGETHER, _IDEAL_TOGETHER = 4, 10  # qubits of pieces that are put together
SEED_STEP = 2113  # between the experiments of one call, Aer's own number

_OP_BYTES = 1200
_SHOTS_PER_CALL = 400_000  # per-shot memory comes as one Python string per shot
_PATTERNS_PER_CALL = 256  # circuits that were written for one shot each
_MANY = 2**40  # shots: more than anybody asks for
_SURE = 3  # by which the estimates of times may be wrong


class AerEngine:
    """Compiles and executes on Aer. `noise` None means ideal; `method` "automatic" means: choose well. What
    has a method with code for it runs on `device`, all else on the processor."""

    def __init__(
        self,
        noise: NoiseTable | None = None,
        method: str = "automatic",
        threads: int = 0,
        device: str = hardware.CPU,
    ) -> None:
        self._noise = noise
        self._method = method
        self._threads = threads
        self._device = device
        self._controller: Any = None
        self.account = Account()

    def compile(self, circuit: QuantumCircuit) -> AerCircuit | SplitCircuit:
        """Split and cut. Choose the method, place the noise and assemble, unless shots or values decide."""
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
        load, angles = self._look(part)
        if load.patterned:  # else it decides nothing
            load = self._grown(load, part)
        compiled = AerCircuit(part, parameters, load, self._method_of(load))
        if angles:
            compiled.angles = Expressions(angles, parameters)
        if part.measured and not part.timed:
            compiled.cost += self._cost(part)
            settled = not angles and not (load.patterned and self._method == "automatic")
            if settled and self._method_of(load, 1) == self._method_of(load, _MANY):
                ready = self._assembled(compiled, compiled.method)
                compiled.cost += _OP_BYTES * ready.size if part.flow else 0  # loops are written out
        return compiled

    def _look(self, part: Cut) -> tuple[Load, list[ParameterExpression]]:
        """What decides how it is simulated, and the angles that must be multiples of pi/2 for it to be a
        Clifford circuit that they alone keep from being one."""
        widths = [len(item.qubits) for item in part.circuit.data if item.operation.name != "barrier"]
        ones = sum(width == 1 for width in widths)
        known = self._noise is None or self._noise.follows  # else a stabilizer state may not have the errors
        angles = angles_of(part.circuit) if known and len(part.active) > CLIFFORD_QUBITS else None
        if angles and part.flow:
            angles = None  # a loop's own parameter may be among them, and it has values of its own
        load = Load(
            qubits=len(part.active),
            ones=ones,
            twos=len(widths) - ones,
            noisy=self._noise is not None,
            dynamic=part.dynamic,
            clifford=angles == [],
        )
        return load, angles or []

    def _grown(self, load: Load, part: Cut) -> Load:
        """With how far a matrix product state of it grows, if it may be one and that can be known."""
        may = load.grows if self._method == "automatic" else self._method == MPS and not load.dynamic
        return replace(load, growth=growth(part.circuit)) if may else load

    def _method_of(
        self, load: Load, shots: int | None = None, room: int = 0, free: float | None = None
    ) -> str:
        return method_for(load, shots, room, free) if self._method == "automatic" else self._method

    def _method_at(self, compiled: AerCircuit, task: Task, room: int) -> str:
        """The method for a task: its shots and values are known now."""
        load = compiled.load
        if compiled.angles is not None and multiples(compiled.angles.at(task.values)):
            load = replace(load, clifford=True)
        if self._noise is not None and self._noise.follows and load.patterned and compiled.free is None:
            compiled.free = placing.free(self._noise, compiled.cut)
        return self._method_of(load, task.shots, room, compiled.free)

    def most_memory(self, num_qubits: int) -> int:
        """Bytes of the largest state that a circuit of so many qubits can have."""
        if self._method != "automatic":
            return state_bytes(self._method, num_qubits)
        if self._noise is None:
            return state_bytes(VECTOR, min(num_qubits, VECTOR_QUBITS))
        return state_bytes(DENSITY, min(num_qubits, DENSITY_QUBITS))

    def memory_of(self, circuit: QuantumCircuit, room: int = 0) -> int:
        """Bytes of the circuit's state, when a run may take `room` (0: any amount); 0 for a method whose
        state grows while it runs."""
        loads = [self._look(cut(piece))[0] for piece in self._pieces(circuit)]
        return max(state_bytes(self._method_of(load, None, room), load.qubits) for load in loads)

    def least_seconds(self, circuit: QuantumCircuit, points: int, shots: int, room: int = 0) -> float:
        """Seconds that so many points of a circuit, each with `shots`, take on this machine by an estimate
        that is careful to be low, when a run may take `room` bytes (0: any amount); 0 where there is none."""
        whole = 0.0
        for piece in self._pieces(circuit):
            part = cut(piece)
            load, angles = self._look(part)
            if not part.measured or part.timed or (angles and self._method == "automatic"):
                continue  # with the values of the job it may be a Clifford circuit, and quick
            load = self._grown(load, part)
            free = None
            if self._noise is not None and self._noise.follows and load.patterned:
                free = placing.free(self._noise, part)
            whole += seconds_of(self._method_of(load, shots, room, free), load, shots, free)
        return points * whole / (_SURE * (os.cpu_count() or 1))

    def _threads_for(self, load: Load, method: str) -> int:
        if self._threads:
            return self._threads
        trajectories = load.dynamic or (load.noisy and method not in (DENSITY, PATTERNS))
        small = {DENSITY: 6, VECTOR: 13, PATTERNS: 13, STABILIZER: 200}.get(method, 0)
        # starting threads costs more than a small circuit; 0 means all of them
        return 1 if load.qubits <= small and not (trajectories and load.qubits > 3) else 0

    def _assembled(self, compiled: AerCircuit, method: str) -> Assembled:
        found = compiled.ready.get(method)
        if found is None:
            found = self._assemble(compiled.cut, compiled.cut.circuit, compiled.parameters, method)
            compiled.ready[method] = found
        return found

    def _assemble(
        self, part: Cut, small: QuantumCircuit, parameters: Sequence[Parameter], method: str
    ) -> Assembled:
        flat = flattened(small) if part.flow else small
        if isinstance(flat.global_phase, ParameterExpression):
            flat = flat.copy()
            flat.global_phase = 0.0  # never seen in counts
        if self._noise is None:
            return Assembled(flat, parameters, {})
        if any(isinstance(item.operation, Delay) for item in flat.data):
            # Aer places the noise of delays by a transpiler pass, which orders the instructions anew; the
            # same order gives the same random numbers to the same measurements
            flat = dag_to_circuit(circuit_to_dag(flat))
        readout = self._noise.readout_model(part.active)
        if method == DENSITY and self._noise.follows:
            return Assembled(placing.with_superops(self._noise, part, flat), parameters, readout)
        if method == PATTERNS:
            return Patterned(flat, parameters, readout, placing.places(self._noise, part, flat))
        noise = self._noise.for_stabilizers() if method == STABILIZER else self._noise
        noisy, located = placing.with_locations(noise, part, flat)
        model = noise.model(part.active, gates_on(flat), located)
        return Assembled(noisy, parameters, model, noise.approximates(part.active))

    def _cost(self, part: Cut) -> int:
        """A guess of the bytes of an assembled circuit, by the larger method: an Aer op is about 600, a
        superoperator 16 per entry."""
        dense = self._noise is not None and len(part.active) <= DENSITY_QUBITS
        widths = [min(len(item.qubits), 2) for item in part.circuit.data]
        return sum(_OP_BYTES + (16 * 16**width if dense else 0) for width in widths)

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
        batch: list[Run] = []
        for run in self._runs(tasks, room):
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

    def _runs(self, tasks: Sequence[Task], room: int) -> Iterator[Run]:
        for index, task in enumerate(tasks):
            compiled = task.circuit
            if not isinstance(compiled, AerCircuit):
                raise DriverError(f"{type(compiled).__name__} was not compiled by this driver")
            if not compiled.cut.measured:
                yield Run(index, compiled, None, compiled.method, 1, task.values, task.shots)
                continue
            if compiled.cut.timed:
                yield from self._timed(index, compiled, task, room)
                continue
            method = self._method_at(compiled, task, room)
            ready = self._assembled(compiled, method)
            threads = self._threads_for(compiled.load, method)
            # Aer binds what has parameters; else a point is a run
            step = max(1, _SHOTS_PER_CALL // max(task.shots, 1)) if ready.places else 1
            for start in range(0, len(task.values), step):
                yield Run(
                    index, compiled, ready, method, threads, task.values[start : start + step], task.shots
                )

    def _timed(self, index: int, compiled: AerCircuit, task: Task, room: int) -> Iterator[Run]:
        """A circuit with delays that depend on parameters is bound and assembled at each point."""
        for line in task.values:
            bound = compiled.cut.circuit.assign_parameters(
                dict(zip(compiled.parameters, line.tolist(), strict=True)), strict=False
            )
            load = replace(compiled.load, clifford=angles_of(bound) == [])
            method = self._method_of(load, task.shots, room)
            ready = self._assemble(compiled.cut, bound, (), method)
            threads = self._threads_for(load, method)
            yield Run(index, compiled, ready, method, threads, line[None, :0], task.shots)

    def _call(self, batch: Sequence[Run], memory: bool, results: list[list[Outcome]], room: int) -> None:
        """One call of Aer for runs that share shots, method and noise. Raises MemoryError."""
        begun = monotonic()
        lead = batch[0]
        ordered = memory or isinstance(lead.assembled, Patterned)
        bindings: list[Any] = []
        if any(run.bound for run in batch):
            bindings = [
                run.assembled.bindings(run.values) if run.bound and run.assembled else [] for run in batch
            ]
        circuits = [run.assembled.circuit for run in batch if run.assembled]
        found = iter(self._aer(lead, circuits, bindings, lead.shots, lead.seed, room, memory=ordered))
        for run in batch:
            outcomes = [_outcome(next(found), run.compiled, run.shots, ordered) for _ in run.values]
            if isinstance(run.assembled, Patterned):
                outcomes = self._with_errors(run, run.assembled, outcomes, room)
            results[run.task].extend(outcomes)
        self._tell(batch, monotonic() - begun)

    def _aer(
        self,
        run: Run,
        circuits: Sequence[Any],
        bindings: Sequence[Any],
        shots: int,
        seed: int,
        room: int,
        *,
        memory: bool = False,
        apart: bool = False,
    ) -> list[Mapping[str, Any]]:
        """The data of each experiment, by the method and noise of `run`. `apart`: the circuits are small and
        many, so each has a thread of its own. Raises MemoryError."""
        if self._controller is None:
            self._controller = aer_controller_execute()
        assert run.assembled is not None
        threads = self._threads if apart else run.threads
        config = AerConfig()
        config.library_dir = LIBRARY_DIR
        config.n_qubits = max(circuit.num_qubits for circuit in circuits)
        config.memory_slots = max(circuit.num_memory for circuit in circuits)
        config.method = VECTOR if run.method == PATTERNS else run.method
        config.device = hardware.used(self._device, run.method)
        config.shots = shots
        config.memory = memory
        config.seed_simulator = seed
        config.max_parallel_threads = threads or (os.cpu_count() or 1)
        config.max_parallel_experiments = config.max_parallel_threads if apart else 1
        if room:  # else Aer takes the whole machine for its own, whatever bounds this process
            config.max_memory_mb = max(1, room >> 20)
        if bindings:
            config.parameterizations = bindings
        output = self._controller.execute(circuits, run.assembled.noise, config)
        found = output.get("results", []) if isinstance(output, dict) else []
        wanted = sum(len(table[0][1]) if table else 1 for table in bindings) if bindings else len(circuits)
        if not isinstance(output, dict) or not output.get("success") or len(found) != wanted:
            why = _why(output)
            if ran_out(why):
                raise MemoryError(why)
            raise DriverError(f"the simulator failed: {why}")
        return [entry.get("data", {}) for entry in found]

    def _with_errors(
        self, run: Run, patterned: Patterned, outcomes: Sequence[Outcome], room: int
    ) -> list[Outcome]:
        """The outcomes of shots without an error, those that have one replaced."""
        rows = [outcome.memory().copy() for outcome in outcomes]
        table = patterned.table.at(run.values)
        seeds = np.random.default_rng([run.seed, len(rows)])
        waiting: list[tuple[int, int, Any]] = []

        def finish() -> None:
            seed = int(seeds.integers(2**31))
            found = self._aer(run, [circuit for _, _, circuit in waiting], (), 1, seed, room, apart=True)
            for (point, shot, _), data in zip(waiting, found, strict=True):
                rows[point][shot] = _outcome(data, run.compiled, 1, False).patterns[0]
            waiting.clear()

        for point in range(len(rows)):
            drawn = patterned.draw(np.random.default_rng([run.seed, len(rows), point]), run.shots)
            written = patterned.circuits(table[point], drawn.values())
            for shot, circuit in zip(drawn, written, strict=True):
                waiting.append((point, shot, circuit))
                if len(waiting) == _PATTERNS_PER_CALL:
                    finish()
        if waiting:
            finish()
        return [_in_order(patterns) for patterns in rows]

    def _tell(self, batch: Sequence[Run], seconds: float) -> None:
        """The time of a call is shared among its runs by their circuits."""
        whole = sum(len(run.values) for run in batch)
        for run in batch:
            number = len(run.values)
            self.account.add(
                run.method,
                run.compiled.load,
                number,
                run.shots,
                seconds * number / whole,
                approximate=run.assembled is not None and run.assembled.approximate,
            )


def _fits(batch: Sequence[Run], run: Run) -> bool:
    """Whether `run` may go into the same call. Aer seeds the experiments of a call in steps of `SEED_STEP`,
    so joining does not change the outcome; one assembled circuit may stand in a call only once."""
    lead = batch[0]
    assert lead.assembled is not None
    assert run.assembled is not None
    return (
        lead.shots == run.shots
        and lead.method == run.method
        and lead.threads == run.threads
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
        made.append(_in_order(patterns))
    return made


def _in_order(patterns: NDArray[np.uint8]) -> Outcome:
    """Shots as they came, (shots, bytes)."""
    shots = len(patterns)
    return Outcome(patterns, np.ones(shots, dtype=np.int64), np.arange(shots))


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
