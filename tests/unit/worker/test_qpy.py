"""Circuits of every QPY version that Qiskit reads and a client can have written, from version 3 on.

The kind: data in an older form than today's client sends. Each runs as the same circuit made today does, or
is refused with the versions that are read; and none of the old forms, which hold expressions of other
libraries, gets anything to run.
"""

from __future__ import annotations

import base64
import io
import json
import os
import pickle
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from qiskit import qpy
from qiskit.circuit import ClassicalRegister, Parameter, ParameterVector, QuantumCircuit, QuantumRegister
from qiskit.circuit.classical import expr, types

from sojourn.worker.codec import qpy as codec_qpy
from sojourn.worker.codec.qpy import load_circuit
from sojourn.worker.host import DeviceHost
from sojourn.worker.protocol.types import JobRefused
from tests.unit.worker.conftest import body, result

FILES: dict[str, str] = json.loads((Path(__file__).parent / "qpy_files.json").read_text())["files"]
POINTS = np.array([[0.3, 0.8, 1.1], [-1.0, 2.0, 0.5]])  # t, v[0], v[1]


def content(name: str) -> bytes:
    return zlib.decompress(base64.b64decode(FILES[name]))


def typed(data: bytes) -> dict[str, str]:
    return {"__type__": "QuantumCircuit", "__value__": base64.b64encode(zlib.compress(data)).decode()}


def today() -> QuantumCircuit:
    """The circuit in the files."""
    t, v = Parameter("t"), ParameterVector("v", 2)
    q, c = QuantumRegister(3, "q"), ClassicalRegister(3, "c")
    made = QuantumCircuit(q, c, metadata={"made": "by an earlier Qiskit"})
    made.rx(2 * t, 0)
    made.rx(v[0] + v[1], 1)
    made.rx(t, 2)
    made.rx((v[1] * t).sin() - v[0], 2)
    made.measure(q, c)
    return made


def counts(host: DeviceHost, circuit: Any) -> list[Any]:
    options = {"simulator": {"seed_simulator": 5}}
    pub = result(host, "sampler", body([[circuit, POINTS, 300]], options))[0]
    assert pub.metadata["circuit_metadata"] == {"made": "by an earlier Qiskit"}
    return [pub.data.c[index].get_counts() for index in range(len(POINTS))]


def test_the_files_are_of_every_version_before_todays_own_writer() -> None:
    versions = {content(name)[6] for name in FILES}
    assert versions == set(range(codec_qpy.MIN_QPY, qpy.QPY_COMPATIBILITY_VERSION))


@pytest.mark.parametrize("name", FILES)
def test_a_circuit_of_an_earlier_qiskit_runs_as_todays_does(aer: DeviceHost, name: str) -> None:
    assert counts(aer, typed(content(name))) == counts(aer, today())


@pytest.mark.parametrize("version", [0, 1, 2, qpy.QPY_VERSION + 1, 99, 255])
def test_other_versions_are_refused_with_those_that_are_read(version: int) -> None:
    data = bytearray(content("12"))
    data[6] = version
    with pytest.raises(JobRefused) as caught:
        load_circuit(bytes(data), "pubs[0]")
    assert f"QPY version {version} cannot be read here" in caught.value.message
    assert f"reads versions {codec_qpy.MIN_QPY} to {qpy.QPY_VERSION}" in caught.value.message


@pytest.mark.parametrize("name", FILES)
def test_a_header_that_claims_too_much_is_refused_in_every_version(name: str) -> None:
    data = bytearray(content(name))
    place = data.index(struct.pack("!II", 3, 3))
    data[place : place + 4] = b"\xff\xff\xff\xff"
    with pytest.raises(JobRefused, match="claims 4294967295 qubits and 3 classical bits"):
        load_circuit(bytes(data), "pubs[0]")


@pytest.mark.parametrize("name", FILES)
def test_data_that_are_cut_off_are_refused_in_every_version(name: str) -> None:
    whole = content(name)
    for length in range(0, len(whole) - 1, 9):
        with pytest.raises(JobRefused, match="QPY"):
            load_circuit(whole[:length], "pubs[0]")


class _Bomb:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.path),)


