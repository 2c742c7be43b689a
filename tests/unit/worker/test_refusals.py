"""What cannot run is refused before it runs, and the message helps."""

from __future__ import annotations

import base64
import io
import json
import pickle
import struct
import zlib
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from qiskit import qpy
from qiskit.circuit import ClassicalRegister, Parameter, QuantumCircuit
from qiskit_ibm_runtime import RuntimeEncoder

from sojourn.devices.aer.ideal import AerDriver
from sojourn.worker.codec import decode
from sojourn.worker.host import DeviceHost
from sojourn.worker.protocol.types import DeviceSpec, Failed, JobRefused
from tests.unit.worker.conftest import body, estimator_body, sampler_body


def circuit(qubits: int = 1) -> QuantumCircuit:
    made = QuantumCircuit(qubits)
    made.measure_all()
    return made


def encoded(value: Any) -> Any:
    return json.loads(json.dumps(value, cls=RuntimeEncoder))


def packed(content: bytes) -> str:
    return base64.b64encode(zlib.compress(content)).decode()


def npy(array: np.ndarray, **kwargs: Any) -> str:
    stream = io.BytesIO()
    np.save(stream, array, **kwargs)
    return packed(stream.getvalue())


def refusal(host: DeviceHost, program: str, params: bytes) -> str:
    """The message of the refusal; running the same job fails with the same words and does not raise."""
    with pytest.raises(JobRefused) as caught:
        host.prepare(program, params)
    outcome = host.run(program, params)
    assert isinstance(outcome, Failed)
    assert outcome.reason == caught.value.message
    assert "Traceback" in outcome.detail
    return caught.value.message


def one_parameter() -> QuantumCircuit:
    made = QuantumCircuit(1)
    made.rz(Parameter("t"), 0)
    made.measure_all()
    return made


@pytest.mark.parametrize("program", ["noise-learner-v3", "hello-world", ""])
def test_programs_that_are_not_run_here_are_named(aer: DeviceHost, program: str) -> None:
    message = refusal(aer, program, b"{}")
    assert repr(program) in message
    assert "sampler, estimator, executor" in message


def test_a_user_cannot_calibrate_by_a_job(aer: DeviceHost) -> None:
    with pytest.raises(JobRefused, match="There is no program 'calibrate' on this service") as caught:
        aer.prepare("calibrate", b"{}")
    assert caught.value.code == 1202


@pytest.mark.parametrize(
    ("params", "words"),
    [
        (b"", "not valid JSON"),
        (b"{", "not valid JSON"),
        (b"\xff\xfe", "not valid JSON"),
        (b"[]", "must be an object"),
        (b'{"version": 2}', "params.pubs is missing"),
        (b'{"pubs": []}', "params.pubs is empty"),
        (b'{"pubs": {}}', "params.pubs must be an array"),
        (b'{"pubs": [7]}', "pubs[0] must be an array"),
        (b'{"pubs": [[]]}', "pubs[0] has 0 parts"),
        (b'{"pubs": [[1,2,3,4]]}', "pubs[0] has 4 parts"),
        (b'{"pubs": [[1]]}', "must be of type QuantumCircuit, not int"),
        (b'{"pubs": [["OPENQASM 2.0;"]]}', "must be OpenQASM 3"),
        (b'{"pubs": [["OPENQASM 3.0; nonsense"]]}', "OpenQASM 3 text cannot be read"),
        (b'{"pubs": [[1]], "version": 1}', "version 2"),
        (b'{"pubs": [[1]], "circuits": []}', "params.circuits is not a member"),
        (b'{"pubs": [[1]], "options": []}', "params.options must be an object"),
        (b'{"pubs": [[1]], "shots": 0}', "params.shots is 0"),
        (b'{"pubs": ' + b"[" * 100_000, "nested too deeply"),
        (b'{"options": ' + b'{"a":' * 100_000, "nested too deeply"),
    ],
)
def test_malformed_payloads(aer: DeviceHost, params: bytes, words: str) -> None:
    assert words in refusal(aer, "sampler", params)


