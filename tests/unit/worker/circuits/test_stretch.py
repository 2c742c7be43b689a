"""Stretches fill idle time and lengthen nothing. The whole kind: one or several, with factors and constants,
between barriers, on one or several qubits, inside of blocks, with and without something to fill."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sojourn.worker.circuits import stretch
from sojourn.worker.circuits.stretch import Length, Scope, Step, StretchError, resolve


def gate(took: int, *qubits: int) -> Step:
    return Step(qubits, Length(Fraction(took)))


def wait(qubit: int, times: dict[int, int] | None = None, fixed: int = 0) -> Step:
    """A delay of so many times each stretch; of stretch 0 once if nothing is said."""
    factors = {0: 1} if times is None else times
    return Step((qubit,), Length(Fraction(fixed), {i: Fraction(k) for i, k in factors.items()}))


def barrier(*qubits: int) -> Step:
    return Step(qubits, barrier=True)


def values(*steps: Step, names: str = "a") -> list[int]:
    return [found.value for found in resolve(Scope(steps), names).values]


def test_the_example_of_ibms_guide_has_the_value_and_the_remainder_of_the_guide() -> None:
    delays = [wait(1), wait(1), wait(1)]
    steps = [barrier(0, 1), gate(100, 0)]
    for delay in delays:
        steps += [delay, gate(8, 1)]
    found = resolve(Scope((*steps, barrier(0, 1))), ["a"])
    assert [found.durations[delay] for delay in delays] == [26, 25, 25]
    (value,) = found.values
    assert (value.name, value.value, value.remainder) == ("a", 25, 1)
    assert value.expanded == ((0, 26), (34, 25), (67, 25))


def test_a_multiple_and_a_constant_take_their_parts() -> None:
    long = wait(1, {0: 2}, 10)
    found = resolve(Scope((gate(100, 0), wait(1), long, barrier(0, 1))), ["a"])
    assert (found.values[0].value, found.durations[long]) == (30, 70)


def test_where_there_is_nothing_to_fill_a_stretch_is_0() -> None:
    assert values(wait(0), gate(8, 0)) == [0]
    assert values(barrier(0, 1), gate(10, 0), barrier(0, 1), wait(0), barrier(0, 1)) == [0]


def test_a_negative_part_is_made_up_for_by_the_stretch() -> None:
    centred = wait(1, fixed=-4)
    found = resolve(Scope((gate(100, 0), centred, gate(8, 1), wait(1, fixed=-4), barrier(0, 1))), ["a"])
    assert found.durations[centred] == 46
    assert found.values[0].value == 50


def test_a_delay_that_stays_negative_is_refused_by_the_stretchs_name() -> None:
    with pytest.raises(StretchError, match="stretch 'a' comes out as -40 dt"):
        values(wait(0), wait(1, fixed=-40), barrier(0, 1))


def test_a_delay_that_shrinks_with_its_stretch_is_refused() -> None:
    with pytest.raises(StretchError, match="shorter as the stretch 'a' becomes longer"):
        values(gate(100, 1), wait(0, {0: -1}, 40), barrier(0, 1))


def test_stretches_on_qubits_of_their_own_do_not_share() -> None:
    """The second example of the guide: three parallel gates of different lengths, each filled up."""
    steps = [gate(30, 0, 1), gate(12, 2), gate(50, 3, 4), wait(0), wait(1), wait(2, {1: 1}), wait(3, {2: 1})]
    assert values(*steps, barrier(0, 1, 2, 3, 4), names="abc") == [20, 38, 0]


def test_two_stretches_on_one_qubit_share_its_idle_time() -> None:
    assert values(gate(100, 0), wait(1), wait(1, {1: 1}), barrier(0, 1), names="ab") == [50, 50]


def test_one_that_is_stopped_leaves_the_rest_to_the_other() -> None:
    tight = [gate(100, 0), gate(90, 2), wait(2), barrier(0, 2, 1)]
    assert values(wait(1), wait(1, {1: 1}), *tight, names="ab") == [10, 90]


def test_a_stretch_in_several_places_is_as_long_as_the_narrowest_allows() -> None:
    steps = [gate(40, 0), wait(1), barrier(0, 1), gate(15, 0), wait(1), barrier(0, 1)]
    assert values(*steps) == [15]


def test_a_gate_between_two_stretches_may_move() -> None:
    """The centred gate of the OpenQASM specification."""
    steps = [barrier(0, 1, 2), gate(100, 2), wait(0), gate(20, 0, 1), wait(0), barrier(0, 1, 2)]
    assert values(*steps) == [40]


def test_a_barrier_on_other_qubits_or_on_one_bounds_nothing() -> None:
    steps = [barrier(0, 1), gate(100, 0), wait(1), Step((1,)), barrier(2, 3), wait(1), barrier(0, 1)]
    assert values(*steps) == [50]


def test_control_flow_takes_as_long_as_its_longest_block_and_can_be_filled_beside() -> None:
    """The first example of the guide: decoupling beside a conditional operation."""
    blocks = (Scope((gate(30, 0),)), Scope((gate(10, 0),)))
    steps = [barrier(0, 1), gate(40, 0), Step((0,), blocks=blocks, turns=2), wait(1), wait(1), barrier(0, 1)]
    assert values(*steps) == [50]


def test_a_block_is_filled_inside_and_does_not_become_longer() -> None:
    inside = wait(1)
    block = Scope((gate(30, 0), inside))
    found = resolve(Scope((gate(5, 0), Step((0, 1), blocks=(block,)), wait(2, {1: 1}))), ["a", "b"])
    assert [value.value for value in found.values] == [30, 35]
    assert found.values[0].expanded == ((5, 30),)


def test_too_many_are_refused_with_the_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stretch, "MAX_WORK", 3)
    with pytest.raises(StretchError, match="2 stretches among 2 instructions are too many"):
        values(wait(0), wait(1, {1: 1}), names="ab")


QUBITS = st.integers(0, 3)
NUMBERS = st.integers(0, 1)
STEPS = st.one_of(
    st.builds(gate, st.integers(0, 60), QUBITS),
    st.builds(lambda t, q: gate(t, *q), st.integers(0, 60), st.sets(QUBITS, min_size=2, max_size=2)),
    st.builds(lambda q: barrier(*q), st.sets(QUBITS, min_size=2)),
    st.builds(lambda q, i, k, f: wait(q, {i: k}, f), QUBITS, NUMBERS, st.integers(1, 3), st.integers(0, 9)),
)


def moments(steps: list[Step], lengths: dict[Step, int]) -> list[int]:
    """When the barriers and the end take place if everything starts as early as it can."""
    clock = dict.fromkeys(range(4), 0)
    found = []
    for step in steps:
        end = max(clock[q] for q in step.qubits) + lengths.get(step, int(step.length.fixed))
        if step.barrier:
            found.append(end)
        clock.update(dict.fromkeys(step.qubits, end))
    return [*found, max(clock.values())]


@given(st.lists(STEPS, max_size=14))
def test_no_barrier_and_no_end_takes_place_later(steps: list[Step]) -> None:
    found = resolve(Scope(tuple(steps)), "ab")
    assert all(duration >= 0 for duration in found.durations.values())
    assert moments(steps, dict(found.durations)) == moments(steps, {})


@given(st.lists(STEPS, max_size=14))
def test_a_lone_stretch_could_not_be_longer(steps: list[Step]) -> None:
    lone = [step for step in steps if 1 not in step.length.times]
    (value,) = resolve(Scope(tuple(lone)), "a").values
    more = [Fraction(value.value + 1)]
    longer = {step: int(step.length.at(more)) for step in lone if step.length.times}
    assert not longer or moments(lone, longer) != moments(lone, {})
