"""The options of an estimator that mitigate errors, with what is allowed. Imports nothing of what does it."""

from __future__ import annotations

import math
from typing import Any

from sojourn.worker.programs.mitigated.asked import NEEDED_FACTORS
from sojourn.worker.programs.options import (
    COUNT,
    COUNT_OR_AUTO,
    ON_OFF,
    SWITCH,
    Limits,
    Option,
    count,
    count_or_auto,
    exactly,
    words,
)

MAX_FACTORS = 20
MAX_FACTOR = 100
MAX_DEPTHS = 50
MAX_DEPTH = 1_000
AMPLIFIERS = ("gate_folding", "gate_folding_front", "gate_folding_back", "pea")


def _real(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _numbers(value: Any, least: int, low: float, high: float) -> bool:
    return (
        isinstance(value, list)
        and least <= len(value) <= MAX_FACTORS
        and all(_real(one) and low <= one <= high for one in value)
    )


def _factors(value: Any, _: Limits) -> bool:
    return value == "auto" or (_numbers(value, 2, 1, MAX_FACTOR) and len(set(value)) == len(value))


def _points(value: Any, _: Limits) -> bool:
    return value == "auto" or _numbers(value, 1, 0, MAX_FACTOR)


def _extrapolators(value: Any, _: Limits) -> bool:
    names = [value] if isinstance(value, str) else value
    return (
        isinstance(names, list)
        and 0 < len(names) <= MAX_FACTORS
        and all(isinstance(name, str) and name in NEEDED_FACTORS for name in names)
    )


def _overhead(value: Any, _: Limits) -> bool:
    return _real(value) and bool(value > 0)


def _gain(value: Any, _: Limits) -> bool:
    return value == "auto" or (_real(value) and bool(0 <= value <= MAX_FACTOR))


def _layers(value: Any, _: Limits) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _depths(value: Any, _: Limits) -> bool:
    return (
        isinstance(value, list)
        and 2 <= len(value) <= MAX_DEPTHS
        and all(isinstance(one, int) and not isinstance(one, bool) and 0 <= one <= MAX_DEPTH for one in value)
    )


def _model(value: Any, _: Limits) -> bool:
    return isinstance(value, list | dict)


_ZNE = "resilience.zne"
_TREX = "resilience.measure_noise_learning"
_LEARN = "resilience.layer_noise_learning"

RESILIENCE: tuple[Option, ...] = (
    Option("resilience_level", "honoured", "0, 1 or 2", exactly(0, 1, 2)),
    Option("resilience.measure_mitigation", "honoured", SWITCH, ON_OFF),
    Option("resilience.zne_mitigation", "honoured", SWITCH, ON_OFF),
    Option("resilience.pec_mitigation", "honoured", SWITCH, ON_OFF),
    Option(f"{_TREX}.num_randomizations", "honoured", COUNT, count),
    Option(f"{_TREX}.shots_per_randomization", "honoured", COUNT_OR_AUTO, count_or_auto),
    Option(f"{_ZNE}.amplifier", "honoured", words(AMPLIFIERS), exactly(*AMPLIFIERS)),
    Option(
        f"{_ZNE}.noise_factors",
        "honoured",
        f"2 to {MAX_FACTORS} different numbers from 1 to {MAX_FACTOR}, as many as the extrapolators need",
        _factors,
    ),
    Option(
        f"{_ZNE}.extrapolator", "honoured", f"one or a list of {words(tuple(NEEDED_FACTORS))}", _extrapolators
    ),
    Option(
        f"{_ZNE}.extrapolated_noise_factors",
        "honoured",
        f'1 to {MAX_FACTORS} numbers from 0 to {MAX_FACTOR}, or "auto"',
        _points,
    ),
    Option(
        "resilience.pec.max_overhead",
        "honoured",
        "a number above 0; null, for no maximum, with a `layer_noise_model`",
        _overhead,
    ),
    Option("resilience.pec.noise_gain", "honoured", f'a number from 0 to {MAX_FACTOR}, or "auto"', _gain),
    Option(f"{_LEARN}.max_layers_to_learn", "honoured", "an integer of at least 0; null for all", _layers),
    Option(f"{_LEARN}.shots_per_randomization", "honoured", COUNT, count),
    Option(f"{_LEARN}.num_randomizations", "honoured", COUNT, count),
    Option(
        f"{_LEARN}.layer_pair_depths",
        "honoured",
        f"2 to {MAX_DEPTHS} integers from 0 to {MAX_DEPTH}",
        _depths,
    ),
    Option(
        "resilience.layer_noise_model",
        "honoured",
        "a NoiseLearnerResult or a list of LayerError; null to learn the noise in the job",
        _model,
    ),
)
