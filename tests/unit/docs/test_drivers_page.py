"""The example of docs/drivers.md is a driver that conforms and runs a job."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from sojourn.devices.conformance import check
from sojourn.devices.driver import Driver, DriverError
from sojourn.worker.host import DeviceHost
from sojourn.worker.protocol.types import Completed, DeviceSpec
from tests.harness.programs import sampler_params

PAGE = Path(__file__).parents[3] / "docs" / "drivers.md"


@pytest.fixture(scope="module")
def example() -> type[Driver]:
    found = re.search(
        r"<!-- example: tiny_driver.py -->\n```python\n(.*?)```", PAGE.read_text("utf-8"), re.DOTALL
    )
    assert found is not None
    module: dict[str, Any] = {}
    exec(compile(found[1], str(PAGE), "exec"), module)
    driver: type[Driver] = module["TinyDriver"]
    assert issubclass(driver, Driver)
    return driver


def test_the_example_conforms(example: type[Driver]) -> None:
    assert check(example("lab", {})) == []


def test_the_example_refuses_what_it_does_not_know(example: type[Driver]) -> None:
    with pytest.raises(
        DriverError, match="option 'qubits' of driver 'tiny' is 17; allowed is an integer from"
    ):
        example("lab", {"qubits": 17})


def test_the_example_runs_a_job(example: type[Driver]) -> None:
    from qiskit import QuantumCircuit

    circuit = QuantumCircuit(2, 2)
    circuit.x(0)
    circuit.measure([0, 1], [0, 1])
    host = DeviceHost(DeviceSpec("lab", "tiny"), example("lab", {}))
    outcome = host.run("sampler", json.dumps(sampler_params((circuit, None, 10))).encode())
    assert isinstance(outcome, Completed)


def test_the_page_names_every_member_of_the_interface() -> None:
    page = PAGE.read_text("utf-8")
    members = {name for name in vars(Driver) if not name.startswith("_")} - {"random_results", "memory"}
    assert [name for name in sorted(members) if f"`{name}" not in page] == []
