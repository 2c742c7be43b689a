"""The driver `backend`: what Qiskit's own backends and odd ones become as devices."""

from __future__ import annotations

import math
import re
from typing import Any

import numpy as np
import pytest
from qiskit import QuantumCircuit
from qiskit.circuit import ClassicalRegister, Clbit, Parameter, QuantumRegister, Qubit, Reset
from qiskit.transpiler import InstructionProperties, generate_preset_pass_manager

from sojourn.devices import calls
from sojourn.devices.backend.circuits import BackendCircuit
from sojourn.devices.backend.driver import BackendDriver
from sojourn.devices.conformance import examine
from sojourn.devices.driver import DriverError, Outcome, RunCancelled, Task, load_driver
from sojourn.devices.offered import settled
from tests.harness.backends import OddBackend

AER = {"factory": "qiskit_aer:AerSimulator"}
BASIC = {"factory": "qiskit.providers.basic_provider:BasicSimulator", "qubits": 6}
GENERIC = {"factory": "tests.harness.backends:generic", "arguments": [5]}
NOISY = {"factory": "qiskit_aer:AerSimulator.from_backend", "arguments": [{"call": GENERIC["factory"]}]}
FLOW = {**GENERIC, "keywords": {"control_flow": True}}


def odd(style: str, **more: Any) -> BackendDriver:
    made = load_driver(
        "lab", "backend", {"factory": "tests.harness.backends:OddBackend", "arguments": [style], **more}
    )
    assert isinstance(made, BackendDriver)
    return made


def backend_of(driver: BackendDriver) -> OddBackend:
    backend = driver._backend
    assert isinstance(backend, OddBackend)
    return backend


def one(
    driver: BackendDriver, circuit: QuantumCircuit, shots: int = 200, seed: int | None = 1, values: Any = None
) -> list[Outcome]:
    ready = generate_preset_pass_manager(1, target=driver.target, seed_transpiler=1).run(circuit)
    points = np.zeros((1, 0)) if values is None else np.asarray(values, dtype=float)
    return calls.execute(driver, [Task(driver.compile(ready), points, shots)], seed=seed, memory=True)[0]


@pytest.mark.parametrize(
    "options", [AER, BASIC, GENERIC, NOISY, FLOW], ids=["aer", "basic", "generic", "noisy", "flow"]
)
def test_qiskits_own_backends_conform(options: dict[str, Any]) -> None:
    driver = load_driver("lab", "backend", options)
    report = examine(driver)
    assert report.faults == []
    made = {check.name for check in report.checks if check.passed}
    assert {
        "description",
        "X",
        "Bell pair",
        "two registers",
        "sweep of rz",
        "two parameters",
        "seeds",
    } <= made
    assert ("condition that holds" in made) == ("if_else" in driver.target.operation_names)


@pytest.mark.parametrize(
    "style", ["hex", "spaced", "bits", "short", "integers", "memory", "both", "measured"]
)
def test_every_way_of_telling_results_gives_the_same_results(style: str) -> None:
    driver = odd(style)
    assert examine(driver).faults == []


@pytest.mark.parametrize(
    ("style", "why"),
    [
        ("zeros", "X: the result is 100% off"),
        ("reversed", "order of bits|two registers"),
        ("few", "add up to 511, 512 shots"),
        ("shares", "no probability"),
        ("disagree", "its memory and its counts disagree"),
        ("failed", "the cryostat is warm"),
        ("raises", "RuntimeError: no line to the instrument"),
        ("fewer", "gave 0 results for 1 circuits"),
    ],
)
def test_a_backend_that_answers_wrongly_does_not_conform_and_the_report_says_how(
    style: str, why: str
) -> None:
    report = examine(odd(style))
    assert not report.passed
    assert any(re.search(why, fault) for fault in report.faults), report.faults


