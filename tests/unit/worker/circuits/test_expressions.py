"""Classical expressions and variables through the programs: right values, or a refusal before the job waits.

The kind: what a user can write with Qiskit's `expr` never fails on the device. It runs there with the value
that its types say, or it is refused at submit with the expression in the message, on every driver.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from qiskit.circuit import BreakLoopOp, ClassicalRegister, Duration, QuantumCircuit, QuantumRegister
from qiskit.circuit.classical import expr, types

from sojourn.worker.host import DeviceHost
from sojourn.worker.protocol.types import Completed, DeviceSpec, JobRefused
from tests.unit.worker.conftest import estimator_body, result, sampler_body

BOOL, FLOAT, UINT = types.Bool(), types.Float(), types.Uint
A, Z = ClassicalRegister(3, "a"), ClassicalRegister(3, "z")


@pytest.mark.parametrize(
    "condition",
    [
        expr.cast(A, BOOL),
        expr.logic_not(Z),
        expr.logic_and(A, A),
        expr.logic_or(A, Z),
        expr.logic_and(A, expr.logic_not(expr.logic_or(Z, Z))),
        expr.equal(A, 5),
        expr.less(Z, A),
        expr.equal(expr.shift_left(A, 1), 2),
        expr.equal(expr.add(A, 4), 1),
        expr.equal(expr.sub(Z, A), 3),
        expr.equal(expr.div(expr.mul(A, 5), 3), 0),
        expr.index(A, expr.shift_right(A, 1)),
        expr.bit_xor(A[0], Z[0]),
        expr.less(expr.lift(A, UINT(9)), expr.shift_left(1, A, UINT(9))),
    ],
)
def test_a_condition_on_registers_holds_when_its_value_says_so(aer: DeviceHost, condition: expr.Expr) -> None:
    """Registers as truth values (which the simulator inverts) and everything else, with a = 5 and z = 0."""
    out = ClassicalRegister(2, "out")
    circuit = QuantumCircuit(QuantumRegister(2), A, Z, out)
    circuit.x(0)
    circuit.measure(0, A[0])
    circuit.measure(0, A[2])
    with circuit.if_test(condition) as otherwise:
        circuit.x(1)
    with otherwise:
        circuit.measure(0, out[1])
    circuit.measure(1, out[0])
    assert result(aer, "sampler", sampler_body([(circuit, None, 20)]))[0].data.out.get_counts() == {"01": 20}


@pytest.mark.parametrize("bits", [60, 156, 300])
def test_the_parity_of_a_wide_register_is_read_and_right(aer: DeviceHost, bits: int) -> None:
    """An expression as deep as a register is wide: Qiskit writes it, and its reader needs deep recursion."""
    wide, out = ClassicalRegister(bits, "wide"), ClassicalRegister(1, "out")
    circuit = QuantumCircuit(QuantumRegister(1), wide, out)
    circuit.x(0)
    for bit in (0, bits // 2, bits - 1):
        circuit.measure(0, wide[bit])
    parity = expr.lift(wide[0])
    for bit in wide[1:]:
        parity = expr.bit_xor(parity, bit)
    circuit.store(out[0], parity)
    assert result(aer, "sampler", sampler_body([(circuit, None, 5)]))[0].data.out.get_counts() == {"1": 5}


def test_a_circuit_that_is_nested_deeper_than_can_be_read_is_refused_with_advice(aer: DeviceHost) -> None:
    wide = ClassicalRegister(450, "wide")
    circuit = QuantumCircuit(QuantumRegister(1), wide)
    parity = expr.lift(wide[0])
    for bit in wide[1:]:
        parity = expr.bit_xor(parity, bit)
    circuit.store(wide[0], parity)
    with pytest.raises(JobRefused, match="nested too deeply, in its blocks or its classical expressions"):
        aer.prepare("sampler", sampler_body([circuit]))


@pytest.mark.parametrize("inside", ["nothing", "a break of an inner loop"])
def test_a_loop_that_never_ends_whatever_is_measured_is_refused(aer: DeviceHost, inside: str) -> None:
    """It would run until the job's time is over."""
    circuit = QuantumCircuit(1, 1)
    with circuit.while_loop(expr.lift(True)):
        circuit.x(0)
        circuit.measure(0, 0)
        if inside != "nothing":
            with circuit.for_loop(range(2)):
                circuit.break_loop()
    with pytest.raises(JobRefused, match="always true and no break_loop, so it never ends"):
        aer.prepare("sampler", sampler_body([circuit]))


