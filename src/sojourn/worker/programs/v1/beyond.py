"""Levels 2 and 3 of the V1 estimator: extrapolation to zero noise, and probabilistic error cancellation.

They are carried out as the options of today's estimator would be (`mitigated`), and worded as results of V1.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from sojourn.devices.driver import Outcome, Task
from sojourn.worker.codec import encode
from sojourn.worker.codec.decode import Observables
from sojourn.worker.programs import options
from sojourn.worker.programs.base import Plan, Window
from sojourn.worker.programs.conditions import NOTHING_BARRED
from sojourn.worker.programs.device import Circuit, DeviceContext
from sojourn.worker.programs.mitigated.asked import Asked, Learning, Pec, Trex, Twirling, Zne
from sojourn.worker.programs.tally import Tally
from sojourn.worker.programs.v1.form import Job
from sojourn.worker.protocol.types import JobRefused
from sojourn.worker.wording import quoted

EXTRAPOLATORS: Mapping[str, str] = {
    "LinearExtrapolator": "linear",
    "QuadraticExtrapolator": "polynomial_degree_2",
    "CubicExtrapolator": "polynomial_degree_3",
    "QuarticExtrapolator": "polynomial_degree_4",
}
"""The extrapolators of V1, by today's names: polynomials of the degrees 1 to 4."""

AMPLIFIER = "TwoQubitAmplifier"
"""The only one that is left of V1's: it folds the gates on two qubits, from the first one on."""

DEFAULT_FACTORS = (1.0, 3.0, 5.0)
DEFAULT_EXTRAPOLATOR = "LinearExtrapolator"
CONFIDENCE = 0.95
MAX_OVERHEAD = 100.0
"""Of error cancellation, as of today's estimator: V1 has no option for it."""

_MAX_FACTORS, _MAX_FACTOR = 20, 100
_NORMAL = 1.959963984540054  # standard errors of that confidence, to each side
_WHERE = "params.resilience_settings"
_INSTEAD = f"set {_WHERE}.level to 0 or 1"
_RESULT = 2000  # characters of a value with its metadata, at most, beside what each noise factor takes


@dataclass(frozen=True, slots=True)
class Wanted:
    """Experiments of one circuit and observable: their numbers in the job, and `values`, (points,
    parameters). `key` names the observable, whose `terms` are labels over the qubits of the circuit."""

    where: str
    circuit: Circuit
    terms: Mapping[str, float]
    key: bytes
    experiments: tuple[int, ...]
    values: NDArray[np.float64]


class BeyondPlan(Plan):
    """A checked V1 estimator job of level 2 or 3. `inner` is the same job as one of today's estimator."""

    def __init__(self, inner: Any, wanted: Sequence[Wanted], job: Job, asked: Asked) -> None:
        super().__init__(inner.prepared, [], seed=None, memory=True, conditions=job.conditions)
        self._inner = inner
        self._wanted = wanted
        self._job = job
        self._asked = asked

    def tasks(self, device: DeviceContext) -> list[Task]:
        found: list[Task] = self._inner.tasks(device)
        return found

    def execute(self, device: DeviceContext, tasks: Sequence[Task]) -> tuple[list[list[Outcome]], Window]:
        found: tuple[list[list[Outcome]], Window] = self._inner.execute(device, tasks)
        return found

    def result(self, outcomes: list[list[Outcome]], window: Window) -> bytes:
        del window  # results of V1 do not say when
        count = sum(len(wanted.experiments) for wanted in self._wanted)
        values: list[float] = [0.0] * count
        metadata: list[dict[str, Any]] = [{} for _ in range(count)]
        for wanted, found in zip(self._wanted, self._inner.found(outcomes), strict=True):
            for place, number in enumerate(wanted.experiments):
                values[number] = float(found.values["evs"][place])
                about = self._extrapolated if self._asked.zne is not None else self._cancelled
                metadata[number] = about(found, place)
        return encode.to_text({"values": values, "metadata": metadata})

    def _extrapolated(self, found: Any, place: int) -> dict[str, Any]:
        zne = self._asked.zne
        assert zne is not None
        shots = int(found.metadata["shots"])
        errors = found.values["ensemble_stds_noise_factors"][place]
        chosen = {name: own for own, name in EXTRAPOLATORS.items()}[zne.extrapolators[0]]
        return {
            "zne": {
                "noise_amplification": {
                    "noise_amplifier": AMPLIFIER,
                    "noise_factors": list(zne.factors),
                    "values": _plain(found.values["evs_noise_factors"][place]),
                    "variance": _plain(errors**2 * shots),
                    "shots": [shots] * len(zne.factors),
                },
                "extrapolation": {"extrapolator": chosen},
            },
            "standard_error": _number(found.values["stds"][place]),
            "shots": shots * len(zne.factors),
        }

    def _cancelled(self, found: Any, place: int) -> dict[str, Any]:
        value, error = (float(found.values[name][place]) for name in ("evs", "stds"))
        layers = found.metadata["resilience"]["layer_noise"]
        return {
            "standard_error": _number(error),
            "confidence_interval": [_number(value - _NORMAL * error), _number(value + _NORMAL * error)],
            "confidence_level": CONFIDENCE,
            "shots": int(found.metadata["shots"]),
            "samples": int(found.metadata["num_randomizations"]),
            "sampling_overhead": _number(found.metadata["resilience"]["pec"]["num_randomizations_scaling"]),
            "total_mitigated_layers": layers["total_mitigated_layers"],
            "unique_mitigated_layers": layers["unique_mitigated_layers"],
            "readout_mitigation_method": "twirled readout error extinction",
        }


