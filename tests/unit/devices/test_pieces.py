"""Circuits of independent parts are simulated part by part, and nobody sees it."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from qiskit import QuantumCircuit
from qiskit.circuit import Parameter

from sojourn.devices.aer.pieces import pieces
from sojourn.devices.aer.simulator import AerCircuit, SplitCircuit
from sojourn.devices.driver import Driver, Task, load_driver


@pytest.fixture(scope="module")
def torino() -> Driver:
    return load_driver("torino", "fake", {"backend": "FakeTorino"})


def shots_of(
    driver: Driver, circuit: QuantumCircuit, shots: int, memory: bool = True, *values: float
) -> NDArray[np.uint8]:
    """(shots, bits), bit 0 first."""
    task = Task(driver.compile(circuit), np.array([values]), shots)
    ((outcome,),) = driver.execute([task], seed=7, memory=memory)
    patterns = outcome.memory() if memory else np.repeat(outcome.patterns, outcome.counts, axis=0)
    return np.unpackbits(patterns, axis=-1)[:, ::-1][:, : circuit.num_clbits]


def pairs(width: int, count: int) -> QuantumCircuit:
    """Bell pairs on every second link of a chain, bit i from qubit i."""
    circuit = QuantumCircuit(width, 2 * count)
    for one in range(0, 2 * count, 2):
        circuit.h(one)
        circuit.cx(one, one + 1)
    circuit.measure(range(2 * count), range(2 * count))
    return circuit


def test_pairs_agree_within_and_are_independent_between_each_other() -> None:
    driver = load_driver("aer", "aer", {"qubits": 40})
    circuit = pairs(40, 20)
    circuit.ry(0.0, 0)  # no Clifford circuit
    assert isinstance(driver.compile(circuit), SplitCircuit)
    bits = shots_of(driver, circuit, 4000)
    assert (bits[:, 0::2] == bits[:, 1::2]).all()
    correlation = np.corrcoef(bits[:, 0::2].T) - np.eye(20)
    assert np.abs(correlation).max() < 5 / np.sqrt(4000)


def test_a_wide_measurement_costs_what_its_parts_cost(torino: Driver) -> None:
    """A pair among 133 measured qubits, each with its own noise: the others are almost always 0."""
    circuit = QuantumCircuit(133, 133)
    circuit.x(5)
    circuit.cz(5, 4)
    circuit.rz(Parameter("a"), 5)
    circuit.x(100)
    circuit.measure(range(133), range(133))
    program = torino.compile(circuit)
    assert isinstance(program, SplitCircuit)
    assert all(isinstance(piece, AerCircuit) and len(piece.cut.active) <= 4 for piece in program.pieces)
    for memory in (True, False):
        bits = shots_of(torino, circuit, 500, memory, 0.3)
        assert bits[:, 5].mean() > 0.8
        assert bits[:, 100].mean() > 0.8
        assert np.delete(bits, [5, 100], axis=1).mean() < 0.1


def test_what_is_not_measured_is_not_simulated(torino: Driver) -> None:
    circuit = QuantumCircuit(133, 1)
    circuit.x(range(133))
    circuit.barrier()
    circuit.cz(0, 1)
    circuit.measure(0, 0)
    program = torino.compile(circuit)
    assert isinstance(program, AerCircuit)
    assert program.cut.active == (0, 1)
    assert shots_of(torino, circuit, 500).mean() > 0.8


def test_what_a_classical_bit_or_control_flow_joins_stays_together() -> None:
    circuit = QuantumCircuit(3, 1)
    circuit.measure(0, 0)
    circuit.measure(1, 0)
    circuit.x(2)
    (piece,) = pieces(circuit, 0, 1)
    assert [item.operation.name for item in piece.data] == ["measure", "measure"]
    with circuit.if_test((circuit.clbits[0], 1)):
        circuit.x(2)
    assert pieces(circuit, 0, 1) == [circuit]


def test_the_same_seed_gives_the_same_shots(torino: Driver) -> None:
    circuit = QuantumCircuit(133, 133)
    circuit.sx(range(133))
    circuit.measure(range(133), range(133))
    assert (shots_of(torino, circuit, 50) == shots_of(torino, circuit, 50)).all()
