"""Checks that the results of a driver mean what they should, and that its description agrees with its target.

Runs the driver directly, without jobs.

Some vendor backends return counts and no memory, or bits in another order, and nothing fails: the user gets
zeros (Qiskit/qiskit#15694). A driver that is not built in is checked when it is loaded, and refused when it
fails.
"""

from __future__ import annotations

import math

import numpy as np
from qiskit.circuit import ClassicalRegister, Parameter, QuantumCircuit, QuantumRegister
from qiskit.transpiler import generate_preset_pass_manager

from sojourn.devices.bits import num_bytes, take_bits
from sojourn.devices.driver import Driver, Outcome, Task

_SHOTS = 512
_SLACK = 0.35  # a noisy device may be this wrong; wrong bits are wrong all the time


def check(driver: Driver) -> list[str]:
    """What is wrong with the driver, one sentence each; empty when it conforms.

    Its description, then X on one qubit, a Bell pair, two registers of different width with an asymmetric
    pattern, a sweep of one rotation, and a condition if its target has any. A driver with `random_results` is
    checked for shapes only.
    """
    faults = _description(driver)
    for name, circuit, values, expected in _cases(driver):
        manager = generate_preset_pass_manager(1, target=driver.target, seed_transpiler=1)
        ready = manager.run(circuit)
        program = driver.compile(ready)
        tasks = [Task(program, values, _SHOTS)]
        outcomes = driver.execute(tasks, seed=11, memory=True)
        faults += [f"{name}: {fault}" for fault in _shape(outcomes, len(values), ready.num_clbits)]
        if faults or driver.random_results:
            continue
        for point, (outcome, want) in enumerate(zip(outcomes[0], expected, strict=True)):
            got = _frequencies(outcome, ready.num_clbits)
            for pattern, share in want.items():
                if abs(got.get(pattern, 0.0) - share) > _SLACK:
                    faults.append(
                        f"{name}, point {point}: bits {pattern} came in {got.get(pattern, 0.0):.0%} of the "
                        f"shots, expected about {share:.0%}"
                    )
    return faults


def _cases(
    driver: Driver,
) -> list[tuple[str, QuantumCircuit, np.ndarray, list[dict[str, float]]]]:
    none = np.zeros((1, 0))
    flip = QuantumCircuit(1, 1)
    flip.x(0)
    flip.measure(0, 0)
    angle = Parameter("a")
    sweep = QuantumCircuit(1, 1)
    sweep.sx(0)
    sweep.rz(angle, 0)
    sweep.sx(0)
    sweep.measure(0, 0)
    angles = np.array([[0.0], [math.pi / 2], [math.pi]])
    shares = [{"1": 1.0}, {"1": 0.5}, {"1": 0.0, "0": 1.0}]
    cases = [("X", flip, none, [{"1": 1.0}]), ("sweep of rz", sweep, angles, shares)]
    width = driver.target.num_qubits or 0
    if "if_else" in driver.target.operation_names:
        condition = QuantumCircuit(1, 2)
        condition.x(0)
        condition.measure(0, 0)
        with condition.if_test((condition.clbits[0], 1)):
            condition.x(0)
        condition.measure(0, 1)
        cases.append(("X on a condition", condition, none, [{"01": 1.0}]))
    if width >= 2:
        bell = QuantumCircuit(2, 2)
        bell.h(0)
        bell.cx(0, 1)
        bell.measure([0, 1], [0, 1])
        cases.append(("Bell pair", bell, none, [{"00": 0.5, "11": 0.5, "01": 0.0, "10": 0.0}]))
    if width >= 3:
        qubits = QuantumRegister(3)
        first, second = ClassicalRegister(1, "first"), ClassicalRegister(2, "second")
        lopsided = QuantumCircuit(qubits, first, second)
        lopsided.x(1)
        lopsided.measure(qubits[0], first[0])
        lopsided.measure(qubits[1], second[0])
        lopsided.measure(qubits[2], second[1])
        cases.append(("two registers", lopsided, none, [{"010": 1.0}]))
    return cases


def _description(driver: Driver) -> list[str]:
    """Where the driver says other things of its gates and qubits than its target. The rest of a description
    is settled by the service."""
    if hasattr(driver, "adopt"):  # its earlier name: nothing would call it
        return ["its method `adopt` must be called `apply_calibration`"]
    target, facts = driver.target, driver.facts()
    stated = facts.configuration
    if facts.num_qubits != target.num_qubits:
        return [f"it says that it has {facts.num_qubits} qubits, its target has {target.num_qubits}"]
    if "basis_gates" not in stated or "gates" not in stated:
        return ["its configuration lacks `basis_gates` or `gates`; sojourn.devices.describe makes both"]
    faults = []
    told = stated.get("n_qubits", facts.num_qubits)
    if told != facts.num_qubits:
        faults.append(f"its configuration has {told} qubits in `n_qubits`, its target has {facts.num_qubits}")
    unknown = sorted(set(stated["basis_gates"]) - set(target.operation_names))
    if unknown:
        faults.append(f"it offers gates that its target does not have: {', '.join(unknown)}")
    return faults


def _shape(outcomes: list[list[Outcome]], points: int, bits: int) -> list[str]:
    if len(outcomes) != 1 or len(outcomes[0]) != points:
        return [f"expected one task with {points} points, got {[len(o) for o in outcomes]}"]
    faults = []
    for outcome in outcomes[0]:
        width = num_bytes(bits)
        if outcome.patterns.dtype != np.uint8 or outcome.patterns.shape[1:] != (width,):
            faults.append(
                f"patterns are {outcome.patterns.dtype}{outcome.patterns.shape}, not uint8(…, {width})"
            )
        elif int(outcome.counts.sum()) != _SHOTS:
            faults.append(f"{_SHOTS} shots were asked for, the counts add up to {int(outcome.counts.sum())}")
        elif outcome.order is None or outcome.order.shape != (_SHOTS,):
            faults.append("there is no per-shot memory")
        elif not np.array_equal(np.bincount(outcome.order, minlength=len(outcome.counts)), outcome.counts):
            faults.append("per-shot memory and counts disagree")
    return faults


def _frequencies(outcome: Outcome, bits: int) -> dict[str, float]:
    packed = take_bits(outcome.memory(), bits, list(range(bits)))
    single = np.unpackbits(packed, axis=-1, bitorder="big")[:, -bits:]
    patterns, numbers = np.unique(single, axis=0, return_counts=True)
    return {
        "".join(map(str, pattern)): int(number) / len(single)
        for pattern, number in zip(patterns.tolist(), numbers.tolist(), strict=True)
    }
