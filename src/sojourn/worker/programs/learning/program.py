"""The program `noise-learner`: learns the noise of layers of gates, and of readout, on the device.

`NoiseLearner` of the client sends circuits, whose layers are found here; `NoiseLearnerV3` sends the layers as
boxes, with a schema version. The experiments of each layer are a quantum program, which the program
`executor` checks, counts and runs.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from itertools import islice

import msgspec
import numpy as np
from qiskit.circuit import QuantumCircuit

from sojourn.devices.conditions import Conditions
from sojourn.devices.driver import Outcome, Task, fresh_seed
from sojourn.worker.codec import decode, noise, qpy
from sojourn.worker.codec.decode import Budget
from sojourn.worker.programs.base import Plan, Program, Window
from sojourn.worker.programs.device import DeviceContext
from sojourn.worker.programs.executor.program import ExecutorPlan
from sojourn.worker.programs.learning import experiments, library, result, settings
from sojourn.worker.programs.learning.experiments import Experiment
from sojourn.worker.programs.learning.layers import Layer, LayerFinder, read_boxes
from sojourn.worker.programs.learning.library import Rates
from sojourn.worker.programs.learning.settings import CIRCUITS, INSTRUCTIONS, NAME, Learning
from sojourn.worker.programs.options import Options, refuse
from sojourn.worker.protocol.memory import MB
from sojourn.worker.protocol.types import JobRefused, Prepared
from sojourn.worker.wording import quoted

VERSIONS = ("v0.1", "v0.2", "v0.3")
MAX_CIRCUITS = 1000

_WITH_CIRCUITS = ("circuits", "options", "version", "support_qiskit")
_WITH_INSTRUCTIONS = ("schema_version", "instructions", "options", "version")
_SHOT_BYTES = 8  # the least that an outcome takes whose place among the shots is kept

Write = Callable[[Sequence[Layer], Sequence[Rates]], bytes]


class Instructions(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A circuit of boxes as a QPY file in base64, not compressed."""

    circuit_b64: str
    qpy_version: int


class LearnerPlan(Plan):
    """A checked job of a noise learner: the experiments of its layers, one after the other."""

    def __init__(
        self, prepared: Prepared, made: Sequence[Experiment], write: Write, conditions: Conditions
    ) -> None:
        """`write` makes the text of the result."""
        super().__init__(prepared, [], seed=None, memory=True, conditions=conditions)
        self._experiments = made
        self._write = write
        self._plans: list[ExecutorPlan] = []
        self._counts: list[int] = []
        self._ran: list[tuple[list[list[Outcome]], Window]] = []
        self._made_up = False

    def tasks(self, device: DeviceContext) -> list[Task]:
        self._plans = [experiment.plan(device) for experiment in self._experiments]
        of_each = [plan.tasks(device) for plan in self._plans]
        self._counts = [len(tasks) for tasks in of_each]
        self._made_up = device.driver.random_results
        return [task for tasks in of_each for task in tasks]

    def execute(self, device: DeviceContext, tasks: Sequence[Task]) -> tuple[list[list[Outcome]], Window]:
        waiting = iter(tasks)
        device.under(self.conditions).driver.begin_job()
        self._ran = [
            plan.run(device, list(islice(waiting, count)))
            for plan, count in zip(self._plans, self._counts, strict=True)
        ]
        windows = [window for _, window in self._ran]
        return [], Window(windows[0].start, windows[-1].stop)

    def result(self, outcomes: list[list[Outcome]], window: Window) -> bytes:
        del outcomes, window  # each layer has its own
        random = np.random.default_rng(fresh_seed())
        learned = []
        for experiment, plan, ran in zip(self._experiments, self._plans, self._ran, strict=True):
            if self._made_up:
                learned.append(experiment.made_up(random))
            else:
                learned.append(experiment.learned(plan.result(*ran), random))
        return self._write([experiment.layer for experiment in self._experiments], learned)


class NoiseLearner(Program):
    """`NoiseLearner` and `NoiseLearnerV3` of the client."""

    name = NAME
    inputs = tuple(dict.fromkeys((*_WITH_CIRCUITS, *_WITH_INSTRUCTIONS)))
    options = settings.ALL

    def plan(self, device: DeviceContext, params: bytes) -> LearnerPlan:
        """Check a job of a noise learner. Raises `JobRefused`."""
        members = decode.read_object(params, "params")
        if "schema_version" in members:
            return _with_instructions(device, members)
        return _with_circuits(device, members)


