"""Sampler jobs that ask for twirling or dynamical decoupling: from pubs to a plan, and to a result."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray
from qiskit.circuit import QuantumCircuit
from qiskit.primitives.containers.bindings_array import BindingsArray
from qiskit.primitives.containers.sampler_pub import SamplerPub

from sojourn.devices.bits import num_bytes
from sojourn.devices.driver import Outcome, Task
from sojourn.worker.codec import encode
from sojourn.worker.programs.base import Plan, Window
from sojourn.worker.programs.device import Circuit, DeviceContext
from sojourn.worker.programs.executor.program import Item
from sojourn.worker.programs.fields import Fields, encoded_size
from sojourn.worker.programs.mitigated import client, words
from sojourn.worker.programs.mitigated.asked import Asked
from sojourn.worker.programs.mitigated.build import Binding, Built, built
from sojourn.worker.programs.mitigated.narrow import Narrow, cut_target, has_durations, narrow
from sojourn.worker.programs.mitigated.rotations import twirlable
from sojourn.worker.programs.mitigated.stage import Stage
from sojourn.worker.programs.options import Settings
from sojourn.worker.programs.tally import Tally
from sojourn.worker.protocol.types import JobRefused, Prepared


@dataclass(frozen=True, slots=True)
class Pub:
    """A checked sampler pub. `values` is (*shape, parameters)."""

    where: str
    circuit: Circuit
    values: NDArray[np.float64]
    shots: int
    fields: Fields
    metadata: msgspec.Raw

    @property
    def shape(self) -> tuple[int, ...]:
        return self.values.shape[:-1]


@dataclass(frozen=True, slots=True)
class _Group:
    """Pubs with equal shots: they share a program. `pubs` are their indices."""

    pubs: tuple[int, ...]
    built: Built


class TwirledSamplerPlan(Plan):
    """A checked sampler job."""

    def __init__(
        self,
        pubs: Sequence[Pub],
        groups: Sequence[_Group],
        stage: Stage,
        asked: Asked,
        prepared: Prepared,
    ) -> None:
        super().__init__(prepared, [], seed=None, memory=True)
        self._pubs = pubs
        self._groups = groups
        self._stage = stage
        self._asked = asked

    def tasks(self, device: DeviceContext) -> list[Task]:
        return self._stage.tasks(device)

    def execute(self, device: DeviceContext, tasks: Sequence[Task]) -> tuple[list[list[Outcome]], Window]:
        device.driver.begin_job()
        return self._stage.run(device, tasks)

    def result(self, outcomes: list[list[Outcome]], window: Window) -> bytes:
        arrays = self._stage.arrays(outcomes)
        texts: dict[int, dict[str, Any]] = {}
        slices: dict[str, Any] = {}
        place = 0
        for group in self._groups:
            own = arrays[place : place + len(group.pubs)]
            sizes = [next(iter(item.values())).shape for item in own]
            place += len(group.pubs)
            found = client.sampler_result(own, group.built.passthrough)
            for index, pub_result, shape in zip(group.pubs, found, sizes, strict=True):
                times = shape[0] if self._asked.twirling.on else None
                texts[index] = _pub_result(self._pubs[index], pub_result.data, times)
                slices[str(index)] = _slice(self._pubs[index], times, group.built.shots)
        kind = "TwirledSliceSpanV2" if self._asked.twirling.on else "DoubleSliceSpan"
        span = encode.typed(
            kind,
            {
                "start": encode.moment(window.start),
                "stop": encode.moment(window.stop),
                "data_slices": {index: slices[index] for index in sorted(slices, key=int)},
            },
        )
        metadata = {
            "execution": {"execution_spans": encode.typed("ExecutionSpans", {"spans": [span]})},
            **words.suppression(self._asked),
            "version": 2,
        }
        return encode.primitive_result([texts[index] for index in sorted(texts)], metadata)


def _pub_result(pub: Pub, data: Any, times: int | None) -> dict[str, Any]:
    """`times` is the number of randomisations; the shots beyond those that were asked for are left out."""
    fields = {}
    for register in pub.fields.registers:
        array = np.ascontiguousarray(data[register.name].array[..., : pub.shots, :])
        fields[register.name] = ("BitArray", encode.bits(array, len(register.bits)))
    metadata: dict[str, Any] = {"shots": pub.shots, "circuit_metadata": pub.metadata}
    if times is not None:
        metadata["num_randomizations"] = times
    return encode.pub_result("SamplerPubResult", encode.data_bin(pub.shape, fields), metadata)


def _slice(pub: Pub, times: int | None, shots: int) -> list[Any]:
    """Where the pub's data lie in the one span in which all were taken."""
    points = math.prod(pub.shape)
    if times is None:
        return [[*pub.shape, shots], 0, points, 0, shots]
    return [[times, *pub.shape, shots], True, 0, times * points, 0, shots, pub.shots]


