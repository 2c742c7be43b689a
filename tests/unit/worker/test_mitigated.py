"""Sampler and estimator jobs with suppression and mitigation, as the real client encodes and decodes them."""

from __future__ import annotations

import importlib.util
import math
import sys
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
from qiskit import QuantumCircuit, transpile
from qiskit.circuit import Parameter
from qiskit.quantum_info import PauliList, SparsePauliOp
from qiskit_ibm_runtime.results import LayerError, NoiseLearnerResult, PauliLindbladError

from sojourn.worker.host import DeviceHost
from sojourn.worker.protocol.types import DeviceSpec, JobRefused
from tests.unit.worker.conftest import body, estimator_body, result, sampler_body

ANGLES = np.array([[0.4], [1.5], [3.0]])
LEARNS = importlib.util.find_spec("qiskit_noise_learning") is not None


def rotated(measured: bool = True) -> QuantumCircuit:
    """cos(t/2)|00> + sin(t/2)|11>."""
    circuit = QuantumCircuit(2, 2 if measured else 0)
    circuit.ry(Parameter("t"), 0)
    circuit.cx(0, 1)
    if measured:
        circuit.measure([0, 1], [0, 1])
    return circuit


def native(circuit: QuantumCircuit, host: DeviceHost) -> QuantumCircuit:
    """The circuit on the first qubits of the device, in its gates."""
    return transpile(circuit, target=host._device.target, seed_transpiler=1, optimization_level=1)


def ones(data: Any, index: int) -> float:
    bits = data[index].slice_bits([0])
    return float(bits.get_counts().get("1", 0) / bits.num_shots)


def refusal(host: DeviceHost, program: str, params: bytes) -> str:
    with pytest.raises(JobRefused) as caught:
        host.prepare(program, params)
    return caught.value.message


TWIRLED = {"twirling": {"enable_gates": True, "enable_measure": True}}


def test_twirling_gives_as_many_shots_as_were_asked_for(aer: DeviceHost) -> None:
    params = sampler_body([(rotated(), ANGLES, 100)], TWIRLED)
    found = result(aer, "sampler", params)
    data = found[0].data.c
    assert data.shape == (3,)
    assert data.num_shots == 100  # of 128, two randomisations of 64
    assert set(data[1].get_counts()) <= {"00", "11"}
    assert found[0].metadata["num_randomizations"] == 2
    assert found[0].metadata["shots"] == 100
    assert found.metadata["twirling"]["enable_gates"] is True
    assert found.metadata["dynamical_decoupling"] == {"enable": False}
    spans = found.metadata["execution"]["execution_spans"]
    assert spans[0].mask(0).shape == (3, 100)
    for index, angle in enumerate(ANGLES[:, 0]):
        assert ones(data, index) == pytest.approx(math.sin(angle / 2) ** 2, abs=0.25)


def test_pubs_of_different_shots_and_circuits_come_back_in_their_order(aer: DeviceHost) -> None:
    flipped = QuantumCircuit(3, 1)
    flipped.x(2)
    flipped.measure(2, 0)
    pubs = [(rotated(), [0.0], 64), (flipped, None, 200), (rotated(), [math.pi], 64)]
    found = result(aer, "sampler", sampler_body(pubs, TWIRLED))
    counts = [found[i].data.c.get_counts() for i in range(3)]
    assert counts == [{"00": 64}, {"1": 200}, {"11": 64}]


@pytest.mark.parametrize("strategy", ["active", "active-accum", "active-circuit", "all"])
def test_every_strategy_leaves_what_is_measured(manila: DeviceHost, strategy: str) -> None:
    isa = native(rotated(), manila)
    options = {"twirling": {**TWIRLED["twirling"], "strategy": strategy}}
    found = result(manila, "sampler", sampler_body([(isa, ANGLES, 2000)], options))
    assert found.metadata["twirling"]["strategy"] == strategy
    for index, angle in enumerate(ANGLES[:, 0]):
        assert ones(found[0].data.c, index) == pytest.approx(math.sin(angle / 2) ** 2, abs=0.1)


