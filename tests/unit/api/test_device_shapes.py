"""What each generation of clients reads of a device.

The whole kind: a client that fails at, or makes a wrong target of, a description that others read well.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from sojourn.api.ibm.devices import Reader, configuration_object, properties_object, reader
from sojourn.worker.protocol.types import Description

PYTHON_0_12 = Reader(python=True, versioned=False)
PYTHON_0_51 = Reader(python=True, versioned=True)
QRMI = Reader(python=False, versioned=False)
RUST = Reader(python=False, versioned=True)
EVERY = [PYTHON_0_12, PYTHON_0_51, QRMI, RUST]
DATE = "2026-01-01T00:00:00+00:00"


def entry(name: str, value: float) -> dict[str, Any]:
    return {"name": name, "value": value, "unit": "", "date": DATE}


MEASURED = {
    "backend_name": "ibm_two",
    "backend_version": "1.2.3",
    "last_update_date": DATE,
    "qubits": [[entry("T1", 50.0), entry("frequency", 5.0)], [entry("T1", 60.0)]],
    "gates": [
        {"gate": name, "qubits": [0], "parameters": [entry("gate_error", 0.1)], "name": f"{name}0"}
        for name in ("sx", "measure", "measure_2", "reset")
    ],
    "general": [],
}


def device(
    properties: Mapping[str, Any] | None = MEASURED,
    instructions: tuple[str, ...] = ("sx", "delay", "measure", "measure_2", "reset"),
) -> Description:
    configuration = {
        "backend_name": "ibm_two",
        "display_name": "ibm_two",
        "online_date": DATE,
        "gates": [{"name": "sx", "parameters": [], "qasm_def": "", "coupling_map": [[0], [1]]}],
        "supported_instructions": list(instructions),
        "instruction_signatures": [{"name": "measure_2"}],
    }
    return Description(2, configuration, properties, "1.2.3")


def gates(found: Mapping[str, Any]) -> list[str]:
    return [gate["gate"] for gate in found["gates"]]


@pytest.mark.parametrize(
    ("version", "application", "expected"),
    [
        (None, "qiskit-version-0.45.3,0.45.3/qiskit", PYTHON_0_12),
        (None, "", PYTHON_0_12),  # the user opted out: the header is there and empty
        ("2024-01-01", "qiskit", PYTHON_0_51),
        (None, None, QRMI),
        ("2025-06-01", None, RUST),
    ],
)
def test_a_reader_is_known_by_two_headers(
    version: str | None, application: str | None, expected: Reader
) -> None:
    assert reader(version, application) == expected


@pytest.mark.parametrize("who", EVERY)
def test_everybody_reads_the_devices_own_name_and_calibration(who: Reader) -> None:
    for made in (
        configuration_object(device(), "mock_two", "cal-4", who),
        properties_object(device(), "mock_two", "cal-4", who),
    ):
        assert (made["backend_name"], made["calibration_id"]) == ("mock_two", "cal-4")
    assert configuration_object(device(), "mock_two", "cal-4", who)["display_name"] == "mock_two"


def test_a_client_that_states_a_version_reads_what_was_measured_and_nothing_else() -> None:
    for who in (PYTHON_0_51, RUST):
        found = properties_object(device(), "ibm_two", "cal-1", who)
        assert found == {**MEASURED, "calibration_id": "cal-1"}
        told = configuration_object(device(), "ibm_two", "cal-1", who)
        assert told == {**device().configuration, "calibration_id": "cal-1"}


@pytest.mark.parametrize("who", [PYTHON_0_12, QRMI])
def test_without_a_version_every_qubit_has_a_frequency_and_delay_is_a_gate(who: Reader) -> None:
    """Python 0.12 raises UnboundLocalError at a qubit without, and at a device without."""
    found = properties_object(device(), "ibm_two", "cal-1", who)
    values = [[e["value"] for e in entries if e["name"] == "frequency"] for entries in found["qubits"]]
    assert values == [[5.0], [0]]
    delays = [gate for gate in found["gates"] if gate["gate"] == "delay"]
    assert [gate["qubits"] for gate in delays] == [[0], [1]]
    assert all(gate["parameters"] for gate in delays), "a gate without parameters is passed over"
    told = configuration_object(device(), "ibm_two", "cal-1", who)
    assert [(g["name"], g["coupling_map"]) for g in told["gates"]][1:] == [("delay", [[0], [1]])]


def test_a_device_without_delay_has_it_for_those_only_who_have_no_device_otherwise() -> None:
    """Python 0.12 adds delay by itself, and stops with a NameError there."""
    without = device(instructions=("sx", "measure"))
    for who in EVERY:
        wanted = who == PYTHON_0_12
        told = configuration_object(without, "ibm_two", "cal-1", who)["gates"]
        assert ("delay" in [gate["name"] for gate in told]) == wanted
        assert ("delay" in gates(properties_object(without, "ibm_two", "cal-1", who))) == wanted


def test_the_first_python_clients_read_an_error_and_a_duration_of_every_measurement() -> None:
    """They ask for both of every qubit, and have no device if the driver knows less."""
    for entries in properties_object(device(), "ibm_two", "cal-1", PYTHON_0_12)["qubits"]:
        assert [(e["value"], e["unit"]) for e in entries if e["name"] == "readout_error"] == [(0, "")]
        assert [(e["value"], e["unit"]) for e in entries if e["name"] == "readout_length"] == [(0, "ns")]
    known = {**MEASURED, "qubits": [[entry("readout_error", 0.2)]] * 2}
    for entries in properties_object(device(known), "ibm_two", "cal-1", PYTHON_0_12)["qubits"]:
        assert [e["value"] for e in entries if e["name"] == "readout_error"] == [0.2]
    for entries in properties_object(device(), "ibm_two", "cal-1", QRMI)["qubits"]:
        assert not [e for e in entries if e["name"].startswith("readout")], "nobody measured it"


@pytest.mark.parametrize("who", [PYTHON_0_12, QRMI])
def test_delay_is_told_once(who: Reader) -> None:
    delay = {"gate": "delay", "qubits": [0], "parameters": [entry("gate_error", 0.1)], "name": "delay0"}
    own = device({**MEASURED, "gates": [delay]})
    assert gates(properties_object(own, "ibm_two", "cal-1", who)) == ["delay"]


def test_the_first_python_clients_are_told_no_measurement_among_the_gates() -> None:
    """They add measure by themselves and fail when it is there; its variants they would take for unitary."""
    assert gates(properties_object(device(), "ibm_two", "cal-1", PYTHON_0_12)) == [
        *("sx", "reset"),
        *("delay", "delay"),
    ]
    for who in (PYTHON_0_51, QRMI, RUST):
        assert {"measure", "measure_2"} <= set(gates(properties_object(device(), "ibm_two", "cal-1", who)))


@pytest.mark.parametrize("nothing", [None, {}])
@pytest.mark.parametrize("who", EVERY)
def test_where_nothing_is_measured_python_reads_nothing_and_others_a_table(
    who: Reader, nothing: Mapping[str, Any] | None
) -> None:
    """Python clients take an empty answer as "no properties", and pytket fails at a qubit without readout
    error; QRMI fails at an empty answer."""
    found = properties_object(device(nothing), "ibm_two", "cal-1", who)
    if who.python:
        assert found == {}
        return
    assert set(MEASURED) <= set(found)
    assert len(found["qubits"]) == 2
    assert all(entries[0]["name"] == "operational" for entries in found["qubits"])
    assert set(gates(found)) <= {"delay"}


def test_the_description_that_is_kept_stays_as_it_is() -> None:
    described = device()
    for who in EVERY:
        configuration_object(described, "other", "cal-1", who)
        properties_object(described, "other", "cal-1", who)
    assert described == device()
    assert gates(MEASURED) == ["sx", "measure", "measure_2", "reset"]