def plan(
    device: DeviceContext,
    pubs: Sequence[Pub],
    asked: Asked,
    settings: Settings,
    tally: Tally,
) -> TwirledSamplerPlan:
    """The plan of sampler pubs. Raises `JobRefused`."""
    check_decoupling(device, asked)
    for pub in pubs:
        _check(pub, asked)
    by_shots: dict[int, list[int]] = {}
    for index, pub in enumerate(pubs):
        by_shots.setdefault(pub.shots, []).append(index)
    groups = []
    items: list[Item] = []
    shots: list[int] = []
    binding = Binding(device, tally)
    for each, indices in by_shots.items():
        own = [pubs[index] for index in indices]
        parts = tuple((pub.circuit.key, pub.circuit.circuit.num_qubits, pub.shape) for pub in own)
        options = msgspec.json.encode(words.without(settings.given, "simulator.seed_simulator"))
        made: Built = device.recall(("twirled", parts, each, options), _making(device, own, asked, each))
        groups.append(_Group(tuple(indices), made))
        for pub, template in zip(own, made.templates, strict=True):
            values = pub.values if pub.values.shape[-1] else None
            items.append(binding.bind(template, values, made.shots, pub.where))
            shots.append(made.shots)
    for pub in pubs:
        points = math.prod(pub.shape)
        tally.result(pub.fields.size + len(bytes(pub.metadata)) + 200)
        for register in pub.fields.registers:
            tally.result(encoded_size(points * pub.shots * num_bytes(len(register.bits))))
    tally.limit()
    prepared = tally.prepared(max(pub.circuit.circuit.num_qubits for pub in pubs))
    return TwirledSamplerPlan(pubs, groups, Stage(items, shots, prepared, settings.seed), asked, prepared)


def check_decoupling(device: DeviceContext, asked: Asked) -> None:
    """Refuse dynamical decoupling on a device that does not say how long its gates take."""
    if asked.decoupling is not None and not has_durations(device.target):
        raise JobRefused(
            f"options.dynamical_decoupling.enable = True: {device.name} has no durations of gates, so there "
            "is no idle time that could be filled; leave it out, or choose another device"
        )


def check_flow(circuit: Circuit, where: str) -> None:
    """Refuse control flow, which the package that twirls does not take."""
    if circuit.checked.dynamic:
        raise JobRefused(
            f"{where}: the circuit has control flow, with which options.twirling (and what switches it on: "
            "resilience_level, options.resilience) is not carried out here; leave these options out, or run "
            "the circuit in a job of its own"
        )


def _check(pub: Pub, asked: Asked) -> None:
    if asked.twirling.on:
        check_flow(pub.circuit, pub.where)
    if not pub.fields.registers:
        raise JobRefused(
            f"{pub.where}: the circuit has no classical register, so twirling or dynamical decoupling gives "
            "nothing; add a measurement"
        )
    if pub.shape and not pub.values.shape[-1]:
        raise JobRefused(
            f"{pub.where}: the circuit has no parameters, and values of the shape {[*pub.shape, 0]} came for "
            "it; with twirling or dynamical decoupling leave them out, and ask for more shots"
        )


def _making(
    device: DeviceContext, pubs: Sequence[Pub], asked: Asked, shots: int
) -> Callable[[], tuple[Built, int]]:
    """What makes the program of these pubs, for the cache."""

    def make() -> tuple[Built, int]:
        circuits = [pub.circuit.circuit for pub in pubs]
        width = max(circuit.num_qubits for circuit in circuits)
        place = everything(width) if asked.twirling.strategy == "all" else narrow(circuits, (), width)
        coerced = [
            SamplerPub(circuit, bindings(circuit, pub.shape))
            for pub, circuit in zip(pubs, _cut(place, circuits, asked), strict=True)
        ]
        target = cut_target(device.target, place.active)
        program = client.sampler_program(coerced, words.sampler_fields(asked), shots, target)
        found = built(device, program, place)
        return found, found.cost

    return make


def everything(width: int) -> Narrow:
    """All qubits: with the strategy "all" idle ones are twirled as well."""
    return Narrow(tuple(range(width)), width)


def _cut(place: Narrow, circuits: Sequence[QuantumCircuit], asked: Asked) -> list[QuantumCircuit]:
    cut = [place.cut(circuit) for circuit in circuits]
    return [twirlable(circuit) for circuit in cut] if asked.twirling.on else cut


def bindings(circuit: QuantumCircuit, shape: tuple[int, ...]) -> BindingsArray:
    """Values of no meaning, in the shape of the real ones."""
    if not circuit.num_parameters:
        return BindingsArray(shape=shape)
    return BindingsArray({tuple(circuit.parameters): np.zeros((*shape, circuit.num_parameters))}, shape)
