"""Tasks as sampler jobs, and back: run by our own sampler on a simulator, as the other service would."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from qiskit.circuit import ClassicalRegister, Clbit, Parameter, QuantumCircuit, QuantumRegister, Qubit

from sojourn.devices.aer.ideal import AerDriver
from sojourn.devices.bits import take_bits
from sojourn.devices.driver import Outcome, Task
from sojourn.devices.remote import payload
from sojourn.devices.remote.payload import Bounds, SentCircuit, Unreadable
from sojourn.worker.host import DeviceHost
from sojourn.worker.protocol.types import Completed, DeviceSpec

NOTHING = np.zeros((1, 0))


def sent(circuit: QuantumCircuit, values: Any = NOTHING, shots: int = 100) -> Task:
    return Task(SentCircuit(circuit, payload.NEWEST_QPY, 1e-9), np.asarray(values, dtype=float), shots)


def there(tasks: Sequence[Task], bounds: Bounds | None = None, seed: int | None = 7) -> list[list[Outcome]]:
    """What comes back of a service with an ideal device of five qubits."""
    host = DeviceHost(DeviceSpec("far", "aer"), AerDriver("far", {"qubits": 5}))
    found: list[list[Outcome]] = [[] for _ in tasks]
    for pieces in payload.jobs_of(tasks, bounds or Bounds()):
        outcome = host.run("sampler", payload.params_of(pieces, seed))
        assert isinstance(outcome, Completed), outcome
        for piece, points in zip(pieces, payload.outcomes_of(pieces, outcome.result), strict=True):
            found[piece.task].extend(points)
    return found


def strings(outcome: Outcome, bits: int) -> list[str]:
    packed = take_bits(outcome.memory(), bits, list(range(bits)))
    return ["".join(map(str, row[-bits:])) for row in np.unpackbits(packed, axis=-1)]


def flips(bits: str) -> QuantumCircuit:
    """A circuit that always gives these bits, the last of which is bit 0."""
    circuit = QuantumCircuit(5, len(bits))
    for number, bit in enumerate(reversed(bits)):
        if bit == "1":
            circuit.x(number % 5)
        circuit.measure(number % 5, number)
        if bit == "1":
            circuit.x(number % 5)
    return circuit


@pytest.mark.parametrize("bits", ["1", "10", "1000110", "10001101", "100011011", "1011000110110010111"])
def test_every_bit_has_its_place(bits: str) -> None:
    ((outcome,),) = there([sent(flips(bits), shots=20)])
    assert strings(outcome, len(bits)) == [bits] * 20
    assert outcome.counts.tolist() == [20]


def test_registers_of_any_order_and_width_are_joined() -> None:
    """Bits in two registers, in reverse order in one, and some in none."""
    bits = [Clbit() for _ in range(11)]
    circuit = QuantumCircuit([Qubit() for _ in range(5)], bits)
    circuit.add_register(ClassicalRegister(bits=[bits[4], bits[1], bits[9]], name="mixed"))
    circuit.add_register(ClassicalRegister(bits=bits[2:5], name="also"))
    circuit.x(0)
    for number in (0, 4, 9, 10):
        circuit.measure(0, number)
    ((outcome,),) = there([sent(circuit, shots=10)])
    assert strings(outcome, 11) == ["11000010001"] * 10


def test_shots_come_in_their_order_and_points_in_theirs() -> None:
    angle = Parameter("a")
    circuit = QuantumCircuit(2, 2)
    circuit.rx(angle, 0)
    circuit.h(1)
    circuit.measure([0, 1], [0, 1])
    ((first, second, third),) = there([sent(circuit, [[0.0], [np.pi], [np.pi / 2]], shots=300)])
    assert {line[1] for line in strings(first, 2)} == {"0"}
    assert {line[1] for line in strings(second, 2)} == {"1"}
    assert 80 < sum(line[1] == "1" for line in strings(third, 2)) < 220
    for outcome in (first, second, third):
        assert outcome.order is not None
        assert np.bincount(outcome.order).tolist() == outcome.counts.tolist()
        assert len(set(strings(outcome, 2)[:20])) > 1, "the order is not one of sorted shots"


def test_a_seed_goes_with_the_job() -> None:
    circuit = QuantumCircuit(1, 1)
    circuit.h(0)
    circuit.measure(0, 0)
    runs = [strings(there([sent(circuit)], seed=seed)[0][0], 1) for seed in (3, 3, 4)]
    assert runs[0] == runs[1] != runs[2]


def test_points_without_parameters_are_points() -> None:
    ((one, two, three),) = there([sent(flips("101"), np.zeros((3, 0)), shots=8)])
    assert [strings(outcome, 3) for outcome in (one, two, three)] == [["101"] * 8] * 3


def test_tasks_are_as_few_jobs_as_the_bounds_allow() -> None:
    angle = Parameter("a")
    circuit = QuantumCircuit(1, 1)
    circuit.rx(angle, 0)
    circuit.measure(0, 0)
    points = np.pi * np.array([[0.0], [1.0], [0.0], [1.0], [1.0]])
    tasks = [sent(circuit, points, 10), sent(flips("1"), shots=10), sent(flips("01"), shots=10)]
    assert [len(job) for job in payload.jobs_of(tasks, Bounds())] == [3]
    assert [len(job) for job in payload.jobs_of(tasks, Bounds(pubs=2))] == [2, 1]
    small = Bounds(executions=20)
    assert [[len(piece.values) for piece in job] for job in payload.jobs_of(tasks, small)] == [
        [2],
        [2],
        [1, 1],
        [1],
    ]
    found = there(tasks, small)
    assert [strings(outcome, 1)[0] for outcome in found[0]] == ["0", "1", "0", "1", "1"]
    assert [strings(found[1][0], 1)[0], strings(found[2][0], 2)[0]] == ["1", "01"]


def test_nothing_is_sent_of_a_circuit_without_bits() -> None:
    circuit = QuantumCircuit(1)
    circuit.x(0)
    assert payload.jobs_of([sent(circuit)], Bounds()) == []
    (outcome,) = payload.empty(1, 5)
    assert outcome.memory().shape == (5, 0)


def test_conditions_go_along() -> None:
    registers = ClassicalRegister(1, "first"), ClassicalRegister(1, "second")
    circuit = QuantumCircuit(QuantumRegister(2), *registers)
    circuit.x(0)
    circuit.measure(0, 0)
    with circuit.if_test((circuit.clbits[0], 1)):
        circuit.x(1)
    circuit.measure(1, 1)
    ((outcome,),) = there([sent(circuit, shots=10)])
    assert strings(outcome, 2) == ["11"] * 10


def test_a_delay_that_depends_on_a_parameter_is_sent_in_the_devices_steps() -> None:
    length = Parameter("t")
    circuit = QuantumCircuit(1, 1)
    circuit.delay(length, 0, unit="us")
    circuit.measure(0, 0)
    task = sent(circuit, [[20.0]], shots=4)
    host = DeviceHost(DeviceSpec("far", "aer"), AerDriver("far", {"qubits": 1}))
    (pieces,) = payload.jobs_of([task], Bounds())
    prepared = host.prepare("sampler", payload.params_of(pieces, None))
    assert prepared.estimated_seconds == pytest.approx(4 * 20e-6)


@pytest.mark.parametrize(
    "change",
    [
        lambda result: result["__value__"]["pub_results"].pop(),
        lambda result: result.update(__type__="EstimatorResult"),
        lambda result: field(result).update(num_bits=3),
        lambda result: field(result)["array"].update(__value__="eJw="),
        lambda result: field(result)["array"].update(__value__="no base64"),
        lambda result: data(result)["fields"].clear(),
        lambda result: field(result).pop("array"),
    ],
)
def test_a_result_that_is_another_one_is_not_taken(change: Any) -> None:
    host = DeviceHost(DeviceSpec("far", "aer"), AerDriver("far", {"qubits": 5}))
    (pieces,) = payload.jobs_of([sent(flips("10"), shots=4)], Bounds())
    outcome = host.run("sampler", payload.params_of(pieces, None))
    assert isinstance(outcome, Completed)
    result = json.loads(outcome.result)
    change(result)
    with pytest.raises(Unreadable):
        payload.outcomes_of(pieces, json.dumps(result).encode())


def test_results_of_more_shots_or_points_than_were_asked_for_are_not_taken() -> None:
    host = DeviceHost(DeviceSpec("far", "aer"), AerDriver("far", {"qubits": 5}))
    (pieces,) = payload.jobs_of([sent(flips("10"), shots=4)], Bounds())
    (others,) = payload.jobs_of([sent(flips("10"), np.zeros((2, 0)), shots=4)], Bounds())
    outcome = host.run("sampler", payload.params_of(others, None))
    assert isinstance(outcome, Completed)
    with pytest.raises(Unreadable, match="came back"):
        payload.outcomes_of(pieces, outcome.result)


def data(result: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = result["__value__"]["pub_results"][0]["__value__"]["data"]["__value__"]
    return found


def field(result: dict[str, Any]) -> dict[str, Any]:
    (found,) = data(result)["fields"].values()
    inner: dict[str, Any] = found["__value__"]
    return inner
