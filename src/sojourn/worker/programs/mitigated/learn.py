"""Learns the noise of layers before a job that needs a model of it and brings none.

The experiments are the client's; they run on the device as a part of the job, and are charged with it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from qiskit.circuit import CircuitInstruction
from qiskit.quantum_info import PauliLindbladMap
from qiskit.transpiler import Target

from sojourn.devices.driver import Task
from sojourn.worker.programs.base import Window
from sojourn.worker.programs.conditions import Restriction
from sojourn.worker.programs.device import DeviceContext
from sojourn.worker.programs.mitigated import client, words
from sojourn.worker.programs.mitigated.asked import Learning
from sojourn.worker.programs.mitigated.build import Binding, Built, built
from sojourn.worker.programs.mitigated.narrow import Narrow
from sojourn.worker.programs.mitigated.stage import Stage
from sojourn.worker.programs.tally import Tally
from sojourn.worker.protocol.types import Prepared

WHERE = "the experiments that learn the noise of layers"


@dataclass(frozen=True, slots=True)
class Layer:
    """A layer of two-qubit gates, a box in narrow circuits, how often it comes in the job, and its noise.
    `known` is False where `noise` only says that nothing is known."""

    item: CircuitInstruction
    times: int
    noise: PauliLindbladMap
    known: bool

    @property
    def num_gates(self) -> int:
        body = self.item.operation.blocks[0]
        return sum(len(item.qubits) > 1 and item.operation.name != "barrier" for item in body.data)


class Experiments:
    """Checked learning experiments. `stage` runs them."""

    def __init__(self, layers: Sequence[Layer], learned: Sequence[int], program: Built, stage: Stage) -> None:
        """`learned` are the layers that are learned, by their place among all."""
        self.stage = stage
        self._layers = layers
        self._learned = learned
        self._program = program
        self._seconds = 0.0

    def blank(self) -> list[Layer]:
        """The layers as they are before anything is known."""
        return [replace(layer, known=index in self._learned) for index, layer in enumerate(self._layers)]

    def run(self, device: DeviceContext, tasks: Sequence[Task]) -> tuple[list[Layer], Window]:
        """The layers with what was learned of them."""
        outcomes, window = self.stage.run(device, tasks)
        maps = client.learned(self.stage.arrays(outcomes), self._program.passthrough)
        self._seconds = (window.stop - window.start).total_seconds()
        made = self.blank()
        for index, noise in zip(self._learned, maps, strict=True):
            made[index] = replace(made[index], noise=noise)
        return made, window

    def words(self) -> dict[str, Any]:
        """What a result's metadata says of them. Times in seconds."""
        return {
            "unique_layers": len(self._layers),
            "learned_layers": len(self._learned),
            "seconds": self._seconds,
        }


def experiments(
    device: DeviceContext,
    layers: Sequence[Layer],
    learning: Learning,
    narrow: Narrow,
    target: Target,
    tally: Tally,
    seed: int | None,
    restriction: Restriction,
) -> Experiments | None:
    """The experiments for the layers of a job, on the `device` under the conditions of the job; None when it
    has no layers. Raises `JobRefused`."""
    order = sorted(range(len(layers)), key=lambda i: (-layers[i].times, -layers[i].num_gates, i))
    learned = sorted(order if learning.max_layers is None else order[: learning.max_layers])
    if len(learned) < len(layers):
        tally.warnings.append(
            f"options.resilience.layer_noise_learning.max_layers_to_learn = {learning.max_layers}: the job "
            f"has {len(layers)} different layers; the noise of {len(layers) - len(learned)} is not mitigated"
        )
    if not learned:
        return None
    items = [layers[index].item for index in learned]
    program = built(device, client.learning_program(items, words.learning_fields(learning), target), narrow)
    binding = Binding(device, tally, restriction)
    bound = [binding.bind(template, template.values, program.shots, WHERE) for template in program.templates]
    prepared = Prepared(estimated_seconds=0.0, num_circuits=0, num_qubits=0, executions=0)
    own = None if seed is None else seed + 1
    stage = Stage(bound, [program.shots] * len(bound), prepared, own, device.conditions)
    return Experiments(layers, learned, program, stage)
