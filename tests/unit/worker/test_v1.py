"""V1 of the primitives: what clients up to 0.27 send, transpiled here and mitigated at its default level."""

from __future__ import annotations

import inspect
import json
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from qiskit.circuit import Gate, Parameter, ParameterVector, QuantumCircuit
from qiskit.circuit.library import PauliEvolutionGate, UnitaryGate
from qiskit.quantum_info import QubitSparsePauli, SparsePauliOp, Statevector
from qiskit.synthesis import LieTrotter

from sojourn.devices.bits import num_bytes
from sojourn.devices.driver import Outcome
from sojourn.worker.host import DeviceHost
from sojourn.worker.programs.v1 import expansion, readout
from sojourn.worker.programs.v1.fitting import Fitter
from sojourn.worker.programs.v1.sampler import SAMPLER
from sojourn.worker.protocol.types import Completed, Failed, JobRefused
from tests.harness.v1 import decoded, estimator_body, operator, parameter, sampler_body


def run(host: DeviceHost, program: str, params: bytes) -> tuple[Any, list[dict[str, Any]]]:
    host.prepare(program, params)
    outcome = host.run(program, params)
    assert isinstance(outcome, Completed), outcome.detail if isinstance(outcome, Failed) else outcome
    return decoded(outcome.result)


def refusal(host: DeviceHost, program: str, params: bytes) -> str:
    with pytest.raises(JobRefused) as caught:
        host.prepare(program, params)
    outcome = host.run(program, params)
    assert isinstance(outcome, Failed)
    assert outcome.reason == caught.value.message
    return caught.value.message


def bell() -> QuantumCircuit:
    circuit = QuantumCircuit(2, metadata={"name": "bell"})
    circuit.h(0)
    circuit.cx(0, 1)
    circuit.measure_all()
    return circuit


def excited(qubits: int, measured: bool = True) -> QuantumCircuit:
    circuit = QuantumCircuit(qubits)
    circuit.x(range(qubits))
    if measured:
        circuit.measure_all()
    return circuit


# The sampler


@pytest.mark.parametrize("level", [0, 1])
def test_the_sampler_transpiles_and_gives_a_distribution_over_bit_strings(
    aer: DeviceHost, level: int
) -> None:
    quasi, metadata = run(aer, "sampler", sampler_body([bell()], level=level))
    assert quasi[0] == pytest.approx({0: 0.5, 3: 0.5}, abs=0.05)
    assert sum(quasi[0].values()) == pytest.approx(1)
    assert metadata[0]["shots"] == 4000
    assert metadata[0]["circuit_metadata"] == {"name": "bell"}
    assert ("readout_mitigation_overhead" in metadata[0]) == (level == 1)


def test_keys_are_as_long_as_the_circuit_has_bits(aer: DeviceHost) -> None:
    circuit = QuantumCircuit(2, 5)
    circuit.x(1)
    circuit.measure([0, 1], [0, 3])
    aer.prepare("sampler", sampler_body([circuit]))
    outcome = aer.run("sampler", sampler_body([circuit]))
    assert isinstance(outcome, Completed)
    assert json.loads(outcome.result)["quasi_dists"] == [{"01000": pytest.approx(1.0)}]


def test_level_1_of_the_sampler_undoes_reading_errors(manila: DeviceHost) -> None:
    """Five excited qubits of a device that misreads some of them in several percent of the shots."""
    right = 2**5 - 1
    found = {}
    for level in (0, 1):
        quasi, metadata = run(manila, "sampler", sampler_body([excited(5)], level=level))
        found[level] = quasi[0][right]
    assert found[0] < 0.9
    assert found[1] == pytest.approx(1, abs=0.03)
    assert metadata[0]["readout_mitigation_overhead"] > 1
    assert metadata[0]["readout_mitigation_shots_calibration"] == 8192


def test_level_1_is_what_a_job_gets_that_says_nothing(manila: DeviceHost) -> None:
    params = json.loads(sampler_body([bell()]))
    bare = {"circuits": params["circuits"]}
    _, metadata = run(manila, "sampler", json.dumps(bare).encode())
    assert metadata[0]["shots"] == 4000
    assert "readout_mitigation_overhead" in metadata[0]


def test_a_device_with_random_results_has_nothing_to_mitigate(mock: DeviceHost) -> None:
    quasi, metadata = run(mock, "sampler", sampler_body([bell()]))
    assert sum(quasi[0].values()) == pytest.approx(1)
    assert len(metadata[0]["readout_mitigation_left_out"]) == 2


