"""Measures what mitigation gives: problems of known value, true noise, the client's estimator.

The client's own code prepares the quantum program and decodes the result; the worker's code runs it in this
process on a device whose seed is fixed, so that every run can be repeated. `locally` runs the same program in
the client's local testing mode instead.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray
from qiskit import QuantumCircuit
from qiskit.circuit import CircuitInstruction
from qiskit.quantum_info import PTM, PauliLindbladMap, SparsePauliOp, SuperOp
from qiskit.transpiler import CouplingMap
from qiskit.transpiler.preset_passmanagers import generate_preset_pass_manager
from qiskit_aer.noise import depolarizing_error
from qiskit_ibm_runtime import fake_provider
from qiskit_ibm_runtime.decoders.executor.decoder import ExecutorResultDecoder
from qiskit_ibm_runtime.decoders.executor_estimator.decoder import ClientSideEstimatorDecoder
from qiskit_ibm_runtime.executor_estimator import Estimator
from qiskit_ibm_runtime.executor_estimator.prepare import prepare
from qiskit_ibm_runtime.fake_provider.executor.run_quantum_program import run_quantum_program
from qiskit_ibm_runtime.options_models import EstimatorOptions, SimulatorOptions
from qiskit_ibm_runtime.quantum_program.params_converters import QUANTUM_PROGRAM_PARAMS_CONVERTERS

from sojourn.devices.aer.noise import NoiseTable
from sojourn.worker.host import DeviceHost
from sojourn.worker.protocol.types import Completed, DeviceSpec, Failed

WAYS: dict[str, dict[str, Any]] = {
    "level 0": {"resilience_level": 0},
    "level 1": {"resilience_level": 1},
    "level 2": {"resilience_level": 2},
    "PEC": {"resilience_level": 1, "resilience": {"pec_mitigation": True}},
    "PEA": {
        "resilience_level": 1,
        "resilience": {"zne_mitigation": True, "zne": {"amplifier": "pea"}},
        "twirling": {"num_randomizations": 64},  # each injects its own noise, so that they differ much
    },
}
"""Options of the estimator by the names under which they are reported."""

STEPS = {4: 2, 10: 1}
PRECISION = {4: 0.03, 10: 0.03}
"""Trotter steps of the problems and precision of the estimates, by the number of qubits."""

NEED_NOISE = ("PEC", "PEA")

_GATES = frozenset({"cx", "cz", "rz", "sx", "x"})

Run = Callable[[Any, Any], Any]
"""From a quantum program and its options to a `QuantumProgramResult`."""


@dataclass(frozen=True, slots=True)
class Problem:
    """A circuit for `backend` (a fake backend of the client) and observables whose values are known.

    It stands on the qubits 1, 2, … of the device, which are a line, and is not wider than that, as the
    estimator measures all qubits of a circuit. `exact` is (observables,).
    """

    backend: Any
    isa: Any
    observables: list[Any]
    exact: NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Estimate:
    """What the estimator gave: `errors` is value minus exact value, `bars` the standard errors that it says,
    both (observables,). `circuits` and `shots` were run; `seconds` they took on the device."""

    errors: NDArray[np.float64]
    bars: NDArray[np.float64]
    circuits: int
    shots: int
    seconds: float


@cache
def snapshot(name: str) -> Any:
    """The client's fake backend `name`."""
    return getattr(fake_provider, name)()


@lru_cache(maxsize=64)
def mirror(name: str, qubits: int, steps: int, seed: int) -> Problem:
    """A Trotterised transverse-field Ising chain, forwards and backwards, then a rotation of every qubit.

    Without noise the chain undoes itself, so that qubit i ends in ry(a_i)|0>, in which <Z_i> = cos a_i. The
    couplings, fields and angles a_i are drawn from `seed`. The observables are the mean of Z over the qubits,
    and of ZZ over the neighbours.
    """
    rng = np.random.default_rng(seed)
    coupling, field = rng.uniform(0.2, 0.6, qubits), rng.uniform(0.2, 0.8, qubits)
    forth = QuantumCircuit(qubits)
    for _ in range(steps):
        for first in (0, 1):
            for i in range(first, qubits - 1, 2):
                forth.rzz(2 * coupling[i], i, i + 1)
        for i in range(qubits):
            forth.rx(2 * field[i], i)
    circuit = QuantumCircuit(qubits)
    circuit.compose(forth, inplace=True)
    circuit.barrier()  # else the transpiler undoes it
    circuit.compose(forth.inverse(), inplace=True)
    return _rotated(name, circuit, rng)


