"""The program `estimator` of V1: the value of an observable for every experiment."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Any

import numpy as np
from numpy.typing import NDArray
from qiskit.circuit import QuantumCircuit

from sojourn.devices.driver import Outcome, Task, fresh_seed
from sojourn.worker.codec import encode
from sojourn.worker.codec.decode import Observables
from sojourn.worker.programs import basis
from sojourn.worker.programs.base import Plan, Window, Work
from sojourn.worker.programs.basis import Group, Grouping
from sojourn.worker.programs.device import MAX_POINTS, Circuit, DeviceContext
from sojourn.worker.programs.executor.samplex import Randomisation
from sojourn.worker.programs.options import Options
from sojourn.worker.programs.tally import Tally
from sojourn.worker.programs.v1 import beyond, operators, trex
from sojourn.worker.programs.v1.fitting import Fitted, Fitter
from sojourn.worker.programs.v1.form import INPUTS, Job, V1Program, v1_options
from sojourn.worker.protocol.types import JobRefused, Prepared

MAX_VALUES = 2**27
"""Parameter values of a randomised circuit, over all points: a gigabyte."""

_RESULT = 500  # characters of a value with its metadata, at most


@dataclass(frozen=True, slots=True)
class Measured:
    """How a group of terms is measured: by a circuit that `make` gives and `key` names, from whose
    classical bit `first_bit` on the bits of the group stand. `circuit` is what counts for its time."""

    group: Group
    circuit: Circuit
    key: tuple[Any, ...]
    make: Callable[[], QuantumCircuit]
    first_bit: int
    template: trex.Template | None = None


@dataclass(frozen=True, slots=True)
class Run:
    """A circuit with an observable, at the points of its experiments; `first` is where the outcomes of the
    `measured` groups begin. `terms` are labels over the device's qubits."""

    experiments: tuple[int, ...]
    terms: Mapping[str, float]
    measured: tuple[Measured, ...]
    first: int


@dataclass(frozen=True, slots=True)
class Piece:
    """What is run for a group: the work, and with it how its measurements are randomised (level 1)."""

    work: Work
    circuit: Circuit
    template: trex.Template | None = None
    randomisation: Randomisation | None = None


class V1EstimatorPlan(Plan):
    """A checked V1 estimator job. `qubits` are those of the readout calibration, which runs last; none for
    level 0. `shots` are those of a circuit with all its randomisations."""

    def __init__(
        self,
        prepared: Prepared,
        pieces: list[Piece],
        job: Job,
        runs: list[Run],
        shots: int,
        qubits: Sequence[int],
    ) -> None:
        work = [piece.work for piece in pieces]
        super().__init__(prepared, work, job.settings.seed, memory=False, conditions=job.conditions)
        self._pieces = pieces
        self._runs = runs
        self._shots = shots
        self._qubits = qubits
        self._flips: list[NDArray[np.bool_]] = []

    def tasks(self, device: DeviceContext) -> list[Task]:
        """Randomisations are drawn here, anew for each run; a seed fixes them as well."""
        if not self._qubits:
            return super().tasks(device)
        device = device.under(self.conditions)
        seed = self._seed if self._seed is not None else device.driver.options.get("seed")
        fixed = isinstance(seed, int) and not isinstance(seed, bool) and seed >= 0
        random = np.random.default_rng(seed if fixed else fresh_seed())
        made = []
        self._flips = []
        for piece in self._pieces:
            assert piece.template is not None
            assert piece.randomisation is not None
            work = piece.work
            drawn = piece.randomisation.draw(random, work.where)
            device.check_points(piece.circuit, drawn.values, work.where)
            self._flips.append(piece.template.flips(drawn))
            made.append(Task(device.compiled(work.key, work.make, work.where), drawn.values, work.shots))
        return made

    def result(self, outcomes: list[list[Outcome]], window: Window) -> bytes:
        del window  # results of V1 do not say when
        fidelities = trex.Fidelities(self._qubits, outcomes[-1], self._flips[-1]) if self._qubits else None
        count = sum(len(run.experiments) for run in self._runs)
        values: list[float] = [0.0] * count
        metadata: list[dict[str, Any]] = [{} for _ in range(count)]
        for run in self._runs:
            totals, variances, left_out = self._totals(run, outcomes, fidelities)
            for place, number in enumerate(run.experiments):
                values[number] = float(totals[place])
                about: dict[str, Any] = {"variance": float(variances[place]), "shots": self._shots}
                if fidelities is not None:
                    about |= {
                        "readout_mitigation_num_twirled_circuits": trex.TWIRLS,
                        "readout_mitigation_shots_calibration": fidelities.shots,
                        "readout_mitigation_method": "twirled readout error extinction",
                    }
                    if left_out:
                        about["readout_mitigation_terms_left_out"] = left_out
                metadata[number] = about
        return encode.to_text({"values": values, "metadata": metadata})

    def _totals(
        self, run: Run, outcomes: Sequence[Sequence[Outcome]], fidelities: trex.Fidelities | None
    ) -> tuple[NDArray[np.float64], NDArray[np.float64], int]:
        """(points,) values and variances of a shot, and how many terms are not mitigated."""
        points = len(run.experiments)
        totals = np.full(points, sum((c for label, c in run.terms.items() if not label.strip("I")), 0.0))
        variances = np.zeros(points)
        left_out = 0
        for number, measured in enumerate(run.measured, start=run.first):
            group = measured.group
            found = np.array([group.expectations(o, measured.first_bit) for o in outcomes[number]])
            if fidelities is not None:
                signs = _signs(self._flips[number], group)
                found = (found * signs).reshape(trex.TWIRLS, points, -1).mean(axis=0)
            for column, (label, members) in enumerate(zip(group.labels, group.members, strict=True)):
                factor = None
                if fidelities is not None:
                    factor = fidelities.factor([group.basis[place][0] for place in members])
                    left_out += factor is None
                weight = run.terms[label] * (1.0 if factor is None else factor)
                totals += weight * found[:, column]
                variances += weight**2 * np.maximum(1 - found[:, column] ** 2, 0)
        return totals, variances, left_out


