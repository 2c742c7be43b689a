"""Sampler jobs that ask for twirling or dynamical decoupling: from pubs to a plan, and to a result."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray
from qiskit.circuit import QuantumCircuit
from qiskit.primitives.containers.bindings_array import BindingsArray
from qiskit.primitives.containers.sampler_pub import SamplerPub

from sojourn.devices.conditions import Conditions
from sojourn.devices.driver import Outcome, Task
from sojourn.worker.codec import encode
from sojourn.worker.programs.base import Plan, Window
from sojourn.worker.programs.conditions import UNTOLD, Compilation, Restriction, compilation, point_size
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
    """A checked sampler job. `told` is what each pub wants to be told of its circuit."""

    def __init__(
        self,
        pubs: Sequence[Pub],
        groups: Sequence[_Group],
        stage: Stage,
        asked: Asked,
        told: Sequence[Compilation],
        prepared: Prepared,
        conditions: Conditions,
    ) -> None:
        super().__init__(prepared, [], seed=None, memory=True, conditions=conditions)
        self._pubs = pubs
        self._groups = groups
        self._stage = stage
        self._asked = asked
        self._told = told

    def tasks(self, device: DeviceContext) -> list[Task]:
        return self._stage.tasks(device)

    def execute(self, device: DeviceContext, tasks: Sequence[Task]) -> tuple[list[list[Outcome]], Window]:
        device.under(self.conditions).driver.begin_job()
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
                pub = self._pubs[index]
                if self.conditions.level == "avg_kerneled":  # the mean is over all shots that were run
                    pub = replace(pub, shots=group.built.shots * (times or 1))
                texts[index] = self._pub_result(pub, pub_result.data, times, self._told[index])
                slices[str(index)] = _slice(pub, times, group.built.shots)
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

    def _pub_result(self, pub: Pub, data: Any, times: int | None, told: Compilation) -> dict[str, Any]:
        """`times` is the number of randomisations; the shots beyond those that were asked for are left
        out."""
        fields = {}
        for register in pub.fields.registers:
            found = data[register.name]
            if self.conditions.level == "classified":
                bits = np.ascontiguousarray(found.array[..., : pub.shots, :])
                fields[register.name] = ("BitArray", encode.bits(bits, len(register.bits)))
                continue
            signals = found[..., : pub.shots, :] if self.conditions.level == "kerneled" else found
            fields[register.name] = ("numpy.ndarray", encode.array(signals))
        metadata: dict[str, Any] = {
            "shots": pub.shots,
            "circuit_metadata": pub.metadata,
            **told.told(),
        }
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
    restriction: Restriction,
    tally: Tally,
) -> TwirledSamplerPlan:
    """The plan of sampler pubs, on the `device` under the conditions of the job. Raises `JobRefused`."""
    check_decoupling(device, asked)
    for pub in pubs:
        _check(pub, asked)
    by_shots: dict[int, list[int]] = {}
    for index, pub in enumerate(pubs):
        by_shots.setdefault(pub.shots, []).append(index)
    groups = []
    items: list[Item] = []
    shots: list[int] = []
    told = [UNTOLD] * len(pubs)
    binding = Binding(device, tally, restriction)
    for each, indices in by_shots.items():
        own = [pubs[index] for index in indices]
        parts = tuple((pub.circuit.key, pub.circuit.circuit.num_qubits, pub.shape) for pub in own)
        options = msgspec.json.encode(words.without(settings.given, "simulator.seed_simulator"))
        made: Built = device.recall(("twirled", parts, each, options), _making(device, own, asked, each))
        groups.append(_Group(tuple(indices), made))
        for index, template in zip(indices, made.templates, strict=True):
            pub = pubs[index]
            values = pub.values if pub.values.shape[-1] else None
            items.append(binding.bind(template, values, made.shots, pub.where))
            shots.append(made.shots)
            told[index] = compilation(device, pub.circuit, settings, pub.where, template.circuit)
    for pub, each_told in zip(pubs, told, strict=True):
        points = math.prod(pub.shape)
        tally.result(pub.fields.size + len(bytes(pub.metadata)) + 200 + each_told.size)
        for register in pub.fields.registers:
            size = point_size(len(register.bits), pub.shots, device.conditions)
            tally.result(encoded_size(points * size))
    tally.limit()
    prepared = tally.prepared(max(pub.circuit.circuit.num_qubits for pub in pubs))
    stage = Stage(items, shots, prepared, settings.seed, device.conditions)
    return TwirledSamplerPlan(pubs, groups, stage, asked, told, prepared, device.conditions)


def check_decoupling(device: DeviceContext, asked: Asked) -> None:
    """Refuse dynamical decoupling on a device that does not say how long its gates take."""
    if asked.decoupling is not None and not has_durations(device.target):
        raise JobRefused(
            f"options.dynamical_decoupling.enable = True: {device.name} has no durations of gates, so there "
            "is no idle time that could be filled; leave it out, or choose another device"
        )


def check_flow(circuit: Circuit, where: str) -> None:
    """Refuse control flow, which what finds the layers of a circuit does not take."""
    if circuit.checked.dynamic:
        raise JobRefused(
            f"{where}: the circuit has control flow, with which options.twirling (and what switches it on: "
            "resilience_level, options.resilience) is not carried out: the passes of samplomatic that find "
            "the layers of a circuit take gates, measurements and resets. Leave these options out, run the "
            "circuit in a job of its own, or send a quantum program whose boxes you have put into it yourself"
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
        level = device.conditions.level
        program = client.sampler_program(coerced, words.sampler_fields(asked, level), shots, target)
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