def test_a_job_with_a_seed_repeats_itself(manila: DeviceHost) -> None:
    params = sampler_body([bell()], run={"seed_simulator": 11, "shots": 500})
    assert run(manila, "sampler", params)[0] == run(manila, "sampler", params)[0]


def test_distributions_are_solved_for_with_the_same_answer_in_parts() -> None:
    """More different outcomes than are solved for at once: the shots are split, and the parts averaged."""
    rng = np.random.default_rng(3)
    bits, shots = 14, 6000
    truth = np.zeros((shots, bits), dtype=np.uint8)
    truth[: shots // 2] = 1
    rates = rng.uniform(0.01, 0.1, size=(bits, 2))
    flipped = rng.random((shots, bits)) < np.where(truth == 1, rates[:, 1], rates[:, 0])
    read = truth ^ flipped
    packed = np.packbits(np.pad(read[:, ::-1], ((0, 0), (8 * num_bytes(bits) - bits, 0))), axis=1)
    patterns, counts = np.unique(packed, axis=0, return_counts=True)
    outcome = Outcome(patterns, counts)
    found, overhead = readout.corrected(outcome, bits, rates)
    ones = np.flatnonzero((readout.table(patterns, bits) == 1).all(axis=1))
    zeros = np.flatnonzero((readout.table(patterns, bits) == 0).all(axis=1))
    assert found.sum() == pytest.approx(1)
    assert found[ones] == pytest.approx([0.5], abs=0.1)
    assert found[zeros] == pytest.approx([0.5], abs=0.1)
    assert counts[ones] / shots < 0.4
    assert overhead > 1
    saved, readout.BATCH = readout.BATCH, 1000
    try:
        parts, _ = readout.corrected(outcome, bits, rates)
    finally:
        readout.BATCH = saved
    assert parts.sum() == pytest.approx(1)
    assert parts[ones] == pytest.approx(found[ones], abs=0.1)


# The estimator


@pytest.mark.parametrize("level", [0, 1])
def test_the_estimator_gives_values_on_the_qubits_of_the_circuit_that_came(
    manila: DeviceHost, level: int
) -> None:
    """The device is a line, and the circuit couples its ends: qubits end elsewhere than they begin."""
    circuit = QuantumCircuit(5)
    angles = [0.3, 0.9, 1.4, 2.0, 2.6]
    for qubit, angle in enumerate(angles):
        circuit.ry(angle, qubit)
    circuit.cx(0, 4)
    circuit.cx(4, 2)
    observables = [SparsePauliOp(label) for label in ("IIIIZ", "ZIIII", "IIZII", "IXIII", "ZIZIZ")]
    exact = [float(Statevector(circuit).expectation_value(each).real) for each in observables]
    params = estimator_body([circuit] * 5, observables, level=level)
    values, metadata = run(manila, "estimator", params)
    assert values == pytest.approx(exact, abs=0.12 if level else 0.25)
    assert metadata[0]["shots"] == 4000
    assert metadata[0]["variance"] >= 0
    assert metadata[0].get("readout_mitigation_num_twirled_circuits") == (16 if level else None)


def test_level_1_of_the_estimator_undoes_reading_errors(manila: DeviceHost) -> None:
    observable = SparsePauliOp("ZZZZZ")
    found = {}
    for level in (0, 1):
        params = estimator_body([excited(5, measured=False)], [observable], level=level)
        values, metadata = run(manila, "estimator", params)
        found[level] = float(values[0])
    assert found[0] > -0.85
    assert found[1] == pytest.approx(-1, abs=0.06)
    assert metadata[0]["variance"] > 1 - found[1] ** 2


@pytest.mark.parametrize("level", [0, 1])
def test_observables_have_weights_and_the_identity_is_exact(aer: DeviceHost, level: int) -> None:
    circuit = QuantumCircuit(2)
    circuit.ry(Parameter("t"), 0)
    circuit.cx(0, 1)
    observable = SparsePauliOp(["II", "ZI", "XX", "ZI"], [-1.5, 0.25, 2.0, 0.25])
    angles = [0.0, 0.8, math.pi / 2]
    expected = [-1.5 + 0.5 * math.cos(t) + 2 * math.sin(t) for t in angles]
    params = estimator_body([circuit] * 3, [observable] * 3, [[t] for t in angles], level=level)
    values, metadata = run(aer, "estimator", params)
    assert values == pytest.approx(expected, abs=0.15)
    assert len(metadata) == 3
    constant = estimator_body([circuit], [SparsePauliOp("II", [3.0])], [[0.1]], level=level)
    assert run(aer, "estimator", constant)[0] == pytest.approx([3.0])


def test_a_random_device_answers_in_shape(mock: DeviceHost) -> None:
    values, metadata = run(
        mock, "estimator", estimator_body([excited(2, measured=False)], [SparsePauliOp("ZZ")])
    )
    assert values.shape == (1,)
    assert np.isfinite(values).all()
    assert metadata[0]["readout_mitigation_terms_left_out"] == 1


# Points


def test_values_go_to_the_parameters_that_the_client_names(aer: DeviceHost) -> None:
    """Vectors of more than ten angles are ordered by their index and not by their name."""
    vector = ParameterVector("θ", 12)
    circuit = QuantumCircuit(12, 12)
    for qubit in range(12):
        circuit.rx(vector[qubit], qubit)
    circuit.measure(range(12), range(12))
    wanted = 0b100000000110
    values = [math.pi * (wanted >> i & 1) for i in range(12)]
    quasi, _ = run(aer, "sampler", sampler_body([circuit], [values]))
    assert quasi[0] == pytest.approx({wanted: 1.0})
    turned = [parameter(p) for p in reversed(list(circuit.parameters))]
    quasi, _ = run(aer, "sampler", sampler_body([circuit], [values[::-1]], parameters=[turned]))
    assert quasi[0] == pytest.approx({wanted: 1.0})


def test_an_angle_that_the_transpiler_removes_may_still_have_a_value(aer: DeviceHost) -> None:
    circuit = QuantumCircuit(1, 1)
    circuit.rx(Parameter("b"), 0)
    circuit.rz(Parameter("a"), 0)  # without effect before a measurement
    circuit.measure(0, 0)
    params = sampler_body([circuit], [[1.0, math.pi]], transpilation={"optimization_settings": {"level": 3}})
    assert run(aer, "sampler", params)[0][0] == pytest.approx({1: 1.0})


def test_indices_pick_circuits_and_observables_in_any_order(aer: DeviceHost) -> None:
    circuits = [excited(1, measured=False), QuantumCircuit(1)]
    observables = [SparsePauliOp("Z"), SparsePauliOp("X")]
    params = estimator_body(
        circuits,
        observables,
        [[]] * 3,
        circuit_indices=[1, 0, 0],
        observable_indices=[0, 0, 1],
        parameter_values=[[], [], []],
    )
    assert run(aer, "estimator", params)[0] == pytest.approx([1, -1, 0], abs=0.1)


# Transpilation


def test_a_layout_is_honoured(manila: DeviceHost) -> None:
    device = manila._device
    params = sampler_body([bell()], transpilation={"initial_layout": [3, 4], "layout_method": "trivial"})
    assert Fitter(device, SAMPLER.open(device, params)).circuit(0).places == (3, 4)
    message = refusal(manila, "sampler", sampler_body([bell()], transpilation={"initial_layout": [3]}))
    assert "initial_layout places 1" in message
    message = refusal(manila, "sampler", sampler_body([bell()], transpilation={"initial_layout": [3, 9]}))
    assert "up to qubit 9 of the 5" in message


def test_without_transpilation_a_circuit_must_fit_as_it_is(manila: DeviceHost) -> None:
    skip = {"skip_transpilation": True}
    message = refusal(manila, "sampler", sampler_body([bell()], transpilation=skip))
    assert "h on qubits (0,) is not an instruction of ibm_manila" in message
    native = QuantumCircuit(2, 2)
    native.x(1)
    native.measure([0, 1], [0, 1])
    quasi, _ = run(manila, "sampler", sampler_body([native], transpilation=skip))
    assert quasi[0][2] == pytest.approx(1, abs=0.05)


def nested(depth: int) -> QuantumCircuit:
    """Two to the power of `depth` gates in a file of some kilobytes."""
    inner = QuantumCircuit(1, name="level0")
    inner.x(0)
    for number in range(1, depth + 1):
        outer = QuantumCircuit(1, name=f"level{number}")
        gate = inner.to_gate()
        outer.append(gate, [0])
        outer.append(gate, [0])
        inner = outer
    circuit = QuantumCircuit(1, 1)
    circuit.append(inner.to_gate(), [0])
    circuit.measure(0, 0)
    return circuit


def evolved() -> QuantumCircuit:
    circuit = QuantumCircuit(2, 2)
    gate = PauliEvolutionGate(SparsePauliOp(["XX", "ZZ"]), time=1.0, synthesis=LieTrotter(reps=10**7))
    circuit.append(gate, [0, 1])
    return circuit


def matrix() -> QuantumCircuit:
    circuit = QuantumCircuit(7, 1)
    circuit.append(UnitaryGate(np.eye(2**7)), range(7))
    return circuit


def opaque() -> QuantumCircuit:
    circuit = QuantumCircuit(1, 1)
    circuit.append(Gate("mystery", 1, []), [0])
    return circuit


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (evolved, "with all definitions written out; the limit"),
        (matrix, "the limit for circuits that the server transpiles is 4096"),
        (opaque, "cannot be transpiled for aer"),
        (lambda: QuantumCircuit(13, 1), "has 13 qubits, aer has 12"),
    ],
)
def test_what_cannot_be_transpiled_within_bounds_is_refused(
    aer: DeviceHost, make: Callable[[], QuantumCircuit], words: str
) -> None:
    message = refusal(aer, "sampler", sampler_body([make()]))
    assert message.startswith("circuits[0]")
    assert words in message


