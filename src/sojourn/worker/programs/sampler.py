"""The program `sampler` (V2): bits per shot, per register, per point. Does not know how devices work."""

from __future__ import annotations

from dataclasses import dataclass

import msgspec
import numpy as np
from numpy.typing import NDArray

from sojourn.devices.bits import num_bytes, take_bits
from sojourn.devices.driver import Outcome
from sojourn.worker.codec import decode, encode
from sojourn.worker.programs.base import Plan, Window, Work
from sojourn.worker.programs.device import Circuit, DeviceContext
from sojourn.worker.programs.fields import Fields, Register, encoded_size
from sojourn.worker.programs.options import DEFAULT_SHOTS, SHARED, Option, Options, exactly
from sojourn.worker.programs.pubs import INPUTS, Payload, PubProgram, whole_shots
from sojourn.worker.programs.tally import Tally
from sojourn.worker.protocol.types import JobRefused, Prepared


@dataclass(frozen=True, slots=True)
class SamplerPub:
    """One pub: `shape` of its parameter values, and what of the bits goes where."""

    circuit: Circuit
    shape: tuple[int, ...]
    shots: int
    fields: Fields
    metadata: msgspec.Raw


class SamplerPlan(Plan):
    """A checked sampler job."""

    def __init__(
        self, pubs: list[SamplerPub], prepared: Prepared, work: list[Work], seed: int | None
    ) -> None:
        super().__init__(prepared, work, seed, memory=True)
        self._pubs = pubs

    def result(self, outcomes: list[list[Outcome]], window: Window) -> bytes:
        results = []
        shapes = []
        for pub, points in zip(self._pubs, outcomes, strict=True):
            fields = {
                register.name: (
                    "BitArray",
                    encode.bits(_register(points, pub, register), len(register.bits)),
                )
                for register in pub.fields.registers
            }
            data = encode.data_bin(pub.shape, fields)
            metadata = {"shots": pub.shots, "circuit_metadata": pub.metadata}
            results.append(encode.pub_result("SamplerPubResult", data, metadata))
            shapes.append((*pub.shape, pub.shots))
        spans = encode.execution_spans(window.start, window.stop, shapes)
        metadata = {"execution": {"execution_spans": spans}, "version": 2}
        return encode.primitive_result(results, metadata)


class Sampler(PubProgram):
    """`SamplerV2` of the client."""

    name = "sampler"
    parts = ("circuit", "values", "shots")
    least = 1
    inputs = INPUTS
    options = Options(
        name,
        *SHARED,
        Option("execution.meas_type", "fixed", '"classified"', exactly("classified")),
    )

    def plan_pubs(self, device: DeviceContext, payload: Payload) -> SamplerPlan:
        """Check a sampler job. Raises `JobRefused`."""
        pubs: list[SamplerPub] = []
        work: list[Work] = []
        settings = payload.settings
        tally = Tally(device, settings)
        for index, parts in enumerate(payload.pubs):
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
                else payload.shots or settings.default_shots or DEFAULT_SHOTS
            )
            if shots > device.max_shots:
                raise JobRefused(
                    f"{where} asks for {shots} shots; the limit of {device.name} is {device.max_shots} per "
                    "circuit"
                )
            if not fields.registers:
                tally.warnings.append(
                    f"{where}: the circuit has no classical register, so its result is empty"
                )
            elif not circuit.checked.measured:
                tally.warnings.append(f"{where}: the circuit has no measurement, so every bit is 0")
            if fields.loose and fields.registers:
                tally.warnings.append(
                    f"{where}: {fields.loose} classical bits belong to no register; the result is without "
                    "them"
                )
            metadata = device.metadata(circuit, where, payload.budget)
            tally.result(fields.size + len(bytes(metadata)))
            for register in fields.registers:
                tally.result(encoded_size(len(points) * shots * num_bytes(len(register.bits))))
            tally.add(circuit, points, shots)
            tally.limit()
            work.append(_work(circuit, points, shots, where))
            tally.memory(work[-1], circuit.circuit.num_qubits, in_order=True)
            if circuit.checked.dynamic:
                work[-1].task(
                    device
                )  # what the device cannot do inside control flow is better said before it runs
            pubs.append(SamplerPub(circuit, shape, shots, fields, metadata))
        prepared = tally.prepared(num_qubits=max(pub.circuit.circuit.num_qubits for pub in pubs))
        return SamplerPlan(pubs, prepared, work, settings.seed)


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


SAMPLER = Sampler()
