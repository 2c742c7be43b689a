"""Writes control flow, variables and expressions out as the marks, jumps and stores of `flow_code`.

Loops over a range are written out; branches and other loops become jumps; variables become hidden bits
behind the user's own, which are 0 again at the end. A circuit of Qiskit's goes in, one for Aer's assembler
comes out. A variable that is read before it was given a value is 0.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from qiskit.circuit import (
    ControlFlowOp,
    ForLoopOp,
    IfElseOp,
    Parameter,
    QuantumCircuit,
    Qubit,
    Store,
    SwitchCaseOp,
    WhileLoopOp,
)
from qiskit.circuit.classical import expr
from qiskit.converters import circuit_to_dag, dag_to_circuit

from sojourn.devices.aer.flow_code import Code
from sojourn.devices.driver import DriverError
from sojourn.devices.expressions import Reader, Scope, width_of
from sojourn.devices.flow_check import LEAVING, MAX_STEPS, outermost, too_large
from sojourn.devices.logic import Logic, TooLarge, constant


def flat(circuit: QuantumCircuit) -> QuantumCircuit:
    """The circuit for Aer's assembler. Its first bits are those of `circuit`. Raises `DriverError`."""
    code = Code(circuit)
    qubits = {qubit: qubit for qubit in circuit.qubits}
    try:
        _Writer(code).block(circuit, qubits, outermost(circuit))
    except TooLarge:
        raise too_large() from None
    code.finish()
    # Aer's own compiler orders what stands between barriers, marks and jumps by this conversion; the same
    # order gives the same random numbers to the same measurements
    dag = circuit_to_dag(code.circuit, copy_operations=False)
    return dag_to_circuit(dag, copy_operations=False)


@dataclass(frozen=True, slots=True)
class _Loop:
    """The marks that `continue` and `break` go to."""

    again: str
    end: str


