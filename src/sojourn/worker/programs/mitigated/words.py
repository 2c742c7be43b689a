"""Words what was asked for: as fields of the client's options models, and as metadata of a result."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sojourn.worker.programs.mitigated.asked import Asked, Learning


def sampler_fields(asked: Asked, level: str = "classified") -> dict[str, Any]:
    """Fields of the client's `SamplerOptions` model; `level` is that of the measurement."""
    return {
        "twirling": _twirling(asked),
        "dynamical_decoupling": _decoupling(asked),
        "execution": {"meas_type": level},
    }


def estimator_fields(asked: Asked) -> dict[str, Any]:
    """Fields of the client's `EstimatorOptions` model, without a noise model."""
    resilience: dict[str, Any] = {
        "measure_mitigation": asked.trex is not None,
        "zne_mitigation": asked.zne is not None,
        "pec_mitigation": asked.pec is not None,
    }
    if asked.trex is not None:
        resilience["measure_noise_learning"] = {"num_randomizations": asked.trex.randomizations}
    if asked.zne is not None:
        resilience["zne"] = {
            "amplifier": asked.zne.amplifier,
            "noise_factors": list(asked.zne.factors),
            "extrapolator": list(asked.zne.extrapolators),
            "extrapolated_noise_factors": list(asked.zne.points),
        }
    if asked.pec is not None:
        resilience["pec"] = {"max_overhead": asked.pec.max_overhead, "noise_gain": asked.pec.noise_gain}
    return {
        "resilience_level": 0,  # what a level switches on is settled
        "resilience": resilience,
        "twirling": _twirling(asked),
        "dynamical_decoupling": _decoupling(asked),
    }


def learning_fields(learning: Learning) -> dict[str, Any]:
    """Fields of the client's `NoiseLearnerV3Options` model."""
    return {
        "num_randomizations": learning.randomizations,
        "shots_per_randomization": learning.shots,
        "layer_pair_depths": list(learning.depths),
    }


def _twirling(asked: Asked) -> dict[str, Any]:
    twirling = asked.twirling
    return {
        "enable_gates": twirling.gates,
        "enable_measure": twirling.measure,
        "num_randomizations": twirling.randomizations,
        "shots_per_randomization": twirling.shots,
        "strategy": twirling.strategy,
    }


def _decoupling(asked: Asked) -> dict[str, Any]:
    return {"enable": False} if asked.decoupling is None else {"enable": True, **asked.decoupling}


def suppression(asked: Asked) -> dict[str, Any]:
    """What of a result's metadata says how errors were suppressed."""
    twirling = _twirling(asked) if asked.twirling.on else {"enable_gates": False, "enable_measure": False}
    if asked.twirling.on:
        twirling["interleave_randomizations"] = False
    return {"dynamical_decoupling": _decoupling(asked), "twirling": twirling}


def resilience(asked: Asked) -> dict[str, Any]:
    """What of an estimator's metadata says how errors were mitigated."""
    found: dict[str, Any] = {
        "measure_mitigation": asked.trex is not None,
        "zne_mitigation": asked.zne is not None,
        "pec_mitigation": asked.pec is not None,
    }
    if asked.zne is not None:
        found["zne"] = {
            "amplifier": asked.zne.amplifier,
            "noise_factors": list(asked.zne.factors),
            "extrapolator": list(asked.zne.extrapolators),
            "extrapolated_noise_factors": list(asked.zne.points),
        }
    return found


def without(given: Mapping[str, Any], *names: str) -> dict[str, Any]:
    """The options that decide how a job is prepared: all but `names`."""
    return {name: given[name] for name in sorted(given) if name not in names}