@pytest.mark.parametrize(
    "condition",
    [
        lambda _: expr.lift(True),
        lambda bits: expr.logic_or(expr.lift(bits[1]), expr.logic_not(bits[1])),
        lambda _: expr.less(expr.lift(1.5), 2.5),
        lambda bits: (bits[1], 0),
        lambda bits: expr.logic_not(bits[1]),
    ],
)
@pytest.mark.parametrize("method", ["statevector", "density_matrix", "matrix_product_state", "stabilizer"])
def test_a_loop_at_the_end_of_a_circuit_takes_all_its_turns(condition: Any, method: str) -> None:
    """The simulator drops what is behind the last measurement, and so ended such a loop after one turn."""
    circuit = QuantumCircuit(1, 2)
    with circuit.while_loop(condition(circuit.clbits)):
        circuit.x(0)
        circuit.measure(0, 0)
        with circuit.if_test((circuit.clbits[0], 0)):
            circuit.break_loop()
    host = DeviceHost.load(DeviceSpec("aer", "aer", {"qubits": 2, "method": method}))
    assert result(host, "sampler", sampler_body([(circuit, None, 5)]))[0].data.c.get_counts() == {"00": 5}


def test_integers_that_are_too_wide_are_refused_before_they_are_written_out(aer: DeviceHost) -> None:
    """The width stands in the file as a number: a file of a kilobyte may claim 2**31 bits."""
    wide = types.Uint(2**31)
    for value in (expr.cast(A, wide), expr.Value(1, wide)):
        circuit = QuantumCircuit(QuantumRegister(1), A)
        with circuit.if_test(expr.equal(value, value)):
            circuit.x(0)
        circuit.measure(0, A[0])
        with pytest.raises(JobRefused, match=r"is Uint\(2147483648\); integers have at most 200000 bits"):
            aer.prepare("sampler", sampler_body([circuit]))


def test_a_variable_is_stored_and_read_and_is_not_in_the_result(aer: DeviceHost) -> None:
    circuit = QuantumCircuit(2, 2)
    value = circuit.add_var("value", expr.lift(250, UINT(8)))
    turns = circuit.add_var("turns", expr.lift(0, UINT(4)))
    done = circuit.add_var("done", False)
    with circuit.while_loop(expr.logic_not(done)):
        circuit.store(value, expr.add(value, 1))
        circuit.store(turns, expr.add(turns, 1))
        circuit.store(done, expr.equal(value, 4))  # 250 + 10, modulo 256
    with circuit.switch(turns) as case:
        with case(9, 11):
            circuit.x(1)
        with case(10):
            circuit.x(0)
    circuit.measure([0, 1], [0, 1])
    data = result(aer, "sampler", sampler_body([(circuit, None, 30)]))[0].data
    assert list(data) == ["c"]
    assert data.c.get_counts() == {"01": 30}


def test_a_store_into_a_register_is_in_the_result_also_without_a_measurement(aer: DeviceHost) -> None:
    circuit = QuantumCircuit(1, 70)
    circuit.store(circuit.cregs[0], 2**69 + 5)
    params = sampler_body([(circuit, None, 4)])
    assert aer.prepare("sampler", params).warnings == ()
    assert result(aer, "sampler", params)[0].data.c.get_counts() == {f"{2**69 + 5:070b}": 4}


def test_a_syndrome_decoder_corrects_on_the_ideal_and_on_a_noisy_device(
    aer: DeviceHost, manila: DeviceHost
) -> None:
    """Three bits, two checks, a table: the syndrome is a register, a variable holds the error's place."""
    for host, least in ((aer, 1.0), (manila, 0.75)):
        syndrome, data = ClassicalRegister(2, "syndrome"), ClassicalRegister(3, "data")
        circuit = QuantumCircuit(QuantumRegister(5), syndrome, data)
        place = circuit.add_var("place", expr.lift(0, UINT(2)))
        circuit.x(1)
        for check, (one, two) in enumerate(((0, 1), (1, 2))):
            circuit.measure([one, two], [0, 1])
            circuit.store(
                place,
                expr.bit_xor(
                    place, expr.shift_left(expr.cast(expr.bit_xor(data[one], data[two]), UINT(2)), check)
                ),
            )
        circuit.measure([0, 1, 2], data)
        circuit.store(syndrome[0], expr.bit_xor(data[0], data[1]))
        circuit.store(syndrome[1], expr.bit_xor(data[1], data[2]))
        circuit.store(place, expr.sub(syndrome, expr.cast(expr.logic_and(syndrome, syndrome[1]), UINT(2))))
        with circuit.switch(place) as case:
            with case(1):
                circuit.x(0)
            with case(2):
                circuit.x(1)
        circuit.measure([0, 1, 2], data)
        counts = result(host, "sampler", sampler_body([(circuit, None, 400)]))[0].data.data.get_counts()
        assert counts.get("000", 0) >= 400 * least


def test_an_estimator_circuit_may_have_variables_too(aer: DeviceHost) -> None:
    circuit = QuantumCircuit(2, 1)
    flips = circuit.add_var("flips", expr.lift(0, UINT(3)))
    with circuit.while_loop(expr.less(flips, 5)):
        circuit.x(0)
        circuit.store(flips, expr.add(flips, 1))
    found = result(aer, "estimator", estimator_body([(circuit, ["ZI", "IZ", "ZZ"])]))
    assert found[0].data.evs.tolist() == [1.0, -1.0, -1.0]