@pytest.mark.parametrize("sequence", ["XX", "XpXm", "XY4"])
@pytest.mark.parametrize("twirled", [False, True])
def test_decoupling_leaves_what_is_measured(torino: DeviceHost, sequence: str, twirled: bool) -> None:
    isa = native(rotated(), torino)
    options: dict[str, Any] = {"dynamical_decoupling": {"enable": True, "sequence_type": sequence}}
    if twirled:
        options |= TWIRLED
    plain = result(torino, "sampler", sampler_body([(isa, ANGLES, 4000)]))[0].data.c
    found = result(torino, "sampler", sampler_body([(isa, ANGLES, 1000)], options))
    assert found[0].data.c.num_shots == 1000
    assert found.metadata["dynamical_decoupling"]["sequence_type"] == sequence
    assert ("num_randomizations" in found[0].metadata) == twirled
    for index in range(len(ANGLES)):
        assert ones(found[0].data.c, index) == pytest.approx(ones(plain, index), abs=0.1)


def test_decoupling_fills_idle_time_with_pulses(torino: DeviceHost) -> None:
    """Seen in the circuit that is run: the pulses are the device's own."""
    from sojourn.worker.programs import registry

    waits = QuantumCircuit(2, 2)
    for _ in range(20):
        waits.sx(1)
    waits.barrier()
    waits.measure([0, 1], [0, 1])
    isa = transpile(waits, target=torino._device.target, initial_layout=[3, 4], optimization_level=0)
    plan = registry.find("sampler").plan(
        torino._device, sampler_body([(isa, None, 10)], {"dynamical_decoupling": {"enable": True}})
    )
    (item,) = plan._stage._items  # type: ignore[attr-defined]
    made = item.circuit.circuit
    place = {qubit: index for index, qubit in enumerate(made.qubits)}
    pulses = [place[i.qubits[0]] for i in made.data if i.operation.name == "x"]
    assert sorted(set(pulses)) == [3]
    assert len(pulses) == 2
    assert made.num_qubits == isa.num_qubits


def test_decoupling_needs_durations(aer: DeviceHost) -> None:
    message = refusal(
        aer, "sampler", sampler_body([(rotated(), ANGLES, 10)], {"dynamical_decoupling": {"enable": True}})
    )
    assert "options.dynamical_decoupling.enable = True: aer has no durations of gates" in message


def flipped() -> QuantumCircuit:
    """|11> on qubits whose readout is known to be bad."""
    circuit = QuantumCircuit(2)
    circuit.x([0, 1])
    return circuit


def test_trex_removes_a_large_readout_error(manila: DeviceHost) -> None:
    isa = native(flipped(), manila)
    observable = SparsePauliOp(["IZ", "ZZ"], [1.0, 0.5]).apply_layout(isa.layout)
    pub = (isa, observable, None, 0.005)
    seeds = {"seed_estimator": 5}
    raw = result(manila, "estimator", estimator_body([pub], seeds))[0]
    found = result(manila, "estimator", estimator_body([pub], seeds, resilience_level=1))
    mitigated = found[0]
    ideal = -0.5
    assert abs(raw.data.evs - ideal) > 0.02
    assert abs(mitigated.data.evs - ideal) < 0.01
    assert abs(mitigated.data.evs - ideal) < abs(raw.data.evs - ideal) / 3
    assert found.metadata["resilience"] == {
        "measure_mitigation": True,
        "zne_mitigation": False,
        "pec_mitigation": False,
    }
    assert found.metadata["twirling"]["enable_measure"] is True
    assert mitigated.metadata["num_randomizations"] == 32
    assert mitigated.metadata["target_precision"] == 0.005
    assert set(mitigated.data) == {"evs", "stds", "ensemble_standard_error"}


def deep(layers: int = 6) -> QuantumCircuit:
    """A Bell pair behind pairs of CX that cancel each other, and none that a compiler would leave out."""
    circuit = QuantumCircuit(2)
    circuit.h(0)
    circuit.cx(0, 1)
    for _ in range(layers):
        circuit.barrier()
        circuit.cx(0, 1)
        circuit.barrier()
        circuit.cx(0, 1)
    return circuit


