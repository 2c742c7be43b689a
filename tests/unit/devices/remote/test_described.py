"""A target made of a description is the one that the client makes of it."""

from __future__ import annotations

import json
from copy import deepcopy
from typing import Any

import pytest
from qiskit.transpiler import Target
from qiskit_ibm_runtime.models import BackendConfiguration, BackendProperties
from qiskit_ibm_runtime.utils.backend_converter import convert_to_target
from qiskit_ibm_runtime.utils.backend_decoder import decode_backend_configuration

from sojourn.devices.driver import Driver, DriverError, load_driver
from sojourn.devices.offered import settled
from sojourn.devices.remote.described import described


def texts(driver: Driver) -> tuple[dict[str, Any], dict[str, Any] | None]:
    facts = settled(driver.facts(), driver.target)
    properties = None if facts.properties is None else json.loads(json.dumps(facts.properties))
    return json.loads(json.dumps(facts.configuration)), properties


def by_the_client(configuration: dict[str, Any], properties: dict[str, Any] | None) -> Target:
    decoded = deepcopy(configuration)
    decode_backend_configuration(decoded)
    known = None if properties is None else BackendProperties.from_dict(deepcopy(properties))
    return convert_to_target(BackendConfiguration.from_dict(decoded), known)


def table(target: Target) -> dict[str, Any]:
    """Everything that a target says, to compare."""
    made: dict[str, Any] = {"qubits": target.num_qubits, "dt": target.dt}
    for name in target.operation_names:
        places = target[name]
        made[name] = (
            None
            if places is None or None in places
            else {
                place: (None, None) if known is None else (known.error, known.duration)
                for place, known in places.items()
            }
        )
    if target.qubit_properties is not None:
        made["coherence"] = [(each.t1, each.t2, each.frequency) for each in target.qubit_properties]
    for name in ("granularity", "min_length", "pulse_alignment", "acquire_alignment"):
        made[f"of {name}"] = getattr(target, name)
    return made


@pytest.mark.parametrize(
    ("driver", "options"),
    [
        ("fake", {"backend": "FakeTorino"}),
        ("fake", {"backend": "FakeFez"}),
        ("fake", {"backend": "FakeManilaV2"}),
        ("fake", {"backend": "FakeSherbrooke"}),
        ("aer", {"qubits": 3}),
    ],
)
def test_the_target_is_the_one_that_the_client_makes(driver: str, options: dict[str, Any]) -> None:
    configuration, properties = texts(load_driver("there", driver, options))
    found = described("here", json.dumps(configuration).encode(), json.dumps(properties).encode())
    made, wanted = table(found.target), table(by_the_client(configuration, properties))
    assert set(made) == set(wanted)
    for name, value in wanted.items():
        assert made[name] == approximately(value), name
    assert found.facts.configuration["backend_name"] == "here"
    assert found.facts.num_qubits == found.target.num_qubits
    if properties is not None:
        assert found.facts.properties is not None
        assert found.facts.properties["backend_name"] == "here"


def approximately(value: Any) -> Any:
    """Units are multiplied in another order by the client."""
    if isinstance(value, float):
        return pytest.approx(value, rel=1e-12)
    if isinstance(value, dict):
        return {key: approximately(each) for key, each in value.items()}
    if isinstance(value, tuple):
        return tuple(map(approximately, value))
    return [approximately(each) for each in value] if isinstance(value, list) else value


def test_qubits_and_gates_that_do_not_work_are_left_out() -> None:
    configuration, properties = texts(load_driver("there", "fake", {"backend": "FakeManilaV2"}))
    assert properties is not None
    dead = {"name": "operational", "value": 0, "unit": "", "date": "2024-01-01T00:00:00+00:00"}
    properties["qubits"][4].append(dead)
    for gate in properties["gates"]:
        if gate["gate"] == "cx" and gate["qubits"] == [0, 1]:
            gate["parameters"].append(dead)
    found = described("here", json.dumps(configuration).encode(), json.dumps(properties).encode()).target
    assert (4,) not in found["measure"]
    assert (4,) not in found["reset"]
    assert (4,) not in found["sx"]
    assert (0, 1) not in found["cx"]
    assert (1, 0) in found["cx"]
    assert (3, 4) not in found["cx"]


@pytest.mark.parametrize(
    ("configuration", "properties"),
    [
        (b"<html>", b"{}"),
        (b"[]", b"{}"),
        (b"{}", b"{}"),
        (b'{"n_qubits": 5}', b"{}"),
        (b'{"n_qubits": -1, "gates": [], "basis_gates": []}', b"{}"),
        (b'{"n_qubits": 100000000000, "gates": [], "basis_gates": []}', b"{}"),
        (b'{"n_qubits": 1, "gates": 7, "basis_gates": []}', b"{}"),
        (b'{"n_qubits": 1, "gates": [], "basis_gates": ["warp"]}', b"{}"),
        (b'{"n_qubits": 1, "gates": [], "basis_gates": []}', b'{"qubits": [], "gates": [{"gate": "x"}]}'),
        (
            b'{"n_qubits": 1, "gates": [], "basis_gates": ["x"]}',
            b'{"qubits": [], "gates": [{"gate": "x", "qubits": [9], "parameters": []}]}',
        ),
    ],
)
def test_what_describes_no_device_is_refused(configuration: bytes, properties: bytes) -> None:
    with pytest.raises(DriverError, match="cannot be read"):
        described("here", configuration, properties)


def test_a_repetition_delay_of_the_other_service_is_not_offered() -> None:
    """It could not be handed on: a job that asks for one is refused here, and not run without it."""
    configuration, properties = texts(load_driver("there", "fake", {"backend": "FakeTorino"}))
    configuration |= {"dynamic_reprate_enabled": True, "rep_delay_range": [0.0, 500.0]}
    found = described("here", json.dumps(configuration).encode(), json.dumps(properties).encode())
    assert settled(found.facts, found.target).configuration["dynamic_reprate_enabled"] is False