def flipped(condition: Any) -> Callable[[QuantumCircuit], None]:
    def build(circuit: QuantumCircuit) -> None:
        with circuit.if_test(condition):
            circuit.x(0)

    return build


def stored(place: Any, value: Any) -> Callable[[QuantumCircuit], None]:
    return lambda circuit: circuit.store(place, value)


def stretched(circuit: QuantumCircuit) -> None:
    flipped(expr.less(circuit.add_stretch("rest"), Duration.dt(5)))(circuit)


def looped(circuit: QuantumCircuit) -> None:
    with circuit.for_loop((1, 9), expr.Var.new("i", UINT(3))):
        circuit.x(0)


def many(circuit: QuantumCircuit) -> None:
    for number in range(11):
        circuit.add_var(f"v{number}", expr.lift(0, UINT(1000)))


def costly(circuit: QuantumCircuit) -> None:
    with circuit.for_loop(range(10_000)):
        circuit.store(A, expr.div(A, expr.bit_or(Z, 1)))


@pytest.mark.parametrize("driver", ["aer", "mock"])
@pytest.mark.parametrize(
    ("build", "words"),
    [
        (stored(A, expr.div(A, 0)), "the expression div(a, 0) divides by zero"),
        (flipped(expr.index(A, 3)), "index(a, 3) has the index 3; there are 3 bits, from 0 to 2"),
        (stored(expr.index(A, 7), True), "index(a, 7) has the index 7; there are 3 bits"),
        (flipped(expr.equal(A, -1)), "the expression -1.0 is not a Uint(3)"),
        (flipped(expr.equal(A, expr.Value(9, UINT(3)))), "the expression 9 is not a Uint(3)"),
        (stretched, "the expression rest is a stretch, whose length is not known"),
        (lambda c: c.append(BreakLoopOp(1, 0), [0], []), "break_loop stands outside of a loop"),
        (
            flipped(expr.less(expr.cast(A, FLOAT), 1.5)),
            "cast(a, Float) makes a Float of a value that is only",
        ),
        (flipped(expr.less(Duration.dt(5), Duration.ns(5))), "mixes durations in dt and in seconds"),
        (flipped(expr.less(expr.div(1.0, 0.0), 2.0)), "div(1.0, 0.0) divides by zero"),
        (stored(A, expr.cast(9.5, UINT(3))), "cast(9.5, Uint(3)) cannot be Uint(3)"),
        (lambda c: c.add_var("f", 0.5), "the variable 'f' is of type Float"),
        (lambda c: c.add_var("d", Duration.ns(5)), "the variable 'd' is of type Duration"),
        (stored(expr.lift(A, UINT(5)), 3), "a is stored to as Uint(5), and has 3 bits"),
        (looped, "the variable 'i' of a loop takes the value 9; its type holds integers from 0 to 7"),
        (many, "the variables have 11000 bits together"),
        (costly, "operations on single bits when loops are written out; the limit is 200000"),
    ],
)
def test_what_cannot_be_computed_is_refused_by_name_on_every_driver(
    request: pytest.FixtureRequest, driver: str, build: Callable[[QuantumCircuit], None], words: str
) -> None:
    circuit = QuantumCircuit(QuantumRegister(1), A, Z)
    build(circuit)
    circuit.measure(0, A[0])
    with pytest.raises(JobRefused) as caught:
        request.getfixturevalue(driver).prepare("sampler", sampler_body([circuit]))
    assert words in caught.value.message
    assert caught.value.message.startswith("pubs[0]: the circuit: ")
    assert "Error" not in caught.value.message


def test_wide_products_are_refused_before_they_fill_the_memory(mock: DeviceHost) -> None:
    wide = ClassicalRegister(1000, "wide")
    circuit = QuantumCircuit(QuantumRegister(1), wide)
    circuit.store(wide, expr.mul(wide, wide))
    with pytest.raises(JobRefused, match="more than 200000 operations on single bits"):
        mock.prepare("sampler", sampler_body([circuit]))


def test_division_by_zero_while_the_circuit_runs_gives_the_largest_value(aer: DeviceHost) -> None:
    """And an index behind the end reads 0 and writes nothing: as documented, and never a failed job."""
    circuit = QuantumCircuit(QuantumRegister(1), A, Z)
    circuit.x(0)
    circuit.measure(0, A[0])
    circuit.measure(0, A[2])
    circuit.store(expr.index(A, A), False)
    circuit.store(Z, expr.div(A, Z))
    with circuit.if_test(expr.index(Z, A)):
        circuit.store(A, 0)
    outcome = aer.run("sampler", sampler_body([(circuit, None, 3)]))
    assert isinstance(outcome, Completed)
    data = result(aer, "sampler", sampler_body([(circuit, None, 3)]))[0].data
    assert (data.a.get_counts(), data.z.get_counts()) == ({"101": 3}, {"111": 3})
