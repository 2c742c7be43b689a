"""Settles what the options of a job ask for: levels, defaults, and what contradicts itself. Pure data.

The defaults are those of the client's V2 options; what a resilience level switches on is what the hosted
service switches on with it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from sojourn.devices.conditions import Conditions
from sojourn.worker.programs import options
from sojourn.worker.protocol.types import JobRefused
from sojourn.worker.wording import said

Auto = int | Literal["auto"]

NEEDED_FACTORS = {
    "linear": 2,
    "exponential": 2,
    "double_exponential": 4,
    "fallback": 2,
    **{f"polynomial_degree_{degree}": degree + 1 for degree in range(1, 8)},
}
"""How many noise factors an extrapolator needs."""

_AMPLIFIER = "gate_folding"
_DECOUPLING = {
    "sequence_type": "XX",
    "extra_slack_distribution": "middle",
    "scheduling_method": "alap",
    "skip_reset_qubits": False,
}


@dataclass(frozen=True, slots=True)
class Twirling:
    """What is twirled, and how the shots are divided."""

    gates: bool = False
    measure: bool = False
    randomizations: Auto = "auto"
    shots: Auto = "auto"
    strategy: str = "active-accum"

    @property
    def on(self) -> bool:
        return self.gates or self.measure

    def settled(self, shots: int, stated: bool, where: str) -> int:
        """The shots of a pub. Numbers of randomisations and of shots of each win over the options' `shots`;
        when the pub or the run states them, the numbers must give as many. Raises `JobRefused`."""
        if not self.on or self.randomizations == "auto" or self.shots == "auto":
            return shots
        if not stated:
            return self.randomizations * self.shots
        if self.randomizations * self.shots >= shots:
            return shots
        raise JobRefused(
            f"{where} asks for {shots} shots, while options.twirling.num_randomizations = "
            f"{self.randomizations} and options.twirling.shots_per_randomization = {self.shots} make "
            f"{self.randomizations * self.shots}; leave one of the two out (or set it to 'auto'), or ask "
            "for fewer shots"
        )


@dataclass(frozen=True, slots=True)
class Zne:
    """Zero-noise extrapolation. `points` are the noise factors at which the fits are evaluated."""

    amplifier: str
    factors: tuple[float, ...]
    extrapolators: tuple[str, ...]
    points: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Pec:
    """Probabilistic error cancellation. Without a `max_overhead` there is no limit."""

    max_overhead: float | None
    noise_gain: float | Literal["auto"]


@dataclass(frozen=True, slots=True)
class Trex:
    """How the readout error is learned."""

    randomizations: int
    shots: Auto


@dataclass(frozen=True, slots=True)
class Learning:
    """How the noise of layers is learned when a job brings no model. Without `max_layers` all are."""

    max_layers: int | None
    shots: int
    randomizations: int
    depths: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Asked:
    """What a job asks for. `model` is the layer noise model as it came, None without one."""

    level: int = 0
    decoupling: Mapping[str, Any] | None = None
    twirling: Twirling = Twirling()
    trex: Trex | None = None
    zne: Zne | None = None
    pec: Pec | None = None
    model: Any = None
    learning: Learning | None = None

    @property
    def anything(self) -> bool:
        """Whether the job is more than its circuits as they are."""
        return bool(self.twirling.on or self.decoupling or self.trex or self.zne or self.pec)

    @property
    def injects(self) -> bool:
        """Whether noise is injected, for which a model of the layers' noise is needed."""
        return self.pec is not None or (self.zne is not None and self.zne.amplifier == "pea")


def of_sampler(given: Mapping[str, Any]) -> Asked:
    """What the options of a sampler job ask for; `given` are the set ones by their dotted names."""
    gates, measure = (given.get(f"twirling.enable_{what}") is True for what in ("gates", "measure"))
    return Asked(decoupling=_decoupling(given), twirling=_twirling(given, gates=gates, measure=measure))


def of_estimator(given: Mapping[str, Any], default_level: int) -> Asked:
    """What the options of an estimator job ask for. Raises `JobRefused` for what contradicts itself."""
    reader = _Reader(given, default_level)
    asked = reader.asked()
    options.refuse(reader.faults)
    return asked


