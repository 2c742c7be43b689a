"""Options are honoured or refused, never dropped; the documentation lists them as they are."""

from __future__ import annotations

import dataclasses
import json
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from qiskit.circuit import QuantumCircuit
from qiskit_ibm_runtime.options import EstimatorOptions, SamplerOptions

from sojourn.worker.host import DeviceHost
from sojourn.worker.programs import page, registry
from sojourn.worker.programs.conditions import DOCUMENTED
from sojourn.worker.programs.options import Limits, Options
from sojourn.worker.protocol.types import JobRefused
from tests.unit.worker.conftest import body

DOCS = Path(__file__).parents[3] / "docs" / "options.md"
CLASSES = {"sampler": SamplerOptions, "estimator": EstimatorOptions}


def options_of(program: str) -> Options:
    return registry.find(program).options


def client_options(thing: Any, prefix: str = "") -> Iterator[str]:
    for field in dataclasses.fields(thing):
        if field.name.startswith("_"):
            continue
        value = getattr(thing, field.name)
        if dataclasses.is_dataclass(value):
            yield from client_options(value, f"{prefix}{field.name}.")
        else:
            yield prefix + field.name


@pytest.mark.parametrize("program", ["sampler", "estimator"])
def test_every_option_that_the_client_knows_is_in_the_table(program: str) -> None:
    known = {option.name for option in options_of(program).all}
    documented = {option.name for option in DOCUMENTED} if program == "sampler" else set()
    assert set(client_options(CLASSES[program]())) | documented == known


def test_the_documentation_lists_the_programs_and_options_as_they_are() -> None:
    text = DOCS.read_text(encoding="utf-8")
    assert page.filled(text, registry.built_in()) == text, "run `make options`"


@pytest.mark.parametrize("program", ["sampler", "estimator"])
def test_what_the_client_sends_without_any_setting_is_accepted(program: str) -> None:
    sent = CLASSES[program]._get_program_inputs(dataclasses.asdict(CLASSES[program]()))
    options_of(program).read(json.loads(json.dumps(sent["options"])), Limits())


@pytest.mark.parametrize(
    ("program", "set_to"),
    [
        ("estimator", {"resilience": {"layer_noise_learning": {"layer_pair_depths": [1000000]}}}),
        ("estimator", {"resilience": {"zne": {"noise_factors": [1.0, 1000.0]}}}),
        ("sampler", {"twirling": {"num_randomizations": 1000000000}}),
        ("sampler", {"execution": {"rep_delay": 1.0}}),
        ("sampler", {"simulator": {"basis_gates": ["cx"]}}),
        ("sampler", {"simulator": {"coupling_map": [[0, 1]]}}),
        ("sampler", {"experimental": {"fast": True}}),
        ("sampler", {"default_shots": 0}),
        ("estimator", {"default_shots": 0}),
    ],
)
def test_what_is_not_honoured_is_refused_by_its_full_name(
    torino: DeviceHost, program: str, set_to: dict[str, Any]
) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        options = CLASSES[program](**set_to)
    sent = CLASSES[program]._get_program_inputs(dataclasses.asdict(options))
    pub: list[Any] = (
        [QuantumCircuit(1), {"Z": 1.0}, None, None] if program == "estimator" else [QuantumCircuit(1, 1)]
    )
    name, value = "", set_to
    while isinstance(value, dict):
        name, value = f"{name}.{next(iter(value))}", value[next(iter(value))]
    with pytest.raises(JobRefused) as caught:
        torino.prepare(program, body([pub], **sent))
    assert f"options{name} = {value!r}" in caught.value.message


@pytest.mark.parametrize(
    ("program", "set_to"),
    [
        (
            "sampler",
            {"default_shots": 10, "simulator": {"seed_simulator": 3}, "execution": {"init_qubits": True}},
        ),
        ("sampler", {"execution": {"meas_type": "classified", "rep_delay": 0.0003}}),
        ("sampler", {"execution": {"meas_type": "avg_kerneled", "init_qubits": False}}),
        ("sampler", {"experimental": {"execution": {"scheduler_timing": True, "stretch_values": True}}}),
        ("estimator", {"execution": {"init_qubits": False}}),
        ("sampler", {"dynamical_decoupling": {"enable": False, "sequence_type": "XX"}}),
        ("sampler", {"twirling": {"enable_gates": False, "strategy": "all", "num_randomizations": 8}}),
        ("sampler", {"max_execution_time": 100, "environment": {"job_tags": ["a"], "log_level": "DEBUG"}}),
        ("estimator", {"default_precision": 0.1, "seed_estimator": 5, "resilience_level": 0}),
        ("estimator", {"resilience": {"zne_mitigation": False, "zne": {"noise_factors": [1, 3]}}}),
        ("estimator", {"resilience": {"layer_noise_model": None}}),
    ],
)
def test_what_is_honoured_is_accepted(torino: DeviceHost, program: str, set_to: dict[str, Any]) -> None:
    sent = CLASSES[program]._get_program_inputs(dataclasses.asdict(CLASSES[program](**set_to)))
    pub: list[Any] = (
        [QuantumCircuit(1), {"Z": 1.0}, None, None] if program == "estimator" else [QuantumCircuit(1, 1)]
    )
    torino.prepare(program, body([pub], **sent))


