"""Varies a simulated device from one calibration to the next. Pure: properties in, properties out.

The option `drift` as a number; as a table it is another model, see `drifting`.

Each calibration is the snapshot times log-normal factors of its own, so a device changes from day to day and
stays around what it is, however often it is calibrated.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

import numpy as np

WORST = 0.5
"""No error grows beyond this; one that is above it already stays as it is."""

_TIMES = ("T1", "T2")
_READOUT = ("readout_error", "prob_meas0_prep1", "prob_meas1_prep0")


def drifted(properties: Mapping[str, Any], *, at: str, sigma: float, seed: tuple[int, ...]) -> dict[str, Any]:
    """The properties of a calibration at the time `at` (ISO 8601).

    With `sigma` 0 only dates change. Else T1 and T2 of each qubit, its readout errors (by one factor), and
    the errors of the gates on each set of qubits (by one factor: both directions of a gate are one thing)
    are multiplied by ``exp(sigma * normal)``. T2 stays at most 2 T1, unless it was above. The same `seed`
    gives the same factors.
    """
    made = dated(properties, at)
    if sigma == 0:
        return made
    random = np.random.default_rng(seed)
    for entries in made["qubits"]:
        scaled_qubit(entries, *np.exp(sigma * random.standard_normal(3)).tolist())
    places = sorted({tuple(sorted(gate["qubits"])) for gate in made["gates"]})
    factors = dict(zip(places, np.exp(sigma * random.standard_normal(len(places))).tolist(), strict=True))
    for gate in made["gates"]:
        for entry in gate["parameters"]:
            if entry["name"] == "gate_error":
                entry["value"] = _error(entry["value"], factors[tuple(sorted(gate["qubits"]))])
    return made


def dated(properties: Mapping[str, Any], at: str) -> dict[str, Any]:
    """A copy in which everything was measured at the time `at` (ISO 8601)."""
    made = copy.deepcopy(dict(properties))
    made["last_update_date"] = at
    for entries in (*made["qubits"], *(gate["parameters"] for gate in made["gates"])):
        for entry in entries:
            entry["date"] = at
    for entry in made.get("general", ()):
        entry["date"] = at
    return made


def scaled_qubit(entries: list[dict[str, Any]], *factors: float) -> None:
    """Multiply T1, T2 and the readout errors of a qubit by the three factors. T2 stays at most 2 T1, unless
    it was above."""
    known = {entry["name"]: entry for entry in entries}
    t1, t2 = (known.get(name) for name in _TIMES)
    physical = (
        t1 is not None and t2 is not None and t1["unit"] == t2["unit"] and t2["value"] <= 2 * t1["value"]
    )
    for entry, factor in zip((t1, t2), factors, strict=False):
        if entry is not None:
            entry["value"] *= factor
    if physical and t1 is not None and t2 is not None:
        t2["value"] = min(t2["value"], 2 * t1["value"])
    readout = [known[name] for name in _READOUT if name in known]
    largest = max((entry["value"] for entry in readout), default=0.0)
    if 0 < largest <= WORST:  # one factor, so that the error stays the mean of its two sides
        factor = min(factors[2], WORST / largest)
        for entry in readout:
            entry["value"] *= factor


def _error(value: float, factor: float) -> float:
    return value if value > WORST else min(value * factor, WORST)
