"""The only module that uses the learning protocol of `qiskit-noise-learning`, and what of `samplomatic` and
of the client makes and reads its quantum programs.

A layer is learned by the protocol that the client's own learner runs (`prepare_vanilla_program`): circuits
that repeat the layer an even number of times in nine bases, and a fit of the decays. Everything is imported
at first use: a worker that learns nothing pays nothing, and one whose environment lacks a package refuses the
job by the package's name.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from qiskit.circuit import CircuitInstruction, ClassicalRegister, QuantumCircuit, QuantumRegister, Qubit
from qiskit.transpiler import CouplingMap, Target

from sojourn.worker.protocol.types import JobRefused

if TYPE_CHECKING:
    from qiskit.circuit import BoxOp  # since Qiskit 2.0, as is all that is done here

SCHEMA = "v2.0"
"""The version in which quantum programs go to the program `executor`."""

READOUT = "meas"
RESAMPLES = 16
"""How often the decays are drawn anew for the errors of the rates."""

_FLIPS = "measurement_flips."
_LEAST = 1e-9  # of a decay: its logarithm is taken
_STRATEGIES = {
    "active": "active",
    "active-accum": "active_accum",
    "active-circuit": "active_circuit",
    "all": "all",
}

Programme = Any
"""A `QuantumProgram` of the client."""


@dataclass(frozen=True, slots=True)
class Rates:
    """What was learned of one layer: Pauli letters and the qubits that they act on (counted among those of
    the layer, ascending), the rate of each and its standard error."""

    terms: tuple[tuple[str, tuple[int, ...]], ...]
    rates: NDArray[np.float64]
    errors: NDArray[np.float64]


def check_installed() -> None:
    """Raises `JobRefused` with the name of the package that this device's environment lacks."""
    with _needed():
        import qiskit_noise_learning.protocols  # noqa: F401


def annotation_readers() -> Mapping[str, Callable[[], Any]]:
    """How QPY reads the annotations of boxes."""
    with _needed():
        from ibm_quantum_schemas.common.annotation_serializer import AnnotationSerializer
    return {"samplomatic": AnnotationSerializer}


def boxes(circuit: QuantumCircuit, strategy: str, where: str) -> Iterator[tuple[list[int], QuantumCircuit]]:
    """The layers of two-qubit gates of a circuit, in its order: the qubits that are twirled with each, and
    its body on them. `strategy` is the client's `twirling_strategy`. Raises `JobRefused`."""
    with _needed():
        from samplomatic.transpiler import generate_boxing_pass_manager
    manager = generate_boxing_pass_manager(
        enable_gates=True, enable_measures=False, twirling_strategy=_STRATEGIES[strategy]
    )
    try:
        boxed = manager.run(circuit)
    except MemoryError:
        raise
    except Exception as error:
        raise JobRefused(f"{where} cannot be cut into layers: {_line(error)}") from None
    place = {qubit: index for index, qubit in enumerate(boxed.qubits)}
    for item in boxed.data:
        if item.operation.name == "box":
            yield [place[qubit] for qubit in item.qubits], item.operation.body


def undressed(instruction: CircuitInstruction, target: Target, where: str) -> tuple[QuantumCircuit, bool]:
    """The body of an annotated box without the gates that its twirl takes in, and whether it measures.

    Raises `JobRefused` for a box that the client would not send either: without a twirl, off the device, or
    with something else than one layer of Clifford gates or one measurement of each of its qubits.
    """
    with _needed():
        from qiskit_ibm_runtime.exceptions import IBMInputValueError
        from qiskit_ibm_runtime.noise_learner_v3.find_learning_protocol import find_learning_protocol
        from qiskit_ibm_runtime.noise_learner_v3.learning_protocol import LearningProtocol
        from qiskit_ibm_runtime.noise_learner_v3.validation import validate_instruction
        from samplomatic.utils import undress_box
    try:
        validate_instruction(instruction, target)
        protocol = find_learning_protocol(instruction)
        body = undress_box(instruction.operation).body
    except IBMInputValueError as error:
        raise JobRefused(f"{where}: {_line(error)}") from None
    except MemoryError:
        raise
    except Exception as error:
        raise JobRefused(f"{where} cannot be learned: {_line(error)}") from None
    return body, protocol == LearningProtocol.TREX


