"""Drivers that break their promises, each in one way. They run in workers, found by entry points.

`Bad` passes the conformance check. What it does wrong at the start is its option `fault`; what it does wrong
with a circuit is the name of the circuit, such as `execute segfault`.
"""

from __future__ import annotations

import logging
import os
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from qiskit.circuit import QuantumCircuit
from qiskit.transpiler import Target

from sojourn.devices.aer.ideal import AerDriver
from sojourn.devices.driver import CompiledCircuit, Driver, Facts, OptionReader, Outcome, Task


class NotAnException(BaseException):
    """As a panic of native code."""


def segfault() -> None:
    os.kill(os.getpid(), signal.SIGSEGV)


def end() -> None:
    os._exit(3)


def leave() -> None:
    sys.exit(4)


def hang() -> None:
    while True:
        signal.pause()


def fail() -> None:
    raise RuntimeError("the fridge\nis warm")


def panic() -> None:
    raise NotAnException("called `Option::unwrap()` on a `None` value")


def take_all() -> None:
    kept = []
    while True:
        kept.append(b"x" * (64 << 20))


def flood() -> None:
    for number in range(20_000):
        sys.stdout.write(f"{number} {'o' * 100}\n")
        sys.stderr.write(f"{number} {'e' * 100}\n")
    logging.getLogger("vendor").error("and a log as well")


DEEDS: Mapping[str, Callable[[], None]] = {
    "segfault": segfault,
    "end": end,
    "leave": leave,
    "hang": hang,
    "fail": fail,
    "panic": panic,
    "take all": take_all,
    "flood": flood,
}


class Named(CompiledCircuit):
    """Remembers what its circuit is called."""

    def __init__(self, inner: CompiledCircuit, name: str) -> None:
        super().__init__(num_clbits=inner.num_clbits, num_parameters=inner.num_parameters, cost=inner.cost)
        self.inner = inner
        self.name = name


class Bad(Driver):
    """Options: `fault`, such as `construct fail` or `describe nan`."""

    def __init__(self, name: str, options: Mapping[str, Any]) -> None:
        super().__init__(name, options)
        reader = OptionReader(name, "bad", options)
        self._fault: str = reader.take("fault", (str,), "", "what it does wrong")
        reader.finish()
        self._inner = AerDriver(name, {"qubits": 3})
        self._do("construct", self._fault)

    @staticmethod
    def _do(when: str, fault: str) -> None:
        at, _, deed = fault.partition(" ")
        if at == when and deed in DEEDS:
            DEEDS[deed]()

    @property
    def target(self) -> Target:
        target: Target = self._inner.target
        return target

    def facts(self) -> Facts:
        self._do("describe", self._fault)
        facts = self._inner.facts()
        more: dict[str, dict[str, Any]] = {
            "describe nan": {"quantum_volume": float("nan")},
            "describe object": {"tags": [object()]},
            "describe huge": {"description": "x" * (33 << 20)},
        }
        made = more.get(self._fault, {})
        return replace(facts, configuration={**facts.configuration, **made})

    def compile(self, circuit: QuantumCircuit) -> CompiledCircuit:
        self._do("compile", circuit.name)
        return Named(self._inner.compile(circuit), circuit.name)

    def execute(self, tasks: Sequence[Task], *, seed: int | None, memory: bool) -> list[list[Outcome]]:
        inner = []
        for task in tasks:
            assert isinstance(task.circuit, Named)
            inner.append(replace(task, circuit=task.circuit.inner))
        found = self._inner.execute(inner, seed=seed, memory=memory)
        for task in tasks:
            assert isinstance(task.circuit, Named)
            name = task.circuit.name
            self._do("execute", name)
            found = spoilt(found, name.removeprefix("return "))
        return found

    def account(self) -> Sequence[str]:
        return ["a sentence " + "x" * 5000] * 5000


def spoilt(found: list[list[Outcome]], how: str) -> Any:
    """The outcomes of the first point made wrong."""
    first = found[0][0]
    match how:
        case "nothing":
            return None
        case "too few":
            return [points[1:] for points in found]
        case "another type":
            return [[{"00": 7}]]
        case "wide patterns":
            wrong = replace(first, patterns=np.zeros((len(first.counts), 9), dtype=np.uint8))
        case "lost counts":
            wrong = replace(first, counts=first.counts // 2)
        case "negative counts":
            wrong = replace(first, counts=-first.counts)
        case "lost order":
            wrong = replace(first, order=None)
        case "foreign order":
            wrong = replace(first, order=np.full(int(first.counts.sum()), -1))
        case _:
            return found
    return [[wrong, *found[0][1:]], *found[1:]]


class Restless(Bad):
    """Its target is another one after each run, and it draws no seed twice."""

    def __init__(self, name: str, options: Mapping[str, Any]) -> None:
        super().__init__(name, options)
        self._inner = AerDriver(name, {"qubits": 4})
        self._runs = 0

    @property
    def target(self) -> Target:
        target: Target = AerDriver(self.name, {"qubits": 3 + self._runs % 2}).target
        return target

    def execute(self, tasks: Sequence[Task], *, seed: int | None, memory: bool) -> list[list[Outcome]]:
        self._runs += 1
        return super().execute(tasks, seed=None, memory=memory)


class Careless(Bad):
    """Takes any option, and shows no calibration."""

    def __init__(self, name: str, options: Mapping[str, Any]) -> None:
        super().__init__(name, {})
