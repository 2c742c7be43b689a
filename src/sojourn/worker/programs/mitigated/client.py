"""The preparation and the evaluation of the client's own packages: the only module that uses them.

They are not meant for others, so what is taken from them is listed in `TAKEN` with its parameters, and a
test compares. The packages are imported at first use; a device whose Python lacks them refuses the job.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from importlib import import_module
from typing import Any

import numpy as np
from numpy.typing import NDArray
from qiskit.circuit import CircuitInstruction, QuantumCircuit
from qiskit.primitives import PrimitiveResult
from qiskit.primitives.containers.estimator_pub import EstimatorPub
from qiskit.primitives.containers.sampler_pub import SamplerPub
from qiskit.quantum_info import PauliLindbladMap
from qiskit.transpiler import Target

from sojourn.worker.programs.mitigated.narrow import Backend
from sojourn.worker.protocol.types import JobRefused
from sojourn.worker.wording import said

_RUNTIME = "qiskit_ibm_runtime"

TAKEN: Mapping[tuple[str, str], tuple[str, ...] | None] = {
    (f"{_RUNTIME}.executor_sampler.prepare", "prepare"): ("pubs", "options", "shots", "add_tags", "backend"),
    (f"{_RUNTIME}.executor_estimator.prepare", "prepare"): (
        "pubs",
        "options",
        "precision",
        "add_tags",
        "backend",
    ),
    (f"{_RUNTIME}.executor_estimator.prepare", "choose_task_class"): ("resilience",),
    (f"{_RUNTIME}.executor_estimator.utils", "estimator_options_to_boxing_options"): (
        "twirling_options",
        "measure_mitigation",
        "inject_noise",
        "add_tags",
    ),
    (f"{_RUNTIME}.executor_noise_learner.prepare", "prepare"): ("instructions", "options", "backend"),
    (f"{_RUNTIME}.options_models.sampler", "SamplerOptions"): None,
    (f"{_RUNTIME}.options_models.estimator", "EstimatorOptions"): None,
    (f"{_RUNTIME}.options_models.noise_learner_v3", "NoiseLearnerV3Options"): None,
    (f"{_RUNTIME}.results.quantum_program", "QuantumProgramResult"): ("data", "metadata", "passthrough_data"),
    (
        f"{_RUNTIME}.decoders.executor_sampler.post_processor_v0_1",
        "sampler_v2_post_processor_v0_1",
    ): ("result",),
    (
        f"{_RUNTIME}.decoders.executor_estimator.post_processor_v0_1",
        "estimator_v2_post_processor_v0_1",
    ): ("result",),
    (
        f"{_RUNTIME}.decoders.executor_noise_learner.post_processor_v0_1",
        "noise_learner_v3_post_processor_v0_1",
    ): ("result",),
    ("qiskit_mitigation", "find_combined_unique_layers"): (
        "circuits",
        "mitigation_types",
        "custom_boxing_options",
        "box_types",
    ),
    ("qiskit_mitigation.zne.gate_folding", "SUPPORTED_FOLDED_GATES"): None,
    ("samplomatic.annotations", "InjectNoise"): ("ref", "modifier_ref", "site"),
    ("samplomatic.utils", "get_annotation"): ("box", "annotation_type"),
}
"""What is taken: module and name, and the parameters where it is called by them."""

PRELOADED = tuple(dict.fromkeys(module for module, _ in TAKEN if "noise_learner" not in module))
"""Modules that a fork server may import before it forks. They start no threads."""

Arrays = Sequence[Mapping[str, NDArray[Any]]]
"""For each item of a program its results by name, each of (*shape of the item, ...)."""


@cache
def _taken(module: str, name: str) -> Any:
    assert (module, name) in TAKEN
    return getattr(import_module(module), name)


def sampler_program(pubs: Sequence[SamplerPub], given: Mapping[str, Any], shots: int, target: Target) -> Any:
    """The quantum program of sampler pubs, for a device with the `target`. `given` are fields of the client's
    options model; `shots` are those of every pub. Raises `JobRefused`."""
    with _preparing():
        made = _taken(f"{_RUNTIME}.options_models.sampler", "SamplerOptions")(**given)
        prepare = _taken(f"{_RUNTIME}.executor_sampler.prepare", "prepare")
        program, _ = prepare(list(pubs), made, shots=shots, backend=Backend(target))
        return program


def estimator_program(
    pubs: Sequence[EstimatorPub], given: Mapping[str, Any], shots: int, target: Target
) -> Any:
    """The quantum program of estimator pubs, as in `sampler_program`."""
    with _preparing():
        made = _estimator_options({**given, "default_shots": shots})
        prepare = _taken(f"{_RUNTIME}.executor_estimator.prepare", "prepare")
        program, _ = prepare(list(pubs), made, backend=Backend(target))
        return program


def layers(
    circuits: Sequence[QuantumCircuit], given: Mapping[str, Any]
) -> list[tuple[CircuitInstruction, int]]:
    """The different layers of two-qubit gates into whose noise an estimator with these options looks, and how
    often each comes in the circuits. Raises `JobRefused`."""
    with _preparing():
        made = _estimator_options(given)
        task = _taken(f"{_RUNTIME}.executor_estimator.prepare", "choose_task_class")(made.resilience)
        boxing = _taken(f"{_RUNTIME}.executor_estimator.utils", "estimator_options_to_boxing_options")(
            made.twirling, bool(made.resilience.measure_mitigation), True
        )
        found = _taken("qiskit_mitigation", "find_combined_unique_layers")(
            circuits=list(circuits),
            mitigation_types=[task() for _ in circuits],
            custom_boxing_options=boxing,
            box_types="gates",
        )
        counts: dict[str, int] = {}
        for circuit in circuits:
            for item in task._box_circuit(circuit, boxing):
                ref = _ref(item)
                if ref is not None:
                    counts[ref] = counts.get(ref, 0) + 1
        return [(layer, counts.get(ref, 0)) for layer in found if (ref := _ref(layer)) is not None]


def _ref(item: CircuitInstruction) -> str | None:
    """The name under which the noise of a layer is injected; None for what has none."""
    if item.operation.name != "box":
        return None
    annotation = _taken("samplomatic.utils", "get_annotation")(
        item.operation, _taken("samplomatic.annotations", "InjectNoise")
    )
    return None if annotation is None else str(annotation.ref)


def learning_program(layers: Sequence[CircuitInstruction], given: Mapping[str, Any], target: Target) -> Any:
    """The quantum program of the experiments that learn the noise of the layers. Raises `JobRefused`."""
    with _preparing():
        made = _taken(f"{_RUNTIME}.options_models.noise_learner_v3", "NoiseLearnerV3Options")(**given)
        prepare = _taken(f"{_RUNTIME}.executor_noise_learner.prepare", "prepare")
        program, _ = prepare(instructions=list(layers), options=made, backend=Backend(target))
        return program


def unfolded(circuit: QuantumCircuit) -> set[str]:
    """Names of gates on several qubits in the circuit whose noise gate folding does not amplify."""
    with _preparing():
        folded = _taken("qiskit_mitigation.zne.gate_folding", "SUPPORTED_FOLDED_GATES")
        return {
            item.operation.name
            for item in circuit.data
            if len(item.qubits) > 1
            and item.operation.name != "barrier"
            and not isinstance(item.operation, folded)
        }


def sampler_result(arrays: Arrays, passthrough: Any) -> PrimitiveResult[Any]:
    """What the client makes of the results of a sampler's program."""
    process = _taken(
        f"{_RUNTIME}.decoders.executor_sampler.post_processor_v0_1", "sampler_v2_post_processor_v0_1"
    )
    return process(_result(arrays, passthrough))