def test_an_unknown_option_is_refused_with_the_nearest_name() -> None:
    with pytest.raises(JobRefused, match=r"options\.default_shot = 5 .* did you mean default_shots"):
        options_of("sampler").read({"default_shot": 5}, Limits())
    with pytest.raises(JobRefused, match=r"options\.twirling\.enabled_gates = False"):
        options_of("sampler").read({"twirling": {"enabled_gates": False}}, Limits())
    with pytest.raises(JobRefused, match=r"options\.seed_estimator"):
        options_of("sampler").read({"seed_estimator": 1}, Limits())


def test_everything_that_is_refused_is_said_at_once(torino: DeviceHost) -> None:
    """The kind: a job with more than one input that is not honoured, whichever: options of every status,
    options that nobody knows, members beside the options. Sorted, each with its value and what is allowed."""
    options = {
        "twirling": {"enable_gates": "on", "enable_measure": 1, "typo": 1},
        "dynamical_decoupling": {"enable": "on"},
        "experimental": {"b": 2, "a": 1},
        "simulator": {"coupling_map": [[0, 1]]},
        "default_shots": 0,
        "execution": {"rep_delay": 7.0},
    }
    with pytest.raises(JobRefused) as caught:
        torino.prepare("sampler", body([[QuantumCircuit(1, 1)]], options, shots=True, circuits=[], version=1))
    message = caught.value.message
    assert message.startswith("12 inputs of the job are refused: (1) options.default_shots = 0 is not")
    told = [
        "options.default_shots = 0",
        "options.dynamical_decoupling.enable = 'on'",
        "options.execution.rep_delay = 7.0",
        "options.experimental.a = 1",
        "options.experimental.b = 2",
        "options.simulator.coupling_map = [[0, 1]]",
        "options.twirling.enable_gates = 'on'",
        "options.twirling.enable_measure = 1",
        "options.twirling.typo = 1",
        "params.shots is True",
        "params.version is 1",
        "params.circuits is not a member",
    ]
    assert [message.index(words) for words in told] == sorted(message.index(words) for words in told)


def test_one_refused_option_is_said_without_a_count() -> None:
    with pytest.raises(JobRefused) as caught:
        options_of("sampler").read({"twirling": {"enable_gates": "on"}}, Limits())
    assert caught.value.message == (
        "options.twirling.enable_gates = 'on' is not honoured by this device, and options are never dropped; "
        "allowed is true or false"
    )


def test_a_refusal_stays_short_however_much_is_wrong() -> None:
    wrong = {"x" * 5000 + str(number): "y" * 5000 for number in range(1000)}
    with pytest.raises(JobRefused) as caught:
        options_of("sampler").read({**wrong, "experimental": wrong}, Limits())
    assert caught.value.message.startswith("2000 inputs of the job are refused")
    assert caught.value.message.endswith("and 1975 more")
    assert len(caught.value.message) < 12_000


def test_a_seed_is_taken_from_where_the_client_puts_it() -> None:
    assert options_of("sampler").read({"simulator": {"seed_simulator": 4}}, Limits()).seed == 4
    assert (
        options_of("estimator").read({"simulator": {"seed_simulator": 4}, "seed_estimator": 5}, Limits()).seed
        == 5
    )
    for bad in (-1, 2**63, 1.5, "1", True):
        with pytest.raises(JobRefused, match="seed_simulator"):
            options_of("sampler").read({"simulator": {"seed_simulator": bad}}, Limits())


def test_every_option_that_is_refused_has_a_reason_on_the_page() -> None:
    text = DOCS.read_text(encoding="utf-8")
    reasons = text.split("## Why something is refused")[1].split("\n## ")[0]
    for program in page.forms(registry.built_in()):
        for option in program.options.all:
            if option.status in ("refused", "fixed") and option.name != "support_qiskit":
                first, last = option.name.split(".")[0], option.name.rsplit(".", 1)[-1]
                assert (first if last == "enable" else last) in reasons, option.name
