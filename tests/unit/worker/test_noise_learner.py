"""The program noise-learner, as the real client sends its jobs and decodes its results."""

from __future__ import annotations

import inspect
import json
import math
import sys
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from ibm_quantum_schemas.noise_learner_v2.version_0_1 import OptionsModel, ResultsModel
from ibm_quantum_schemas.noise_learner_v3 import version_0_1, version_0_2, version_0_3
from pydantic import BaseModel
from qiskit import QuantumCircuit
from qiskit.circuit import CircuitInstruction, Parameter
from qiskit_aer.noise import NoiseModel, pauli_error
from qiskit_ibm_runtime import RuntimeEncoder
from qiskit_ibm_runtime.decoders.noise_learner import NoiseLearnerResultDecoder
from qiskit_ibm_runtime.decoders.noise_learner_v3.decoder import NoiseLearnerV3ResultDecoder
from qiskit_ibm_runtime.noise_learner_v3.params_converters import NOISE_LEARNER_V3_PARAMS_CONVERTERS
from qiskit_ibm_runtime.options import NoiseLearnerOptions
from qiskit_ibm_runtime.options_models.noise_learner_v3 import NoiseLearnerV3Options
from qiskit_ibm_runtime.results import NoiseLearnerResult, NoiseLearnerV3Results
from qiskit_noise_learning.protocols import prepare_vanilla_program, process_vanilla_result
from samplomatic import Twirl

from sojourn.worker.host import DeviceHost
from sojourn.worker.programs.learning import experiments, settings
from sojourn.worker.programs.learning.layers import MAX_LAYERS, Layer
from sojourn.worker.programs.learning.program import NOISE_LEARNER
from sojourn.worker.programs.options import Settings
from sojourn.worker.protocol.types import Completed, DeviceSpec, Failed, JobRefused, Prepared
from tests.unit.worker import known_noise
from tests.unit.worker.known_noise import RATES, READOUT

Params = dict[str, Any]
QUICK: Params = {"num_randomizations": 4, "shots_per_randomization": 16, "layer_pair_depths": [0, 1, 2]}
SCHEMAS = {"v0.1": version_0_1, "v0.2": version_0_2, "v0.3": version_0_3}


def with_circuits(circuits: Sequence[QuantumCircuit], **options: Any) -> Params:
    """`params` as `NoiseLearner` sends them."""
    body = {"circuits": list(circuits), "options": {**options, "support_qiskit": True}}
    made: Params = json.loads(json.dumps(body, cls=RuntimeEncoder))
    return made


def with_boxes(boxes: Sequence[CircuitInstruction], version: str = "v0.3", **options: Any) -> Params:
    """`params` as `NoiseLearnerV3` sends them."""
    encoder = NOISE_LEARNER_V3_PARAMS_CONVERTERS[version].encoder
    made: Params = encoder(boxes, NoiseLearnerV3Options(**options)).model_dump(mode="json")
    return {**made, "version": 3}


def prepared(host: DeviceHost, params: Params) -> Prepared:
    return host.prepare("noise-learner", json.dumps(params).encode())


def text_of(host: DeviceHost, params: Params) -> str:
    outcome = host.run("noise-learner", json.dumps(params).encode())
    assert isinstance(outcome, Completed), outcome.detail if isinstance(outcome, Failed) else outcome
    assert len(outcome.result) <= prepared(host, params).result_bytes
    return outcome.result.decode()


def layers_of(host: DeviceHost, params: Params) -> NoiseLearnerResult:
    text = text_of(host, params)
    ResultsModel.model_validate_json(text)
    assert NoiseLearnerResultDecoder.is_applicable(text)
    return NoiseLearnerResultDecoder.decode(text)


def maps_of(host: DeviceHost, params: Params) -> NoiseLearnerV3Results:
    text = text_of(host, params)
    SCHEMAS[params["schema_version"]].NoiseLearnerV3ResultsModel.model_validate_json(text)
    return NoiseLearnerV3ResultDecoder.decode(text)


def refusal(host: DeviceHost, params: Params) -> str:
    with pytest.raises(JobRefused) as caught:
        prepared(host, params)
    return caught.value.message


def layered(width: int, *layers: Sequence[tuple[int, int]]) -> QuantumCircuit:
    """Layers of cz between barriers."""
    circuit = QuantumCircuit(width)
    for pairs in layers:
        circuit.sx(range(width))
        for pair in pairs:
            circuit.cz(*pair)
        circuit.barrier()
    return circuit