def rotations(name: str, qubits: int, seed: int) -> Problem:
    """A rotation of every qubit and nothing else: only the readout errs. Observables as of `mirror`."""
    return _rotated(name, QuantumCircuit(qubits), np.random.default_rng(seed))


def _rotated(name: str, circuit: QuantumCircuit, rng: np.random.Generator) -> Problem:
    qubits = circuit.num_qubits
    angles = rng.uniform(0.3, 0.9, qubits)
    for i, angle in enumerate(angles):
        circuit.ry(angle, i)
    backend = snapshot(name)
    transpiler = generate_preset_pass_manager(
        optimization_level=2,
        basis_gates=sorted(_GATES.intersection(backend.operation_names)),
        coupling_map=CouplingMap.from_line(qubits + 1),
        initial_layout=list(range(1, qubits + 1)),
        seed_transpiler=1,
    )
    isa = transpiler.run(circuit)
    ones = [("Z", [i], 1 / qubits) for i in range(qubits)]
    pairs = [("ZZ", [i, i + 1], 1 / (qubits - 1)) for i in range(qubits - 1)]
    observables = [SparsePauliOp.from_sparse_list(terms, qubits) for terms in (ones, pairs)]
    cosines = np.cos(angles)
    exact = np.array([cosines.mean(), (cosines[1:] * cosines[:-1]).mean()])
    return Problem(backend, isa, [observable.apply_layout(isa.layout) for observable in observables], exact)


def options_of(problem: Problem, way: str) -> Any:
    """The options of `WAYS`, where they need it with the true noise of the circuit's layers."""
    options = EstimatorOptions(**WAYS[way])
    if way in NEED_NOISE:
        estimator = Estimator(mode=problem.backend, options=options)
        layers = estimator.find_unique_layers([(problem.isa, problem.observables)])
        options.resilience.layer_noise_model = layer_noise(layers, problem.isa, problem.backend)
    return options


def estimate(problem: Problem, way: str, precision: float, run: Run) -> Estimate:
    """The client's estimator, as its method `run` does it."""
    pubs = [(problem.isa, problem.observables)]
    program, settings = prepare(pubs, options_of(problem, way), precision)
    program._semantic_role = "estimator_v2"
    began = time.perf_counter()
    found = run(program, settings)
    seconds = time.perf_counter() - began
    data = ClientSideEstimatorDecoder.decode(found)[0].data
    circuits = sum(item.size() for item in program.items)
    return Estimate(
        np.asarray(data.evs) - problem.exact,
        np.asarray(data.stds),
        circuits,
        circuits * program.shots,
        seconds,
    )


@lru_cache(maxsize=4)
def device(name: str, seed: int) -> DeviceHost:
    """A `fake` device of this process, whose shots and randomisations follow from `seed`."""
    return DeviceHost.load(DeviceSpec(name.lower(), "fake", {"backend": name, "seed": seed}))


def on(host: DeviceHost) -> Run:
    """Run as a worker does, from the text of a job to the text of its result."""

    def run(program: Any, settings: Any) -> Any:
        encoder = QUANTUM_PROGRAM_PARAMS_CONVERTERS["v2.0"].encoder
        params = json.dumps(encoder(program, settings).model_dump(mode="json")).encode()
        outcome = host.run("executor", params)
        assert isinstance(outcome, Completed), outcome.detail if isinstance(outcome, Failed) else outcome
        return ExecutorResultDecoder.decode(outcome.result.decode())

    return run


def locally(name: str, seed: int) -> Run:
    """Run as the client's local testing mode does."""

    def run(program: Any, settings: Any) -> Any:
        del settings
        return run_quantum_program(snapshot(name), program, SimulatorOptions(seed_simulator=seed))

    return run


def mean_error(estimates: Sequence[Estimate]) -> float:
    """The mean of |value - exact value| over all estimates and observables."""
    return float(np.mean([np.abs(e.errors) for e in estimates]))