def test_counts_without_memory_are_not_taken_for_zeros() -> None:
    """Qiskit/qiskit#15694."""
    from qiskit.primitives import BackendSamplerV2

    circuit = QuantumCircuit(1, 1)
    circuit.x(0)
    circuit.measure(0, 0)
    driver = odd("hex")
    ready = generate_preset_pass_manager(1, target=driver.target).run(circuit)
    theirs = BackendSamplerV2(backend=backend_of(driver)).run([ready], shots=50).result()[0].data.c
    assert theirs.get_counts() == {"0": 50}, "if this fails the library has been mended"
    (found,) = one(driver, circuit, 50)
    assert found.memory()[:, 0].tolist() == [1] * 50
    driver.begin_job()
    one(driver, circuit, 50)
    assert driver.account() == [
        "lab gives counts and no memory: the order of the shots of 1 circuits is made up"
    ]


def test_bits_that_nothing_is_measured_into_are_not_sent_and_are_0() -> None:
    first, second, third = (ClassicalRegister(n, name) for n, name in ((9, "a"), (2, "b"), (12, "c")))
    circuit = QuantumCircuit(QuantumRegister(3), first, second, third, metadata={"kept": True})
    circuit.x([0, 1])
    circuit.measure(0, third[11])
    circuit.measure(1, first[1])
    circuit.measure(2, first[8])
    driver = odd("measured")
    (found,) = one(driver, circuit, 20)
    assert found.patterns.tolist() == [[1 << 6, 0, 1 << 1]]
    assert found.memory().shape == (20, 3)
    compiled = driver.compile(circuit)
    assert isinstance(compiled, BackendCircuit)
    assert compiled.num_clbits == 23
    sent = compiled.circuit
    assert [(register.name, len(register)) for register in sent.cregs] == [("a", 2), ("c", 1)]
    assert sent.num_clbits == 3
    assert sent.metadata == {"kept": True}
    assert [item.operation.name for item in sent.data] == [item.operation.name for item in circuit.data]
    assert circuit.num_clbits == 23


def test_loose_bits_and_bits_of_two_registers_are_sent_as_they_are() -> None:
    bits = [Clbit() for _ in range(4)]
    circuit = QuantumCircuit([Qubit()], bits)
    circuit.add_register(ClassicalRegister(name="odd", bits=bits[1::2]))
    circuit.add_register(ClassicalRegister(name="last", bits=bits[2:]))
    circuit.x(0)
    circuit.measure(0, 3)
    driver = odd("spaced")
    (found,) = one(odd("measured"), circuit, 5)
    assert found.patterns.tolist() == [[8]]
    compiled = driver.compile(circuit)
    assert isinstance(compiled, BackendCircuit)
    assert [(register.name, len(register)) for register in compiled.circuit.cregs] == [
        ("odd", 1),
        ("last", 1),
    ]


def test_a_circuit_that_reads_its_bits_is_sent_whole() -> None:
    driver = load_driver("lab", "backend", FLOW)
    circuit = QuantumCircuit(1, 3)
    circuit.measure(0, 1)
    with circuit.if_test((circuit.clbits[2], 0)):
        circuit.x(0)
    circuit.measure(0, 0)
    compiled = driver.compile(circuit)
    assert isinstance(compiled, BackendCircuit)
    assert compiled.circuit is circuit


def test_jobs_with_more_circuits_than_a_call_takes_are_split_and_joined() -> None:
    driver = odd("hex", max_circuits=3)
    angle = Parameter("a")
    circuit = QuantumCircuit(1, 1)
    circuit.rx(angle, 0)
    circuit.measure(0, 0)
    values = [[math.pi * (point % 2)] for point in range(8)]
    found = one(driver, circuit, 20, values=values)
    assert [outcome.memory()[0, 0] for outcome in found] == [0, 1] * 4
    assert [count for count, _ in backend_of(driver).calls] == [3, 3, 2]


def test_the_backends_own_limit_is_kept() -> None:
    options = {"factory": "tests.harness.backends:OddBackend", "keywords": {"max_circuits": 2}}
    driver = load_driver("lab", "backend", options)
    assert driver.limits().circuits == 2
    assert examine(driver).passed