def _with_circuits(device: DeviceContext, members: Mapping[str, msgspec.Raw]) -> LearnerPlan:
    budget = Budget()
    learning = _opened(device, members, _WITH_CIRCUITS, CIRCUITS, budget, version=2)
    if "circuits" not in members:
        raise JobRefused(
            "params.circuits is missing: a noise learner needs a list of circuits, or, with a "
            "schema_version, instructions"
        )
    texts = decode.read_list(members["circuits"], "params.circuits")
    if not texts:
        raise JobRefused("params.circuits is empty: there is nothing to learn")
    if len(texts) > MAX_CIRCUITS:
        raise JobRefused(f"params.circuits has {len(texts)} circuits; the limit is {MAX_CIRCUITS}")
    finder = LayerFinder(learning.strategy)
    warnings = []
    for index, text in enumerate(texts):
        where = f"circuits[{index}]"
        circuit = device.circuit(text, where, budget)
        warnings += [f"{where}: {warning}" for warning in circuit.timing.warnings]
        finder.add(circuit.circuit, where)
    layers, left = finder.chosen(learning.most)
    if not layers:
        why = "options.max_layers_to_learn is 0" if left else "the circuits have no two-qubit gates"
        raise JobRefused(f"{why}: there is nothing to learn")
    if left:
        warnings.append(
            f"{len(layers)} of {left + len(layers)} different layers are learned, as max_layers_to_learn is "
            f"{learning.most}"
        )

    def write(made: Sequence[Layer], rates: Sequence[Rates]) -> bytes:
        return result.circuits_text(made, rates, device.name, learning.echoed())

    return _plan(device, layers, learning, warnings, write)


def _with_instructions(device: DeviceContext, members: Mapping[str, msgspec.Raw]) -> LearnerPlan:
    version = decode.read_any(members["schema_version"], "params.schema_version")
    if version not in VERSIONS:
        raise JobRefused(
            f"params.schema_version is {quoted(version)}; a noise learner runs {', '.join(VERSIONS)} here, "
            "and circuits without a schema_version"
        )
    learning = _opened(device, members, _WITH_INSTRUCTIONS, INSTRUCTIONS, Budget(), version=3)
    if "instructions" not in members:
        raise JobRefused("params.instructions is missing: there is nothing to learn")
    layers = read_boxes(_circuit_of_boxes(members["instructions"]), device.target)

    def write(made: Sequence[Layer], rates: Sequence[Rates]) -> bytes:
        return result.instructions_text(made, rates, version, learning.depths)

    return _plan(device, layers, learning, [], write)


def _opened(
    device: DeviceContext,
    members: Mapping[str, msgspec.Raw],
    known: Sequence[str],
    table: Options,
    budget: Budget,
    version: int,
) -> Learning:
    """The options, checked as all members are. Raises `JobRefused` with everything that is not honoured."""
    given = decode.read_any(members["options"], "params.options") if "options" in members else {}
    found, faults = table.look(given, device.limits)
    said = decode.read_any(members["version"], "params.version") if "version" in members else None
    if said not in (version, None):
        faults.append(f"params.version is {quoted(said)}; it must be {version} beside these members")
    faults += [
        f"params.{name[:120]} is not a member that the noise learner knows here; it knows {', '.join(known)}"
        for name in sorted(set(members) - set(known))
    ]
    refuse(faults)
    learning = settings.learning(given or {}, found)
    model = found.given.get("simulator.noise_model")
    if model is not None:
        learning = replace(learning, errors=noise.read(model, "options.simulator.noise_model", budget))
    if learning.shots > device.max_shots:
        raise JobRefused(
            f"options.shots_per_randomization is {learning.shots}; the limit of {device.name} is "
            f"{device.max_shots} per circuit"
        )
    return learning


def _circuit_of_boxes(text: msgspec.Raw) -> QuantumCircuit:
    where = "params.instructions"
    try:
        given = msgspec.json.decode(text, type=Instructions)
        content = base64.b64decode(given.circuit_b64, validate=True)
    except (msgspec.MsgspecError, binascii.Error, ValueError) as error:
        reason = " ".join(str(error).split())[:300].replace("`$", f"`{where}")
        raise JobRefused(f"{where} is not a QPY file in base64 with its version: {reason}") from None
    circuit = qpy.load_circuit(content, where, library.annotation_readers())
    if content[6] != given.qpy_version:
        raise JobRefused(
            f"{where}.qpy_version is {given.qpy_version}, and the data are of version {content[6]}"
        )
    return circuit


def _plan(
    device: DeviceContext, layers: Sequence[Layer], learning: Learning, warnings: list[str], write: Write
) -> LearnerPlan:
    experiments.bound(layers, learning)
    made = [experiments.planned(device, layer, learning) for layer in layers]
    parts = [experiment.prepared for experiment in made]
    executions = sum(part.executions for part in parts)
    experiments.check_executions(executions)
    if device.memory and executions * _SHOT_BYTES > device.memory:
        raise JobRefused(
            f"the outcomes of {executions} executions take {executions * _SHOT_BYTES / MB:.0f} MB of memory "
            f"together; one run on {device.name} may take {device.memory / MB:.0f} MB (memory_mb of the "
            "device). Learn fewer layers in one job, or ask for fewer shots"
        )
    prepared = Prepared(
        estimated_seconds=sum(part.estimated_seconds for part in parts),
        num_circuits=sum(part.num_circuits for part in parts),
        num_qubits=max(len(layer.qubits) for layer in layers),
        executions=executions,
        warnings=tuple(warnings[:20]),
        result_bytes=1000 + sum(result.size_of(one.layer, len(one.terms)) for one in made),
    )
    return LearnerPlan(prepared, made, write, Conditions(errors=learning.errors))


NOISE_LEARNER = NoiseLearner()