def _signs(flips: NDArray[np.bool_], group: Group) -> NDArray[np.int64]:
    """(elements, labels) the sign that the flips give to each term."""
    signs = 1 - 2 * flips.astype(np.int64)
    return np.stack([signs[:, list(who)].prod(axis=1) for who in group.members], axis=1)


class V1Estimator(V1Program):
    """`Estimator` of clients up to 0.27."""

    name = "estimator"
    title = "estimator (V1)"
    inputs = (*INPUTS, "observables", "observable_indices")
    options = Options(title, *v1_options(0, 1, 2, 3), where="params.")

    def plan(self, device: DeviceContext, params: bytes) -> Plan:
        """Check a job. Raises `JobRefused`."""
        job = self.open(device, params)
        device = device.under(job.conditions)
        if job.resilience > 1:
            return beyond.plan(device, job, [one.wanted() for one in _asked(device, job)])
        checking = _Checking(device, job)
        for asked in _asked(device, job):
            checking.add(asked)
        return checking.plan()


@dataclass(slots=True)
class _Asked:
    """Experiments of one circuit and observable."""

    fitted: Fitted
    terms: Mapping[str, float]
    key: bytes
    where: str
    experiments: list[int] = field(default_factory=list)
    values: list[NDArray[np.float64]] = field(default_factory=list)

    def wanted(self) -> beyond.Wanted:
        values = np.stack(self.values)
        return beyond.Wanted(
            self.where, self.fitted.circuit, self.terms, self.key, tuple(self.experiments), values
        )


def _asked(device: DeviceContext, job: Job) -> list[_Asked]:
    fitter = Fitter(device, job)
    found: dict[tuple[bytes, bytes], _Asked] = {}
    read: dict[int, tuple[bytes, Mapping[str, float]]] = {}
    for number, experiment in enumerate(job.experiments):
        fitted = fitter.circuit(experiment.circuit)
        index = experiment.observable
        assert index is not None
        if index not in read:
            text, at = job.observables[index], f"observables[{index}]"
            device.at = at
            key = blake2b(bytes(text), digest_size=20).digest()
            read[index] = key, operators.read(text, at, job.budget)
        key, terms = read[index]
        pair = (fitted.circuit.key, key)
        if pair not in found:
            where = f"circuits[{experiment.circuit}] with observables[{index}]"
            found[pair] = _Asked(fitted, _placed(fitted, terms, where), key, where)
        found[pair].experiments.append(number)
        names = job.names[experiment.circuit]
        found[pair].values.append(fitted.values(experiment.values, names, experiment.where))
    return list(found.values())


def _placed(fitted: Fitted, terms: Mapping[str, float], where: str) -> Mapping[str, float]:
    """The terms over the qubits of the circuit as it runs."""
    width = len(next(iter(terms)))
    if width != len(fitted.places):
        raise JobRefused(
            f"{where}: the observable acts on {width} qubits, the circuit has {len(fitted.places)}; "
            "they must "
            "be as many"
        )
    whole = int(fitted.circuit.circuit.num_qubits)
    made = {}
    for label, coefficient in terms.items():
        letters = ["I"] * whole
        for qubit, letter in enumerate(reversed(label)):
            letters[whole - 1 - fitted.places[qubit]] = letter
        made["".join(letters)] = coefficient
    return made


