"""Estimator jobs that ask for suppression or mitigation: from pubs to a plan, and to the client's result."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray
from qiskit.circuit import QuantumCircuit
from qiskit.primitives.containers.estimator_pub import EstimatorPub
from qiskit.primitives.containers.observables_array import ObservablesArray

from sojourn.devices.conditions import Conditions
from sojourn.devices.driver import Outcome, Task
from sojourn.worker.codec import encode
from sojourn.worker.codec.decode import Budget, Observables
from sojourn.worker.programs.base import Plan, Window
from sojourn.worker.programs.conditions import Restriction
from sojourn.worker.programs.device import Circuit, DeviceContext
from sojourn.worker.programs.executor.program import Item
from sojourn.worker.programs.fields import encoded_size
from sojourn.worker.programs.mitigated import client, layers, words
from sojourn.worker.programs.mitigated.asked import Asked
from sojourn.worker.programs.mitigated.build import Binding, Built, at_bases, built
from sojourn.worker.programs.mitigated.learn import Experiments, Layer, experiments
from sojourn.worker.programs.mitigated.narrow import Narrow, cut_target, narrow
from sojourn.worker.programs.mitigated.rotations import twirlable
from sojourn.worker.programs.mitigated.sampler import bindings, check_decoupling, check_flow, everything
from sojourn.worker.programs.mitigated.stage import Stage
from sojourn.worker.programs.options import Settings
from sojourn.worker.programs.tally import Tally
from sojourn.worker.protocol.types import JobRefused, Prepared

MAX_VALUES = 5_000
"""Points x observables of one pub: the client's preparation copies all values for each."""

MAX_TERMS = 100_000
"""Terms of all of them, each of which is evaluated on its own."""

_TASKS = "qiskit_mitigation"
_SIGNS = "pauli_signs"
_SEEDS = ("seed_estimator", "simulator.seed_simulator")


@dataclass(frozen=True, slots=True)
class Pub:
    """A checked estimator pub. `values` is (*points, parameters); `shape` is that of the result."""

    where: str
    circuit: Circuit
    values: NDArray[np.float64]
    key: bytes
    observables: Observables
    shape: tuple[int, ...]
    shots: int
    precision: float
    metadata: msgspec.Raw

    @property
    def points(self) -> tuple[int, ...]:
        return self.values.shape[:-1]


@dataclass(frozen=True, slots=True)
class Group:
    """Pubs with equal shots: they share a program, and what is learned of the readout. `pubs` are indices."""

    pubs: tuple[int, ...]
    built: Built

    @property
    def tasks(self) -> list[Mapping[str, Any]]:
        """What the client notes of each pub, in their order."""
        return [task for task in self.built.passthrough[_TASKS] if task["mitigation"] != "trex"]


@dataclass(frozen=True, slots=True)
class Job:
    """The pubs of a job, and what is asked for."""

    pubs: Sequence[Pub]
    asked: Asked
    settings: Settings
    restriction: Restriction
    narrow: Narrow

    @property
    def by_shots(self) -> dict[int, list[int]]:
        found: dict[int, list[int]] = {}
        for index, pub in enumerate(self.pubs):
            found.setdefault(pub.shots, []).append(index)
        return found

    def circuits(self) -> list[QuantumCircuit]:
        return [twirlable(self.narrow.cut(pub.circuit.circuit)) for pub in self.pubs]


@dataclass(frozen=True, slots=True)
class Found:
    """What a pub gave: arrays by the name of their field, each beginning with the pub's shape, and metadata
    as a result has them."""

    values: Mapping[str, NDArray[np.float64]]
    metadata: dict[str, Any]


