"""The unmodified client runs both primitives in a session on each vendor's device."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
from qiskit import QuantumCircuit
from qiskit.transpiler import generate_preset_pass_manager
from qiskit_ibm_runtime import SamplerV2

from sojourn.embedded import Embedded
from tests.backends import environments
from tests.backends.environments import HERE, NAMES, WITH_ANGLES
from tests.clients.environments import NEWEST, run

COUNTS_ONLY = ("ddsim", "iqm")
SEEDED = ("aqt", "ddsim")
AT_ONCE = {"aqt": "83%, 50 of 50 circuits"}
"""What the log says of the first call of ``run()`` where it takes fewer circuits than the program has."""


@dataclass(frozen=True)
class Ran:
    """`said` is what the program printed, by the first word of each line."""

    name: str
    said: dict[str, str]
    server: Embedded

    def numbers(self, word: str) -> list[float]:
        return [float(text) for text in self.said[word].split()]


@pytest.fixture(scope="module", params=NAMES)
def ran(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Ran:
    name = request.param
    environments.interpreter(name)  # before the server is started
    server: Embedded = request.getfixturevalue("server")
    asked = {"DEVICE": name} | ({"ANGLES": "1"} if name in WITH_ANGLES else {})
    key = server.user(f"user-of-{name}", name)
    program = str(HERE / "programs" / "session.py")
    said = run(NEWEST, program, {**server.env(key), **asked}, tmp_path_factory.mktemp(name))
    return Ran(name, said, server)


def test_the_sampler_gives_each_register_its_own_bits(ran: Ran) -> None:
    assert min(ran.numbers("always")) > 0.8
    assert min(ran.numbers("sparse")) > 0.8
    expected = np.sin(np.linspace(0, np.pi, 60) / 2) ** 2
    assert ran.numbers("swept") == pytest.approx(expected, abs=0.3)
    assert np.mean(np.abs(ran.numbers("swept") - expected)) < 0.1


def test_the_estimator_gives_the_values_of_a_bell_pair(ran: Ran) -> None:
    assert ran.numbers("values") == pytest.approx([1, 1, 0], abs=0.4)


def test_both_jobs_ran_in_one_session(ran: Ran) -> None:
    session = ran.server.get(f"/sessions/{ran.said['session']}")
    assert (session["mode"], session["state"]) == ("dedicated", "closed")
    jobs = ran.server.get("/jobs", session=ran.said["session"])["jobs"]
    assert sorted(job["id"] for job in jobs) == sorted(ran.said["jobs"].split())
    assert [job["state"] for job in jobs] == ["completed", "completed"]


def test_the_device_runs_with_the_packages_that_are_listed(ran: Ran) -> None:
    environment = ran.server.get(f"/devices/{ran.name}")["environment"]
    assert environment["qiskit"] == environments.version(ran.name, "qiskit")


def test_more_circuits_than_a_call_takes_are_split_and_joined(ran: Ran) -> None:
    assert f"progress: {AT_ONCE.get(ran.name, '100%, 60 of 60 circuits')}" in ran.said["log"]


def test_the_log_says_where_the_order_of_the_shots_is_made_up(ran: Ran) -> None:
    made_up = f"{ran.name} gives counts and no memory: the order of the shots of"
    assert (made_up in ran.said["log"]) == (ran.name in COUNTS_ONLY)


def test_a_device_whose_gates_the_client_must_be_asked_for_says_so(ran: Ran) -> None:
    assert ("use_fractional_gates=None" in ran.said["described"]) == (ran.name in WITH_ANGLES)


@pytest.mark.parametrize("name", NAMES)
def test_a_seed_repeats_a_job_where_the_backend_takes_one(request: pytest.FixtureRequest, name: str) -> None:
    environments.interpreter(name)
    server: Embedded = request.getfixturevalue("server")
    backend = server.service().backend(name, use_fractional_gates=None)
    circuit = QuantumCircuit(1)
    circuit.h(0)
    circuit.measure_all()
    ready = generate_preset_pass_manager(1, backend=backend, seed_transpiler=1).run(circuit)
    sampler = SamplerV2(mode=backend)
    sampler.options.simulator.seed_simulator = 7
    shots = [sampler.run([ready], shots=200).result()[0].data.meas.array for _ in range(2)]
    assert np.array_equal(*shots) == (name in SEEDED)