def test_level_2_is_nearer_to_the_truth_than_level_1_and_0(manila: DeviceHost) -> None:
    isa = native(deep(), manila)
    observable = SparsePauliOp("ZZ").apply_layout(isa.layout)
    errors = []
    for level in range(3):
        params = estimator_body(
            [(isa, observable, None, 0.005)], {"seed_estimator": 3}, resilience_level=level
        )
        errors.append(abs(float(result(manila, "estimator", params)[0].data.evs) - 1.0))
    assert errors[0] > errors[1] > errors[2]
    assert errors[2] < 0.04


def test_extrapolation_shows_its_data(manila: DeviceHost) -> None:
    isa = native(deep(1), manila)
    observables = [SparsePauliOp(name).apply_layout(isa.layout) for name in ("ZZ", "XX")]
    options = {
        "resilience": {
            "zne_mitigation": True,
            "zne": {"noise_factors": [1, 3, 5, 7], "extrapolator": ["linear", "polynomial_degree_2"]},
        }
    }
    found = result(manila, "estimator", estimator_body([(isa, observables, None, 0.02)], options))
    data = found[0].data
    assert data.evs.shape == (2,)
    assert data.evs_noise_factors.shape == data.stds_noise_factors.shape == (2, 4)
    assert data.ensemble_stds_noise_factors.shape == (2, 4)
    assert data.evs_extrapolated.shape == data.stds_extrapolated.shape == (2, 2, 5)
    assert np.all(np.diff(data.evs_noise_factors[0]) < 0.02)
    names = {"linear", "polynomial_degree_2"}
    assert set(found[0].metadata["resilience"]["zne"]["extrapolator"]) <= names
    assert found.metadata["resilience"]["zne"]["noise_factors"] == [1, 3, 5, 7]
    assert found.metadata["twirling"] == {"enable_gates": False, "enable_measure": False}


@pytest.mark.parametrize(
    ("values", "observables"),
    [((), ()), ((3,), ()), ((), (2,)), ((3,), (3,)), ((3, 1), (2,)), ((2, 1, 3), (4, 1))],
)
@pytest.mark.parametrize("level", [1, 2])
def test_results_broadcast_as_they_do_without_mitigation(
    aer: DeviceHost, values: tuple[int, ...], observables: tuple[int, ...], level: int
) -> None:
    random = np.random.default_rng(1)
    angles = random.random((*values, 1)) * 3
    operators = np.empty(observables, dtype=object)
    for index in np.ndindex(observables):
        operators[index] = {"ZI": float(random.random()), "XX": 0.5}
    pub = (rotated(False), operators.tolist() if observables else operators.item(), angles, 0.05)
    plain = result(aer, "estimator", estimator_body([pub]))[0].data
    found = result(aer, "estimator", estimator_body([pub], resilience_level=level))[0].data
    assert found.evs.shape == plain.evs.shape == np.broadcast_shapes(values, observables)
    assert np.all(np.abs(found.evs - plain.evs) < (0.4 if level == 1 else 1.0))


def model(rate: float, qubits: tuple[int, int] = (0, 1)) -> list[LayerError]:
    """A bit flip of the first qubit behind each CX."""
    layer = QuantumCircuit(2)
    layer.cx(0, 1)
    return [LayerError(layer, qubits, PauliLindbladError(PauliList(["IX"]), [rate]))]


def fields(
    host: DeviceHost, options: Mapping[str, Any], observable: Any = "ZZ", precision: float = 0.01
) -> Any:
    """The result of a Bell pair."""
    params = estimator_body([(deep(0), observable, None, precision)], options)
    return result(host, "estimator", params)


def test_pec_cancels_the_noise_of_a_given_model(aer: DeviceHost) -> None:
    """On a device without noise it over-corrects by exactly what the model says."""
    rate = 0.05
    options = {
        "seed_estimator": 4,
        "resilience": {
            "pec_mitigation": True,
            "pec": {"noise_gain": 0},
            "layer_noise_model": model(rate),
        },
    }
    found = fields(aer, options, ["ZZ", "XX"])
    data = found[0].data
    assert data.evs[0] == pytest.approx(math.exp(2 * rate), abs=5 * data.stds[0] + 1e-3)
    assert data.evs[1] == pytest.approx(1.0, abs=5 * data.stds[1] + 1e-3)
    metadata = found[0].metadata
    assert metadata["resilience"]["pec"]["num_randomizations_scaling"] == pytest.approx(
        math.exp(4 * rate), rel=1e-6
    )
    assert metadata["resilience"]["layer_noise"]["unique_mitigated_layers"] == 1
    assert metadata["resilience"]["layer_noise"]["noise_overhead"] == pytest.approx(math.exp(4 * rate))
    assert metadata["num_randomizations"] == math.ceil(math.ceil(10_000 / 64) * math.exp(4 * rate))


