"""The program sampler, as the real client encodes its jobs and decodes its results."""

from __future__ import annotations

import numpy as np
import pytest
from qiskit.circuit import ClassicalRegister, Parameter, QuantumCircuit, QuantumRegister
from qiskit.circuit.classical import expr
from qiskit.primitives import BackendSamplerV2
from qiskit_aer import AerSimulator
from qiskit_ibm_runtime.execution_span import DoubleSliceSpan, ExecutionSpans

from sojourn.worker.host import DeviceHost
from sojourn.worker.protocol.types import Completed
from tests.unit.worker.conftest import body, result, sampler_body


def bell() -> QuantumCircuit:
    circuit = QuantumCircuit(2, metadata={"name": "bell", "n": [1, 2]})
    circuit.h(0)
    circuit.cx(0, 1)
    circuit.measure_all()
    return circuit


def test_a_bell_pair_comes_back_as_the_client_knows_it(aer: DeviceHost) -> None:
    found = result(aer, "sampler", sampler_body([bell()]))
    counts = found[0].data.meas.get_counts()
    assert set(counts) == {"00", "11"}
    assert sum(counts.values()) == 4096
    assert found[0].metadata == {"shots": 4096, "circuit_metadata": {"name": "bell", "n": [1, 2]}}
    assert found.metadata["version"] == 2


def test_execution_spans_cover_all_data(aer: DeviceHost) -> None:
    angle = Parameter("a")
    circuit = QuantumCircuit(1)
    circuit.rx(angle, 0)
    circuit.measure_all()
    found = result(aer, "sampler", sampler_body([(circuit, np.zeros((2, 3, 1)), 7), bell()]))
    spans = found.metadata["execution"]["execution_spans"]
    assert isinstance(spans, ExecutionSpans)
    assert isinstance(spans[0], DoubleSliceSpan)
    assert spans.pub_idxs == [0, 1]
    assert spans[0].mask(0).shape == (2, 3, 7)
    assert spans[0].mask(0).all()
    assert spans[0].mask(1).shape == (4096,)
    assert spans.duration >= 0


def test_several_registers_and_loose_bits_keep_their_places(aer: DeviceHost) -> None:
    a, b = ClassicalRegister(3, "a"), ClassicalRegister(10, "b")
    qubits = QuantumRegister(5)
    circuit = QuantumCircuit(qubits, a, b)
    circuit.x(qubits[1])
    circuit.x(qubits[4])
    circuit.measure(qubits[1], a[2])
    circuit.measure(qubits[4], b[9])
    circuit.measure(qubits[0], b[0])
    data = result(aer, "sampler", sampler_body([(circuit, [], 50)]))[0].data
    assert data.a.get_counts() == {"100": 50}
    assert data.b.get_counts() == {"1000000000": 50}
    assert data.b.array.shape == (50, 2)


def test_registers_that_share_bits_are_read_separately(aer: DeviceHost) -> None:
    whole = ClassicalRegister(4, "whole")
    circuit = QuantumCircuit(QuantumRegister(2), whole)
    circuit.add_register(ClassicalRegister(name="swapped", bits=[whole[2], whole[0]]))
    circuit.x(0)
    circuit.measure(0, 0)
    circuit.measure(1, 2)
    data = result(aer, "sampler", sampler_body([(circuit, [], 20)]))[0].data
    assert data.whole.get_counts() == {"0001": 20}
    assert data.swapped.get_counts() == {"10": 20}


@pytest.mark.parametrize("shape", [(), (1,), (4,), (2, 3)])
def test_parameters_of_any_shape(aer: DeviceHost, shape: tuple[int, ...]) -> None:
    circuit = QuantumCircuit(2, 2)
    circuit.rx(Parameter("b"), 0)
    circuit.rx(Parameter("a"), 1)
    circuit.measure([0, 1], [0, 1])
    random = np.random.default_rng(1).integers(0, 2, size=(*shape, 2))
    data = result(aer, "sampler", sampler_body([(circuit, np.pi * random, 30)]))[0].data
    assert data.shape == shape
    assert data.c.shape == shape
    assert data.c.num_shots == 30
    for index in np.ndindex(shape):
        a, b = random[index]  # values run over the parameters by name: a acts on qubit 1
        assert data.c.get_counts(index) == {f"{a}{b}": 30}


def test_several_pubs_with_shots_of_their_own(aer: DeviceHost) -> None:
    params = sampler_body([(bell(), None, 10), (bell(), None, 20), bell()], {"default_shots": 33})
    found = result(aer, "sampler", params)
    assert [pub.data.meas.num_shots for pub in found] == [10, 20, 33]
    assert [pub.metadata["shots"] for pub in found] == [10, 20, 33]


def test_the_same_seed_gives_the_same_shots(aer: DeviceHost) -> None:
    params = sampler_body([bell()], {"simulator": {"seed_simulator": 7}})
    first, second = (result(aer, "sampler", params)[0].data.meas.array for _ in range(2))
    assert np.array_equal(first, second)
    other = result(aer, "sampler", sampler_body([bell()]))[0].data.meas.array
    assert not np.array_equal(first, other)


def test_it_agrees_shot_by_shot_with_qiskits_own_sampler(aer: DeviceHost) -> None:
    circuit = QuantumCircuit(3)
    circuit.add_register(ClassicalRegister(2, "x"), ClassicalRegister(1, "y"))
    circuit.ry(Parameter("t"), 0)
    circuit.cx(0, 1)
    circuit.ry(0.7, 2)
    circuit.measure([0, 1, 2], [2, 0, 1])
    values = np.linspace(0, 3, 4).reshape(2, 2, 1)
    simulator = AerSimulator(method="statevector", max_parallel_threads=1)
    reference = BackendSamplerV2(backend=simulator, options={"seed_simulator": 5})
    expected = reference.run([(circuit, values)], shots=500).result()[0].data
    params = sampler_body([(circuit, values, 500)], {"simulator": {"seed_simulator": 5}})
    data = result(aer, "sampler", params)[0].data
    assert np.array_equal(data.x.array, expected.x.array)
    assert np.array_equal(data.y.array, expected.y.array)


