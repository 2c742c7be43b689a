"""What a job is known to need before it runs, and how much there is. Sizes in bytes unless MB is said."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from qiskit import QuantumCircuit
from qiskit.quantum_info import SparsePauliOp

from sojourn import codes
from sojourn.devices.aer.ideal import AerDriver
from sojourn.devices.driver import Task, load_driver
from sojourn.worker.host import DeviceHost
from sojourn.worker.protocol.memory import MB, exceeded, machine_memory, run_memory
from sojourn.worker.protocol.types import DeviceSpec, Failed, JobRefused
from sojourn.worker.setup import bounded_memory
from tests.unit.worker.conftest import estimator_body, sampler_body


def plus(qubits: int, width: int | None = None, **more: Any) -> QuantumCircuit:
    circuit = QuantumCircuit(width or qubits, qubits, **more)
    circuit.h(range(qubits))
    circuit.cz(range(qubits - 1), range(1, qubits))  # else each qubit is simulated by itself
    circuit.measure(range(qubits), range(qubits))
    return circuit


def host(memory: int, method: str = "statevector", qubits: int = 40) -> DeviceHost:
    return DeviceHost.load(DeviceSpec("big", "aer", {"qubits": qubits, "method": method}, memory=memory))


@pytest.mark.parametrize(
    ("method", "qubits", "needed"),
    [
        ("statevector", 29, 2**33),
        ("statevector", 3, 128),
        ("density_matrix", 14, 2**32),
        ("automatic", 20, 2**24),
        ("automatic", 40, 0),  # a matrix product state grows while it runs
        ("matrix_product_state", 40, 0),
    ],
)
def test_a_circuits_state_is_known_by_its_method(method: str, qubits: int, needed: int) -> None:
    driver = AerDriver("a", {"qubits": 60, "method": method})
    circuit = plus(qubits, 60)
    circuit.rx(0.1, 0)  # no Clifford circuit
    assert driver.memory_of(circuit) == needed  # idle qubits take nothing
    assert driver.most_memory(60) >= needed


def test_a_noisy_device_knows_its_own_states() -> None:
    driver = load_driver("manila", "fake", {"backend": "FakeManilaV2"})
    assert driver.memory_of(plus(3, 5)) == 16 * 4**3
    assert driver.most_memory(5) == 16 * 4**5


def test_a_state_that_cannot_fit_is_refused_with_the_numbers() -> None:
    with pytest.raises(JobRefused) as refused:
        host(3000 * MB).prepare("sampler", sampler_body([(plus(2), None, 10), (plus(29), None, 10)]))
    for part in ("pubs[1]", "at least 8192 MB", "one run on big may take 3000 MB (memory_mb"):
        assert part in refused.value.message


def test_an_observable_on_an_idle_qubit_counts_it_in() -> None:
    circuit = QuantumCircuit(30)
    circuit.h(range(20))
    body = estimator_body([(circuit, SparsePauliOp("I" * 30))])
    wide = estimator_body([(circuit, SparsePauliOp("Z" * 30))])
    small = host(100 * MB)
    small.prepare("estimator", body)
    with pytest.raises(JobRefused, match="16384 MB for the state"):
        small.prepare("estimator", wide)


def test_what_fits_exactly_is_taken_and_a_byte_less_is_not() -> None:
    body = sampler_body([(plus(24), None, 1000)])
    with pytest.raises(JobRefused, match="at least 256 MB"):
        host(2**28).prepare("sampler", body)  # no room for the outcomes
    host(2**28 + MB).prepare("sampler", body)


def test_outcomes_count_however_small_the_circuit_is() -> None:
    """Eight bytes a shot at least, on every device, and the text of the result."""
    mock = DeviceHost.load(DeviceSpec("bench", "mock", {"qubits": 5}, memory=64 * MB))
    bits = QuantumCircuit(2, 2)
    bits.measure([0, 1], [0, 1])
    pubs = [(bits, None, 1_000_000)]
    mock.prepare("sampler", sampler_body(pubs * 3))
    with pytest.raises(JobRefused, match=r"pubs\[\d\]: running the job takes at least .* MB for outcomes"):
        mock.prepare("sampler", sampler_body(pubs * 10))


def test_without_a_bound_nothing_is_refused_for_it() -> None:
    host(0).prepare("sampler", sampler_body([(plus(40), None, 1)]))


@pytest.mark.skipif(sys.platform != "linux", reason="the bound is the kernel's")
def test_a_simulator_that_gets_no_memory_is_told_from_one_that_fails() -> None:
    driver = AerDriver("a", {"method": "statevector", "threads": 1})
    program = driver.compile(plus(24))
    with pytest.raises(MemoryError), bounded_memory(100 * MB):
        driver.execute([Task(program, np.zeros((1, 0)), 10)], seed=1, memory=True)


def test_aer_is_told_what_a_run_may_take() -> None:
    driver = AerDriver("a", {"method": "statevector", "threads": 1})
    driver.memory = 64 * MB
    program = driver.compile(plus(24))
    with pytest.raises(MemoryError, match="64M"):
        driver.execute([Task(program, np.zeros((1, 0)), 10)], seed=1, memory=True)


def test_a_run_that_runs_out_of_memory_fails_with_the_number_and_the_setting() -> None:
    driver = host(64 * MB)
    driver._device.memory = 0  # as if preparation had not known
    outcome = driver.run("sampler", sampler_body([(plus(24), None, 10)]))
    assert isinstance(outcome, Failed)
    assert outcome.code == codes.OUT_OF_MEMORY
    assert outcome.reason == exceeded("big", 64 * MB)
    assert "64 MB (memory_mb of the device)" in outcome.reason


def groups(root: Path, own: str, files: dict[str, str]) -> Path:
    for name, text in {"proc/self/cgroup": own, **files}.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text + "\n")
    return root


@pytest.mark.parametrize(
    ("own", "files", "found"),
    [
        (
            "0::/a/b",
            {"sys/fs/cgroup/a/b/memory.max": "max", "sys/fs/cgroup/a/memory.max": "5000000"},
            5_000_000,
        ),
        (
            "0::/a",
            {"sys/fs/cgroup/a/memory.max": "7000000", "sys/fs/cgroup/memory.max": "6000000"},
            6_000_000,
        ),
        ("0::/../c", {"sys/fs/cgroup/memory.max": "4000000"}, 4_000_000),  # seen from inside of a container
        (
            "9:name=systemd:/\n4:cpu,memory:/x\n0::/",
            {"sys/fs/cgroup/memory/x/memory.limit_in_bytes": "3000000"},
            3_000_000,
        ),
    ],
)
def test_the_least_control_group_is_what_there_is(
    tmp_path: Path, own: str, files: dict[str, str], found: int
) -> None:
    assert machine_memory(groups(tmp_path, own, files)) == found


def test_without_a_limit_the_machine_is_what_there_is(tmp_path: Path) -> None:
    whole = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    assert machine_memory(tmp_path) == whole
    assert machine_memory(groups(tmp_path, "0::/", {"sys/fs/cgroup/memory.max": "max"})) == whole


@pytest.mark.parametrize(("total", "run"), [(64 * 1024, 32 * 1024), (3072, 1536), (600, 300)])
def test_a_run_leaves_half_of_the_machine(total: int, run: int) -> None:
    assert run_memory(total * MB) == run * MB
