"""What was asked of a job, from the JSON that the client sends."""

from __future__ import annotations

import json
from typing import Any

import pytest
from qiskit import QuantumCircuit
from qiskit.circuit import Parameter
from qiskit.quantum_info import SparsePauliOp
from qiskit_ibm_runtime import RuntimeEncoder

from sojourn.dashboard.inputs import LONGEST, MOST_PUBS, asked


def sent(**params: Any) -> Any:
    return json.loads(json.dumps(params, cls=RuntimeEncoder))


def circuit() -> QuantumCircuit:
    made = QuantumCircuit(2)
    made.rx(Parameter("t"), 0)
    return made


def test_options_are_named_as_in_a_program_and_defaults_are_left_out() -> None:
    options = {"default_shots": 100, "twirling": {"enable_gates": True, "num_randomizations": None}}
    assert asked("sampler", sent(pubs=[], options=options)) == {
        "default_shots": "100",
        "twirling.enable_gates": "true",
    }


def test_each_pub_of_the_sampler_says_its_shots() -> None:
    found = asked("sampler", sent(pubs=[[circuit(), [0.5], 20], [circuit(), None, None]], options={}))
    assert found == {"Pub 0": "parameters [0.5], shots 20", "Pub 1": "a circuit"}


def test_each_pub_of_the_estimator_says_its_observables_and_precision() -> None:
    observables = SparsePauliOp(["ZZ", "XI"], [1.0, 0.5]).to_list()
    pub = [circuit(), dict(observables), [0.5], 0.01]
    (text,) = asked("estimator", sent(pubs=[pub], options={})).values()
    assert text == "observables Z0 Z1 + 0.5 X1, parameters [0.5], precision 0.01"


def test_an_observable_of_a_wide_device_names_the_qubits_that_it_measures() -> None:
    observables = [{"I" * 130 + "ZIZ": 1.0}, {"X" + "I" * 132: 2.0}, {"I" * 133: 1.0}]
    (text,) = asked("estimator", sent(pubs=[[circuit(), observables]], options={})).values()
    assert text == "observables [Z0 Z2, 2.0 X132, I]"


def test_only_the_beginning_of_much_is_shown() -> None:
    pubs = [[None, None, 1]] * (MOST_PUBS + 3)
    found = asked("sampler", {"pubs": pubs, "options": {"note": "x" * 10_000}})
    assert found["More pubs"] == "3"
    assert len(found["note"]) <= LONGEST + 2


@pytest.mark.parametrize("params", [None, [], "x", {}, {"pubs": 3, "options": []}, {"pubs": [1, {}]}])
def test_what_is_of_another_form_says_nothing_wrong(params: Any) -> None:
    assert set(asked("sampler", params)) <= {"Pub 0", "Pub 1"}