def test_pea_amplifies_the_noise_of_a_given_model(aer: DeviceHost) -> None:
    rate = 0.1
    options = {
        "seed_estimator": 4,
        "resilience": {
            "zne_mitigation": True,
            "zne": {"amplifier": "pea", "extrapolator": "exponential", "noise_factors": [1, 2, 3]},
            "layer_noise_model": NoiseLearnerResult(model(rate)),
        },
        "twirling": {"num_randomizations": 1000, "shots_per_randomization": 40},
    }
    data = fields(aer, options, precision=0.005)[0].data
    assert data.evs_noise_factors == pytest.approx([math.exp(-2 * rate * n) for n in range(3)], abs=0.1)
    assert data.evs == pytest.approx(math.exp(2 * rate), abs=0.15)


def test_a_layer_that_the_model_lacks_is_not_mitigated_and_said(aer: DeviceHost) -> None:
    options = {
        "resilience": {"pec_mitigation": True, "layer_noise_model": model(0.3, (4, 5))},
        "seed_estimator": 1,
    }
    params = estimator_body([(deep(0), "ZZ", None, 0.05)], options)
    (warning,) = aer.prepare("estimator", params).warnings
    assert "layer_noise_model has no layer cx [0, 1]; its noise is not mitigated" in warning
    found = result(aer, "estimator", params)[0]
    assert found.data.evs == pytest.approx(1.0)
    assert found.metadata["num_randomizations"] == math.ceil(400 / 64)


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"__type__": "NoiseLearnerResult", "__value__": {}}, "it must be a NoiseLearnerResult, or a list"),
        (
            [{"__type__": "_json", "__class__": "QuantumCircuit", "__value__": {}}],
            "must be an encoded LayerError",
        ),
        ([5], "must be an encoded LayerError"),
        (
            [
                {
                    "__type__": "_json",
                    "__class__": "LayerError",
                    "__value__": {"circuit": QuantumCircuit(2), "qubits": [0]},
                }
            ],
            "qubits has 1 entries",
        ),
        (
            [
                {
                    "__type__": "_json",
                    "__class__": "LayerError",
                    "__value__": {
                        "circuit": QuantumCircuit(1),
                        "qubits": [0],
                        "error": {
                            "__class__": "PauliLindbladError",
                            "__value__": {
                                "generators": {"__class__": "PauliList", "__value__": {"data": ["XX"]}},
                                "rates": [0.1],
                            },
                        },
                    },
                }
            ],
            "'XX' is not a Pauli label of 1 letters",
        ),
    ],
)
def test_a_model_that_is_none_is_refused_by_its_place(aer: DeviceHost, given: Any, told: str) -> None:
    options = {"resilience": {"pec_mitigation": True, "layer_noise_model": given}}
    message = refusal(aer, "estimator", estimator_body([(deep(0), "ZZ")], options))
    assert "options.resilience.layer_noise_model" in message
    assert told in message


def test_without_a_model_the_package_that_learns_one_is_named(
    manila: DeviceHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    users = ("qiskit_noise_learning.", "qiskit_ibm_runtime.executor_noise_learner")  # that have it already
    for name in [name for name in sys.modules if name.startswith(users)]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "qiskit_noise_learning", None)  # an import of it fails
    isa = native(deep(0), manila)
    observable = SparsePauliOp("ZZ").apply_layout(isa.layout)
    options = {"resilience": {"pec_mitigation": True}}
    message = refusal(manila, "estimator", estimator_body([(isa, observable)], options))
    assert "qiskit_noise_learning" in message