def test_definitions_that_are_written_out_run(aer: DeviceHost) -> None:
    quasi, _ = run(aer, "sampler", sampler_body([nested(3)]))
    assert quasi[0] == pytest.approx({0: 1.0})


# Refusals


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"resilience_settings": {"level": 2}}, "params.resilience_settings.level = 2 is not honoured"),
        ({"resilience_settings": {"levle": 1}}, "params.resilience_settings.levle = 1 is not an option"),
        ({"run_options": {"shots": 0}}, "params.run_options.shots = 0 is not honoured"),
        ({"run_options": {"shots": 10**9}}, "the limit of aer is 1000000"),
        ({"run_options": {"init_qubits": False}}, "params.run_options.init_qubits = False"),
        ({"run_options": {"noise_model": {"a": 1}}}, "params.run_options.noise_model"),
        ({"run_options": 3}, "params.run_options = 3 is not an option"),
        (
            {"transpilation_settings": {"coupling_map": [[0, 100]]}},
            "params.transpilation_settings.coupling_map has the pair [0, 100]",
        ),
        (
            {"transpilation_settings": {"routing_method": "stochastic"}},
            "allowed is basic, lookahead, sabre or none",
        ),
        (
            {"transpilation_settings": {"initial_layout": [0, 0]}},
            "params.transpilation_settings.initial_layout",
        ),
        (
            {"transpilation_settings": {"optimization_settings": {"level": 4}}},
            "optimization_settings.level = 4",
        ),
        ({"transpilation_settings": {"timing_constraints": {"a": 1}}}, "timing_constraints"),
        ({"seed": 1}, "params.seed is not a member that the sampler (V1) knows"),
        ({"circuits": []}, "params.circuits is empty"),
        ({"circuits": [3]}, "circuits[0] must be of type QuantumCircuit"),
        (
            {"circuit_indices": [1]},
            "params.circuit_indices is [1]; it must be a list of integers from 0 to 0",
        ),
        ({"circuit_indices": [True]}, "params.circuit_indices is [True]"),
        ({"circuit_indices": []}, "params.circuit_indices has 0 entries"),
        ({"parameter_values": [[], []]}, "params.parameter_values has 2 entries"),
        ({"parameter_values": [[1.0]]}, "parameter_values[0] has 1 values; the circuit has 0 parameters"),
        ({"parameter_values": [[[1.0]]]}, "parameter_values[0] must be a list of numbers"),
        ({"parameter_values": ["a"]}, "parameter_values[0]"),
        ({"parameters": [[], []]}, "params.parameters has 2 entries"),
        (
            {"parameters": [[{"__type__": "Parameter", "__value__": "AA=="}]]},
            "not a parameter as the client writes",
        ),
        ({"parameters": [[parameter(Parameter("t"))]]}, "params.parameters names ['t']"),
        ({"circuits": [QuantumCircuit(1)]}, "circuits[0] has no classical bits"),
    ],
)
def test_what_is_wrong_is_named(aer: DeviceHost, changed: dict[str, Any], words: str) -> None:
    sections = ("transpilation_settings", "resilience_settings", "run_options")
    given = changed.get("circuits", [])
    real = bool(given) and isinstance(given[0], QuantumCircuit)
    plain = json.loads(sampler_body(given if real else [bell()]))
    for name, value in changed.items():
        if name in sections and isinstance(value, dict):
            plain[name] = plain[name] | value
        elif name != "circuits" or not real:
            plain[name] = value
    assert words in refusal(aer, "sampler", json.dumps(plain).encode())


