"""Each device has a companion under the name to which the client sends its dry runs."""

from __future__ import annotations

import re

import pytest

from sojourn.config import DeviceSettings
from sojourn.service.companions import companion_of, is_mock, models, specs


def device(name: str, driver: str = "aer", **options: int) -> DeviceSettings:
    return DeviceSettings(name=name, driver=driver, options=dict(options))


@pytest.mark.parametrize("name", ["ibm_torino", "aer", "lab-1", "a_b_c", "_odd", "x"])
def test_the_name_is_the_one_that_the_client_looks_for(name: str) -> None:
    """As in the client's `_run`."""
    assert companion_of(name) == re.sub(r"^[^_]+", "mock", name)


def test_a_device_without_an_underscore_has_one_too() -> None:
    found = specs([device("aer", qubits=7), device("ibm_lab", qubits=3)])
    assert list(found) == ["aer", "ibm_lab", "mock", "mock_lab"]
    assert found["mock"].options == {"like": {"driver": "aer", "options": {"qubits": 7}}}
    assert found["mock"].lazy
    assert models(found) == {"mock": "aer", "mock_lab": "ibm_lab"}


def test_the_first_device_of_several_is_the_model() -> None:
    found = specs([device("bench", driver="mock"), device("one", qubits=1), device("two", qubits=2)])
    assert found["mock"].options["like"]["options"] == {"qubits": 1}
    assert models(found) == {"mock": "one"}


def test_a_configured_device_of_that_name_is_left_alone_and_shown() -> None:
    found = specs([device("mock", driver="mock"), device("aer", qubits=2), device("mock_x", driver="mock")])
    assert list(found) == ["mock", "aer", "mock_x"]
    assert models(found) == {}
    assert [is_mock(spec) for spec in found.values()] == [False, False, True]


def test_companions_are_hidden() -> None:
    found = specs([device("aer", qubits=2), device("ibm_lab", qubits=3)])
    assert [name for name, spec in found.items() if is_mock(spec)] == ["mock", "mock_lab"]
