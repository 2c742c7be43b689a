"""Boolean functions of single bits as a graph, and arithmetic on unsigned words made of them. Pure Python.

A node is an integer: 0 is false, 1 is true, and every other number is an input bit or an operation on two
smaller numbers, so that numerical order is order of evaluation. Equal nodes are made once and constants are
folded, so a condition that depends on nothing comes out as 0 or 1. A word is a sequence of nodes, the least
significant first. Words of one operation have equal widths; results wrap around, as unsigned integers do.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from enum import Enum
from functools import reduce

FALSE, TRUE = 0, 1
Node = int
Word = tuple[Node, ...]


class Op(Enum):
    """What a node does with its operands. `BIT` has one, the number of an input bit; `NOT` has one."""

    BIT = "bit"
    NOT = "not"
    AND = "and"
    OR = "or"
    XOR = "xor"


class TooLarge(Exception):
    """The graph would have more operations than it may."""


class Logic:
    """A graph of at most `limit` operations. Raises `TooLarge` when one more is needed."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._size = 0
        self._nodes: list[tuple[Op, int, int]] = [(Op.BIT, -1, -1)] * 2  # the constants are not looked up
        self._known: dict[tuple[Op, int, int], Node] = {}

    @property
    def size(self) -> int:
        """How many operations there are: all nodes but constants and input bits."""
        return self._size

    def __getitem__(self, node: Node) -> tuple[Op, int, int]:
        """The operation and the operands of a node that is not a constant; -1 where there is not a second."""
        return self._nodes[node]

    def _make(self, op: Op, left: int, right: int = -1) -> Node:
        key = (op, left, right)
        found = self._known.get(key)
        if found is None:
            if op is not Op.BIT:
                if self._size == self._limit:
                    raise TooLarge
                self._size += 1
            found = self._known[key] = len(self._nodes)
            self._nodes.append(key)
        return found

    def bit(self, number: int) -> Node:
        """Input bit `number`."""
        return self._make(Op.BIT, number)

    def not_(self, a: Node) -> Node:
        if a <= TRUE:
            return TRUE - a
        op, operand, _ = self._nodes[a]
        return operand if op is Op.NOT else self._make(Op.NOT, a)

    def and_(self, a: Node, b: Node) -> Node:
        a, b = min(a, b), max(a, b)
        if a == FALSE:
            return FALSE
        if a in (TRUE, b):
            return b
        return FALSE if self._opposite(a, b) else self._make(Op.AND, a, b)

    def or_(self, a: Node, b: Node) -> Node:
        a, b = min(a, b), max(a, b)
        if a == TRUE:
            return TRUE
        if a in (FALSE, b):
            return b
        return TRUE if self._opposite(a, b) else self._make(Op.OR, a, b)

    def xor(self, a: Node, b: Node) -> Node:
        a, b = min(a, b), max(a, b)
        if a == FALSE:
            return b
        if a == TRUE:
            return self.not_(b)
        if a == b:
            return FALSE
        return TRUE if self._opposite(a, b) else self._make(Op.XOR, a, b)

    def _opposite(self, a: Node, b: Node) -> bool:
        return self._nodes[b] == (Op.NOT, a, -1) or self._nodes[a] == (Op.NOT, b, -1)

    def choose(self, which: Node, a: Node, b: Node) -> Node:
        """`a` where `which` holds, else `b`."""
        if a == b:
            return a
        return self.or_(self.and_(which, a), self.and_(self.not_(which), b))

    def all_of(self, nodes: Iterable[Node]) -> Node:
        return reduce(self.and_, nodes, TRUE)

    def any_of(self, nodes: Iterable[Node]) -> Node:
        return reduce(self.or_, nodes, FALSE)

    def select(self, which: Node, a: Word, b: Word) -> Word:
        """The word `a` where `which` holds, else `b`."""
        return tuple(self.choose(which, x, y) for x, y in zip(a, b, strict=True))

    def equal(self, a: Word, b: Word) -> Node:
        return self.all_of(self.not_(self.xor(x, y)) for x, y in zip(a, b, strict=True))

    def less(self, a: Word, b: Word) -> Node:
        """Whether a < b."""
        found = FALSE
        for x, y in zip(a, b, strict=True):
            higher = self.and_(self.not_(x), y)
            found = self.or_(higher, self.and_(self.not_(self.xor(x, y)), found))
        return found

    def add(self, a: Word, b: Word) -> Word:
        """a + b, modulo 2**width."""
        return self._sum(a, b, FALSE)[0]

    def subtract(self, a: Word, b: Word) -> Word:
        """a - b, modulo 2**width."""
        return self._difference(a, b)[0]

    def _difference(self, a: Word, b: Word) -> tuple[Word, Node]:
        """a - b, and whether b was not larger."""
        return self._sum(a, tuple(map(self.not_, b)), TRUE)

    def _sum(self, a: Word, b: Word, carry: Node) -> tuple[Word, Node]:
        """a + b + carry, and the carry out of the last place."""
        out = []
        for x, y in zip(a, b, strict=True):
            half = self.xor(x, y)
            out.append(self.xor(half, carry))
            carry = self.or_(self.and_(x, y), self.and_(half, carry))
        return tuple(out), carry

    def multiply(self, a: Word, b: Word) -> Word:
        """a * b, modulo 2**width."""
        width = len(a)
        total = constant(0, width)
        for place, bit in enumerate(b):
            if bit != FALSE:
                part = (FALSE,) * place + tuple(self.and_(bit, x) for x in a[: width - place])
                total = self.add(total, part)
        return total

    def divide(self, a: Word, b: Word) -> Word:
        """The whole part of a / b. By zero it is the largest value, as with the processors of RISC-V."""
        wide = (*b, FALSE)
        rest: Word = constant(0, len(wide))
        out: list[Node] = []
        for bit in reversed(a):
            rest = (bit, *rest[:-1])
            less, fits = self._difference(rest, wide)
            rest = self.select(fits, less, rest)
            out.append(fits)
        return tuple(reversed(out))

    def shift_left(self, a: Word, amount: Word) -> Word:
        return tuple(reversed(self.shift_right(tuple(reversed(a)), amount)))

    def shift_right(self, a: Word, amount: Word) -> Word:
        """Zeros come in from the most significant end; a shift by the width or more leaves only zeros."""
        zeros = constant(0, len(a))
        for power, bit in enumerate(amount):
            if 1 << power >= len(a):
                a = self.select(self.any_of(amount[power:]), zeros, a)
                break
            step = 1 << power
            a = self.select(bit, a[step:] + zeros[:step], a)
        return a

    def places(self, index: Word, count: int) -> Iterator[Node]:
        """For each of `count` places whether `index` is its number."""
        for place in range(count):
            if place.bit_length() > len(index):
                yield FALSE
            else:
                yield self.equal(index, constant(place, len(index)))

    def pick(self, a: Word, index: Word) -> Node:
        """Bit number `index` of a, false behind its end."""
        return self.any_of(
            self.and_(here, bit) for here, bit in zip(self.places(index, len(a)), a, strict=True)
        )

    def put(self, a: Word, index: Word, bit: Node) -> Word:
        """a with its bit number `index` set to `bit`; unchanged when there is not such a bit."""
        places = self.places(index, len(a))
        return tuple(self.choose(here, bit, old) for here, old in zip(places, a, strict=True))


def constant(value: int, width: int) -> Word:
    """The bits of an integer of at least 0."""
    return tuple(value >> place & 1 for place in range(width))


def resized(word: Word, width: int) -> Word:
    """Cut, or filled up with zeros."""
    return word[:width] + (FALSE,) * (width - len(word))


def reachable(logic: Logic, roots: Sequence[Node]) -> list[Node]:
    """Every node that is needed for `roots`, without constants, in order of evaluation."""
    seen: set[Node] = set()
    waiting = [root for root in roots if root > TRUE]
    while waiting:
        node = waiting.pop()
        if node in seen:
            continue
        seen.add(node)
        op, left, right = logic[node]
        if op is not Op.BIT:
            waiting.append(left)
            if right >= 0:
                waiting.append(right)
    return sorted(seen)
