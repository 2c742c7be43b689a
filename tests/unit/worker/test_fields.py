"""What the client could not read in a result is refused at submit; everything else comes back as it was.

The kind: jobs that run, are charged, and whose result() then raises or lacks something. Names of registers,
registers without bits, metadata of circuits, results that are too large to be sent.
"""

from __future__ import annotations

import copy
import keyword
import math
import pickle
import unicodedata
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from qiskit.circuit import ClassicalRegister, Clbit, Parameter, QuantumCircuit, QuantumRegister
from qiskit.primitives.containers import DataBin

from sojourn.worker.codec import decode, encode
from sojourn.worker.host import DeviceHost
from sojourn.worker.programs.fields import MAX_METADATA, MAX_REGISTERS, encoded_size, fields_of, metadata_of
from sojourn.worker.programs.tally import MAX_WARNINGS
from sojourn.worker.protocol.types import JobRefused
from tests.unit.worker.conftest import body, result


def with_register(name: str, bits: int = 1) -> QuantumCircuit:
    made = QuantumCircuit(QuantumRegister(2, "q"), ClassicalRegister(bits, name))
    made.x(1)
    if bits:
        made.measure(1, 0)
    return made


def refusal(host: DeviceHost, circuit: QuantumCircuit, program: str = "sampler") -> str:
    pub = [circuit, None, 5] if program == "sampler" else [circuit, {"ZZ": 1.0}, None, 0.5]
    with pytest.raises(JobRefused) as caught:
        host.prepare(program, body([pub]))
    return caught.value.message


MEMBERS = sorted({*dir(DataBin), *DataBin._RESTRICTED_NAMES})
SPECIAL = [
    "self",
    "__deepcopy__",
    "__getnewargs_ex__",
    "__setstate__",
    "__debug__",
    "match",
    "_",
    "cls",
    "data",
]


@pytest.mark.parametrize("name", [*MEMBERS, *SPECIAL, *keyword.kwlist, *keyword.softkwlist])
def test_a_register_is_read_back_or_refused_by_its_name(aer: DeviceHost, name: str) -> None:
    params = body([[with_register(name), None, 5]])
    refused = ""
    try:
        aer.prepare("sampler", params)
    except JobRefused as error:
        refused = error.message
    if refused:
        assert f"pubs[0]: the classical register {name!r} cannot be a field of the result" in refused
        assert name in MEMBERS or name in SPECIAL or keyword.iskeyword(name)
        return
    data = result(aer, "sampler", params)[0].data
    assert data[name].get_counts() == {"1": 5}
    assert getattr(data, name) is data[name]


@pytest.mark.parametrize("name", ["c", "meas", "é", "μ", "match", "type", "alpha_0", "x" * 3000])
def test_ordinary_names_run(aer: DeviceHost, name: str) -> None:
    assert result(aer, "sampler", body([[with_register(name), None, 5]]))[0].data[name].num_shots == 5


@pytest.mark.parametrize("name", ["two words", "a.b", "a#b", "a\n", "1a", "", "x²", "a[0]", "a-b", "(a)"])
def test_what_is_no_name_is_refused(aer: DeviceHost, name: str) -> None:
    assert "must be an identifier of Python" in refusal(aer, with_register(name))


@pytest.mark.parametrize(("name", "read"), [("ﬁ", "fi"), ("µ", "μ"), ("ſize", "size"), ("ｃ", "c")])
def test_a_name_that_python_reads_as_another_is_refused_with_that_one(
    aer: DeviceHost, name: str, read: str
) -> None:
    """Source is read in the compatible form of Unicode: data.µ would look for another field."""
    assert f"Python reads data.{name} as data.{read}" in refusal(aer, with_register(name))


@given(
    st.text(min_size=1, max_size=6)
    | st.sampled_from([f"__{word}__" for word in ("a", "copy", "hash", "iter")])
)
@example("ªb")
@settings(max_examples=200, deadline=None)
def test_every_accepted_name_can_be_read_copied_and_pickled(name: str) -> None:
    made = QuantumCircuit(ClassicalRegister(1, name))
    try:
        fields = fields_of(made, "here")
    except JobRefused:
        return
    assert [register.name for register in fields.registers] == [name]
    assert unicodedata.normalize("NFKC", name) == name
    data = DataBin(**{name: np.zeros(1)})
    for one in (data, copy.deepcopy(data), pickle.loads(pickle.dumps(data))):
        assert eval(f"one.{name}") is one[name]


def test_a_register_without_bits_is_refused(aer: DeviceHost) -> None:
    assert "'empty' cannot be a field of the result" in refusal(aer, with_register("empty", 0))
    assert "it has no bits" in refusal(aer, with_register("empty", 0))


def test_registers_of_an_estimator_are_no_fields(aer: DeviceHost) -> None:
    for made in (with_register("shape"), with_register("two words"), with_register("empty", 0)):
        pub = result(aer, "estimator", body([[made, {"ZI": 1.0}, None, 0.5]]))[0]
        assert pub.data.evs == -1.0


