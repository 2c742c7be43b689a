"""A driver whose device a test holds in its hands: files in a folder say what it does, and what it did.

======== ==============================================================================
wait     a job waits as long as it is there, and tells of its progress
deaf     a job does not hear that it was cancelled
die      the next job kills its process
fail     a job raises, with its text
wrong    all results are zeros
short    a shot is missing from all results
health   its text is what is wrong with the device
======== ==============================================================================

It writes a line to `opened`, `jobs`, `runs` and `cancelled` for each of these.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from qiskit.circuit import QuantumCircuit
from qiskit.transpiler import Target

from sojourn.devices import describe
from sojourn.devices.driver import (
    CallLimits,
    CompiledCircuit,
    Driver,
    DriverError,
    Facts,
    OptionReader,
    Outcome,
    RunCancelled,
    Stint,
    Task,
    load_driver,
)


class ProbeDriver(Driver):
    """Four ideal qubits."""

    def __init__(self, name: str, options: Mapping[str, Any]) -> None:
        super().__init__(name, options)
        reader = OptionReader(name, "probe", options)
        self._folder = Path(reader.take("folder", (str,), ".", "a folder"))
        self.on_loss = reader.take("on_loss", (str,), "rerun", "rerun or fail")
        self.cancel_seconds = float(reader.take("cancel_seconds", (int, float), 0.0, "seconds"))
        self.check_at_load = reader.take("check", (bool,), True, "true or false")
        self.seeded = reader.take("seeded", (bool,), True, "true or false")
        self._circuits = reader.integer("circuits", None, 1, 1000)
        self._shots = reader.integer("shots", None, 1, 10**6)
        self._parameters = reader.integer("parameters", None, 0, 10**6)
        self._overhead = float(reader.take("overhead", (int, float), 0.0, "seconds"))
        reader.finish()
        self._inner = load_driver("inner", "aer", {"qubits": 4})
        self._cancelled = self._busy = False

    @property
    def target(self) -> Target:
        return self._inner.target

    def facts(self) -> Facts:
        made = describe.configuration(self.name, self.target, version="1", description="", max_shots=100_000)
        return Facts(4, made, None, "1")

    def limits(self) -> CallLimits:
        return CallLimits(self._shots, self._circuits, self._parameters)

    def run_seconds(self, stints: Sequence[Stint]) -> float:
        return self._overhead * len(stints) + super().run_seconds(stints)

    def compile(self, circuit: QuantumCircuit) -> CompiledCircuit:
        return self._inner.compile(circuit)

    def open(self) -> None:
        self._note("opened", str(os.getpid()))

    def begin_job(self) -> None:
        self._note("jobs", str(os.getpid()))
        self._busy = True

    def execute(self, tasks: Sequence[Task], *, seed: int | None, memory: bool) -> list[list[Outcome]]:
        self._note("runs", str(sum(len(task.values) for task in tasks)))
        busy, self._busy = self._busy, False
        if busy:
            self._job()
        found = self._inner.execute(tasks, seed=seed, memory=memory)
        return [[self._spoilt(outcome) for outcome in outcomes] for outcomes in found]

    def _job(self) -> None:
        """What happens in a run of a job, and not in a check of the device."""
        self._cancelled = False
        turns = 0
        while self._asked("wait"):
            if self._cancelled and not self._asked("deaf"):
                raise RunCancelled("as it was asked")
            turns += 1
            self.progress(min(turns / 100, 1.0), f"turn {turns}")
            time.sleep(0.01)
        if self._asked("die"):
            (self._folder / "die").unlink()
            os.kill(os.getpid(), signal.SIGKILL)
        if self._asked("fail"):
            raise DriverError((self._folder / "fail").read_text())

    def _spoilt(self, outcome: Outcome) -> Outcome:
        if self._asked("wrong"):
            return replace(outcome, patterns=np.zeros_like(outcome.patterns))
        if self._asked("short"):
            return replace(outcome, counts=outcome.counts - (outcome.counts == outcome.counts.max()))
        return outcome

    def cancel(self) -> None:
        self._note("cancelled", "")
        self._cancelled = True

    def health(self) -> str | None:
        return (self._folder / "health").read_text() if self._asked("health") else None

    def _asked(self, name: str) -> bool:
        return (self._folder / name).exists()

    def _note(self, name: str, text: str) -> None:
        with (self._folder / name).open("a") as file:
            file.write(f"{text}\n")


class Hands:
    """The test's side of the folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def ask(self, name: str, text: str = "") -> None:
        # whole at once: the driver may look between the two steps of a plain write
        (self.folder / f".{name}").write_text(text)
        (self.folder / f".{name}").rename(self.folder / name)

    def drop(self, name: str) -> None:
        (self.folder / name).unlink()

    def said(self, name: str) -> list[str]:
        path = self.folder / name
        return path.read_text().splitlines() if path.exists() else []
