"""What was asked of a job, in words: its options, and of each pub shots, precision and observables.

Reads the JSON that the client has sent. Circuits are packed there, and nothing here unpacks them.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

MOST_PUBS = 8
LONGEST = 300
"""Characters of one value."""
_AFTER_THE_CIRCUIT = {
    "sampler": ("parameters", "shots"),
    "estimator": ("observables", "parameters", "precision"),
}


def asked(program: str, params: Any) -> dict[str, str]:
    """Names and values, for a list of facts. Empty for what is not of the form of a primitive."""
    if not isinstance(params, Mapping):
        return {}
    found = {name: _short(value) for name, value in _flat(params.get("options"))}
    pubs = params.get("pubs")
    names = _AFTER_THE_CIRCUIT.get(program)
    if names is None or not isinstance(pubs, list):
        return found
    for number, pub in enumerate(pubs[:MOST_PUBS]):
        rest = pub[1:] if isinstance(pub, list) else []
        values = [
            f"{name} {_short(_terms(v) if name == 'observables' else v)}"
            for name, v in zip(names, rest, strict=False)
            if v not in (None, [], {})
        ]
        found[f"Pub {number}"] = ", ".join(values) or "a circuit"
    if len(pubs) > MOST_PUBS:
        found["More pubs"] = str(len(pubs) - MOST_PUBS)
    return found


def _flat(options: Any, above: str = "") -> Iterator[tuple[str, Any]]:
    """`twirling.enable_gates` for what is nested; what is left at its default is null or not there."""
    if not isinstance(options, Mapping):
        return
    for name, value in options.items():
        if isinstance(value, Mapping) and "__type__" not in value:
            yield from _flat(value, f"{above}{name}.")
        elif value is not None:
            yield f"{above}{name}", value


def _terms(observables: Any) -> Any:
    """Sums of Pauli strings that name the qubits on which something is measured: `Z0 Z2 + 0.5 X1`."""
    if isinstance(observables, list):
        return "[" + ", ".join(str(_terms(each)) for each in observables) + "]"
    if not isinstance(observables, Mapping) or "__type__" in observables:
        return observables
    return " + ".join(f"{_factor(each)}{_sparse(label)}" for label, each in observables.items())


def _factor(value: Any) -> str:
    """Empty for 1. The client sends one as a number, or as a complex number."""
    if isinstance(value, Mapping) and value.get("__type__") == "complex":
        real, imaginary = value["__value__"]
        value = real if not imaginary else f"({complex(real, imaginary)})"
    return "" if value == 1 else f"{value} "


def _sparse(label: str) -> str:
    """The last letter is of qubit 0."""
    return (
        " ".join(f"{letter}{qubit}" for qubit, letter in enumerate(reversed(label)) if letter != "I") or "I"
    )


def _short(value: Any) -> str:
    """A packed value is named by its kind."""
    if isinstance(value, Mapping) and "__type__" in value:
        return f"of type {value['__type__']}"
    text = value if isinstance(value, str) else json.dumps(value)
    return text if len(text) <= LONGEST else f"{text[:LONGEST]} …"
