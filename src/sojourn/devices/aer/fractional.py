"""The fractional gates rx and rzz of an IBM device: told where they work, and made to work where asked for.

Pure: a snapshot's configuration and properties in, others out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from copy import deepcopy
from typing import Any

_DEFINITIONS = {
    "rx": "gate rx(theta) q { U(theta, -pi/2, pi/2) q; }",
    "rzz": "gate rzz(theta) p, q { cx p, q; U(0, 0, theta) q; cx p, q; }",
}
MODELS = {"rx": "sx", "rzz": "cz"}
"""The gate whose error and duration a fractional gate is given that has none of its own, on the same qubits:
a rotation by any angle is one pulse, as that gate is."""

_TAKEN = ("gate_error", "gate_length")


def told(conf: Mapping[str, Any], props: Mapping[str, Any]) -> dict[str, Any]:
    """The configuration with the fractional gates that work; one whose error is 1 everywhere does not."""
    basis, gates = list(conf["basis_gates"]), list(conf["gates"])
    for name, definition in _DEFINITIONS.items():
        found = [gate for gate in props["gates"] if gate["gate"] == name]
        if min(errors(found), default=1) >= 1:
            continue
        places = [gate["qubits"] for gate in found]
        if name not in basis:
            basis.append(name)
        if all(gate["name"] != name for gate in gates):
            entry = {"name": name, "parameters": ["theta"], "qasm_def": definition, "coupling_map": places}
            gates.append(entry)
    return {**conf, "basis_gates": basis, "gates": gates}


def lacking(props: Mapping[str, Any]) -> list[str]:
    """The gates of `MODELS` that the properties do not have."""
    return sorted(set(MODELS.values()) - {gate["gate"] for gate in props["gates"]})


def working(props: Mapping[str, Any]) -> dict[str, Any]:
    """Properties in which rx and rzz work wherever the gate does of which they are made.

    What the snapshot has measured stays; one that it has not, or with an error of 1, gets the model's.
    """
    good = {
        (gate["gate"], tuple(gate["qubits"])) for gate in props["gates"] if max(errors([gate]), default=1) < 1
    }
    kept = [
        gate
        for gate in props["gates"]
        if gate["gate"] not in MODELS or (gate["gate"], tuple(gate["qubits"])) in good
    ]
    made = [
        {
            "gate": name,
            "qubits": list(gate["qubits"]),
            "parameters": [deepcopy(entry) for entry in gate["parameters"] if entry["name"] in _TAKEN],
            "name": name + "_".join(map(str, gate["qubits"])),
        }
        for name, model in MODELS.items()
        for gate in props["gates"]
        if gate["gate"] == model and (name, tuple(gate["qubits"])) not in good
    ]
    return {**props, "gates": [*kept, *made]}


def errors(gates: Sequence[Mapping[str, Any]]) -> list[float]:
    return [e["value"] for gate in gates for e in gate["parameters"] if e["name"] == "gate_error"]