def test_circuits_with_other_numbers_of_shots_go_in_calls_of_their_own() -> None:
    driver = odd("hex")
    circuit = QuantumCircuit(1, 1)
    circuit.measure(0, 0)
    compiled, point = driver.compile(circuit), np.zeros((1, 0))
    tasks = [Task(compiled, point, shots) for shots in (10, 20, 10)]
    found = driver.execute(tasks, seed=None, memory=True)
    assert [int(row[0].counts.sum()) for row in found] == [10, 20, 10]
    assert [(count, options["shots"]) for count, options in backend_of(driver).calls] == [(2, 10), (1, 20)]


def test_what_a_backend_does_not_know_is_not_passed() -> None:
    driver = odd("hex", run_options={"rep_delay": 1e-4})
    circuit = QuantumCircuit(1, 1)
    circuit.measure(0, 0)
    one(driver, circuit, 10, seed=3)
    assert backend_of(driver).calls[-1][1] == {"rep_delay": 1e-4, "shots": 10, "seed_simulator": 3}
    other = odd("hex", seed_option="", memory=True)
    one(other, circuit, 10, seed=3)
    assert backend_of(other).calls[-1][1] == {"shots": 10, "memory": True}
    assert not other.seeded


def test_circuits_without_measurements_are_zeros_and_are_not_sent() -> None:
    driver = odd("hex")
    compiled = [driver.compile(circuit) for circuit in (QuantumCircuit(2), QuantumCircuit(2, 9))]
    tasks = [Task(each, np.zeros((1, 0)), 7) for each in compiled]
    found = driver.execute(tasks, seed=1, memory=True)
    assert [outcomes[0].memory().shape for outcomes in found] == [(7, 0), (7, 2)]
    assert not found[1][0].memory().any()
    assert backend_of(driver).calls == []


def test_registers_of_several_widths_keep_their_bits() -> None:
    qubits = QuantumRegister(5)
    names = [ClassicalRegister(1, "a"), ClassicalRegister(3, "b"), ClassicalRegister(9, "c")]
    circuit = QuantumCircuit(qubits, *names)
    circuit.x([0, 2, 4])
    circuit.measure(qubits[0], names[0][0])
    circuit.measure(qubits[2], names[1][2])
    circuit.measure(qubits[4], names[2][8])
    for style in ("hex", "spaced", "short", "memory"):
        (found,) = one(odd(style), circuit, 16)
        assert {row.tobytes() for row in found.memory()} == {(1 | 1 << 3 | 1 << 12).to_bytes(2, "big")}, style


def test_the_target_is_served_as_far_as_clients_know_it() -> None:
    aer = load_driver("lab", "backend", AER)
    names = set(aer.target.operation_names)
    assert {"cx", "rz", "measure", "if_else"} <= names
    assert not {
        name for name in names if name.startswith("save_") or name in ("unitary", "initialize", "kraus")
    }
    assert set(odd("hex").target.operation_names) == {"r", "cz", "measure"}


def test_a_target_without_a_number_of_qubits_needs_one() -> None:
    assert load_driver("lab", "backend", BASIC).facts().num_qubits == 6
    with pytest.raises(DriverError, match=r"does not say how many qubits it has.*'qubits'"):
        load_driver("lab", "backend", {"factory": BASIC["factory"]})


def test_properties_are_those_of_the_target_where_it_has_any() -> None:
    driver = load_driver("lab", "backend", GENERIC)
    found = driver.facts().properties
    assert found is not None
    assert len(found["qubits"]) == 5
    readout = {entry["name"] for entry in found["qubits"][0]}
    assert {"T1", "T2", "readout_error", "readout_length"} <= readout
    gates = {gate["gate"] for gate in found["gates"]}
    assert "cx" in gates
    assert load_driver("lab", "backend", BASIC).facts().properties is None
    partly = odd("hex").facts().properties
    assert partly is not None
    assert [(gate["gate"], gate["qubits"]) for gate in partly["gates"]][:1] == [("r", [0])]


