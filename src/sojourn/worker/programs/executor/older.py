"""Reads the quantum programs of schemas v0.1 and v0.2, in which each item has its own circuit, into the
members of v2.0. The members are those of the package `ibm-quantum-schemas`; a test compares them."""

from __future__ import annotations

from typing import Literal

import msgspec

from sojourn.worker.codec import decode
from sojourn.worker.codec.decode import Budget
from sojourn.worker.programs.executor import schema
from sojourn.worker.programs.executor.forms import Form
from sojourn.worker.programs.executor.schema import SamplexText, Strict, Tensor
from sojourn.worker.protocol.types import JobRefused


class OwnCircuit(Strict, frozen=True):
    """base64 of a QPY file with one circuit."""

    circuit_b64: str
    qpy_version: int


class CircuitItem(Strict, frozen=True, tag_field="item_type", tag="circuit"):
    """A circuit at the points `circuit_arguments`."""

    circuit: OwnCircuit
    circuit_arguments: Tensor
    chunk_size: int | Literal["auto"] = "auto"


class SamplexItem(Strict, frozen=True, tag_field="item_type", tag="samplex"):
    """A template circuit with its samplex."""

    circuit: OwnCircuit
    samplex: SamplexText
    samplex_arguments: dict[str, msgspec.Raw]
    shape: list[int]
    chunk_size: int | Literal["auto"] = "auto"


class BareProgram(Strict, frozen=True):
    """A quantum program of v0.1."""

    shots: int
    items: list[CircuitItem | SamplexItem]


class Program(BareProgram, frozen=True):
    """A quantum program of v0.2."""

    meas_level: str = "classified"
    passthrough_data: msgspec.Raw = msgspec.Raw(b"null")


_BARE = msgspec.json.Decoder(BareProgram)
_PROGRAM = msgspec.json.Decoder(Program)


def read_program(text: msgspec.Raw, form: Form) -> tuple[schema.QuantumProgram, list[OwnCircuit]]:
    """The program as v2.0 has it, without its circuits, and these. Raises `JobRefused`."""
    where = "params.quantum_program"
    given: BareProgram
    if form.bare:
        given = schema.read(_BARE, text, where, form.version)
    else:
        given = schema.read(_PROGRAM, text, where, form.version)
    program = schema.QuantumProgram(
        shots=given.shots,
        circuits=msgspec.Raw(b"null"),
        items=[
            schema.SamplexItem(item.samplex, item.samplex_arguments, item.shape, item.chunk_size)
            if isinstance(item, SamplexItem)
            else schema.CircuitItem(item.circuit_arguments, [], item.chunk_size)
            for item in given.items
        ],
        meas_level=given.meas_level if isinstance(given, Program) else "classified",
        passthrough_data=given.passthrough_data if isinstance(given, Program) else msgspec.Raw(b"null"),
    )
    return schema.checked(program), [item.circuit for item in given.items]


def files(circuits: list[OwnCircuit], budget: Budget) -> list[bytes]:
    """Each circuit as a QPY file. Raises `JobRefused`."""
    found = []
    for index, circuit in enumerate(circuits):
        where = f"items[{index}].circuit"
        content = decode.plain(circuit.circuit_b64, f"{where}.circuit_b64", budget)
        if len(content) < 7 or content[6] != circuit.qpy_version:
            raise JobRefused(
                f"{where}.qpy_version is {circuit.qpy_version}; its data are not of that version"
            )
        found.append(content)
    return found
