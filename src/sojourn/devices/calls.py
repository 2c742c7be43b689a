"""Runs the tasks of a job on a driver: in calls that it takes, with outcomes that are what they must be.

A driver says with `Driver.limits` how many circuits it takes at once. What a driver gives is looked at before
anything is made of it: results of the wrong shape, or counts that do not add up, would become wrong numbers
that nobody notices.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sojourn.devices.bits import num_bytes
from sojourn.devices.driver import Driver, DriverError, Outcome, Task

OURS = "sojourn.devices.aer."
"""The package of the drivers whose outcomes are not looked at: each run of their tests does."""

_Part = tuple[int, slice]  # a task by its number, and which of its points


def trusted(driver: Driver) -> bool:
    """Whether the driver is one of the simulators that belong to Sojourn."""
    return type(driver).__module__.startswith(OURS)


def execute(
    driver: Driver,
    tasks: Sequence[Task],
    *,
    seed: int | None,
    memory: bool,
    progress: Callable[[float, str], None] | None = None,
) -> list[list[Outcome]]:
    """What `driver.execute` gives, in as many calls as the driver's `CallLimits.circuits` asks for.

    The first call has the job's `seed`, each other one a seed that follows from it: with the same for all,
    equal circuits in two calls would give the same shots. `progress` is given to the driver, and told of
    every call that is done. Raises `DriverError` for outcomes that are not what they must be.
    """
    limit = driver.limits().circuits
    total = sum(len(task.values) for task in tasks)
    said = progress or _unheard
    if limit is None or total <= limit:
        driver.progress = said
        return _call(driver, tasks, seed, memory)
    if limit < 1:
        raise DriverError(f"its driver takes {limit} circuits in a call: nothing can be run")
    found: list[list[Outcome]] = [[] for _ in tasks]
    done = 0
    for number, parts in enumerate(_calls(tasks, limit)):
        some = [
            Task(tasks[index].circuit, tasks[index].values[points], tasks[index].shots)
            for index, points in parts
        ]
        size = sum(len(task.values) for task in some)
        driver.progress = _within(said, done / total, size / total)
        for (index, _), outcomes in zip(parts, _call(driver, some, _seed(seed, number), memory), strict=True):
            found[index].extend(outcomes)
        done += size
        said(done / total, f"{done} of {total} circuits")
    return found


def _unheard(part: float, words: str) -> None:
    del part, words


def _within(said: Callable[[float, str], None], start: float, share: float) -> Callable[[float, str], None]:
    """What a driver says of one call, as a part of the whole job."""
    return lambda part, words: said(start + share * min(max(part, 0.0), 1.0), words)


def _seed(seed: int | None, call: int) -> int | None:
    if seed is None or not call:
        return seed
    return int(np.random.SeedSequence((seed, call)).generate_state(1)[0]) >> 1


def _calls(tasks: Sequence[Task], limit: int) -> Iterator[list[_Part]]:
    """The points of all tasks in their order, at most `limit` together."""
    parts: list[_Part] = []
    room = limit
    for index, task in enumerate(tasks):
        start, size = 0, len(task.values)
        while start < size or not size:  # a task without points has an entry in the answer, too
            stop = min(size, start + room)
            parts.append((index, slice(start, stop)))
            room -= stop - start
            start = stop
            if not room:
                yield parts
                parts, room = [], limit
            if not size:
                break
    if parts:
        yield parts


def _call(driver: Driver, tasks: Sequence[Task], seed: int | None, memory: bool) -> list[list[Outcome]]:
    found = driver.execute(tasks, seed=seed, memory=memory)
    if not trusted(driver):
        fault = next(faults(tasks, found, memory=memory), None)
        if fault is not None:
            kind = type(driver)
            raise DriverError(
                f"{driver.name} gave a result that cannot be right: {fault}. Nothing of the job is kept; the "
                f"fault is the device's or its driver's ({kind.__module__}.{kind.__qualname__})"
            )
    return found


def faults(tasks: Sequence[Task], found: object, *, memory: bool) -> Iterator[str]:
    """What is wrong with the outcomes of `execute`, as far as their form says it."""
    if not isinstance(found, list | tuple) or len(found) != len(tasks):
        yield f"expected outcomes of {len(tasks)} tasks, got {_many(found)}"
        return
    for number, (task, outcomes) in enumerate(zip(tasks, found, strict=True)):
        if not isinstance(outcomes, list | tuple) or len(outcomes) != len(task.values):
            yield f"task {number} has {len(task.values)} points, and {_many(outcomes)} outcomes came"
            continue
        for point, outcome in enumerate(outcomes):
            for fault in _of_one(task, outcome, memory=memory):
                yield f"task {number}, point {point}: {fault}"


def _many(found: object) -> str:
    try:
        return str(len(found))  # type: ignore[arg-type]
    except TypeError:
        return f"a {type(found).__name__}"


def _of_one(task: Task, outcome: object, *, memory: bool) -> Iterator[str]:
    if not isinstance(outcome, Outcome):
        yield f"it is a {type(outcome).__name__}, not an Outcome"
        return
    patterns, counts, order = outcome.patterns, outcome.counts, outcome.order
    width = num_bytes(task.circuit.num_clbits)
    if not _is(patterns, np.uint8) or patterns.ndim != 2 or patterns.shape[1] != width:
        yield f"patterns are {_array(patterns)}, not uint8(…, {width})"
        return
    if not _is(counts, np.integer) or counts.shape != (len(patterns),):
        yield f"counts are {_array(counts)}, not {len(patterns)} integers, one for each pattern"
        return
    if counts.size and int(counts.min()) < 0:
        yield f"a count is {int(counts.min())}"
    elif int(counts.sum()) != task.shots:
        yield f"{task.shots} shots were asked for, the counts add up to {int(counts.sum())}"
    if order is None:
        if memory:
            yield "there is no per-shot memory"
    elif not _is(order, np.integer) or order.shape != (task.shots,):
        yield f"per-shot memory is {_array(order)}, not {task.shots} indices"
    elif order.size and not 0 <= int(order.min()) <= int(order.max()) < len(patterns):
        yield (
            f"per-shot memory points to patterns {int(order.min())} to {int(order.max())}; there are "
            f"{len(patterns)}"
        )
    elif not np.array_equal(np.bincount(order, minlength=len(counts)), counts):
        yield "per-shot memory and counts disagree"
    yield from _of_rest(task, patterns, outcome)


def _of_rest(task: Task, patterns: NDArray[np.uint8], outcome: Outcome) -> Iterator[str]:
    bits = task.circuit.num_clbits
    if bits % 8 and patterns.size and int(patterns[:, 0].max()) >> bits % 8:
        yield f"a pattern has a bit beyond the {bits} classical bits of the circuit"
    signal = outcome.signal
    if signal is not None and not (
        _is(signal, np.complexfloating)
        and signal.shape in {(task.shots, bits), (bits,)}
        and bool(np.isfinite(signal).all())
    ):
        yield f"the signal is {_array(signal)}, not finite complex numbers of ({task.shots}, {bits})"


def _is(array: object, kind: type[Any]) -> bool:
    return isinstance(array, np.ndarray) and bool(np.issubdtype(array.dtype, kind))


def _array(array: object) -> str:
    return f"{array.dtype}{array.shape}" if isinstance(array, np.ndarray) else f"a {type(array).__name__}"
