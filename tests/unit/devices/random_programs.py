"""Random expressions and random circuits of X, measurements, stores and control flow."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

from qiskit.circuit import ClassicalRegister, Clbit, QuantumCircuit, QuantumRegister
from qiskit.circuit.classical import expr, types

BOOL = types.Bool()


class Words:
    """Random expressions over the given places, of a wanted width (0 is Bool)."""

    def __init__(
        self, draw: random.Random, places: list[expr.Expr], widths: tuple[int, ...] = (1, 2, 3, 5)
    ) -> None:
        self.draw = draw
        self.places = places
        self.widths = widths

    def make(self, width: int, depth: int) -> expr.Expr:
        fitting = [p for p in self.places if p.type == (types.Uint(width) if width else BOOL)]
        if depth == 0:
            if fitting and self.draw.random() < 0.8:
                return self.draw.choice(fitting)
            if width == 0:
                return expr.lift(self.draw.random() < 0.5)
            return expr.lift(self.draw.getrandbits(width), types.Uint(width))
        return self.boolean(depth - 1) if width == 0 else self.integer(width, depth - 1)

    def boolean(self, depth: int) -> expr.Expr:
        width = self.draw.choice(self.widths)

        def a() -> expr.Expr:
            return self.make(0, depth)

        def b() -> expr.Expr:
            return self.make(width, depth)

        options: list[Callable[[], Any]] = [
            lambda: expr.logic_not(a()),
            lambda: expr.bit_not(a()),
            lambda: expr.logic_not(b()),
            lambda: expr.logic_and(a(), b()),
            lambda: expr.logic_or(b(), a()),
            lambda: expr.bit_and(a(), a()),
            lambda: expr.bit_or(a(), a()),
            lambda: expr.bit_xor(a(), a()),
            lambda: expr.equal(a(), a()),
            lambda: expr.not_equal(a(), a()),
            lambda: expr.equal(b(), b()),
            lambda: expr.not_equal(b(), b()),
            lambda: expr.less(b(), b()),
            lambda: expr.less_equal(b(), b()),
            lambda: expr.greater(b(), self.make(width + 1, depth)),
            lambda: expr.greater_equal(b(), b()),
            lambda: expr.cast(b(), BOOL),
            lambda: expr.index(b(), self.make(2, depth)),
        ]
        return self.draw.choice(options)()

    def integer(self, width: int, depth: int) -> expr.Expr:
        other = self.draw.choice(self.widths)

        def a() -> expr.Expr:
            return self.make(width, depth)

        options: list[Callable[[], Any]] = [
            lambda: expr.bit_not(a()),
            lambda: expr.bit_and(a(), a()),
            lambda: expr.bit_or(a(), a()),
            lambda: expr.bit_xor(a(), a()),
            lambda: expr.add(a(), a()),
            lambda: expr.sub(a(), a()),
            lambda: expr.mul(a(), a()),
            lambda: expr.div(a(), a()),
            lambda: expr.shift_left(a(), self.make(other, depth)),
            lambda: expr.shift_right(a(), self.make(other, depth)),
            lambda: expr.cast(self.make(other, depth), types.Uint(width)),
            lambda: expr.cast(self.make(0, depth), types.Uint(width)),
        ]
        return self.draw.choice(options)()


class Programs:
    """Random circuits of X, measurements, stores and control flow."""

    def __init__(self, draw: random.Random) -> None:
        self.draw = draw
        self.a, self.b = ClassicalRegister(3, "a"), ClassicalRegister(5, "b")
        self.circuit = QuantumCircuit(QuantumRegister(3, "q"), self.a, [Clbit()], self.b)
        self.top = [expr.lift(self.a), expr.lift(self.b), expr.lift(self.circuit.clbits[3])]
        self.loops = 0
        self.names = 0

    def make(self) -> QuantumCircuit:
        for qubit in range(3):
            if self.draw.random() < 0.5:
                self.circuit.x(qubit)
            self.circuit.measure(qubit, self.draw.randrange(9))
        self.block(self.declared(self.top, 2), 3)
        return self.circuit

    def declared(self, places: list[expr.Expr], count: int) -> list[expr.Expr]:
        found = list(places)
        for _ in range(count):
            self.names += 1
            width = self.draw.choice((0, 1, 2, 5))
            kind = types.Uint(width) if width else BOOL
            if self.names <= 2 and self.draw.random() < 0.3:  # not allowed in blocks
                variable = expr.Var.new(f"v{self.names}", kind)
                self.circuit.add_uninitialized_var(variable)
                found.append(variable)
            else:
                start = Words(self.draw, found).make(width, 1)
                found.append(self.circuit.add_var(f"v{self.names}", start))
        return found

    def block(self, places: list[expr.Expr], depth: int) -> None:
        for _ in range(self.draw.randint(1, 4)):
            self.statement(places, depth)

    def statement(self, places: list[expr.Expr], depth: int) -> None:
        circuit, draw, words = self.circuit, self.draw, Words(self.draw, places)
        simple: list[Callable[[], Any]] = [
            lambda: circuit.x(draw.randrange(3)),
            lambda: circuit.measure(draw.randrange(3), draw.randrange(9)),
            lambda: self.store(words, places),
            lambda: self.store(words, places),
        ]
        if self.loops:
            simple += [self.leave]
        nested: list[Callable[[], Any]] = [
            lambda: self.branch(words, places, depth - 1),
            lambda: self.switch(words, places, depth - 1),
            lambda: self.repeat(words, places, depth - 1),
            lambda: self.count(places, depth - 1),
        ]
        draw.choice(simple + nested if depth else simple)()

    def store(self, words: Words, places: list[expr.Expr]) -> None:
        place = self.draw.choice(places)
        if place.type.kind is types.Bool:
            self.circuit.store(place, words.make(0, 2))
        elif self.draw.random() < 0.3:
            self.circuit.store(expr.index(place, words.make(2, 1)), words.make(0, 2))
        else:
            self.circuit.store(place, words.make(place.type.width, 2))

    def leave(self) -> None:
        with self.circuit.if_test((self.circuit.clbits[self.draw.randrange(9)], 1)):
            self.circuit.break_loop() if self.draw.random() < 0.5 else self.circuit.continue_loop()

    def branch(self, words: Words, places: list[expr.Expr], depth: int) -> None:
        options = [words.make(0, 2), (self.a, self.draw.randrange(16)), (self.b[2], 0)]
        with self.circuit.if_test(self.draw.choice(options)) as otherwise:
            self.block(self.declared(places, 1), depth)
        if self.draw.random() < 0.5:
            with otherwise:
                self.block(places, depth)

    def switch(self, words: Words, places: list[expr.Expr], depth: int) -> None:
        target = self.draw.choice([self.a, words.make(3, 2), words.make(0, 1)])
        labels = [0, 1] if isinstance(target, expr.Expr) and target.type == BOOL else list(range(8))
        self.draw.shuffle(labels)
        with self.circuit.switch(target) as case:
            with case(*labels[:1]):
                self.block(places, depth)
            if len(labels) > 2:
                with case(*labels[1:4]):
                    self.block(self.declared(places, 1), depth)
            if self.draw.random() < 0.5:
                with case(case.DEFAULT):
                    self.block(places, depth)

    def repeat(self, words: Words, places: list[expr.Expr], depth: int) -> None:
        turns = self.circuit.add_var(f"t{self.names}", expr.lift(0, types.Uint(3)))
        self.names += 1
        more = expr.less(turns, self.draw.randint(1, 3))
        with self.circuit.while_loop(expr.logic_and(more, words.make(0, 1))):
            self.circuit.store(turns, expr.add(turns, 1))
            self.inside(self.declared(places, 1), depth)

    def count(self, places: list[expr.Expr], depth: int) -> None:
        indices = self.draw.choice([range(3), (1, 1, 4), range(6, 0, -3), ()])
        if self.draw.random() < 0.5:
            name = expr.Var.new(f"i{self.names}", types.Uint(5))
            self.names += 1
            with self.circuit.for_loop(indices, name):  # such a body cannot capture variables
                self.inside([*self.top, name], depth)
        else:
            with self.circuit.for_loop(indices):
                self.inside(places, depth)

    def inside(self, places: list[expr.Expr], depth: int) -> None:
        self.loops += 1
        self.block(places, depth)
        self.loops -= 1