def box(width: int, *pairs: tuple[int, int], idle: Sequence[int] = ()) -> CircuitInstruction:
    circuit = QuantumCircuit(width)
    with circuit.box([Twirl()]):
        for pair in pairs:
            circuit.cz(*pair)
        circuit.noop(*idle)
    return circuit.data[0]


def readout(width: int, *qubits: int) -> CircuitInstruction:
    circuit = QuantumCircuit(width, len(qubits))
    with circuit.box([Twirl()]):
        circuit.measure(qubits, range(len(qubits)))
    return circuit.data[0]


@pytest.fixture(scope="module")
def known() -> DeviceHost:
    return known_noise.host(seed=11)


def test_the_learned_rates_are_those_of_the_device(known: DeviceHost) -> None:
    options: Params = {"shots_per_randomization": 256, "layer_pair_depths": [0, 4, 16]}
    found = maps_of(known, with_boxes([box(3, (0, 1))], **options))[0]
    errors = dict(zip(labels_of(found), found._rates_std, strict=True))
    rates = dict(zip(labels_of(found), found._rates, strict=True))
    assert len(rates) == 15
    for label, rate in rates.items():
        assert 0 <= errors[label] < 5e-4
        assert rate == pytest.approx(RATES.get(label, 0.0), abs=5 * errors[label] + 1e-4), label
    assert sum(rates.values()) == pytest.approx(sum(RATES.values()), rel=0.1)


def labels_of(found: Any) -> list[str]:
    """Letters in the order of the qubits."""
    labels = []
    for generator in found._generators:
        ((letters, qubits),) = generator.to_sparse_list()
        label = ["I"] * generator.num_qubits
        for letter, qubit in zip(letters, qubits, strict=True):
            label[qubit] = letter
        labels.append("".join(label))
    return labels


def test_the_readout_channel_is_that_of_the_device(known: DeviceHost) -> None:
    """A twirled readout errs as often in 0 as in 1: the mean of the two."""
    found = maps_of(known, with_boxes([readout(3, 1, 0, 2)], num_randomizations=64))[0]
    assert labels_of(found) == ["XII", "IXI", "IIX"]
    for qubit, (rate, error) in enumerate(zip(found._rates, found._rates_std, strict=True)):
        wrong = sum(READOUT[qubit]) / 2
        assert rate == pytest.approx(-math.log(1 - 2 * wrong) / 2, abs=5 * error + 1e-9)
        assert error < 0.01
    assert found.metadata["learning_protocol"] == "trex"
    assert found.metadata["post_selection"]["fraction_kept"] == 1.0


def test_a_layer_is_learned_on_idle_qubits_that_are_twirled_with_it(known: DeviceHost) -> None:
    found = maps_of(known, with_boxes([box(3, (0, 1), idle=[2])], **QUICK))[0]
    assert len(found) == 3 * 3 + 2 * 9
    assert found.to_pauli_lindblad_map().num_qubits == 3


@pytest.mark.parametrize("version", SCHEMAS)
def test_boxes_give_results_in_their_order_in_every_version(known: DeviceHost, version: str) -> None:
    boxes = [box(3, (1, 2)), readout(3, 0), box(3, (0, 1))]
    params = with_boxes(boxes, version, **QUICK)
    assert params["schema_version"] == version
    found = maps_of(known, params)
    assert [len(one) for one in found] == [15, 1, 15]
    kept = found[0].metadata["post_selection"]["fraction_kept"]
    assert kept == {0: 1.0, 1: 1.0, 2: 1.0}
    assert [one.metadata["learning_protocol"] for one in found] == ["lindblad", "trex", "lindblad"]


def test_layers_of_circuits_are_learned_by_how_often_they_occur(known: DeviceHost) -> None:
    one = layered(3, [(0, 1)], [(1, 2)])
    two = layered(3, [(1, 2)], [(1, 2)])
    params = with_circuits([one, two], twirling_strategy="active", **QUICK)
    found = layers_of(known, params)
    assert [layer.qubits for layer in found] == [[1, 2], [0, 1]]
    assert [layer.circuit.count_ops() for layer in found] == [{"cz": 1}, {"cz": 1}]
    assert [len(layer.error.rates) for layer in found] == [15, 15]
    assert found.metadata["backend"] == "known"
    assert found.metadata["input_options"] == {
        "max_layers_to_learn": 4,
        "twirling_strategy": "active",
        **QUICK,
    }
    params["options"]["max_layers_to_learn"] = 1
    assert [layer.qubits for layer in layers_of(known, params)] == [[1, 2]]
    assert prepared(known, params).warnings == (
        "1 of 2 different layers are learned, as max_layers_to_learn is 1",
    )
    params["options"]["max_layers_to_learn"] = None
    assert prepared(known, params).warnings == ()


