"""Whose fault an error is. The whole kind: whatever a job's content makes the preparation do, foreseen by a
check or not (an exception of Qiskit's, of Python's, a panic of native code, too deep a nesting), is the
job's, with its place; only what a plain job meets too is the device's."""

from __future__ import annotations

from typing import Any

import pytest
from qiskit import QuantumCircuit
from qiskit.circuit import Gate, Instruction
from qiskit.circuit.classical import expr
from qiskit.circuit.exceptions import CircuitError

from sojourn.devices.aer.ideal import AerDriver
from sojourn.devices.driver import CompiledCircuit
from sojourn.worker.host import DeviceHost
from sojourn.worker.protocol.types import Completed, DeviceSpec, Failed, JobBroke, JobRefused
from tests.unit.worker.conftest import body


class BuggyDriver(AerDriver):
    """Fails on circuits whose metadata name an error; on all when `always` is set."""

    always: Exception | None = None

    def compile(self, circuit: QuantumCircuit) -> CompiledCircuit:
        if self.always is not None:
            raise self.always
        error = {"python": KeyError("depth"), "qiskit": CircuitError("no room\nleft")}.get(
            (circuit.metadata or {}).get("bug", "")
        )
        if error is not None:
            raise error
        return super().compile(circuit)


@pytest.fixture
def buggy() -> tuple[DeviceHost, BuggyDriver]:
    driver = BuggyDriver("buggy", {"qubits": 3})
    return DeviceHost(DeviceSpec("buggy", "aer"), driver), driver


def dynamic(bug: str = "") -> QuantumCircuit:
    """Compiled when it is prepared, as it has control flow."""
    circuit = QuantumCircuit(1, 1, metadata={"bug": bug})
    with circuit.if_test((circuit.clbits[0], 1)):
        circuit.x(0)
    circuit.measure(0, 0)
    return circuit


def test_an_unforeseen_error_is_the_jobs_when_a_plain_job_passes(
    buggy: tuple[DeviceHost, BuggyDriver],
) -> None:
    host, _ = buggy
    params = body([[dynamic(), None, 1], [dynamic("python"), None, 1]])
    with pytest.raises(JobBroke) as caught:
        host.prepare("sampler", params)
    assert caught.value.message.startswith("pubs[1] could not be prepared for buggy, while other jobs can.")
    assert "KeyError" not in caught.value.message
    assert caught.value.detail.endswith("KeyError: 'depth'\n"), "the operator's log says what it was"
    outcome = host.run("sampler", params)
    assert isinstance(outcome, Failed)
    assert outcome.reason == caught.value.message


def test_what_qiskit_says_of_it_is_passed_on(buggy: tuple[DeviceHost, BuggyDriver]) -> None:
    host, _ = buggy
    with pytest.raises(JobBroke, match=r"pubs\[0\] could not be prepared for buggy \(no room left\), while"):
        host.prepare("sampler", body([[dynamic("qiskit"), None, 1]]))


def test_what_a_plain_job_meets_too_is_the_devices(buggy: tuple[DeviceHost, BuggyDriver]) -> None:
    host, driver = buggy
    driver.always = OSError("the fridge is warm")
    with pytest.raises(OSError, match="the fridge is warm"):
        host.prepare("sampler", body([[dynamic(), None, 1]]))
    driver.always = None
    assert host.prepare("sampler", body([[dynamic(), None, 1]])).num_circuits == 1


def test_the_probe_is_not_answered_from_a_cache(buggy: tuple[DeviceHost, BuggyDriver]) -> None:
    host, driver = buggy
    with pytest.raises(JobBroke):
        host.prepare("sampler", body([[dynamic("python"), None, 1]]))
    driver.always = OSError("broke later")
    with pytest.raises(OSError, match="broke later"):
        host.prepare("sampler", body([[dynamic("python"), None, 1]]))


def with_item(operation: Instruction) -> QuantumCircuit:
    circuit = QuantumCircuit(2, 2)
    circuit.append(operation, range(operation.num_qubits), range(operation.num_clbits))
    circuit.measure(0, 0)
    return circuit


def deep(levels: int) -> QuantumCircuit:
    circuit = QuantumCircuit(1, 1)
    for _ in range(levels):
        outer = QuantumCircuit(1, 1)
        outer.if_test((outer.clbits[0], 1), circuit, [0], [0])
        circuit = outer
    return circuit


def loop(kind: str) -> QuantumCircuit:
    circuit = QuantumCircuit(1, 1)
    with circuit.for_loop(range(2)) as turn:
        if kind == "delay":
            circuit.delay(1 / turn, 0)
        else:
            circuit.rx(1 / turn, 0)
    circuit.measure(0, 0)
    return circuit


def divided() -> QuantumCircuit:
    from qiskit.circuit import Duration

    circuit = QuantumCircuit(1, 1)
    circuit.delay(expr.div(Duration.dt(5), 0.0), 0)
    circuit.measure(0, 0)
    return circuit


CONTENTS = {
    "a gate with a circuit for an angle, at which the native reader panics": with_item(
        Instruction("x", 1, 0, [QuantumCircuit(1)])
    ),
    "a delay without a duration": with_item(Instruction("delay", 1, 0, [])),
    "a delay on two qubits": with_item(Instruction("delay", 2, 0, [100])),
    "a delay that is text": with_item(Instruction("delay", 1, 0, ["long"])),
    "a delay that is complex": with_item(Instruction("delay", 1, 0, [1j])),
    "control flow in name only": with_item(Instruction("if_else", 1, 1, [])),
    "a measurement without a bit": with_item(Instruction("measure", 1, 0, [])),
    "a rotation without an angle": with_item(Gate("rx", 1, [])),
    "a rotation by text": with_item(Instruction("rx", 1, 0, ["pi"])),
    "a break outside of a loop": with_item(Instruction("break_loop", 1, 1, [])),
    "a division by zero in a loop's delay": loop("delay"),
    "a division by zero in a loop's angle": loop("angle"),
    "a division by zero in a duration": divided(),
}


@pytest.mark.parametrize("what", CONTENTS)
def test_content_that_no_program_should_have_is_refused_at_submit_with_its_place(
    aer: DeviceHost, what: str
) -> None:
    good = dynamic()
    params = body([[good, None, 1], [CONTENTS[what], None, 1]])
    with pytest.raises(JobRefused, match=r"^pubs\[1\]") as caught:
        aer.prepare("sampler", params)
    assert "Error" not in caught.value.message
    outcome = aer.run("sampler", params)
    assert isinstance(outcome, Failed)
    assert outcome.code == caught.value.code
    assert isinstance(aer.run("sampler", body([[good, None, 1]])), Completed)


@pytest.mark.parametrize("levels", [40, 150])
def test_deep_nesting_is_run_or_refused_with_its_place(aer: DeviceHost, levels: int) -> None:
    params: Any = body([[deep(levels), None, 1]])
    try:
        aer.prepare("sampler", params)
    except JobRefused as refused:
        assert refused.message.startswith("pubs[0]")  # noqa: PT017
        return
    assert isinstance(aer.run("sampler", params), Completed)
