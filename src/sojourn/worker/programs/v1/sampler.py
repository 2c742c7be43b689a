"""The program `sampler` of V1: a quasi-distribution over the classical bits for every experiment."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field

import msgspec
import numpy as np
from numpy.typing import NDArray

from sojourn.devices.bits import merged
from sojourn.devices.driver import Outcome
from sojourn.worker.codec import encode
from sojourn.worker.programs.base import Plan, Window, Work
from sojourn.worker.programs.device import Circuit, DeviceContext
from sojourn.worker.programs.options import Options
from sojourn.worker.programs.tally import Tally
from sojourn.worker.programs.v1 import readout
from sojourn.worker.programs.v1.fitting import Fitter, read_from
from sojourn.worker.programs.v1.form import INPUTS, Job, V1Program, v1_options
from sojourn.worker.protocol.types import JobRefused, Prepared

_ENTRY = 30  # characters of an entry of a distribution beside its bits
_METADATA = 400  # those of the metadata beside the circuit's


@dataclass(frozen=True, slots=True)
class Run:
    """A circuit at the points of its experiments, which are given by their numbers in the result. `read` is
    the qubit that each classical bit is read from."""

    circuit: Circuit
    experiments: tuple[int, ...]
    read: dict[int, int]
    metadata: msgspec.Raw


class V1SamplerPlan(Plan):
    """A checked V1 sampler job. `qubits` are those of the readout calibration, whose two circuits are the
    last ones; none for level 0."""

    def __init__(
        self, prepared: Prepared, work: list[Work], job: Job, runs: list[Run], qubits: Sequence[int]
    ) -> None:
        super().__init__(prepared, work, job.settings.seed, memory=False, conditions=job.conditions)
        self._runs = runs
        self._shots = job.shots
        self._qubits = qubits

    def result(self, outcomes: list[list[Outcome]], window: Window) -> bytes:
        del window  # results of V1 do not say when
        misread: readout.Misreadings | None = None
        if self._qubits:
            misread = readout.misreadings(self._qubits, outcomes[-2][0], outcomes[-1][0])
        made: dict[int, tuple[dict[str, float], dict[str, object]]] = {}
        for run, found in zip(self._runs, outcomes, strict=False):
            for number, outcome in zip(run.experiments, found, strict=True):
                made[number] = self._distribution(run, outcome, misread)
        ordered = [made[number] for number in range(len(made))]
        return encode.to_text(
            {"quasi_dists": [quasi for quasi, _ in ordered], "metadata": [about for _, about in ordered]}
        )

    def _distribution(
        self, run: Run, outcome: Outcome, misread: readout.Misreadings | None
    ) -> tuple[dict[str, float], dict[str, object]]:
        bits = run.circuit.circuit.num_clbits
        metadata: dict[str, object] = {"shots": self._shots, "circuit_metadata": run.metadata}
        outcome = Outcome(*merged(outcome.patterns, outcome.counts))
        found = outcome.counts / outcome.counts.sum()
        if misread is not None:
            begun = time.monotonic()
            found, overhead = readout.corrected(outcome, bits, misread.of(run.read, bits))
            metadata |= {
                "readout_mitigation_overhead": overhead,
                "readout_mitigation_time": time.monotonic() - begun,
                "readout_mitigation_method": "assignment matrices of single qubits on observed bit strings",
                "readout_mitigation_shots_calibration": misread.shots,
            }
            if misread.unread:
                metadata["readout_mitigation_left_out"] = list(misread.unread)
        keys = (int.from_bytes(pattern.tobytes(), "big") for pattern in outcome.patterns)
        quasi = {f"{key:0{bits}b}": value for key, value in zip(keys, found.tolist(), strict=True)}
        return quasi, metadata


class V1Sampler(V1Program):
    """`Sampler` of clients up to 0.27."""

    name = "sampler"
    title = "sampler (V1)"
    inputs = INPUTS
    options = Options(title, *v1_options(0, 1), where="params.")

    def plan(self, device: DeviceContext, params: bytes) -> V1SamplerPlan:
        """Check a job. Raises `JobRefused`."""
        job = self.open(device, params)
        device = device.under(job.conditions)
        tally = Tally(device, job.settings)
        runs: list[Run] = []
        work: list[Work] = []
        batches = 0
        for group in _groups(device, job):
            circuit, values, where = group.circuit, np.stack(group.values), group.where
            device.check_points(circuit, values, where)
            metadata = _metadata(device, circuit, where, job, tally)
            bits = circuit.circuit.num_clbits
            entries = min(job.shots, 2 ** min(bits, 40)) * (bits + _ENTRY)
            tally.result(len(values) * (entries + len(bytes(metadata)) + _METADATA))
            tally.add(circuit, values, job.shots)
            tally.limit()
            work.append(_work(circuit, values, job.shots, where))
            tally.memory(work[-1], circuit, in_order=False)
            if circuit.checked.dynamic:  # what the device cannot do inside control flow is better said now
                work[-1].task(device)
            runs.append(Run(circuit, tuple(group.experiments), read_from(circuit.circuit), metadata))
            batches += len(values) * readout.batches(bits, job.shots)
        qubits = sorted({qubit for run in runs for qubit in run.read.values()}) if job.resilience else []
        if qubits:
            _check(batches)
            for circuit in readout.calibration(device, qubits):
                none, shots = np.zeros((1, 0)), readout.calibration_shots(device)
                tally.add(circuit, none, shots)
                work.append(_work(circuit, none, shots, "the readout calibration"))
                tally.memory(work[-1], circuit, in_order=False)
            tally.limit()
        prepared = tally.prepared(max(run.circuit.circuit.num_qubits for run in runs))
        return V1SamplerPlan(prepared, work, job, runs, qubits)


@dataclass(slots=True)
class _Group:
    """Experiments of one circuit, each at a point of its own: equal ones are independent samples."""

    circuit: Circuit
    where: str
    experiments: list[int] = field(default_factory=list)
    values: list[NDArray[np.float64]] = field(default_factory=list)


def _groups(device: DeviceContext, job: Job) -> list[_Group]:
    fitter = Fitter(device, job)
    found: dict[bytes, _Group] = {}
    for number, experiment in enumerate(job.experiments):
        fitted = fitter.circuit(experiment.circuit)
        key = fitted.circuit.key
        group = found.setdefault(key, _Group(fitted.circuit, f"circuits[{experiment.circuit}]"))
        group.experiments.append(number)
        names = job.names[experiment.circuit]
        group.values.append(fitted.values(experiment.values, names, experiment.where))
    return list(found.values())


def _metadata(device: DeviceContext, circuit: Circuit, where: str, job: Job, tally: Tally) -> msgspec.Raw:
    """The circuit's own, after a look at its bits."""
    if not circuit.circuit.num_clbits:
        raise JobRefused(
            f"{where} has no classical bits, so it gives no distribution; add measurements, for example with "
            "circuit.measure_all()"
        )
    tally.warnings.extend(f"{where}: {warning}" for warning in circuit.timing.warnings)
    if not circuit.checked.measured:
        tally.warnings.append(f"{where}: the circuit has no measurement, so every bit is 0")
    return device.metadata(circuit, where, job.budget)


def _check(batches: int) -> None:
    if batches > readout.MAX_BATCHES:
        raise JobRefused(
            f"readout mitigation of the job takes up to {batches} solutions for {readout.BATCH} shots "
            "each; the "
            f"limit is {readout.MAX_BATCHES}. Ask for fewer shots, split the job, or set "
            "params.resilience_settings.level to 0"
        )


def _work(circuit: Circuit, values: NDArray[np.float64], shots: int, where: str) -> Work:
    return Work((circuit.key, "v1"), lambda: circuit.circuit, values, shots, where)


SAMPLER = V1Sampler()
