"""A job is run in calls that its driver takes, and outcomes that cannot be right become no result."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from qiskit.circuit import QuantumCircuit

from sojourn.devices.calls import execute, trusted
from sojourn.devices.driver import (
    CallLimits,
    CompiledCircuit,
    Driver,
    DriverError,
    Facts,
    Outcome,
    Task,
    load_driver,
)

Spoil = Callable[[Outcome], Any]


class Counting(Driver):
    """Answers with the values that it was given, and notes how it was called."""

    def __init__(self, limit: int | None = None, spoil: Spoil | None = None) -> None:
        super().__init__("counting", {})
        self._limit = limit
        self._spoil = spoil
        self.sizes: list[int] = []
        self.seeds: list[int | None] = []

    @property
    def target(self) -> Any:
        raise NotImplementedError

    def facts(self) -> Facts:
        raise NotImplementedError

    def compile(self, circuit: QuantumCircuit) -> CompiledCircuit:
        raise NotImplementedError

    def limits(self) -> CallLimits:
        return CallLimits(circuits=self._limit)

    def execute(self, tasks: Sequence[Task], *, seed: int | None, memory: bool) -> list[list[Outcome]]:
        self.sizes.append(sum(len(task.values) for task in tasks))
        self.seeds.append(seed)
        self.progress(0.5, "half of a call")
        made = [[outcome(int(value[0]), task.shots) for value in task.values] for task in tasks]
        return made if self._spoil is None else [[self._spoil(each) for each in row] for row in made]


def outcome(value: int, shots: int) -> Outcome:
    patterns = np.array([[value], [value ^ 1]], dtype=np.uint8)
    order = np.arange(shots) % 2
    return Outcome(patterns, np.bincount(order, minlength=2).astype(np.int64), order)


def task(start: int, points: int, shots: int = 4) -> Task:
    circuit = CompiledCircuit(num_clbits=7, num_parameters=1, cost=1)
    return Task(circuit, np.arange(start, start + points, dtype=float)[:, None], shots)


def values(found: list[list[Outcome]]) -> list[list[int]]:
    return [[int(each.patterns[0, 0]) for each in outcomes] for outcomes in found]


@pytest.mark.parametrize("limit", [1, 2, 3, 4, 5, 6, 100, None])
def test_calls_have_at_most_so_many_circuits_and_their_outcomes_are_joined(limit: int | None) -> None:
    driver = Counting(limit)
    tasks = [task(0, 3), task(10, 0), task(20, 2), task(30, 1)]
    found = execute(driver, tasks, seed=1, memory=True)
    assert values(found) == [[0, 1, 2], [], [20, 21], [30]]
    assert sum(driver.sizes) == 6
    assert max(driver.sizes) <= (limit or 6)
    assert len(driver.sizes) == -(-6 // (limit or 6)), "no more calls than it takes"


def test_every_call_of_a_job_with_a_seed_has_a_seed_of_its_own_that_can_be_repeated() -> None:
    runs = []
    for _ in range(2):
        driver = Counting(1)
        execute(driver, [task(0, 4)], seed=5, memory=True)
        runs.append(driver.seeds)
    assert runs[0] == runs[1]
    assert runs[0][0] == 5
    assert len(set(runs[0])) == 4
    driver = Counting(1)
    execute(driver, [task(0, 4)], seed=None, memory=True)
    assert driver.seeds == [None] * 4


def test_progress_goes_from_call_to_call() -> None:
    said: list[tuple[float, str]] = []
    execute(
        Counting(2),
        [task(0, 4)],
        seed=1,
        memory=True,
        progress=lambda part, words: said.append((part, words)),
    )
    assert said == [
        (0.25, "half of a call"),
        (0.5, "2 of 4 circuits"),
        (0.75, "half of a call"),
        (1.0, "4 of 4 circuits"),
    ]


@pytest.mark.parametrize(
    ("spoil", "why"),
    [
        (lambda o: replace(o, counts=o.counts * 2), "4 shots were asked for, the counts add up to 8"),
        (lambda o: replace(o, counts=o.counts - 3), "a count is -1"),
        (lambda o: replace(o, counts=o.counts / 1), r"counts are float64\(2,\)"),
        (lambda o: replace(o, counts=np.array([np.nan, 4.0])), "counts are float64"),
        (lambda o: replace(o, counts=o.counts[:1]), r"counts are int64\(1,\), not 2 integers"),
        (lambda o: replace(o, patterns=o.patterns.astype(int)), r"patterns are int64\(2, 1\), not uint8"),
        (lambda o: replace(o, patterns=np.zeros((2, 2), np.uint8)), r"not uint8\(…, 1\)"),
        (lambda o: replace(o, patterns=o.patterns | 128), "a bit beyond the 7 classical bits"),
        (lambda o: replace(o, patterns=[[1]]), "patterns are a list"),
        (lambda o: replace(o, order=None), "no per-shot memory"),
        (lambda o: replace(o, order=o.order[:3]), r"per-shot memory is int64\(3,\), not 4 indices"),
        (lambda o: replace(o, order=o.order + 1), "points to patterns 1 to 2; there are 2"),
        (lambda o: replace(o, order=np.zeros(4, dtype=int)), "memory and counts disagree"),
        (lambda o: replace(o, signal=np.full(7, np.nan + 0j)), "the signal is"),
        (lambda _: "nothing", "it is a str, not an Outcome"),
    ],
)
def test_outcomes_that_cannot_be_right_are_refused_with_what_is_wrong(spoil: Spoil, why: str) -> None:
    driver = Counting(spoil=spoil)
    with pytest.raises(DriverError, match=why) as caught:
        execute(driver, [task(0, 2)], seed=1, memory=True)
    assert "counting gave a result that cannot be right: task 0, point 0:" in str(caught.value)
    assert f"{__name__}.Counting" in str(caught.value), "an operator reads whose fault it is"


@pytest.mark.parametrize(
    ("found", "why"),
    [
        (None, "outcomes of 1 tasks, got a NoneType"),
        ([], "outcomes of 1 tasks, got 0"),
        ([[]], "task 0 has 2 points, and 0 outcomes came"),
        ([None], "task 0 has 2 points, and a NoneType outcomes came"),
        ([[outcome(0, 4)]], "task 0 has 2 points, and 1 outcomes came"),
    ],
)
def test_so_are_outcomes_of_another_number(found: Any, why: str) -> None:
    class Short(Counting):
        def execute(self, tasks: Sequence[Task], *, seed: int | None, memory: bool) -> list[list[Outcome]]:
            made: list[list[Outcome]] = found
            return made

    with pytest.raises(DriverError, match=why):
        execute(Short(), [task(0, 2)], seed=1, memory=True)


def test_a_driver_that_takes_no_circuit_at_all_is_refused() -> None:
    with pytest.raises(DriverError, match="takes 0 circuits in a call"):
        execute(Counting(0), [task(0, 1)], seed=1, memory=True)


def test_only_our_own_simulators_are_taken_at_their_word() -> None:
    assert trusted(load_driver("aer", "aer", {"qubits": 2}))
    assert not trusted(Counting())