class MitigatedEstimatorPlan(Plan):
    """A checked estimator job. With `learning` the pubs are prepared when the noise is learned."""

    def __init__(
        self,
        job: Job,
        groups: Sequence[Group],
        stage: Stage,
        prepared: Prepared,
        noise: Sequence[Layer],
        learning: Experiments | None,
        conditions: Conditions,
        least: float,
    ) -> None:
        """`least` is what of the estimate is for the pubs, as long as nothing has been learned."""
        super().__init__(prepared, [], seed=None, memory=True, conditions=conditions)
        self._job = job
        self._groups = groups
        self._stage = stage
        self._noise = noise
        self._learning = learning
        self._least = least
        self._more = 0.0

    def device_seconds(self) -> float:
        return self.prepared.estimated_seconds + self._more

    def tasks(self, device: DeviceContext) -> list[Task]:
        return (self._stage if self._learning is None else self._learning.stage).tasks(device)

    def execute(self, device: DeviceContext, tasks: Sequence[Task]) -> tuple[list[list[Outcome]], Window]:
        device = device.under(self.conditions)
        device.driver.begin_job()
        if self._learning is None:
            return self._stage.run(device, tasks)
        self._noise, learned = self._learning.run(device, tasks)
        tally = Tally(device, self._job.settings)
        self._groups, self._stage = _prepare(device, self._job, self._noise, tally)
        self._more = tally.seconds() - device.driver.run_seconds(()) - self._least
        outcomes, window = self._stage.run(device, self._stage.tasks(device))
        return outcomes, Window(learned.start, window.stop)

    def found(self, outcomes: list[list[Outcome]]) -> list[Found]:
        """The values of each pub, in their order."""
        arrays = self._stage.arrays(outcomes)
        made: dict[int, Found] = {}
        place = 0
        for group in self._groups:
            own = arrays[place : place + len(group.built.templates)]
            place += len(own)
            found = client.estimator_result(_with_signs(own, group), group.built.passthrough)
            for index, task, pub_result in zip(group.pubs, group.tasks, found, strict=True):
                first = own[task["program_item_index"]]["_meas"]
                axis = 1 if task["mitigation"] == "pea" else 0
                made[index] = self._found(
                    self._job.pubs[index], pub_result, first.shape[axis], group.built.shots, task
                )
        return [made[index] for index in sorted(made)]

    def result(self, outcomes: list[list[Outcome]], window: Window) -> bytes:
        texts = []
        for pub, found in zip(self._job.pubs, self.found(outcomes), strict=True):
            fields = {name: ("numpy.ndarray", encode.array(found.values[name])) for name in found.values}
            data = encode.data_bin(pub.shape, fields)
            texts.append(encode.pub_result("PubResult", data, found.metadata))
        asked = self._job.asked
        resilience = words.resilience(asked)
        if self._learning is not None:
            resilience["layer_noise_learning"] = self._learning.words()
        metadata = {
            **words.suppression(asked),
            "resilience": resilience,
            "resilience_level": asked.level,
            "execution": {"start": encode.moment(window.start), "stop": encode.moment(window.stop)},
            "version": 2,
        }
        return encode.primitive_result(texts, metadata)

    def _found(self, pub: Pub, found: Any, times: int, shots: int, task: Mapping[str, Any]) -> Found:
        scales = np.array([_scale(terms) for terms in pub.observables.terms])
        scale = np.broadcast_to(scales.reshape(pub.observables.shape), pub.shape)
        fields = {}
        for name in found.data:
            values = np.asarray(found.data[name], dtype=np.float64)
            sized = scale.reshape((*pub.shape, *(1,) * (values.ndim - scale.ndim)))
            fields[name] = np.multiply(values, sized, out=np.zeros_like(values), where=sized != 0)
        resilience: dict[str, Any] = {}
        asked = self._job.asked
        if asked.zne is not None:
            resilience["zne"] = {
                "extrapolator": found.metadata["resilience"]["zne"]["extrapolators"].tolist()
            }
        if asked.pec is not None:
            resilience["pec"] = {"num_randomizations_scaling": float(task["pec_gamma"]) ** 2}
        if asked.injects:
            resilience["layer_noise"] = _layer_noise(self._noise)
        metadata = {
            "shots": times * shots,
            "target_precision": pub.precision,
            "circuit_metadata": pub.metadata,
            "resilience": resilience,
            "num_randomizations": times,
        }
        return Found(fields, metadata)


def _with_signs(arrays: client.Arrays, group: Group) -> client.Arrays:
    """A circuit without layers has no noise to cancel, hence no signs; the evaluation of PEC wants them."""
    made = list(arrays)
    for task in group.tasks:
        index = task["program_item_index"]
        if task["mitigation"] == "pec" and _SIGNS not in made[index]:
            shape = made[index]["_meas"].shape[:-2]
            made[index] = {**made[index], _SIGNS: np.zeros((*shape, 1), dtype=np.bool_)}
    return made