def pauli(labels: list[str], coefficients: Any) -> dict[str, Any]:
    made = operator(SparsePauliOp("Z"))
    made["__value__"] = {
        "data": made["__value__"]["data"] | {"__value__": {"data": labels}},
        "coeffs": coefficients,
    }
    return made


@pytest.mark.parametrize(
    ("observable", "words"),
    [
        (
            {"__type__": "settings", "__class__": "Popen", "__value__": {}},
            "observables[0] is of the class 'Popen'",
        ),
        (
            {"__type__": "Instruction", "__value__": ""},
            "observables[0] must be an operator as the client writes it",
        ),
        (pauli(["Q"], [1.0]), "'Q' is not a Pauli label"),
        (pauli(["Z", "ZZ"], [1.0, 1.0]), "Pauli labels of different lengths"),
        (pauli(["Z"], [1.0, 2.0]), "1 Pauli labels and 2 coefficients"),
        (
            pauli(["Z"], [{"__type__": "complex", "__value__": [0, 1]}]),
            "coefficients must be finite and real",
        ),
        (pauli(["Z"], ["x"]), "coeffs has 'x', which is not a number"),
        (pauli(["ZZ"], [1.0]), "the observable acts on 2 qubits, the circuit has 1"),
        (pauli([], []), "an observable without terms"),
    ],
)
def test_observables_are_data_and_checked(aer: DeviceHost, observable: Any, words: str) -> None:
    params = estimator_body([excited(1, measured=False)], [SparsePauliOp("Z")], observables=[observable])
    assert words in refusal(aer, "estimator", params)


