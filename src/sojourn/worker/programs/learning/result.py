"""Writes what was learned as the client decodes it: `NoiseLearnerResult` and `NoiseLearnerV3Results`."""

from __future__ import annotations

import base64
import io
import zlib
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from qiskit import qpy
from qiskit.circuit import QuantumCircuit

from sojourn.worker.codec import encode
from sojourn.worker.programs.learning.layers import Layer
from sojourn.worker.programs.learning.library import Rates

_MODULE = "qiskit_ibm_runtime.utils.noise_learner_result"
_PAULIS = "qiskit.quantum_info.operators.symplectic.pauli_list"
QPY_VERSION = 13
"""Of the circuits in a result: every client that has a noise learner reads it."""

_TERM_BYTES = 80  # of a term in a result, beside its label


def circuits_text(
    layers: Sequence[Layer], learned: Sequence[Rates], device: str, options: dict[str, Any]
) -> bytes:
    """The result of a job with circuits: a `LayerError` for each layer that was learned."""
    return encode.to_text(
        {
            "data": [_layer_error(layer, rates) for layer, rates in zip(layers, learned, strict=True)],
            "metadata": {"backend": device, "input_options": options},
        }
    )


def instructions_text(
    layers: Sequence[Layer], learned: Sequence[Rates], version: str, depths: Sequence[int]
) -> bytes:
    """The result of a job with boxes, in their order."""
    return encode.to_text(
        {
            "schema_version": version,
            "data": [
                {
                    "generators_sparse": [[[letters, list(qubits)]] for letters, qubits in rates.terms],
                    "num_qubits": len(layer.qubits),
                    "rates": _tensor(rates.rates),
                    "rates_std": _tensor(rates.errors),
                    "metadata": _metadata(layer, version, depths),
                }
                for layer, rates in zip(layers, learned, strict=True)
            ],
        }
    )


def size_of(layer: Layer, terms: int) -> int:
    """The most characters that a layer of so many terms takes in a result."""
    return 2000 + 200 * len(layer.content.data) + terms * (_TERM_BYTES + len(layer.qubits))


def _metadata(layer: Layer, version: str, depths: Sequence[int]) -> dict[str, Any]:
    """No shot is discarded here, as the checks that discard some are not run."""
    if layer.measures:
        kept: dict[str, Any] = {"fraction_kept": 1.0}
        rates: dict[str, Any] = {}
    else:
        kept = {"fraction_kept": {str(depth): 1.0 for depth in depths}}
        rates = {str(depth): {} for depth in depths}
    if version != "v0.1":
        kept["success_rates"] = rates
    return {"learning_protocol": "trex" if layer.measures else "lindblad", "post_selection": kept}


def _layer_error(layer: Layer, rates: Rates) -> dict[str, Any]:
    labels = [_label(letters, qubits, len(layer.qubits)) for letters, qubits in rates.terms]
    paulis = {"__type__": "settings", "__module__": _PAULIS, "__class__": "PauliList"}
    error = {
        "generators": {**paulis, "__value__": {"data": labels}},
        "rates": encode.array(rates.rates),
    }
    return _object(
        "LayerError",
        {
            "circuit": _circuit(layer.content),
            "qubits": list(layer.qubits),
            "error": _object("PauliLindbladError", error),
        },
    )


def _object(name: str, value: dict[str, Any]) -> dict[str, Any]:
    return {"__type__": "_json", "__module__": _MODULE, "__class__": name, "__value__": value}


def _circuit(circuit: QuantumCircuit) -> dict[str, Any]:
    file = io.BytesIO()
    qpy.dump(circuit, file, version=QPY_VERSION)
    return encode.typed("QuantumCircuit", base64.b64encode(zlib.compress(file.getvalue())).decode("ascii"))


def _label(letters: str, qubits: Sequence[int], width: int) -> str:
    """The Pauli as a label, whose last letter is that of qubit 0."""
    label = ["I"] * width
    for letter, qubit in zip(letters, qubits, strict=True):
        label[width - 1 - qubit] = letter
    return "".join(label)


def _tensor(values: NDArray[np.float64]) -> dict[str, Any]:
    content = values.astype("<f8").tobytes()
    return {"data": base64.b64encode(content).decode("ascii"), "shape": list(values.shape), "dtype": "f64"}
