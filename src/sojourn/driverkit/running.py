"""Checks what a driver does with circuits: results that are known, their shapes, seeds, jobs, times."""

from __future__ import annotations

import base64
import io
import json
import statistics
import time
import zlib
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from qiskit import qpy
from qiskit.circuit import QuantumCircuit

from sojourn.devices import conformance as known_results
from sojourn.devices.calls import faults
from sojourn.devices.driver import Task
from sojourn.driverkit.findings import Evidence, Fault, NotAsked
from sojourn.driverkit.subject import Subject
from sojourn.worker.host import DeviceHost
from sojourn.worker.protocol.types import DeviceSpec, Failed, JobRefused

_SHOTS = 200
_TIMES = 5


def conformance(subject: Subject) -> Evidence:
    found = known_results.check(subject.driver)
    if found:
        raise Fault(*found)
    if subject.driver.random_results:
        return Evidence(["its results are made up (`random_results`): their shapes were checked only"])
    return Evidence(["as expected"])


def outcomes(subject: Subject) -> Evidence:
    """Several tasks at once, of different circuits, points and shots; with and without the order of shots."""
    driver = subject.driver
    flip, (swept, angles) = subject.flip(), subject.sweep()
    tasks = [
        Task(driver.compile(flip), np.zeros((1, 0)), 17),
        Task(driver.compile(swept), angles, 5),
        Task(driver.compile(flip), np.zeros((1, 0)), 1),
    ]
    for memory in (True, False):
        found = subject.execute(tasks, seed=3, memory=memory)
        if (wrong := next(faults(tasks, found, memory=memory), None)) is not None:
            raise Fault(f"{wrong} (memory = {memory})")
    said = driver.account()
    if not all(isinstance(sentence, str) for sentence in said):
        raise Fault("`account` has what is not text")
    return Evidence(["3 tasks of 5 points in one call, with and without the order of the shots"])


def seed(subject: Subject) -> Evidence:
    driver = subject.driver
    if not getattr(driver, "seeded", True):
        raise NotAsked("its runs cannot be repeated, as it says (`seeded`)")
    task = Task(driver.compile(subject.half()), np.zeros((1, 0)), _SHOTS)

    def once(number: int | None) -> bytes:
        return subject.execute([task], seed=number, memory=True)[0][0].memory().tobytes()

    first, again, other = once(7), once(7), once(8)
    if first != again:
        raise Fault("the same task gave two results under one seed")
    if first == other or once(None) == once(None):
        return Evidence([], ["other seeds, or none, gave the same result; is it drawn at all?"])
    return Evidence(["the same twice, another one under another seed and under none"])


def jobs(subject: Subject) -> Evidence:
    """From the body of a request to the result, as a worker does it."""
    driver = subject.driver
    host = DeviceHost(DeviceSpec(subject.name, "checked", subject.options, memory=subject.memory), driver)
    circuit = subject.flip()
    label = "I" * (circuit.num_qubits - 1 - subject.qubit) + "Z" + "I" * subject.qubit
    bare = circuit.copy()
    bare.remove_final_measurements()
    seen = []
    for program, pub in (
        ("sampler", [_typed(circuit), None, _SHOTS]),
        ("estimator", [_typed(bare), {label: 1.0}, None, 0.1]),
    ):
        params = json.dumps({"pubs": [pub], "version": 2, "options": {}}).encode()
        try:
            prepared = host.prepare(program, params)
        except JobRefused as refused:
            raise Fault(f"the {program} job is refused: {refused.message}") from refused
        outcome = host.run(program, params)
        if isinstance(outcome, Failed):
            raised = outcome.detail.strip().splitlines()[-1:]
            raise Fault(f"the {program} job fails: {outcome.reason}", *raised)
        seen.append(
            f"{program}: {outcome.quantum_seconds:.3f} s on the device, "
            f"estimated {prepared.estimated_seconds:.3g} s"
        )
    return Evidence(seen)


def times(subject: Subject) -> Evidence:
    driver = subject.driver
    circuit = subject.half()
    none = np.zeros((1, 0))
    task = Task(driver.compile(circuit), none, 1)
    many = Task(task.circuit, none, 1000)
    measured: Sequence[tuple[str, Callable[[], Any]]] = (
        ("facts", driver.facts),
        ("compile", lambda: driver.compile(circuit)),
        ("execute, 1 shot", lambda: subject.execute([task], seed=None, memory=True)),
        ("execute, 1000 shots", lambda: subject.execute([many], seed=None, memory=True)),
    )
    return Evidence([", ".join(f"{name} {_median(call) * 1e3:.3g} ms" for name, call in measured)])


def _median(call: Callable[[], Any]) -> float:
    taken = []
    for _ in range(_TIMES):
        begun = time.perf_counter()
        call()
        taken.append(time.perf_counter() - begun)
    return statistics.median(taken)


def _typed(circuit: QuantumCircuit) -> dict[str, str]:
    """As the client sends a circuit."""
    file = io.BytesIO()
    qpy.dump(circuit, file)
    return {
        "__type__": "QuantumCircuit",
        "__value__": base64.b64encode(zlib.compress(file.getvalue())).decode(),
    }
