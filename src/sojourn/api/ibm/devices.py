"""The wire shapes of devices in the client's dialect, for each generation of clients. Pure: no requests.

Early Python clients (0.12 is one) make their target of the gates in the properties, or of those in the
configuration when there are no properties, and fail where a qubit has no frequency, or no duration or error
of its measurement, and where delay is not among the gates. They send no version header, so what is served
without one has them; delay even where a job with it is refused, as without it they have no device at all.
They also fail where measure is among the gates in the properties, and take its variants for unitary gates.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from sojourn.worker.protocol.types import Description

_READOUT = (("readout_error", ""), ("readout_length", "ns"))
_EPOCH = "2024-01-01T00:00:00+00:00"


class Reader(NamedTuple):
    """Who reads a description: a Python client or another, such as QRMI; with a version header or without."""

    python: bool
    versioned: bool


def reader(version: str | None, application: str | None) -> Reader:
    """By the headers IBM-API-Version and X-Qx-Client-Application; every Python client sends the latter."""
    return Reader(python=application is not None, versioned=version is not None)


def configuration_object(
    described: Description, name: str, calibration: str, reader: Reader
) -> dict[str, Any]:
    """The configuration of the device `name` under the calibration with that id."""
    stated = described.configuration
    made = {**stated, "backend_name": name, "calibration_id": calibration}
    if stated.get("display_name") == stated.get("backend_name"):
        made["display_name"] = name
    gates: Sequence[Mapping[str, Any]] = stated.get("gates", ())
    if _names_delay(stated, reader) and not any(g["name"] == "delay" for g in gates):
        delay = {
            "name": "delay",
            "parameters": ["duration"],
            "qasm_def": "opaque delay(duration) q;",
            "coupling_map": [[qubit] for qubit in range(described.num_qubits)],
        }
        made["gates"] = [*gates, delay]
    return made


def properties_object(described: Description, name: str, calibration: str, reader: Reader) -> dict[str, Any]:
    """What was measured by the calibration with that id.

    Where nothing is measured, Python clients get an empty answer, which means that there are no properties:
    tools expect that of a simulator, and pytket fails at qubits without a readout error above 0. QRMI
    fails at such an answer, so others get a table in which every qubit is operational.
    """
    stated = described.properties
    if not stated:
        if reader.python:
            return {}
        stated = _unmeasured(described)
    made = {**stated, "backend_name": name, "calibration_id": calibration}
    if not reader.versioned:
        date = str(stated["last_update_date"])
        needed = [("frequency", "GHz"), *(_READOUT if reader.python else ())]
        made["qubits"] = [_with(needed, entries, date) for entries in stated["qubits"]]
        gates = stated["gates"]
        if reader.python:
            signatures = described.configuration.get("instruction_signatures") or ()
            others = {"measure", *(signature["name"] for signature in signatures)}
            gates = [gate for gate in gates if gate["gate"] not in others]
        named = _names_delay(described.configuration, reader)
        if named and not any(gate["gate"] == "delay" for gate in gates):
            gates = [*gates, *_delay_gates(described, date)]
        made["gates"] = gates
    return made


def _unmeasured(described: Description) -> dict[str, Any]:
    date = str(described.configuration.get("online_date", _EPOCH))
    return {
        "backend_version": described.backend_version,
        "last_update_date": date,
        "qubits": [[_entry("operational", 1, "", date)] for _ in range(described.num_qubits)],
        "gates": [],
        "general": [],
    }


def _names_delay(configuration: Mapping[str, Any], reader: Reader) -> bool:
    if reader.versioned:
        return False
    return reader.python or "delay" in configuration.get("supported_instructions", ())


def _with(
    needed: Sequence[tuple[str, str]], entries: Sequence[Mapping[str, Any]], date: str
) -> list[Mapping[str, Any]]:
    """What is measured of a qubit, with what is `needed`, by name and unit: it is 0 where it is not known."""
    known = {entry["name"] for entry in entries}
    return [*entries, *(_entry(name, 0, unit, date) for name, unit in needed if name not in known)]


def _delay_gates(described: Description, date: str) -> list[dict[str, Any]]:
    return [
        {
            "gate": "delay",
            "qubits": [qubit],
            "parameters": [_entry("operational", 1, "", date)],  # one without parameters is passed over
            "name": f"delay{qubit}",
        }
        for qubit in range(described.num_qubits)
    ]


def _entry(name: str, value: float, unit: str, date: str) -> dict[str, Any]:
    return {"name": name, "value": value, "unit": unit, "date": date}
