"""The options of the noise learners: what each class of the client can send, and what it comes to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sojourn.devices.conditions import Errors
from sojourn.worker.programs.options import (
    IDEAL,
    NULL,
    OFF,
    SEED,
    Limits,
    Option,
    Options,
    Settings,
    anything,
    empty,
    exactly,
    never,
    noise_model,
    positive_int,
    rep_delay,
    seed,
)

NAME = "noise-learner"
MAX_DEPTHS = 50
MAX_DEPTH = 10_000
STRATEGIES = ("active", "active-circuit", "active-accum", "all")


def _depths(value: Any, _: Limits) -> bool:
    """A decay needs two points, and a depth that comes twice would only be a second experiment."""
    return (
        isinstance(value, list)
        and 2 <= len(value) <= MAX_DEPTHS
        and all(isinstance(depth, int) and not isinstance(depth, bool) for depth in value)
        and all(0 <= depth <= MAX_DEPTH for depth in value)
        and len(set(value)) == len(value)
    )


def _count(value: Any, _: Limits) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


COMMON = (
    Option("shots_per_randomization", "honoured", "an integer of at least 1", positive_int),
    Option("num_randomizations", "honoured", "an integer of at least 1", positive_int),
    Option(
        "layer_pair_depths",
        "honoured",
        f"2 to {MAX_DEPTHS} different integers from 0 to {MAX_DEPTH}",
        _depths,
    ),
)

CIRCUITS = Options(
    NAME,
    *COMMON,
    Option("max_layers_to_learn", "honoured", "an integer of at least 0; null for all layers", _count),
    Option("twirling_strategy", "honoured", " or ".join(STRATEGIES), exactly(*STRATEGIES)),
    Option("simulator.seed_simulator", "honoured", SEED, seed),
    Option("support_qiskit", "fixed", "true", exactly(True)),
    Option("max_execution_time", "service", "seconds; the service stops the job", positive_int),
    Option("environment.log_level", "service", "anything", anything),
    Option("environment.job_tags", "service", "anything", anything),
    Option("environment.private", "service", "anything", anything),
    Option("simulator.noise_model", "honoured", f"a NoiseModel of Qiskit Aer; {IDEAL}", noise_model),
    Option("simulator.coupling_map", "refused", NULL, never),
    Option("simulator.basis_gates", "refused", NULL, never),
    Option("experimental", "refused", "{} or null", empty),
)
"""What `NoiseLearner` sends, with circuits."""

_CHECKS = ("bit_flip_checks.pre_circuit", "bit_flip_checks.post_circuit", "post_selection")

INSTRUCTIONS = Options(
    NAME,
    *COMMON,
    Option("rep_delay", "honoured", "seconds within the device's rep_delay_range", rep_delay),
    Option("init_qubits", "fixed", "true", exactly(True)),
    *(Option(f"{check}.enable", "fixed", "false", OFF) for check in _CHECKS),
    *(
        Option(f"{check}.{part}", "idle", "anything", anything)
        for check in _CHECKS
        for part in ("x_pulse_type", "strategy")
    ),
)
"""What `NoiseLearnerV3` sends, with boxes."""

ALL = Options(NAME, *{option.name: option for option in (*CIRCUITS.all, *INSTRUCTIONS.all)}.values())
"""Both, for the page of options."""


@dataclass(frozen=True, slots=True)
class Learning:
    """How a layer is learned. `depths` count pairs of applications of the layer, `rep_delay` is in seconds;
    without a `seed` each run draws its own. `most` is how many layers are learned, None for all. `errors` are
    those of an ideal device, where the job brings a noise model."""

    depths: tuple[int, ...]
    randomizations: int
    shots: int
    strategy: str
    most: int | None
    rep_delay: float | None
    seed: int | None
    errors: Errors | None = None

    def echoed(self) -> dict[str, Any]:
        """As the result of `NoiseLearner` repeats them."""
        return {
            "max_layers_to_learn": self.most,
            "shots_per_randomization": self.shots,
            "num_randomizations": self.randomizations,
            "layer_pair_depths": list(self.depths),
            "twirling_strategy": self.strategy,
        }


def learning(given: Mapping[str, Any], settings: Settings) -> Learning:
    """What checked options come to, with the client's defaults for what is not set."""

    def value(name: str, default: Any) -> Any:
        found = given.get(name)
        return default if found is None else found

    return Learning(
        depths=tuple(value("layer_pair_depths", (0, 1, 2, 4, 16, 32))),
        randomizations=value("num_randomizations", 32),
        shots=value("shots_per_randomization", 128),
        strategy=value("twirling_strategy", "active-accum"),
        most=given.get("max_layers_to_learn", 4),
        rep_delay=settings.rep_delay,
        seed=settings.seed,
    )