def layer_program(
    content: QuantumCircuit,
    qubits: Sequence[int],
    target: Target,
    depths: Sequence[int],
    randomizations: int,
    shots: int,
) -> Programme:
    """The experiments that learn a layer: `content` on the device's `qubits`, which ascend. Raises
    `ValueError` with what is wrong with the layer, and `JobRefused` without the library."""
    with _needed():
        from qiskit_ibm_runtime.quantum_program import QuantumProgram
        from qiskit_noise_learning.protocols import prepare_vanilla_program
    circuit = _empty(target)
    box, places = _box(circuit, content, qubits, target)
    made = prepare_vanilla_program(
        backend=_Backend(target, content, qubits),
        instructions=[CircuitInstruction(box, places, [])],
        num_randomizations=randomizations,
        shots_per_randomization=shots,
        fragment_depths=list(depths),
    )
    return QuantumProgram.from_(made)


def trial_program(
    content: QuantumCircuit, qubits: Sequence[int], target: Target, depth: int, shots: int
) -> Programme:
    """One circuit like those of `layer_program` at a depth: it is made at once, and runs for as long."""
    with _needed():
        from qiskit_ibm_runtime.quantum_program import QuantumProgram
    circuit = _empty(target)
    box, places = _box(circuit, content, qubits, target)
    for _ in range(2 * depth):
        circuit.append(CircuitInstruction(box, places, []))
    program = QuantumProgram(shots=shots)
    _append_measured(program, circuit, qubits, target, 1)
    return program


def readout_program(qubits: Sequence[int], target: Target, randomizations: int, shots: int) -> Programme:
    """The experiment that learns the readout of the device's `qubits`: measure the ground state, twirled."""
    with _needed():
        from qiskit_ibm_runtime.quantum_program import QuantumProgram
    program = QuantumProgram(shots=shots)
    _append_measured(program, _empty(target), qubits, target, randomizations)
    return program


def executor_params(program: Programme, rep_delay: float | None) -> bytes:
    """The `params` of an executor job that runs `program`."""
    with _needed():
        from qiskit_ibm_runtime.options_models.executor import ExecutorOptions
        from qiskit_ibm_runtime.quantum_program.params_converters import QUANTUM_PROGRAM_PARAMS_CONVERTERS
    options = ExecutorOptions(execution={"rep_delay": rep_delay})
    encoder = QUANTUM_PROGRAM_PARAMS_CONVERTERS[SCHEMA].encoder
    return json.dumps(encoder(program, options).model_dump(mode="json")).encode()


def learned_layer(text: bytes, random: np.random.Generator) -> Rates:
    """What the experiments of `layer_program` gave, from the result of the executor. The errors are those of
    the rates that follow from other decays, drawn from the errors of those that were fitted (a bootstrap)."""
    from qiskit_noise_learning.protocols import process_vanilla_result

    (found,), (name,), fit = process_vanilla_result(_decoded(text))
    if not np.isfinite(found.rates).all():
        raise ValueError("the fit gives rates that are not finite")
    drawn = [_solved(fit, name, random) for _ in range(RESAMPLES)]
    terms = tuple((letters, tuple(qubits)) for letters, qubits, _ in found.to_sparse_list())
    return Rates(terms, np.array(found.rates, dtype=np.float64), np.std(drawn, axis=0, ddof=1))


def learned_readout(text: bytes) -> Rates:
    """What the experiment of `readout_program` gave: the rate of the bit flip of each qubit, which is
    -ln(1 - 2p) / 2 where a twirled readout is wrong with probability p. Raises `ValueError` where p is not
    below 1/2."""
    result = _decoded(text)
    wrong = result[0][READOUT] ^ result[0][_FLIPS + READOUT]  # (randomizations, shots, qubits)
    share = wrong.mean(axis=(0, 1))
    fidelity = 1 - 2 * share
    if (fidelity <= 0).any():
        raise ValueError(f"qubit {int(np.argmin(fidelity))} of the layer reads wrong in half of the shots")
    if len(wrong) > 1:
        error = wrong.mean(axis=1).std(axis=0, ddof=1) / math.sqrt(len(wrong))
    else:
        error = np.sqrt(share * (1 - share) / wrong.shape[1])
    terms = tuple(("X", (qubit,)) for qubit in range(wrong.shape[-1]))
    return Rates(terms, -np.log(fidelity) / 2, error / fidelity)


