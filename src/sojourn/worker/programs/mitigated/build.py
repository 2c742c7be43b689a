"""Turns a quantum program that the client's packages have prepared into items that the device can run.

The preparation depends on the circuits, the shapes and the options, and not on the values of the parameters:
so what it gives (`Built`) is kept, and the iterations of a session only bring new values (R39).
"""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sojourn.worker.programs.base import Work
from sojourn.worker.programs.conditions import NOTHING_BARRED, SIGNAL_LEVELS, Restriction, point_size
from sojourn.worker.programs.device import MAX_POINTS, Circuit, DeviceContext
from sojourn.worker.programs.executor.program import MAX_VALUES, Fixed, Item, Sampled, tried
from sojourn.worker.programs.executor.samplex import Samplex
from sojourn.worker.programs.fields import Register, registers_of
from sojourn.worker.programs.mitigated.narrow import Narrow
from sojourn.worker.programs.tally import Tally
from sojourn.worker.protocol.memory import MB
from sojourn.worker.protocol.types import JobRefused

VALUES = "parameter_values"
_MEMORY = 4 * 2**30  # bytes for the evaluation, on a device that has no limit of its own
_COPIES = 3  # that the evaluation makes of all bits, one byte each, or signals


@dataclass(frozen=True, slots=True)
class Template:
    """An item of a prepared program. Without a `samplex` its circuit runs at the points `values`."""

    circuit: Circuit
    registers: tuple[Register, ...]
    samplex: Samplex | None
    arguments: Mapping[str, Any]
    shape: tuple[int, ...]
    values: NDArray[np.float64] | None = None


@dataclass(frozen=True, slots=True)
class Built:
    """A prepared program. `passthrough` is what its evaluation needs."""

    templates: tuple[Template, ...]
    shots: int
    passthrough: Any

    @property
    def cost(self) -> int:
        """A guess of its size in bytes."""
        return sum(8192 + 3000 * len(template.circuit.circuit.data) for template in self.templates)


def built(device: DeviceContext, program: Any, narrow: Narrow) -> Built:
    """The client's `program`, its circuits on the qubits of the device. Raises `JobRefused`."""
    templates = []
    for index, item in enumerate(program.items):
        where = f"the prepared circuit {index}"
        key = os.urandom(20)  # it is known by what it was made of, not by its text
        circuit = device.made(narrow.place(item.circuit), key, where)
        inner = getattr(item, "samplex", None)
        samplex = None if inner is None else Samplex(inner, where)
        arguments: dict[str, Any] = {}
        if samplex is not None:
            given = item.samplex_arguments
            arguments = {spec.name: given[spec.name] for spec in given.specs if spec.name in given}
        registers = registers_of(circuit.circuit)
        values = None if samplex is not None or not circuit.num_parameters else item.circuit_arguments
        templates.append(Template(circuit, registers, samplex, arguments, tuple(item.shape), values))
    return Built(tuple(templates), int(program.shots), program.passthrough_data)


class Binding:
    """Gives the templates of a job their values, and adds up what they take."""

    def __init__(
        self, device: DeviceContext, tally: Tally, restriction: Restriction = NOTHING_BARRED
    ) -> None:
        """`device` is that under the conditions of the job."""
        self._device = device
        self._tally = tally
        self._restriction = restriction
        self._values = self._held = 0

    def bind(self, template: Template, values: NDArray[np.float64] | None, shots: int, where: str) -> Item:
        """Raises `JobRefused` for what does not fit the device, or is too much."""
        device, circuit = self._device, template.circuit
        self._restriction.check(circuit.circuit, f"{where}, as it is prepared", prepared=True)
        if shots > device.max_shots:
            raise JobRefused(
                f"{where} needs {shots} shots of each circuit; the limit of {device.name} is "
                f"{device.max_shots} per circuit. Ask for more randomizations, or fewer shots"
            )
        count = circuit.num_parameters
        source: Fixed | Sampled
        if template.samplex is None:
            points = np.zeros((1, 0)) if values is None else values.reshape(-1, count)
            shape = () if values is None else values.shape[:-1]
            self._bounded(shape, count, where)
            device.check_points(circuit, points, where)
            source, times = Fixed(points), 1
        else:
            arguments = dict(template.arguments)
            if values is not None and VALUES in arguments:
                arguments[VALUES] = values
            randomisation = template.samplex.bind(arguments, template.shape, where)
            shape = randomisation.shape
            self._bounded(shape, count, where)
            points = tried(device, circuit, randomisation, where)
            source, times = Sampled(randomisation), randomisation.times
        item = Item(where, circuit, shape, template.registers, source, None)
        self._count(item, points, shots, times)
        return item

    def _bounded(self, shape: tuple[int, ...], parameters: int, where: str) -> None:
        size = math.prod(shape)
        if size > MAX_POINTS:
            raise JobRefused(
                f"{where} comes to {size} circuits (points x bases x randomizations); the limit is "
                f"{MAX_POINTS}. Ask for fewer randomizations, or split the job"
            )
        self._values += size * parameters
        if self._values > MAX_VALUES:
            raise JobRefused(
                f"{where}: the circuits up to here have {self._values} parameter values together; the limit "
                f"is {MAX_VALUES}. Ask for fewer randomizations, or split the job"
            )

    def _count(self, item: Item, points: NDArray[np.float64], shots: int, times: int) -> None:
        circuit, tally, conditions = item.circuit, self._tally, self._device.conditions
        tally.add(circuit, points, shots, times)
        tally.limit()
        bits = circuit.circuit.num_clbits
        signals = conditions.level in SIGNAL_LEVELS
        self._held += item.size * (point_size(bits, shots, conditions) if signals else shots * bits)
        limit = self._device.memory or _MEMORY
        if _COPIES * self._held > limit:
            raise JobRefused(
                f"{item.where}: the {'signals' if signals else 'bits'} up to here need "
                f"{_COPIES * self._held / MB:.0f} MB while they are evaluated; the limit is "
                f"{limit / MB:.0f} MB. Split the job, or ask for fewer shots"
            )
        if conditions.level == "kerneled":
            tally.hold(item.size * point_size(bits, shots, conditions))
        work = Work(item.key, lambda: circuit.circuit, np.zeros((item.size, 0)), shots, item.where)
        tally.memory(work, circuit, in_order=True)
        if circuit.checked.dynamic or conditions.carried:
            item.compiled(self._device)  # what it cannot do is better said before it runs


def at_bases(
    values: NDArray[np.float64] | None, pairs: Sequence[tuple[Sequence[int], str]]
) -> NDArray[np.float64] | None:
    """The values, (*points, parameters), at the points of an estimator's (point, basis) pairs."""
    if values is None:
        return None
    return np.stack([values[tuple(point)] for point, _ in pairs])