def test_control_flow_runs_without_readout_mitigation_of_the_estimator(aer: DeviceHost) -> None:
    circuit = QuantumCircuit(2, 1)
    circuit.x(0)
    circuit.measure(0, 0)
    with circuit.if_test((circuit.clbits[0], 1)):
        circuit.x(1)
    observable = SparsePauliOp("ZI")
    assert "has control flow" in refusal(aer, "estimator", estimator_body([circuit], [observable]))
    values, _ = run(aer, "estimator", estimator_body([circuit], [observable], level=0))
    assert values == pytest.approx([-1.0])


def test_a_later_version_with_circuits_is_no_v1_job(aer: DeviceHost) -> None:
    message = refusal(aer, "sampler", sampler_body([bell()], version=2))
    assert "params.circuits is not a member that the sampler knows" in message
    run(aer, "sampler", sampler_body([bell()], version=1))


def test_solutions_of_the_sampler_are_bounded_at_submit(aer: DeviceHost) -> None:
    circuit = QuantumCircuit(12)
    circuit.h(range(12))
    circuit.measure_all()
    count = 21
    params = sampler_body([circuit], [[]] * count, circuit_indices=[0] * count, run={"shots": 1_000_000})
    message = refusal(aer, "sampler", params)
    assert "limit is 10000" in message
    assert "resilience_settings.level to 0" in message


def test_what_is_taken_of_the_mitigation_package_is_there() -> None:
    from qiskit_mitigation.trex import TREX

    assert list(inspect.signature(TREX.calculate_trex_factor).parameters) == ["noise_data", "observable_term"]
    wrong = np.zeros((2, 50, 3), dtype=bool)
    wrong[0, :10, 1] = True
    factor = TREX.calculate_trex_factor(wrong, QubitSparsePauli(("ZZ", (0, 1)), num_qubits=3))
    assert factor == pytest.approx(1 / (1 - 2 * 0.1))


def test_gates_that_are_defined_by_gates_count_in_full(
    aer: DeviceHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(expansion, "MAX_INSTRUCTIONS", 50)
    assert "stand for 64 instructions" in refusal(aer, "sampler", sampler_body([nested(6)]))
