"""Reads what backends answer: counts and memory, in every spelling that there is, as `Outcome`s.

A key of the counts, and an entry of the memory, may be hexadecimal (``0x1f``), binary (``0b101``), an integer
or bits, with or without spaces between the registers, the last register first; leading zeros may be missing.
What can be read in two ways, or does not add up to the shots, is refused.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from numbers import Integral, Real
from typing import Any

import numpy as np
from numpy.typing import NDArray
from qiskit.circuit import QuantumCircuit

from sojourn.devices.bits import num_bytes
from sojourn.devices.driver import DriverError, Outcome

_SHOWN = 80  # characters of a value in a message


class Unreadable(DriverError):
    """The answer of a backend is not what it should be."""


@dataclass(frozen=True)
class Layout:
    """The classical bits of a circuit: how many, and which of them each register has, first bit first."""

    bits: int
    registers: tuple[tuple[int, ...], ...]

    @classmethod
    def of(cls, circuit: QuantumCircuit) -> Layout:
        place = {bit: index for index, bit in enumerate(circuit.clbits)}
        registers = (tuple(place[bit] for bit in register) for register in circuit.cregs)
        return cls(circuit.num_clbits, tuple(each for each in registers if each))

    def value(self, key: object) -> int:
        """The bits that `key` means, classical bit 0 being the least. Raises `Unreadable`."""
        if isinstance(key, str):
            found = self._text(key.strip())
        elif isinstance(key, Integral) and not isinstance(key, bool):
            found = int(key)
        else:
            raise Unreadable(f"a key of its counts is {_short(key)}, which is no bit string")
        if not 0 <= found < 1 << self.bits:
            raise Unreadable(
                f"a key of its counts is {_short(key)}, and the circuit has {self.bits} classical bits"
            )
        return found

    def _text(self, key: str) -> int:
        try:
            if key[:2].lower() == "0x":
                return int(key[2:], 16)
            if key[:2].lower() == "0b":
                return int(key[2:], 2)
        except ValueError:
            raise Unreadable(f"a key of its counts is {_short(key)}, which is no bit string") from None
        parts = key.split()
        if not parts or any(set(part) - {"0", "1"} for part in parts):
            raise Unreadable(
                f"a key of its counts is {_short(key)}; it must be bits, hexadecimal with 0x, or an integer"
            )
        if len(parts) == 1:
            return int(parts[0], 2)
        return self._by_registers(key, parts)

    def _by_registers(self, key: str, parts: Sequence[str]) -> int:
        if len(parts) != len(self.registers):
            raise Unreadable(
                f"a key of its counts is {_short(key)}, with {len(parts)} parts; the circuit has "
                f"{len(self.registers)} registers"
            )
        found = 0
        for register, part in zip(reversed(self.registers), parts, strict=True):
            value = int(part, 2)
            if value >= 1 << len(register):
                raise Unreadable(
                    f"a key of its counts is {_short(key)}, whose part {part} is for a register of "
                    f"{len(register)} bits"
                )
            for index, bit in enumerate(register):
                found |= (value >> index & 1) << bit
        return found


def outcome(
    data: object, layout: Layout, shots: int, random: np.random.Generator, *, memory: bool
) -> tuple[Outcome, bool]:
    """What a circuit gave, of the data of its experiment; and whether the order of the shots is made up.

    A backend that gives counts and no memory is taken at its word: every shot of the counts is there, in an
    order that `random` draws, as nothing is known of the true one. Raises `Unreadable`.
    """
    counts, rows = _member(data, "counts"), _member(data, "memory")
    listed = list(rows) if isinstance(rows, Iterable) and not isinstance(rows, str) else []
    if listed:
        made = _of_memory(listed, layout, shots)
        if isinstance(counts, Mapping) and counts:
            _same(made, _of_counts(counts, layout, shots))
        return made, False
    if not isinstance(counts, Mapping) or not counts:
        raise Unreadable("it gave neither counts nor memory of a circuit with measurements")
    found = _of_counts(counts, layout, shots)
    if not memory:
        return found, False
    order = random.permutation(np.repeat(np.arange(len(found.counts)), found.counts))
    return Outcome(found.patterns, found.counts, order), True


def zeros(layout: Layout, shots: int) -> Outcome:
    """What a circuit without measurements gives: every bit is 0."""
    patterns = np.zeros((1, num_bytes(layout.bits)), dtype=np.uint8)
    return Outcome(patterns, np.array([shots], dtype=np.int64), np.zeros(shots, dtype=np.intp))


def spread(found: Outcome, places: Sequence[int], bits: int) -> Outcome:
    """The same with `bits` classical bits, of which bit i of `found` is the one at ``places[i]``; the others
    are 0."""
    single = np.unpackbits(found.patterns, axis=-1, bitorder="big")[:, ::-1]  # bit 0 first
    every = np.zeros((len(single), 8 * num_bytes(bits)), dtype=np.uint8)
    every[:, list(places)] = single[:, : len(places)]
    return Outcome(np.packbits(every[:, ::-1], axis=-1, bitorder="big"), found.counts, found.order)


def _of_memory(rows: Sequence[object], layout: Layout, shots: int) -> Outcome:
    if len(rows) != shots:
        raise Unreadable(f"its memory has {len(rows)} entries, {shots} shots were asked for")
    number: dict[int, int] = {}
    seen: dict[object, int] = {}  # the same text again and again: each is read once
    order = np.empty(shots, dtype=np.intp)
    for shot, row in enumerate(rows):
        key = row if isinstance(row, str | int) else str(row)
        place = seen.get(key)
        if place is None:
            place = seen[key] = number.setdefault(layout.value(row), len(number))
        order[shot] = place
    counts = np.bincount(order, minlength=len(number)).astype(np.int64)
    return Outcome(_packed(list(number), layout.bits), counts, order)


def _of_counts(counts: Mapping[Any, Any], layout: Layout, shots: int) -> Outcome:
    found: dict[int, int] = {}
    for key, count in counts.items():
        value = layout.value(key)
        found[value] = found.get(value, 0) + _count(count, key)
    total = sum(found.values())
    if total != shots:
        raise Unreadable(f"its counts add up to {total}, {shots} shots were asked for")
    numbers = np.array(list(found.values()), dtype=np.int64)
    return Outcome(_packed(list(found), layout.bits), numbers)


def _count(count: object, key: object) -> int:
    if isinstance(count, Real) and not isinstance(count, bool):
        number = float(count)
        if number >= 0 and number.is_integer():
            return int(number)
    raise Unreadable(
        f"its count of {_short(key)} is {_short(count)}; a count is an integer of at least "
        "0, and no probability"
    )


def _same(memory: Outcome, counts: Outcome) -> None:
    """Memory and counts are two accounts of the same shots."""
    accounts = [
        {
            row.tobytes(): number
            for row, number in zip(each.patterns, each.counts.tolist(), strict=True)
            if number
        }
        for each in (memory, counts)
    ]
    if accounts[0] != accounts[1]:
        raise Unreadable("its memory and its counts disagree")


def _packed(values: Sequence[int], bits: int) -> NDArray[np.uint8]:
    width = num_bytes(bits)
    data = b"".join(value.to_bytes(width, "big") for value in values)
    return np.frombuffer(data, dtype=np.uint8).reshape(len(values), width)


def _member(data: object, name: str) -> Any:
    return data.get(name) if isinstance(data, Mapping) else getattr(data, name, None)


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"