@pytest.mark.skipif(not LEARNS, reason="needs qiskit-noise-learning")
def test_without_a_model_the_noise_is_learned_first(manila: DeviceHost) -> None:
    isa = native(deep(2), manila)
    observable = SparsePauliOp("ZZ").apply_layout(isa.layout)
    learning = {"num_randomizations": 16, "shots_per_randomization": 64, "layer_pair_depths": [0, 4, 16]}
    options = {
        "seed_estimator": 2,
        "resilience": {
            "measure_mitigation": True,
            "pec_mitigation": True,
            "layer_noise_learning": learning,
        },
    }
    params = estimator_body([(isa, observable, None, 0.02)], options)
    assert manila.prepare("estimator", params).num_circuits > 3 * 16
    found = result(manila, "estimator", params)
    data = found[0].data
    assert data.evs == pytest.approx(1.0, abs=5 * data.stds + 0.05)
    assert found.metadata["resilience"]["layer_noise_learning"]["learned_layers"] == 1
    assert found.metadata["resilience"]["layer_noise_learning"]["seconds"] > 0
    assert found[0].metadata["resilience"]["layer_noise"]["noise_overhead"] > 1


def test_a_job_without_layers_has_nothing_to_learn(aer: DeviceHost) -> None:
    alone = QuantumCircuit(1)
    alone.x(0)
    params = estimator_body([(alone, "Z", None, 0.1)], {"resilience": {"pec_mitigation": True}})
    assert result(aer, "estimator", params)[0].data.evs == pytest.approx(-1.0)


def test_a_seed_fixes_randomisations_and_shots(manila: DeviceHost) -> None:
    isa = native(deep(1), manila)
    observable = SparsePauliOp("XX").apply_layout(isa.layout)

    def evs(**options: Any) -> float:
        params = estimator_body([(isa, observable, None, 0.05)], options, resilience_level=2)
        return float(result(manila, "estimator", params)[0].data.evs)

    assert evs(seed_estimator=7) == evs(seed_estimator=7)
    assert evs(seed_estimator=7) != evs(seed_estimator=8)
    assert evs() != evs()


def test_the_iterations_of_a_session_use_what_is_prepared(aer: DeviceHost) -> None:
    """The second job differs in its values only: nothing is prepared anew, and its values are its own."""
    cache = aer._device._observables
    circuit = rotated(False)

    def evs(angle: float) -> float:
        params = estimator_body([(circuit, "ZI", [angle], 0.02)], resilience_level=1)
        return float(result(aer, "estimator", params)[0].data.evs)

    assert evs(0.0) == pytest.approx(1.0)
    misses = cache.misses
    assert evs(math.pi) == pytest.approx(-1.0)
    assert cache.misses == misses


def test_pubs_of_different_precision_and_width_come_back_in_their_order(aer: DeviceHost) -> None:
    one = QuantumCircuit(3)
    one.x(2)
    pubs = [(rotated(False), "ZZ", [0.3], 0.05), (one, "ZII", None, 0.1), (rotated(False), "XX", [0.0], 0.05)]
    found = result(aer, "estimator", estimator_body(pubs, resilience_level=1))
    assert [float(found[i].data.evs) for i in (0, 1)] == [1.0, -1.0]
    assert abs(found[2].data.evs) < 0.3
    assert [found[i].metadata["target_precision"] for i in range(3)] == [0.05, 0.1, 0.05]


def test_the_identity_is_exact(aer: DeviceHost) -> None:
    found = fields(aer, {"resilience": {"measure_mitigation": True}}, {"II": 2.0, "ZZ": 1.0}, 0.05)
    assert found[0].data.evs == pytest.approx(3.0)


@pytest.mark.parametrize("level", [1, 2])
def test_tiny_and_vanishing_observables_keep_their_size(aer: DeviceHost, level: int) -> None:
    observables = [{"ZZ": 3e-12, "II": 1e-12}, {"ZZ": 0.0}, {"ZZ": 1e20}]
    params = body([[deep(0), observables, None, 0.05]], resilience_level=level)
    data = result(aer, "estimator", params)[0].data
    assert data.evs == pytest.approx([4e-12, 0.0, 1e20], rel=1e-3, abs=1e-15)