def test_ten_megabytes_of_garbage(aer: DeviceHost) -> None:
    garbage = base64.b64encode(np.random.default_rng(0).bytes(10 * 2**20)).decode()
    for text in (garbage, garbage[:-1], packed(np.random.default_rng(0).bytes(2**20))):
        value = {"__type__": "QuantumCircuit", "__value__": text}
        assert "pubs[0]: the circuit" in refusal(aer, "sampler", body([[value]]))


def test_truncated_qpy_of_any_length(aer: DeviceHost) -> None:
    whole = zlib.decompress(base64.b64decode(encoded(circuit(2))["__value__"]))
    for length in range(0, len(whole) - 1, 7):
        value = {"__type__": "QuantumCircuit", "__value__": packed(whole[:length])}
        with pytest.raises(JobRefused, match="QPY"):
            aer.prepare("sampler", body([[value]]))


def test_a_circuit_that_claims_billions_of_qubits_is_refused_by_its_header(aer: DeviceHost) -> None:
    whole = bytearray(zlib.decompress(base64.b64decode(encoded(circuit(2))["__value__"])))
    place = bytes(whole).index(b"\x00\x00\x00\x02")
    whole[place : place + 4] = b"\xff\xff\xff\xff"
    value = {"__type__": "QuantumCircuit", "__value__": packed(bytes(whole))}
    assert "claims 4294967295 qubits" in refusal(aer, "sampler", body([[value]]))


def test_a_zip_bomb_is_refused_before_it_unfolds(aer: DeviceHost, monkeypatch: pytest.MonkeyPatch) -> None:
    bomb = packed(b"\x00" * (8 * 2**20))
    monkeypatch.setattr(decode.Budget.__init__, "__defaults__", (2**20,))
    value = {"__type__": "QuantumCircuit", "__value__": bomb}
    assert "inflate to more than" in refusal(aer, "sampler", body([[value]]))
    values = {"__type__": "ndarray", "__value__": bomb}
    assert "inflate to more than" in refusal(aer, "sampler", body([[encoded(one_parameter()), values]]))


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        ("settings", {}),
        ("_json", {}),
        ("Parameter", "AAAA"),
        ("NoiseModel", {}),
        ("spmatrix", "AAAA"),
        ("no such type", 1),
    ],
)
def test_types_that_construct_objects_are_refused_by_name(aer: DeviceHost, kind: str, value: Any) -> None:
    thing = {"__type__": kind, "__module__": "os", "__class__": "system", "__value__": value}
    assert repr(kind) in refusal(aer, "sampler", body([[thing]]))
    assert repr(kind) in refusal(aer, "sampler", body([[encoded(one_parameter()), thing]]))
    assert repr(kind) in refusal(aer, "estimator", body([[encoded(QuantumCircuit(1)), thing]]))


class _Bomb:
    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return (pytest.fail, ("a pickle was loaded",))


def test_pickles_are_never_loaded(aer: DeviceHost) -> None:
    array = np.empty(1, dtype=object)
    array[0] = _Bomb()
    texts = [npy(array, allow_pickle=True), packed(pickle.dumps(_Bomb()))]
    for text in texts:
        values = {"__type__": "ndarray", "__value__": text}
        message = refusal(aer, "sampler", body([[encoded(one_parameter()), values]]))
        assert "parameter values" in message


def test_an_array_that_claims_more_than_it_holds(aer: DeviceHost) -> None:
    stream = io.BytesIO()
    np.lib.format.write_array_header_1_0(stream, {"descr": "<f8", "fortran_order": False, "shape": (10**12,)})
    values = {"__type__": "ndarray", "__value__": packed(stream.getvalue() + b"\x00" * 16)}
    assert "holds 16 bytes" in refusal(aer, "sampler", body([[encoded(one_parameter()), values]]))


