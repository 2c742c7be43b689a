"""A small interpreter of circuits without superpositions: what X, measurements, stores and jumps must give.

It computes with Python's integers and uses nothing of Sojourn's.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any

from qiskit.circuit import CASE_DEFAULT, ClassicalRegister, Clbit, QuantumCircuit
from qiskit.circuit.classical import expr, types

_BINARY: dict[str, Callable[[int, int, int], int]] = {
    "BIT_AND": lambda a, b, _: a & b,
    "BIT_OR": lambda a, b, _: a | b,
    "BIT_XOR": lambda a, b, _: a ^ b,
    "LOGIC_AND": lambda a, b, _: a and b,
    "LOGIC_OR": lambda a, b, _: a or b,
    "EQUAL": lambda a, b, _: a == b,
    "NOT_EQUAL": lambda a, b, _: a != b,
    "LESS": lambda a, b, _: a < b,
    "LESS_EQUAL": lambda a, b, _: a <= b,
    "GREATER": lambda a, b, _: a > b,
    "GREATER_EQUAL": lambda a, b, _: a >= b,
    "SHIFT_LEFT": lambda a, b, w: a << b if b < w else 0,
    "SHIFT_RIGHT": lambda a, b, w: a >> b if b < w else 0,
    "ADD": lambda a, b, _: a + b,
    "SUB": lambda a, b, _: a - b,
    "MUL": lambda a, b, _: a * b,
    "DIV": lambda a, b, w: a // b if b else (1 << w) - 1,
}


class _Break(Exception):
    pass


class _Continue(Exception):
    pass


class Interpreter:
    """Runs one circuit once. `bits` are the classical bits at the end."""

    def __init__(self, circuit: QuantumCircuit) -> None:
        self.qubits = [0] * circuit.num_qubits
        self.bits = [0] * circuit.num_clbits
        self._variables: dict[expr.Var, int] = {}
        self._block(circuit, list(range(circuit.num_qubits)), list(range(circuit.num_clbits)))

    def _block(self, circuit: QuantumCircuit, qubits: list[int], clbits: list[int]) -> None:
        qubit = dict(zip(circuit.qubits, qubits, strict=True))
        clbit = dict(zip(circuit.clbits, clbits, strict=True))
        self._variables.update(dict.fromkeys(circuit.iter_declared_vars(), 0))
        for item in circuit.data:
            operation, name = item.operation, item.operation.name
            on = [qubit[q] for q in item.qubits], [clbit[c] for c in item.clbits]
            if name == "x":
                self.qubits[on[0][0]] ^= 1
            elif name == "measure":
                self.bits[on[1][0]] = self.qubits[on[0][0]]
            elif name == "store":
                self._store(operation.lvalue, int(self._value(operation.rvalue, clbit)), clbit)
            elif name == "if_else":
                when, otherwise = operation.params
                if self._condition(operation.condition, clbit):
                    self._block(when, *on)
                elif otherwise is not None:
                    self._block(otherwise, *on)
            elif name == "switch_case":
                self._switch(operation, clbit, on)
            elif name == "while_loop":
                try:
                    while self._condition(operation.condition, clbit):
                        self._turn(operation.blocks[0], on)
                except _Break:
                    pass
            elif name == "for_loop":
                self._for(operation, on)
            elif name == "break_loop":
                raise _Break
            elif name == "continue_loop":
                raise _Continue
            else:
                assert name == "barrier", name

    def _turn(self, body: QuantumCircuit, on: tuple[list[int], list[int]]) -> None:
        with suppress(_Continue):
            self._block(body, *on)

    def _for(self, operation: Any, on: tuple[list[int], list[int]]) -> None:
        indices, variable, body = operation.params
        try:
            for index in indices:
                if isinstance(variable, expr.Var):
                    self._variables[variable] = index
                self._turn(body, on)
        except _Break:
            pass

    def _switch(self, operation: Any, clbit: dict[Clbit, int], on: tuple[list[int], list[int]]) -> None:
        target = operation.target
        value = self._value(expr.lift(target), clbit)
        for labels, block in operation.cases_specifier():
            if CASE_DEFAULT in labels or value in labels:
                self._block(block, *on)
                return

    def _condition(self, given: Any, clbit: dict[Clbit, int]) -> bool:
        if isinstance(given, expr.Expr):
            return bool(self._value(given, clbit))
        return bool(self._value(expr.lift(given[0]), clbit) == given[1])

    def _store(self, place: expr.Expr, value: int, clbit: dict[Clbit, int]) -> None:
        if isinstance(place, expr.Index):
            old, at = self._value(place.target, clbit), self._value(place.index, clbit)
            if at < place.target.type.width:
                self._store(place.target, old & ~(1 << at) | value << at, clbit)
        elif isinstance(place.var, Clbit):
            self.bits[clbit[place.var]] = value
        elif isinstance(place.var, ClassicalRegister):
            for number, bit in enumerate(place.var):
                self.bits[clbit[bit]] = value >> number & 1
        else:
            self._variables[place] = value

    def _value(self, node: expr.Expr, clbit: dict[Clbit, int]) -> int:
        width = node.type.width if node.type.kind is types.Uint else 1
        if isinstance(node, expr.Value):
            return int(node.value)
        if isinstance(node, expr.Var):
            if isinstance(node.var, Clbit):
                return self.bits[clbit[node.var]]
            if isinstance(node.var, ClassicalRegister):
                return sum(self.bits[clbit[bit]] << number for number, bit in enumerate(node.var))
            return self._variables[node]
        if isinstance(node, expr.Index):
            return self._value(node.target, clbit) >> self._value(node.index, clbit) & 1
        if isinstance(node, expr.Cast):
            value = self._value(node.operand, clbit)
            return int(value != 0) if node.type.kind is types.Bool else value % 2**width
        if isinstance(node, expr.Unary):
            value = self._value(node.operand, clbit)
            return int(not value) if width == 1 else ~value % 2**width
        left, right = self._value(node.left, clbit), self._value(node.right, clbit)
        return int(_BINARY[node.op.name](left, right, width) % 2**width)
