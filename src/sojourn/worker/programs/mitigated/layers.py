"""Reads the option `layer_noise_model`, and finds in it the noise of the layers of a job.

It comes as the client encodes a `NoiseLearnerResult` or a list of `LayerError`: circuits with their physical
qubits, and the Pauli-Lindblad terms of their noise. Only data are read; no class is made by its name.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
from qiskit.circuit import CircuitInstruction, QuantumCircuit, Qubit
from qiskit.quantum_info import PauliLindbladMap

from sojourn.worker.codec import decode
from sojourn.worker.codec.decode import Budget
from sojourn.worker.programs.mitigated import client
from sojourn.worker.programs.mitigated.narrow import Narrow
from sojourn.worker.protocol.types import JobRefused
from sojourn.worker.wording import quoted

WHERE = "options.resilience.layer_noise_model"
MAX_LAYERS = 10_000

Gates = frozenset[tuple[str, tuple[int, ...]]]
"""Gates on several qubits: their names and physical qubits, ascending."""


@dataclass(frozen=True, slots=True)
class LayerNoise:
    """The noise of one layer: its gates, its physical qubits, and terms of letters, qubits and a rate."""

    gates: Gates
    qubits: frozenset[int]
    terms: tuple[tuple[str, tuple[int, ...], float], ...]


def read(value: Any, budget: Budget) -> list[LayerNoise]:
    """Raises `JobRefused` for what is not a noise model."""
    if isinstance(value, Mapping) and value.get("__type__") == "NoiseLearnerResult":
        inner = value.get("__value__")
        value = inner.get("data") if isinstance(inner, Mapping) else None
    if not isinstance(value, list) or len(value) > MAX_LAYERS:
        raise JobRefused(
            f"{WHERE} is {quoted(value)}; it must be a NoiseLearnerResult, or a list of at most {MAX_LAYERS} "
            "LayerError"
        )
    found = [_layer(entry, f"{WHERE}[{index}]", budget) for index, entry in enumerate(value)]
    return [layer for layer in found if layer is not None]


def _layer(entry: Any, where: str, budget: Budget) -> LayerNoise | None:
    content = _members(entry, "LayerError", ("circuit", "qubits"), where)
    text = msgspec.Raw(msgspec.json.encode(content["circuit"]))
    circuit, _ = decode.read_circuit(text, f"{where}.circuit", budget)
    qubits = content["qubits"]
    if not isinstance(qubits, list) or not all(type(qubit) is int and qubit >= 0 for qubit in qubits):
        raise JobRefused(f"{where}.qubits is {quoted(qubits)}; it must be a list of physical qubits")
    if len(qubits) != circuit.num_qubits or len(set(qubits)) != len(qubits):
        raise JobRefused(
            f"{where}.qubits has {len(qubits)} entries ({len(set(qubits))} of them different), and the "
            f"circuit has {circuit.num_qubits} qubits"
        )
    if content.get("error") is None:
        return None
    terms = _terms(content["error"], qubits, f"{where}.error", budget)
    index = {qubit: qubits[i] for i, qubit in enumerate(circuit.qubits)}
    return LayerNoise(gates_of(circuit, index), frozenset(qubits), terms)


def _terms(
    entry: Any, qubits: Sequence[int], where: str, budget: Budget
) -> tuple[tuple[str, tuple[int, ...], float], ...]:
    content = _members(entry, "PauliLindbladError", ("generators", "rates"), where)
    labels = _members(content["generators"], "PauliList", ("data",), f"{where}.generators")["data"]
    rates = decode.read_values(msgspec.Raw(msgspec.json.encode(content["rates"])), f"{where}.rates", budget)
    if not isinstance(labels, list) or rates is None or isinstance(rates, dict):
        raise JobRefused(f"{where} must have a list of generators and an array of rates")
    if rates.shape != (len(labels),):
        raise JobRefused(f"{where} has {len(labels)} generators, and rates of the shape {list(rates.shape)}")
    made = []
    for label, rate in zip(labels, rates.tolist(), strict=True):
        plain = label.removeprefix("+") if isinstance(label, str) else ""
        if len(plain) != len(qubits) or not decode.PAULIS.issuperset(plain):
            raise JobRefused(
                f"{where}: {quoted(label)} is not a Pauli label of {len(qubits)} letters I, X, Y and Z"
            )
        acts = [(letter, qubits[i]) for i, letter in enumerate(reversed(plain)) if letter != "I"]
        if acts:
            made.append(("".join(letter for letter, _ in acts), tuple(qubit for _, qubit in acts), rate))
    return tuple(made)


def _members(entry: Any, kind: str, names: Sequence[str], where: str) -> Mapping[str, Any]:
    """The members of an encoded object of the class `kind`."""
    content = entry.get("__value__") if isinstance(entry, Mapping) else None
    if (
        not isinstance(entry, Mapping)
        or entry.get("__class__") != kind
        or not isinstance(content, Mapping)
        or any(name not in content for name in names)
    ):
        raise JobRefused(
            f"{where} must be an encoded {kind} with {', '.join(names)}; received {quoted(entry)}"
        )
    return content


def gates_of(circuit: QuantumCircuit, index: Mapping[Qubit, int]) -> Gates:
    """The gates on several qubits of a layer, whose qubits are `index` on the device."""
    return frozenset(
        (item.operation.name, tuple(sorted(index[qubit] for qubit in item.qubits)))
        for item in circuit.data
        if len(item.qubits) > 1 and item.operation.name != "barrier"
    )


def noise_of(
    layer: CircuitInstruction, circuit: QuantumCircuit, narrow: Narrow, known: Sequence[LayerNoise]
) -> tuple[PauliLindbladMap, str | None]:
    """The map of a `layer`, a box in narrow circuits such as `circuit`, on its qubits in ascending order; and
    a warning where the model says nothing of it, or more than can be injected there."""
    index = {qubit: narrow.active[i] for i, qubit in enumerate(circuit.qubits)}
    qubits = sorted(index[qubit] for qubit in layer.qubits)
    body = layer.operation.blocks[0]
    inner = {qubit: index[outer] for qubit, outer in zip(body.qubits, layer.qubits, strict=True)}
    gates = gates_of(body, inner)
    shown = ", ".join(f"{name} {list(on)}" for name, on in sorted(gates)[:4])
    fitting = [one for one in known if one.gates == gates]
    if not fitting:
        return client.no_noise(len(qubits)), f"{WHERE} has no layer {shown}; its noise is not mitigated"
    best = max(fitting, key=lambda one: len(one.qubits & set(qubits)))
    place = {qubit: i for i, qubit in enumerate(qubits)}
    terms = [
        (letters, [place[qubit] for qubit in on], rate)
        for letters, on, rate in best.terms
        if all(qubit in place for qubit in on)
    ]
    left = len(best.terms) - len(terms)
    warning = (
        f"{WHERE}: {left} terms of the layer {shown} act on qubits that are not twirled with it here; they "
        "are not mitigated"
        if left
        else None
    )
    if not terms:
        return client.no_noise(len(qubits)), warning
    return PauliLindbladMap.from_sparse_list(terms, len(qubits)), warning