@pytest.mark.parametrize(
    ("strategy", "expected"),
    [
        ("active", [[0, 1], [1, 2]]),
        ("active-accum", [[0, 1], [0, 1, 2]]),
        ("active-circuit", [[0, 1, 2], [0, 1, 2]]),
        ("all", [[0, 1, 2, 3], [0, 1, 2, 3]]),
    ],
)
def test_the_twirling_strategy_says_which_qubits_a_layer_has(
    aer: DeviceHost, strategy: str, expected: list[list[int]]
) -> None:
    circuit = layered(4, [(0, 1)], [(1, 2)])
    found = layers_of(aer, with_circuits([circuit], twirling_strategy=strategy, **QUICK))
    assert sorted(layer.qubits for layer in found) == expected


def test_an_ideal_device_has_no_noise(aer: DeviceHost) -> None:
    found = layers_of(aer, with_circuits([layered(2, [(0, 1)])], **QUICK))
    assert found[0].error.rates == pytest.approx(np.zeros(15), abs=1e-4)


def test_circuits_that_are_no_layers_of_clifford_gates_are_refused(aer: DeviceHost) -> None:
    turned = QuantumCircuit(2)
    turned.rzz(0.3, 0, 1)
    message = refusal(aer, with_circuits([turned]))
    assert "circuits[0] has rzz on qubits (0, 1), which is no Clifford gate" in message
    message = refusal(aer, with_circuits([conditional()]))
    assert "circuits[0] cannot be cut into layers" in message
    assert "if_else" in message


def test_a_seed_of_the_job_fixes_what_is_measured() -> None:
    host = DeviceHost.load(DeviceSpec("ibm_manila", "fake", {"backend": "FakeManilaV2"}))
    circuit = QuantumCircuit(5)
    circuit.cx(0, 1)
    params = with_circuits([circuit], simulator={"seed_simulator": 5}, **QUICK)
    one, two = (layers_of(host, params)[0].error.rates for _ in range(2))
    assert (one == two).all()
    assert one.sum() > 0


def test_a_device_with_random_results_answers_in_the_same_shape(mock: DeviceHost) -> None:
    params = with_circuits([layered(3, [(0, 1)])], twirling_strategy="active", **QUICK)
    (layer,) = layers_of(mock, params)
    assert layer.qubits == [0, 1]
    assert len(layer.error.rates) == 15
    assert (layer.error.rates >= 0).all()


def test_a_job_is_counted_before_it_runs(manila: DeviceHost) -> None:
    """By two circuits of the quantum program, which is made when it runs; both come to the same."""
    circuit = QuantumCircuit(5)
    circuit.cx(0, 1)
    params = with_circuits([circuit], **{**QUICK, "layer_pair_depths": [0, 3, 5]})
    one = prepared(manila, params)
    assert one.num_circuits == (9 * 3 + 1) * 4
    assert one.executions == one.num_circuits * 16
    assert one.num_qubits == 2
    (experiment,) = NOISE_LEARNER.plan(manila._device, json.dumps(params).encode())._experiments
    made = experiment.plan(manila._device).prepared
    assert (made.num_circuits, made.executions) == (one.num_circuits, one.executions)
    assert made.estimated_seconds == pytest.approx(one.estimated_seconds, rel=0.01)
    assert one.estimated_seconds > 0


def test_every_option_of_the_client_is_in_the_table() -> None:
    fields = {name for name in vars(NoiseLearnerOptions()) if not name.startswith("_")}
    known = {option.name for option in settings.CIRCUITS.all}
    assert fields - {"simulator", "environment"} <= known
    assert set(OptionsModel.model_fields) - {"simulator"} <= known
    for version in SCHEMAS.values():
        assert set(_leaves(version.OptionsModel)) <= {option.name for option in settings.INSTRUCTIONS.all}
    assert set(_leaves(version_0_3.OptionsModel)) == {option.name for option in settings.INSTRUCTIONS.all}


def _leaves(model: type[BaseModel], prefix: str = "") -> list[str]:
    names = []
    for name, field in model.model_fields.items():
        inner = field.annotation
        if inspect.isclass(inner) and issubclass(inner, BaseModel):
            names += _leaves(inner, f"{prefix}{name}.")
        else:
            names.append(prefix + name)
    return names


