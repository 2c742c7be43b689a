"""What options of suppression and mitigation come to, one by one, and what of them contradicts itself."""

from __future__ import annotations

import inspect
from importlib import import_module
from typing import Any

import pytest
from qiskit_ibm_runtime.executor_estimator.finalize_options import _RESILIENCE_LEVEL_DEFAULTS
from qiskit_ibm_runtime.options_models import EstimatorOptions, NoiseLearnerV3Options, SamplerOptions
from qiskit_mitigation import MitigationTask

from sojourn.worker.programs import registry
from sojourn.worker.programs.mitigated import client, words
from sojourn.worker.programs.mitigated.asked import Asked, Twirling, of_estimator, of_sampler
from sojourn.worker.programs.options import Limits
from sojourn.worker.protocol.types import JobRefused


def estimator(default_level: int = 0, **given: Any) -> Asked:
    """`given` by dotted names, with `__` for the dot."""
    return of_estimator({name.replace("__", "."): value for name, value in given.items()}, default_level)


def refusal(**given: Any) -> str:
    with pytest.raises(JobRefused) as caught:
        estimator(**given)
    return caught.value.message


@pytest.mark.parametrize(("module", "name"), client.TAKEN)
def test_what_is_taken_from_the_client_is_there_with_its_parameters(module: str, name: str) -> None:
    found = getattr(import_module(module), name)
    wanted = client.TAKEN[module, name]
    if wanted is not None:
        have = inspect.signature(found).parameters
        assert set(wanted) <= set(have)
        assert all(p.default is not p.empty for n, p in have.items() if n not in wanted)


def test_the_method_that_boxes_circuits_is_there() -> None:
    assert list(inspect.signature(MitigationTask._box_circuit).parameters) == ["circuit", "boxing_options"]


def test_a_job_without_these_options_takes_the_plain_way() -> None:
    assert not of_sampler({}).anything
    assert not estimator().anything
    assert not estimator(twirling__strategy="all", resilience__zne__noise_factors=[1, 2]).anything
    assert not estimator(default_level=2, resilience_level=0).anything


@pytest.mark.parametrize("level", [0, 1, 2])
@pytest.mark.parametrize("default", [True, False])
def test_a_level_switches_on_what_it_does_in_the_client(level: int, default: bool) -> None:
    asked = estimator(default_level=level) if default else estimator(resilience_level=level)
    wanted = _RESILIENCE_LEVEL_DEFAULTS[level]
    assert asked.level == level
    assert asked.twirling.gates == wanted["enable_gates"]
    assert asked.twirling.measure == wanted["enable_measure"]
    assert (asked.trex is not None) == wanted["measure_mitigation"]
    assert (asked.zne is not None) == wanted["zne_mitigation"]


def test_an_option_wins_over_its_level() -> None:
    asked = estimator(resilience_level=2, resilience__zne_mitigation=False, twirling__enable_gates=False)
    assert asked.zne is None
    assert not asked.twirling.gates
    assert asked.trex is not None


def test_methods_switch_on_the_twirling_that_they_need() -> None:
    assert estimator(resilience__measure_mitigation=True).twirling == Twirling(measure=True)
    assert estimator(resilience__pec_mitigation=True).twirling == Twirling(gates=True, measure=True)
    pea = estimator(resilience__zne_mitigation=True, resilience__zne__amplifier="pea")
    assert pea.twirling == Twirling(gates=True, measure=True)
    assert estimator(resilience__zne_mitigation=True).twirling == Twirling()


@pytest.mark.parametrize(
    ("given", "told"),
    [
        (
            {"resilience__pec_mitigation": True, "resilience__zne_mitigation": True},
            "options.resilience.pec_mitigation = True contradicts zero-noise extrapolation, which "
            "options.resilience.zne_mitigation = True switches on",
        ),
        (
            {"resilience__pec_mitigation": True, "resilience_level": 2},
            "which resilience_level = 2 switches on",
        ),
        (
            {"twirling__enable_measure": False, "resilience_level": 1},
            "options.twirling.enable_measure = False contradicts measurement mitigation",
        ),
        (
            {"twirling__enable_gates": False, "resilience__pec_mitigation": True},
            "options.twirling.enable_gates = False contradicts PEC",
        ),
        (
            {"resilience__zne_mitigation": True, "resilience__zne__extrapolator": "polynomial_degree_3"},
            "noise_factors has 3 factors; the extrapolator 'polynomial_degree_3' needs at least 4",
        ),
        (
            {"resilience__pec_mitigation": True, "resilience__pec__max_overhead": None},
            "options.resilience.pec.max_overhead = None is taken with a",
        ),
    ],
)
def test_what_contradicts_itself_is_refused_by_name(given: dict[str, Any], told: str) -> None:
    assert told in refusal(**given)


