"""The timing of circuits as the client draws it: when every instruction begins and how long it takes."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from qiskit import QuantumCircuit, transpile
from qiskit.circuit import Parameter
from qiskit.circuit.classical import expr
from qiskit.transpiler import Target

from sojourn.devices.driver import load_driver
from sojourn.worker.circuits import schedule
from sojourn.worker.circuits.schedule import Schedule, scheduled
from sojourn.worker.circuits.timing import settle
from sojourn.worker.protocol.types import JobRefused
from sojourn.worker.target import TargetCheck


@dataclass(frozen=True)
class Line:
    branch: str
    instruction: str
    channel: str
    start: int
    duration: int
    pulse: str


def lines(found: Schedule) -> list[Line]:
    """As the client reads them: six words, separated by commas."""
    made = []
    for line in found.timing.split("\n"):
        if line:
            branch, instruction, channel, start, duration, pulse = line.split(",")
            made.append(Line(branch, instruction, channel, int(start), int(duration), pulse))
    return made


@pytest.fixture(scope="module")
def target() -> Target:
    return load_driver("ibm_torino", "fake", {"backend": "FakeTorino"}).target


def dt(target: Target, name: str, *qubits: int) -> int:
    steps: int = round(target[name][qubits].duration / target.dt)
    return steps


def test_each_instruction_starts_when_its_qubits_are_free(target: Target) -> None:
    circuit = QuantumCircuit(133, 2)
    circuit.sx(0)
    circuit.rz(0.5, 0)
    circuit.cz(0, 1)
    circuit.barrier(0, 1)
    circuit.measure([0, 1], [0, 1])
    found = lines(scheduled(circuit, target, "c"))
    sx, cz = dt(target, "sx", 0), dt(target, "cz", 0, 1)
    read = dt(target, "measure", 0)
    assert found == [
        Line("main", "sx_0", "Qubit 0", 0, sx, "play"),
        Line("main", "rz_0", "Qubit 0", sx, 0, "shift_phase"),
        Line("main", "cz_0_1", "Qubit 0", sx, cz, "play"),
        Line("main", "cz_0_1", "Qubit 1", sx, cz, "play"),
        Line("main", "barrier", "Qubit 0", sx + cz, 0, "barrier"),
        Line("main", "barrier", "Qubit 1", sx + cz, 0, "barrier"),
        Line("main", "measure_0", "Qubit 0", sx + cz, read, "play"),
        Line("main", "measure_0", "AWGR0", sx + cz, read, "capture"),
        Line("main", "measure_1", "Qubit 1", sx + cz, dt(target, "measure", 1), "play"),
        Line("main", "measure_1", "AWGR1", sx + cz, dt(target, "measure", 1), "capture"),
    ]


def test_the_duration_is_the_one_that_estimates_count(target: Target) -> None:
    circuit = QuantumCircuit(4, 4)
    circuit.h(0)
    circuit.cx(0, 1)
    circuit.cx(1, 2)
    circuit.delay(3000, 3)
    circuit.measure(range(4), range(4))
    isa = transpile(circuit, target=target, seed_transpiler=3, optimization_level=1)
    found = scheduled(isa, target, "c")
    seconds = TargetCheck("torino", target).check(isa, "c").duration
    assert found.duration * target.dt == pytest.approx(seconds, abs=20 * target.dt)
    assert max(line.start + line.duration for line in lines(found)) == found.duration
    assert found.size >= len(found.timing.replace("\n", "\\n"))


def test_delays_and_resolved_stretches_are_where_they_are_said_to_be(target: Target) -> None:
    circuit = QuantumCircuit(2, 1)
    fill = circuit.add_stretch("s")
    circuit.barrier(0, 1)
    circuit.delay(1000, 0)
    circuit.delay(fill, 1)
    circuit.x(1)
    circuit.delay(expr.mul(fill, 2), 1)
    circuit.barrier(0, 1)
    settled = settle(circuit, target, None, "c")
    found = lines(scheduled(settled.circuit, target, "c"))
    (value,) = settled.stretches
    on_one = [(line.start, line.duration) for line in found if line.instruction == "delay_1"]
    assert on_one == list(value.expanded)
    assert {line.pulse for line in found if line.instruction.startswith("delay")} == {"delay"}


def test_branches_start_together_and_loops_take_all_of_their_turns(target: Target) -> None:
    circuit = QuantumCircuit(2, 1)
    circuit.measure(0, 0)
    with circuit.if_test((circuit.clbits[0], 1)) as otherwise:
        circuit.x(1)
        circuit.x(1)
    with otherwise:
        circuit.sx(1)
    with circuit.for_loop(range(5)):
        circuit.x(0)
    circuit.x(0)
    found = lines(scheduled(circuit, target, "c"))
    read, one = dt(target, "measure", 0), dt(target, "x", 0)
    branches = [(line.branch, line.start) for line in found if line.branch != "main"]
    assert branches == [("then", read), ("then", read + dt(target, "x", 1)), ("else", read)]
    turns = [line.start for line in found if line.instruction == "x_0"]
    assert turns[1] - turns[0] == 5 * one
    assert {line.branch for line in found} <= {"main", "then", "else"}  # the drawing knows no others


def test_a_delay_that_is_swept_has_no_one_timing(target: Target) -> None:
    circuit = QuantumCircuit(1)
    circuit.delay(Parameter("t"), 0, "s")
    with pytest.raises(JobRefused, match="the delay on qubit 0 depends on a parameter"):
        scheduled(circuit, target, "c")


def test_more_lines_than_the_limit_are_refused(target: Target, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(schedule, "MAX_LINES", 100)
    circuit = QuantumCircuit(1)
    for _ in range(100):
        circuit.x(0)
    assert len(lines(scheduled(circuit, target, "c"))) == 100
    circuit.x(0)
    with pytest.raises(JobRefused, match="more than 100 of them, which is the limit"):
        scheduled(circuit, target, "c")
