"""How long a simulation takes at least is known before it runs, for jobs that are large."""

from __future__ import annotations

import os
import re
from pathlib import Path

import numpy as np
import pytest
from qiskit.circuit import Parameter, QuantumCircuit

from sojourn.devices.aer import simulator
from sojourn.devices.aer.methods.bonds import growth
from sojourn.devices.aer.methods.rule import DENSITY, MPS, STABILIZER, VECTOR, Load, seconds_of
from sojourn.worker.host import DeviceHost
from sojourn.worker.programs import tally
from sojourn.worker.protocol.types import DeviceSpec
from tests.unit.worker.conftest import estimator_body, sampler_body

PAGE = Path(__file__).parents[3] / "docs" / "simulation.md"
LAYERS = 10


@pytest.fixture(scope="module")
def wide() -> DeviceHost:
    return DeviceHost.load(DeviceSpec("wide", "aer", {"qubits": 40}))


def chain(qubits: int, angle: float | Parameter = 0.3, *, measured: bool = True) -> QuantumCircuit:
    """Joined by cz; `LAYERS` times two gates on each qubit, and one on each pair of neighbours."""
    circuit = QuantumCircuit(qubits, qubits if measured else 0)
    for _ in range(LAYERS):
        for qubit in range(qubits):
            circuit.rz(angle, qubit)
            circuit.sx(qubit)
        for qubit in range(qubits - 1):
            circuit.cz(qubit, qubit + 1)
    if measured:
        circuit.measure(range(qubits), range(qubits))
    return circuit


def layered(qubits: int, layers: int, angle: float = 0.3) -> QuantumCircuit:
    """Layers of turns of each qubit and of gates on every other pair of neighbours."""
    circuit = QuantumCircuit(qubits, qubits)
    for layer in range(layers):
        for qubit in range(qubits):
            circuit.rz(angle, qubit)
            circuit.sx(qubit)
        for qubit in range(layer % 2, qubits - 1, 2):
            circuit.cz(qubit, qubit + 1)
    circuit.measure(range(qubits), range(qubits))
    return circuit


def load_of(circuit: QuantumCircuit, qubits: int, *, noisy: bool) -> Load:
    ones, twos = (sum(len(item.qubits) == width for item in circuit.data) for width in (1, 2))
    return Load(qubits, ones, twos, noisy, dynamic=False, clifford=False, growth=growth(circuit))


def expected(load: Load, method: str, points: int, shots: int) -> float:
    sure = simulator._SURE * (os.cpu_count() or 1)
    return points * seconds_of(method, load, shots) / sure


def test_a_noisy_matrix_product_state_runs_shot_by_shot(torino: DeviceHost) -> None:
    load = load_of(chain(14), 14, noisy=True)
    for shots in (50_000, 100_000):
        prepared = torino.prepare("sampler", sampler_body([(chain(14), None, shots)]))
        most = expected(load, MPS, 1, shots)
        assert 0 < prepared.least_seconds <= 1.001 * most  # error patterns may take less


def test_an_ideal_one_runs_once_for_all_shots_of_a_point(wide: DeviceHost) -> None:
    load = load_of(chain(40), 40, noisy=False)
    prepared = wide.prepare("sampler", sampler_body([(chain(40), None, 10_000)]))
    assert prepared.least_seconds == pytest.approx(expected(load, MPS, 1, 10_000))
    circuit = QuantumCircuit(40, 40)
    circuit.rz(Parameter("a"), 0)
    circuit.compose(chain(40), inplace=True)
    pub = (circuit, np.linspace(0, 1, 500)[:, None], 10_000)
    many = wide.prepare("sampler", sampler_body([pub])).least_seconds
    assert many == pytest.approx(500 * prepared.least_seconds, rel=0.01)


def test_a_wide_circuit_takes_the_longer_the_deeper_it_is_at_any_number_of_shots(wide: DeviceHost) -> None:
    times = [
        wide.prepare("sampler", sampler_body([(layered(40, layers), None, 1)])).least_seconds
        for layers in (2, 10, 20, 40)
    ]
    assert 0 < times[0] < 0.1
    assert times[1] < 5
    assert times[2] > 50 * times[1]
    assert times[3] > 24 * 3600
    swapped = layered(40, 10)
    pairs = QuantumCircuit(40)
    for qubit in range(10):
        pairs.cz(qubit, 39 - qubit)
    swapped.compose(pairs, front=True, inplace=True)
    far = wide.prepare("sampler", sampler_body([(swapped, None, 1)])).least_seconds
    assert far > 1000 * times[1]  # each of these gates crosses the middle


def test_every_circuit_of_an_estimator_counts(wide: DeviceHost) -> None:
    circuit = chain(40, measured=False)
    one = wide.prepare("estimator", estimator_body([(circuit, "Z" * 40, None, 0.005)])).least_seconds
    two = wide.prepare("estimator", estimator_body([(circuit, ["Z" * 40, "X" * 40], None, 0.005)]))
    assert one > 0
    assert two.least_seconds == pytest.approx(2 * one, rel=0.1)


def test_what_may_be_a_clifford_circuit_or_is_small_counts_as_nothing(wide: DeviceHost) -> None:
    angle = Parameter("a")
    values = np.full((500, 1), np.pi / 2)
    many = QuantumCircuit(40, 40)  # of which few are joined
    many.compose(chain(5), range(5), range(5), inplace=True)
    for pub in (
        (chain(40, np.pi / 2), None, 100_000),
        (chain(40, angle), values, 1000),
        (many, None, 4096),
    ):
        assert wide.prepare("sampler", sampler_body([pub])).least_seconds == 0.0


def test_methods_whose_time_is_not_known_take_none() -> None:
    load = Load(30, 100, 100, noisy=True, dynamic=False, clifford=True)
    assert seconds_of(STABILIZER, load, 1000) == 0.0
    assert seconds_of(DENSITY, load, 1) == seconds_of(DENSITY, load, 1000) > 0
    assert seconds_of(VECTOR, load, 1000) == pytest.approx(1000 * seconds_of(VECTOR, load, 1))


def test_the_page_says_how_sure_the_estimate_is_and_when_it_is_made() -> None:
    found = re.search(r"<!-- SURE -->(\d+)", PAGE.read_text())
    assert found is not None
    assert int(found[1]) == simulator._SURE
    found = re.search(r"<!-- MANY_JOINED -->(\d+)", PAGE.read_text())
    assert found is not None
    assert int(found[1]) == tally._MANY_JOINED
