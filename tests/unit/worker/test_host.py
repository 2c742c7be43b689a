"""A host keeps what it has prepared, forgets what it must, and describes itself."""

from __future__ import annotations

import json
import subprocess
import sys
import tracemalloc
from functools import partial
from typing import Any

import numpy as np
import pytest
from qiskit.circuit import Parameter, QuantumCircuit
from qiskit.circuit.library import efficient_su2

from sojourn.devices.aer.fake import FakeDriver
from sojourn.devices.driver import DriverError
from sojourn.worker.cache import Cache
from sojourn.worker.host import DeviceHost
from sojourn.worker.programs import device as worker_device
from sojourn.worker.protocol.types import Completed, DeviceSpec
from tests.unit.worker.conftest import estimator_body, sampler_body


def test_r39_the_iterations_of_a_session_prepare_the_ansatz_once() -> None:
    host = DeviceHost.load(DeviceSpec("aer", "aer", {"qubits": 3}))
    circuit = QuantumCircuit(3)
    for qubit in range(3):
        circuit.rx(Parameter(f"t{qubit}"), qubit)
    device = host._device
    for step in range(5):
        params = estimator_body([(circuit, ["ZZI", "XXI"], [step, 0.1, 0.2])])
        host.prepare("estimator", params)
        assert isinstance(host.run("estimator", params), Completed)
    assert (device._circuits.misses, device._circuits.hits) == (1, 9)
    assert (device._compiled.misses, device._compiled.hits) == (2, 8)


def test_preparing_runs_nothing_and_compiles_nothing() -> None:
    host = DeviceHost.load(DeviceSpec("torino", "fake", {"backend": "FakeTorino"}))
    circuit = QuantumCircuit(133)
    circuit.sx(0)
    circuit.measure_all()
    host.prepare("sampler", sampler_body([circuit]))
    assert host._device._compiled.misses == 0
    driver = host._device.driver
    assert isinstance(driver, FakeDriver)
    assert driver._engine._controller is None


def test_a_cache_is_bounded_by_cost_and_drops_the_least_recent() -> None:
    cache = Cache(100)
    made: list[Any] = []

    def make(name: str) -> tuple[str, int]:
        made.append(name)
        return name, 40

    for name in ("a", "b", "a", "c", "a", "b"):
        assert cache.get(name, partial(make, name)) == name
    assert made == ["a", "b", "c", "b"]
    assert cache.cost <= 100
    with pytest.raises(ZeroDivisionError):
        cache.get("z", lambda: (1 // 0, 1))
    assert "z" not in cache._held


def test_memory_does_not_grow_with_jobs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker_device, "CIRCUIT_BYTES", 200_000)
    monkeypatch.setattr(worker_device, "COMPILED_BYTES", 200_000)
    host = DeviceHost.load(DeviceSpec("bench", "mock", {"qubits": 5}))

    def job(number: int) -> None:
        circuit = QuantumCircuit(2, name=f"c{number}")
        for _ in range(50):
            circuit.sx(0)
        circuit.measure_all()
        assert isinstance(host.run("sampler", sampler_body([(circuit, None, 10)])), Completed)

    for number in range(60):
        job(number)
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    for number in range(60, 160):
        job(number)
    grown = tracemalloc.get_traced_memory()[0] - before
    tracemalloc.stop()
    assert host._device._circuits.cost <= 200_000
    assert grown < 1_000_000


def test_a_description_is_json_in_the_clients_shape() -> None:
    for spec in (
        DeviceSpec("aer", "aer"),
        DeviceSpec("bench", "mock"),
        DeviceSpec("ibm_torino", "fake", {"backend": "FakeTorino"}),
    ):
        described = DeviceHost.load(spec).describe()
        configuration = json.loads(json.dumps(described.configuration, allow_nan=False))
        json.dumps(described.properties, allow_nan=False)
        assert configuration["backend_name"] == spec.name
        assert configuration["simulator"] is False
        assert configuration["n_qubits"] == described.num_qubits


def test_a_machine_that_cannot_be_says_why() -> None:
    with pytest.raises(
        DriverError, match=r"device 'x': there is no driver 'nope'; installed are aer, backend, fake, mock"
    ):
        DeviceHost.load(DeviceSpec("x", "nope"))
    with pytest.raises(
        DriverError, match="option 'qubits' of driver 'aer' is 0; allowed is an integer from 1"
    ):
        DeviceHost.load(DeviceSpec("x", "aer", {"qubits": 0}))


@pytest.mark.parametrize("driver", ["aer", "mock"])
def test_only_the_fake_driver_needs_qiskit_ibm_runtime(driver: str) -> None:
    code = (
        "import sys\n"
        "from sojourn.worker.host import DeviceHost\n"
        "from sojourn.worker.protocol.types import DeviceSpec\n"
        f"DeviceHost.load(DeviceSpec('d', {driver!r})).describe()\n"
        "assert 'qiskit_ibm_runtime' not in sys.modules, 'imported'\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


def test_a_ten_qubit_ansatz_on_a_wide_device(torino: DeviceHost) -> None:
    from qiskit.transpiler import generate_preset_pass_manager

    circuit = efficient_su2(6, reps=1)
    isa = generate_preset_pass_manager(1, target=torino._device.target, seed_transpiler=2).run(circuit)
    isa.measure_active()
    values = np.random.default_rng(0).random(circuit.num_parameters)
    outcome = torino.run("sampler", sampler_body([(isa, values, 100)]))
    assert isinstance(outcome, Completed)
    assert outcome.quantum_seconds < 10