def test_the_library_has_what_is_taken_from_it() -> None:
    names = set(inspect.signature(prepare_vanilla_program).parameters)
    taken = ("num_randomizations", "shots_per_randomization", "fragment_depths")
    assert {"backend", "instructions", *taken} <= names
    assert next(iter(inspect.signature(process_vanilla_result).parameters)) == "result"


def test_without_the_library_a_job_is_refused_by_its_name(
    known: DeviceHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "qiskit_noise_learning.protocols", None)
    message = refusal(known, with_boxes([box(3, (0, 1))]))
    assert "has no qiskit_noise_learning" in message
    assert "ask the operator" in message


def changed(params: Params, *path: Any, to: Any) -> Params:
    inner: Any = params
    for step in path[:-1]:
        inner = inner[step]
    inner[path[-1]] = to
    return params


def plain() -> Params:
    return with_circuits([layered(3, [(0, 1)])], **QUICK)


def boxed() -> Params:
    return with_boxes([box(3, (0, 1))], **QUICK)


def unbound() -> QuantumCircuit:
    circuit = QuantumCircuit(3)
    circuit.rzz(Parameter("t"), 0, 1)
    return circuit


def conditional() -> QuantumCircuit:
    circuit = QuantumCircuit(3, 1)
    with circuit.if_test((circuit.clbits[0], 1)):
        circuit.cz(0, 1)
    return circuit


@pytest.mark.parametrize(
    ("params", "words"),
    [
        (changed(plain(), "circuits", to=[]), ["params.circuits is empty"]),
        (changed(plain(), "circuits", to=[7]), ["circuits[0]"]),
        (changed(plain(), "more", to=1), ["params.more"]),
        (changed(plain(), "version", to=3), ["params.version is 3", "2"]),
        ({"options": {}}, ["params.circuits is missing"]),
        (changed(plain(), "options", "num_randomizations", to=0), ["options.num_randomizations = 0"]),
        (changed(plain(), "options", "num_randomizations", to=10**9), ["executions", "100000000"]),
        (changed(plain(), "options", "num_randomizations", to=120_000), ["num_randomizations = 120000"]),
        (changed(plain(), "options", "shots_per_randomization", to=10**7), ["shots_per_randomization"]),
        (changed(plain(), "options", "layer_pair_depths", to=[3]), ["options.layer_pair_depths = [3]"]),
        (changed(plain(), "options", "layer_pair_depths", to=[3, 3]), ["layer_pair_depths", "different"]),
        (changed(plain(), "options", "layer_pair_depths", to=[-1, 2]), ["layer_pair_depths = [-1, 2]"]),
        (changed(plain(), "options", "layer_pair_depths", to=[0, 10**9]), ["layer_pair_depths"]),
        (
            changed(plain(), "options", "layer_pair_depths", to=list(range(950, 1000))),
            ["layer_pair_depths", "100000"],
        ),
        (changed(plain(), "options", "twirling_strategy", to="some"), ["twirling_strategy = 'some'"]),
        (changed(plain(), "options", "max_layers_to_learn", to=0), ["max_layers_to_learn is 0"]),
        (changed(plain(), "options", "experimental", to={"x": 1}), ["options.experimental.x"]),
        (changed(plain(), "options", "simulator", to={"basis_gates": ["x"]}), ["simulator.basis_gates"]),
        (changed(plain(), "options", "rep_delay", to=1.0), ["options.rep_delay", "not an option"]),
        (with_circuits([QuantumCircuit(3)]), ["no two-qubit gates", "nothing to learn"]),
        (with_circuits([unbound()]), ["circuits[0]", "rzz"]),
        (with_circuits([conditional()]), ["circuits[0]", "if_else"]),
        (changed(boxed(), "schema_version", to="v9"), ["schema_version is 'v9'", "v0.1, v0.2, v0.3"]),
        (changed(boxed(), "version", to=2), ["params.version is 2", "3"]),
        (changed(boxed(), "instructions", "circuit_b64", to="!"), ["params.instructions", "base64"]),
        (changed(boxed(), "instructions", "qpy_version", to=12), ["qpy_version is 12"]),
        (changed(boxed(), "options", "init_qubits", to=False), ["options.init_qubits = False"]),
        (changed(boxed(), "options", "twirling_strategy", to="all"), ["twirling_strategy"]),
        (
            changed(boxed(), "options", "bit_flip_checks", "post_circuit", "enable", to=True),
            ["options.bit_flip_checks.post_circuit.enable = True"],
        ),
        (
            changed(boxed(), "options", "post_selection", "enable", to=True),
            ["options.post_selection.enable = True"],
        ),
    ],
    ids=lambda value: "-".join(value)[:60] if isinstance(value, list) else "",
)
def test_what_does_not_fit_is_refused_by_name(known: DeviceHost, params: Params, words: list[str]) -> None:
    message = refusal(known, params)
    assert all(word in message for word in words), message
    assert len(message) < 2000