@pytest.mark.parametrize(
    ("header", "words"),
    [
        (f"{{'descr': '<f8', 'fortran_order': False, 'shape': ({'1,' * 65}), }}", "at most 64 integers"),
        ("{'descr': '<f8', 'fortran_order': False, 'shape': (True,), }", "at most 64 integers"),
        ("{'descr': '<f8', 'fortran_order': False, 'shape': (-1,), }", "at most 64 integers"),
        ("{'descr': '<f8', 'fortran_order': False, 'shape': (1,), ", "header cannot be read"),
        ("{'descr': '<f8', 'fortran_order': False, 'shape': (1.0,), }", "header cannot be read"),
        ("{'descr': [], 'fortran_order': False, 'shape': (1,), }", "is not accepted"),
        ("(" * 500 + ")" * 500, "header cannot be read"),
        ("\x00", "header cannot be read"),
    ],
)
def test_a_header_of_an_array_that_is_none(aer: DeviceHost, header: str, words: str) -> None:
    text = header.encode() + b"\n"
    file = b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text + b"\x00" * 8
    values = {"__type__": "ndarray", "__value__": packed(file)}
    assert words in refusal(aer, "sampler", body([[encoded(one_parameter()), values]]))


def doubling(levels: int) -> str:
    """Gates of which each is twice the one before."""
    twice = (f"gate g{i} a {{ g{i - 1} a; g{i - 1} a; }}" for i in range(1, levels))
    return " ".join(["gate g0 a { x a; x a; }", *twice])


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("qubit[100000000] q;", "claims 100000000 qubits"),
        ("qreg q[60_000]; qreg r[60_000];", "claims 120000 qubits"),
        (f"bit[{'9' * 5000}] c;", "classical bits; the limits are"),
        (f"qubit q; rx({'(' * 3000}1{')' * 3000}) q;", "more than 100 brackets"),
        (f"qubit q; bit c; {'if (c) {' * 300} x q; {'}' * 300}", "more than 100 brackets"),
        ("x $1000000000;", "there is no qubit $1000000000, the highest is $11"),
        ("qubit[0x3B9ACA00] q;", "1000000000 qubits, the device has 12; choose a larger device"),
        ("qubit[1000 * 1000 * (1000 + 1) / 1 - -1] q;", "1001000001 qubits, the device has 12"),
        ("qubit q; bit[0b11101110011010110010100] c;", "claims 7812500 classical bits; the limit is 100000"),
        ("qubit q; for int i in [0:1000000000000] { }", "1000000000001 instructions when its loops"),
        ("qubit q; for int i in [7:-3:-1000000000000] { for int j in [1:99999] { } }", "the limit is 100000"),
        (f"qubit q; for int i in [0:{10**30}] {{ }}", "more than 10**15 instructions when its loops"),
        (
            f"qubit q; for int i in [{10**30}:{10**30}] {{ for int j in [0:1:{2**63}] {{ }} }}",
            "more than 10**15",
        ),
        (f"{doubling(40)} qubit q; g39 q;", "the gate g8 stands for more than 1000 instructions"),
        (f"{doubling(8)} qubit q; {'g7 q; ' * 100}", "the gates of the OpenQASM 3 text stand for more than"),
        ("qubit q; ctrl(1000000000) @ x q;", "controlled by more qubits than the 1 that it is called with"),
        ("qubit[9] q; ctrl @ ctrl @ ctrl @ ctrl @ x q[0],q[1],q[2],q[3],q[4];", "stands for more than 1000"),
        ("qubit[9] q; pow(0.5) @ ctrl(4) @ x q[0],q[1],q[2],q[3],q[4];", "stands for more than 1000"),
        (f"qubit[9] q; {'inv @ ' * 50} x q[0];", "stands for more than 1000 instructions"),
        (f"bit[99999] c; {' '.join(f'let a{i} = c;' for i in range(50))}", "instructions and bits"),
        ("uint[4] u = 3;", "cannot be read (line 1, column 38): declarations of type 'uint'"),
    ],
)
def test_openqasm_text_that_would_be_expensive_or_is_not_read(aer: DeviceHost, text: str, words: str) -> None:
    program = f'OPENQASM 3.0; include "stdgates.inc"; {text}'
    assert words in refusal(aer, "sampler", body([[program, None, 1]]))


