"""A fake device that drifts: what its jobs meet, what users are told, what a calibration mends and leaves."""

from __future__ import annotations

import json
import math
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pytest
from qiskit.circuit import QuantumCircuit

from sojourn.devices.aer.drifting.device import Drifting
from sojourn.devices.aer.drifting.rates import Rates
from sojourn.devices.conditions import Conditions
from sojourn.devices.driver import Driver, DriverError, Task, load_driver
from sojourn.worker.host import DeviceHost
from sojourn.worker.protocol import messages
from sojourn.worker.protocol.types import CALIBRATE, Completed, DeviceSpec
from tests.unit.devices.test_calibration import data_of, values, without_dates
from tests.unit.worker.conftest import sampler_body

NOW = 1_900_000_000.0
SHOTS = 40_000
WAIT = 216_000  # dt: 48 us
SEED = 5


def iso(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="seconds")


def device(**drift: float) -> Driver:
    still = {"frequency": 0.0, "amplitude": 0.0, "coherence": 0.0, "readout": 0.0}
    return load_driver("chip", "fake", {"backend": "FakeManilaV2", "seed": SEED, "drift": {**still, **drift}})


def snapshot() -> Any:
    return load_driver("chip", "fake", {"backend": "FakeManilaV2"}).facts().properties


def calibrate(driver: Driver, at: float) -> Any:
    """As the service does it: what was found comes back as JSON."""
    found = driver.calibrate(iso(at), 2).properties
    driver.apply_calibration(json.loads(json.dumps(found)))
    return found


def ones(driver: Driver, circuit: QuantumCircuit, seed: int) -> float:
    """The share of ones of the circuit's one bit."""
    task = Task(driver.compile(circuit), np.zeros((1, 0)), SHOTS)
    ((outcome,),) = driver.execute([task], seed=seed, memory=False)
    return float(outcome.counts[outcome.patterns[:, 0] == 1].sum()) / SHOTS


def ramsey(quarter: int) -> QuantumCircuit:
    circuit = QuantumCircuit(1, 1)
    circuit.sx(0)
    circuit.delay(WAIT, 0, unit="dt")
    circuit.rz(quarter * math.pi / 2, 0)
    circuit.sx(0)
    circuit.measure(0, 0)
    return circuit


def detuning(driver: Driver) -> float:
    """Hz, as a user would measure it on qubit 0; deviates by some 25."""
    found = [ones(driver, ramsey(quarter), 100 + quarter) for quarter in range(4)]
    phase = math.atan2(found[1] - found[3], found[0] - found[2])
    assert driver.target.dt is not None
    return float(phase / (2 * math.pi * WAIT * driver.target.dt))


def test_a_frequency_that_wandered_turns_a_waiting_qubit_as_far_as_it_should() -> None:
    driver = device(frequency=3000.0)
    expected = Drifting(snapshot(), Rates(frequency=3000.0), SEED)
    far = max(range(40), key=lambda hours: abs(expected.wrong(NOW + 3600.0 * hours, None).detuning[0]))
    for hours in (0, 1, far):
        at = NOW + 3600.0 * hours
        driver.pass_to(at)
        assert detuning(driver) == pytest.approx(expected.wrong(at, None).detuning[0], abs=150)
    assert abs(detuning(driver)) > 1500


def test_a_calibration_takes_the_detuning_away_and_it_comes_again() -> None:
    driver = device(frequency=3000.0)
    driver.pass_to(NOW)
    calibrate(driver, NOW)
    driver.pass_to(NOW)
    assert abs(detuning(driver)) < 150
    expected = Drifting(snapshot(), Rates(frequency=3000.0), SEED)
    later = NOW + 4 * 3600.0
    driver.pass_to(later)
    assert detuning(driver) == pytest.approx(expected.wrong(later, NOW).detuning[0], abs=150)