@pytest.mark.parametrize(
    ("name", "bad"),
    [
        ("resilience_level", 3),
        ("resilience_level", True),
        ("resilience.zne.noise_factors", [0.5, 1]),
        ("resilience.zne.noise_factors", [1, 1]),
        ("resilience.zne.noise_factors", [1]),
        ("resilience.zne.noise_factors", [1, 101]),
        ("resilience.zne.extrapolator", "cubic"),
        ("resilience.zne.extrapolator", []),
        ("resilience.zne.extrapolated_noise_factors", [-1]),
        ("resilience.zne.amplifier", "folding"),
        ("resilience.pec.max_overhead", 0),
        ("resilience.pec.noise_gain", -0.1),
        ("resilience.measure_noise_learning.num_randomizations", 0),
        ("resilience.layer_noise_learning.layer_pair_depths", [0, 10**9]),
        ("resilience.layer_noise_learning.layer_pair_depths", [1]),
        ("resilience.layer_noise_model", "none"),
        ("twirling.num_randomizations", 10**9),
        ("twirling.shots_per_randomization", 0),
        ("twirling.strategy", "some"),
        ("dynamical_decoupling.sequence_type", "XY8"),
        ("dynamical_decoupling.enable", 1),
    ],
)
def test_a_value_that_means_nothing_is_refused_with_what_is_allowed(name: str, bad: Any) -> None:
    options: dict[str, Any] = {}
    place = options
    *sections, last = name.split(".")
    for section in sections:
        place = place.setdefault(section, {})
    place[last] = bad
    with pytest.raises(JobRefused) as caught:
        registry.find("estimator").options.read(options, Limits())
    assert f"options.{name} = {bad!r}"[:60] in caught.value.message
    assert "allowed is" in caught.value.message


def test_shots_that_are_stated_are_obeyed_and_default_shots_give_way() -> None:
    both = Twirling(measure=True, randomizations=10, shots=64)
    assert both.settled(4096, False, "pubs[0]") == 640
    assert both.settled(500, True, "pubs[0]") == 500
    assert Twirling(measure=True, randomizations=10).settled(4096, True, "pubs[0]") == 4096
    with pytest.raises(JobRefused, match=r"asks for 1000 shots, while .* make 640"):
        both.settled(1000, True, "pubs[0]")


def test_every_option_reaches_the_client_as_it_was_given() -> None:
    given = {
        "dynamical_decoupling.enable": True,
        "dynamical_decoupling.sequence_type": "XY4",
        "dynamical_decoupling.extra_slack_distribution": "edges",
        "dynamical_decoupling.scheduling_method": "asap",
        "dynamical_decoupling.skip_reset_qubits": True,
        "twirling.enable_gates": True,
        "twirling.enable_measure": True,
        "twirling.num_randomizations": 7,
        "twirling.shots_per_randomization": 11,
        "twirling.strategy": "active-circuit",
    }
    sampler = SamplerOptions(**words.sampler_fields(of_sampler(given)))
    assert sampler.dynamical_decoupling.model_dump() == {
        "enable": True,
        "sequence_type": "XY4",
        "extra_slack_distribution": "edges",
        "scheduling_method": "asap",
        "skip_reset_qubits": True,
    }
    assert sampler.twirling.model_dump(exclude={"group"}) == {
        "enable_gates": True,
        "enable_measure": True,
        "num_randomizations": 7,
        "shots_per_randomization": 11,
        "strategy": "active-circuit",
    }
    zne = {
        "resilience.zne_mitigation": True,
        "resilience.zne.amplifier": "gate_folding_back",
        "resilience.zne.noise_factors": [1, 2, 4],
        "resilience.zne.extrapolator": "linear",
        "resilience.zne.extrapolated_noise_factors": [0, 0.5],
        "resilience.measure_mitigation": True,
        "resilience.measure_noise_learning.num_randomizations": 5,
    }
    found = EstimatorOptions(**words.estimator_fields(of_estimator({**given, **zne}, 0)))
    assert found.twirling.num_randomizations == 7
    assert found.dynamical_decoupling.sequence_type == "XY4"
    assert found.resilience.measure_noise_learning.num_randomizations == 5
    assert found.resilience.zne.model_dump() == {
        "amplifier": "gate_folding_back",
        "noise_factors": [1.0, 2.0, 4.0],
        "extrapolator": ["linear"],
        "extrapolated_noise_factors": [0.0, 0.5],
    }
    pec = {
        "resilience.pec_mitigation": True,
        "resilience.pec.max_overhead": 9,
        "resilience.pec.noise_gain": 0.5,
        "resilience.layer_noise_learning.num_randomizations": 3,
        "resilience.layer_noise_learning.shots_per_randomization": 13,
        "resilience.layer_noise_learning.layer_pair_depths": [0, 2],
        "resilience.layer_noise_learning.max_layers_to_learn": None,
    }
    asked = of_estimator(pec, 0)
    assert asked.learning is not None
    assert asked.learning.max_layers is None
    learner = NoiseLearnerV3Options(**words.learning_fields(asked.learning))
    assert (learner.num_randomizations, learner.shots_per_randomization) == (3, 13)
    assert learner.layer_pair_depths == [0, 2]
    options = EstimatorOptions(**words.estimator_fields(asked))
    assert (options.resilience.pec.max_overhead, options.resilience.pec.noise_gain) == (9, 0.5)


def test_defaults_are_those_of_the_options_of_the_client() -> None:
    asked = estimator(resilience_level=2)
    assert asked.zne is not None
    assert asked.zne.factors == (1, 3, 5)
    assert asked.zne.points == (0, 1, 3, 5)
    assert asked.zne.extrapolators == ("exponential", "linear")
    assert asked.trex is not None
    assert asked.trex.randomizations == 32
    learning = estimator(resilience__pec_mitigation=True).learning
    assert learning is not None
    assert learning.max_layers == 4
    assert (learning.shots, learning.randomizations) == (128, 32)
    assert learning.depths == (0, 1, 2, 4, 16, 32)