class _Checking:
    """Goes through what a job asks for, and adds up what that takes."""

    def __init__(self, device: DeviceContext, job: Job) -> None:
        self._device = device
        self._job = job
        self._tally = Tally(device, job.settings)
        self._runs: list[Run] = []
        self._pieces: list[Piece] = []
        self._qubits: set[int] = set()
        self._twirls = trex.TWIRLS if job.resilience else 1
        self._each = math.ceil(job.shots / self._twirls)  # shots of one randomisation
        self._width = 1

    def add(self, asked: _Asked) -> None:
        """Raises `JobRefused`."""
        device, circuit, where = self._device, asked.fitted.circuit, asked.where
        values = np.stack(asked.values)
        device.check_points(circuit, values, where)
        if len(values) * self._twirls > MAX_POINTS:
            raise JobRefused(
                f"{where}: {len(values)} points, {self._twirls} randomisations of each; the limit is "
                f"{MAX_POINTS} circuits"
            )
        self._tally.warnings.extend(f"{where}: {warning}" for warning in circuit.timing.warnings)
        self._tally.result(_RESULT * len(values))
        whole = Observables((), (asked.terms,), int(circuit.circuit.num_qubits))
        grouping: Grouping = device.recall(
            ("v1 groups", circuit.key, asked.key), lambda: basis.group(whole, (0,))
        )
        first, measured = len(self._pieces), []
        for group in grouping.groups:
            measured.append(self._measured(circuit, group, where))
            self._piece(measured[-1], values, where)
            self._qubits.update(qubit for qubit, _ in group.basis)
        self._width = max(self._width, whole.width)
        self._runs.append(Run(tuple(asked.experiments), asked.terms, tuple(measured), first))

    def _measured(self, circuit: Circuit, group: Group, where: str) -> Measured:
        device = self._device

        def plain() -> QuantumCircuit:
            return basis.measured(device, circuit.circuit, group)

        if not self._job.resilience:
            key = (circuit.key, "v1", group.basis)
            return Measured(group, circuit, key, plain, int(circuit.circuit.num_clbits))
        trex.check(circuit, where)
        name = circuit.key + repr(group.basis).encode()

        def randomised() -> tuple[trex.Template, int]:
            made = plain()
            found = trex.template(device, made, len(circuit.circuit.data), b"trex" + name, where)
            return found, 8192 + 2000 * len(made.data)

        template: trex.Template = device.recall(("v1 randomised", name), randomised)
        native = template.circuit.circuit
        first = int(native.num_clbits) - len(group.basis)
        return Measured(
            group, template.circuit, (template.circuit.key, "v1"), lambda: native, first, template
        )

    def _piece(self, measured: Measured, values: NDArray[np.float64], where: str) -> None:
        randomisation, template = None, measured.template
        if template is not None:
            randomisation = template.randomisation(values, where)
            randomisation.check(self._device.memory, where)
            size = len(values) * self._twirls * template.samplex.num_values
            if size > MAX_VALUES:
                raise JobRefused(
                    f"{where}: the circuits have {size} parameter values together, over all points and "
                    f"randomisations; the limit is {MAX_VALUES}. Split the job, or {trex.INSTEAD}"
                )
            values = randomisation.trial(1, where)
        work = Work(measured.key, measured.make, values, self._each, where)
        self._add(Piece(work, measured.circuit, template, randomisation))

    def _add(self, piece: Piece) -> None:
        work, times = piece.work, 1 if piece.randomisation is None else piece.randomisation.times
        self._tally.add(piece.circuit, work.values, work.shots, times)
        self._tally.limit()
        self._tally.memory(work, piece.circuit, in_order=False)
        self._pieces.append(piece)
        if piece.circuit.checked.dynamic:  # what the device cannot do inside control flow is better said now
            work.task(self._device)

    def plan(self) -> V1EstimatorPlan:
        """Raises `JobRefused`."""
        device, job = self._device, self._job
        qubits = sorted(self._qubits) if job.resilience else []
        if qubits:
            where = "the readout calibration"
            template = trex.calibration(device, qubits)
            randomisation = template.randomisation(np.zeros((1, 0)), where)
            values = randomisation.trial(1, where)
            circuit = template.circuit
            shots = trex.calibration_shots(device)
            work = Work((circuit.key, "v1"), lambda: circuit.circuit, values, shots, where)
            self._add(Piece(work, circuit, template, randomisation))
        prepared = self._tally.prepared(self._width)
        return V1EstimatorPlan(prepared, self._pieces, job, self._runs, self._each * self._twirls, qubits)


ESTIMATOR = V1Estimator()
