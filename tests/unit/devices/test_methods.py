"""How a circuit is simulated: the rule, and that every method gives what the density matrix gives."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from qiskit import QuantumCircuit
from qiskit.circuit import Parameter
from qiskit.quantum_info import PTM, Kraus, Pauli, SuperOp
from qiskit_aer.noise import QuantumError, thermal_relaxation_error
from qiskit_ibm_runtime.fake_provider import FakeTorino

from sojourn.devices.aer.errors.mixture import mixture, split, unravelled
from sojourn.devices.aer.errors.twirl import holds, twirled
from sojourn.devices.aer.methods import rule
from sojourn.devices.aer.methods.account import Account
from sojourn.devices.aer.methods.clifford import angles_of, multiples
from sojourn.devices.aer.methods.rule import DENSITY, MPS, PATTERNS, STABILIZER, VECTOR, Load, method_for
from sojourn.devices.aer.noise import NoiseTable
from sojourn.devices.aer.simulator import AerEngine
from sojourn.devices.driver import Driver, DriverError, Task, load_driver

PAGE = Path(__file__).parents[3] / "docs" / "simulation.md"
CHAIN = [0, 1, 2, 3, 4, 5, 6]
"""Qubits of the device that are neighbours of each other in this order."""


@pytest.fixture(scope="module")
def table() -> NoiseTable:
    backend = FakeTorino()
    return NoiseTable(backend.properties(), backend.dt)


@pytest.fixture(scope="module")
def torino() -> Driver:
    return load_driver("torino", "fake", {"backend": "FakeTorino"})


def load(qubits: int, *, noisy: bool = True, dynamic: bool = False, clifford: bool = False) -> Load:
    return Load(qubits, 10 * qubits, 2 * qubits, noisy, dynamic, clifford)


def layers(qubits: int, depth: int, *, angle: float | Parameter = 0.3, delay: bool = False) -> QuantumCircuit:
    """Rotations and gates between neighbours, in the gates of the device."""
    circuit = QuantumCircuit(133, qubits)
    for layer in range(depth):
        for qubit in range(qubits):
            circuit.sx(qubit)
            circuit.rz(angle, qubit)
            circuit.sx(qubit)
        if delay:
            circuit.delay(2000, 0, unit="dt")
        for qubit in range(layer % 2, qubits - 1, 2):
            circuit.cz(qubit, qubit + 1)
    circuit.measure(range(qubits), range(qubits))
    return circuit


def frequencies(
    engine: AerEngine, circuit: QuantumCircuit, shots: int, seed: int, *values: float
) -> NDArray[np.float64]:
    task = Task(engine.compile(circuit), np.array([values]), shots)
    ((outcome,),) = engine.execute([task], seed=seed, memory=True)
    numbers = [int.from_bytes(row.tobytes(), "big") for row in outcome.memory()]
    return np.bincount(numbers, minlength=2**circuit.num_clbits) / shots


def test_few_shots_of_a_middling_circuit_are_drawn_and_many_are_not() -> None:
    assert method_for(load(10), 125, free=0.9) == PATTERNS
    assert method_for(load(10), 10**7, free=0.9) == DENSITY
    assert method_for(load(10), 10**7) == DENSITY
    assert method_for(load(10), 1, free=None) == VECTOR
    assert method_for(load(rule.SURE_QUBITS), 1, free=0.9) == DENSITY


def test_the_more_errors_there_are_the_less_it_helps_to_draw_them() -> None:
    some = [method_for(load(11), 500, free=free) for free in (0.99, 0.5, 0.0)]
    assert some[0] == PATTERNS
    assert some[2] != PATTERNS or rule.pattern_seconds(load(11), 500, 0.0) < rule.density_seconds(load(11))


def test_a_state_that_does_not_fit_is_not_chosen() -> None:
    room = rule.state_bytes(DENSITY, 11)
    assert method_for(load(11), None, room) == DENSITY
    assert method_for(load(11), None, room - 1) == VECTOR


def test_wide_circuits_are_stabilizer_states_if_they_can_be() -> None:
    assert method_for(load(100, clifford=True), 1000) == STABILIZER
    assert method_for(load(100, clifford=True, dynamic=True), 1000) == STABILIZER
    assert method_for(load(100), 1000, free=0.3) == MPS
    assert method_for(load(100, noisy=False, clifford=True)) == STABILIZER


@pytest.mark.parametrize(
    "name", ["SURE_QUBITS", "DENSITY_QUBITS", "PATTERN_QUBITS", "VECTOR_QUBITS", "CLIFFORD_QUBITS"]
)
def test_the_page_states_the_numbers_of_the_rule(name: str) -> None:
    found = re.search(rf"<!-- {name} -->(\d+)", PAGE.read_text(encoding="utf-8"))
    assert found is not None
    assert int(found[1]) == getattr(rule, name)


def test_what_is_clifford_but_for_its_angles() -> None:
    angle = Parameter("a")
    circuit = QuantumCircuit(2, 1)
    circuit.sx(0)
    circuit.rz(np.pi, 0)
    circuit.rz(2 * angle, 1)
    circuit.cz(0, 1)
    circuit.measure(0, 0)
    assert angles_of(circuit) == [2 * angle]
    circuit.rz(0.1, 0)
    assert angles_of(circuit) is None
    assert multiples(np.array([0.0, np.pi / 2, -3 * np.pi, 1e-9]))
    assert not multiples(np.array([0.0, 1e-3]))


# Errors in other forms


def channel(error: QuantumError) -> SuperOp:
    """Of the mixture that the error is made into."""
    made = mixture(error)
    size = 2**error.num_qubits
    whole = made.nothing * SuperOp(np.eye(size**2))
    for share, operations in made.others:
        circuit = QuantumCircuit(error.num_qubits)
        for operation in operations:
            if operation.name == "kraus":
                circuit.append(Kraus(list(operation.params)).to_instruction(), operation.qubits)
            elif operation.name == "reset":
                circuit.reset(*operation.qubits)
            elif operation.name == "pauli":
                circuit.append(Pauli(operation.params[0]).to_instruction(), operation.qubits)
            else:
                getattr(circuit, operation.name)(*operation.qubits)
        whole = whole + share * SuperOp(circuit)
    return SuperOp(whole)


@pytest.mark.parametrize(("t1", "t2"), [(100.0, 60.0), (100.0, 100.0), (100.0, 150.0), (100.0, 180.0)])
def test_a_mixture_is_the_same_channel(t1: float, t2: float) -> None:
    error = thermal_relaxation_error(t1, t2, 0.05)
    assert np.abs(channel(error).data - SuperOp(error).data).max() < 1e-9
    assert mixture(error).nothing > 0.998


def test_the_errors_of_a_device_are_almost_always_nothing(table: NoiseTable) -> None:
    for name, qubits in [("sx", (0,)), ("sx", (3,)), ("cz", (0, 1)), ("cz", (2, 3))]:
        error = table.gate(name, qubits)
        assert error is not None
        made = mixture(error)
        assert np.abs(channel(error).data - SuperOp(error).data).max() < 1e-9
        assert sum(share for share, _ in made.others) == pytest.approx(1 - made.nothing, abs=1e-12)
        assert made.nothing > 0.97


@pytest.mark.parametrize(("t1", "t2"), [(100.0, 60.0), (100.0, 150.0), (100.0, 200.0)])
def test_an_error_for_trajectories_is_the_same_channel(table: NoiseTable, t1: float, t2: float) -> None:
    relaxation = thermal_relaxation_error(t1, t2, 0.05)
    gate = table.gate("cz", (0, 1))
    assert gate is not None
    for error in (relaxation, relaxation.expand(relaxation), gate):
        assert np.abs(SuperOp(unravelled(error)).data - SuperOp(error).data).max() < 1e-9


def test_pure_decay_is_never_nothing() -> None:
    decay = 0.01
    matrices = [np.diag([1, np.sqrt(1 - decay)]), np.array([[0, np.sqrt(decay)], [0, 0]])]
    share, rest = split([np.asarray(matrix, dtype=np.complex128) for matrix in matrices])
    assert share == 0
    assert len(rest) == 2


@pytest.mark.parametrize(("t1", "t2"), [(100.0, 150.0), (100.0, 200.0)])
def test_a_twirled_error_is_a_pauli_channel_with_the_same_decays(t1: float, t2: float) -> None:
    error = thermal_relaxation_error(t1, t2, 5.0)
    assert not holds(error)
    made = twirled(error)
    assert holds(made)
    found, given = PTM(SuperOp(made)).data, PTM(SuperOp(error)).data
    assert np.abs(found - np.diag(np.diagonal(given))).max() < 1e-9


def test_a_twirl_keeps_the_order_of_two_qubits(table: NoiseTable) -> None:
    error = thermal_relaxation_error(100.0, 150.0, 5.0).expand(thermal_relaxation_error(100.0, 190.0, 20.0))
    given = PTM(SuperOp(error)).data
    assert np.abs(PTM(SuperOp(twirled(error))).data - np.diag(np.diagonal(given))).max() < 1e-9


# The methods agree


def difference(one: NDArray[np.float64], two: NDArray[np.float64]) -> float:
    """Total variation distance."""
    return float(np.abs(one - two).sum() / 2)


@pytest.mark.parametrize("delay", [False, True])
def test_drawn_errors_give_what_the_density_matrix_gives(table: NoiseTable, delay: bool) -> None:
    circuit = layers(4, 6, delay=delay)
    shots = 40_000
    exact = frequencies(AerEngine(table, DENSITY, 1), circuit, shots, 1)
    drawn = frequencies(AerEngine(table, PATTERNS, 1), circuit, shots, 2)
    again = frequencies(AerEngine(table, DENSITY, 1), circuit, shots, 3)
    ideal = frequencies(AerEngine(None, threads=1), circuit, shots, 4)
    assert difference(exact, drawn) < 1.5 * difference(exact, again) + 0.005
    assert difference(exact, ideal) > 0.03, "else noise does not show"


def test_drawn_errors_follow_each_points_values(table: NoiseTable) -> None:
    angle = Parameter("a")
    circuit = layers(3, 2, angle=angle + 0.1)
    engine = AerEngine(table, PATTERNS, 1)
    task = Task(engine.compile(circuit), np.array([[0.2], [1.4], [2.9]]), 20_000)
    ((*outcomes,),) = engine.execute([task], seed=5, memory=True)
    for value, outcome in zip([0.2, 1.4, 2.9], outcomes, strict=True):
        numbers = [int(row[0]) for row in outcome.memory()]
        found = np.bincount(numbers, minlength=8) / 20_000
        exact = frequencies(AerEngine(table, DENSITY, 1), circuit, 20_000, 6, value)
        assert difference(found, exact) < 0.02


def test_the_same_seed_draws_the_same_errors(table: NoiseTable) -> None:
    engine, circuit = AerEngine(table, PATTERNS, 1), layers(6, 8)
    program = engine.compile(circuit)
    tasks = [Task(program, np.zeros((3, 0)), 200)]
    one, two = (engine.execute(tasks, seed=8, memory=True)[0] for _ in range(2))
    assert all((a.memory() == b.memory()).all() for a, b in zip(one, two, strict=True))
    assert not (one[0].memory() == one[1].memory()).all()


def test_a_stabilizer_state_with_twirled_relaxation_is_close_to_the_density_matrix(table: NoiseTable) -> None:
    circuit = layers(5, 8, angle=np.pi / 2)
    shots = 5_000
    exact = frequencies(AerEngine(table, DENSITY, 1), circuit, shots, 1)
    found = frequencies(AerEngine(table, STABILIZER, 1), circuit, shots, 2)
    again = frequencies(AerEngine(table, DENSITY, 1), circuit, shots, 3)
    assert difference(exact, found) < 1.5 * difference(exact, again) + 0.01


def test_with_the_noise_pauli_a_stabilizer_state_is_exact() -> None:
    backend = FakeTorino()
    pauli = NoiseTable(backend.properties(), backend.dt, "pauli")
    circuit = layers(5, 20, angle=np.pi / 2)
    shots = 5_000
    exact = frequencies(AerEngine(pauli, DENSITY, 1), circuit, shots, 1)
    found = frequencies(AerEngine(pauli, STABILIZER, 1), circuit, shots, 2)
    again = frequencies(AerEngine(pauli, DENSITY, 1), circuit, shots, 3)
    assert difference(exact, found) < 1.5 * difference(exact, again) + 0.005


def test_the_option_noise_is_device_or_pauli() -> None:
    driver = load_driver("t", "fake", {"backend": "FakeManilaV2", "noise": "pauli"})
    circuit = QuantumCircuit(5, 1)
    circuit.x(0)
    circuit.measure(0, 0)
    assert driver.execute([Task(driver.compile(circuit), np.zeros((1, 0)), 10)], seed=1, memory=False)
    with pytest.raises(DriverError, match="'noise' of driver 'fake' is 'none'; allowed is device or pauli"):
        load_driver("t", "fake", {"backend": "FakeManilaV2", "noise": "none"})


# Wide circuits


def ghz(driver: Driver, qubits: int, angle: float | Parameter) -> QuantumCircuit:
    """Grown from qubit 0 over the links of the device, in its gates: a Hadamard gate is rz, sx, rz."""
    circuit = QuantumCircuit(133, qubits)

    def hadamard(qubit: int) -> None:
        circuit.rz(angle, qubit)
        circuit.sx(qubit)
        circuit.rz(angle, qubit)

    hadamard(0)
    reached = [0]
    for one in reached:
        for two in sorted(link[1] for link in driver.target["cz"] if link[0] == one):
            if two not in reached and len(reached) < qubits:
                hadamard(two)
                circuit.cz(one, two)
                hadamard(two)
                reached.append(two)
    circuit.measure(reached, range(qubits))
    return circuit


@pytest.mark.parametrize("bound", [True, False])
def test_a_hundred_qubits_of_a_noisy_clifford_circuit_run(torino: Driver, bound: bool) -> None:
    circuit = ghz(torino, 100, np.pi / 2 if bound else Parameter("a"))
    values = np.zeros((1, 0)) if bound else np.array([[np.pi / 2]])
    torino.begin_job()
    ((outcome,),) = torino.execute([Task(torino.compile(circuit), values, 200)], seed=3, memory=True)
    bits = np.unpackbits(outcome.memory(), axis=-1)[:, -100:]
    majority = bits.mean(axis=1) > 0.5
    assert 0.2 < majority.mean() < 0.8
    assert 0.6 < (bits == majority[:, None]).mean() < 0.99
    (line,) = torino.account()
    assert line.startswith("simulated 1 circuit on 100 active qubits for 200 shots in ")
    assert line.endswith(
        "stabilizer state for each shot, relaxation of qubits with T2 > T1 as its Pauli twirl"
    )


def test_account_is_kept_by_method_and_size() -> None:
    account = Account()
    account.add(DENSITY, load(4), 3, 100, 0.25, approximate=False)
    account.add(DENSITY, load(4), 1, 100, 0.25, approximate=False)
    account.add(VECTOR, load(9), 1, 50, 2.0, approximate=False)
    assert account.lines() == [
        "simulated 1 circuit on 9 active qubits for 50 shots in 2.000 s: state vector for each shot",
        "simulated 4 circuits on 4 active qubits for 400 shots in 0.500 s: density matrix",
    ]
    account.clear()
    assert account.lines() == []