def test_numbers_of_randomisations_are_what_is_run(aer: DeviceHost) -> None:
    twirling = {"enable_measure": True, "num_randomizations": 5, "shots_per_randomization": 30}
    params = sampler_body([(rotated(), [[1.0]])], {"twirling": twirling})
    assert aer.prepare("sampler", params).num_circuits == 5
    found = result(aer, "sampler", params)
    assert found[0].data.c.num_shots == 150
    assert found[0].metadata["num_randomizations"] == 5
    message = refusal(aer, "sampler", sampler_body([(rotated(), [[1.0]], 151)], {"twirling": twirling}))
    assert "pubs[0] asks for 151 shots" in message


def test_the_readout_is_learned_with_the_shots_that_were_asked_for(aer: DeviceHost) -> None:
    learning = {"num_randomizations": 6, "shots_per_randomization": 50}
    options = {"resilience": {"measure_mitigation": True, "measure_noise_learning": learning}}
    params = estimator_body([(deep(0), "ZZ", None, 0.1)], options)
    prepared = aer.prepare("estimator", params)
    assert prepared.executions == 2 * 64 + 6 * 50  # 100 shots: two randomisations of 64
    assert result(aer, "estimator", params)[0].data.evs == pytest.approx(1.0)


def test_the_default_level_is_the_devices() -> None:
    spec = DeviceSpec("ready", "aer", {"qubits": 3}, resilience_level=1)
    host = DeviceHost.load(spec)
    found = fields(host, {}, precision=0.05)
    assert found.metadata["resilience"]["measure_mitigation"] is True
    assert found.metadata["resilience_level"] == 1
    params = estimator_body([(deep(0), "ZZ", None, 0.05)], resilience_level=0)
    assert result(host, "estimator", params).metadata["resilience"]["measure_mitigation"] is False


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"twirling": {"enable_gates": True, "num_randomizations": 1_000_000}}, "limit"),
        (
            {
                "twirling": {
                    "enable_measure": True,
                    "num_randomizations": 10**6,
                    "shots_per_randomization": 10**6,
                }
            },
            "limit",
        ),
    ],
)
def test_too_much_is_refused_before_it_is_made(aer: DeviceHost, options: dict[str, Any], told: str) -> None:
    assert told in refusal(aer, "sampler", sampler_body([(rotated(), ANGLES)], options))


def test_a_pub_of_too_many_values_is_refused(aer: DeviceHost) -> None:
    params = estimator_body([(rotated(False), "ZZ", np.zeros((6000, 1)))], resilience_level=1)
    assert "pubs[0] has 6000 values (points x observables)" in refusal(aer, "estimator", params)


def test_folding_says_what_it_cannot_amplify(aer: DeviceHost) -> None:
    circuit = QuantumCircuit(2)
    circuit.rzz(0.3, 0, 1)
    options = {"seed_estimator": 1, "resilience": {"zne_mitigation": True, "zne": {"noise_factors": [1, 2]}}}
    warnings = aer.prepare("estimator", estimator_body([(circuit, "ZZ")], options)).warnings
    assert any("gate folding does not amplify the noise of rzz" in warning for warning in warnings)
    assert any("drawn at random, which the seed does not fix" in warning for warning in warnings)


def test_a_dynamic_circuit_cannot_be_decoupled_or_twirled(torino: DeviceHost) -> None:
    circuit = QuantumCircuit(2, 2)
    circuit.measure(0, 0)
    with circuit.if_test((0, 1)):
        circuit.x(1)
    circuit.measure(1, 1)
    twirled = refusal(torino, "sampler", sampler_body([(circuit,)], TWIRLED))
    assert "pubs[0]: the circuit has control flow, with which options.twirling" in twirled
    mitigated = estimator_body([(circuit, "ZZ")], resilience_level=1)
    assert "pubs[0]: the circuit has control flow" in refusal(torino, "estimator", mitigated)
    params = sampler_body([(circuit,)], {"dynamical_decoupling": {"enable": True}})
    assert "Dynamical decoupling is not compatible with dynamic circuits" in refusal(
        torino, "sampler", params
    )
