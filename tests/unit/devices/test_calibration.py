"""What a calibration of a simulated device changes, and that the noise of later jobs is made of it."""

from __future__ import annotations

import copy
import json
import warnings
from typing import Any

import pytest
from qiskit.circuit import QuantumCircuit
from qiskit_aer.noise import NoiseModel
from qiskit_ibm_runtime.fake_provider import FakeManilaV2
from qiskit_ibm_runtime.models import BackendProperties

from sojourn.devices.aer.drift import WORST, drifted
from sojourn.devices.driver import Driver, load_driver
from sojourn.worker.host import DeviceHost
from sojourn.worker.protocol import messages
from sojourn.worker.protocol.types import CALIBRATE, Completed, DeviceSpec
from tests.unit.devices.test_cut_noise import full, random_circuit, run
from tests.unit.worker.conftest import sampler_body

AT = "2026-11-22T04:00:00+00:00"
ORDER = b'{"at": "2026-11-22T04:00:00+00:00", "number": 2}'


def manila(**options: Any) -> Driver:
    return load_driver("ibm_manila", "fake", {"backend": "FakeManilaV2", **options})


def without_dates(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: without_dates(v) for k, v in value.items() if k not in ("date", "last_update_date")}
    return [without_dates(v) for v in value] if isinstance(value, list) else value


def values(properties: Any) -> dict[tuple[str, ...], float]:
    """Every measured number by where it stands."""
    found: dict[tuple[str, ...], float] = {}
    for qubit, entries in enumerate(properties["qubits"]):
        found.update({(e["name"], str(qubit)): e["value"] for e in entries})
    for gate in properties["gates"]:
        place = ",".join(map(str, gate["qubits"]))
        found.update({(e["name"], gate["gate"], place): e["value"] for e in gate["parameters"]})
    return found


def test_without_drift_a_calibration_changes_the_dates_and_nothing_else() -> None:
    driver = manila()
    before = copy.deepcopy(driver.facts().properties)
    found = driver.calibrate(AT, 2).properties
    assert found is not None
    assert found["last_update_date"] == AT
    assert {e["date"] for entries in found["qubits"] for e in entries} == {AT}
    assert without_dates(found) == without_dates(before)
    assert driver.facts().properties == before, "nothing holds before it is applied"


def test_with_drift_times_and_errors_change_and_lengths_and_frequencies_do_not() -> None:
    driver = manila(drift=0.3, seed=5)
    before, after = values(driver.facts().properties), values(driver.calibrate(AT, 2).properties)
    changed = {key[0] for key in before if before[key] != after[key]}
    assert changed == {"T1", "T2", "readout_error", "prob_meas0_prep1", "prob_meas1_prep0", "gate_error"}
    for key, value in after.items():
        if "error" in key[0] or "prob" in key[0]:
            assert 0 <= value <= max(WORST, before[key])


def test_a_calibration_is_the_same_for_the_same_seed_and_number() -> None:
    one, two = manila(drift=0.3, seed=5), manila(drift=0.3, seed=5)
    assert one.calibrate(AT, 2) == two.calibrate(AT, 2)
    assert one.calibrate(AT, 2) != one.calibrate(AT, 3)
    assert one.calibrate(AT, 2) != manila(drift=0.3, seed=6).calibrate(AT, 2)


def test_t2_stays_physical_and_one_gate_has_one_error_in_both_directions() -> None:
    snapshot = manila().facts().properties
    assert snapshot is not None
    for number in range(20):
        found = values(drifted(snapshot, at=AT, sigma=1.0, seed=(1, number)))
        for qubit in "01234":
            assert found["T2", qubit] <= 2 * found["T1", qubit] * (1 + 1e-12)
            sides = (found["prob_meas0_prep1", qubit] + found["prob_meas1_prep0", qubit]) / 2
            assert found["readout_error", qubit] == pytest.approx(sides, abs=1e-4)
        assert found["gate_error", "cx", "0,1"] == found["gate_error", "cx", "1,0"]


def test_the_noise_of_later_jobs_is_that_of_the_applied_properties() -> None:
    driver, circuit = manila(drift=1.0, seed=5), random_circuit(3)
    under_the_snapshot = run(driver, circuit, 7)
    properties = driver.calibrate(AT, 2).properties
    assert properties is not None
    driver.apply_calibration(json.loads(json.dumps(properties)))
    assert driver.facts().properties == properties
    measured = BackendProperties.from_dict(copy.deepcopy(dict(properties)))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = NoiseModel.from_backend_properties(measured, dt=FakeManilaV2().dt)
    assert run(driver, circuit, 7) == full(circuit, model, 7) != under_the_snapshot


def test_what_an_earlier_version_measured_is_applied_with_gates_that_the_device_does_not_offer() -> None:
    """Else an upgrade takes a drifted device back to its snapshot. Early versions told of all gates of it."""
    driver = manila(drift=1.0, seed=5)
    found = driver.calibrate(AT, 2).properties
    assert found is not None
    earlier = copy.deepcopy(dict(found))
    other = {**earlier["gates"][0], "gate": "ccx", "qubits": [0, 1, 2], "name": "ccx0_1_2"}
    earlier["gates"] = [other, *earlier["gates"]]
    driver.apply_calibration(earlier)
    assert driver.facts().properties == found


def test_properties_of_another_backend_are_not_applied() -> None:
    driver = manila()
    before = driver.facts()
    other = load_driver("ibm_manila", "fake", {"backend": "FakeQuitoV2"}).facts().properties
    assert other is not None
    driver.apply_calibration(other)
    assert driver.facts() == before


@pytest.mark.parametrize("kind", ["aer", "mock"])
def test_a_device_without_properties_finds_itself_as_it_is(kind: str) -> None:
    driver = load_driver("x", kind, {"qubits": 3})
    assert driver.calibrate(AT, 2) == driver.facts()


def test_a_machine_runs_jobs_under_the_calibration_that_it_was_told() -> None:
    spec = DeviceSpec("ibm_manila", "fake", {"backend": "FakeManilaV2", "drift": 1.0, "seed": 5})
    told, fresh = DeviceHost.load(spec), DeviceHost.load(spec)
    circuit = QuantumCircuit(1, 1)
    circuit.x(0)
    circuit.measure(0, 0)
    job = sampler_body([(circuit, None, 4000)])
    one = told.run("sampler", job)
    found = told.run(CALIBRATE, ORDER)
    assert isinstance(found, Completed)
    description = messages.decode_description(found.result)
    assert isinstance(one, Completed)
    assert described(told) == described(fresh), "a calibration holds only once it is applied"
    for host in (told, fresh):
        host.apply_calibration(json.dumps(description.properties).encode())
        assert host.describe().properties == description.properties
    two, three = told.run("sampler", job), fresh.run("sampler", job)
    assert isinstance(two, Completed)
    assert isinstance(three, Completed)
    assert data_of(two) == data_of(three) != data_of(one)


def described(host: DeviceHost) -> Any:
    return host.describe().properties


def data_of(outcome: Completed) -> Any:
    """The result without its time stamps."""
    return json.loads(outcome.result)["__value__"]["pub_results"]


def test_a_users_job_cannot_be_a_calibration() -> None:
    from sojourn.worker.protocol.types import JobRefused

    host = DeviceHost.load(DeviceSpec("m", "mock", {"qubits": 2}))
    with pytest.raises(JobRefused, match="calibrate"):
        host.prepare(CALIBRATE, ORDER)


def test_a_drift_out_of_range_is_refused_with_the_range() -> None:
    with pytest.raises(Exception, match="from 0 to 1"):
        manila(drift=1.5)
