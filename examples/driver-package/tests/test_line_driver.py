"""The promises of every driver, and one of this driver's own."""

import pytest
from line_driver import LineDriver
from qiskit.circuit import QuantumCircuit

from sojourn.devices.driver import DriverError
from sojourn.driverkit.testing import DriverTests


class TestLine(DriverTests):
    driver = LineDriver
    options = {"qubits": 5, "readout_error": 0.02}  # noqa: RUF012 - the kit reads it only


class TestOneQubitWithoutErrors(DriverTests):
    driver = LineDriver
    options = {"qubits": 1, "readout_error": 0}  # noqa: RUF012


def test_a_qubit_is_measured_at_its_end() -> None:
    circuit = QuantumCircuit(1, 1)
    circuit.measure(0, 0)
    circuit.x(0)
    with pytest.raises(DriverError, match="instruction 1 \\(x\\) comes after a measurement"):
        LineDriver("lab", {"qubits": 1}).compile(circuit)