class _Writer:
    def __init__(self, code: Code) -> None:
        self._code = code
        self._places: dict[expr.Var, tuple[int, ...]] = {}

    def block(
        self,
        circuit: QuantumCircuit,
        qubits: Mapping[Qubit, Qubit],
        scope: Scope,
        loop: _Loop | None = None,
        *,
        inner: bool = False,
    ) -> None:
        """Every instruction of the circuit, its bits replaced by those of the outermost circuit."""
        scope = scope.declaring(circuit.iter_declared_vars(), self._place)
        if inner:  # the block may run again, and its variables still have their last values
            unset = _without_value(circuit)
            self._code.set([(bit, 0) for variable in unset for bit in scope.variables[variable]])
        bits = self._code.circuit.clbits
        for item in circuit.data:
            operation = item.operation
            if isinstance(operation, Store):
                logic = Logic(MAX_STEPS)
                self._code.assign(logic, *Reader(logic, scope).store(operation.lvalue, operation.rvalue))
            elif isinstance(operation, ControlFlowOp):
                outside = tuple(qubits[qubit] for qubit in item.qubits)
                self._control(
                    operation, outside, tuple(scope.clbits[bit] for bit in item.clbits), scope, loop
                )
            elif operation.name in LEAVING:
                assert loop is not None  # checked
                self._code.jump(loop.end if operation.name == "break_loop" else loop.again)
            else:
                self._code.append(
                    item.replace(
                        qubits=[qubits[qubit] for qubit in item.qubits],
                        clbits=[bits[scope.clbits[bit]] for bit in item.clbits],
                    )
                )

    def _control(
        self,
        operation: ControlFlowOp,
        qubits: tuple[Qubit, ...],
        clbits: tuple[int, ...],
        scope: Scope,
        loop: _Loop | None,
    ) -> None:
        def inner(block: QuantumCircuit, loop: _Loop | None, around: Scope = scope) -> None:
            numbers = dict(zip(block.clbits, clbits, strict=True))
            places = dict(zip(block.qubits, qubits, strict=True))
            self.block(block, places, replace(around, clbits=numbers), loop, inner=True)

        self._code.barrier()
        if isinstance(operation, IfElseOp):
            self._if(operation, scope, lambda block: inner(block, loop))
        elif isinstance(operation, SwitchCaseOp):
            self._switch(operation, scope, lambda block: inner(block, loop))
        elif isinstance(operation, WhileLoopOp):
            self._while(operation, scope, inner)
        elif isinstance(operation, ForLoopOp):
            self._for(operation, scope, inner)
        else:
            raise DriverError(f"control flow of the kind {operation.name!r} is not run here")

    def _if(self, operation: IfElseOp, scope: Scope, inner: Callable[[QuantumCircuit], None]) -> None:
        when, *otherwise = operation.blocks
        unless, end = self._code.label(), self._code.label()
        logic = Logic(MAX_STEPS)
        holds = Reader(logic, scope).condition(operation.condition)
        self._code.branch(logic, [(logic.not_(holds), unless)])
        inner(when)
        if otherwise:
            self._code.jump(end)
        self._code.mark(unless)
        for block in otherwise:
            inner(block)
            self._code.mark(end)

    def _switch(self, operation: SwitchCaseOp, scope: Scope, inner: Callable[[QuantumCircuit], None]) -> None:
        end = self._code.label()
        logic = Logic(MAX_STEPS)
        cases = list(Reader(logic, scope).cases(operation))
        labels = [self._code.label() for _ in cases]
        self._code.branch(logic, [(case, label) for (case, _), label in zip(cases, labels, strict=True)])
        self._code.jump(end)
        for (_, block), label in zip(cases, labels, strict=True):
            self._code.mark(label)
            inner(block)
            self._code.jump(end)
        self._code.mark(end)

    def _while(self, operation: WhileLoopOp, scope: Scope, inner: _Inner) -> None:
        loop = _Loop(self._code.label(), self._code.label())
        self._code.mark(loop.again)
        logic = Logic(MAX_STEPS)
        holds = Reader(logic, scope).condition(operation.condition)
        self._code.branch(logic, [(logic.not_(holds), loop.end)])
        inner(operation.blocks[0], loop)
        self._code.jump(loop.again)
        self._code.mark(loop.end)

    def _for(self, operation: ForLoopOp, scope: Scope, inner: _Inner) -> None:
        indices, name, body = operation.params
        if not body.data:
            return
        end = self._code.label()
        changes = isinstance(name, expr.Var) and _stores_to(body, name)
        if changes:
            scope = scope.declaring([name], self._place)
        for index in indices:
            loop, block, around = _Loop(self._code.label(), end), body, scope
            if isinstance(name, expr.Var) and changes:
                self._code.set(list(zip(scope.variables[name], constant(index, width_of(name)), strict=True)))
            elif isinstance(name, expr.Var):
                around = replace(scope, fixed={**scope.fixed, name: index})
            elif isinstance(name, Parameter) and name in body.parameters:
                block = body.assign_parameters({name: index})
            inner(block, loop, around)
            self._code.mark(loop.again)
        self._code.mark(end)

    def _place(self, variable: expr.Var) -> Sequence[int]:
        """The bits of a variable, the same whenever the block that declares it is entered."""
        if variable not in self._places:
            self._places[variable] = self._code.hidden(width_of(variable))
        return self._places[variable]


class _Inner(Protocol):
    """Writes a block of the operation at hand, in the scope around it or in another."""

    def __call__(self, block: QuantumCircuit, loop: _Loop | None, around: Scope = ..., /) -> None: ...


def _without_value(circuit: QuantumCircuit) -> list[expr.Var]:
    """Variables that the circuit declares and does not surely store to before it reads them."""
    left = dict.fromkeys(circuit.iter_declared_vars())
    read: set[expr.Var] = set()
    for item in circuit.data:
        operation = item.operation
        if isinstance(operation, ControlFlowOp):
            break
        if isinstance(operation, Store):
            read.update(expr.iter_vars(operation.rvalue))
            if isinstance(operation.lvalue, expr.Var) and operation.lvalue not in read:
                left.pop(operation.lvalue, None)
    return list(left)


def _stores_to(circuit: QuantumCircuit, variable: expr.Var) -> bool:
    """Whether a store in the circuit or its blocks may write the variable."""
    return any(
        variable in expr.iter_vars(item.operation.lvalue)
        if isinstance(item.operation, Store)
        else any(_stores_to(block, variable) for block in getattr(item.operation, "blocks", ()))
        for item in circuit.data
    )
