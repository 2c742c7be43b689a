"""What backends answer is read in every spelling, and refused where it could mean two things."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from qiskit.circuit import ClassicalRegister, Clbit, QuantumCircuit, QuantumRegister

from sojourn.devices.backend.results import Layout, Unreadable, outcome, zeros
from sojourn.devices.driver import Outcome

THREE = Layout(3, ((0,), (1, 2)))
ONE = Layout(1, ((0,),))


def read(data: dict[str, Any], layout: Layout, shots: int, *, memory: bool = True) -> Outcome:
    return outcome(data, layout, shots, np.random.default_rng(1), memory=memory)[0]


def told(found: Outcome) -> dict[int, int]:
    return {
        int.from_bytes(row.tobytes(), "big"): int(n)
        for row, n in zip(found.patterns, found.counts, strict=True)
    }


@pytest.mark.parametrize(
    "key", ["0x5", "0X5", "0b101", "101", "10 1", " 10 1 ", 5, np.int64(5), "0x005", "00101"]
)
def test_every_spelling_of_a_key_means_the_same_bits(key: object) -> None:
    assert THREE.value(key) == 5


@pytest.mark.parametrize(
    ("key", "value"), [("1", 1), ("11", 3), ("1 0", 2), ("1 1", 3), ("0 1", 1), ("0x1", 1)]
)
def test_leading_zeros_may_be_missing_also_of_a_register(key: str, value: int) -> None:
    assert THREE.value(key) == value


@pytest.mark.parametrize(
    "key",
    [
        "5",
        "1f",
        "",
        " ",
        "1 0 1",
        "10 11",
        "0x8",
        "1000",
        8,
        -1,
        True,
        None,
        1.0,
        "0xg",
        "0b2",
        "one",
        ("1",),
    ],
)
def test_a_key_that_cannot_be_read_is_refused_with_itself(key: object) -> None:
    with pytest.raises(Unreadable, match="a key of its counts is"):
        THREE.value(key)


def test_spaces_part_registers_wherever_their_bits_lie() -> None:
    bits = [Clbit() for _ in range(4)]
    circuit = QuantumCircuit(bits)
    circuit.add_register(ClassicalRegister(bits=[bits[3], bits[0]], name="a"))
    circuit.add_register(ClassicalRegister(bits=[bits[1]], name="b"))
    layout = Layout.of(circuit)
    assert layout == Layout(4, ((3, 0), (1,)))
    assert layout.value("0 01") == 0b1000  # the first bit of `a` is bit 3 of the circuit
    assert layout.value("1 10") == 0b0011


def test_a_register_without_bits_has_no_part() -> None:
    circuit = QuantumCircuit(QuantumRegister(1), ClassicalRegister(0, "none"), ClassicalRegister(2, "two"))
    assert Layout.of(circuit).registers == ((0, 1),)


def test_counts_become_as_many_shots_in_an_order_that_the_seed_draws() -> None:
    data = {"counts": {"0x0": 300, "0x5": 724}}
    runs = [outcome(data, THREE, 1024, np.random.default_rng(seed), memory=True) for seed in (1, 1, 2)]
    first, again, other = (found.memory() for found, _ in runs)
    assert [made_up for _, made_up in runs] == [True] * 3
    assert sorted(map(int, first[:, 0])) == [0] * 300 + [5] * 724
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)
    changes = int(np.count_nonzero(np.diff(first[:, 0])))
    assert changes > 300, "in blocks of equal shots an order would be read that nobody has measured"


def test_without_memory_counts_stay_counts() -> None:
    found = read({"counts": {"0x0": 3, "0x5": 5}}, THREE, 8, memory=False)
    assert found.order is None
    assert told(found) == {0: 3, 5: 5}


def test_memory_keeps_its_order() -> None:
    found = read({"memory": ["0x5", "0x0", "101", "0x1"]}, THREE, 4)
    assert found.memory()[:, 0].tolist() == [5, 0, 5, 1]
    assert told(found) == {5: 2, 0: 1, 1: 1}


def test_two_spellings_of_the_same_bits_count_together() -> None:
    assert told(read({"counts": {"0x1": 2, "001": 3}}, THREE, 5)) == {1: 5}


def test_wide_registers_fill_several_bytes() -> None:
    layout = Layout(20, (tuple(range(20)),))
    found = read({"counts": {hex(1 << 19 | 1): 2}}, layout, 2)
    assert found.patterns.tolist() == [[8, 0, 1]]


@pytest.mark.parametrize(
    ("data", "why"),
    [
        ({"counts": {"0x0": 3}}, "add up to 3, 4 shots"),
        ({"counts": {"0x0": 0.75, "0x1": 0.25}}, "no probability"),
        ({"counts": {"0x0": -1, "0x1": 5}}, "at least 0"),
        ({"counts": {"0x0": float("nan")}}, "its count of '0x0' is nan"),
        ({"counts": {"0x0": "4"}}, "its count"),
        ({"memory": ["0x0"] * 3}, "its memory has 3 entries, 4 shots"),
        ({"memory": ["0x0"] * 4, "counts": {"0x1": 4}}, "its memory and its counts disagree"),
        ({"counts": {}}, "neither counts nor memory"),
        ({}, "neither counts nor memory"),
        ({"memory": []}, "neither counts nor memory"),
        (None, "neither counts nor memory"),
    ],
)
def test_what_does_not_add_up_is_refused(data: dict[str, Any], why: str) -> None:
    with pytest.raises(Unreadable, match=why):
        read(data, ONE, 4)


def test_whole_counts_as_floats_and_numpy_numbers_are_counts() -> None:
    assert told(read({"counts": {"0x0": 1.0, "0x1": np.int64(3)}}, ONE, 4)) == {0: 1, 1: 3}


def test_data_may_be_an_object_or_a_table() -> None:
    data = SimpleNamespace(counts={"0x1": 4})
    assert told(outcome(data, ONE, 4, np.random.default_rng(1), memory=True)[0]) == {1: 4}


def test_a_circuit_that_measures_nothing_gives_zeros() -> None:
    found = zeros(THREE, 4)
    assert found.memory().tolist() == [[0]] * 4
    assert zeros(Layout(0, ()), 4).memory().shape == (4, 0)
