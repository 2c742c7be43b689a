"""Bounds what the importer would make of an OpenQASM 3 program, before it makes anything.

The importer writes gate definitions out at every call, computes matrices of powers and controlled gates,
makes an object for every bit, and lists the turns of a loop whose numbers need more than 64 bits. So a
program of 50 bytes can ask for hours of work or for all memory. What is counted here follows what the
importer accepts; what it refuses itself is not looked at.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from openqasm3 import ast

from sojourn.worker.protocol.types import JobRefused
from sojourn.worker.target import MAX_TURNED, shown, too_many_turns

MAX_CLBITS = 100_000
MAX_GATE = 1000
"""Instructions that one gate may stand for, through all definitions that it uses."""

MAX_WORK, MAX_WORK_EACH = 10_000, 100
"""Instructions that gates may stand for, and bits that aliases and conditions may have, in the whole program:
so many, and so many for each of its statements."""

_CONTROL, _INVERSE = 10, 2  # times the work of the gate that is controlled or inverted
_HARDWARE = re.compile(r"\$(\d+)\b")


def check(program: ast.Program, code: str, widest: int, where: str) -> None:
    """Refuse a program that stands for too much. `code` is its text without comments, `widest` the most
    qubits that it may have. Raises `JobRefused` with the number and the limit."""
    named = max((_whole(digits) for digits in _HARDWARE.findall(code)), default=-1)
    if named >= widest:
        raise JobRefused(f"{where}: there is no qubit ${shown(named)}, the highest is ${widest - 1}")
    _Work(widest, where).statements(program.statements, 1)


def _whole(digits: str) -> int:
    return int(digits) if len(digits) < 20 else 10**20


class _Work:
    def __init__(self, widest: int, where: str) -> None:
        self._widest, self._where = widest, where
        self._qubits = self._bits = 0
        self._registers: dict[str, int] = {}
        self._gates: dict[str, int] = {}
        self._statements = self._turned = self._work = 0

    def statements(self, statements: Iterable[ast.Statement | ast.Pragma], turns: int) -> None:
        """Count statements that are run `turns` times."""
        for statement in statements:
            self._statements += 1
            self._turned += turns if turns > 1 else 0
            self._statement(statement, turns)
            allowed = MAX_WORK + MAX_WORK_EACH * self._statements
            if self._work > allowed:
                raise JobRefused(
                    f"{self._where}: the gates of the OpenQASM 3 text stand for more than {allowed} "
                    f"instructions and bits, which is the limit ({MAX_WORK}, and {MAX_WORK_EACH} for each "
                    "statement). Transpile the circuit for the device, or define smaller gates"
                )
            if self._turned > MAX_TURNED:
                raise too_many_turns(self._where, self._turned)

    def _statement(self, it: ast.QASMNode, turns: int) -> None:
        match it:
            case ast.QubitDeclaration():
                size = self._declares(it.qubit, it.size)
                self._qubits += size
                if self._qubits > self._widest:
                    raise JobRefused(
                        f"{self._where} has {shown(self._qubits)} qubits, the device has {self._widest}; "
                        "choose a larger device"
                    )
            case ast.ClassicalDeclaration(type=ast.BitType() as bits):
                size = self._declares(it.identifier, bits.size)
                self._bits += size
                if self._bits > MAX_CLBITS:
                    raise JobRefused(
                        f"{self._where} claims {shown(self._bits)} classical bits; the limit is {MAX_CLBITS}"
                    )
            case ast.QuantumGateDefinition():
                self._gates[it.name.name] = self._defines(it)
            case ast.QuantumGate() | ast.QuantumPhase():
                each = self._gate(it)
                if each > 1:
                    self._work += each * max(map(self._width, it.qubits), default=1)
            case ast.AliasStatement():
                self._registers[it.target.name] = self._width(it.value)
                self._work += self._registers[it.target.name]
            case ast.ForInLoop():
                inner = turns * max(1, _turns(it.set_declaration))
                self._turned += 0 if it.block else inner  # an empty body is walked as well
                self.statements(it.block, inner)
            case ast.WhileLoop():
                self._work += self._width(it.while_condition)
                self.statements(it.block, turns)
            case ast.BranchingStatement():
                self._work += self._width(it.condition)
                self.statements(it.if_block, turns)
                self.statements(it.else_block, turns)
            case ast.Box():
                self.statements(it.body, turns)
            case _:
                pass

    def _declares(self, name: ast.Identifier, size: ast.Expression | None) -> int:
        width = 1 if size is None else _folded(size)
        if width is None:
            return 0  # the importer refuses it
        self._registers[name.name] = width
        return width

    def _defines(self, gate: ast.QuantumGateDefinition) -> int:
        total = 1
        for inner in gate.body:
            self._statements += 1
            if isinstance(inner, ast.QuantumGate | ast.QuantumPhase):
                total += self._gate(inner)
            if total > MAX_GATE:
                raise self._too_large(gate.name.name)
        return total

    def _gate(self, call: ast.QuantumGate | ast.QuantumPhase) -> int:
        """The instructions that a call stands for, modifiers included."""
        name = call.name.name if isinstance(call, ast.QuantumGate) else "gphase"
        each, room = self._gates.get(name, 1), len(call.qubits)
        for modifier in call.modifiers:
            match modifier.modifier:
                case ast.GateModifierName.inv:
                    each *= _INVERSE
                case ast.GateModifierName.pow:
                    each *= 4 ** min(room, 10)  # a matrix
                case _:
                    controls = 1 if modifier.argument is None else _folded(modifier.argument)
                    room -= controls or 0
                    each *= _CONTROL
                    if room < 0:
                        raise JobRefused(
                            f"{self._where}: {name} is controlled by more qubits than the {len(call.qubits)} "
                            "that it is called with"
                        )
            if each > MAX_GATE:
                raise self._too_large(name)
        return each

    def _too_large(self, name: str) -> JobRefused:
        return JobRefused(
            f"{self._where}: the gate {name} stands for more than {MAX_GATE} instructions, with modifiers "
            "and all definitions that it uses; that is the limit. Transpile the circuit for the device"
        )

    def _width(self, it: ast.QASMNode) -> int:
        """How many bits an expression is about, at most."""
        match it:
            case ast.Identifier():
                return self._registers.get(it.name, 1)
            case ast.IndexedIdentifier():
                one = all(isinstance(i, list) and len(i) == 1 and _is_one(i[0]) for i in it.indices)
                return 1 if one else self._registers.get(it.name.name, 1)
            case ast.IndexExpression():
                return self._width(it.collection)
            case ast.Concatenation() | ast.BinaryExpression():
                return self._width(it.lhs) + self._width(it.rhs)
            case ast.UnaryExpression():
                return self._width(it.expression)
            case _:
                return 0


def _is_one(index: ast.QASMNode) -> bool:
    return not isinstance(index, ast.RangeDefinition | ast.DiscreteSet)


_FOLDS: Mapping[str, str] = {"+": "__add__", "-": "__sub__", "*": "__mul__", "/": "__floordiv__"}


def _folded(it: ast.Expression) -> int | None:
    """The value of a constant integer expression; None for any other, which the importer refuses."""
    match it:
        case ast.IntegerLiteral() | ast.BitstringLiteral():
            return it.value
        case ast.UnaryExpression() if it.op.name == "-":
            value = _folded(it.expression)
            return None if value is None else -value
        case ast.BinaryExpression() if it.op.name in _FOLDS:
            left, right = _folded(it.lhs), _folded(it.rhs)
            if left is None or right is None or (it.op.name == "/" and right == 0):
                return None
            found: int = getattr(left, _FOLDS[it.op.name])(right)
            return found
        case _:
            return None


def _turns(values: ast.QASMNode) -> int:
    """How often a loop over `values` turns."""
    if isinstance(values, ast.DiscreteSet):
        return len(values.values)
    if not isinstance(values, ast.RangeDefinition):
        return 1
    parts = [None if part is None else _folded(part) for part in (values.start, values.end)]
    step = 1 if values.step is None else _folded(values.step)
    start, end = parts
    if start is None or end is None or not step:
        return 1
    return max(0, (end - start) // step + 1)