def test_registers_that_share_bits_have_them_both(aer: DeviceHost) -> None:
    bits = [Clbit() for _ in range(4)]
    made = QuantumCircuit(QuantumRegister(2), bits)
    made.add_register(ClassicalRegister(bits=[bits[2], bits[0]], name="a"))
    made.add_register(ClassicalRegister(bits=bits[:3], name="b"))
    made.x(0)
    made.measure([0, 1], [0, 2])
    data = result(aer, "sampler", body([[made, None, 5]]))[0].data
    assert (data.a.get_counts(), data.b.get_counts()) == ({"10": 5}, {"001": 5})
    warnings = aer.prepare("sampler", body([[made, None, 5]])).warnings
    assert warnings == ("pubs[0]: 1 classical bits belong to no register; the result is without them",)


def test_more_registers_than_a_result_may_have(aer: DeviceHost) -> None:
    made = QuantumCircuit(1)
    bit = [Clbit()]
    made.add_bits(bit)
    for number in range(MAX_REGISTERS + 1):
        made.add_register(ClassicalRegister(bits=bit, name=f"r{number}"))
    assert f"the limit is {MAX_REGISTERS}" in refusal(aer, made)


@pytest.mark.parametrize("program", ["sampler", "estimator"])
@pytest.mark.parametrize(
    "metadata",
    [
        {"a": 1, "b": [1.5, None, True, {"c": "d"}]},
        {"large": 2**200, "negative": -(2**70)},
        {"nan": math.nan, "infinite": [math.inf, -math.inf]},
        {"complex": 1 + 2j, "array": np.arange(6.0).reshape(2, 3), "set": {1, 2}},
        {"text": "ψ\u2028\x00\ud83d", "": 0},
        {},
    ],
)
def test_metadata_come_back_as_they_were(aer: DeviceHost, program: str, metadata: dict[str, Any]) -> None:
    made = QuantumCircuit(1, 1, metadata=metadata)
    pub = [made, None, 5] if program == "sampler" else [made, {"Z": 1.0}, None, 0.5]
    found = result(aer, program, body([pub]))[0].metadata["circuit_metadata"]
    assert repr(found) == repr(metadata)


def nested(depth: int) -> dict[str, Any]:
    return {"a": nested(depth - 1)} if depth else {}


@pytest.mark.parametrize(
    ("metadata", "words"),
    [
        (
            {"x": [{"__type__": "settings", "__module__": "a", "__class__": "b", "__value__": {}}]},
            "'settings'",
        ),
        ({"__type__": "QuantumCircuit", "__value__": "AAAA"}, "'QuantumCircuit'"),
        ({"__type__": "ndarray", "__value__": "AAAA"}, "base64 of zlib"),
        ({"__type__": "complex", "__value__": ["1", 2]}, "'complex'"),
        ({"__type__": "datetime", "__value__": "today"}, "today"),
        ({"__type__": "set", "__value__": [[1]]}, "'set'"),
        ({"__type__": "complex"}, "'complex'"),
        ({"__type__": ["x"], "__value__": 1}, "['x']"),
        (nested(100), "nested more than"),
        ({"a": "x" * (MAX_METADATA + 1)}, f"the limit is {MAX_METADATA}"),
    ],
)
@pytest.mark.parametrize("program", ["sampler", "estimator"])
def test_metadata_that_the_client_could_not_decode_are_refused(
    aer: DeviceHost, program: str, metadata: dict[str, Any], words: str
) -> None:
    """Its decoder builds whatever an object in the text says that it is."""
    message = refusal(aer, QuantumCircuit(2, 1, metadata=metadata), program)
    assert "circuit.metadata" in message
    assert words in message


def test_arrays_in_metadata_count_against_what_a_job_may_inflate_to() -> None:
    """As all of its arrays do, in circuits, values and metadata of every pub together."""
    array = encode.array(np.zeros(1000))
    budget = decode.Budget(20_000)
    assert metadata_of({"a": array}, "pubs[0]", budget)
    assert budget.left < 12_000
    with pytest.raises(JobRefused, match="inflate to more than"):
        metadata_of({"a": [array, array]}, "pubs[1]", budget)


def test_a_result_that_cannot_be_sent_is_refused_by_its_size_on_the_wire(aer: DeviceHost) -> None:
    made = QuantumCircuit(1, 80)
    made.rz(Parameter("t"), 0)
    made.measure(0, 0)
    with pytest.raises(JobRefused, match=r"more than 255 MB .* \(up to 267 MB\), which is the limit"):
        aer.prepare("sampler", body([[made, np.zeros((21, 1)), 1_000_000]]))
    aer.prepare("sampler", body([[made, np.zeros((19, 1)), 1_000_000]]))


def test_the_size_of_a_result_counts_metadata_of_every_pub(aer: DeviceHost) -> None:
    made = QuantumCircuit(1, 1, metadata={"a": "x" * 1_000_000})
    made.measure(0, 0)
    with pytest.raises(JobRefused, match="result would be more than"):
        aer.prepare("sampler", body([[made, None, 1]] * 300))


@given(st.binary(max_size=3000))
@settings(max_examples=50, deadline=None)
def test_no_array_is_longer_on_the_wire_than_was_counted(data: bytes) -> None:
    from sojourn.worker.codec.encode import array

    text = array(np.frombuffer(data, dtype=np.uint8))["__value__"]
    assert len(text) <= encoded_size(len(data))


def test_warnings_are_few_however_many_pubs_there_are(aer: DeviceHost) -> None:
    made = QuantumCircuit(1, 1)
    found = aer.prepare("sampler", body([[made, None, 1]] * 50)).warnings
    assert len(found) == MAX_WARNINGS + 1
    assert found[-1] == f"{50 - MAX_WARNINGS} more warnings of this kind"
