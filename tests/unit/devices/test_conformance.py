"""The conformance check finds each mistake that would give wrong numbers, and says what it saw."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import msgspec
import numpy as np
import pytest
from qiskit.circuit import Measure, Parameter, QuantumCircuit
from qiskit.circuit.library import CZGate, RZGate, SXGate, XGate
from qiskit.transpiler import Target

from sojourn.devices import describe
from sojourn.devices.checking.report import Check, Report
from sojourn.devices.conformance import FARTHEST, check, examine
from sojourn.devices.driver import Driver, Facts, Outcome, Task, load_driver

Spoil = Callable[["Spoilt", Sequence[Task], list[list[Outcome]]], list[list[Outcome]]]


class Spoilt(Driver):
    """A good device whose results go through `spoil`."""

    def __init__(self, spoil: Spoil | None = None, target: Target | None = None, **options: Any) -> None:
        super().__init__("lab", {})
        self._inner = load_driver("lab", "aer", {"qubits": 4, **options})
        self._spoil = spoil
        self._target = target or self._inner.target
        self.ran = 0

    @property
    def target(self) -> Target:
        return self._target

    def facts(self) -> Facts:
        made = describe.configuration(self.name, self._target, version="1", description="", max_shots=1000)
        return Facts(self._target.num_qubits, made, None, "1")

    def compile(self, circuit: QuantumCircuit) -> Any:
        return self._inner.compile(circuit)

    def execute(self, tasks: Sequence[Task], *, seed: int | None, memory: bool) -> list[list[Outcome]]:
        self.ran += 1
        found = self._inner.execute(tasks, seed=seed, memory=memory)
        return found if self._spoil is None else self._spoil(self, tasks, found)


def each(change: Callable[[Outcome], Outcome]) -> Spoil:
    return lambda _, __, found: [[change(outcome) for outcome in row] for row in found]


def noisy(share: float) -> Spoil:
    """So many of the shots are random bits."""

    def spoil(driver: Spoilt, tasks: Sequence[Task], found: list[list[Outcome]]) -> list[list[Outcome]]:
        random = np.random.default_rng(1)
        made: list[list[Outcome]] = []
        for task, row in zip(tasks, found, strict=True):
            bits = task.circuit.num_clbits
            made.append([])
            for outcome in row:
                memory = outcome.memory().copy()
                wrong = random.random(len(memory)) < share
                flips = random.integers(0, 1 << min(bits, 8), len(memory))
                memory[wrong, -1] ^= flips[wrong].astype(np.uint8)
                order = np.arange(len(memory))
                made[-1].append(Outcome(memory, np.ones(len(memory), dtype=np.int64), order))
        return made

    return spoil


def faulty(report: Report) -> set[str]:
    return {each.name for each in report.checks if each.passed is False}


def test_a_good_device_passes_all_that_it_claims() -> None:
    report = examine(Spoilt())
    assert report.faults == []
    assert report.summary() == f"conforms ({len(report.checks)} checks)"
    assert {"reset", "condition that holds", "condition that does not", "loop of three turns"} <= {
        each.name for each in report.checks if each.passed
    }


@pytest.mark.parametrize("share", [0.05, 0.15, 0.25])
def test_a_device_with_errors_passes(share: float) -> None:
    """A quarter of random shots is more than any machine has that is worth a queue."""
    assert examine(Spoilt(noisy(share))).faults == []


def test_a_device_that_gives_random_bits_does_not() -> None:
    report = examine(Spoilt(noisy(1.0)))
    assert {"X", "Bell pair", "two registers", "sweep of rz"} <= faulty(report)


def reversed_bits(driver: Spoilt, tasks: Sequence[Task], found: list[list[Outcome]]) -> list[list[Outcome]]:
    made: list[list[Outcome]] = []
    for task, row in zip(tasks, found, strict=True):
        bits = task.circuit.num_clbits
        made.append([])
        for outcome in row:
            single = np.unpackbits(outcome.patterns, axis=-1)
            single[:, -bits:] = single[:, -bits:][:, ::-1]
            made[-1].append(replace(outcome, patterns=np.packbits(single, axis=-1)))
    return made


def rows_mixed_up(driver: Spoilt, tasks: Sequence[Task], found: list[list[Outcome]]) -> list[list[Outcome]]:
    return [row[::-1] for row in found]


def test_bits_in_another_order_are_found_with_the_evidence() -> None:
    report = examine(Spoilt(reversed_bits))
    assert {"two registers", "a register of 10 bits"} <= faulty(report)
    (found,) = [each for each in report.checks if each.name == "a register of 10 bits"]
    assert found.expected == "1000000000 in 100%"
    assert found.seen == "0000000001 in 100%"
    assert "measure" in found.circuit
    assert any("0000000001" in fault and "1000000000" in fault for fault in report.faults)


def test_points_that_were_mixed_up_are_found() -> None:
    assert {"sweep of rz", "two parameters"} <= faulty(examine(Spoilt(rows_mixed_up)))


def test_zeros_are_found() -> None:
    report = examine(Spoilt(each(lambda o: replace(o, patterns=np.zeros_like(o.patterns)))))
    assert "X" in faulty(report)
    assert "no gate" not in faulty(report)


def test_counts_that_do_not_add_up_are_found() -> None:
    report = examine(Spoilt(each(lambda o: replace(o, counts=o.counts + 1))))
    assert "the counts add up to" in report.summary()


def test_the_same_shots_again_and_again_are_found() -> None:
    def frozen(driver: Spoilt, tasks: Sequence[Task], found: list[list[Outcome]]) -> list[list[Outcome]]:
        return driver._inner.execute(tasks, seed=3, memory=True)

    assert faulty(examine(Spoilt(frozen))) == {"seeds"}


def test_a_seed_that_does_not_repeat_is_found_unless_none_is_promised() -> None:
    def fresh(driver: Spoilt, tasks: Sequence[Task], found: list[list[Outcome]]) -> list[list[Outcome]]:
        return driver._inner.execute(tasks, seed=None, memory=True)

    driver = Spoilt(fresh)
    assert faulty(examine(driver)) == {"seeds"}
    driver.seeded = False
    assert examine(driver).passed


def test_what_the_driver_raises_is_a_check_that_failed() -> None:
    def broken(driver: Spoilt, tasks: Sequence[Task], found: list[list[Outcome]]) -> list[list[Outcome]]:
        raise ZeroDivisionError("no\nvoltage")

    report = examine(Spoilt(broken))
    assert "ZeroDivisionError: no voltage" in report.summary()
    assert len(report.faults) > 3
    assert "and " in report.summary(), "a summary has the first few"


def test_what_a_device_does_not_claim_is_not_asked_of_it() -> None:
    target = Target(num_qubits=2)
    for gate in (SXGate(), XGate(), RZGate(Parameter("a"))):
        target.add_instruction(gate, {(0,): None, (1,): None})
    target.add_instruction(CZGate(), {(0, 1): None})
    target.add_instruction(Measure(), {(0,): None, (1,): None})
    report = examine(Spoilt(target=target))
    assert report.passed
    left = {each.name: each.detail for each in report.checks if each.passed is None}
    assert left["two registers"] == "it takes 3 qubits, the device has 2"
    assert left["reset"] == "the device does not claim reset or if_else"
    assert "condition that holds" in left


def test_a_device_on_which_nothing_can_be_run_does_not_pass_for_that() -> None:
    target = Target(num_qubits=1)
    target.add_instruction(RZGate(Parameter("a")), {(0,): None})
    report = examine(Spoilt(target=target))
    assert not report.passed


def test_a_description_that_is_wrong_ends_the_check() -> None:
    class Wider(Spoilt):
        def facts(self) -> Facts:
            return replace(super().facts(), num_qubits=7)

    driver = Wider()
    assert check(driver) == ["description: it says that it has 7 qubits, its target has 4"]
    assert driver.ran == 0


def test_made_up_results_are_checked_for_their_form() -> None:
    report = examine(load_driver("mock", "mock", {"qubits": 4}))
    assert report.passed
    assert [each.passed for each in report.checks if each.name == "seeds"] == [None]


def test_a_report_goes_through_json() -> None:
    report = examine(Spoilt(rows_mixed_up))
    again = msgspec.json.decode(msgspec.json.encode(report), type=Report)
    assert again == report
    assert again.faults == report.faults
    assert Report("lab", (Check("a", True),)).passed
    assert 0 < FARTHEST < 0.5