def test_a_pickle_inside_of_an_expression_is_never_read(tmp_path: Path) -> None:
    """symengine's form of a symbol may carry a pickle of a subclass; its own reader would run it."""
    import symengine
    from symengine.lib.symengine_wrapper import load_basic

    plain = symengine.Symbol("x").__reduce__()[1][0]
    name = struct.pack("<Q", 1) + b"x"
    head, found, tail = plain.rpartition(name)
    assert found
    assert head.endswith(b"\0")  # the flag: not a subclass
    bomb = pickle.dumps(_Bomb(tmp_path / "ran"))
    loaded = head[:-1] + b"\1" + name + struct.pack("<Q", len(bomb)) + bomb + b"\1" + tail
    with pytest.raises(ValueError, match="pickles are never read"), codec_qpy._without_pickles():
        load_basic(loaded)
    assert not (tmp_path / "ran").exists()
    load_basic(loaded)  # shows that it would have run
    assert (tmp_path / "ran").exists()


def test_a_pickle_inside_of_a_circuit_is_refused_with_its_reason(aer: DeviceHost, tmp_path: Path) -> None:
    data = content("12, symengine 0.13")
    name = struct.pack("<Q", 1) + b"t"
    place = data.index(name)
    size_at = data.rindex(b"\x01\x00\x00\r", 0, place) - 16  # the expression's length stands before it
    bomb = pickle.dumps(_Bomb(tmp_path / "ran"))
    inside = data[: place - 1] + b"\1" + name + struct.pack("<Q", len(bomb)) + bomb + b"\1"
    inside += data[place + len(name) :]
    before = struct.unpack_from("!QQ", data, size_at)
    grown = len(inside) - len(data)
    patched = bytearray(inside)
    struct.pack_into("!QQ", patched, size_at, before[0], before[1] + grown)
    with pytest.raises(JobRefused, match="QPY data cannot be read"):
        aer.prepare("sampler", body([[typed(bytes(patched)), POINTS, 3]]))
    assert not (tmp_path / "ran").exists()


def test_what_qiskits_reader_says_of_a_damaged_file_is_one_plain_line(aer: DeviceHost) -> None:
    """Its native part draws a backtrace. Qiskit writes such a file for an integer of more than 255 bytes."""
    circuit = QuantumCircuit(1, 1)
    large = expr.Value(1 << 100_000, types.Uint(100_001))
    with circuit.if_test(expr.equal(large, large)):
        circuit.x(0)
    with pytest.raises(JobRefused) as caught:
        aer.prepare("sampler", body([[circuit, None, 1]]))
    message = caught.value.message
    assert message.startswith("pubs[0]: the circuit: the QPY data cannot be read: binary parsing error")
    assert message.isascii()
    assert message.isprintable()
    assert len(message) < 400


def file_of(*circuits: QuantumCircuit, version: int = qpy.QPY_VERSION) -> bytes:
    file = io.BytesIO()
    qpy.dump(list(circuits), file, version=version)
    return file.getvalue()


@pytest.mark.parametrize("version", range(16, qpy.QPY_VERSION + 1))
@pytest.mark.parametrize("count", [1, 2, 5])
def test_a_file_of_several_circuits_is_taken_apart_unread(version: int, count: int) -> None:
    circuits = [QuantumCircuit(index + 1, name=f"c{index}") for index in range(count)]
    for circuit in circuits:
        circuit.rx(Parameter("t"), 0)
    parts = codec_qpy.split(file_of(*circuits, version=version), "it")
    assert [load_circuit(part, "it") for part in parts] == circuits
    assert parts == codec_qpy.split(file_of(*circuits, version=version), "it")


@pytest.mark.parametrize(
    ("at", "value", "word"),
    [
        (10, struct.pack("!Q", 0), "claim 0 circuits"),
        (10, struct.pack("!Q", 2**40), "cut off"),
        (20, struct.pack("!Q", 7), "one behind the other"),
        (28, struct.pack("!Q", 2**50), "one behind the other"),
        (6, b"\x0f", "version 15 cannot be read"),
        (0, b"PICKLE", "not QPY"),
    ],
)
def test_a_file_that_lies_about_its_circuits_is_refused(at: int, value: bytes, word: str) -> None:
    content = bytearray(file_of(QuantumCircuit(1), QuantumCircuit(2)))
    content[at : at + len(value)] = value
    with pytest.raises(JobRefused, match=word):
        codec_qpy.split(bytes(content), "it")


def test_every_circuit_of_a_file_has_the_limits_of_one() -> None:
    content = bytearray(file_of(QuantumCircuit(1), QuantumCircuit(1)))
    second = struct.unpack_from("!Q", content, 28)[0]
    assert struct.unpack_from("!I", content, second + 5)[0] == 1
    struct.pack_into("!I", content, second + 5, 2**31)
    one, two = codec_qpy.split(bytes(content), "it")
    assert load_circuit(one, "it").num_qubits == 1
    with pytest.raises(JobRefused, match="claims 2147483648 qubits"):
        load_circuit(two, "it")
