"""Checks what a driver says of its device: target, description, calibrations, conditions."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from typing import Any

import numpy as np
from qiskit.transpiler import Target

from sojourn.devices.conditions import USUAL, Conditions
from sojourn.devices.driver import Driver, DriverError, Facts, Task
from sojourn.devices.offered import settled
from sojourn.driverkit.findings import Evidence, Fault
from sojourn.driverkit.subject import Subject
from sojourn.worker import descriptions
from sojourn.worker.protocol.types import Description

QUICK = 1.0
"""Seconds for what is asked of a driver at each submit."""

_AT = "2026-01-01T00:00:00+00:00"
_NAMES = 12  # instructions that are told by name


def target(subject: Subject) -> Evidence:
    found = subject.driver.target
    if not isinstance(found, Target):
        raise Fault(f"`target` is a {type(found).__name__}, not qiskit.transpiler.Target")
    if not found.num_qubits:
        raise Fault("its target has no qubits; give `num_qubits` where all instructions are global")
    if "measure" not in found.operation_names:
        raise Fault("its target has no `measure`, so that no job could get a result")
    names = sorted(found.operation_names)
    shown = ", ".join(names[:_NAMES]) + (f" and {len(names) - _NAMES} more" if len(names) > _NAMES else "")
    served = [q for q in range(found.num_qubits) if found.instruction_supported("measure", (q,))]
    if not served:
        raise Fault("none of its qubits can be measured")
    return Evidence([f"{found.num_qubits} qubits, of which {len(served)} can be measured; {shown}"])


def description(subject: Subject) -> Evidence:
    driver = subject.driver
    facts = _settled(driver)
    told = Description(facts.num_qubits, facts.configuration, facts.properties, facts.backend_version)
    descriptions.check(told)
    if not isinstance(facts.backend_version, str):
        raise Fault(f"`backend_version` is {facts.backend_version!r}, not text")
    for what, said in (("configuration", facts.configuration), ("properties", facts.properties)):
        if said is not None and said.get("backend_name") != subject.name:
            raise Fault(
                f"`backend_name` of its {what} is {said.get('backend_name')!r}; the device is called "
                f"{subject.name!r}"
            )
    seen = [f"{len(_text(facts.configuration)) / 1e3:.1f} kB of configuration"]
    if facts.properties is not None:
        seen.append(f"{len(_text(facts.properties)) / 1e3:.1f} kB of properties")
    return Evidence([*seen, _through_the_client(driver, facts)])


def _through_the_client(driver: Driver, facts: Facts) -> str:
    """Read the description as a program of a user does. Raises `Fault`."""
    try:
        from qiskit_ibm_runtime.utils.backend_converter import convert_to_target
        from qiskit_ibm_runtime.utils.backend_decoder import (
            configuration_from_server_data,
            properties_from_server_data,
        )
    except ImportError:
        return "qiskit-ibm-runtime is not installed here, so that its decoder was not asked"
    try:
        configuration = configuration_from_server_data(json.loads(_text(facts.configuration)))
        properties = None
        if facts.properties is not None:
            properties = properties_from_server_data(json.loads(_text(facts.properties)))
        seen = convert_to_target(configuration, properties, include_fractional_gates=True)
    except Exception as error:
        raise Fault(f"the client cannot read its description: {type(error).__name__}: {error}") from error
    if seen.num_qubits != driver.target.num_qubits:
        raise Fault(f"the client reads {seen.num_qubits} qubits, its target has {driver.target.num_qubits}")
    gates = set(facts.configuration["basis_gates"])
    unread = sorted(gates - set(seen.operation_names))
    if len(unread) == len(gates):
        raise Fault(f"the client knows none of its gates {', '.join(unread)}")
    return "the client reads it" + (f", without the gates {', '.join(unread)}" if unread else "")


def memory(subject: Subject) -> Evidence:
    driver = subject.driver
    begun = time.monotonic()
    most = driver.most_memory(driver.target.num_qubits or 1)
    least = driver.memory_of(subject.flip())
    seconds = time.monotonic() - begun
    for name, found in (("most_memory", most), ("memory_of", least)):
        if not isinstance(found, int) or isinstance(found, bool) or found < 0:
            raise Fault(f"`{name}` is {found!r}, not a number of bytes from 0 on")
    warnings = [f"the two take {seconds:.1f} s, at each submit"] if seconds > QUICK else []
    if not most:
        return Evidence(["it does not say; only the bound of `memory_mb` holds"], warnings)
    return Evidence([f"at most {most / 2**20:.0f} MB for all qubits"], warnings)


def stability(subject: Subject) -> Evidence:
    driver = subject.driver
    before = _shape(driver.target), _plain(_settled(driver))
    subject.execute([Task(driver.compile(subject.flip()), np.zeros((1, 0)), 8)], seed=1, memory=True)
    after = _shape(driver.target), _plain(_settled(driver))
    if before[0] != after[0]:
        raise Fault(
            "its target is another one after a run; circuits are checked against the first, and clients "
            "transpile for it"
        )
    if before[1] != after[1]:
        raise Fault(
            "its description is another one after a run; only a calibration changes it (`calibrate`, "
            "`apply_calibration`)"
        )
    another = subject.fresh()
    if before != (_shape(another.target), _plain(_settled(another))):
        raise Fault(
            "another driver with the same options has another target or description; each worker would "
            "be another device"
        )
    return Evidence(["the same before and after a run, and in another driver with these options"])


def calibration(subject: Subject) -> Evidence:
    driver = subject.driver
    before = _plain(_settled(driver))
    found = driver.calibrate(_AT, 1)
    if not isinstance(found, Facts):
        raise Fault(f"`calibrate` returned a {type(found).__name__}, not `Facts`")
    if _plain(_settled(driver)) != before:
        raise Fault("what `calibrate` has measured holds at once, before `apply_calibration`")
    told = settled(found, driver.target, driver.meas_levels)
    descriptions.check(
        Description(told.num_qubits, told.configuration, told.properties, told.backend_version)
    )
    if told.properties is None:
        return Evidence(["it has no properties"])
    measured = json.loads(_text(told.properties))
    for which, each in (("it", driver), ("a new driver", subject.fresh())):
        each.apply_calibration(measured)
        shown = _settled(each).properties
        if shown is None or json.loads(_text(shown)) != measured:
            raise Fault(f"{which} does not show the properties of a calibration that was applied")
    task = Task(driver.compile(subject.flip()), np.zeros((1, 0)), 8)
    subject.execute([task], seed=1, memory=True)
    try:
        driver.apply_calibration({**measured, "qubits": [], "gates": []})
    except Exception as error:
        raise Fault(
            f"properties of a device without qubits end with {type(error).__name__}: {error}; a driver "
            "ignores those that cannot be its own, as after a change of its options"
        ) from error
    changed = "new ones" if measured != _properties(before) else "the same as before"
    return Evidence([f"properties come back as they were measured ({changed})"])


def conditions(subject: Subject) -> Evidence:
    driver = subject.driver
    if not isinstance(driver.under(USUAL), Driver):
        raise Fault("`under(USUAL)` is not a driver")
    told = []
    for what, asked, claimed in (
        ("signals", Conditions(level="kerneled"), 1 in driver.meas_levels),
        ("qubits that are not initialised", Conditions(carried=True, pause=1e-4), False),
    ):
        try:
            made = driver.under(asked)
        except DriverError as error:
            if claimed:
                raise Fault(f"it claims {what} in `meas_levels` and refuses them: {error}") from error
            told.append(f"{what} are refused")
            continue
        if not isinstance(made, Driver):
            raise Fault(f"`under` returned a {type(made).__name__} for {what}, not a driver")
        told.append(f"{what} are there")
    return Evidence(["; ".join(told)])


def _settled(driver: Driver) -> Facts:
    facts = driver.facts()
    if not isinstance(facts, Facts):
        raise Fault(f"`facts` returned a {type(facts).__name__}, not `Facts`")
    return settled(facts, driver.target, driver.meas_levels)


def _text(said: Mapping[str, Any]) -> str:
    """As JSON, with the plain values of NumPy's numbers."""
    return json.dumps(said, allow_nan=False, default=_of_numpy)


def _of_numpy(value: object) -> object:
    if isinstance(value, np.generic | np.ndarray):
        return value.tolist()
    raise Fault(f"its description has a {type(value).__name__}, which has no form in JSON")


def _plain(facts: Facts) -> tuple[Any, ...]:
    properties = None if facts.properties is None else json.loads(_text(facts.properties))
    return facts.num_qubits, json.loads(_text(facts.configuration)), properties, facts.backend_version


def _properties(plain: tuple[Any, ...]) -> Any:
    return plain[2]


def _shape(found: Target) -> tuple[int, tuple[tuple[str, tuple[tuple[int, ...], ...]], ...]]:
    """The instructions of a target and their places."""
    names = sorted(found.operation_names)
    places = (tuple(sorted(place for place in found[name] or () if place is not None)) for name in names)
    return found.num_qubits or 0, tuple(zip(names, places, strict=True))
