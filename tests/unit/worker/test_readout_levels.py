"""Levels of measurement, initialisation and timing in the programs, as the client sends and reads them."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import pytest
from qiskit import transpile
from qiskit.circuit import ClassicalRegister, Parameter, QuantumCircuit, QuantumRegister
from qiskit_ibm_runtime.quantum_program import QuantumProgram

from sojourn.worker.host import DeviceHost
from sojourn.worker.programs import tally
from sojourn.worker.protocol.types import DeviceSpec, JobRefused
from tests.unit.worker.conftest import estimator_body, result, sampler_body
from tests.unit.worker.test_executor import encoded, refusal, run


def measured(level: str) -> dict[str, Any]:
    return {"execution": {"meas_type": level}}


def two_registers() -> QuantumCircuit:
    circuit = QuantumCircuit(QuantumRegister(3), ClassicalRegister(1, "one"), ClassicalRegister(2, "two"))
    circuit.rx(Parameter("a"), 1)
    circuit.x(2)
    circuit.measure(0, circuit.cregs[0][0])
    circuit.measure([1, 2], circuit.cregs[1])
    return circuit


VALUES = np.array([[[0.0], [math.pi]], [[math.pi], [0.0]], [[0.0], [0.0]]])  # (3, 2, 1)


def test_kerneled_gives_each_register_a_complex_number_for_each_shot_and_bit(aer: DeviceHost) -> None:
    found = result(aer, "sampler", sampler_body([(two_registers(), VALUES, 25)], measured("kerneled")))
    data = found[0].data
    assert data.shape == (3, 2)
    assert (data.one.shape, data.two.shape) == ((3, 2, 25, 1), (3, 2, 25, 2))
    assert np.iscomplexobj(data.one)
    assert not (data.one.real > 0).any()
    assert ((data.two[..., 0].real > 0) == (VALUES > 1)).all()
    assert (data.two[..., 1].real > 0).all()
    assert found[0].metadata["shots"] == 25
    spans = found.metadata["execution"]["execution_spans"]
    assert spans[0].mask(0).shape == (3, 2, 25)


def test_avg_kerneled_gives_one_number_for_each_bit(aer: DeviceHost) -> None:
    found = result(aer, "sampler", sampler_body([(two_registers(), VALUES, 400)], measured("avg_kerneled")))
    data = found[0].data
    assert (data.one.shape, data.two.shape) == ((3, 2, 1), (3, 2, 2))
    assert ((data.two[..., 0].real > 0) == (VALUES[..., 0] > 1)).all()


def test_a_pub_without_points_has_no_axis_for_them(manila: DeviceHost) -> None:
    circuit = QuantumCircuit(1, 1)
    circuit.measure(0, 0)
    for level, shape in (("kerneled", (10, 1)), ("avg_kerneled", (1,))):
        found = result(manila, "sampler", sampler_body([(circuit, None, 10)], measured(level)))
        assert found[0].data.c.shape == shape


def test_a_result_of_signals_that_is_too_large_is_refused_at_submit(aer: DeviceHost) -> None:
    circuit = QuantumCircuit(12)
    circuit.measure_all()
    big = sampler_body([(circuit, None, 1_000_000)] * 3, measured("kerneled"))
    with pytest.raises(JobRefused, match="which is the limit"):
        aer.prepare("sampler", big)
    aer.prepare("sampler", sampler_body([(circuit, None, 1_000_000)] * 3, measured("avg_kerneled")))


def test_signals_count_in_the_memory_of_a_run() -> None:
    small = DeviceHost.load(DeviceSpec("small", "aer", {"qubits": 8}, memory=40 * 2**20))
    circuit = QuantumCircuit(8)
    circuit.measure_all()
    small.prepare("sampler", sampler_body([(circuit, None, 100_000)]))
    with pytest.raises(JobRefused, match="memory"):
        small.prepare("sampler", sampler_body([(circuit, None, 500_000)], measured("kerneled")))


def test_signals_of_dynamic_circuits_are_refused_at_submit(aer: DeviceHost) -> None:
    circuit = QuantumCircuit(1, 1)
    circuit.measure(0, 0)
    with circuit.if_test((circuit.clbits[0], 1)):
        circuit.x(0)
    with pytest.raises(JobRefused, match=r"pubs\[0\]: a level of measurement of 'kerneled'"):
        aer.prepare("sampler", sampler_body([(circuit, None, 5)], measured("kerneled")))


# init_qubits


def test_shots_go_on_where_the_last_one_ended(aer: DeviceHost) -> None:
    circuit = QuantumCircuit(1, 1)
    circuit.x(0)
    circuit.measure(0, 0)
    options = {"execution": {"init_qubits": False}}
    found = result(aer, "sampler", sampler_body([(circuit, None, 6)], options))
    assert found[0].data.c.get_bitstrings() == ["1", "0"] * 3
    plain = {"execution": {"init_qubits": True}}
    found = result(aer, "sampler", sampler_body([(circuit, None, 6)], plain))
    assert found[0].data.c.get_bitstrings() == ["1"] * 6


def test_the_estimator_does_not_initialise_either(aer: DeviceHost) -> None:
    circuit = QuantumCircuit(1)
    circuit.x(0)
    options = {"execution": {"init_qubits": False}, "default_shots": 1000}
    found = result(aer, "estimator", estimator_body([(circuit, {"Z": 1.0})], options))
    assert found[0].data.evs == pytest.approx(0.0)


def test_the_repetition_delay_is_the_time_in_which_qubits_decay(torino: DeviceHost) -> None:
    circuit = QuantumCircuit(133, 1)
    circuit.x(0)
    circuit.measure(0, 0)
    ones = []
    for delay in (0.0, 500e-6):
        options = {"execution": {"init_qubits": False, "rep_delay": delay}}
        ones.append(
            result(torino, "sampler", sampler_body([(circuit, None, 4000)], options))[0]
            .data.c.get_counts()
            .get("1", 0)
        )
    assert ones[0] < 2400 < ones[1]


def test_jobs_that_are_not_initialised_are_bounded(aer: DeviceHost, monkeypatch: pytest.MonkeyPatch) -> None:
    circuit = QuantumCircuit(1, 1)
    circuit.rx(Parameter("a"), 0)
    circuit.measure(0, 0)
    options = {"execution": {"init_qubits": False}}
    monkeypatch.setattr(tally, "MAX_CARRIED", 1000)
    monkeypatch.setattr(tally, "MAX_CARRIED_CIRCUITS", 20)
    for points, shots in ((1, 1001), (21, 1)):
        body = sampler_body([(circuit, np.zeros((points, 1)), shots)], options)
        with pytest.raises(
            JobRefused, match=f"{points * shots} executions .* of {points} circuits with init"
        ):
            aer.prepare("sampler", body)
    aer.prepare("sampler", sampler_body([(circuit, np.zeros((20, 1)), 50)], options))


# timing


def stretched() -> QuantumCircuit:
    circuit = QuantumCircuit(2, 1)
    fill = circuit.add_stretch("s")
    circuit.barrier(0, 1)
    circuit.delay(12_000, 0)
    circuit.delay(fill, 1)
    circuit.x(1)
    circuit.barrier(0, 1)
    circuit.measure(0, 0)
    return circuit


@pytest.mark.parametrize("place", ["execution", "experimental"])
def test_the_sampler_tells_timing_and_stretches_in_the_metadata_of_a_pub(
    torino: DeviceHost, place: str
) -> None:
    asked: dict[str, Any] = {"scheduler_timing": True, "stretch_values": True}
    options = {"execution": asked} if place == "execution" else {"experimental": {"execution": asked}}
    found = result(torino, "sampler", sampler_body([(stretched(), None, 5)], options))
    told = found[0].metadata["compilation"]
    assert set(told) == {"scheduler_timing", "stretch_values"}
    timing = told["scheduler_timing"]
    assert isinstance(timing["circuit_duration"], int)
    lines = [line.split(",") for line in timing["timing"].splitlines()]
    assert {len(line) for line in lines} == {6}
    (stretch,) = told["stretch_values"]
    assert set(stretch) == {"name", "value", "remainder", "expanded_values"}
    delays = [[int(line[3]), int(line[4])] for line in lines if line[1] == "delay_1"]
    assert delays == stretch["expanded_values"]


def test_nothing_is_told_that_was_not_asked_for(torino: DeviceHost) -> None:
    options = {"execution": {"scheduler_timing": False, "stretch_values": None}}
    found = result(torino, "sampler", sampler_body([(stretched(), None, 5)], options))
    assert set(found[0].metadata) == {"shots", "circuit_metadata"}
    only = {"execution": {"stretch_values": True}}
    found = result(torino, "sampler", sampler_body([(stretched(), None, 5)], only))
    assert list(found[0].metadata["compilation"]) == ["stretch_values"]


def test_other_experimental_options_are_refused_by_their_name(aer: DeviceHost) -> None:
    circuit = QuantumCircuit(1, 1)
    circuit.measure(0, 0)
    wrong = {"experimental": {"execution": {"fast_parametric_update": True, "scheduler_timing": 1}}}
    with pytest.raises(JobRefused) as caught:
        aer.prepare("sampler", sampler_body([circuit], wrong))
    assert "options.experimental.execution.fast_parametric_update = True is not" in caught.value.message
    assert "options.experimental.execution.scheduler_timing = 1" in caught.value.message


# the executor


def program(
    level: str, circuit: QuantumCircuit | None = None, shots: int = 30, **options: Any
) -> dict[str, Any]:
    made = QuantumProgram(shots=shots, meas_level=level)
    made.append_circuit_item(
        circuit or two_registers(), circuit_arguments=VALUES if circuit is None else None
    )
    return encoded(made, **options)


@pytest.mark.parametrize(
    ("level", "shapes"),
    [
        ("classified", {"one": (3, 2, 30, 1), "two": (3, 2, 30, 2)}),
        ("kerneled", {"one_iq": (3, 2, 30, 1), "two_iq": (3, 2, 30, 2)}),
        ("avg_kerneled", {"one_avg_iq": (3, 2, 1), "two_avg_iq": (3, 2, 2)}),
        (
            "both",
            {
                "one": (3, 2, 30, 1),
                "one_iq": (3, 2, 30, 1),
                "two": (3, 2, 30, 2),
                "two_iq": (3, 2, 30, 2),
            },
        ),
    ],
)
def test_the_executor_names_signals_as_the_client_looks_for_them(
    aer: DeviceHost, level: str, shapes: dict[str, tuple[int, ...]]
) -> None:
    found = run(aer, program(level))[0]
    assert {name: values.shape for name, values in found.items()} == shapes
    if level == "both":
        assert ((found["two_iq"].real > 0) == found["two"]).all()


def test_a_register_that_would_take_the_name_of_anothers_signals_is_refused(aer: DeviceHost) -> None:
    circuit = QuantumCircuit(QuantumRegister(1), ClassicalRegister(1, "a"), ClassicalRegister(1, "a_iq"))
    circuit.measure(0, 0)
    assert "the result 'a_iq' of a classical register has the name of" in refusal(
        aer, program("both", circuit)
    )
    assert set(run(aer, program("kerneled", circuit))[0]) == {"a_iq", "a_iq_iq"}


def test_the_executor_tells_timing_and_stretches_of_each_item(torino: DeviceHost) -> None:
    made = program("classified", stretched(), scheduler_timing=True, stretch_values=True)
    metadata = run(torino, made)[0].metadata
    assert metadata.scheduler_timing.circuit_duration > 12_000
    assert metadata.scheduler_timing.timing.startswith("main,barrier,Qubit 0,0,0,barrier\n")
    assert metadata.stretch_values[0].name == "s"
    bare = run(torino, program("classified", stretched()))[0].metadata
    assert (bare.scheduler_timing, bare.stretch_values) == (None, None)
    asked = program("classified", stretched())
    asked["options"]["experimental"] = {"execution": {"scheduler_timing": True}}
    assert run(torino, asked)[0].metadata.scheduler_timing == metadata.scheduler_timing


def test_the_executor_carries_qubits_from_shot_to_shot(aer: DeviceHost) -> None:
    circuit = QuantumCircuit(1, 1)
    circuit.x(0)
    circuit.measure(0, 0)
    found = run(aer, program("classified", circuit, shots=6, init_qubits=False))
    assert found[0]["c"][:, 0].tolist() == [True, False] * 3


def test_kerneled_data_of_noisy_devices_classify_as_bits_do(manila: DeviceHost) -> None:
    circuit = QuantumCircuit(2, 2)
    circuit.h(0)
    circuit.cx(0, 1)
    circuit.measure([0, 1], [0, 1])
    isa = transpile(circuit, basis_gates=["sx", "rz", "cx", "x"], coupling_map=[[0, 1]], optimization_level=1)
    shots = 30_000
    bits = result(manila, "sampler", sampler_body([(isa, None, shots)], {"simulator": {"seed_simulator": 2}}))
    points = result(
        manila,
        "sampler",
        sampler_body([(isa, None, shots)], {**measured("kerneled"), "simulator": {"seed_simulator": 3}}),
    )
    numbers = (points[0].data.c.real > 0) @ np.array([1, 2])
    counts = bits[0].data.c.get_int_counts()
    for number in range(4):
        share = float((numbers == number).mean())
        assert share == pytest.approx(counts.get(number, 0) / shots, abs=5 * math.sqrt(0.5 / shots))


def test_a_mock_device_gives_signals_and_timing_of_the_right_shape() -> None:
    like = {"like": {"driver": "fake", "options": {"backend": "FakeManilaV2"}}}
    mock = DeviceHost.load(DeviceSpec("mock_manila", "mock", like))
    circuit = QuantumCircuit(2, 2)
    circuit.x(0)
    circuit.measure([0, 1], [0, 1])
    options = {"execution": {"meas_type": "kerneled", "scheduler_timing": True, "init_qubits": False}}
    found = result(mock, "sampler", sampler_body([(circuit, None, 7)], options))
    assert found[0].data.c.shape == (7, 2)
    assert found[0].metadata["compilation"]["scheduler_timing"]["circuit_duration"] > 0
    assert json.dumps(mock.describe().configuration["meas_levels"]) == "[1, 2]"


@pytest.mark.parametrize(
    ("option", "value", "allowed"),
    [
        ("meas_type", "both", '"avg_kerneled"'),
        ("meas_type", 1, '"kerneled"'),
        ("init_qubits", 0, "true or false"),
    ],
)
def test_another_value_is_refused_with_what_is_allowed(
    aer: DeviceHost, option: str, value: Any, allowed: str
) -> None:
    body = sampler_body([QuantumCircuit(1, 1)], {"execution": {option: value}})
    with pytest.raises(JobRefused) as caught:
        aer.prepare("sampler", body)
    assert f"options.execution.{option} = {value!r}" in caught.value.message
    assert allowed in caught.value.message
