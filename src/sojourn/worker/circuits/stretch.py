"""Resolves stretches: how long each is, in steps of the device's clock (dt). Pure arithmetic, no circuits.

The rule. Every operation starts as early as it can. A barrier on several qubits, and the end of a circuit or
of a block of control flow, take place when they would if every stretch were 0: stretches fill idle time and
lengthen nothing. Within that they are as long as possible. Several of them in one place grow by equal steps;
the first path of operations that leaves no idle time stops those on it, the others grow on. What is lost by
rounding down to whole dt goes to the first delay that uses the stretch.

One stretch between two barriers therefore gets what IBM's guide "Deferred timing resolution using stretch"
gives it, remainder included. Stretches that the guide's service refuses (two on a qubit, one in several
places) have a value by the same rule.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import count
from math import floor

MAX_WORK = 2_000_000
"""Stretches times operations: beyond, resolving them takes longer than a preparation may."""


class StretchError(Exception):
    """The stretches cannot be resolved; the message says why and is for the user."""


@dataclass(frozen=True, slots=True)
class Length:
    """A duration in dt: `fixed`, and for stretch number i ``times[i]`` of it."""

    fixed: Fraction = Fraction(0)
    times: Mapping[int, Fraction] = field(default_factory=dict)

    def at(self, values: Sequence[Fraction]) -> Fraction:
        return self.fixed + sum((k * values[i] for i, k in self.times.items()), Fraction(0))


@dataclass(frozen=True, slots=True, eq=False)
class Step:
    """One operation on `qubits`. `barrier`: a point in time that may not move. A control-flow operation has
    `blocks` instead of a length; it takes as long as the longest of them, `turns` times."""

    qubits: tuple[int, ...]
    length: Length = Length()
    barrier: bool = False
    blocks: tuple[Scope, ...] = ()
    turns: int = 1


@dataclass(frozen=True, slots=True, eq=False)
class Scope:
    """A circuit or a block: its operations in order, on qubits of any numbers."""

    steps: tuple[Step, ...]


@dataclass(frozen=True, slots=True)
class StretchValue:
    """A stretch as it was resolved; all numbers are in dt.

    `remainder` is what its first delay has more than `value` gives. `expanded` are the start, from the start
    of the circuit, and the duration of every delay that uses it; a loop counts as its first turn.
    """

    name: str
    value: int
    remainder: int
    expanded: tuple[tuple[int, int], ...]


@dataclass(frozen=True, slots=True)
class Resolved:
    """`durations` has an entry (dt) for every step whose length depends on a stretch."""

    values: tuple[StretchValue, ...]
    durations: Mapping[Step, int]


def resolve(circuit: Scope, names: Sequence[str]) -> Resolved:
    """Resolve the stretches `names`, which lengths know by their index. Raises `StretchError`."""
    scopes = list(_scopes(circuit))
    size = sum(len(scope.steps) for scope in scopes)
    if size * len(names) > MAX_WORK:
        raise StretchError(
            f"{len(names)} stretches among {size} instructions are too many to resolve; their product may be "
            f"at most {MAX_WORK}"
        )
    for step in _stretched(scopes):
        for number, factor in step.length.times.items():
            if factor < 0:
                raise StretchError(
                    f"a delay becomes shorter as the stretch {names[number]!r} becomes longer; a stretch may "
                    "only be added, or multiplied by a number above 0"
                )
    plans = [_Plan(scope) for scope in scopes]
    exact = _fill(plans, len(names))
    values = [Fraction(floor(value)) for value in exact]
    extra: dict[Step, Fraction] = {}
    remainders = [0] * len(names)
    for number in range(len(names)):
        found = _first(plans, number)
        if found is None:
            continue
        plan, step = found
        left = plan.room(step, values, extra) - plan.room(step, exact, {})
        remainders[number] = max(0, floor(left))
        extra[step] = extra.get(step, Fraction(0)) + remainders[number]
    durations: dict[Step, int] = {}
    for step in _stretched(scopes):
        took = floor(step.length.at(values) + extra.get(step, 0))
        if took < 0:
            told = " and ".join(repr(names[number]) for number in step.length.times)
            raise StretchError(
                f"a delay with the stretch {told} comes out as {took} dt; a delay cannot be negative. There "
                "is too little idle time for the stretch to fill: leave out what is subtracted from it"
            )
        durations[step] = took
    expanded: list[list[tuple[int, int]]] = [[] for _ in names]
    for start, step in _starts(circuit, {plan.scope: plan for plan in plans}, durations, 0):
        for number in step.length.times:
            expanded[number].append((start, durations[step]))
    return Resolved(
        tuple(
            StretchValue(name, floor(values[i]), remainders[i], tuple(expanded[i]))
            for i, name in enumerate(names)
        ),
        durations,
    )


class _Plan:
    """A scope and when its barriers take place, with all stretches at 0. The last entry is its end."""

    def __init__(self, scope: Scope) -> None:
        self.scope = scope
        self.flat: list[tuple[Step, Fraction | None]] = []  # its duration, unless a stretch gives it
        self.deadlines: list[Fraction] = []
        clock: dict[int, Fraction] = {}
        for step in scope.steps:
            known = None if step.length.times else _natural(step)
            self.flat.append((step, known))
            end = _latest(clock, step) + (max(step.length.fixed, Fraction(0)) if known is None else known)
            if step.barrier:
                self.deadlines.append(end)
            for qubit in step.qubits:
                clock[qubit] = end
        self.deadlines.append(max(clock.values(), default=Fraction(0)))

    def growth(self, values: Sequence[Fraction], growing: frozenset[int]) -> Fraction | None:
        """By how much all of `growing` may become longer; None when nothing here depends on them."""
        step = self._tightest(values, growing, None)
        while step is not None:
            smaller = self._tightest(values, growing, step)
            if smaller is None:
                return step
            step = smaller
        return None

    def _tightest(
        self, values: Sequence[Fraction], growing: frozenset[int], step: Fraction | None
    ) -> Fraction | None:
        """The least step at which a path that is too long after `step` just fits; None when all fit.
        For None as `step`: those that grow the most, however long they are now."""
        found: Fraction | None = None

        def rank(path: tuple[Fraction, Fraction]) -> tuple[Fraction, Fraction]:
            return (path[1], path[0]) if step is None else (path[0] + path[1] * step, path[1])

        zero = (Fraction(0), Fraction(0))
        clock: dict[int, tuple[Fraction, Fraction]] = {}
        deadlines = iter(self.deadlines)

        def meet(path: tuple[Fraction, Fraction], deadline: Fraction) -> None:
            nonlocal found
            length, slope = path
            if slope > 0 and (step is None or length + slope * step > deadline):
                fits = (deadline - length) / slope
                found = fits if found is None else min(found, fits)

        for item, known in self.flat:
            length, slope = max((clock.get(qubit, zero) for qubit in item.qubits), key=rank, default=zero)
            if item.barrier:
                deadline = next(deadlines)
                meet((length, slope), deadline)
                after = (deadline, Fraction(0))
            elif known is None:
                more = sum((k for i, k in item.length.times.items() if i in growing), Fraction(0))
                after = (length + item.length.at(values), slope + more)
            else:
                after = (length + known, slope)
            for qubit in item.qubits:
                clock[qubit] = after
        last = next(deadlines)
        for path in clock.values():
            meet(path, last)
        return found

    def stopped(self, values: Sequence[Fraction]) -> set[int]:
        """The stretches on a path without idle time."""
        found: set[int] = set()
        nothing: tuple[Fraction, frozenset[int]] = (Fraction(0), frozenset())
        clock: dict[int, tuple[Fraction, frozenset[int]]] = {}
        deadlines = iter(self.deadlines)
        for item, known in self.flat:
            paths = [clock.get(qubit, nothing) for qubit in item.qubits]
            length = max((path[0] for path in paths), default=Fraction(0))
            used = frozenset[int]().union(*(path[1] for path in paths if path[0] == length))
            if item.barrier:
                deadline = next(deadlines)
                if length >= deadline:
                    found |= used
                after = (deadline, frozenset[int]())
            elif known is None:
                after = (length + item.length.at(values), used | item.length.times.keys())
            else:
                after = (length + known, used)
            for qubit in item.qubits:
                clock[qubit] = after
        last = next(deadlines)
        for length, used in clock.values():
            if length >= last:
                found |= used
        return found

    def room(self, through: Step, values: Sequence[Fraction], extra: Mapping[Step, Fraction]) -> Fraction:
        """By how much the step `through` alone may become longer."""
        room: Fraction | None = None
        clock: dict[int, tuple[Fraction, Fraction | None]] = {}  # the longest path, the longest through it
        deadlines = iter(self.deadlines)

        def meet(path: Fraction | None, deadline: Fraction) -> None:
            nonlocal room
            if path is not None:
                room = deadline - path if room is None else min(room, deadline - path)

        for item, known in self.flat:
            paths = [clock.get(qubit, (Fraction(0), None)) for qubit in item.qubits]
            length = max((path[0] for path in paths), default=Fraction(0))
            marked = max((path[1] for path in paths if path[1] is not None), default=None)
            if item.barrier:
                deadline = next(deadlines)
                meet(marked, deadline)
                after: tuple[Fraction, Fraction | None] = (deadline, None)
            else:
                took = item.length.at(values) + extra.get(item, 0) if known is None else known
                ahead = length + took
                after = (ahead, ahead if item is through else None if marked is None else marked + took)
            for qubit in item.qubits:
                clock[qubit] = after
        last = next(deadlines)
        for _, marked in clock.values():
            meet(marked, last)
        return max(Fraction(0), room or Fraction(0))


def _fill(plans: Sequence[_Plan], number: int) -> list[Fraction]:
    """The value of each stretch before it is rounded."""
    values = [Fraction(0)] * number
    used = {i for plan in plans for step, known in plan.flat if known is None for i in step.length.times}
    growing = frozenset(used)
    while growing:
        steps = [plan.growth(values, growing) for plan in plans]
        step = min((found for found in steps if found is not None), default=Fraction(0))
        if step > 0:
            values = [value + step if i in growing else value for i, value in enumerate(values)]
        stopped = frozenset().union(*(plan.stopped(values) for plan in plans)) & growing
        assert stopped, "the path that allows no longer step has no idle time left"
        growing -= stopped
    return values


def _natural(step: Step) -> Fraction:
    """How long a step takes that does not depend on a stretch, or does so only inside of its blocks."""
    if not step.blocks:
        return step.length.fixed
    return step.turns * max(_Plan(block).deadlines[-1] for block in step.blocks)


def _latest(clock: Mapping[int, Fraction], step: Step) -> Fraction:
    return max((clock.get(qubit, Fraction(0)) for qubit in step.qubits), default=Fraction(0))


def _scopes(scope: Scope) -> Iterator[Scope]:
    yield scope
    for step in scope.steps:
        for block in step.blocks:
            yield from _scopes(block)


def _stretched(scopes: Sequence[Scope]) -> Iterator[Step]:
    return (step for scope in scopes for step in scope.steps if step.length.times)


def _first(plans: Sequence[_Plan], number: int) -> tuple[_Plan, Step] | None:
    """The first delay that uses the stretch; a block's come after those of what is around it."""
    for plan in plans:
        for step, _ in plan.flat:
            if number in step.length.times:
                return plan, step
    return None


def _starts(
    scope: Scope, plans: Mapping[Scope, _Plan], durations: Mapping[Step, int], start: int
) -> Iterator[tuple[int, Step]]:
    """When every step that depends on a stretch begins, in dt."""
    clock: dict[int, Fraction] = {}
    numbers = count()
    plan = plans[scope]
    for step, known in plan.flat:
        begins = _latest(clock, step)
        if step.barrier:
            ends = plan.deadlines[next(numbers)]
        elif known is None:
            yield start + floor(begins), step
            ends = begins + durations[step]
        else:
            for block in step.blocks:
                yield from _starts(block, plans, durations, start + floor(begins))
            ends = begins + known
        for qubit in step.qubits:
            clock[qubit] = ends