def estimator_result(arrays: Arrays, passthrough: Any) -> PrimitiveResult[Any]:
    """What the client makes of the results of an estimator's program."""
    process = _taken(
        f"{_RUNTIME}.decoders.executor_estimator.post_processor_v0_1", "estimator_v2_post_processor_v0_1"
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # fits that do not converge: the extrapolator is then not selected
        return process(_result(arrays, passthrough))


def learned(arrays: Arrays, passthrough: Any) -> list[PauliLindbladMap]:
    """The maps that learning experiments found, one for each layer, on its qubits in ascending order."""
    process = _taken(
        f"{_RUNTIME}.decoders.executor_noise_learner.post_processor_v0_1",
        "noise_learner_v3_post_processor_v0_1",
    )
    return list(process(_result(arrays, passthrough)).to_pauli_lindblad_maps())


def _result(arrays: Arrays, passthrough: Any) -> Any:
    make: Callable[..., Any] = _taken(f"{_RUNTIME}.results.quantum_program", "QuantumProgramResult")
    return make([dict(item) for item in arrays], passthrough_data=passthrough)


def _estimator_options(given: Mapping[str, Any]) -> Any:
    return _taken(f"{_RUNTIME}.options_models.estimator", "EstimatorOptions")(**given)


def no_noise(num_qubits: int) -> PauliLindbladMap:
    """The map of a layer whose noise is not known: nothing is injected for it."""
    return PauliLindbladMap.from_sparse_list([("X", [0], 0.0)], num_qubits)


def gamma(noise: PauliLindbladMap) -> float:
    """The factor by which the sampling of the map's inverse raises the spread of a mean."""
    return float(np.exp(2 * np.clip(noise.rates, 0, None).sum()))


@contextmanager
def _preparing() -> Iterator[None]:
    try:
        yield
    except (JobRefused, MemoryError):
        raise
    except ImportError as error:
        raise JobRefused(
            "twirling, dynamical decoupling and error mitigation are not run on this device, whose Python "
            f"environment lacks what prepares them ({' '.join(str(error).split())[:200]}); ask the operator "
            "to install it, or leave these options out"
        ) from error
    except Exception as error:
        raise JobRefused(
            "the pubs cannot be prepared as options.twirling, dynamical_decoupling and resilience ask: "
            f"{said(error, 400)}; leave out what the circuits do not allow"
        ) from error