class _Reader:
    def __init__(self, given: Mapping[str, Any], default_level: int) -> None:
        self.faults: list[str] = []
        self._given = given
        level = given.get("resilience_level")
        self._level = default_level if level is None else int(level)
        self._whence = (
            f"resilience_level = {self._level}"
            if level is not None
            else f"resilience_level = {self._level} (the default here)"
        )

    def asked(self) -> Asked:
        given, level = self._given, self._level
        trex = self._switch("resilience.measure_mitigation", level >= 1)
        zne = self._switch("resilience.zne_mitigation", level >= 2)
        pec = self._switch("resilience.pec_mitigation", False)
        extrapolation = self._zne() if zne else None
        gates = self._switch("twirling.enable_gates", level >= 2)
        measure = self._switch("twirling.enable_measure", level >= 1)
        injects = pec or (extrapolation is not None and extrapolation.amplifier == "pea")
        if injects:
            method = "PEC" if pec else "PEA"
            gates = self._needed("twirling.enable_gates", method)
        if trex or injects:
            measure = self._needed("twirling.enable_measure", "measurement mitigation" if trex else method)
        if zne and pec:
            self.faults.append(
                f"options.resilience.pec_mitigation = True contradicts zero-noise extrapolation, which "
                f"{self._switched_by('resilience.zne_mitigation')} switches on; set "
                "options.resilience.zne_mitigation = False, or leave PEC out"
            )
        model = given.get("resilience.layer_noise_model")
        cancelling = self._pec(model is not None) if pec else None
        return Asked(
            level=level,
            decoupling=_decoupling(given),
            twirling=_twirling(given, gates=gates, measure=measure),
            trex=self._trex() if trex else None,
            zne=extrapolation,
            pec=cancelling,
            model=model if injects else None,
            learning=self._learning() if injects and model is None else None,
        )

    def _switch(self, name: str, default: bool) -> bool:
        value = self._given.get(name)
        return default if value is None else bool(value)

    def _needed(self, name: str, method: str) -> bool:
        """A switch that a method needs. Switched off by its name it contradicts the method."""
        if self._given.get(name) is False:
            self.faults.append(
                f"options.{name} = False contradicts {method}, which needs it; leave it out, or switch "
                f"{method} off ({self._whence})"
            )
        return True

    def _switched_by(self, name: str) -> str:
        return f"options.{name} = True" if self._given.get(name) else self._whence

    def _zne(self) -> Zne:
        given, section = self._given, "resilience.zne"
        amplifier = given.get(f"{section}.amplifier") or _AMPLIFIER
        factors = given.get(f"{section}.noise_factors")
        factors = (1.0, 3.0, 5.0) if factors in (None, "auto") else tuple(map(float, factors))
        names = given.get(f"{section}.extrapolator") or ("exponential", "linear")
        extrapolators = (names,) if isinstance(names, str) else tuple(names)
        points = given.get(f"{section}.extrapolated_noise_factors")
        evaluated = (0.0, *factors) if points in (None, "auto") else tuple(map(float, points))
        for name in extrapolators:
            if len(factors) < NEEDED_FACTORS[name]:
                self.faults.append(
                    f"options.{section}.noise_factors has {len(factors)} factors; the extrapolator {name!r} "
                    f"needs at least {NEEDED_FACTORS[name]}. Give more, or choose another extrapolator"
                )
        return Zne(amplifier, factors, extrapolators, evaluated)

    def _pec(self, has_model: bool) -> Pec:
        name = "resilience.pec.max_overhead"
        unlimited = name in self._given and self._given[name] is None
        if unlimited and not has_model:
            self.faults.append(
                f"options.{name} = None is taken with a options.resilience.layer_noise_model only: while the "
                "noise is not known, neither is the work of the job. Give a number, or the model"
            )
        gain = self._given.get("resilience.pec.noise_gain")
        return Pec(
            None if unlimited else float(self._given.get(name, 100.0)),
            "auto" if gain in (None, "auto") else float(gain),
        )

    def _trex(self) -> Trex:
        section = "resilience.measure_noise_learning"
        return Trex(
            self._given.get(f"{section}.num_randomizations") or 32,
            self._given.get(f"{section}.shots_per_randomization") or "auto",
        )

    def _learning(self) -> Learning:
        given, section = self._given, "resilience.layer_noise_learning"
        depths: Sequence[int] | None = given.get(f"{section}.layer_pair_depths")
        return Learning(
            given.get(f"{section}.max_layers_to_learn", 4),
            given.get(f"{section}.shots_per_randomization") or 128,
            given.get(f"{section}.num_randomizations") or 32,
            tuple(depths) if depths else (0, 1, 2, 4, 16, 32),
        )


def compatible(asked: Asked, conditions: Conditions) -> None:
    """Raises `JobRefused` for suppression or mitigation that means nothing under these conditions."""
    if conditions.level != "classified" and asked.twirling.measure:
        raise JobRefused(
            f"options.execution.meas_type = {conditions.level!r} together with "
            "options.twirling.enable_measure = True: some of the qubits are flipped before a twirled "
            "measurement and their bits are flipped back, and a signal has no bit that could be flipped. "
            "Leave measurement twirling out (gate twirling and dynamical decoupling go with signals), or "
            "measure 'classified'"
        )
    if conditions.carried and (asked.trex or asked.learning):
        what = "the readout error" if asked.trex else "the noise of layers"
        remedy = (
            "set options.resilience.measure_mitigation = False (resilience_level 1 and 2 switch it on)"
            if asked.trex
            else "give options.resilience.layer_noise_model"
        )
        raise JobRefused(
            f"options.execution.init_qubits = False together with a measurement of {what}: the circuits that "
            "measure it say something only of qubits that start in their ground state, and these start where "
            f"the last shot left them. Let the qubits be initialised, or {remedy}"
        )


def _decoupling(given: Mapping[str, Any]) -> Mapping[str, Any] | None:
    if given.get("dynamical_decoupling.enable") is not True:
        return None
    chosen = {name: given.get(f"dynamical_decoupling.{name}") for name in _DECOUPLING}
    return {name: _DECOUPLING[name] if value is None else value for name, value in chosen.items()}


def _twirling(given: Mapping[str, Any], *, gates: bool, measure: bool) -> Twirling:
    return Twirling(
        gates,
        measure,
        given.get("twirling.num_randomizations") or "auto",
        given.get("twirling.shots_per_randomization") or "auto",
        given.get("twirling.strategy") or "active-accum",
    )


def unavailable(missing: ImportError) -> JobRefused:
    """The refusal of a device whose environment has not what mitigation is made with."""
    return JobRefused(
        "The options of twirling, dynamical decoupling and resilience that the job asks for need Qiskit 2.3, "
        "samplomatic and qiskit-mitigation, which this device's Python environment does not have "
        f"({said(missing, 100)}). Leave them out, or use another device"
    )
