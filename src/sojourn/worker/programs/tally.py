"""Adds up what a job asks of the device, and refuses what is more than any job may have."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from sojourn.devices.driver import Stint
from sojourn.worker.programs.base import Work
from sojourn.worker.programs.device import MAX_EXECUTIONS, MAX_RESULT_BYTES, Circuit, DeviceContext
from sojourn.worker.programs.options import Settings
from sojourn.worker.protocol.memory import MB
from sojourn.worker.protocol.types import JobRefused, Prepared

MAX_WARNINGS = 20
MAX_CARRIED, MAX_CARRIED_CIRCUITS = 1_000_000, 10_000
"""Executions and circuits of a job whose qubits are not initialised. Its shots are simulated one after the
other, and each circuit in several calls of the simulator."""

_MANY_POINTS, _MANY_EXECUTIONS = 100, 10_000  # from which on it is asked how long a circuit takes
_MANY_JOINED = 12  # qubits that gates join: with more, one point of a circuit may take long
_SHOT_BYTES = 8  # the least that an outcome takes whose place among the shots is kept


class Tally:
    """What a job asks of the device, added up while its pubs are checked."""

    def __init__(self, device: DeviceContext, settings: Settings) -> None:
        self._device = device
        self._rep_delay = settings.rep_delay
        self._circuits = self._executions = self._result = 0
        self._state = self._shots = 0  # bytes
        self._stints: list[Stint] = []
        self._least = 0.0
        self._wide: dict[bytes, bool] = {}
        self.warnings: list[str] = []

    def add(self, circuit: Circuit, values: NDArray[np.float64], shots: int, times: int = 1) -> None:
        """Count a circuit that is run at the points `values`, at each of them `times`."""
        self._circuits += len(values) * times
        self._executions += len(values) * times * shots
        self._stints.append(self._device.stint(circuit, values, shots, self._rep_delay, times))

    def hold(self, size: int) -> None:
        """Count bytes that the outcomes take beside the order of the shots."""
        self._shots += size

    def result(self, size: int) -> None:
        """Count characters of the result, at their most."""
        self._result += size

    def memory(self, work: Work, circuit: Circuit, *, in_order: bool) -> None:
        """Count the time that a large simulation takes, and refuse a job that takes more memory than one run
        may take, as far as these are known before. Jobs keep the states of one circuit at a time, and the
        outcomes of all; `in_order` those of every shot. `circuit` is that of `work` but for its last gates.
        """
        device = self._device
        count = len(work.values)
        if count >= _MANY_POINTS or count * work.shots >= _MANY_EXECUTIONS or self._joins_many(circuit):
            self._least += device.least_seconds(work.key, work.make, count, work.shots)
        if not device.memory:
            return
        self._shots += _SHOT_BYTES * len(work.values) * work.shots if in_order else 0
        outcomes = self._shots + self._result
        state = device.state(work.key, circuit.circuit.num_qubits, work.make, device.memory - outcomes)
        self._state = max(self._state, state)
        needed = self._state + outcomes
        if needed > device.memory:
            whole, part, rest, most = (
                f"{size / MB:.0f} MB" for size in (needed, self._state, outcomes, device.memory)
            )
            raise JobRefused(
                f"{work.where}: running the job takes at least {whole} of memory ({part} for the state of a "
                f"circuit, {rest} for outcomes); one run on {device.name} may take {most} "
                "(memory_mb of the device). Use fewer qubits, fewer shots in one job, or another device"
            )

    def _joins_many(self, circuit: Circuit) -> bool:
        if circuit.circuit.num_qubits <= _MANY_JOINED:
            return False
        found = self._wide.get(circuit.key)
        if found is None:
            gates = (item for item in circuit.circuit.data if len(item.qubits) > 1 and item.name != "barrier")
            joined = {qubit for item in gates for qubit in item.qubits}
            found = self._wide[circuit.key] = len(joined) > _MANY_JOINED
        return found

    def limit(self) -> None:
        """Refuse a job with more circuits x shots, or with a larger result, than any device here takes."""
        if self._device.conditions.carried and (
            self._executions > MAX_CARRIED or self._circuits > MAX_CARRIED_CIRCUITS
        ):
            raise JobRefused(
                f"the job asks for {self._executions} executions (circuits x shots) of {self._circuits} "
                f"circuits with init_qubits = false; the limits of these are {MAX_CARRIED} and "
                f"{MAX_CARRIED_CIRCUITS}, as each shot starts where the last one ended. Ask for fewer"
            )
        if self._executions > MAX_EXECUTIONS:
            raise JobRefused(
                f"the job asks for {self._executions} executions (circuits x shots); the limit is "
                f"{MAX_EXECUTIONS}. Split it, or ask for fewer shots"
            )
        if self._result > MAX_RESULT_BYTES:
            raise JobRefused(
                f"the job's result would be more than {MAX_RESULT_BYTES // 2**20} MB in the form in which it "
                f"is sent (up to {self._result / 2**20:.0f} MB), which is the limit; split the job, or ask "
                "for fewer shots or points"
            )

    def seconds(self) -> float:
        """What a job of what has been added has the device, by the model of its driver."""
        return self._device.seconds(self._stints)

    def prepared(self, num_qubits: int) -> Prepared:
        """The sums, when the widest circuit has that many qubits."""
        return Prepared(
            estimated_seconds=self.seconds(),
            num_circuits=self._circuits,
            num_qubits=num_qubits,
            executions=self._executions,
            warnings=tuple(_few(self.warnings)),
            result_bytes=self._result,
            least_seconds=self._least,
        )


def _few(warnings: Sequence[str]) -> Sequence[str]:
    """At most `MAX_WARNINGS` of them: they go with the answer to the submit."""
    if len(warnings) <= MAX_WARNINGS:
        return warnings
    return [*warnings[:MAX_WARNINGS], f"{len(warnings) - MAX_WARNINGS} more warnings of this kind"]