def _layer_noise(noise: Sequence[Layer]) -> dict[str, Any]:
    """`noise_overhead` is that of all layers of the job, each as often as it comes."""
    known = [layer for layer in noise if layer.known]
    each = [client.gamma(layer.noise) ** 2 for layer in known]
    logarithm = sum(layer.times * math.log(one) for layer, one in zip(known, each, strict=True))
    return {
        "noise_overhead": math.exp(logarithm) if logarithm < 700 else "infinity",
        "total_mitigated_layers": sum(layer.times for layer in known),
        "unique_mitigated_layers": len(known),
        "unique_mitigated_layers_noise_overhead": each,
    }


def plan(
    device: DeviceContext,
    pubs: Sequence[Pub],
    asked: Asked,
    settings: Settings,
    restriction: Restriction,
    budget: Budget,
    tally: Tally,
) -> MitigatedEstimatorPlan:
    """The plan of estimator pubs, on the `device` under the conditions of the job. Raises `JobRefused`."""
    check_decoupling(device, asked)
    for pub in pubs:
        _check(pub)
    job = Job(pubs, asked, settings, restriction, _narrow(pubs, asked))
    noise: list[Layer] = []
    learning = None
    if asked.injects:
        noise = _layers(job, budget, tally)
        if asked.learning is not None:
            target = cut_target(device.target, job.narrow.active)
            learning = experiments(
                device, noise, asked.learning, job.narrow, target, tally, settings.seed, restriction
            )
            noise = noise if learning is None else learning.blank()
    if asked.zne is not None and asked.zne.amplifier != "pea":
        _warn_of_folding(job, tally)
    before = tally.seconds()
    groups, stage = _prepare(device, job, noise, tally)
    least = tally.seconds() - before
    for pub in pubs:
        tally.result(_result_size(pub, asked))
    tally.limit()
    prepared = tally.prepared(max(pub.observables.width for pub in pubs))
    return MitigatedEstimatorPlan(job, groups, stage, prepared, noise, learning, device.conditions, least)


def _check(pub: Pub) -> None:
    check_flow(pub.circuit, pub.where)
    size = math.prod(pub.shape)
    terms = sum(map(len, pub.observables.terms)) * size // max(1, len(pub.observables.terms))
    if size > MAX_VALUES or terms > MAX_TERMS:
        raise JobRefused(
            f"{pub.where} has {size} values (points x observables) with some {terms} terms together; with "
            f"twirling or mitigation the limits are {MAX_VALUES} and {MAX_TERMS}. Split the pub"
        )


def _narrow(pubs: Sequence[Pub], asked: Asked) -> Narrow:
    """One for the whole job, as what is learned of the readout is of qubits by their place."""
    width = max(pub.circuit.circuit.num_qubits for pub in pubs)
    if asked.twirling.on and asked.twirling.strategy == "all":
        return everything(width)
    labels = {label for pub in pubs for terms in pub.observables.terms for label in terms}
    return narrow((pub.circuit.circuit for pub in pubs), labels, width)


def _layers(job: Job, budget: Budget, tally: Tally) -> list[Layer]:
    """The layers whose noise is to be known, with what the job's model says of them."""
    circuits = job.circuits()
    found = client.layers(circuits, words.estimator_fields(job.asked))
    if job.asked.model is None:
        return [Layer(item, times, client.no_noise(len(item.qubits)), False) for item, times in found]
    model = layers.read(job.asked.model, budget)
    made = []
    for item, times in found:
        noise, warning = layers.noise_of(item, circuits[0], job.narrow, model)
        if warning is not None:
            tally.warnings.append(warning)
        made.append(Layer(item, times, noise, bool(np.any(noise.rates))))
    return made


def _warn_of_folding(job: Job, tally: Tally) -> None:
    zne = job.asked.zne
    assert zne is not None
    for pub in job.pubs:
        left = client.unfolded(pub.circuit.circuit)
        if left:
            tally.warnings.append(
                f"{pub.where}: gate folding does not amplify the noise of {', '.join(sorted(left))}, so the "
                "extrapolation misses it"
            )
    even = [factor for factor in zne.factors if factor % 2 != 1]
    if job.settings.seed is not None and zne.amplifier == "gate_folding" and even:
        tally.warnings.append(
            f"options.resilience.zne.noise_factors: for {even[0]:g} some gates are folded, drawn at random, "
            "which the seed does not fix; use odd factors, gate_folding_front or gate_folding_back"
        )


