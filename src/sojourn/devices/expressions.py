"""Reads Qiskit's classical expressions as Boolean functions of the circuit's classical bits.

Values are unsigned and wrap around at the width of their type. `Bool` and `Uint` are computed while the
circuit runs; `Float` and `Duration` only where they are constants. Everything else is refused with the
expression in the message. Does not depend on simulators.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeAlias

from qiskit.circuit import CASE_DEFAULT, ClassicalRegister, Clbit, SwitchCaseOp
from qiskit.circuit.classical import expr, types

from sojourn.devices import constants
from sojourn.devices.constants import (
    DURATION_TYPE,
    FLOAT_TYPE,
    NEGATE,
    Constant,
    Duration,
    Stretch,
    Time,
    Undefined,
)
from sojourn.devices.driver import DriverError
from sojourn.devices.logic import FALSE, TRUE, Logic, Node, Word, constant, resized

_SHOWN = 4  # levels of an expression in a message
MAX_WIDTH = 200_000  # bits of an integer: nothing can be computed with more of them, see `flow_check`
_FLOAT_BITS = 1024  # integers below 2**1024 have a Float

Value: TypeAlias = Word | Constant


@dataclass(frozen=True, slots=True)
class Scope:
    """Where the bits and variables that a block of the circuit can name lie among all classical bits.

    `fixed` holds variables whose value is known: those of loops that are written out.
    """

    clbits: Mapping[Clbit, int]
    variables: Mapping[expr.Var, Sequence[int]] = field(default_factory=dict)
    fixed: Mapping[expr.Var, int] = field(default_factory=dict)

    def declaring(self, variables: Iterable[expr.Var], place: Callable[[expr.Var], Sequence[int]]) -> Scope:
        """The scope with more variables in it, each where `place` says. Raises `DriverError` for types that
        bits cannot hold."""
        more = {}
        for variable in variables:
            _check_type(variable)
            more[variable] = place(variable)
        return replace(self, variables={**self.variables, **more}) if more else self


class Reader:
    """Reads the expressions of one block into `logic`.

    `strict` refuses what is wrong whatever the circuit measures: a division by the constant zero, a constant
    index behind the end.
    """

    def __init__(self, logic: Logic, scope: Scope, *, strict: bool = False) -> None:
        self._logic = logic
        self._scope = scope
        self._strict = strict

    def condition(self, given: Any) -> Node:
        """The condition of an `if` or `while`: an expression of type Bool, or a bit or register and its
        value."""
        if isinstance(given, expr.Expr):
            if given.type.kind is not types.Bool:
                raise self._refusal(given, f"is a condition, which must be Bool, and is {_type(given.type)}")
            return self.word(given)[0]
        place, value = given
        if isinstance(place, Clbit):
            bit = self._bit(place)
            return bit if value else self._logic.not_(bit)
        bits = tuple(map(self._bit, place))
        if value.bit_length() > len(bits):
            return FALSE
        return self._logic.equal(bits, constant(value, len(bits)))

    def cases(self, operation: SwitchCaseOp) -> Iterator[tuple[Node, Any]]:
        """Each label's condition with its block, in order; the default's condition is true."""
        target = operation.target
        if isinstance(target, expr.Expr):
            word = self.word(target)
        elif isinstance(target, Clbit):
            word = (self._bit(target),)
        else:
            word = tuple(map(self._bit, target))
        for labels, block in operation.cases_specifier():
            here = (
                TRUE if label is CASE_DEFAULT else self._logic.equal(word, constant(int(label), len(word)))
                for label in labels
            )
            yield self._logic.any_of(here), block

    def store(self, place: expr.Expr, value: expr.Expr) -> tuple[Sequence[int], Word]:
        """What a store does: the numbers of the bits that it may write, and what they become."""
        new = self.word(value)
        if isinstance(place, expr.Index):
            if not isinstance(place.target, expr.Var):
                raise self._refusal(place, "is not a place that can be stored to")
            bits = self._bits(place.target)
            self._in_range(place)
            return bits, self._logic.put(
                tuple(map(self._logic.bit, bits)), self.word(place.index), self._fitting(place, new, 1)[0]
            )
        if not isinstance(place, expr.Var):
            raise self._refusal(place, "is not a place that can be stored to")
        bits = self._bits(place)
        if _width(place.type) != len(bits):
            raise self._refusal(place, f"is stored to as {_type(place.type)}, and has {len(bits)} bits")
        return bits, self._fitting(place, new, len(bits))

    def word(self, root: expr.Expr) -> Word:
        """The bits of an expression of type Bool or Uint."""
        found = self._value(root)
        if not isinstance(found, tuple):
            raise self._refusal(root, f"is of type {_type(root.type)} where a Bool or a Uint is needed")
        return found

    def _value(self, root: expr.Expr) -> Value:
        """Operands before operators, without recursion: the parity of a wide register is a deep tree."""
        waiting: list[tuple[expr.Expr, int]] = [(root, -1)]
        values: list[Value] = []
        while waiting:
            node, count = waiting.pop()
            if count < 0:
                if _width(node.type) > MAX_WIDTH:
                    raise self._refusal(
                        node, f"is {_type(node.type)}; integers have at most {MAX_WIDTH} bits"
                    )
                operands = _operands(node)
                waiting.append((node, len(operands)))
                waiting.extend((operand, -1) for operand in reversed(operands))
            else:
                given = values[len(values) - count :]
                del values[len(values) - count :]
                try:
                    values.append(self._apply(node, given))
                except Undefined as error:
                    raise self._refusal(node, str(error)) from None
        return values[0]

    def _apply(self, node: expr.Expr, given: Sequence[Value]) -> Value:
        if isinstance(node, expr.Var):
            return self._var(node)
        if isinstance(node, expr.Value):
            return self._literal(node)
        if isinstance(node, Stretch):
            raise self._refusal(node, "is a stretch, whose length is not known when the circuit runs")
        if isinstance(node, expr.Cast):
            return self._cast(node, given[0])
        if isinstance(node, expr.Index):
            self._in_range(node)
            target, index = self._bitwise(node, given[0]), self._bitwise(node, given[1])
            return (self._logic.pick(target, index),)
        if isinstance(node, expr.Unary):
            found = self._unary(node, given[0])
        elif isinstance(node, expr.Binary):
            words = [operand for operand in given if isinstance(operand, tuple)]
            found = self._words(node, words[0], words[1]) if len(words) == 2 else self._constants(node, given)
        else:
            raise self._refusal(node, "is of a kind that is not run here")
        if isinstance(found, tuple) and len(found) != _width(node.type):
            raise self._refusal(node, f"says to be {_type(node.type)}, but has {len(found)} bits")
        return found

    # --- leaves -------------------------------------------------------------------------------------------

    def _var(self, node: expr.Var) -> Word:
        if node in self._scope.fixed:
            return constant(self._scope.fixed[node], _width(node.type))
        bits = self._bits(node)
        return resized(tuple(map(self._logic.bit, bits)), _width(node.type))

    def _bits(self, node: expr.Var) -> Sequence[int]:
        """Where the value of a variable, bit or register lies."""
        place = node.var
        if isinstance(place, Clbit):
            if node.type.kind is not types.Bool:
                raise self._refusal(node, f"is one bit and cannot be {_type(node.type)}")
            return (self._number(place),)
        if isinstance(place, ClassicalRegister):
            if node.type.kind is not types.Uint or node.type.width < place.size:
                raise self._refusal(node, f"has {place.size} bits and cannot be {_type(node.type)}")
            return tuple(map(self._number, place))
        _check_type(node)
        if node not in self._scope.variables:
            raise DriverError(f"the variable {node.name!r} is used where it is not declared")
        return self._scope.variables[node]

    def _number(self, bit: Clbit) -> int:
        number = self._scope.clbits.get(bit)
        if number is None:
            raise DriverError("a classical bit is used in a block that it is not given to")
        return number

    def _bit(self, bit: Clbit) -> Node:
        return self._logic.bit(self._number(bit))

    def _literal(self, node: expr.Value) -> Value:
        value, kind = node.value, node.type.kind
        if kind is types.Bool and isinstance(value, bool | int):
            return (TRUE if value else FALSE,)
        if kind is types.Uint:
            if not isinstance(value, int) or not 0 <= value < 1 << node.type.width:
                raise self._refusal(
                    node, f"is not a {_type(node.type)}: that is an integer from 0 to 2**width - 1"
                )
            return constant(int(value), node.type.width)
        if kind is FLOAT_TYPE and isinstance(value, float | int):
            return float(value)
        if kind is DURATION_TYPE and isinstance(value, Duration):
            return constants.time(value)
        raise self._refusal(node, f"is not a value of type {_type(node.type)}")

    # --- operators ----------------------------------------------------------------------------------------

    def _bitwise(self, node: expr.Expr, given: Value) -> Word:
        if not isinstance(given, tuple):
            raise self._refusal(node, "needs operands of type Bool or Uint")
        return given

    def _fitting(self, node: expr.Expr, word: Word, width: int) -> Word:
        if len(word) != width:
            raise self._refusal(node, f"joins {width} and {len(word)} bits; cast one of them")
        return word

    def _in_range(self, node: expr.Index) -> None:
        if self._strict and node.index.const:
            width = _width(node.target.type)
            index = _integer(self.word(node.index))
            if index is not None and index >= width:
                raise self._refusal(
                    node, f"has the index {index}; there are {width} bits, from 0 to {width - 1}"
                )

    def _cast(self, node: expr.Cast, given: Value) -> Value:
        kind = node.type.kind
        if isinstance(given, tuple):
            if kind is types.Bool:
                return (self._logic.any_of(given),)
            if kind is types.Uint:
                return resized(given, node.type.width)
            number = _integer(given)
            if kind is FLOAT_TYPE and number is not None and number.bit_length() < _FLOAT_BITS:
                return float(number)
            raise self._refusal(
                node, f"makes a {_type(node.type)} of a value that is only known when the circuit runs"
            )
        if isinstance(given, Time):
            if kind is DURATION_TYPE:
                return given
        elif kind is FLOAT_TYPE:
            return given
        elif kind is types.Bool:
            return (TRUE if given else FALSE,)
        elif kind is types.Uint and math.isfinite(given) and 0 <= int(given) < 1 << node.type.width:
            return constant(int(given), node.type.width)
        raise self._refusal(node, f"cannot be {_type(node.type)}")

    def _unary(self, node: expr.Unary, given: Value) -> Value:
        if node.op is NEGATE:
            if isinstance(given, tuple):
                raise self._refusal(node, "negates an unsigned value")
            return constants.negated(given)
        word = self._bitwise(node, given)
        if node.op is expr.Unary.Op.LOGIC_NOT:
            self._fitting(node, word, 1)
        elif node.op is not expr.Unary.Op.BIT_NOT:
            raise self._refusal(node, "is of a kind that is not run here")
        return tuple(map(self._logic.not_, word))

    def _words(self, node: expr.Binary, left: Word, right: Word) -> Word:
        op, ops, logic = node.op, expr.Binary.Op, self._logic
        if op is ops.SHIFT_LEFT:
            return logic.shift_left(left, right)
        if op is ops.SHIFT_RIGHT:
            return logic.shift_right(left, right)
        self._fitting(node, right, len(left))
        if op in (ops.LOGIC_AND, ops.LOGIC_OR):
            self._fitting(node, left, 1)
        if op in _BY_BIT:
            return tuple(_BY_BIT[op](logic, a, b) for a, b in zip(left, right, strict=True))
        if op is ops.DIV and self._strict and node.right.const and _integer(right) == 0:
            raise self._refusal(node, "divides by zero")
        if op in _COMPARISONS:
            return (_COMPARISONS[op](logic, left, right),)
        if op in _ARITHMETIC:
            return _ARITHMETIC[op](logic, left, right)
        raise self._refusal(node, "is of a kind that is not run here")

    def _constants(self, node: expr.Binary, given: Sequence[Value]) -> Value:
        left, right = (self._constant(node, operand) for operand in given)
        found = constants.combined(node.op, left, right)
        return ((TRUE if found else FALSE),) if isinstance(found, bool) else found

    def _constant(self, node: expr.Binary, given: Value) -> Constant:
        """An operand beside a Float or a Duration."""
        if not isinstance(given, tuple):
            return given
        number = _integer(given)
        if number is None or number.bit_length() >= _FLOAT_BITS:
            raise self._refusal(
                node, "joins a constant with a value that is only known when the circuit runs"
            )
        return float(number)

    # --- messages -----------------------------------------------------------------------------------------

    def _refusal(self, node: expr.Expr, why: str) -> DriverError:
        return DriverError(f"the expression {self.text(node)} {why}")

    def text(self, node: expr.Expr, levels: int = _SHOWN) -> str:
        """The expression as a reader of the circuit knows it, deep parts left out."""
        if isinstance(node, expr.Var):
            if isinstance(node.var, Clbit):
                return self._bit_name(node.var)
            return str(node.var.name if isinstance(node.var, ClassicalRegister) else node.name)
        if isinstance(node, expr.Value):
            shown = str(node.value)
            return shown if len(shown) <= 40 else f"{shown[:40]}..."
        if isinstance(node, Stretch):
            return str(node.name)
        if levels == 0:
            return "..."
        inside = ", ".join(self.text(operand, levels - 1) for operand in _operands(node))
        if isinstance(node, expr.Cast):
            return f"cast({inside}, {_type(node.type)})"
        name = node.op.name.lower() if isinstance(node, expr.Unary | expr.Binary) else "index"
        return f"{name}({inside})"

    def _bit_name(self, bit: Clbit) -> str:
        return f"clbit {self._number(bit)}"


def _check_type(variable: expr.Var) -> None:
    """Refuse a variable that no bits can hold."""
    if variable.type.kind not in (types.Bool, types.Uint):
        raise DriverError(
            f"the variable {variable.name!r} is of type {_type(variable.type)}; variables of type Bool and "
            "Uint can be run, Float and Duration only as constants"
        )


def width_of(variable: expr.Var) -> int:
    """How many bits a variable of type Bool or Uint has."""
    return _width(variable.type)


def _operands(node: expr.Expr) -> tuple[expr.Expr, ...]:
    if isinstance(node, expr.Unary | expr.Cast):
        return (node.operand,)
    if isinstance(node, expr.Binary):
        return (node.left, node.right)
    if isinstance(node, expr.Index):
        return (node.target, node.index)
    return ()


def _width(kind: types.Type) -> int:
    return int(kind.width) if kind.kind is types.Uint else 1


def _type(kind: types.Type) -> str:
    return f"Uint({kind.width})" if kind.kind is types.Uint else str(kind.kind.__name__)


def _integer(word: Word) -> int | None:
    """The value of a word that is constant."""
    if any(node > TRUE for node in word):
        return None
    return sum(node << place for place, node in enumerate(word))


_OPS = expr.Binary.Op
_BY_BIT = {
    _OPS.BIT_AND: Logic.and_,
    _OPS.BIT_OR: Logic.or_,
    _OPS.BIT_XOR: Logic.xor,
    _OPS.LOGIC_AND: Logic.and_,
    _OPS.LOGIC_OR: Logic.or_,
}
_COMPARISONS: dict[expr.Binary.Op, Callable[[Logic, Word, Word], Node]] = {
    _OPS.EQUAL: Logic.equal,
    _OPS.NOT_EQUAL: lambda logic, a, b: logic.not_(logic.equal(a, b)),
    _OPS.LESS: Logic.less,
    _OPS.LESS_EQUAL: lambda logic, a, b: logic.not_(logic.less(b, a)),
    _OPS.GREATER: lambda logic, a, b: logic.less(b, a),
    _OPS.GREATER_EQUAL: lambda logic, a, b: logic.not_(logic.less(a, b)),
}
_ARITHMETIC = {
    getattr(_OPS, name): act
    for name, act in {
        "ADD": Logic.add,
        "SUB": Logic.subtract,
        "MUL": Logic.multiply,
        "DIV": Logic.divide,
    }.items()
    if hasattr(_OPS, name)  # since Qiskit 2.1
}