def test_the_configuration_is_the_backends() -> None:
    driver = odd("hex", max_shots=5000)
    found = settled(driver.facts(), driver.target).configuration
    assert (found["backend_name"], found["backend_version"], found["n_qubits"]) == ("lab", "3.1", 5)
    assert found["basis_gates"] == ["r", "cz"]
    assert found["max_shots"] == 5000
    assert not found["conditional"]
    assert driver.limits().shots == 5000


def test_a_calibration_reads_the_target_anew() -> None:
    driver = odd("hex")
    backend_of(driver)._target.update_instruction_properties("r", (0,), InstructionProperties(error=0.2))
    found = driver.calibrate("2026-01-01T00:00:00+00:00", 2)
    assert found.properties is not None
    assert driver.facts().properties != found.properties, "nothing holds before it is applied"
    driver.apply_calibration(found.properties)
    assert driver.facts().properties == found.properties
    (gate,) = [g for g in found.properties["gates"] if (g["gate"], g["qubits"]) == ("r", [0])]
    assert gate["parameters"][0]["value"] == 0.2


def test_a_target_that_has_changed_is_not_served_without_a_restart() -> None:
    driver = odd("hex")
    backend_of(driver)._target.add_instruction(Reset(), {(0,): None})
    with pytest.raises(DriverError, match="other instructions than before"):
        driver.calibrate("2026-01-01T00:00:00+00:00", 2)


def test_its_status_is_its_health() -> None:
    class Status:
        operational = False
        status_msg = "warming up"

    driver = odd("hex")
    assert driver.health() is None
    backend_of(driver).status = Status
    assert driver.health() == "its backend is not operational: warming up"


def test_a_run_that_is_cancelled_ends_as_such() -> None:
    driver = odd("hex", cancel_seconds=2.0)
    backend = backend_of(driver)
    told = []

    class Job:
        def result(self) -> Any:
            driver.cancel()
            raise RuntimeError("job was cancelled")

        def cancel(self) -> None:
            told.append("cancel")

    backend.run = lambda *_, **__: Job()  # type: ignore[method-assign]
    circuit = QuantumCircuit(1, 1)
    circuit.measure(0, 0)
    with pytest.raises(RunCancelled):
        one(driver, circuit)
    assert told == ["cancel"]
    assert driver.cancel_seconds == 2.0


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({}, "option 'factory' of driver 'backend' is None"),
        ({"factory": "math:pi"}, "which cannot be called"),
        ({"factory": "builtins:dict"}, "gives a dict, which has no 'run'"),
        ({**AER, "qubit": 3}, "has no option 'qubit'"),
        ({**AER, "on_loss": "again"}, "'on_loss' .* is 'again'; allowed is rerun or fail"),
        ({**AER, "cancel_seconds": -1}, "cancel_seconds"),
        ({**AER, "run_options": {"shots": 1}}, "run_options"),
        ({**AER, "max_circuits": 0}, "max_circuits"),
        ({**AER, "keywords": []}, "'keywords' .*; allowed is a table"),
    ],
)
def test_options_are_refused_by_name(options: dict[str, Any], why: str) -> None:
    with pytest.raises(DriverError, match=why):
        load_driver("lab", "backend", options)


def test_what_the_options_say_of_a_driver_holds() -> None:
    driver = load_driver("lab", "backend", {**AER, "on_loss": "fail", "check": False, "cancel_seconds": 5})
    assert (driver.on_loss, driver.check_at_load, driver.cancel_seconds) == ("fail", False, 5.0)
    plain = load_driver("lab", "backend", AER)
    assert (plain.on_loss, plain.check_at_load, plain.cancel_seconds, plain.seeded) == (
        "rerun",
        True,
        0.0,
        True,
    )
