"""Simulated devices under other conditions: signals, qubits that are carried on, noise models of jobs."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from qiskit import transpile
from qiskit.circuit import ClassicalRegister, Parameter, QuantumCircuit, QuantumRegister
from qiskit_aer import AerSimulator
from qiskit_aer.noise import NoiseModel, ReadoutError, depolarizing_error, thermal_relaxation_error

from sojourn.devices.conditions import USUAL, Conditions, Level
from sojourn.devices.driver import Driver, DriverError, Task, load_driver
from sojourn.worker.codec import noise
from sojourn.worker.codec.decode import Budget


@pytest.fixture(scope="module")
def aer() -> Driver:
    return load_driver("aer", "aer", {"qubits": 20})


@pytest.fixture(scope="module")
def manila() -> Driver:
    return load_driver("manila", "fake", {"backend": "FakeManilaV2"})


def run(
    driver: Driver, circuit: QuantumCircuit, shots: int, values: Any = None, seed: int = 11
) -> NDArray[np.bool_]:
    """(points, shots, bits), bit 0 first."""
    points = np.zeros((1, 0)) if values is None else np.asarray(values, dtype=float)
    compiled = driver.compile(circuit)
    (outcomes,) = driver.execute([Task(compiled, points, shots)], seed=seed, memory=True)
    made = []
    for outcome in outcomes:
        single = np.unpackbits(outcome.memory(), axis=-1)
        made.append(single[:, single.shape[1] - 1 - np.arange(circuit.num_clbits)])
    return np.array(made, dtype=bool)


def signals(
    driver: Driver, circuit: QuantumCircuit, shots: int, level: Level = "kerneled"
) -> NDArray[np.complex64]:
    view = driver.under(Conditions(level=level))
    task = Task(view.compile(circuit), np.zeros((1, 0)), shots)
    (outcome,) = view.execute([task], seed=3, memory=True)[0]
    assert outcome.signal is not None
    return outcome.signal


def shares(bits: NDArray[np.bool_]) -> NDArray[np.float64]:
    """How often each pattern of a few bits came."""
    numbers = bits @ (1 << np.arange(bits.shape[-1]))
    return np.bincount(numbers.ravel(), minlength=2 ** bits.shape[-1]) / numbers.size


def ghz(driver: Driver, qubits: int) -> QuantumCircuit:
    circuit = QuantumCircuit(qubits, qubits)
    circuit.h(0)
    for qubit in range(qubits - 1):
        circuit.cx(qubit, qubit + 1)
    circuit.measure(range(qubits), range(qubits))
    return transpile(circuit, target=driver.target, seed_transpiler=1, optimization_level=1)


def test_usual_conditions_are_the_device_itself(aer: Driver, manila: Driver) -> None:
    assert aer.under(USUAL) is aer
    assert manila.under(Conditions()) is manila


def test_classified_signals_have_the_statistics_of_bits(manila: Driver) -> None:
    """On a device with noise of every kind, for an entangled state: correlations included."""
    shots, circuit = 60_000, ghz(manila, 3)
    bits = shares(run(manila, circuit, shots)[0])
    classified = shares(signals(manila, circuit, shots).real > 0)
    assert classified == pytest.approx(bits, abs=5 * math.sqrt(2 * 0.25 / shots))
    assert bits[1] > 0.001  # there are errors to get wrong


def test_a_measurement_in_the_middle_has_a_signal_of_its_own(manila: Driver) -> None:
    circuit = QuantumCircuit(1, 2)
    circuit.x(0)
    circuit.measure(0, 0)
    circuit.x(0)
    circuit.measure(0, 1)
    found = signals(manila, circuit, 4000).mean(axis=0)
    assert found[0].real > 1
    assert found[1].real < -1


def test_the_average_is_that_of_the_signals(aer: Driver) -> None:
    circuit = QuantumCircuit(1, 1)
    circuit.h(0)
    circuit.measure(0, 0)
    mean = signals(aer, circuit, 40_000, "avg_kerneled")
    assert mean.shape == (1,)
    assert abs(complex(mean[0])) < 5 * 6.2 / math.sqrt(40_000)


def test_the_same_seed_gives_the_same_signals(manila: Driver) -> None:
    circuit = ghz(manila, 2)
    assert (signals(manila, circuit, 100) == signals(manila, circuit, 100)).all()


@pytest.mark.parametrize("name", ["aer", "manila"])
def test_signals_of_circuits_with_control_flow_are_refused_with_the_reason(
    name: str, request: pytest.FixtureRequest
) -> None:
    circuit = QuantumCircuit(1, 1)
    circuit.measure(0, 0)
    with circuit.if_test((circuit.clbits[0], 1)):
        circuit.x(0)
    driver: Driver = request.getfixturevalue(name)
    with pytest.raises(DriverError, match="a branch would have to follow the bit of its own signal"):
        driver.under(Conditions(level="kerneled")).compile(circuit)


# qubits that are not initialised


def carried(driver: Driver, pause: float = 0.0, **more: Any) -> Driver:
    return driver.under(Conditions(carried=True, pause=pause, **more))


def test_without_initialisation_an_x_alternates(aer: Driver) -> None:
    circuit = QuantumCircuit(1, 1)
    circuit.x(0)
    circuit.measure(0, 0)
    bits = run(carried(aer), circuit, 101)[0, :, 0]
    assert (bits == (np.arange(101) % 2 == 0)).all()


def test_each_set_of_joined_qubits_has_its_own_chain_and_each_point_starts_anew(aer: Driver) -> None:
    angle = Parameter("a")
    circuit = QuantumCircuit(4, 3)
    circuit.rx(angle, 0)
    circuit.cx(0, 1)
    circuit.x(3)
    circuit.measure([0, 1, 3], [0, 1, 2])
    bits = run(carried(aer), circuit, 8, values=[[0.0], [math.pi]])
    even = np.arange(8) % 2 == 0
    assert (bits[:, :, 2] == even).all()
    assert not bits[0, :, :2].any()
    # 00 -> 11; then x and cx: 11 -> 0 and 1
    expected = []
    state = [0, 0]
    for _ in range(8):
        state = [1 - state[0], state[1] ^ (1 - state[0])]
        expected.append(list(state))
    assert bits[1, :, :2].astype(int).tolist() == expected


def test_a_qubit_that_is_not_measured_last_is_carried_as_a_measurement_would_find_it(aer: Driver) -> None:
    circuit = QuantumCircuit(1, 1)
    circuit.measure(0, 0)
    circuit.x(0)
    bits = run(carried(aer), circuit, 50)[0, :, 0]
    assert (bits == (np.arange(50) % 2 == 1)).all()


def test_random_shots_are_a_chain_of_the_right_steps(aer: Driver) -> None:
    """A rotation by t flips the state of the last shot with probability sin(t/2)^2."""
    circuit = QuantumCircuit(2, 2)
    circuit.ry(0.7, 0)
    circuit.ry(1.9, 1)
    circuit.measure([0, 1], [0, 1])
    shots = 30_000
    bits = run(carried(aer), circuit, shots)[0]
    for column, turn in enumerate((0.7, 1.9)):
        flips = float((bits[1:, column] != bits[:-1, column]).mean())
        assert flips == pytest.approx(math.sin(turn / 2) ** 2, abs=5 * 0.5 / math.sqrt(shots))


def test_the_pause_lets_qubits_decay(manila: Driver) -> None:
    """After many T1 a shot starts in 0 as if it were initialised; without a pause it does not."""
    circuit = QuantumCircuit(1, 1)
    circuit.x(0)
    circuit.measure(0, 0)
    assert run(carried(manila, pause=1.0), circuit, 2000).mean() > 0.9
    assert run(carried(manila, pause=0.0), circuit, 2000).mean() == pytest.approx(0.5, abs=0.1)


def test_assignment_errors_are_in_the_bits_and_not_in_the_states(manila: Driver) -> None:
    """Without a gate a qubit stays in 0, however often it is read as 1."""
    circuit = QuantumCircuit(1, 1)
    circuit.measure(0, 0)
    shots = 20_000
    usual = run(manila, circuit, shots).mean()
    found = run(carried(manila), circuit, shots).mean()
    assert found == pytest.approx(usual, abs=5 * math.sqrt(0.05 / shots))


def test_wide_circuits_without_initialisation_run_set_by_set() -> None:
    torino = load_driver("torino", "fake", {"backend": "FakeTorino"})
    circuit = QuantumCircuit(133, 133)
    circuit.x(range(0, 133, 2))
    circuit.measure(range(133), range(133))
    bits = run(carried(torino, pause=250e-6), circuit, 20)[0]
    assert bits.shape == (20, 133)


def test_signals_and_chains_go_together(aer: Driver) -> None:
    circuit = QuantumCircuit(1, 1)
    circuit.x(0)
    circuit.measure(0, 0)
    view = aer.under(Conditions(level="kerneled", carried=True))
    (outcome,) = view.execute([Task(view.compile(circuit), np.zeros((1, 0)), 6)], seed=1, memory=True)[0]
    assert outcome.signal is not None
    assert (outcome.signal[:, 0].real > 0).tolist() == [True, False] * 3


def test_control_flow_is_carried_on_an_ideal_device_and_refused_with_assignment_errors(
    aer: Driver, manila: Driver
) -> None:
    circuit = QuantumCircuit(1, 2)
    circuit.measure(0, 0)
    with circuit.if_test((circuit.clbits[0], 0)):
        circuit.x(0)
    circuit.measure(0, 1)
    bits = run(carried(aer), circuit, 10)[0]
    assert bits[:, 0].tolist() == [False] + [True] * 9  # it is turned to 1 once, and stays there
    with pytest.raises(DriverError, match="init_qubits = false is not simulated for circuits with"):
        carried(manila).compile(circuit)


def test_parameters_may_have_any_name(aer: Driver) -> None:
    circuit = QuantumCircuit(1, 1)
    circuit.rx(Parameter("start0"), 0)
    circuit.measure(0, 0)
    assert run(carried(aer), circuit, 4, values=[[math.pi]])[0, :, 0].tolist() == [True, False] * 2


def test_nothing_measured_gives_zeros(aer: Driver) -> None:
    circuit = QuantumCircuit(QuantumRegister(2), ClassicalRegister(3))
    circuit.x(0)
    assert not run(carried(aer), circuit, 5).any()


# noise models that come with a job


def given(model: NoiseModel) -> Conditions:
    errors = noise.read(model.to_dict(serializable=True), "the model", Budget())
    assert errors is not None
    return Conditions(errors=errors)


def models() -> dict[str, NoiseModel]:
    everywhere = NoiseModel()
    everywhere.add_all_qubit_quantum_error(depolarizing_error(0.05, 1), ["h", "sx"])
    everywhere.add_all_qubit_quantum_error(depolarizing_error(0.1, 2), ["cx"])
    everywhere.add_all_qubit_readout_error(ReadoutError([[0.95, 0.05], [0.2, 0.8]]))
    local = NoiseModel()
    local.add_all_qubit_quantum_error(depolarizing_error(0.2, 2), ["cx"])
    local.add_quantum_error(thermal_relaxation_error(50e-6, 30e-6, 20e-6), ["h"], [0])
    local.add_quantum_error(depolarizing_error(0.6, 2), ["cx"], [1, 2])
    local.add_readout_error(ReadoutError([[0.7, 0.3], [0.0, 1.0]]), [2])
    unusual = NoiseModel()
    unusual.add_all_qubit_quantum_error(depolarizing_error(0.4, 1), ["measure"])
    unusual.add_all_qubit_quantum_error(depolarizing_error(0.3, 1), ["reset"])
    return {"everywhere": everywhere, "local": local, "unusual": unusual}


@pytest.mark.parametrize("name", ["everywhere", "local", "unusual"])
def test_a_noise_model_does_what_it_does_in_aer(aer: Driver, name: str) -> None:
    model, shots = models()[name], 40_000
    circuit = QuantumCircuit(3, 3)
    circuit.reset(2)
    circuit.h(0)
    circuit.cx(0, 1)
    circuit.cx(1, 2)
    circuit.measure(range(3), range(3))
    theirs = AerSimulator(noise_model=model, seed_simulator=5).run(circuit, shots=shots).result().get_counts()
    expected = [theirs.get(f"{number:03b}", 0) / shots for number in range(8)]
    found = shares(run(aer.under(given(model)), circuit, shots)[0])
    assert found == pytest.approx(expected, abs=5 * math.sqrt(2 * 0.25 / shots))
    if name != "unusual":
        signal = given(model)
        view = aer.under(Conditions(level="both", errors=signal.errors))
        assert shares(run(view, circuit, shots)[0]) == pytest.approx(expected, abs=5 * math.sqrt(0.5 / shots))


def test_a_noise_model_is_refused_where_the_device_has_errors_of_its_own(manila: Driver) -> None:
    with pytest.raises(DriverError, match="a noise model cannot be simulated on manila, which has errors"):
        manila.under(given(models()["local"]))


def test_a_mock_of_a_device_refuses_what_the_device_does() -> None:
    like = {"like": {"driver": "fake", "options": {"backend": "FakeManilaV2"}}}
    with pytest.raises(DriverError, match="stands for a device with errors of its own"):
        load_driver("mock_manila", "mock", like).under(given(models()["local"]))
    mock = load_driver("mock", "mock", {"like": {"driver": "aer", "options": {"qubits": 2}}})
    mock.under(given(models()["local"]))
    circuit = QuantumCircuit(2, 2)
    circuit.measure([0, 1], [0, 1])
    assert signals(mock, circuit, 10).shape == (10, 2)
    assert signals(mock, circuit, 10, "avg_kerneled").shape == (2,)


def test_a_driver_that_knows_no_conditions_refuses_each_by_name(aer: Driver) -> None:
    bare = aer.under(Conditions(level="kerneled"))  # which has no more of them
    assert bare.under(USUAL) is bare
    asked = Conditions("kerneled", True, 0.0, given(models()["local"]).errors)
    with pytest.raises(DriverError) as caught:
        bare.under(asked)
    for words in ("'kerneled'", "init_qubits = false", "simulator.noise_model"):
        assert words in str(caught.value)


def test_more_joined_qubits_than_can_be_simulated_as_a_chain_are_refused(aer: Driver) -> None:
    circuit = QuantumCircuit(11)
    circuit.h(0)
    for qubit in range(10):
        circuit.cx(qubit, qubit + 1)
    circuit.measure_all()
    with pytest.raises(DriverError, match=r"sets of up to 10 qubits .* here 11 are joined"):
        carried(aer).compile(circuit)
    lagos = load_driver("lagos", "fake", {"backend": "FakeLagosV2"})
    with pytest.raises(DriverError, match=r"sets of up to 6 qubits .* here 7 are joined"):
        carried(lagos).compile(ghz(lagos, 7))
    apart = QuantumCircuit(20)
    apart.x(range(20))
    apart.measure_all()
    assert run(carried(aer), apart, 2)[0].mean(axis=1).tolist() == [1.0, 0.0]
