"""Classical expressions, variables and control flow give on the engine what a small interpreter says.

The kind: whatever Qiskit's `expr` can build from bits, registers, variables and constants, in conditions,
switch targets and stores, in blocks of any nesting, has the value that its types say; the simulator's own
evaluation is wrong for casts to Bool, for wide registers, for repeated loop indices and elsewhere.
"""

from __future__ import annotations

import functools
import random
from typing import Any

import numpy as np
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from qiskit.circuit import ClassicalRegister, Clbit, Duration, QuantumCircuit, QuantumRegister
from qiskit.circuit.classical import expr, types
from qiskit_aer import AerSimulator

from sojourn.devices.aer.active_qubits import cut
from sojourn.devices.aer.simulator import METHODS
from sojourn.devices.driver import Driver, Task, load_driver
from sojourn.devices.flow_check import check
from tests.unit.devices.interpreter import Interpreter
from tests.unit.devices.random_programs import BOOL, Programs, Words


@pytest.fixture(scope="module")
def aer() -> Driver:
    return load_driver("aer", "aer", {"qubits": 4, "threads": 1})


def memory(driver: Driver, circuit: QuantumCircuit, shots: int, seed: int = 1) -> list[int]:
    """The classical bits of every shot, as one integer each."""
    task = Task(driver.compile(circuit), np.zeros((1, 0)), shots)
    (outcome,) = driver.execute([task], seed=seed, memory=True)[0]
    assert outcome.patterns.shape[1] == -(-circuit.num_clbits // 8)
    return [int.from_bytes(row.tobytes(), "big") for row in outcome.memory()]


def bits_of(driver: Driver, circuit: QuantumCircuit) -> list[int]:
    """The classical bits at the end of a circuit without chance."""
    first, second = memory(driver, circuit, 2)
    assert first == second
    return [first >> place & 1 for place in range(circuit.num_clbits)]


@pytest.mark.parametrize("seed", range(24))
def test_random_programs_give_what_the_interpreter_says(aer: Driver, seed: int) -> None:
    circuit = Programs(random.Random(seed)).make()
    assert bits_of(aer, circuit) == Interpreter(circuit).bits


@settings(max_examples=10, deadline=None, derandomize=True, phases=[Phase.generate])
@given(seed=st.integers(0, 2**32), width=st.sampled_from([1, 31, 32, 33, 64, 65]))
def test_random_expressions_of_any_width_give_what_the_interpreter_says(seed: int, width: int) -> None:
    """Wide values lie in variables, to which constants of any width are stored."""
    draw = random.Random(seed)
    circuit = QuantumCircuit(
        QuantumRegister(1), ClassicalRegister(width, "out"), ClassicalRegister(3, "flags")
    )
    circuit.x(0)
    circuit.measure(0, width)
    kind = types.Uint(width)
    places: list[expr.Expr] = [circuit.add_var(n, expr.lift(draw.getrandbits(width), kind)) for n in "abc"]
    flag = expr.lift(circuit.clbits[width])
    words = Words(draw, [*places, flag], widths=(width,))
    for place in places:  # nothing may be known before the circuit runs
        circuit.store(place, expr.bit_xor(place, expr.cast(flag, kind)))
    circuit.store(expr.lift(circuit.cregs[0]), words.make(width, 1))
    circuit.store(circuit.clbits[width + 1], words.make(0, 1))
    circuit.store(circuit.clbits[width + 2], expr.cast(expr.lift(circuit.cregs[0]), BOOL))
    assert bits_of(load_driver("aer", "aer", {"qubits": 1}), circuit) == Interpreter(circuit).bits


@pytest.mark.parametrize("method", METHODS)
def test_every_method_runs_expressions_variables_and_jumps(method: str) -> None:
    driver = load_driver("aer", "aer", {"qubits": 4, "method": method, "threads": 1})
    for seed in range(100, 104):
        circuit = Programs(random.Random(seed)).make()
        assert bits_of(driver, circuit) == Interpreter(circuit).bits


@pytest.mark.parametrize("method", ["density_matrix", "statevector", "matrix_product_state"])
def test_a_noisy_device_computes_without_noise(method: str) -> None:
    """Noise is on the qubits alone: what is computed from the measured bits is right in every shot."""
    driver = load_driver("manila", "fake", {"backend": "FakeManilaV2", "method": method, "threads": 1})
    a, b = ClassicalRegister(3, "a"), ClassicalRegister(6, "b")
    circuit = QuantumCircuit(QuantumRegister(5), a, b)
    square = circuit.add_var("square", expr.lift(0, types.Uint(6)))
    for qubit in range(3):
        circuit.sx(qubit)
        circuit.measure(qubit, a[qubit])
    wide = expr.cast(expr.lift(a), types.Uint(6))
    with circuit.while_loop(expr.less(square, expr.mul(wide, wide))):
        circuit.store(square, expr.add(square, 1))
        circuit.x(4)
    circuit.store(b, square)
    shots = memory(driver, circuit, 100)
    assert {shot & 7 for shot in shots} == set(range(8))
    assert all(shot >> 3 == (shot & 7) ** 2 for shot in shots)


@pytest.mark.parametrize("width", [3, 63, 64, 65, 130])
def test_a_register_of_any_width_equals_its_value_and_no_other(aer: Driver, width: int) -> None:
    """In the old form of a condition, in an expression, and as the target of a switch."""
    reg, out = ClassicalRegister(width, "reg"), ClassicalRegister(8, "out")
    circuit = QuantumCircuit(QuantumRegister(4), reg, out)
    circuit.x(0)
    for place in (0, width - 1):
        circuit.measure(0, reg[place])
    value = 1 | 1 << width - 1
    for number, other in enumerate((value, value ^ 1, value + (1 << width), 1)):
        with circuit.if_test((reg, other)):
            circuit.store(out[number], True)
    with circuit.switch(reg) as case:
        with case(1, value - 1):
            circuit.store(out[4], True)
        with case(2, value):
            circuit.store(out[5], True)
    with circuit.if_test(expr.greater(reg, value - 1)):
        circuit.store(out[6], True)
    with circuit.while_loop((reg, value)):
        circuit.store(reg[1], True)
        circuit.store(out[7], True)
    assert bits_of(aer, circuit)[width:] == [1, 0, 0, 0, 0, 1, 1, 1]


def test_values_are_computed_before_any_bit_changes(aer: Driver) -> None:
    """A store reads the old value of the place that it writes, in every bit: rotations, sums, products."""
    reg = ClassicalRegister(6, "reg")
    circuit = QuantumCircuit(QuantumRegister(1), reg)
    circuit.x(0)
    for place in (0, 1, 4):
        circuit.measure(0, reg[place])
    value = 0b010011
    for step in range(4):
        circuit.store(reg, expr.bit_or(expr.shift_left(reg, step), expr.shift_right(reg, 6 - step)))
        value = (value << step | value >> 6 - step) & 63
        circuit.store(reg, expr.add(reg, reg))
        value = 2 * value & 63
        circuit.store(reg, expr.sub(expr.mul(reg, 3), expr.bit_not(reg)))
        value = 3 * value - (~value & 63) & 63
    assert sum(bit << place for place, bit in enumerate(bits_of(aer, circuit))) == value


def test_a_store_writes_bits_where_nothing_is_measured(aer: Driver) -> None:
    circuit = QuantumCircuit(1, 5)
    circuit.store(circuit.cregs[0], 19)
    circuit.store(circuit.clbits[2], expr.logic_not(circuit.clbits[3]))
    assert bits_of(aer, circuit) == [1, 1, 1, 0, 1]
    assert Interpreter(circuit).bits == [1, 1, 1, 0, 1]


def test_bits_that_are_never_written_read_as_zero_on_a_noisy_device() -> None:
    driver = load_driver("manila", "fake", {"backend": "FakeManilaV2", "method": "density_matrix"})
    circuit = QuantumCircuit(5, 9)
    with circuit.if_test((circuit.clbits[8], 0)):
        circuit.x(0)
    circuit.measure(0, 0)
    shots = memory(driver, circuit, 300)
    assert sum(shot & 1 for shot in shots) > 250
    assert max(shots) == 1


def test_a_variable_of_a_block_starts_anew_each_time(aer: Driver) -> None:
    """Also one without a value, which is 0: it never has the one that it had in the turn before."""
    body = QuantumCircuit(1, 3)
    variable = expr.Var.new("v", types.Uint(2))
    body.add_uninitialized_var(variable)
    with body.if_test(expr.equal(variable, 0)) as otherwise:
        body.store(body.clbits[0], expr.logic_not(body.clbits[0]))
    with otherwise:
        body.store(body.clbits[1], True)
    body.store(variable, 3)
    circuit = QuantumCircuit(1, 3)
    circuit.for_loop(range(3), None, body, [0], [0, 1, 2])
    assert bits_of(aer, circuit) == Interpreter(circuit).bits == [1, 0, 0]


def test_a_loop_has_its_own_variable_whatever_its_body_stores_to_it(aer: Driver) -> None:
    circuit = QuantumCircuit(1, 6)
    step = expr.Var.new("i", types.Uint(6))
    with circuit.for_loop((3, 3, 9), step):
        circuit.store(circuit.cregs[0], expr.add(circuit.cregs[0], step))
        circuit.store(step, expr.add(step, 1))
        circuit.store(circuit.cregs[0], expr.add(circuit.cregs[0], step))
    total = sum(bit << place for place, bit in enumerate(bits_of(aer, circuit)))
    assert total == 7 + 7 + 19


def test_blocks_may_have_other_bits_than_the_circuit(aer: Driver) -> None:
    """As after reading a file: the bits of a block stand for those that it is given, whatever their order."""
    inner = QuantumCircuit(QuantumRegister(1), [Clbit(), Clbit()])
    with inner.if_test(expr.logic_and(inner.clbits[0], expr.logic_not(inner.clbits[1]))):
        inner.x(0)
    circuit = QuantumCircuit(2, 4)
    circuit.x(0)
    circuit.measure(0, 3)
    circuit.if_else((circuit.clbits[3], 1), inner, None, [1], [3, 0])
    circuit.measure(1, 1)
    assert bits_of(aer, circuit) == [0, 1, 0, 1]


def test_conditions_that_need_no_value_are_decided_at_once(aer: Driver) -> None:
    """Constants of every type, also those that are never known while the circuit runs."""
    ns, dt = Duration.ns, Duration.dt
    true = [
        expr.less(0.5, 1.5),
        expr.equal(expr.add(0.5, 0.25), 0.75),
        expr.equal(ns(100), Duration.us(0.1)),
        expr.less(expr.sub(ns(5), ns(6)), ns(0)),
        expr.greater_equal(expr.mul(dt(3), 2.5), expr.div(dt(15), expr.lift(2, types.Uint(3)))),
        expr.equal(expr.div(Duration.ms(1), Duration.us(10)), 100.0),
        expr.equal(expr.negate(dt(5)), expr.sub(dt(0), dt(5))),
        expr.cast(0.5, BOOL),
        expr.equal(expr.cast(6.9, types.Uint(3)), 6),
        expr.less(expr.cast(expr.lift(7), types.Float()), 7.5),
        expr.equal(expr.negate(1.5), -1.5),
        expr.not_equal(expr.div(1.0, 3.0), expr.mul(2.0, 0.5)),
    ]
    circuit = QuantumCircuit(1, len(true))
    for place, condition in enumerate(true):
        with circuit.if_test(condition) as otherwise:
            circuit.store(circuit.clbits[place], True)
        with otherwise:
            circuit.store(circuit.clbits[place], False)
    assert bits_of(aer, circuit) == [1] * len(true)


def test_the_parity_of_a_wide_register_is_a_deep_expression(aer: Driver) -> None:
    reg, out = ClassicalRegister(600, "reg"), ClassicalRegister(1, "out")
    circuit = QuantumCircuit(QuantumRegister(1), reg, out)
    circuit.x(0)
    for place in (0, 17, 599):
        circuit.measure(0, reg[place])
    with circuit.if_test(functools.reduce(expr.bit_xor, reg)):
        circuit.measure(0, out)
    check(circuit)
    assert bits_of(aer, circuit)[600] == 1


def test_control_flow_without_expressions_keeps_the_random_numbers_of_aer() -> None:
    circuit = QuantumCircuit(3, 3)
    circuit.h([0, 1, 2])
    circuit.measure([2, 0], [0, 1])
    with circuit.if_test((circuit.clbits[0], 1)) as otherwise, circuit.for_loop(range(2)):
        circuit.h([1, 0])
        circuit.measure([1, 0], [2, 1])
    with otherwise, circuit.while_loop((circuit.clbits[1], 1)):
        circuit.h(0)
        circuit.measure(0, 1)
    circuit.measure(2, 2)
    simulator = AerSimulator(method="statevector", max_parallel_threads=1)
    expected = simulator.run(circuit, shots=200, memory=True, seed_simulator=11).result().get_memory()
    driver = load_driver("aer", "aer", {"qubits": 3, "threads": 1})
    assert memory(driver, circuit, 200, seed=11) == [int(shot, 2) for shot in expected]


def test_stores_and_breaks_leave_a_clifford_circuit_to_the_stabilizer_method() -> None:
    driver = load_driver("aer", "aer", {"qubits": 40})
    circuit = QuantumCircuit(40, 40)
    circuit.h(range(40))
    circuit.measure(range(40), range(40))
    with circuit.while_loop(expr.less(circuit.cregs[0], 5)):
        circuit.store(circuit.cregs[0], 9)
        circuit.break_loop()
    program: Any = driver.compile(circuit)
    assert program.method == "stabilizer"
    assert len(memory(driver, circuit, 5)) == 5


def test_circuits_without_control_flow_go_to_aer_as_they_are() -> None:
    circuit = QuantumCircuit(2, 2)
    circuit.h(0)
    circuit.measure([0, 1], [0, 1])
    assert not cut(circuit).flow
