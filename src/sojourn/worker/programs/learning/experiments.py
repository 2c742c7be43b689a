"""The experiments that learn a layer: bounds them, plans them as a quantum program, reads what they gave."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from qiskit.quantum_info import Clifford

from sojourn.worker.programs.device import MAX_EXECUTIONS, MAX_POINTS, MAX_RESULT_BYTES, DeviceContext
from sojourn.worker.programs.executor.program import EXECUTOR, MAX_VALUES, ExecutorPlan
from sojourn.worker.programs.fields import encoded_size
from sojourn.worker.programs.learning import library
from sojourn.worker.programs.learning.layers import Layer
from sojourn.worker.programs.learning.library import Rates
from sojourn.worker.programs.learning.settings import Learning
from sojourn.worker.protocol.types import JobRefused, Prepared
from sojourn.worker.wording import quoted, said

MAX_APPLICATIONS = 100_000
"""Applications of layers x their qubits, over the depths of all layers. The experiments of so many take about
a minute to make."""

BASES = 9
"""In which each depth of a layer is measured. One circuit more measures the readout."""

Term = tuple[str, tuple[int, ...]]


@dataclass(frozen=True, slots=True)
class Experiment:
    """A layer, the Pauli operators of its noise model, and what it takes to learn it."""

    layer: Layer
    terms: tuple[Term, ...]
    learning: Learning
    prepared: Prepared

    def plan(self, device: DeviceContext) -> ExecutorPlan:
        """Make the quantum program, which takes seconds for a wide layer. Raises `JobRefused`."""
        layer, learning = self.layer, self.learning
        device.at = layer.where
        sizes = learning.randomizations, learning.shots
        try:
            if layer.measures:
                program = library.readout_program(layer.qubits, device.target, *sizes)
            else:
                program = library.layer_program(
                    layer.content, layer.qubits, device.target, learning.depths, *sizes
                )
        except (JobRefused, MemoryError):
            raise
        except Exception as error:
            raise JobRefused(f"{layer.where} cannot be learned: {said(error)}") from error
        plan = _checked(device, layer, program, learning)
        plan.fix(learning.seed)
        return plan

    def learned(self, text: bytes, random: np.random.Generator) -> Rates:
        """From the result of the quantum program. Raises `JobRefused` when no model fits the data."""
        try:
            if self.layer.measures:
                return library.learned_readout(text)
            return library.learned_layer(text, random)
        except (MemoryError, JobRefused):
            raise
        except Exception as error:
            raise JobRefused(
                f"{self.layer.where}: no noise model fits what was measured ({said(error)}); ask for more "
                "shots or randomizations, or for smaller layer_pair_depths"
            ) from error

    def made_up(self, random: np.random.Generator) -> Rates:
        """Rates in the shape of those of a device, for one whose results are random."""
        size = len(self.terms)
        return Rates(self.terms, random.uniform(0, 1e-3, size), np.full(size, 1e-4))


def planned(device: DeviceContext, layer: Layer, learning: Learning) -> Experiment:
    """Check that a layer can be learned, and count what it takes. Raises `JobRefused`.

    The quantum program is made when the job runs. Before, two circuits of it stand for all: their time and
    their parameters grow with the depth by the same step each.
    """
    device.at = layer.where
    library.check_installed()
    terms = _terms(device, layer)
    if layer.measures:
        program = library.readout_program(
            layer.qubits, device.target, learning.randomizations, learning.shots
        )
        prepared = _checked(device, layer, program, learning).prepared
        return Experiment(layer, terms, learning, prepared)
    _check_inverse(layer)
    least, more = (_trial(device, layer, learning, depth) for depth in (0, 1))
    step = _Trial(more.seconds - least.seconds, more.parameters - least.parameters)
    depths, times = sum(learning.depths), BASES * len(learning.depths) + 1
    values = learning.randomizations * (times * least.parameters + BASES * depths * step.parameters)
    if values > MAX_VALUES or BASES * learning.randomizations > MAX_POINTS:
        raise JobRefused(
            f"{layer.where}: with options.num_randomizations = {learning.randomizations} its circuits have "
            f"{values} parameter values together, and {BASES * learning.randomizations} at each depth are "
            f"run; the limits are {MAX_VALUES} and {MAX_POINTS}. Ask for fewer randomizations"
        )
    circuits = times * learning.randomizations
    size = encoded_size(circuits * learning.shots * len(layer.qubits) // 8)
    if size > MAX_RESULT_BYTES:
        raise JobRefused(
            f"{layer.where}: its outcomes take {size / 2**20:.0f} MB; the limit is "
            f"{MAX_RESULT_BYTES // 2**20} MB. Ask for fewer randomizations or shots"
        )
    shots = learning.randomizations * (times * least.seconds + BASES * depths * step.seconds)
    prepared = Prepared(
        estimated_seconds=device.driver.run_seconds(()) + shots,
        num_circuits=circuits,
        num_qubits=len(layer.qubits),
        executions=circuits * learning.shots,
    )
    return Experiment(layer, terms, learning, prepared)


@dataclass(frozen=True, slots=True)
class _Trial:
    """One circuit: device seconds of all of its shots, without what a job takes beside them, and its
    parameters."""

    seconds: float
    parameters: int


def _trial(device: DeviceContext, layer: Layer, learning: Learning, depth: int) -> _Trial:
    program = library.trial_program(layer.content, layer.qubits, device.target, depth, learning.shots)
    plan = _checked(device, layer, program, learning)
    seconds = plan.prepared.estimated_seconds - device.driver.run_seconds(())
    return _Trial(seconds, program.items[0].circuit.num_parameters)


def _checked(
    device: DeviceContext, layer: Layer, program: library.Programme, learning: Learning
) -> ExecutorPlan:
    try:
        return EXECUTOR.plan(device, library.executor_params(program, learning.rep_delay), learning.errors)
    except JobRefused as refused:
        raise JobRefused(f"the experiments of {layer.where}: {refused.message}", refused.code) from refused


def _check_inverse(layer: Layer) -> None:
    """The depths count pairs: twice the layer must be nothing, up to Pauli operators."""
    if len(layer.qubits) < 2:
        raise JobRefused(f"{layer.where} has one qubit; a layer of gates is learned on two qubits or more")
    once = Clifford(layer.content)
    if not (once.compose(once).symplectic_matrix == np.eye(2 * len(layer.qubits), dtype=bool)).all():
        raise JobRefused(
            f"{layer.where} is not undone when it is applied twice, as a layer of cz, cx or ecr is, and "
            "cannot be learned; gates beside these belong into the dressing of the box"
        )


def bound(layers: Iterable[Layer], learning: Learning) -> None:
    """Refuse, before the experiments are made, what would be too large to make."""
    applied = circuits = 0
    for layer in layers:
        if layer.measures:
            circuits += learning.randomizations
            continue
        circuits += (BASES * len(learning.depths) + 1) * learning.randomizations
        applied += len(layer.qubits) * sum(2 * depth + 2 for depth in learning.depths)
        if applied > MAX_APPLICATIONS:
            raise JobRefused(
                f"{layer.where}: with options.layer_pair_depths = {quoted(list(learning.depths))} the layers "
                f"up to here are applied {applied} times, counted on each of their qubits; the limit is "
                f"{MAX_APPLICATIONS}. Use smaller depths, or learn fewer layers in one job"
            )
    check_executions(circuits * learning.shots)


def check_executions(executions: int) -> None:
    """Refuse a job with more of them than any may have."""
    if executions > MAX_EXECUTIONS:
        raise JobRefused(
            f"the job takes {executions} executions (bases x depths x num_randomizations x "
            f"shots_per_randomization, of all layers); the limit is {MAX_EXECUTIONS}. Learn fewer layers in "
            "one job, or ask for fewer randomizations, shots or depths"
        )


def _terms(device: DeviceContext, layer: Layer) -> tuple[Term, ...]:
    """The Pauli operators of a layer's noise model: on each qubit, and on each coupled pair."""
    if layer.measures:
        return tuple(("X", (qubit,)) for qubit in range(len(layer.qubits)))
    coupling = device.target.build_coupling_map()
    if coupling is None:
        found = {_local(layer, item.qubits) for item in layer.content.data}
    else:
        place = {qubit: index for index, qubit in enumerate(layer.qubits)}
        found = {(place[a], place[b]) for a, b in coupling.get_edges() if a in place and b in place}
    pairs = sorted({(min(pair), max(pair)) for pair in found if len(pair) == 2})
    single: list[Term] = [(letter, (qubit,)) for qubit in range(len(layer.qubits)) for letter in "XYZ"]
    double: list[Term] = [(one + two, pair) for pair in pairs for one in "XYZ" for two in "XYZ"]
    return (*single, *double)


def _local(layer: Layer, qubits: Iterable[object]) -> tuple[int, ...]:
    return tuple(layer.content.find_bit(qubit).index for qubit in qubits)
