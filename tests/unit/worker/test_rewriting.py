"""A job's circuits are found unread, and rewritten in an earlier QPY version; nothing else of it changes."""

from __future__ import annotations

import base64
import json
import zlib
from typing import Any

import numpy as np
import pytest
from qiskit import qpy
from qiskit.circuit import Parameter, QuantumCircuit
from qiskit_ibm_runtime import RuntimeEncoder

from sojourn.worker.codec.qpy import load_circuit
from sojourn.worker.protocol.circuits import circuits, newest
from sojourn.worker.protocol.types import JobRefused
from sojourn.worker.rewriting import rewritten

CLIENTS = 17  # what the client of these tests writes


def swept(name: str) -> QuantumCircuit:
    circuit = QuantumCircuit(2, 2, name=name, metadata={"made": "by hand"})
    circuit.rx(2 * Parameter("t"), 0)
    circuit.cx(0, 1)
    circuit.measure([0, 1], [0, 1])
    return circuit


def params(*made: QuantumCircuit, **more: Any) -> bytes:
    pubs = [(circuit, np.array([0.1]), 10) for circuit in made]
    return json.dumps({"pubs": pubs, "version": 2, **more}, cls=RuntimeEncoder).encode()


def content(body: bytes, number: int) -> bytes:
    place = list(circuits(body))[number]
    return zlib.decompress(base64.b64decode(body[place.start : place.stop]))


def test_the_circuits_of_a_job_are_found_with_their_versions() -> None:
    body = params(swept("a"), swept("b"))
    assert [place.version for place in circuits(body)] == [CLIENTS, CLIENTS]
    assert newest(body) == CLIENTS
    assert newest(b'{"pubs": [["OPENQASM 3.0;"]]}') == 0
    assert newest(b"") == 0


@pytest.mark.parametrize("text", ["", "QUJD" * 20, base64.b64encode(zlib.compress(b"x" * 99)).decode()])
def test_what_is_no_circuit_is_not_found(text: str) -> None:
    body = json.dumps({"__type__": "QuantumCircuit", "__value__": text}).encode()
    assert list(circuits(body)) == []


@pytest.mark.parametrize("version", range(qpy.QPY_COMPATIBILITY_VERSION, CLIENTS))
def test_a_rewritten_circuit_is_the_same_in_the_version_that_is_wanted(version: int) -> None:
    sent = [swept("a"), swept("b")]
    body = params(*sent, options={"a text": 'with "quotes"', "number": 0.1})
    made = rewritten(body, version)
    assert newest(made) == version
    assert [load_circuit(content(made, n), "it") for n in (0, 1)] == sent
    assert load_circuit(content(made, 0), "it").name == "a"
    plain, before = json.loads(made), json.loads(body)
    for pubs in (plain["pubs"], before["pubs"]):
        for pub in pubs:
            pub[0] = None
    assert plain == before


def test_params_that_can_be_read_are_left_as_they_are() -> None:
    body = params(swept("a"))
    assert rewritten(body, CLIENTS) == body


def test_what_an_earlier_version_has_no_form_for_is_refused_with_the_circuit() -> None:
    from qiskit.circuit.classical import expr

    circuit = QuantumCircuit(1, 1)
    circuit.delay(circuit.add_stretch("s"), 0)
    circuit.store(circuit.clbits[0], expr.lift(True))
    with pytest.raises(JobRefused, match=r"circuit 2 of the job cannot be written as QPY 13: "):
        rewritten(params(swept("a"), circuit), 13)


def test_a_version_that_is_written_no_more_is_refused_with_both() -> None:
    oldest = qpy.QPY_COMPATIBILITY_VERSION
    with pytest.raises(JobRefused, match=f"writes QPY {oldest} and later, and not {oldest - 1}"):
        rewritten(params(swept("a")), oldest - 1)