def test_openqasm_text_of_honest_size_is_read(aer: DeviceHost) -> None:
    """Everything that is bounded, below its bound: gates of gates, controls, powers, loops, aliases."""
    program = f"""OPENQASM 3.0; include "stdgates.inc"; {doubling(7)}
        gate ecr2 a, b {{ h a; cx a, b; inv @ h a; }}
        qubit[2 * 6] q; bit[12] c; let pair = q[0:1];
        x q; ctrl @ x q[0], q[1]; ctrl @ ctrl @ x q[0], q[1], q[2]; inv @ x q[3]; cx pair[0], pair[1];
        for int i in [0:2:9998] {{ x q[{{0, 1}}]; }}
        for int i in {{1, 2, 3}} {{ for int j in [3:-1:1] {{ rx(0.5) q[i]; }} }}
        c = measure q; if (c[0] == true) {{ x q[0]; }}"""
    assert aer.prepare("sampler", body([[program.replace("q[i]", "q[1]"), None, 1]])).num_qubits == 12


def test_brackets_and_widths_in_comments_do_not_count(aer: DeviceHost) -> None:
    program = (
        f"OPENQASM 3.0; // {'(' * 200} qubit[100000000]\n/* {'{' * 200} */ qubit q; bit c; c = measure q;"
    )
    assert aer.prepare("sampler", body([[program, None, 1]])).num_circuits == 1


def test_a_box_is_refused_by_its_name(aer: DeviceHost, torino: DeviceHost) -> None:
    for host in (aer, torino):
        made = QuantumCircuit(2, 1)
        with made.box():
            made.x(1)
        made.measure(1, 0)
        assert "has a box on qubits (1,)" in refusal(host, "sampler", body([[made, None, 1]]))


@pytest.mark.parametrize(
    ("values", "words"),
    [
        (["1.0"], "regular array of real numbers"),
        ([None], "regular array of real numbers"),
        ([True], "regular array of real numbers"),
        ([10**400], "integers among them below 2**64"),
        ([1.5, 10**400], "regular array of real numbers"),
        (None, "has 1 parameters, no values"),
        ([], "has 1 parameters, no values"),
        (np.array([np.nan]), "finite"),
        (np.array([np.inf]), "finite"),
        (np.array([1j]), "real numbers"),
        (np.array(["a"]), "not accepted"),
        (np.zeros((0, 1)), "no points"),
        ([["a"]], "regular array"),
        ([[1.0], [2.0, 3.0]], "regular array"),
        ({"u": [1.0]}, "parameters are ['t']"),
        ("text", "array of numbers"),
        (True, "array of numbers"),
    ],
)
def test_bad_parameter_values(aer: DeviceHost, values: Any, words: str) -> None:
    assert words in refusal(aer, "sampler", body([[one_parameter(), values]]))


def test_the_wrong_number_of_parameters_is_said_with_both_numbers(aer: DeviceHost) -> None:
    two = QuantumCircuit(1, 1)
    two.rz(Parameter("a"), 0)
    two.rz(Parameter("b"), 0)
    two.measure(0, 0)
    message = refusal(aer, "sampler", body([[two, np.zeros((4, 3))]]))
    assert "2 parameters" in message
    assert "(4, 3)" in message
    assert "no values" not in refusal(aer, "sampler", body([[circuit(), np.zeros((4, 3))]]))


@pytest.mark.parametrize("shots", [0, -5, 1.5, "10", True, 10**9, 100_001, 2**63])
def test_bad_numbers_of_shots(torino: DeviceHost, shots: Any) -> None:
    message = refusal(torino, "sampler", body([[circuit(), None, shots]]))
    assert "shots" in message
    assert str(shots) in message