def test_users_are_told_the_last_calibration_while_the_device_moves_on() -> None:
    driver = device(frequency=2000.0, coherence=0.3, readout=0.3)
    before = driver.facts()
    driver.pass_to(NOW)
    assert driver.facts() == before
    found = calibrate(driver, NOW)
    told = driver.facts().properties
    driver.pass_to(NOW + 7200.0)
    assert driver.facts().properties == told == found
    changed = {key[0] for key in values(snapshot()) if values(snapshot())[key] != values(found)[key]}
    assert changed == {"T1", "T2", "frequency"}, "what wanders is measured; what was set is set anew"


def test_t1_is_measured_by_a_calibration_and_not_mended() -> None:
    drifting = Drifting(snapshot(), Rates(coherence=0.5), SEED)
    at = NOW + 3600.0
    found = {e["name"]: e["value"] for e in drifting.measured(iso(at))["qubits"][2]}
    for calibrated in (None, NOW, at):
        met = {e.name: e.value for e in drifting.qubits(at, calibrated)[2]}
        assert (met["T1"], met["T2"]) == (found["T1"], found["T2"])
    assert found["T1"] != {e["name"]: e["value"] for e in snapshot()["qubits"][2]}["T1"]


def test_t2_stays_physical_wherever_they_wander() -> None:
    drifting = Drifting(snapshot(), Rates(coherence=1.0), SEED)
    for number in range(200):
        for entries in drifting.qubits(NOW + 1e4 * number, None):
            met = {e.name: e.value for e in entries}
            assert met["T2"] <= 2 * met["T1"] * (1 + 1e-12)


def test_a_readout_out_of_adjustment_errs_more_and_a_calibration_mends_it() -> None:
    drifting = Drifting(snapshot(), Rates(readout=0.5), SEED)

    def errors(at: float, calibrated: float | None) -> list[float]:
        return [e.value for entries in drifting.qubits(at, calibrated) for e in entries if "error" in e.name]

    best = errors(NOW, NOW)
    assert best == [e["value"] for q in snapshot()["qubits"] for e in q if "error" in e["name"]]
    later = errors(NOW + 1e5, NOW)
    assert all(worse > good for worse, good in zip(later, best, strict=True))
    assert errors(NOW + 1e5, NOW + 1e5) == best


def test_pulses_that_drifted_turn_too_far() -> None:
    driver = device(amplitude=0.1)
    drifting = Drifting(snapshot(), Rates(amplitude=0.1), SEED)
    at = max((NOW + 1e4 * k for k in range(50)), key=lambda t: abs(drifting.wrong(t, None).rotation[0]))
    circuit = QuantumCircuit(1, 1)
    for _ in range(2):
        circuit.sx(0)
    circuit.measure(0, 0)
    straight = ones(driver, circuit, 1)
    driver.pass_to(at)
    turned = math.pi * (1 + drifting.wrong(at, None).rotation[0])
    contrast = 2 * straight - 1  # of readout and decay, which do not drift here
    assert ones(driver, circuit, 1) == pytest.approx((1 - contrast * math.cos(turned)) / 2, abs=0.015)
    assert abs(turned - math.pi) > 0.3


def test_workers_that_never_met_agree_at_the_same_time() -> None:
    one, two = device(frequency=2000.0, coherence=0.3), device(frequency=2000.0, coherence=0.3)
    for at in (NOW, NOW + 500.0, NOW + 90_000.0):
        one.pass_to(at)
    calibrate(one, NOW + 600.0)
    one.pass_to(NOW + 90_000.0)
    two.apply_calibration(one.facts().properties or {})  # as a worker that was started again gets it
    two.pass_to(NOW + 90_000.0)
    circuit = ramsey(1)
    assert ones(one, circuit, 7) == ones(two, circuit, 7)


def test_the_same_time_after_the_start_is_the_same_device() -> None:
    one, two = device(frequency=2000.0, start=0.0), device(frequency=2000.0, start=NOW)
    one.pass_to(1800.0)
    two.pass_to(NOW + 1800.0)
    assert ones(one, ramsey(1), 7) == ones(two, ramsey(1), 7)


