"""The noise of a fake device, cut to the circuit, gives the counts of the whole model."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from qiskit.circuit import ClassicalRegister, Parameter, QuantumCircuit, QuantumRegister
from qiskit.circuit.library import efficient_su2
from qiskit.transpiler import generate_preset_pass_manager
from qiskit_aer import AerSimulator
from qiskit_aer.noise import NoiseModel
from qiskit_ibm_runtime.fake_provider import FakeManilaV2, FakeTorino

from sojourn.devices.aer.fake import FakeDriver
from sojourn.devices.aer.simulator import SEED_STEP
from sojourn.devices.driver import Driver, Outcome, Task, load_driver

SHOTS = 2000


@pytest.fixture(scope="module")
def manila() -> Driver:
    return load_driver("manila", "fake", {"backend": "FakeManilaV2"})


@pytest.fixture(scope="module")
def whole_model() -> NoiseModel:
    backend = FakeManilaV2()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return NoiseModel.from_backend_properties(backend.properties(), dt=backend.dt)


def run(
    driver: Driver, circuit: QuantumCircuit, seed: int, values: np.ndarray | None = None
) -> dict[int, int]:
    points = np.zeros((1, 0)) if values is None else values.reshape(1, -1)
    task = Task(driver.compile(circuit), points, SHOTS)
    return as_counts(driver.execute([task], seed=seed, memory=True)[0][0])


def as_counts(outcome: Outcome) -> dict[int, int]:
    return {
        int.from_bytes(pattern.tobytes(), "big"): int(count)
        for pattern, count in zip(outcome.patterns, outcome.counts, strict=True)
    }


def full(
    circuit: QuantumCircuit, model: NoiseModel, seed: int, method: str = "density_matrix"
) -> dict[int, int]:
    simulator = AerSimulator(method=method, noise_model=model)
    counts = simulator.run(circuit, shots=SHOTS, seed_simulator=seed).result().get_counts()
    return {int(key.replace(" ", ""), 2): value for key, value in counts.items()}


def random_circuit(seed: int, *, reset: bool = False) -> QuantumCircuit:
    random = np.random.default_rng(seed)
    circuit = QuantumCircuit(QuantumRegister(5), ClassicalRegister(2, "a"), ClassicalRegister(3, "b"))
    for _ in range(12):
        qubit = int(random.integers(1, 4))
        circuit.sx(qubit)
        circuit.rz(float(random.random()) * 6, qubit)
        circuit.cx(qubit, qubit + 1 if random.random() < 0.5 else qubit - 1)
        if random.random() < 0.4:
            circuit.delay(int(random.integers(1, 50)) * 16 * 100, qubit, unit="dt")
        if reset and random.random() < 0.3:
            circuit.reset(qubit)
    circuit.measure([0, 3, 4], [4, 0, 2])
    return circuit


@pytest.mark.parametrize("seed", range(6))
def test_the_cut_model_gives_the_counts_of_the_whole_model(
    manila: Driver, whole_model: NoiseModel, seed: int
) -> None:
    circuit = random_circuit(seed)
    assert run(manila, circuit, seed) == full(circuit, whole_model, seed)


def test_resets_are_as_noisy_as_in_the_whole_model(manila: Driver, whole_model: NoiseModel) -> None:
    circuit = random_circuit(3, reset=True)
    assert run(manila, circuit, 5) == full(circuit, whole_model, 5)


def test_two_active_qubits_of_a_device_give_the_counts_of_the_whole_model(
    manila: Driver, whole_model: NoiseModel
) -> None:
    circuit = QuantumCircuit(5, 2)
    circuit.sx(3)
    circuit.cx(3, 4)
    circuit.measure([4, 3], [0, 1])
    assert run(manila, circuit, 9) == full(circuit, whole_model, 9)


def test_control_flow_gives_the_counts_of_the_whole_model(manila: Driver, whole_model: NoiseModel) -> None:
    circuit = QuantumCircuit(5, 3)
    circuit.sx(1)
    circuit.measure(1, 0)
    with circuit.if_test((circuit.clbits[0], 1)) as otherwise:
        circuit.x(2)
        circuit.delay(16_000, 2, unit="dt")
    with otherwise:
        circuit.sx(2)
    circuit.cx(1, 2)
    circuit.measure([1, 2], [1, 2])
    assert run(manila, circuit, 21) == full(circuit, whole_model, 21)


@pytest.mark.parametrize("method", ["statevector", "matrix_product_state"])
def test_trajectories_give_the_counts_of_the_whole_model(whole_model: NoiseModel, method: str) -> None:
    driver = load_driver("manila", "fake", {"backend": "FakeManilaV2", "method": method, "threads": 1})
    circuit = random_circuit(8)
    simulator = AerSimulator(method=method, noise_model=whole_model, max_parallel_threads=1)
    counts = simulator.run(circuit, shots=SHOTS, seed_simulator=4).result().get_counts()
    expected = {int(key.replace(" ", ""), 2): value for key, value in counts.items()}
    got = run(driver, circuit, 4)
    distance = sum(abs(got.get(k, 0) - expected.get(k, 0)) for k in {*got, *expected}) / (2 * SHOTS)
    assert distance < 0.05


def test_the_fake_backend_itself_gives_the_same_counts(manila: Driver) -> None:
    circuit = QuantumCircuit(5, 2)
    circuit.x(0)
    circuit.sx(1)
    circuit.cx(0, 1)
    circuit.measure([0, 1], [0, 1])
    backend = FakeManilaV2()
    assert backend.target is not None  # loads the properties, without which it would run without noise
    backend.properties()
    counts = (
        backend.run(circuit, shots=SHOTS, seed_simulator=3, method="density_matrix").result().get_counts()
    )
    assert run(manila, circuit, 3) == {int(key, 2): value for key, value in counts.items()}


def test_readout_is_asymmetric_as_the_device_says(manila: Driver) -> None:
    properties = FakeManilaV2().properties()
    idle, flipped = QuantumCircuit(5, 1), QuantumCircuit(5, 1)
    qubit = 2
    idle.measure(qubit, 0)
    flipped.x(qubit)
    flipped.measure(qubit, 0)
    p10 = properties.qubit_property(qubit, "prob_meas1_prep0")[0]
    p01 = properties.qubit_property(qubit, "prob_meas0_prep1")[0]
    assert abs(p10 - p01) > 0.005
    many = Task(manila.compile(idle), np.zeros((1, 0)), 100_000)
    flips = Task(manila.compile(flipped), np.zeros((1, 0)), 100_000)
    outcomes = manila.execute([many, flips], seed=1, memory=False)
    ones = as_counts(outcomes[0][0]).get(1, 0) / 100_000
    zeros = as_counts(outcomes[1][0]).get(0, 0) / 100_000
    assert ones == pytest.approx(p10, abs=0.003)
    assert zeros == pytest.approx(p01, abs=0.004)


def test_a_delay_relaxes_with_the_qubits_t1(manila: Driver) -> None:
    backend = FakeManilaV2()
    t1 = backend.properties().t1(1)
    counts = {}
    for label, time in (("short", 0.0), ("long", 2 * t1)):
        circuit = QuantumCircuit(5, 1)
        circuit.x(1)
        circuit.delay(time, 1, unit="s")
        circuit.measure(1, 0)
        counts[label] = run(manila, circuit, 2).get(1, 0) / SHOTS
    assert counts["short"] > 0.9
    assert counts["long"] == pytest.approx(np.exp(-2), abs=0.06)


def test_a_delay_that_depends_on_a_parameter_is_bound_point_by_point(manila: Driver) -> None:
    backend = FakeManilaV2()
    t1 = backend.properties().t1(1)
    wait = Parameter("wait")
    circuit = QuantumCircuit(5, 1)
    circuit.x(1)
    circuit.delay(wait, 1, unit="s")
    circuit.measure(1, 0)
    task = Task(manila.compile(circuit), np.array([[0.0], [2 * t1]]), SHOTS)
    short, long = (as_counts(o).get(1, 0) / SHOTS for o in manila.execute([task], seed=2, memory=True)[0])
    assert short > 0.9
    assert long == pytest.approx(np.exp(-2), abs=0.06)


def test_bound_by_table_equals_bound_by_qiskit(manila: Driver, whole_model: NoiseModel) -> None:
    backend = FakeManilaV2()
    circuit = generate_preset_pass_manager(1, backend=backend, seed_transpiler=3).run(
        efficient_su2(3, reps=1)
    )
    circuit.measure_all()
    values = np.random.default_rng(2).random(circuit.num_parameters) * 6
    bound = circuit.assign_parameters(values)
    assert run(manila, circuit, 7, values) == full(bound, whole_model, 7)


def test_curved_expressions_are_bound_too(manila: Driver) -> None:
    angle, other = Parameter("a"), Parameter("b")
    circuit = QuantumCircuit(5, 1)
    circuit.sx(0)
    circuit.rz(angle.sin() * other + angle * angle, 0)
    circuit.sx(0)
    circuit.measure(0, 0)
    values = np.array([0.3, 1.9])
    assert run(manila, circuit, 7, values) == run(manila, circuit.assign_parameters(values), 7)


def test_points_of_a_sweep_are_seeded_one_after_the_other(manila: Driver) -> None:
    angle = Parameter("a")
    circuit = QuantumCircuit(5, 1)
    circuit.sx(0)
    circuit.rz(angle, 0)
    circuit.sx(0)
    circuit.measure(0, 0)
    program = manila.compile(circuit)
    fixed = manila.compile(circuit.assign_parameters([0.5]))
    values = np.array([[0.1], [0.5], [0.9]])
    tasks = [Task(program, values, SHOTS), Task(fixed, np.zeros((2, 0)), SHOTS)]
    together = [as_counts(o) for outcomes in manila.execute(tasks, seed=40, memory=True) for o in outcomes]
    apart = [
        as_counts(
            manila.execute([Task(program, values[i : i + 1], SHOTS)], seed=40 + SEED_STEP * i, memory=True)[
                0
            ][0]
        )
        for i in range(3)
    ] + [run(manila, circuit.assign_parameters([0.5]), 40 + SEED_STEP * (3 + i)) for i in range(2)]
    assert together == apart
    assert [as_counts(o) for o in manila.execute(tasks[:1], seed=40, memory=False)[0]] == apart[:3]


def test_a_wide_device_never_builds_its_whole_model() -> None:
    driver = load_driver("torino", "fake", {"backend": "FakeTorino"})
    circuit = QuantumCircuit(133, 3)
    edge = next(iter(sorted(driver.target["cz"])))
    circuit.sx(edge[0])
    circuit.cz(*edge)
    circuit.measure([*edge, 132], [0, 1, 2])
    program = driver.compile(circuit)
    outcome = driver.execute([Task(program, np.zeros((1, 0)), 100)], seed=1, memory=True)[0][0]
    assert outcome.memory().shape == (100, 1)
    assert isinstance(driver, FakeDriver)
    assert driver._engine._noise is not None
    built = driver._engine._noise._gate
    assert {key for key, error in built.items() if error is not None} == {("sx", (edge[0],)), ("cz", edge)}
    assert FakeTorino().num_qubits == 133