@pytest.mark.parametrize("precision", [0, -0.1, "x", True, 1e-6, 1e-12])
def test_bad_precisions(aer: DeviceHost, precision: Any) -> None:
    message = refusal(aer, "estimator", body([[QuantumCircuit(1), {"Z": 1.0}, None, precision]]))
    assert "precision" in message


@pytest.mark.parametrize(
    ("observables", "words"),
    [
        ({}, "without terms"),
        ([], "no observables"),
        ({"A": 1.0}, "not a Pauli label"),
        ({"": 1.0}, "not a Pauli label"),
        ({"Z": "1"}, "real number"),
        ({"Z": True}, "real number"),
        ({"Z": int("9" * 308) * 10}, "finite real number"),
        ({"Z": 1e308, "X": -1e308}, "add up to more than"),
        ({"Z": {"__type__": "complex", "__value__": [1.0, 0.5]}}, "must be real"),
        ([{"Z": 1.0}, {"ZZ": 1.0}], "different lengths"),
        ([[{"Z": 1.0}], {"Z": 1.0}], "regular array"),
        (7, "Pauli labels"),
    ],
)
def test_bad_observables(aer: DeviceHost, observables: Any, words: str) -> None:
    assert words in refusal(aer, "estimator", body([[QuantumCircuit(1), observables, None, None]]))


def test_many_observables_on_one_circuit_are_prepared_in_a_moment(aer: DeviceHost) -> None:
    """Linear in their number: a product would be 4e10 comparisons, far beyond the preparation's limit."""
    many = [{"Z": 1.0}] * 200_000
    assert aer.prepare("estimator", body([[QuantumCircuit(1), many, None, 0.5]])).num_circuits == 1


def test_shapes_that_do_not_broadcast_are_said(aer: DeviceHost) -> None:
    pub = [one_parameter(), [{"Z": 1.0}] * 3, np.zeros((2, 1)), None]
    message = refusal(aer, "estimator", body([pub]))
    assert "(2,)" in message
    assert "(3,)" in message


def test_instructions_that_the_device_does_not_have_are_named_with_their_qubits(torino: DeviceHost) -> None:
    made = QuantumCircuit(6, 1)
    made.cx(0, 5)
    made.measure(0, 0)
    message = refusal(torino, "sampler", sampler_body([made]))
    assert "cx on qubits (0, 5) is not an instruction of ibm_torino" in message
    assert "transpile the circuit for the device" in message


def test_a_gate_on_qubits_that_are_not_coupled_is_named(torino: DeviceHost) -> None:
    made = QuantumCircuit(133)
    made.cz(0, 5)
    assert "cz on qubits (0, 5)" in refusal(torino, "estimator", estimator_body([(made, "Z" * 133)]))


def test_control_flow_is_walked(torino: DeviceHost) -> None:
    made = QuantumCircuit(4, 1)
    made.measure(3, 0)
    with made.if_test((made.clbits[0], 1)), made.for_loop(range(2)):
        made.h(2)
    assert "h on qubits (2,)" in refusal(torino, "sampler", sampler_body([made]))


def test_a_block_that_does_not_fit_its_instruction_is_refused(aer: DeviceHost) -> None:
    """QPY states the width of an inner circuit on its own; nothing else looks at bits that nobody uses."""
    made = QuantumCircuit(2, 2)
    with made.if_test((made.clbits[0], 1)):
        made.x(1)
    stream = io.BytesIO()
    qpy.dump(made, stream, version=15)
    content = bytearray(stream.getvalue())
    inner = content.rindex(struct.pack("!II", 1, 1))
    struct.pack_into("!I", content, inner + 4, 7)
    params = {"__type__": "QuantumCircuit", "__value__": packed(bytes(content))}
    message = refusal(aer, "sampler", body([[params, None, 1]]))
    assert "a block of 'if_else' has 1 qubits and 7 classical bits, but stands on 1 and 1" in message