def test_it_says_whether_it_has_changed_since() -> None:
    driver = device(frequency=2000.0)
    assert driver.pass_to(NOW)
    assert not driver.pass_to(NOW)
    assert driver.pass_to(NOW + 60.0)
    still = load_driver("chip", "fake", {"backend": "FakeManilaV2", "drift": 0.5})
    assert not still.pass_to(NOW)


def test_signals_of_the_readout_drift_as_bits_do() -> None:
    """The device under other conditions has the same detuning."""
    driver = device(frequency=3000.0)
    drifting = Drifting(snapshot(), Rates(frequency=3000.0), SEED)
    at = max((NOW + 1e4 * k for k in range(50)), key=lambda t: abs(drifting.wrong(t, None).detuning[0]))
    driver.pass_to(at)
    signals = driver.under(Conditions(level="kerneled"))
    task = Task(signals.compile(ramsey(1)), np.zeros((1, 0)), SHOTS)
    ((outcome,),) = signals.execute([task], seed=3, memory=True)
    assert outcome.signal is not None
    above = float(np.mean(outcome.signal[:, 0].real > 0))
    assert above == pytest.approx(ones(driver, ramsey(1), 3), abs=0.02)


def test_a_host_compiles_anew_when_the_device_has_changed() -> None:
    spec = DeviceSpec(
        "chip", "fake", {"backend": "FakeManilaV2", "seed": SEED, "drift": {"frequency": 4000.0}}
    )
    host, fresh = DeviceHost.load(spec), DeviceHost.load(spec)
    job = sampler_body([(ramsey(1), None, 4000)])
    found: dict[float, list[Any]] = {}
    for at in (NOW, NOW + 36_000.0, NOW):
        outcome = host.run("sampler", job, at)
        assert isinstance(outcome, Completed)
        found.setdefault(at, []).append(data_of(outcome))
    assert found[NOW][0] == found[NOW][1] != found[NOW + 36_000.0][0]
    order = json.dumps({"at": iso(NOW + 36_000.0), "number": 2}).encode()
    measured = host.run(CALIBRATE, order, NOW + 36_000.0)
    assert isinstance(measured, Completed)
    properties = messages.decode_description(measured.result).properties
    assert without_dates(properties) != without_dates(fresh.describe().properties)
    for each in (host, fresh):
        each.apply_calibration(json.dumps(properties).encode())
    after = [each.run("sampler", job, NOW + 36_000.0) for each in (host, fresh)]
    one, two = [data_of(outcome) for outcome in after if isinstance(outcome, Completed)]
    assert one == two != found[NOW + 36_000.0][0]


@pytest.mark.parametrize(
    ("drift", "said"),
    [
        ({"frequency": -1.0}, r"'drift.frequency' .* is -1.0; allowed is a number from 0 to 1e\+06"),
        ({"frequency": float("nan")}, "'drift.frequency'"),
        ({"coherence_time": 0.1}, r"'drift.coherence_time' .* from 1 to"),
        ({"readout": True}, "'drift.readout'"),
        ({"speed": 1}, "it has no speed"),
        ("fast", "a number from 0 to 1, or a table"),
    ],
)
def test_a_drift_that_cannot_be_is_refused_by_name(drift: Any, said: str) -> None:
    with pytest.raises(DriverError, match=said):
        load_driver("chip", "fake", {"backend": "FakeManilaV2", "drift": drift})


def test_pauli_noise_and_errors_that_are_none_are_refused_together() -> None:
    options = {"backend": "FakeManilaV2", "noise": "pauli"}
    with pytest.raises(DriverError, match="no Pauli errors"):
        load_driver("chip", "fake", {**options, "drift": {}})
    load_driver("chip", "fake", {**options, "drift": {"frequency": 0, "amplitude": 0}})
