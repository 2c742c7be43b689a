"""The program `sampler` (V2): bits or signals per shot, register and point. Knows nothing of devices."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from sojourn.devices.bits import num_bytes, take_bits
from sojourn.devices.conditions import LEVELS, Conditions
from sojourn.devices.driver import Outcome
from sojourn.worker.codec import decode, encode
from sojourn.worker.programs.base import Plan, Window, Work
from sojourn.worker.programs.conditions import (
    DOCUMENTED,
    SIGNAL_BYTES,
    SIGNAL_LEVELS,
    Restriction,
    compilation,
    conditions_of,
    point_size,
    restriction_of,
)
from sojourn.worker.programs.device import Circuit, DeviceContext
from sojourn.worker.programs.fields import Fields, Register, encoded_size
from sojourn.worker.programs.mitigated.asked import Asked, compatible, of_sampler, unavailable
from sojourn.worker.programs.options import DEFAULT_SHOTS, SHARED, Option, Options, exactly
from sojourn.worker.programs.pubs import INPUTS, Payload, PubProgram, whole_shots
from sojourn.worker.programs.tally import Tally
from sojourn.worker.programs.v1.sampler import SAMPLER as V1_SAMPLER
from sojourn.worker.protocol.types import JobRefused, Prepared

_LEVELS = tuple(level for level in LEVELS if level != "both")  # the executor alone has that one
_ALLOWED = ", ".join(f'"{level}"' for level in _LEVELS)


@dataclass(frozen=True, slots=True)
class SamplerPub:
    """One pub: `shape` of its parameter values, and what of the bits goes where."""

    circuit: Circuit
    shape: tuple[int, ...]
    shots: int
    fields: Fields
    metadata: Mapping[str, Any]


class SamplerPlan(Plan):
    """A checked sampler job."""

    def __init__(
        self,
        pubs: list[SamplerPub],
        prepared: Prepared,
        work: list[Work],
        seed: int | None,
        conditions: Conditions,
    ) -> None:
        super().__init__(prepared, work, seed, memory=True, conditions=conditions)
        self._pubs = pubs

    def result(self, outcomes: list[list[Outcome]], window: Window) -> bytes:
        results = []
        shapes = []
        for pub, points in zip(self._pubs, outcomes, strict=True):
            fields = {register.name: self._field(points, pub, register) for register in pub.fields.registers}
            data = encode.data_bin(pub.shape, fields)
            results.append(encode.pub_result("SamplerPubResult", data, pub.metadata))
            shapes.append((*pub.shape, pub.shots))
        spans = encode.execution_spans(window.start, window.stop, shapes)
        metadata = {"execution": {"execution_spans": spans}, "version": 2}
        return encode.primitive_result(results, metadata)

    def _field(self, points: list[Outcome], pub: SamplerPub, register: Register) -> tuple[str, Any]:
        """The type and the content of a register's field."""
        if self.conditions.level in SIGNAL_LEVELS:
            return "numpy.ndarray", encode.array(_signal(points, pub, register))
        return "BitArray", encode.bits(_register(points, pub, register), len(register.bits))


class Sampler(PubProgram):
    """`SamplerV2` of the client."""

    name = "sampler"
    parts = ("circuit", "values", "shots")
    least = 1
    inputs = INPUTS
    earlier = V1_SAMPLER
    options = Options(
        name,
        *SHARED,
        Option("execution.meas_type", "honoured", _ALLOWED, exactly(*_LEVELS)),
        *DOCUMENTED,
    )

    def plan_pubs(self, device: DeviceContext, payload: Payload) -> Plan:
        """Check a sampler job. Raises `JobRefused`."""
        asked = of_sampler(payload.settings.given)
        settings = payload.settings
        conditions = conditions_of(device, settings, payload.budget)
        running = device.under(conditions)
        restriction = restriction_of(settings)
        tally = Tally(running, settings)
        read = (_read(device, payload, index, parts, tally) for index, parts in enumerate(payload.pubs))
        if asked.anything:
            compatible(asked, conditions)
            return _twirled(running, payload, asked, read, restriction, tally)
        pubs: list[SamplerPub] = []
        work: list[Work] = []
        for pub in read:
            circuit, where, points, shots = pub.circuit, pub.where, pub.points, pub.shots
            restriction.check(circuit.circuit, where)
            tally.result(pub.fields.size + len(bytes(pub.metadata)))
            told = compilation(device, circuit, settings, where)
            tally.result(told.size)
            for register in pub.fields.registers:
                size = point_size(len(register.bits), shots, conditions)
                tally.result(encoded_size(len(points) * size))
            if conditions.level == "kerneled":
                tally.hold(len(points) * shots * circuit.circuit.num_clbits * SIGNAL_BYTES)
            tally.add(circuit, points, shots)
            tally.limit()
            work.append(_work(circuit, points, shots, where))
            tally.memory(work[-1], circuit, in_order=True)
            if circuit.checked.dynamic or conditions.carried:
                work[-1].task(running)  # what cannot be done in control flow is better said before it runs
            whole = {"shots": shots, "circuit_metadata": pub.metadata, **told.told()}
            pubs.append(SamplerPub(circuit, pub.shape, shots, pub.fields, whole))
        prepared = tally.prepared(num_qubits=max(pub.circuit.circuit.num_qubits for pub in pubs))
        return SamplerPlan(pubs, prepared, work, settings.seed, conditions)


