"""Refuses classical expressions and variables that `flow` cannot run, or that are wrong whatever is measured.

Cheap: loops are counted, not written out.
"""

from __future__ import annotations

from dataclasses import replace

from qiskit.circuit import (
    ControlFlowOp,
    ForLoopOp,
    IfElseOp,
    QuantumCircuit,
    Store,
    SwitchCaseOp,
    WhileLoopOp,
)
from qiskit.circuit.classical import expr

from sojourn.devices.driver import DriverError
from sojourn.devices.expressions import Reader, Scope, width_of
from sojourn.devices.logic import TRUE, Logic, TooLarge

MAX_STEPS = 200_000
"""Operations on single bits that the expressions of a circuit may need, its loops written out."""

MAX_VARIABLE_BITS = 10_000
"""Bits that the variables of a circuit may have."""

LEAVING = ("break_loop", "continue_loop")


def check(circuit: QuantumCircuit) -> None:
    """Raises `DriverError` with the expression or variable in the message."""
    try:
        _Check().block(circuit, outermost(circuit), 1)
    except TooLarge:
        raise too_large() from None


def outermost(circuit: QuantumCircuit) -> Scope:
    """The scope of a circuit that is not a block of another."""
    return Scope({bit: number for number, bit in enumerate(circuit.clbits)})


def too_large(steps: int | None = None) -> DriverError:
    """What is said of a circuit that needs so many steps; None stands for one more than allowed, at least."""
    count = f"{steps} operations" if steps else f"more than {MAX_STEPS} operations"
    return DriverError(
        f"the classical expressions take {count} on single bits when loops are written out; the limit is "
        f"{MAX_STEPS}. Use narrower registers and variables (mul and div grow with the square of the width), "
        "or fewer turns of the loops"
    )


class _Check:
    def __init__(self) -> None:
        self._steps = 0
        self._bits = 0
        self._places: dict[expr.Var, range] = {}

    def block(self, circuit: QuantumCircuit, scope: Scope, turns: int, *, looped: bool = False) -> None:
        """`turns`: how often the block is written out. `looped`: whether it is inside of a loop."""
        scope = scope.declaring(circuit.iter_declared_vars(), self._place)
        for item in circuit.data:
            operation = item.operation
            if operation.name in LEAVING and not looped:
                raise DriverError(f"{operation.name} stands outside of a loop")
            if not isinstance(operation, ControlFlowOp | Store):
                continue
            self._expressions(operation, scope, turns)
            if not isinstance(operation, ControlFlowOp):
                continue
            within, times = scope, turns
            if isinstance(operation, ForLoopOp):
                indices, _, body = operation.params
                times *= len(indices) if body.data else 0  # len() of a huge range raises
                within = self._loop(operation, scope)
            outside = [scope.clbits[bit] for bit in item.clbits]
            for block in operation.blocks:
                numbers = dict(zip(block.clbits, outside, strict=True))
                inside = looped or isinstance(operation, ForLoopOp | WhileLoopOp)
                self.block(block, replace(within, clbits=numbers), times, looped=inside)

    def _expressions(self, operation: ControlFlowOp | Store, scope: Scope, turns: int) -> None:
        logic = Logic(MAX_STEPS)
        reader = Reader(logic, scope, strict=True)
        if isinstance(operation, Store):
            reader.store(operation.lvalue, operation.rvalue)
        elif isinstance(operation, IfElseOp | WhileLoopOp):
            holds = reader.condition(operation.condition)
            if isinstance(operation, WhileLoopOp) and holds == TRUE and not _breaks(operation.blocks[0]):
                raise DriverError(
                    "a while_loop has a condition that is always true and no break_loop, so it never ends"
                )
        elif isinstance(operation, SwitchCaseOp):
            for _ in reader.cases(operation):
                pass
        self._steps += logic.size * turns
        if self._steps > MAX_STEPS:
            raise too_large(self._steps)

    def _loop(self, operation: ForLoopOp, scope: Scope) -> Scope:
        """The scope of the loop's block, after a look at the values of its variable."""
        indices, variable, _ = operation.params
        if not isinstance(variable, expr.Var):
            return scope
        scope = scope.declaring([variable], self._place)
        limit = 1 << width_of(variable)
        for index in (indices[0], indices[-1]) if isinstance(indices, range) and indices else indices:
            if not 0 <= index < limit:
                raise DriverError(
                    f"the variable {variable.name!r} of a loop takes the value {index}; its type holds "
                    f"integers from 0 to {limit - 1}"
                )
        return scope

    def _place(self, variable: expr.Var) -> range:
        if variable not in self._places:
            start = self._bits
            self._bits += width_of(variable)
            if self._bits > MAX_VARIABLE_BITS:
                raise DriverError(
                    f"the variables have {self._bits} bits together, with {variable.name!r} and those before "
                    f"it; the limit is {MAX_VARIABLE_BITS}"
                )
            self._places[variable] = range(start, self._bits)
        return self._places[variable]


def _breaks(body: QuantumCircuit) -> bool:
    """Whether the body of a loop has a `break_loop` of that loop."""
    return any(
        item.name == "break_loop"
        or (
            isinstance(item.operation, ControlFlowOp)
            and not isinstance(item.operation, ForLoopOp | WhileLoopOp)
            and any(map(_breaks, item.operation.blocks))
        )
        for item in body.data
    )