class _Backend:
    """As much of a backend as the protocol looks at. Where every pair of qubits is coupled, only the pairs of
    the layer's own gates are taken to be: the protocol needs a sparse map."""

    def __init__(self, target: Target, content: QuantumCircuit, qubits: Sequence[int]) -> None:
        self.target = target
        self.num_qubits = target.num_qubits
        if target.build_coupling_map() is None:
            self.target = _sparse(target, content, qubits)

    @property
    def coupling_map(self) -> CouplingMap:
        return self.target.build_coupling_map()


def _sparse(target: Target, content: QuantumCircuit, qubits: Sequence[int]) -> Target:
    """The part of `target` that the layer uses."""
    made = Target(num_qubits=target.num_qubits)
    places: dict[str, dict[tuple[int, ...], None]] = {"measure": {(qubit,): None for qubit in qubits}}
    for item in content.data:
        at = tuple(qubits[content.find_bit(qubit).index] for qubit in item.qubits)
        if item.operation.name != "barrier":
            places.setdefault(item.operation.name, {})[at] = None
    for name, where in places.items():
        made.add_instruction(target.operation_from_name(name), where, name=name)
    return made


def _empty(target: Target) -> QuantumCircuit:
    return QuantumCircuit(QuantumRegister(target.num_qubits, "q"))


def _box(
    circuit: QuantumCircuit, content: QuantumCircuit, qubits: Sequence[int], target: Target
) -> tuple[BoxOp, list[Qubit]]:
    """A twirled layer, and where it stands in `circuit`."""
    from qiskit.circuit import BoxOp

    places = [circuit.qubits[qubit] for qubit in qubits]
    body = QuantumCircuit(places)
    body.compose(content, qubits=places, inplace=True)
    return BoxOp(body, annotations=[_twirl(target)]), places


def _append_measured(
    program: Programme, circuit: QuantumCircuit, qubits: Sequence[int], target: Target, randomizations: int
) -> None:
    """Measure `qubits`, twirled, at the end of `circuit`, and make an item of it."""
    from qiskit.circuit import BoxOp
    from samplomatic import build

    register = ClassicalRegister(len(qubits), READOUT)
    circuit.add_register(register)
    places = [circuit.qubits[qubit] for qubit in qubits]
    body = QuantumCircuit(places, register)
    body.measure(places, register)
    circuit.append(CircuitInstruction(BoxOp(body, annotations=[_twirl(target)]), places, list(register)))
    template, samplex = build(circuit)
    program.append_samplex_item(template, samplex, shape=(randomizations,))


def _twirl(target: Target) -> Any:
    from samplomatic import Twirl

    return Twirl(decomposition="rzsx" if "sx" in target.operation_names else "rzrx")


def _decoded(text: bytes) -> Any:
    from qiskit_ibm_runtime.decoders.executor.decoder import ExecutorResultDecoder

    return ExecutorResultDecoder.decode(text.decode())


def _solved(fit: Any, name: str, random: np.random.Generator) -> NDArray[np.float64]:
    """The rates of the layer called `name`, solved for decays that are drawn anew."""
    from qiskit_noise_learning.analysis import AnalysisPipeline, LegacySolve
    from qiskit_noise_learning.data import AggregatedObservableData
    from qiskit_noise_learning.models import split_pauli_lindblad_model

    data = fit[AggregatedObservableData].dataset
    drawn = random.normal(data["estimate_values"].data, data["estimate_std"].data)
    again = fit.copy()
    again[AggregatedObservableData] = AggregatedObservableData(
        data.assign(estimate_values=("observable", np.clip(drawn, _LEAST, 1.0)))
    )
    again = AnalysisPipeline(LegacySolve()).run(again)
    model = split_pauli_lindblad_model(again.model).model
    maps = model.to_pauli_lindblad_maps(again.model_data, include_spam=True, restrict_to_qubit_idxs=True)
    return np.array(maps[name].rates, dtype=np.float64)


@contextmanager
def _needed() -> Iterator[None]:
    """An import that fails is a package that this device's environment does not have."""
    try:
        yield
    except ImportError as error:
        raise JobRefused(
            "noise is not learned on this device, whose Python environment has no "
            f"{error.name or 'qiskit-noise-learning'} ({_line(error)}); ask the operator to install "
            "qiskit-ibm-runtime and qiskit-noise-learning there"
        ) from error


def _line(error: BaseException) -> str:
    said = getattr(error, "message", "") or str(error)
    return " ".join(f"{said}".split())[:300] or type(error).__name__