@dataclass(frozen=True, slots=True)
class _Read:
    """A pub as it was read. `stated`: the shots come from the pub or the run, and not from an option."""

    where: str
    circuit: Circuit
    shape: tuple[int, ...]
    points: NDArray[np.float64]
    shots: int
    stated: bool
    fields: Fields
    metadata: msgspec.Raw


def _read(
    device: DeviceContext, payload: Payload, index: int, parts: Sequence[msgspec.Raw], tally: Tally
) -> _Read:
    where = f"pubs[{index}]"
    circuit = device.circuit(parts[0], f"{where}: the circuit", payload.budget)
    fields = device.fields(circuit, where)
    tally.warnings.extend(f"{where}: {warning}" for warning in circuit.timing.warnings)
    values = parts[1] if len(parts) > 1 else None
    shape, points = device.points(circuit, values, f"{where}: the parameter values", payload.budget)
    own = decode.read_any(parts[2], f"{where}: shots") if len(parts) > 2 else None
    shots = (
        whole_shots(own, f"{where}: shots")
        if own is not None
        else payload.shots or payload.settings.default_shots or DEFAULT_SHOTS
    )
    if shots > device.max_shots:
        raise JobRefused(
            f"{where} asks for {shots} shots; the limit of {device.name} is {device.max_shots} per circuit"
        )
    if not fields.registers:
        tally.warnings.append(f"{where}: the circuit has no classical register, so its result is empty")
    elif not circuit.checked.measured:
        tally.warnings.append(f"{where}: the circuit has no measurement, so every bit is 0")
    if fields.loose and fields.registers:
        tally.warnings.append(
            f"{where}: {fields.loose} classical bits belong to no register; the result is without them"
        )
    metadata = device.metadata(circuit, where, payload.budget)
    stated = own is not None or payload.shots is not None
    return _Read(where, circuit, shape, points, shots, stated, fields, metadata)


def _twirled(
    device: DeviceContext,
    payload: Payload,
    asked: Asked,
    read: Iterator[_Read],
    restriction: Restriction,
    tally: Tally,
) -> Plan:
    # loaded by the first job that asks for it: few do, and the packages behind it are large
    try:
        from sojourn.worker.programs.mitigated import sampler as twirled
    except ImportError as missing:
        raise unavailable(missing) from missing

    pubs = []
    for pub in read:
        restriction.check(pub.circuit.circuit, pub.where)
        values = pub.points.reshape(*pub.shape, pub.circuit.num_parameters)
        shots = asked.twirling.settled(pub.shots, pub.stated, pub.where)
        pubs.append(twirled.Pub(pub.where, pub.circuit, values, shots, pub.fields, pub.metadata))
    return twirled.plan(device, pubs, asked, payload.settings, restriction, tally)


def _work(circuit: Circuit, points: NDArray[np.float64], shots: int, where: str) -> Work:
    return Work((circuit.key, "sampler"), lambda: circuit.circuit, points, shots, where)


def _register(points: list[Outcome], pub: SamplerPub, register: Register) -> NDArray[np.uint8]:
    """(*shape, shots, bytes) of one register."""
    width = num_bytes(len(register.bits))
    bits = pub.circuit.circuit.num_clbits
    made = np.empty((len(points), pub.shots, width), dtype=np.uint8)
    for index, outcome in enumerate(points):
        patterns = take_bits(outcome.patterns, bits, register.bits)
        assert outcome.order is not None
        np.take(patterns, outcome.order, axis=0, out=made[index])
    return made.reshape(*pub.shape, pub.shots, width)


def _signal(points: list[Outcome], pub: SamplerPub, register: Register) -> NDArray[np.complex64]:
    """(*shape, shots, bits) of one register, or averaged (*shape, bits)."""
    bits = list(register.bits)
    found = []
    for outcome in points:
        assert outcome.signal is not None
        found.append(outcome.signal[..., bits])
    made: NDArray[np.complex64] = np.stack(found)
    return made.reshape(*pub.shape, *made.shape[1:])


SAMPLER = Sampler()
