"""Runs the items of one prepared program, and gives their results as arrays."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from sojourn.devices.conditions import Conditions
from sojourn.devices.driver import Outcome, Task
from sojourn.worker.programs.base import Window
from sojourn.worker.programs.conditions import SIGNAL_LEVELS, suffix
from sojourn.worker.programs.device import DeviceContext
from sojourn.worker.programs.executor import result, schema
from sojourn.worker.programs.executor.program import ExecutorPlan, Item
from sojourn.worker.programs.fields import Register
from sojourn.worker.protocol.types import Prepared


class Stage:
    """Items with their shots. Those with equal shots run together, as one job of the executor would."""

    def __init__(
        self,
        items: Sequence[Item],
        shots: Sequence[int],
        prepared: Prepared,
        seed: int | None,
        conditions: Conditions,
    ) -> None:
        """A `seed` fixes the randomisations and the shots."""
        self._items = items
        self._shots = shots
        self._conditions = conditions
        self._groups = [
            [index for index, own in enumerate(shots) if own == each] for each in dict.fromkeys(shots)
        ]
        self._plans = [
            ExecutorPlan(
                prepared,
                [items[index] for index in group],
                schema.QuantumProgram(shots=shots[group[0]], circuits=msgspec.Raw(b"null"), items=[]),
                conditions=conditions,
                seed=_own(seed, number),
            )
            for number, group in enumerate(self._groups)
        ]

    def tasks(self, device: DeviceContext) -> list[Task]:
        """Everything drawn and compiled. Raises `JobRefused`."""
        return [task for plan in self._plans for task in plan.tasks(device)]

    def run(self, device: DeviceContext, tasks: Sequence[Task]) -> tuple[list[list[Outcome]], Window]:
        """One list of outcomes for each item."""
        outcomes: list[list[Outcome]] = [[] for _ in self._items]
        windows = []
        waiting = iter(tasks)
        for plan, group in zip(self._plans, self._groups, strict=True):
            found, window = plan.run(device, [next(waiting) for _ in group])
            windows.append(window)
            for index, points in zip(group, found, strict=True):
                outcomes[index] = points
        return outcomes, Window(windows[0].start, windows[-1].stop)

    def arrays(self, outcomes: Sequence[Sequence[Outcome]]) -> list[Mapping[str, NDArray[Any]]]:
        """For each item what each register gave, by the names of the executor: bits as bool of (*shape,
        shots, bits), or signals as complex of that shape, without shots when they are averaged. With them
        what was drawn beside the values."""
        drawn = {
            index: one
            for plan, group in zip(self._plans, self._groups, strict=True)
            for index, one in zip(group, plan.drawn, strict=True)
        }
        made: list[Mapping[str, NDArray[Any]]] = []
        for index, (item, points) in enumerate(zip(self._items, outcomes, strict=True)):
            found: dict[str, NDArray[Any]] = {}
            for register in item.registers:
                name, values = self._register(item, register, points, self._shots[index])
                found[name] = values
            for name, values in drawn[index].extras.items():
                found[name] = values.reshape(*item.shape, *values.shape[1:])
            made.append(found)
        return made

    def _register(
        self, item: Item, register: Register, points: Sequence[Outcome], shots: int
    ) -> tuple[str, NDArray[Any]]:
        level = self._conditions.level
        if level in SIGNAL_LEVELS:
            return register.name + suffix(level), result.gathered(points, register, item.shape)
        bits = item.circuit.circuit.num_clbits
        return register.name, result.unpacked(points, register, bits, item.shape, shots)


def _own(seed: int | None, number: int) -> int | None:
    """A seed for each group: equal ones would give equal randomisations."""
    if seed is None or not number:
        return seed
    return int(np.random.SeedSequence([seed, number]).generate_state(1)[0])
