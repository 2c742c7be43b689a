"""Several embedded servers in one program: every client keeps to its own, whenever it asks for a token.

The whole kind: all that the client reads from the environment again after it was made. That is a renewed
token, a copy of a backend or a session, a further instance, the list of instances; while the other server
runs, has stopped, or has been started anew, and in several threads. A token of these servers lives for 5 s:
the client fetches one for every request.
"""

from __future__ import annotations

import copy
import os
import warnings
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from qiskit import QuantumCircuit
from qiskit_ibm_runtime import QiskitRuntimeService, SamplerV2, Session

from sojourn.embedded import Embedded, Key
from sojourn.environment import ADDRESSES

MOCK = {"name": "bench", "driver": "mock", "options": {"seconds": 0.0, "qubits": 5}}


def embedded(data: Path) -> Embedded:
    return Embedded(data, devices=[MOCK], server={"token_lifetime": 5})


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Embedded, Embedded]]:
    with embedded(tmp_path_factory.mktemp("one")) as one, embedded(tmp_path_factory.mktemp("two")) as two:
        yield one, two


@pytest.fixture(autouse=True)
def no_fallback() -> Iterator[None]:
    """The client warns and sends its key itself when it gets no token; that is no way to pass."""
    with warnings.catch_warnings():
        warnings.filterwarnings("error", message="Unable to retrieve IBM Cloud access token")
        yield


def user(server: Embedded, name: str) -> Key:
    for project in ("first", "second"):
        key = server.user(name, project)
    return key


def asks_everything(service: QiskitRuntimeService, server: Embedded) -> None:
    """Each of these makes a connection of its own, or renews a token."""
    crns = {instance["name"]: instance["crn"] for instance in service.instances()}
    backend = service.backend("bench")
    assert copy.deepcopy(backend).status().operational
    for crn in crns.values():
        assert service.backend("bench", instance=crn).status().operational
    circuit = QuantumCircuit(1)
    circuit.measure_all()
    with Session(backend=copy.deepcopy(backend)) as session:
        job = SamplerV2(session).run([circuit], shots=7)
        assert job.result()[0].data.meas.num_shots == 7
    assert job.job_id() in {found["id"] for found in server.get("/jobs", limit=200)["jobs"]}
    assert service.usage()["instance_id"] in crns.values()


def test_clients_of_two_servers_renew_their_tokens_each_at_its_own(pair: tuple[Embedded, Embedded]) -> None:
    one, two = pair
    first, second = one.service(user(one, "ada")), two.service(user(two, "bob"))
    assert os.environ["IAM_URL"] == two.url
    for service, server in ((first, one), (second, two), (first, one)):
        asks_everything(service, server)


def test_a_client_finds_its_instances_at_its_own_server_after_another_was_asked(
    pair: tuple[Embedded, Embedded],
) -> None:
    one, two = pair
    first, second = one.service(), two.service()
    first._all_instances, second._all_instances = [], []  # as a client that has not asked yet
    assert [i["name"] for i in first.instances()] == [i["name"] for i in second.instances()] == ["local"]
    assert first.instances()[0]["crn"] != second.instances()[0]["crn"]
    assert first.active_instance() == first.instances()[0]["crn"]


def test_a_client_goes_on_when_the_other_server_stops_and_the_environment_comes_back(
    pair: tuple[Embedded, Embedded], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, _ = pair
    service = one.service(user(one, "cleo"))
    other = embedded(tmp_path)
    with other:
        other.service()
        assert os.environ["IAM_URL"] == other.url
    assert {os.environ[name] for name in ADDRESSES} == {one.url, f"{one.url}/catalog"}
    asks_everything(service, one)
    with other:  # again, at another port
        other.service()
        asks_everything(service, one)
        with monkeypatch.context() as patch:  # and whatever becomes of them, no request leaves for elsewhere
            for name in ADDRESSES:
                patch.setenv(name, "http://127.0.0.1:9")
            asks_everything(service, one)
            for name in ADDRESSES:
                patch.delenv(name)
            with pytest.raises(UserWarning, match="access token"):
                copy.deepcopy(service.backend("bench")).status()


def test_clients_are_made_and_used_in_several_threads(pair: tuple[Embedded, Embedded]) -> None:
    keys = [(server, user(server, f"thread-{number}")) for number in range(2) for server in pair]

    def work(task: tuple[Embedded, Key]) -> str:
        server, key = task
        service = server.service(key)
        assert copy.deepcopy(service.backend("bench")).status().operational
        return str(service.active_instance())

    with ThreadPoolExecutor(4) as threads:
        assert list(threads.map(work, keys)) == [key.instance for _, key in keys]
    assert "QISKIT_IBM_TOKEN" not in os.environ