def _prepare(
    device: DeviceContext, job: Job, noise: Sequence[Layer], tally: Tally
) -> tuple[list[Group], Stage]:
    """Every pub prepared, with its values and checked. Raises `JobRefused`."""
    groups: list[Group] = []
    items: list[Item] = []
    shots: list[int] = []
    binding = Binding(device, tally, job.restriction)
    for each, indices in job.by_shots.items():
        own = [job.pubs[index] for index in indices]
        group = Group(tuple(indices), _built(device, job, own, each, noise))
        groups.append(group)
        for place, values, where in _values(group, own):
            own_shots = group.built.shots
            if values is _READOUT:
                assert job.asked.trex is not None
                own_shots = own_shots if job.asked.trex.shots == "auto" else job.asked.trex.shots
            given = None if values is _READOUT else values
            items.append(binding.bind(group.built.templates[place], given, own_shots, where))
            shots.append(own_shots)
    prepared = Prepared(estimated_seconds=0.0, num_circuits=0, num_qubits=0, executions=0)
    return groups, Stage(items, shots, prepared, job.settings.seed, device.conditions)


_READOUT = np.zeros(0)
"""Stands for the values of the circuit that learns the readout."""


def _values(group: Group, pubs: Sequence[Pub]) -> list[tuple[int, NDArray[np.float64] | None, str]]:
    """For each item of the group's program its place, its parameter values, and whose it is."""
    found: list[tuple[int, NDArray[np.float64] | None, str]] = [
        (place, _READOUT, "the measurement of the readout error")
        for place in range(len(group.built.templates))
    ]
    for pub, task in zip(pubs, group.tasks, strict=True):
        values = at_bases(pub.values if pub.values.shape[-1] else None, task["param_basis_pairs"])
        first = task["program_item_index"]
        count = len(task["noise_factors"]) if task["mitigation"] == "gate_folding" else 1
        for place in range(first, first + count):
            found[place] = (place, values, pub.where)
    return found


def _built(device: DeviceContext, job: Job, pubs: Sequence[Pub], shots: int, noise: Sequence[Layer]) -> Built:
    def make() -> tuple[Built, int]:
        made = built(device, _program(device, job, pubs, shots, noise), job.narrow)
        return made, made.cost

    if job.asked.learning is not None:
        return make()[0]  # what was learned holds for this job
    parts = tuple((pub.circuit.key, pub.circuit.circuit.num_qubits, pub.key, pub.points) for pub in pubs)
    options = msgspec.json.encode(words.without(job.settings.given, *_SEEDS))
    key = ("mitigated", job.asked.level, job.narrow.active, parts, shots, options)
    found: Built = device.recall(key, make)
    return found


def _program(device: DeviceContext, job: Job, pubs: Sequence[Pub], shots: int, noise: Sequence[Layer]) -> Any:
    coerced = []
    for pub in pubs:
        circuit = twirlable(job.narrow.cut(pub.circuit.circuit))
        coerced.append(EstimatorPub(circuit, _observables(pub, job.narrow), bindings(circuit, pub.points)))
    given = words.estimator_fields(job.asked)
    if job.asked.injects:
        given["resilience"]["layer_noise_model"] = [(layer.item, layer.noise) for layer in noise]
    return client.estimator_program(coerced, given, shots, cut_target(device.target, job.narrow.active))


def _observables(pub: Pub, place: Narrow) -> ObservablesArray:
    """Each divided by its scale: Qiskit leaves out terms below 1e-8, and takes no observable that is zero."""
    flat = np.empty(len(pub.observables.terms), dtype=object)
    for index, terms in enumerate(pub.observables.terms):
        scale = _scale(terms)
        flat[index] = {"I" * len(place.active): 1.0}
        if scale:
            flat[index] = {place.label(label): number / scale for label, number in terms.items()}
    return ObservablesArray(flat.reshape(pub.observables.shape))


def _scale(terms: Mapping[str, float]) -> float:
    return max(map(abs, terms.values()))


def _result_size(pub: Pub, asked: Asked) -> int:
    size = 8 * math.prod(pub.shape)
    total = 3 * encoded_size(size) + len(bytes(pub.metadata)) + 1000
    if asked.zne is not None:
        total += 3 * encoded_size(size * len(asked.zne.factors))
        total += 2 * encoded_size(size * len(asked.zne.extrapolators) * len(asked.zne.points))
        total += 30 * math.prod(pub.shape)
    return total