def test_boxes_that_cannot_be_learned_are_refused_with_their_number(known: DeviceHost) -> None:
    bare = QuantumCircuit(3)
    bare.cz(0, 1)
    assert "instructions[1]" in refusal(known, with_boxes([box(3, (0, 1)), bare.data[0]]))
    untwirled = QuantumCircuit(3)
    with untwirled.box():
        untwirled.cz(0, 1)
    assert "Twirl" in refusal(known, with_boxes([untwirled.data[0]]))
    wide = box(9, (7, 8))
    assert "instructions[0]" in refusal(known, with_boxes([wide]))
    assert "not supported by the target" in refusal(known, with_boxes([box(3, (0, 2))]))
    twice = box(3, (0, 1), (1, 2))
    assert "instructions[0]" in refusal(known, with_boxes([twice]))
    many = refusal(known, with_boxes([box(3, (0, 1))] * (MAX_LAYERS + 1)))
    assert f"a job may learn {MAX_LAYERS}" in many


def test_a_layer_that_does_not_undo_itself_is_refused(aer: DeviceHost) -> None:
    content = QuantumCircuit(2)
    content.dcx(0, 1)
    layer = Layer((0, 1), content, "instructions[0]")
    with pytest.raises(JobRefused, match=r"instructions\[0\] is not undone when it is applied twice"):
        experiments.planned(aer._device, layer, settings.learning({}, Settings()))


def test_a_fractional_gate_that_is_clifford_is_learned(aer: DeviceHost) -> None:
    circuit = QuantumCircuit(2)
    circuit.rzz(math.pi / 2, 0, 1)
    (layer,) = layers_of(aer, with_circuits([circuit], **QUICK))
    assert layer.error.rates == pytest.approx(np.zeros(15), abs=1e-4)


@pytest.mark.parametrize("dressing", ["left", "right"])
@pytest.mark.parametrize("idle", [False, True])
def test_a_box_may_be_idle_and_dressed_on_either_side(known: DeviceHost, dressing: Any, idle: bool) -> None:
    circuit = QuantumCircuit(3)
    with circuit.box([Twirl(dressing=dressing)]):
        circuit.noop(1, 2) if idle else circuit.cz(1, 2)
    (found,) = maps_of(known, with_boxes([circuit.data[0]], **QUICK))
    assert found._rates == pytest.approx(np.zeros(15), abs=0.02), "only the pair (0, 1) is noisy"


def test_the_noise_of_a_given_model_is_learned_on_an_ideal_device(aer: DeviceHost) -> None:
    """A bit flip of probability p behind each cz is the map of the rate -ln(1 - 2p) / 2."""
    model = NoiseModel()
    model.add_quantum_error(pauli_error([("IX", 0.05), ("II", 0.95)]), "cz", [0, 1])
    options = {"num_randomizations": 32, "shots_per_randomization": 64, "layer_pair_depths": [0, 1, 2, 4]}
    simulator = {"noise_model": model, "seed_simulator": 8}
    params = with_circuits([layered(2, [(0, 1)])], simulator=simulator, **options)
    (layer,) = layers_of(aer, params)
    rates = dict(zip(layer.error.generators.to_labels(), layer.error.rates, strict=True))
    # cz makes ZX of IX, and what is learned are the products of both
    assert sum(rates.values()) == pytest.approx(-math.log(0.9) / 2, abs=0.02)
    assert rates["IX"] + rates["ZX"] == pytest.approx(-math.log(0.9) / 2, abs=0.02)
    plain = with_circuits([layered(2, [(0, 1)])], simulator={"seed_simulator": 8}, **options)
    assert layers_of(aer, plain)[0].error.rates.sum() == pytest.approx(0, abs=0.01)


def test_a_noise_model_is_refused_where_the_device_has_its_own(manila: DeviceHost) -> None:
    params = with_circuits([layered(2, [(0, 1)])], simulator={"noise_model": NoiseModel()}, **QUICK)
    assert "options.simulator.noise_model" in refusal(manila, params)