def test_a_device_without_control_flow_says_so() -> None:
    host = DeviceHost.load(DeviceSpec("lima", "fake", {"backend": "FakeLimaV2"}))
    made = QuantumCircuit(2, 1)
    made.measure(0, 0)
    with made.if_test((made.clbits[0], 1)):
        made.x(1)
    assert "if_else on qubits" in refusal(host, "sampler", sampler_body([made]))


def test_a_circuit_that_is_too_wide_is_said_with_both_numbers(torino: DeviceHost) -> None:
    message = refusal(torino, "sampler", sampler_body([circuit(200)]))
    assert "200 qubits" in message
    assert "ibm_torino has 133" in message


def test_a_delay_whose_unit_qpy_lost_is_refused(torino: DeviceHost) -> None:
    made = QuantumCircuit(1, 1)
    made.delay(100, 0, unit="ns")
    made.measure(0, 0)
    assert "give delays in dt" in refusal(torino, "sampler", sampler_body([made]))


@pytest.mark.parametrize("empty", [False, True])
@pytest.mark.parametrize("turns", [100_001, 10**7, 2**62])
def test_a_loop_that_would_fill_the_memory_is_refused(aer: DeviceHost, turns: int, empty: bool) -> None:
    made = QuantumCircuit(1, 1)
    with made.for_loop(range(turns)):
        if not empty:
            made.x(0)
    made.measure(0, 0)
    told = refusal(aer, "sampler", sampler_body([made]))
    shown = str(turns) if turns < 10**15 else "more than 10**15"
    assert (
        f"has {shown} instructions when its loops are written out, turn by turn; the limit is 100000" in told
    )


def test_the_turns_of_loops_in_loops_are_multiplied(aer: DeviceHost) -> None:
    made = QuantumCircuit(1, 1)
    with made.for_loop(range(1000)), made.for_loop(range(50)), made.for_loop(range(3)):
        pass
    made.measure(0, 0)
    assert "has 201000 instructions" in refusal(aer, "sampler", sampler_body([made]))  # 1000 + 50000 + 150000


def test_angles_outside_of_what_the_device_does() -> None:
    host = DeviceHost.load(DeviceSpec("frac", "fake", {"backend": "FakeFractionalBackend"}))
    fixed, free = QuantumCircuit(5, 1), QuantumCircuit(5, 1)
    fixed.rzz(2.0, 0, 1)
    free.rzz(2 * Parameter("t"), 0, 1)
    for made in (fixed, free):
        made.measure(0, 0)
    assert "rzz(2) on qubits (0, 1)" in refusal(host, "sampler", body([[fixed, None, None]]))
    host.prepare("sampler", body([[free, np.array([[0.1], [0.7]]), None]]))
    assert "rzz(2.2)" in refusal(host, "sampler", body([[free, np.array([[0.1], [1.1]]), None]]))


def test_more_executions_than_any_device_takes(aer: DeviceHost) -> None:
    message = refusal(aer, "sampler", body([[one_parameter(), np.zeros((200, 1)), 1_000_000]]))
    assert "200000000 executions" in message


def test_a_result_that_would_be_too_large(aer: DeviceHost) -> None:
    wide = circuit(12)
    wide.add_register(ClassicalRegister(80, "more"))
    wide.rz(Parameter("t"), 0)
    message = refusal(aer, "sampler", body([[wide, np.zeros((99, 1)), 1_000_000]]))
    assert "result would be more than" in message


class Broken(AerDriver):
    """A device that fails when it runs."""

    def execute(self, tasks: Any, *, seed: int | None, memory: bool) -> Any:
        raise RuntimeError("the laser\nis out")


def test_what_fails_on_the_device_fails_with_a_traceback() -> None:
    host = DeviceHost(DeviceSpec("broken", "aer", {}), Broken("broken", {"qubits": 2}))
    outcome = host.run("sampler", sampler_body([circuit()]))
    assert isinstance(outcome, Failed)
    assert "Traceback" in outcome.detail
    assert outcome.reason == "the job failed on the device: the laser is out"