def test_mid_circuit_measurement_and_control_flow(aer: DeviceHost) -> None:
    circuit = QuantumCircuit(2)
    first, second = ClassicalRegister(1, "first"), ClassicalRegister(1, "second")
    circuit.add_register(first, second)
    circuit.h(0)
    circuit.measure(0, first[0])
    with circuit.if_test((first, 1)):
        circuit.x(1)
    circuit.measure(1, second[0])
    data = result(aer, "sampler", sampler_body([(circuit, None, 200)]))[0].data
    assert np.array_equal(data.first.array, data.second.array)
    assert 50 < data.first.array.sum() < 150


def test_switch_for_while_reset_and_parameters_inside_blocks(aer: DeviceHost) -> None:
    angle = Parameter("angle")
    circuit = QuantumCircuit(3, 3)
    circuit.x(0)
    circuit.measure(0, 0)
    with circuit.switch(expr.lift(circuit.clbits[0])) as case:
        with case(True):
            circuit.rx(angle, 1)
        with case(case.DEFAULT):
            circuit.x(2)
    with circuit.for_loop(range(3)):
        circuit.x(2)
    circuit.reset(0)
    circuit.measure([0, 1, 2], [0, 1, 2])
    data = result(aer, "sampler", sampler_body([(circuit, np.array([[np.pi], [0.0]]), 20)]))[0].data
    assert data.c.get_counts(0) == {"110": 20}
    assert data.c.get_counts(1) == {"100": 20}


def test_control_flow_on_a_noisy_device(torino: DeviceHost) -> None:
    circuit = QuantumCircuit(133, 2)
    circuit.x(5)
    circuit.measure(5, 0)
    with circuit.if_test((circuit.clbits[0], 1)):
        circuit.x(6)
    circuit.measure(6, 1)
    counts = result(torino, "sampler", sampler_body([(circuit, None, 500)]))[0].data.c.get_counts()
    assert counts["11"] > 350


def test_wide_registers(aer: DeviceHost, mock: DeviceHost) -> None:
    circuit = QuantumCircuit(127)
    circuit.measure_all()
    data = result(mock, "sampler", sampler_body([(circuit, None, 11)]))[0].data
    assert data.meas.num_bits == 127
    assert data.meas.array.shape == (11, 16)
    assert len(data.meas.get_bitstrings()[0]) == 127
    small = QuantumCircuit(12)
    small.x(11)
    small.measure_all()
    assert result(aer, "sampler", sampler_body([(small, None, 3)]))[0].data.meas.get_counts() == {
        "100000000000": 3
    }


def test_a_circuit_without_registers_gives_an_empty_result_and_says_so(aer: DeviceHost) -> None:
    circuit = QuantumCircuit(1)
    circuit.h(0)
    params = sampler_body([circuit])
    assert "no classical register" in aer.prepare("sampler", params).warnings[0]
    outcome = aer.run("sampler", params)
    assert isinstance(outcome, Completed)
    assert "no classical register" in outcome.logs
    assert list(result(aer, "sampler", params)[0].data) == []


@pytest.mark.parametrize("qubits", [0, 1, 3])
def test_a_circuit_without_measurements_gives_zeros_and_says_so(aer: DeviceHost, qubits: int) -> None:
    circuit = QuantumCircuit(qubits, 2)
    params = sampler_body([(circuit, None, 5)])
    assert "no measurement" in aer.prepare("sampler", params).warnings[0]
    assert result(aer, "sampler", params)[0].data.c.get_counts() == {"00": 5}


def test_only_measurements(aer: DeviceHost) -> None:
    circuit = QuantumCircuit(2, 2)
    circuit.measure([0, 1], [0, 1])
    assert result(aer, "sampler", sampler_body([(circuit, None, 5)]))[0].data.c.get_counts() == {"00": 5}


def test_other_clients_send_openqasm_3_and_lists(torino: DeviceHost) -> None:
    text = (
        'OPENQASM 3.0; include "stdgates.inc"; input float[64] theta; bit[2] c;'
        "sx $3; rz(theta) $3; sx $3; c[0] = measure $3; c[1] = measure $4;"
    )
    found = result(
        torino, "sampler", body([[text, [[0.0], [3.141592653589793]], 100], [text, [0.0]]], shots=64)
    )
    assert found[0].data.c.get_counts(0).get("01", 0) > 80
    assert found[0].data.c.get_counts(1).get("00", 0) > 80
    assert found[1].data.c.num_shots == 64


def test_what_a_job_will_cost_is_known_before(torino: DeviceHost) -> None:
    circuit = QuantumCircuit(133, 1)
    circuit.sx(0)
    circuit.delay(250_000, 0, unit="dt")  # of 4 ns
    circuit.measure(0, 0)
    prepared = torino.prepare("sampler", sampler_body([(circuit, np.zeros((3, 0)), 100)]))
    assert (prepared.num_circuits, prepared.num_qubits, prepared.executions) == (3, 133, 300)
    assert prepared.estimated_seconds == pytest.approx(300 * (1e-3 + 250e-6), rel=0.01)
    slower = {"execution": {"rep_delay": 500e-6}}
    longer = torino.prepare("sampler", sampler_body([(circuit, np.zeros((3, 0)), 100)], slower))
    assert longer.estimated_seconds == pytest.approx(300 * (1e-3 + 500e-6), rel=0.01)
