"""Checks that the results of a driver mean what they should, and that its description agrees with its target.

Runs the driver directly, without jobs.

Some vendor backends return counts and no memory, or bits in another order, and nothing fails: the user gets
zeros (Qiskit/qiskit#15694). A driver that is not built in is checked when it is loaded, and refused when it
fails. The bounds leave room for the errors of a real machine: `FARTHEST` for a result that would be certain
without errors, which is less than any mistake of order or meaning makes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np
from qiskit.circuit import QuantumCircuit
from qiskit.transpiler import generate_preset_pass_manager
from qiskit.transpiler.exceptions import TranspilerError

from sojourn.devices import calls
from sojourn.devices.bits import take_bits
from sojourn.devices.checking.cases import NO_VALUES, Case, cases, lacking, words
from sojourn.devices.checking.report import Check, Report
from sojourn.devices.driver import Driver, DriverError, Outcome, Task

__all__ = ["FARTHEST", "SHOTS", "Check", "Report", "check", "examine"]

SHOTS = 512
FARTHEST = 0.35
"""How far a result may be from what it would be without errors: the share of the shots that would have to be
others (the total variation distance). A mistake costs 0.5 and more."""

SEED = 11
_SHOWN = 4  # bit strings in the evidence

Point = Mapping[str, float]


def check(driver: Driver) -> list[str]:
    """What is wrong with the driver, one sentence each; empty when it conforms."""
    return examine(driver).faults


def examine(driver: Driver) -> Report:
    """Make all checks: the description, the circuits of `checking.cases` as far as the device claims to run
    them, and what seeds do. A driver with `random_results` is checked for shapes only.

    Raises nothing of the driver's own: what it raises is a check that failed. After a description that is
    wrong nothing is run.
    """
    return Report(driver.name, tuple(_checks(driver)))


def _checks(driver: Driver) -> Iterator[Check]:
    try:
        faults = _description(driver)
    except Exception as error:
        faults = [_raised(error)]
    yield Check("description", not faults, "; ".join(faults))
    if faults:
        return
    made = [_case(driver, case) for case in cases()]
    yield from made
    if not any(each.passed is not None for each in made):
        yield Check(
            "some circuit", False, "none of the circuits can be run on it: nothing is known of its results"
        )
    elif all(each.passed is not False for each in made):
        yield _seeds(driver)


def _case(driver: Driver, case: Case) -> Check:
    reason = lacking(case, driver.target)
    if reason is not None:
        return Check(case.name, None, reason)
    try:
        ready = _transpiled(driver, case.circuit)
    except TranspilerError as error:
        return Check(case.name, None, f"it cannot be transpiled for the device: {_line(error)}")
    except Exception as error:  # of the target, which is the driver's
        return Check(case.name, False, f"it cannot be transpiled: {_raised(error)}", words(case.circuit))
    try:
        tasks = [Task(driver.compile(ready), case.values, SHOTS)]
        outcomes = calls.execute(driver, tasks, seed=SEED, memory=True)
    except Exception as error:
        return Check(case.name, False, _raised(error), words(ready))
    fault = next(calls.faults(tasks, outcomes, memory=True), None)
    if fault is not None:
        return Check(case.name, False, fault, words(ready))
    if driver.random_results:
        return Check(case.name, True)
    for point, (outcome, want) in enumerate(zip(outcomes[0], case.expected, strict=True)):
        seen = _frequencies(outcome, ready.num_clbits)
        distance = _distance(seen, want)
        if distance > FARTHEST:
            where = f"at {case.values[point].round(4).tolist()} " if case.values.size else ""
            return Check(
                case.name,
                False,
                f"{where}the result is {distance:.0%} off, at most {FARTHEST:.0%} is allowed",
                words(ready),
                _shown(want),
                _shown(seen),
            )
    return Check(case.name, True)


def _transpiled(driver: Driver, circuit: QuantumCircuit) -> QuantumCircuit:
    return generate_preset_pass_manager(1, target=driver.target, seed_transpiler=1).run(circuit)


def _seeds(driver: Driver) -> Check:
    """Whether a seed repeats a result, and runs without one differ.

    Bits of an even superposition: two results of so many shots are equal by chance in one of 2**512 cases."""
    if driver.random_results:
        return Check("seeds", None, "its results are made up")
    circuit = QuantumCircuit(1, 1)
    circuit.h(0)
    circuit.measure(0, 0)
    try:
        ready = _transpiled(driver, circuit)
        tasks = [Task(driver.compile(ready), NO_VALUES, SHOTS)]
        runs = [
            calls.execute(driver, tasks, seed=seed, memory=True)[0][0].memory().tobytes()
            for seed in (SEED, SEED, None, None)
        ]
    except TranspilerError as error:
        return Check("seeds", None, f"it cannot be transpiled for the device: {_line(error)}")
    except Exception as error:
        return Check("seeds", False, _raised(error), words(circuit))
    if driver.seeded and runs[0] != runs[1]:
        return Check(
            "seeds", False, "two runs with one seed differ; a driver that cannot repeat says seeded = False"
        )
    if runs[2] == runs[3] and not _fixed(driver):
        return Check("seeds", False, "two runs without a seed give the same shots in the same order")
    return Check("seeds", True)


def _fixed(driver: Driver) -> bool:
    """Whether the device was given a seed for all jobs."""
    return driver.options.get("seed") is not None


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


def _frequencies(outcome: Outcome, bits: int) -> dict[str, float]:
    packed = take_bits(outcome.memory(), bits, list(range(bits)))
    single = np.unpackbits(packed, axis=-1, bitorder="big")[:, -bits:]
    patterns, numbers = np.unique(single, axis=0, return_counts=True)
    return {
        "".join(map(str, pattern)): int(number) / len(single)
        for pattern, number in zip(patterns.tolist(), numbers.tolist(), strict=True)
    }


def _distance(seen: Point, want: Point) -> float:
    return sum(abs(seen.get(bits, 0.0) - want.get(bits, 0.0)) for bits in {*seen, *want}) / 2


def _shown(point: Point) -> str:
    most = sorted(point.items(), key=lambda item: -item[1])
    return ", ".join(f"{bits} in {share:.0%}" for bits, share in most[:_SHOWN]) + (
        ", …" if len(most) > _SHOWN else ""
    )


def _line(error: BaseException) -> str:
    return " ".join(str(error).split())[:300]


def _raised(error: Exception) -> str:
    return _line(error) if isinstance(error, DriverError) else f"{type(error).__name__}: {_line(error)}"