def bias(estimates: Sequence[Estimate]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The mean of value - exact value over the estimates and its standard error, both (observables,).

    The error is that of the true scatter of at least two estimates, whatever bars they say themselves.
    """
    errors = np.array([e.errors for e in estimates])
    scatter: NDArray[np.float64] = errors.std(axis=0, ddof=1) / np.sqrt(len(errors))
    return errors.mean(axis=0), scatter


def pulls(estimates: Sequence[Estimate]) -> NDArray[np.float64]:
    """How far the mean over the estimates is from the exact values, in standard errors of that mean.

    One number for each observable; those of an unbiased estimator are about normal with variance 1. The
    standard error is that of the scatter, or for fewer than 10 estimates what they say themselves.
    """
    off, bar = bias(estimates)
    if len(estimates) < 10:
        bar = np.sqrt(np.sum([e.bars**2 for e in estimates], axis=0)) / len(estimates)
    made: NDArray[np.float64] = off / bar
    return made


def layer_noise(
    layers: Sequence[CircuitInstruction], circuit: QuantumCircuit, backend: Any
) -> list[tuple[CircuitInstruction, Any]]:
    """The noise of each layer as the device `backend` has it, for `resilience.layer_noise_model`.

    A layer is a box of cx or cz gates, run twirled, behind a single-qubit gate on each of its qubits. Of the
    errors twirling leaves the Pauli part, so they are a Pauli-Lindblad map, exactly but for the single-qubit
    gates: see `_dressing`.
    """
    table = NoiseTable(backend.properties(), backend.target.dt)
    return [(layer, _noise_of(layer, circuit, table)) for layer in layers]


def _noise_of(layer: Any, circuit: QuantumCircuit, table: NoiseTable) -> Any:
    """The map's qubits are those of the layer in the order of the device."""
    qubits = [circuit.find_bit(qubit).index for qubit in layer.qubits]
    place = {qubit: rank for rank, qubit in enumerate(sorted(qubits))}
    body = layer.operation.body
    idle = set(qubits)
    terms: list[tuple[str, list[int], float]] = []
    for item in body.data:
        if item.operation.name == "barrier":
            continue
        assert item.operation.name in ("cx", "cz"), item.operation.name
        one, two = (qubits[body.find_bit(qubit).index] for qubit in item.qubits)
        idle -= {one, two}
        terms += _terms(_pair(item.operation, (one, two), table), [place[one], place[two]])
    for qubit in sorted(idle):
        terms += _terms(_dressing(qubit, table), [place[qubit]])
    return PauliLindbladMap.from_sparse_list(terms, len(qubits))


def _dressing(qubit: int, table: NoiseTable) -> Any:
    """The error of a layer's single-qubit gate, which is rz-sx-rz-sx-rz with random angles.

    So the error of each sx is seen from all sides, and only its mean over them is kept.
    """
    error = table.gate("sx", (qubit,))
    assert error is not None
    fidelity = np.real(np.diag(PTM(SuperOp(error)).data))[1:].mean()
    return SuperOp(depolarizing_error(1 - fidelity**2, 1))


def _pair(gate: Any, qubits: tuple[int, int], table: NoiseTable) -> Any:
    """The errors of two qubits' single-qubit gates, carried through the gate behind them, and its own."""
    error = table.gate(gate.name, qubits)
    assert error is not None
    ideal = SuperOp(gate)  # its own inverse
    dressing = _dressing(qubits[1], table).tensor(_dressing(qubits[0], table))
    return ideal.compose(dressing).compose(ideal).compose(SuperOp(error))


def _terms(channel: Any, places: Sequence[int]) -> list[tuple[str, list[int], float]]:
    """The Pauli part of a channel as generators and rates.

    With the fidelities f_P = exp(sum over Q of (w_PQ - 1) rate_Q), where w_PQ is 1 if P and Q commute and
    else -1, the rates are the logarithms of the fidelities multiplied by w / 4^n.
    """
    single = np.array([[1 if not (p and q) or p == q else -1 for q in range(4)] for p in range(4)])
    signs = single if len(places) == 1 else np.kron(single, single)
    fidelities = np.real(np.diag(PTM(channel).data))
    rates = signs @ np.log(fidelities) / len(signs)
    labels = ["".join(label) for label in product("IXYZ", repeat=len(places))]
    made = []
    for label, rate in zip(labels[1:], rates[1:], strict=True):
        # the last letter belongs to the first qubit
        found = [(letter, at) for letter, at in zip(reversed(label), places, strict=True) if letter != "I"]
        if rate > 1e-12:
            made.append(("".join(letter for letter, _ in found), [at for _, at in found], float(rate)))
    return made
