"""The devices of every driver as the real client, and a client of 2023, see them.

The whole kind: an attribute, a filter or a call of the client that answers for a real device and fails, or
says something that is not so, for one of ours. One device that lacks a field breaks a filter over them all.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest
from qiskit import QuantumCircuit, transpile
from qiskit_ibm_runtime import IBMBackend, QiskitRuntimeService, SamplerV2

from sojourn.embedded import Embedded
from tests.harness.api import complaint

DEVICES: list[dict[str, Any]] = [
    {"name": "ideal", "driver": "aer", "options": {"qubits": 6}},
    {"name": "bench", "driver": "mock", "options": {"qubits": 5}},
    {"name": "ibm_fez", "driver": "fake", "options": {"backend": "FakeFez"}},
    {"name": "ibm_miami", "driver": "fake", "options": {"backend": "FakeMiami"}},
    {"name": "ibm_manila", "driver": "fake", "options": {"backend": "FakeManilaV2"}},
]
NAMES = [device["name"] for device in DEVICES]
DYNAMIC = ["ideal", "bench", "ibm_fez", "ibm_manila"]


@pytest.fixture(scope="module")
def server() -> Iterator[Embedded]:
    with Embedded(devices=DEVICES) as running:
        yield running


@pytest.fixture(scope="module")
def service(server: Embedded) -> QiskitRuntimeService:
    return server.service()


@pytest.fixture(params=[None, "qiskit"], ids=["other", "python"])
def unversioned(server: Embedded, request: pytest.FixtureRequest) -> Iterator[httpx.Client]:
    """A client that sends no IBM-API-Version."""
    headers = {"authorization": f"apikey {server.local_key}"}
    if request.param is not None:
        headers["x-qx-client-application"] = request.param
    with httpx.Client(base_url=f"{server.url}/api/v1", headers=headers, timeout=60) as http:
        yield http


@pytest.mark.parametrize("name", NAMES)
def test_every_attribute_that_the_client_documents_answers(service: QiskitRuntimeService, name: str) -> None:
    """Some answer on the configuration only; that is so for IBM's own devices, too."""
    documented = re.findall(r"^        \* (\w+)(?: \(.+\))?:", IBMBackend.__doc__ or "", re.MULTILINE)
    assert {"processor_type", "rep_times", "register_map", "channel_bandwidth"} <= set(documented)
    backend = service.backend(name)
    configuration = backend.configuration()
    assert [at for at in documented if not hasattr(backend, at) and not hasattr(configuration, at)] == []


@pytest.mark.parametrize("name", NAMES)
def test_every_call_of_a_backend_answers(service: QiskitRuntimeService, name: str) -> None:
    backend = service.backend(name)
    assert backend.target.num_qubits == backend.num_qubits == backend.physical_qubits
    assert backend.status().operational
    assert backend.dt == pytest.approx(backend.dtm)
    assert sorted(qubit for group in backend.meas_map for qubit in group) == list(range(backend.num_qubits))
    assert backend.rep_delay_range[0] <= backend.default_rep_delay <= backend.rep_delay_range[1]
    assert backend.max_circuits is None
    assert backend.processor_type["family"]
    assert backend.instruction_durations is not None
    backend.check_faulty(QuantumCircuit(1))
    backend.target_history(datetime(2026, 1, 1, tzinfo=UTC))
    backend.refresh()
    properties = backend.properties()
    if properties is not None:
        assert properties.t1(0) > 0
        assert backend.qubit_properties(0).t1 == properties.t1(0)


