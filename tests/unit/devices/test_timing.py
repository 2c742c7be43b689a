"""`timing = "realistic"`: how long a job has a simulated device, as it is estimated and as it is kept."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from datetime import datetime
from typing import Any

import pytest
from qiskit.circuit import Parameter, QuantumCircuit
from qiskit_ibm_runtime.decoders.result_decoder import ResultDecoder

from sojourn.devices.aer.clocked import CALIBRATION, JOB_OVERHEAD, REP_DELAY
from sojourn.devices.driver import DriverError, load_driver
from sojourn.worker.host import DeviceHost
from sojourn.worker.protocol.types import CALIBRATE, Completed, DeviceSpec
from tests.unit.worker.conftest import estimator_body, sampler_body
from tests.unit.worker.test_executor import circuit_program
from tests.unit.worker.test_noise_learner import QUICK, layered, with_circuits

ORDER = b'{"at": "2026-11-22T04:00:00+00:00", "number": 2}'
REAL: dict[str, Any] = {"timing": "realistic"}


def host(driver: str, virtual: bool = True, **options: Any) -> DeviceHost:
    return DeviceHost.load(DeviceSpec("d", driver, options, virtual=virtual))


def flip(qubits: int = 1) -> QuantumCircuit:
    circuit = QuantumCircuit(qubits, qubits)
    circuit.x(range(qubits))
    circuit.measure(range(qubits), range(qubits))
    return circuit


def estimate(device: DeviceHost, body: bytes, program: str = "sampler") -> float:
    return device.prepare(program, body).estimated_seconds


def completed(device: DeviceHost, body: bytes, program: str = "sampler") -> Completed:
    outcome = device.run(program, body)
    assert isinstance(outcome, Completed), outcome
    return outcome


def test_a_job_takes_its_overhead_and_each_shot_the_circuit_and_the_repetition_delay() -> None:
    device = host("fake", backend="FakeManilaV2", **REAL)
    target = load_driver("d", "fake", {"backend": "FakeManilaV2"}).target
    shot = target["x"][(0,)].duration + target["measure"][(0,)].duration + 250e-6
    assert estimate(device, sampler_body([(flip(), None, 1000)])) == pytest.approx(JOB_OVERHEAD + 1000 * shot)


def test_the_quick_formula_of_the_sources_is_about_right() -> None:
    """IBM's page gives 2 + 0.00035 x executions without a repetition delay of one's own."""
    device = host("fake", backend="FakeTorino", **REAL)
    found = estimate(device, sampler_body([(flip(4), None, 10_000)]))
    assert found == pytest.approx(2 + 0.00035 * 10_000, rel=0.3)


def test_a_jobs_own_repetition_delay_counts() -> None:
    device = host("fake", backend="FakeManilaV2", **REAL)
    pubs = [(flip(), None, 1000)]
    usual = estimate(device, sampler_body(pubs))
    longest = estimate(device, sampler_body(pubs, {"execution": {"rep_delay": 5e-4}}))
    assert longest - usual == pytest.approx(1000 * 250e-6)


def test_circuits_and_points_have_an_overhead_if_the_operator_says_so() -> None:
    pubs = [(flip(), None, 10), (flip(), None, 10), (_sweep(), [[0.1], [0.2], [0.3]], 10)]
    without, with_it = (
        estimate(host("fake", backend="FakeManilaV2", circuit_overhead=each, **REAL), sampler_body(pubs))
        for each in (0.0, 0.5)
    )
    assert with_it - without == pytest.approx(5 * 0.5)


def _sweep() -> QuantumCircuit:
    circuit = QuantumCircuit(1, 1)
    circuit.rz(Parameter("t"), 0)
    circuit.measure(0, 0)
    return circuit


def test_an_estimator_job_is_timed_by_the_same_model() -> None:
    device = host("aer", qubits=2, job_overhead=7.0, **REAL)
    ansatz = QuantumCircuit(2)
    ansatz.ry(Parameter("t"), 0)
    ansatz.cx(0, 1)
    body = estimator_body([(ansatz, "ZZ", [0.1], 0.1)])
    shots = device.prepare("estimator", body).executions
    assert estimate(device, body, "estimator") == pytest.approx(7.0 + shots * REP_DELAY)
    assert completed(device, body, "estimator").held == pytest.approx(7.0 + shots * REP_DELAY)


@pytest.mark.parametrize("driver", ["aer", "mock"])
def test_a_device_without_durations_has_a_repetition_delay_that_clients_can_read(driver: str) -> None:
    device = host(driver, qubits=3, job_overhead=0.0, **REAL)
    assert device.describe().configuration["default_rep_delay"] == pytest.approx(250.0)
    assert estimate(device, sampler_body([(flip(), None, 4000)])) == pytest.approx(1.0)
    instant = host(driver, qubits=3)
    assert instant.describe().configuration["default_rep_delay"] == 0.0
    assert estimate(instant, sampler_body([(flip(), None, 4000)])) == 0.0


def test_a_mock_takes_the_time_of_the_device_that_it_is_like() -> None:
    like = host("mock", like="FakeManilaV2", **REAL)
    real = host("fake", backend="FakeManilaV2", **REAL)
    body = sampler_body([(flip(), None, 1000)])
    assert completed(like, body).held == pytest.approx(estimate(real, body))


def test_with_a_virtual_clock_the_worker_says_how_long_the_device_is_held_and_waits_for_nothing() -> None:
    device = host("aer", qubits=2, job_overhead=3600.0, **REAL)
    body = sampler_body([(flip(), None, 1000)])
    outcome = completed(device, body)
    assert outcome.quantum_seconds == outcome.held == pytest.approx(3600.25)
    spans = ResultDecoder.decode(outcome.result.decode()).metadata["execution"]["execution_spans"]
    assert spans.duration == pytest.approx(3600.25, abs=1e-3)
    calibrated = completed(device, ORDER, CALIBRATE)
    assert calibrated.held == calibrated.quantum_seconds == CALIBRATION


def test_the_chunks_of_a_quantum_program_fill_the_time_of_the_device() -> None:
    device = host("aer", qubits=2, job_overhead=100.0, **REAL)
    body = json.dumps(circuit_program()).encode()
    whole = json.loads(completed(device, body, "executor").result)
    first, last = whole["metadata"]["chunk_timing"][0], whole["metadata"]["chunk_timing"][-1]
    taken = datetime.fromisoformat(last["stop"]) - datetime.fromisoformat(first["start"])
    assert taken.total_seconds() >= 100.0


def test_without_one_the_result_is_given_out_when_the_time_is_over() -> None:
    device = host("aer", virtual=False, qubits=2, job_overhead=0.2, calibration_seconds=0.1, **REAL)
    begun = time.monotonic()
    outcome = completed(device, sampler_body([(flip(), None, 400)]))
    assert time.monotonic() - begun >= 0.3
    assert (outcome.held, outcome.quantum_seconds >= 0.3) == (0.0, True)
    begun = time.monotonic()
    assert completed(device, ORDER, CALIBRATE).quantum_seconds >= 0.1
    assert time.monotonic() - begun >= 0.1


def test_an_instant_device_holds_nobody() -> None:
    outcome = completed(host("aer", qubits=2), sampler_body([(flip(), None, 1000)]))
    assert outcome.held == 0.0
    assert outcome.quantum_seconds < 60


@pytest.mark.parametrize(
    ("driver", "options", "said"),
    [
        ("aer", {"timing": "slow"}, "'timing' .* is 'slow'; allowed is instant or realistic"),
        ("aer", {"job_overhead": 1.0}, "'job_overhead' .* nothing while timing is \"instant\""),
        ("aer", {**REAL, "job_overhead": -1}, "'job_overhead' .* seconds from 0 to 3600"),
        ("fake", {"backend": "FakeManilaV2", **REAL, "circuit_overhead": 61}, "seconds from 0 to 60"),
        ("mock", {**REAL, "calibration_seconds": float("nan")}, "'calibration_seconds'"),
        ("mock", {**REAL, "seconds": 3}, "'timing' .* instant beside 'seconds'"),
    ],
)
def test_a_timing_that_cannot_be_is_refused_by_name(
    driver: str, options: Mapping[str, Any], said: str
) -> None:
    with pytest.raises(DriverError, match=said):
        load_driver("d", driver, options)


def test_a_learner_of_noise_has_the_overhead_of_a_job_for_each_layer() -> None:
    layers = layered(2, [(0, 1)], [(0, 1)])
    body = json.dumps(with_circuits([layers], **QUICK)).encode()
    real, instant = host("aer", qubits=2, job_overhead=50.0, **REAL), host("aer", qubits=2)
    planned = real.prepare("noise-learner", body)
    expected = instant.prepare("noise-learner", body).estimated_seconds + planned.executions * REP_DELAY
    more = (planned.estimated_seconds - expected) / 50.0
    assert more == pytest.approx(round(more))
    assert 1 <= round(more) <= 4