def _number(value: Any) -> float | None:
    """As JSON has it: an error that is not known is null."""
    found = float(value)
    return found if math.isfinite(found) else None


def _plain(values: NDArray[np.float64]) -> list[float | None]:
    return [_number(value) for value in values]


def asked_of(job: Job) -> Asked:
    """What level 2 or 3 of a job asks for. Raises `JobRefused`."""
    if job.resilience == 2:
        return Asked(level=2, zne=_zne(job.amplification))
    return Asked(
        level=3,
        twirling=Twirling(gates=True, measure=True),
        trex=Trex(32, "auto"),
        pec=Pec(MAX_OVERHEAD, "auto"),
        learning=Learning(None, 128, 32, (0, 1, 2, 4, 16, 32)),
    )


def _zne(given: Mapping[str, Any]) -> Zne:
    faults = []
    amplifier = given.get("noise_amplifier") or AMPLIFIER
    if amplifier != AMPLIFIER:
        faults.append(
            f"{_WHERE}.noise_amplifier is {quoted(amplifier)}; at level 2 it is {AMPLIFIER} here: the others "
            "have no counterpart in the packages that mitigate today, and clients warned of them since 0.12"
        )
    name = given.get("extrapolator") or DEFAULT_EXTRAPOLATOR
    if not isinstance(name, str) or name not in EXTRAPOLATORS:
        known = ", ".join(EXTRAPOLATORS)
        faults.append(f"{_WHERE}.extrapolator is {quoted(name)}; it must be one of {known}")
        name = DEFAULT_EXTRAPOLATOR
    factors = given.get("noise_factors") or list(DEFAULT_FACTORS)
    if not _are_factors(factors):
        faults.append(
            f"{_WHERE}.noise_factors is {quoted(factors)}; it must be a list of 2 to {_MAX_FACTORS} "
            f"different numbers from 1 to {_MAX_FACTOR}"
        )
    elif len(factors) < (needed := list(EXTRAPOLATORS).index(name) + 2):
        faults.append(
            f"{_WHERE}.noise_factors has {len(factors)} factors; {name} needs at least {needed}. Give more, "
            "or choose another extrapolator"
        )
    options.refuse(faults)
    numbers = tuple(map(float, factors))
    return Zne("gate_folding_front", numbers, (EXTRAPOLATORS[name],), (0.0, *numbers))


def _are_factors(value: Any) -> bool:
    return (
        isinstance(value, list)
        and 2 <= len(value) <= _MAX_FACTORS
        and all(type(factor) in (int, float) and 1 <= factor <= _MAX_FACTOR for factor in value)
        and len(set(value)) == len(value)
    )


def plan(device: DeviceContext, job: Job, wanted: Sequence[Wanted]) -> BeyondPlan:
    """The plan of a job of level 2 or 3. Raises `JobRefused`."""
    # loaded by the first job that asks for it: few do, and the packages behind it are large
    from sojourn.worker.programs.mitigated import estimator as mitigated

    asked = asked_of(job)
    for one in wanted:
        if one.circuit.checked.dynamic or one.circuit.timing.timed:
            what = "control flow" if one.circuit.checked.dynamic else "delays that depend on parameters"
            raise JobRefused(
                f"{one.where}: the circuit has {what}, and errors are not mitigated at level "
                f"{job.resilience} of the estimator (V1) with these; {_INSTEAD}"
            )
    # what is prepared is kept by these options
    settings = replace(
        job.settings,
        given={"resilience_settings.level": job.resilience, "resilience_settings": dict(job.amplification)},
    )
    tally = Tally(device, settings)
    pubs = []
    for one in wanted:
        device.check_points(one.circuit, one.values, one.where)
        tally.warnings.extend(f"{one.where}: {warning}" for warning in one.circuit.timing.warnings)
        factors = len(asked.zne.factors) if asked.zne is not None else 0
        tally.result((_RESULT + 100 * factors) * len(one.values))
        pubs.append(
            mitigated.Pub(
                where=one.where,
                circuit=one.circuit,
                values=one.values,
                key=one.key,
                observables=Observables((), (one.terms,), int(one.circuit.circuit.num_qubits)),
                shape=(len(one.values),),
                shots=job.shots,
                precision=1 / math.sqrt(job.shots),
                metadata=msgspec.Raw(b"{}"),
            )
        )
    inner = mitigated.plan(device, pubs, asked, settings, NOTHING_BARRED, job.budget, tally)
    return BeyondPlan(inner, wanted, job, asked)