@pytest.mark.parametrize(
    ("wanted", "names"),
    [
        ({"dynamic_circuits": True}, DYNAMIC),
        ({"dynamic_circuits": False}, ["ibm_miami"]),
        ({"simulator": False}, NAMES),
        ({"simulator": True}, []),
        ({"operational": True}, NAMES),
        ({"min_num_qubits": 100}, ["ibm_fez", "ibm_miami"]),
        ({"conditional": True}, DYNAMIC),
        ({"open_pulse": False, "memory": True, "local": False, "credits_required": False}, NAMES),
        ({"n_registers": 1, "dynamic_reprate_enabled": False}, ["ideal", "bench"]),
        ({"processor_type": {"family": "Heron", "revision": "2"}}, ["ibm_fez"]),
        ({"filters": lambda b: b.processor_type["family"] in ("Aer", "Mock")}, ["ideal", "bench"]),
        ({"filters": lambda b: b.configuration().multi_meas_enabled and b.configuration().max_shots}, NAMES),
        (
            {"filters": lambda b: "rzz" in b.basis_gates, "use_fractional_gates": True},
            ["ideal", "ibm_fez"],
        ),
        ({"filters": lambda b: "rzz" in b.basis_gates}, []),
    ],
)
def test_a_filter_finds_the_devices_that_it_is_true_of(
    service: QiskitRuntimeService, wanted: dict[str, Any], names: list[str]
) -> None:
    assert [backend.name for backend in service.backends(**wanted)] == names


def test_the_least_busy_device_is_one_that_fits(service: QiskitRuntimeService) -> None:
    assert service.least_busy(min_num_qubits=130).name == "ibm_fez"
    assert service.least_busy(min_num_qubits=100, dynamic_circuits=False).name == "ibm_miami"
    assert service.least_busy(filters=lambda b: b.processor_type["family"] == "Aer").name == "ideal"


@pytest.mark.parametrize("name", DYNAMIC)
@pytest.mark.parametrize("fractional", [False, None])
def test_a_device_with_dynamic_circuits_runs_one(
    service: QiskitRuntimeService, name: str, fractional: bool | None
) -> None:
    circuit = QuantumCircuit(1, 2)
    circuit.x(0)
    circuit.measure(0, 0)
    with circuit.if_test((circuit.clbits[0], 1)):
        circuit.rx(0.0, 0)
        circuit.x(0)
    circuit.measure(0, 1)
    backend = service.backend(name, use_fractional_gates=fractional)
    found = SamplerV2(backend).run([transpile(circuit, backend, seed_transpiler=1)], shots=100).result()
    counts = found[0].data.c.get_counts()
    if name != "bench":
        assert counts.get("01", 0) > 60


def test_a_fractional_gate_of_a_device_runs(service: QiskitRuntimeService) -> None:
    circuit = QuantumCircuit(2)
    circuit.rx(3.0, 0)
    circuit.rzz(0.5, 0, 1)
    circuit.rx(0.1, 1)
    circuit.measure_all()
    backend = service.backend("ibm_fez", use_fractional_gates=True)
    isa = transpile(circuit, backend, optimization_level=3, seed_transpiler=1)
    assert {"rx", "rzz"} <= set(isa.count_ops())
    counts = SamplerV2(backend).run([isa], shots=100).result()[0].data.meas.get_counts()
    assert counts.get("01", 0) > 50


@pytest.mark.parametrize("name", NAMES)
def test_there_are_no_pulse_defaults_for_whom_it_ever_asks(unversioned: httpx.Client, name: str) -> None:
    """Clients to 0.38, and to 0.30 those with an open-pulse device, have no device if this is an error."""
    reply = unversioned.get(f"/backends/{name}/defaults")
    assert (reply.status_code, reply.json()) == (200, {})
    versioned = unversioned.get(f"/backends/{name}/defaults", headers={"ibm-api-version": "2024-01-01"})
    assert (versioned.status_code, versioned.json()) == (200, {})
    complaint(unversioned.get("/backends/nope/defaults"), 404)


@pytest.mark.parametrize("name", NAMES)
def test_a_client_without_a_version_reads_frequencies_and_delay(unversioned: httpx.Client, name: str) -> None:
    configuration = unversioned.get(f"/backends/{name}/configuration").json()
    assert "delay" in [gate["name"] for gate in configuration["gates"]]
    properties = unversioned.get(f"/backends/{name}/properties").json()
    if not properties:
        assert name in ("ideal", "bench")
        return
    assert all("frequency" in [e["name"] for e in entries] for entries in properties["qubits"])
    assert "delay" in [gate["gate"] for gate in properties["gates"]]
    now = {"ibm-api-version": "2026-04-15"}
    present = unversioned.get(f"/backends/{name}/configuration", headers=now).json()
    assert "delay" not in [gate["name"] for gate in present["gates"]]
